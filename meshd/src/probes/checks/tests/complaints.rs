use mesh_config::model::Regex;

use super::*;
use crate::probes::checks::complaints;

#[test]
fn what_can_never_succeed_is_told_beforehand() {
    let to = SocketAddr::from(([127, 0, 0, 1], 80));
    let regex = |options: &[&str]| Regex {
        pattern: "a".to_owned(),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        no_match: false,
        offsets: (0, None),
    };
    let bad = Url {
        digest: Some("123".to_owned()),
        regex: Some(regex(&["alt_bsux"])),
        virtualhost: Some("a\r\nb".to_owned()),
        ..Url::new("/")
    };
    let found = complaints(&get(to, bad));
    assert_eq!(
        found,
        [
            "regex option `alt_bsux` cannot be honoured",
            "digest `123` is not 32 hexadecimal digits",
            r"`a\r\nb` cannot be part of an HTTP request",
        ]
    );
    let fine = Url { regex: Some(regex(&["caseless"])), ..Url::new("/") };
    assert_eq!(complaints(&get(to, fine)), [""; 0]);
    let dns = |record: &str| check(CheckKind::Dns { record: record.to_owned(), name: ".".to_owned() }, to);
    assert_eq!(complaints(&dns("XYZ")), ["`XYZ` is no type of record"]);
    assert_eq!(complaints(&dns("SOA")), [""; 0]);
}
