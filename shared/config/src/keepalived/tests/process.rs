//! The process and its dumps, at the top level and in `global_defs`.

use std::collections::BTreeMap;

use super::*;
use crate::tests::{Texts, read_with};

#[test]
fn all_of_them_reach_the_model() {
    let text = format!(
        "instance foo\nuse_pid_dir\nnet_namespace blue\nnet_namespace_ipvs green\n{}",
        global(
            " umask IWGRP|IWOTH\n state_dump_file /a/state\n stats_dump_file /a/stats\n json_dump_file /a/json\n \
             json_version 2\n data_use_instance\n reload_file\n reload_check_config /a/log\n \
             reload_time_file /a/time\n reload_repeat\n config_save_dir /a/saved\n random_seed 5"
        )
    );
    let expected = Process {
        instance: Some("foo".into()),
        net_namespace: Some("blue".into()),
        ipvs_namespace: Some("green".into()),
        use_pid_dir: true,
        umask: Some(0o22),
        reload_file: Some("/run/keepalived.reload".into()),
        reload_log: Some("/a/log".into()),
        reload_time_file: Some("/a/time".into()),
        reload_repeat: true,
        save_directory: Some("/a/saved".into()),
        name: None,
        threads: Threads::default(),
        dumps: Dumps {
            state: Some("/a/state".into()),
            stats: Some("/a/stats".into()),
            json: Some("/a/json".into()),
            json_version: 2,
            use_instance: true,
        },
    };
    assert_eq!(assert_clean(&text).process, expected);
    let inside = assert_clean(&global(" instance foo\n data_use_instance off\n reload_file /x"));
    let first = assert_clean(&format!("net_namespace_ipvs\n{}", with("")));
    assert_eq!(first.process.ipvs_namespace.as_deref(), Some("/proc/1/ns/net"));
    assert_eq!(inside.process.instance.as_deref(), Some("foo"));
    assert_eq!(inside.process.reload_file.as_deref(), Some(Path::new("/x")));
    assert!(!inside.process.dumps.use_instance);
}

#[test]
fn what_is_no_value_is_placed_and_skipped() {
    for (line, start) in [
        (" umask 01000", "2:8 W `01000` is no value for `umask`: expected an octal"),
        (" umask IWALL", "2:8 W `IWALL` is no value"),
        (" umask", "2:2 E `umask` has no value; expected an octal"),
        (" json_version 3", "2:15 W `3` is no value for `json_version`: expected 1 or 2; skipped"),
        (
            " state_dump_file here",
            "2:18 W `here` is no value for `state_dump_file`: expected a file with its whole path",
        ),
        (" json_dump_file", "2:2 E `json_dump_file` has no value"),
        (" data_use_instance perhaps", "2:20 W `perhaps` is no value for `data_use_instance`: expected on or off"),
        (" instance a/b", "2:11 W `a/b` is no value for `instance`: expected a name without `/`"),
        (" reload_time_file x", "2:19 W `x` is no value for `reload_time_file`"),
        (" reload_check_config x", "2:22 W `x` is no value for `reload_check_config`"),
        (" config_save_dir", "2:2 E `config_save_dir` has no value"),
        (" random_seed x", "2:14 W `x` is no value for `random_seed`: expected a number"),
        (" vrrp_priority 20", "2:16 W `20` is no value for `vrrp_priority`: expected a number from -20 to 19"),
        (" vrrp_priority", "2:2 W `vrrp_priority` has no value; expected a number; skipped"),
        (" bfd_rt_priority x", "2:18 W `x` is no value for `bfd_rt_priority`: expected a number from 1 to 99"),
        (" checker_rlimit_rttime 0", "2:24 W `0` is no value for `checker_rlimit_rttime`"),
        (" vrrp_cpu_affinity", "2:2 W `vrrp_cpu_affinity` has no value"),
        (" vrrp_rt_priority", "2:2 W `vrrp_rt_priority` has no value; expected a number; skipped"),
        (" vrrp_rlimit_rttime", "2:2 E `vrrp_rlimit_rttime` has no value"),
        (" min_auto_priority_delay", "2:2 W `min_auto_priority_delay` has no value; expected microseconds; skipped"),
        (" vrrp_cpu_affinity 0 x", "2:22 W `x` is no processor"),
        (" vrrp_cpu_affinity 0 1024", "2:22 W `1024` is no processor"),
        (" max_auto_priority 100", "2:20 W `100` is no value for `max_auto_priority`: expected a number from 0 to 99"),
        (" min_auto_priority_delay 10000001", "2:26 W `10000001` is no value for `min_auto_priority_delay`"),
        (" process_name", "2:2 E `process_name` has no value"),
        (" checker_proc_name x", "2:2 W unknown keyword `checker_proc_name`"),
        (" reload_file x", "2:14 W `x` is no value for `reload_file`"),
        (" jsn_version 1", "2:2 W unknown keyword `jsn_version`; skipped (did you mean `json_version`?)"),
    ] {
        if let Some(config) = assert_found(&global(line), start) {
            assert_eq!(config.process, Process::default(), "{line}");
        }
    }
    assert_found(&format!("net_namespace ..\n{}", with("")), "1:15 W `..` is no value for `net_namespace`");
}

#[test]
fn threads_are_scheduled_and_named() {
    let config = assert_clean(&global(
        " vrrp_priority -5\n vrrp_rt_priority 3\n vrrp_rlimit_rttime 20000000\n vrrp_no_swap\n vrrp_cpu_affinity 0 2\n \
         checker_priority 5\n bfd_rt_priority 99\n max_auto_priority\n min_auto_priority_delay 500000\n \
         checker_process_name first\n process_names\n lvs_process_name checks",
    ));
    let named = |name: &str| Scheduling { name: Some(name.to_owned()), ..Scheduling::default() };
    let expected = Threads {
        vrrp: Scheduling {
            nice: Some(-5),
            realtime: Some(3),
            longest_run: Some(Duration::from_secs(20)),
            no_swap: true,
            processors: [0, 2].into(),
            ..named("keepalived_vrrp")
        },
        checker: Scheduling { nice: Some(5), ..named("checks") },
        bfd: Scheduling { realtime: Some(99), ..named("keepalived_bfd") },
        most_automatic: 99,
        late: Duration::from_millis(500),
    };
    assert_eq!(config.process.threads, expected);
    assert_eq!(config.process.name.as_deref(), Some("keepalived"));
}

#[test]
fn what_is_out_of_range_is_the_nearest_there_is() {
    let threads = |line: &str, start: &str| assert_found(&global(line), start).unwrap().process;
    let process = threads(" vrrp_rt_priority 100", "2:19 W `vrrp_rt_priority` is out of range 1 to 99; 99 is used");
    assert_eq!(process.threads.vrrp.realtime, Some(99));
    let process = threads(" vrrp_rt_priority -3", "2:19 W `vrrp_rt_priority` is out of range 1 to 99; 1 is used");
    assert_eq!(process.threads.vrrp.realtime, Some(1));
    let process = threads(" process_name longer_than_that_is", "2:15 W `longer_than_that_is` has more than 15 bytes");
    assert_eq!(process.name.as_deref(), Some("longer_than_tha"));
    threads(" bfd_rlimit_rtime 10000", "2:2 I `bfd_rlimit_rtime` below 10s has no effect: so long is allowed");
    assert_eq!(assert_clean(&global(" max_auto_priority -1")).process.threads.most_automatic, 0);
}

/// Whoever watched by SNMP or D-Bus is told what to watch with.
#[test]
fn what_tells_the_same_is_named() {
    let snmp = "there is no SNMP; `/metrics` (`[telemetry] listen` of meshd.toml) and `meshctl --json` show the same, \
                `meshctl events --follow` and a notify_fifo tell what traps do";
    for keyword in
        ["enable_snmp_keepalived", "enable_snmp_vrrp", "enable_snmp_checker", "enable_snmp_rfc", "enable_traps"]
    {
        assert_found(&global(&format!(" {keyword}")), &format!("2:2 W `{keyword}` is not supported yet: {snmp}"));
    }
    assert_found(
        &global(" enable_dbus"),
        "2:2 W `enable_dbus` is not supported yet: there is no D-Bus; notify scripts",
    );
    let nftables = " nftables keepalived\n nftables_priority -1\n nftables_counters\n nftables_ifindex";
    let (_, found) = read(&global(nftables));
    let expected = ["nftables", "nftables_priority", "nftables_counters", "nftables_ifindex"];
    let none = |(line, keyword): (usize, &str)| format!("{line}:2 I `{keyword}` has no effect in this version");
    assert_eq!(found, (2..).zip(expected).map(none).collect::<Vec<_>>());
}

#[test]
fn processors_are_those_of_the_host() {
    let read = |possible: &'static str| {
        let files = Texts(BTreeMap::from([("/sys/devices/system/cpu/possible", possible)]));
        let (config, report) = read_with(&global(" vrrp_cpu_affinity 0 2"), &files);
        let said: Vec<String> = report.findings.iter().map(|f| f.message.clone()).collect();
        (config.unwrap().process.threads.vrrp.processors.len(), said)
    };
    let said = "`2` is no processor: expected a number from 0 to 1; the line is skipped".to_owned();
    assert_eq!(read("0-1\n"), (0, vec![said]), "as with keepalived, none of the line counts");
    for enough in ["0-2\n", "0,2-7\n", "0-4095\n", "", "x"] {
        assert_eq!(read(enough), (2, Vec::new()), "{enough}");
    }
}
