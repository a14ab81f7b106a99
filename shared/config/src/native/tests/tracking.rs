//! Groups, and what is tracked.

use super::*;

const TRACKED: &str = "
[[script]]
name = \"s\"
command = \"/bin/true\"
[[track_file]]
name = \"f\"
path = \"/run/f\"
[[bfd]]
name = \"b\"
neighbour = \"10.0.0.9\"
[[track_process]]
name = \"p\"
command = [\"/bin/a\", \"x\"]
parameters = \"initial\"
full_command = true
weight = -7
reverse = true
quorum = 2
quorum_max = 3
fork_delay = \"1.5s\"
terminate_delay = \"3s\"
[delays]
startup = \"5.5s\"
after_boot = \"30s\"
links = [{ interface = \"eth0\", down = \"1s\", up = \"2s\" }, { interface = \"eth1\", down = \"500ms\" }]
";

fn two_routers() -> String {
    format!("{ROUTER}{}", ROUTER.replace("\"A\"", "\"B\"").replace("51", "52").replace("10.0.0.1", "10.0.0.2"))
}

/// The same as keepalived.conf makes of the same.
#[test]
fn groups_and_trackers_are_those_of_keepalived() {
    let tracks = "track_interfaces = [{ name = \"eth9\", weight = -20, reverse = true }]\ntrack_scripts = [\"s\"]\n\
                  track_files = [{ name = \"f\", weight = 2 }]\ntrack_processes = [\"p\"]\ntrack_bfds = [\"b\"]\n";
    let group = format!(
        "[[sync_group]]\nname = \"G\"\nrouters = [\"A\", \"B\"]\nmember_weights = true\nalert = true\n{tracks}[sync_group.notify]\nactive = \"/m\"\nany = \"/n\"\n"
    );
    let routers = two_routers().replacen(
        "addresses",
        &format!("{tracks}track_own_interface = false\ntrack_source = true\naddresses"),
        1,
    );
    let (config, found) = read(&format!("dynamic_interfaces = true\n{routers}{group}{TRACKED}"));
    assert!(found.is_empty(), "{found:#?}");
    let blocks = " track_interface {\n  eth9 weight -20 reverse\n }\n track_script {\n  s\n }\n track_file {\n  f weight 2\n }\n \
                  track_process {\n  p\n }\n track_bfd {\n  b\n }\n";
    let instance = |name: &str, vrid: u8, more: &str| {
        format!(
            "vrrp_instance {name} {{\n interface eth0\n virtual_router_id {vrid}\n virtual_ipaddress {{\n  10.0.0.{}\n }}\n{more}}}\n",
            vrid - 50
        )
    };
    let text = format!(
        "global_defs {{\n vrrp_startup_delay 5.5\n vrrp_delay_after_boot 30\n dynamic_interfaces\n}}\n\
         interface_up_down_delays {{\n eth0 1 2\n eth1 0.5\n}}\nvrrp_script s {{\n script /bin/true\n}}\n\
         track_file f {{\n file /run/f\n}}\nbfd_instance b {{\n neighbor_ip 10.0.0.9\n}}\nvrrp_track_process p {{\n \
         process /bin/a x\n param_match initial\n full_command\n weight -7 reverse\n quorum 2\n quorum_max 3\n \
         fork_delay 1.5\n terminate_delay 3\n}}\n{}{}vrrp_sync_group G {{\n group {{\n  A\n  B\n }}\n \
         sync_group_tracking_weight\n notify_master /m\n notify /n\n smtp_alert\n{blocks}}}\n",
        instance("A", 51, &format!(" dont_track_primary\n track_src_ip\n{blocks}")),
        instance("B", 52, "")
    );
    let (same, _) = crate::keepalived::parse(Path::new("f"), &text, &Host::none());
    assert_eq!(config.unwrap(), same.unwrap());
}

#[test]
fn group_and_tracker_errors_are_placed() {
    let routers = two_routers();
    let end = routers.lines().count();
    let group = |lines: &str| format!("{routers}[[sync_group]]\nname = \"G\"\n{lines}\n");
    for (lines, line, start) in [
        ("routers = [\"A\"]", 3, "11 1 router; expected two or more that move together"),
        ("routers = [\"A\", \"Z\"]", 3, "17 there is no router `Z`; expected a `[[router]]` of that name"),
        ("routers = [\"A\", \"A\"]", 3, "17 `A` is already in sync_group `G`"),
        ("routers = [\"A\", \"B\"]\ntrack_files = [\"f\"]", 4, "16 there is no track_file `f`"),
        ("routers = [\"A\", \"B\"]\ntrack_processes = [\"p\"]", 4, "20 there is no track_process `p`"),
        ("routers = [\"A\", \"B\"]\ntrack_interfaces = [{ name = \"b\", weight = 254 }]", 4, "21 254 is out of range"),
        (
            "routers = [\"A\", \"B\"]\ntrack_bfds = [\"b\"]",
            4,
            "15 there is no bfd `b`; expected a `[[bfd]]` of that name",
        ),
        (
            "routers = [\"A\", \"B\"]\ntrack_interfaces = [{ name = \"b\", reverse = true }]",
            4,
            "21 `reverse` without `weight`",
        ),
        ("routers = [\"A\", \"B\"]\ntrack_interfaces = [\"e\", \"e\"]", 4, "26 `e` is already tracked"),
    ] {
        refused(&group(lines), &format!("{}:{start}", end + line));
    }
    let weighted = routers.replacen("addresses", "track_interfaces = [{ name = \"eth9\", weight = 5 }]\naddresses", 1);
    let member = format!("{weighted}[[sync_group]]\nname = \"G\"\nrouters = [\"A\", \"B\"]\n");
    refused(&member, &format!("{}:12 `A` tracks with a weight: expected `member_weights = true`, or none", end + 4));
    let process = "[[track_process]]\nname = \"p\"\ncommand = \"/bin/a\"\n";
    for (lines, start) in [
        ("weight = 255", "4:10 255 is out of range; expected -254 to 254"),
        ("quorum = 3\nquorum_max = 2", "5:14 at most 2 and at least 3"),
        ("fork_delay = \"2h\"", "4:14 `2h` is no duration"),
        ("terminate_delay = \"3601s\"", "4:19 3601s is out of range"),
        ("parameters = \"some\"", "4:14 unknown value `some`"),
    ] {
        refused(&format!("{process}{lines}\n"), start);
    }
    refused("[delays]\nlinks = [{ interface = \"a\", down = \"256s\" }]\n", "2:36 256s is out of range");
    let twice = "[delays]\nlinks = [{ interface = \"a\", down = \"1s\" }, { interface = \"a\", down = \"1s\" }]\n";
    refused(twice, "2:58 `a` has delays already");
}
