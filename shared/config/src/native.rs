use std::path::Path;
/// x
pub fn parse(_: &Path, _: &str) -> (Option<crate::model::Config>, crate::report::Report) {
    unimplemented!()
}
