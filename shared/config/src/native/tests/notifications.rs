//! `[notify]`.

use super::*;

#[test]
fn notifications_are_the_same_in_both_languages() {
    let conf = "global_defs {\n notify_fifo /run/all ops staff\n notify_fifo_script \"/follow all\" ops\n vrrp_notify_fifo /run/vrrp\n \
                lvs_notify_fifo /run/lvs\n vrrp_notify_priority_changes\n fifo_write_vrrp_states_on_reload\n startup_script /up\n \
                startup_script_timeout 3\n shutdown_script /down\n shutdown_script_timeout 4\n use_symlink_paths\n \
                set_supplementary_groups\n}\nvrrp_instance A {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n  \
                10.0.0.1\n }\n notify_master \"/m x\"\n notify_backup /b ops\n notify_fault /f\n notify_stop /s\n \
                notify_deleted\n notify /n\n notify_master_rx_lower_pri /l\n notify_priority_changes off\n smtp_alert\n}\n";
    let toml = "[scripts]\nsymlink_paths = true\nsupplementary_groups = true\n[notify]\nfifo = { path = \"/run/all\", user = \"ops\", \
                group = \"staff\", script = { command = [\"/follow\", \"all\"], user = \"ops\" } }\nrouter_fifo = \"/run/vrrp\"\n\
                priority_changes = true\nstates_on_reload = true\nstartup = \"/up\"\nstartup_timeout = \"3s\"\nshutdown = \"/down\"\n\
                shutdown_timeout = \"4s\"\n[lvs]\nnotify_fifo = \"/run/lvs\"\n[[router]]\nname = \"A\"\ninterface = \"eth0\"\nvrid = 51\n\
                addresses = [\"10.0.0.1\"]\nalert = true\n[router.notify]\nactive = [\"/m\", \"x\"]\nbackup = { command = \"/b\", \
                user = \"ops\" }\nfault = \"/f\"\nstop = \"/s\"\ntell_deleted = true\nany = \"/n\"\nlower_priority = \"/l\"\n\
                priority_changes = false\n";
    let read = |text| crate::parse(Path::new("f"), text, &Host::none());
    let ((conf, conf_report), (toml, toml_report)) = (read(conf), read(toml));
    assert_eq!((conf_report.findings, toml_report.findings), (vec![], vec![]));
    assert!(conf.is_some());
    assert_eq!(conf, toml);
    let programs = |report: crate::report::Places| report.programs.len();
    assert_eq!((programs(conf_report.places), programs(toml_report.places)), (9, 9));
}

#[test]
fn notifications_out_of_range_are_placed() {
    for (text, start) in [
        ("[notify]\nstartup_timeout = \"0s\"\n", "2:19 0ns is out of range; expected 1s to 1000s"),
        ("[notify]\nshutdown_timeout = \"1001s\"\n", "2:20 1001s is out of range"),
        ("[notify]\nfifo = { path = \"/a\", group = \"g\" }\n", "2:31 `group` without `user`"),
        ("[notify]\nfifo = 3\n", "2:8 the number 3; expected a file such as"),
        ("[notify]\nfifo = \"/a\"\nrouter_fifo = \"/a\"\n", "3:16 `/a` is another FIFO already"),
        ("[notify]\nstartup = []\n", "2:11 an empty command"),
    ] {
        let (config, report) = parse(Path::new("f"), text, &Host::none());
        let found: Vec<String> =
            report.findings.iter().map(|f| format!("{}:{} {}", f.place.line, f.place.column, f.message)).collect();
        assert!(config.is_none() && found.len() == 1 && found[0].starts_with(start), "{text}: {found:?}");
    }
}
