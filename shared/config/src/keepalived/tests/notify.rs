use super::*;
use crate::report::Place;

fn script(command: &[&str]) -> Script {
    Script { command: command.iter().map(ToString::to_string).collect(), user: None }
}

#[test]
fn every_keyword_of_an_instance_reaches_the_model() {
    let config = assert_clean(&with(
        " notify_master \"/m --to VI\"\n notify_backup /b ops\n notify_fault /f ops staff\n notify_stop /s\n notify_deleted /d\n \
         notify \"/n a\"\n notify_master_rx_lower_pri /l\n notify_priority_changes\n smtp_alert off",
    ));
    let ops = |group: Option<&str>| Some(("ops".to_owned(), group.map(str::to_owned)));
    let expected = Notify {
        active: Some(script(&["/m", "--to", "VI"])),
        backup: Some(Script { user: ops(None), ..script(&["/b"]) }),
        fault: Some(Script { user: ops(Some("staff")), ..script(&["/f"]) }),
        stop: Some(script(&["/s"])),
        deleted: OnDelete::Deleted(Some(script(&["/d"]))),
        any: Some(script(&["/n", "a"])),
        lower_priority: Some(script(&["/l"])),
        priority_changes: Some(true),
        mail: Some(false),
    };
    assert_eq!(config.routers[0].notify, expected);
    assert_eq!(assert_clean(&with("")).routers[0].notify, Notify::default());
    let bare = assert_clean(&with(" notify_deleted"));
    assert_eq!(bare.routers[0].notify.deleted, OnDelete::Deleted(None), "it still changes what is told");
}

/// As keepalived 2.2.7 runs them: the line is read with its quotes and escapes, and the command in it once more.
#[test]
fn a_command_is_one_word_in_quotes_of_either_kind() {
    for (line, command, user) in [
        ("'/b q r'", &["/b", "q", "r"][..], None),
        ("'/b q \"a b\" r' ops", &["/b", "q", "a b", "r"], Some("ops")),
        ("/b ops", &["/b"], Some("ops")),
        ("\"/b\"x", &["/bx"], None),
        ("\"/b \\\"c d\\\" e\"", &["/b", "c d", "e"], None),
        ("\"/b '' x\"", &["/b", "", "x"], None),
        ("\"/b a'b c'd\"", &["/b", "ab cd"], None),
        ("\"/b \\x41 \\101 \\t|\"", &["/b", "A", "A", "|"], None),
    ] {
        let config = assert_clean(&with(&format!(" notify_backup {line}")));
        let expected = Script { user: user.map(|user| (user.to_owned(), None)), ..script(command) };
        assert_eq!(config.routers[0].notify.backup, Some(expected), "{line}");
    }
}

#[test]
fn findings_about_an_instance() {
    for (line, start) in [
        (" notify_master", "4:2 E `notify_master` has no value; expected a program"),
        (" notify", "4:2 E `notify` has no value"),
        (" notify_fault /f\n notify_fault /g", "5:2 W a second `notify_fault`; the first one stays"),
        (" notify_deleted /f\n notify_deleted /g", "5:2 W a second `notify_deleted`; the first one stays"),
        (" notify_backup /b u g x", "4:23 W `x` is a word too many after `notify_backup`"),
        (" notify_stop \"\"", "4:14 W this command is empty"),
        (" notify_backup \"/b 'it\\'s' x\"", "4:16 W this command is empty or has an open quote"),
        (" notify_backup '/b x", "4:16 W this command is empty or has an open quote; expected a program; left out"),
        (
            " notify_priority_changes maybe",
            "4:26 W `maybe` is no value for `notify_priority_changes`: expected on or off",
        ),
        (" smtp_alert maybe", "4:13 W `maybe` is no value for `smtp_alert`"),
    ] {
        assert_found(&with(line), start);
    }
}

#[test]
fn global_settings_reach_the_model() {
    let config = assert_clean(&global(
        " notify_fifo /run/all ops staff\n notify_fifo_script \"/follow all\" ops\n vrrp_notify_fifo /run/vrrp\n \
         lvs_notify_fifo /run/lvs ops\n lvs_notify_fifo_script /follow\n vrrp_notify_priority_changes true\n \
         fifo_write_vrrp_states_on_reload\n startup_script \"/up now\"\n startup_script_timeout 1\n \
         shutdown_script /down ops\n shutdown_script_timeout 1000\n use_symlink_paths\n set_supplementary_groups\n smtp_alert_vrrp",
    ));
    let ops = |group: Option<&str>| Some(("ops".to_owned(), group.map(str::to_owned)));
    let expected = NotifySettings {
        fifo: Some(Fifo {
            path: "/run/all".into(),
            owner: ops(Some("staff")),
            script: Some(Script { user: ops(None), ..script(&["/follow", "all"]) }),
        }),
        router_fifo: Some(Fifo::new("/run/vrrp")),
        priority_changes: true,
        states_on_reload: true,
        startup: Some(script(&["/up", "now"])),
        startup_timeout: Duration::from_secs(1),
        shutdown: Some(Script { user: ops(None), ..script(&["/down"]) }),
        shutdown_timeout: Duration::from_secs(1000),
    };
    assert_eq!(config.notify, expected);
    let lvs = Fifo { path: "/run/lvs".into(), owner: ops(None), script: Some(script(&["/follow"])) };
    assert_eq!(config.lvs.notify_fifo, Some(lvs));
    let security = ScriptSecurity { symlink_paths: true, supplementary_groups: true, ..ScriptSecurity::default() };
    assert_eq!((config.scripts, config.mail.alert_vrrp), (security, Some(true)));
    let ten = Duration::from_secs(10);
    let default = assert_clean(&global("")).notify;
    assert_eq!((default.startup_timeout, default.shutdown_timeout), (ten, ten));
}

#[test]
fn findings_about_global_settings() {
    for (line, start) in [
        (" notify_fifo", "2:2 W `notify_fifo` has no value; expected a file"),
        (" notify_fifo /a\n notify_fifo /b", "3:2 W a second `notify_fifo`; the first one stays"),
        (" notify_fifo /a u g x", "2:21 W `x` is a word too many"),
        (" notify_fifo /a\n vrrp_notify_fifo /a", "3:2 W `/a` is another FIFO already; expected one of its own"),
        (" vrrp_notify_fifo_script /s", "2:2 W there is no `vrrp_notify_fifo` for this script; it is not run"),
        (" startup_script /a\n startup_script /b", "3:2 W a second `startup_script`; the first one stays"),
        (
            " startup_script_timeout 0",
            "2:25 W `0` is no value for `startup_script_timeout`: expected whole seconds from 1 to 1000",
        ),
        (" shutdown_script_timeout 1001", "2:26 W `1001` is no value"),
        (" vrrp_notify_priority_changes maybe", "2:31 W `maybe` is no value"),
        (" use_symlink_paths maybe", "2:20 W `maybe` is no value"),
    ] {
        assert_found(&global(line), start);
    }
}

#[test]
fn every_program_has_its_place() {
    let check =
        " real_server 10.0.0.2 80 {\n  notify_up /u\n  MISC_CHECK {\n   misc_path \"/check it\"\n   user ops\n  }\n }";
    let text = format!(
        "{}virtual_server 10.0.0.1 80 {{\n quorum_up /q\n{check}\n}}\n",
        global(" startup_script /a\n notify_fifo /f\n notify_fifo_script /r")
            .replace(" virtual_router_id 51", " virtual_router_id 51\n notify_deleted /d")
    );
    let (_, report) = parse(Path::new("f"), &text, &Host::none());
    let place = |p: &Place| (p.line, p.column);
    let found: Vec<_> =
        report.places.programs.iter().map(|(s, p)| (s.command.join(" "), s.user.is_some(), place(p))).collect();
    let expected = [
        ("/a", false, (2, 17)),
        ("/r", false, (4, 21)),
        ("/d", false, (9, 17)),
        ("/q", false, (16, 12)),
        ("/u", false, (18, 13)),
        ("/check it", true, (20, 14)),
    ];
    let mut found: Vec<_> = found.iter().map(|(c, u, p)| (c.as_str(), *u, *p)).collect();
    found.sort_by_key(|(_, _, place)| *place);
    assert_eq!(found, expected);
}
