use super::*;

#[test]
fn settings_of_ip_vs_reach_the_model() {
    let text = global(
        " lvs_sync_daemon eth1 inst A id 7 maxlen 1400 port 99 ttl 3 group 224.0.0.5\n lvs_timeouts tcp 5 udp 7\n lvs_flush\n \
         lvs_flush_on_stop VS\n lvs_notify_fifo /run/fifo\n rs_init_notifies\n checker_log_all_failures on",
    );
    let text = format!("{text}SSL {{\n password s3cret\n ca /ca\n certificate /cert\n key /key\n}}\n");
    let config = assert_clean(&text);
    let sync = SyncDaemon {
        interface: "eth1".into(),
        router: Some("A".into()),
        id: 7,
        max_length: 1400,
        port: 99,
        group: Some("224.0.0.5".parse().unwrap()),
        ttl: 3,
    };
    let tls = Tls {
        ca: Some("/ca".into()),
        certificate: Some("/cert".into()),
        key: Some("/key".into()),
        password: Some(Secret::new("s3cret")),
    };
    let expected = LvsSettings {
        timeouts: Some((5, 0, 7)),
        sync: Some(sync),
        flush: true,
        flush_on_stop: FlushOnStop::VirtualServers,
        notify_fifo: Some(Fifo::new("/run/fifo")),
        init_notifies: true,
        log_all_failures: true,
        tls,
    };
    assert_eq!(config.lvs, expected);
    assert!(!format!("{config:?}").contains("s3cret"));
    let flush = assert_clean(&global(" lvs_flush_onstop"));
    assert_eq!(flush.lvs.flush_on_stop, FlushOnStop::All);
    let (config, _) = read(&format!(
        "global_defs {{\n checker_log_all_failures\n}}\n{}",
        server("", "TCP_CHECK {\n}\nTCP_CHECK {\n log_all_failures off\n}")
    ));
    let logged: Vec<bool> =
        config.unwrap().virtual_servers[0].real_servers[0].checks.iter().map(|c| c.log_all_failures).collect();
    assert_eq!(logged, [true, false]);
}

#[test]
fn sync_daemons() {
    let sync = |line: &str| {
        let (config, found) = read(&global(line));
        (config.unwrap().lvs.sync.map(|s| (s.router, s.id)), found)
    };
    let router = Some("A".to_string());
    for (line, expected) in [
        (" lvs_sync_daemon eth1", (None, 0)),
        (" lvs_sync_daemon eth1 id 9", (None, 9)),
        (" lvs_sync_daemon eth1 A", (router.clone(), 51)),
        (" lvs_sync_daemon eth1 inst A id 0", (router.clone(), 0)),
    ] {
        assert_eq!(sync(line), (Some(expected), vec![]), "{line}");
    }
    for (line, start, kept) in [
        (" lvs_sync_daemon", "2:2 W `lvs_sync_daemon` has no value", false),
        (" lvs_sync_daemon eth1 B", "2:23 W there is no `vrrp_instance B`; no sync daemon", false),
        (" lvs_sync_daemon eth1 A 7", "2:25 W expected `id` before the number", true),
        (
            " lvs_sync_daemon eth1 A id 300",
            "2:28 W `lvs_sync_daemon`: expected a number from 0 to 255 after `id`",
            true,
        ),
        (" lvs_sync_daemon eth1 A id", "2:25 W `lvs_sync_daemon`: expected a number from 0 to 255", true),
        (" lvs_sync_daemon eth1 maxlen 70000", "2:30 W `lvs_sync_daemon`: expected a number from 1 to 65507", true),
        (" lvs_sync_daemon eth1 port 0", "2:28 W", true),
        (" lvs_sync_daemon eth1 ttl 300", "2:27 W", true),
        (" lvs_sync_daemon eth1 group 10.0.0.1", "2:29 W `lvs_sync_daemon`: expected a multicast address", true),
        (" lvs_sync_daemon eth1 A foo", "2:25 W `foo` is no option of a sync daemon", true),
        (
            " lvs_sync_daemon eth1\n lvs_sync_daemon eth2",
            "3:2 W a second sync daemon; the first one, on `eth1`, stays",
            true,
        ),
    ] {
        let (sync, found) = sync(line);
        assert_eq!((found.len(), sync.is_some()), (1, kept), "{found:#?}");
        assert!(found[0].starts_with(start), "{}", found[0]);
    }
    let config =
        assert_found(&with(" lvs_sync_daemon_interface eth1"), "4:2 W this is the old form of `lvs_sync_daemon`");
    let sync = config.unwrap().lvs.sync.unwrap();
    assert_eq!((sync.interface.as_str(), sync.router, sync.id), ("eth1", router, 51));
}

#[test]
fn findings_about_ip_vs() {
    for (line, start) in [
        (" lvs_timeouts", "2:2 W `lvs_timeouts` sets nothing"),
        (" lvs_flush_on_stop foo", "2:20 W `foo` is no value for `lvs_flush_on_stop`: expected VS"),
        (" lvs_notify_fifo", "2:2 W `lvs_notify_fifo` has no value"),
        (" rs_init_notifies foo", "2:19 W `foo` is no value"),
        (" checker_log_all_failures foo", "2:27 W `foo` is no value"),
        (" lvs_timeouts tcp 5 udp x", "2:25 W `lvs_timeouts`: expected a number from 0 to 2678400 after `udp`"),
        (" lvs_timeouts tcp 5 foo", "2:21 W `foo` is no timeout"),
    ] {
        assert_found(&global(line), start);
    }
    for (text, start) in [
        ("SSL {\n foo\n}", "2:2 W unknown keyword `foo` in `SSL`"),
        ("SSL {\n password\n}", "2:2 W `password` has no value"),
        ("SSL {\n ca /a\n ca /b\n}", "3:2 W a second `ca`; it replaces"),
        ("SSL {\n ca /a\n}\nSSL {\n ca /b\n}", "4:1 W a second `SSL`; it replaces"),
        ("SSL", "1:1 E `SSL` has no block"),
    ] {
        assert_found(&format!("{text}\n"), start);
    }
}

#[test]
fn mail_reaches_the_model() {
    let config = assert_clean(&global(
        " notification_email {\n  a@x\n  b@x c@x\n }\n notification_email_from d@x\n smtp_server mail.example 26\n smtp_helo_name lb\n \
         smtp_connect_timeout 7\n smtp_alert\n smtp_alert_vrrp off\n smtp_alert_checker on\n no_email_faults\n no_checker_emails",
    ));
    let expected = Mail {
        to: vec!["a@x".into(), "b@x".into(), "c@x".into()],
        from: Some("d@x".into()),
        server: Some(("mail.example".into(), 26)),
        helo_name: Some("lb".into()),
        connect_timeout: seconds(7),
        alert: Some(true),
        alert_vrrp: Some(false),
        alert_checker: Some(true),
        no_faults: true,
        no_checker: true,
    };
    assert_eq!(config.mail, expected);
    assert_eq!(assert_clean(&global(" smtp_server ::1")).mail.server, Some(("::1".into(), 25)));
    assert_eq!(assert_clean(&global("")).mail, Mail::default());
}

#[test]
fn words_of_mail_addresses_that_are_lost_or_on_their_own_are_told() {
    let (config, found) =
        read(&global(" notification_email_from Kee Pal <k@p>\n notification_email {\n  Q U <q@u>\n }"));
    let expected = [
        "2:30 W `Pal <k@p>` is lost, as with keepalived: mail comes from `Kee`; expected quotes: \"Kee Pal <k@p>\"",
        "4:7 W each word is a receiver of its own, as with keepalived: expected quotes around a name with its address",
    ];
    assert_eq!(found, expected);
    let mail = config.unwrap().mail;
    assert_eq!((mail.from.as_deref(), mail.to), (Some("Kee"), ["Q", "U", "<q@u>"].map(String::from).to_vec()));
    let quoted = assert_clean(&global(" notification_email_from \"Kee Pal <k@p>\""));
    assert_eq!(quoted.mail.from.as_deref(), Some("Kee Pal <k@p>"));
}

#[test]
fn who_sends_mail() {
    let quiet = Mail::default();
    assert!(!quiet.about_virtual_server(None) && quiet.about_real_server(None));
    assert!(quiet.about_virtual_server(Some(true)) && !quiet.about_real_server(Some(false)));
    let off = Mail { alert: Some(true), alert_checker: Some(false), ..Mail::default() };
    assert!(!off.about_virtual_server(None) && !off.about_real_server(None));
    let changes = Mail { no_checker: true, alert: Some(true), ..Mail::default() };
    assert!(changes.about_virtual_server(None) && changes.about_real_server(None), "about changes all the same");
}
