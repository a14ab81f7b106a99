//! The process and its dumps, at the top level and in `global_defs`.

use super::*;

#[test]
fn all_of_them_reach_the_model() {
    let text = format!(
        "instance foo\nuse_pid_dir\nnet_namespace blue\n{}",
        global(
            " umask IWGRP|IWOTH\n state_dump_file /a/state\n stats_dump_file /a/stats\n json_dump_file /a/json\n \
             json_version 2\n data_use_instance\n reload_file"
        )
    );
    let expected = Process {
        instance: Some("foo".into()),
        net_namespace: Some("blue".into()),
        use_pid_dir: true,
        umask: Some(0o22),
        reload_file: Some("/run/keepalived.reload".into()),
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
        (" reload_file x", "2:14 W `x` is no value for `reload_file`"),
        (" jsn_version 1", "2:2 W unknown keyword `jsn_version`; skipped (did you mean `json_version`?)"),
    ] {
        if let Some(config) = assert_found(&global(line), start) {
            assert_eq!(config.process, Process::default(), "{line}");
        }
    }
    assert_found(&format!("net_namespace ..\n{}", with("")), "1:15 W `..` is no value for `net_namespace`");
}
