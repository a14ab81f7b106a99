//! The language: files that include each other, for one of the hosts they know.
//!
//! The input is the text of the files `0`, `1`, `2` and so on, with a NUL between them.
#![no_main]

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use mesh_config::host::{Files, Host};
use mesh_config::report::Severity;

struct Parts<'b>(Vec<&'b [u8]>);

impl Files for Parts<'_> {
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let number = path.to_str().and_then(|name| name.parse::<usize>().ok());
        let bytes = number.and_then(|number| self.0.get(number)).ok_or(io::ErrorKind::NotFound)?;
        Ok(bytes[..bytes.len().min(most as usize + 1)].to_vec())
    }
    fn names(&self, _: &Path) -> io::Result<Vec<OsString>> {
        Ok((0..self.0.len()).map(|number| number.to_string().into()).collect())
    }
    fn one_name(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_path_buf())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let files = Parts(bytes.split(|b| *b == 0).take(8).collect());
    let Ok(text) = mesh_config::decode(files.0[0].to_vec()) else { return };
    let environment = |name: &str| (name.len() < 4).then(|| name.to_string());
    let host = Host { files: &files, config_id: "a", directory: "/".into(), environment: &environment, seed: 1 };
    let (config, report) = mesh_config::keepalived::parse(Path::new("0"), &text, &host);
    assert_eq!(config.is_none(), report.worst() == Some(Severity::Error));
    assert!(report.findings.is_sorted_by_key(|f| &f.place));
    for finding in &report.findings {
        let number = finding.place.file.to_str().and_then(|name| name.parse::<usize>().ok()).expect("a file");
        let lines = files.0[number].split(|b| *b == b'\n').count();
        assert!((1..=lines).contains(&finding.place.line) && finding.place.column > 0, "{finding}");
    }
});
