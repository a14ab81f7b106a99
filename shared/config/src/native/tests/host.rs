//! What is there on the host, and what is tracked anyway: told, and not used.

use std::collections::BTreeMap;

use super::*;
use crate::report::Severity;
use crate::tests::{Texts, read_with};

#[test]
fn processors_that_the_host_has_not_are_warned_of_and_left_out() {
    let files = Texts(BTreeMap::from([("/sys/devices/system/cpu/possible", "0-3\n")]));
    let (config, report) = read_with("[process.vrrp]\nprocessors = [0, 4, 3]\n", &files);
    let said: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["fixtures/f:2:18: warning: 4 is no processor of this host: expected 0 to 3; not used"]);
    assert_eq!(config.unwrap().process.threads.vrrp.processors, [0, 3].into());
}

#[test]
fn an_own_interface_is_not_tracked_twice() {
    let tracks = "track_interfaces = [\"eth9\", { name = \"eth0\", weight = -20 }]\n";
    let (config, report) = parse(Path::new("f"), &format!("{ROUTER}{tracks}"), &Host::none());
    let found: Vec<_> = report.findings.iter().map(|f| (f.severity, f.place.column, f.message.as_str())).collect();
    assert_eq!(found, [(Severity::Warning, 29, "`eth0` is the router's own interface; not tracked once more")]);
    let names: Vec<String> = config.unwrap().routers[0].track.interfaces.iter().map(|t| t.name.clone()).collect();
    assert_eq!(names, ["eth9"]);
}
