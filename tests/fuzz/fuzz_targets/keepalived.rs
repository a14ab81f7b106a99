//! The whole front end: any bytes, as a configuration file.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mesh_config::host::Host;
use mesh_config::report::Severity;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = mesh_config::decode(bytes.to_vec()) else { return };
    let (config, report) = mesh_config::keepalived::parse(Path::new("f"), &text, &Host::none());
    assert_eq!(config.is_none(), report.worst() == Some(Severity::Error));
    assert!(report.findings.is_sorted_by_key(|f| &f.place));
    let lines = text.split('\n').count();
    assert!(report.findings.iter().all(|f| (1..=lines).contains(&f.place.line) && f.place.column > 0));
});
