use super::*;

/// A sound service; `service` from line 5 on, the real server two lines further down.
fn server(service: &str, real: &str) -> String {
    format!(
        "virtual_server 10.0.0.1 80 {{\n lb_algo rr\n lb_kind DR\n protocol TCP\n{service}\n real_server 10.0.0.2 80 {{\n{real}\n }}\n}}\n"
    )
}

/// The service and the findings, without the one that says that none is set up.
fn found(text: &str) -> (Option<VirtualServer>, Vec<String>) {
    let (config, mut found) = read(text);
    found.retain(|f| !f.contains("not set up by this version"));
    (config.and_then(|c| c.virtual_servers.into_iter().next()), found)
}

#[track_caller]
fn warned(text: &str, start: &str) -> Option<VirtualServer> {
    let (server, found) = found(text);
    assert_eq!(found.len(), 1, "{found:#?}\n{text}");
    assert!(found[0].starts_with(start), "{}", found[0]);
    server
}

#[test]
fn a_service_reaches_the_model() {
    let text = server(
        " delay_loop 6\n persistence_timeout 50",
        "  weight 3\n  TCP_CHECK {\n   connect_timeout 2\n   retry 4\n   delay_before_retry 0.5\n   connect_port 81\n  }",
    );
    let to = "10.0.0.2:80".parse().unwrap();
    let mut check = Check::new(CheckKind::Tcp, "10.0.0.2:81".parse().unwrap());
    check.connect.timeout = Duration::from_secs(2);
    check.retry = 4;
    check.delay_before_retry = Duration::from_millis(500);
    (check.delay_loop, check.warmup) = (Duration::from_secs(6), Duration::from_secs(6));
    let forwarding = Forwarding::DirectRouting;
    let real = RealServer { weight: 3, checks: vec![check], ..RealServer::new(to, forwarding) };
    let endpoint = Endpoint::Address("10.0.0.1:80".parse().unwrap());
    let expected = VirtualServer {
        scheduler: "rr".into(),
        forwarding,
        persistence: Some(50),
        real_servers: vec![real],
        ..VirtualServer::new(endpoint, Protocol::Tcp)
    };
    assert_eq!(found(&text), (Some(expected), vec![]));
}

#[test]
fn that_no_service_is_set_up_is_said_once() {
    let text = format!("{}{}", server("", ""), server("", "").replace("10.0.0.1", "10.0.0.3"));
    assert_found(&text, "1:1 W virtual servers (2) are read and checked, but not set up");
}

#[test]
fn http_checks_reach_the_model() {
    let digest = "0123456789ABCDEF0123456789abcdef";
    let urls = format!(
        "   url {{\n    path /a\n    status_code 200\n   }}\n   url {{\n    path /b\n    digest {digest}\n   }}"
    );
    for (keyword, expected_tls) in [("HTTP_GET", false), ("SSL_GET", true)] {
        let (server, found) = found(&server("", &format!("  {keyword} {{\n{urls}\n  }}")));
        assert!(found.is_empty(), "{found:#?}");
        let check = &server.unwrap().real_servers[0].checks[0];
        let CheckKind::Http(HttpCheck { tls, urls, .. }) = &check.kind else { panic!("{check:?}") };
        assert_eq!(*tls, expected_tls);
        assert_eq!(urls[0], Url { status: vec![(200, 200)], ..Url::new("/a") });
        assert_eq!(urls[1], Url { digest: Some(digest.to_ascii_lowercase()), ..Url::new("/b") });
        assert_eq!((check.connect.timeout, check.retry), (Duration::from_secs(5), 1));
        assert_eq!(check.delay_before_retry, Duration::from_secs(3));
    }
}

#[test]
fn missing_settings_have_keepalived_s_defaults() {
    let (server, found) = found("virtual_server 10.0.0.1 80 {\n real_server 10.0.0.2 80 {\n }\n}\n");
    let server = server.unwrap();
    assert_eq!((server.protocol, server.forwarding), (Protocol::Udp, Forwarding::Nat));
    assert_eq!(server.scheduler, "wlc");
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("1:1 W virtual server 10.0.0.1:80 has no `protocol`: UDP is used"), "{}", found[0]);
}

#[test]
fn service_findings() {
    for (line, start) in [
        (" lvs_sched foo", "5:12 W `foo` is no value for `lvs_sched`"),
        (" lb_kind nat", "5:10 W `nat` is no value for `lb_kind`: expected NAT, DR or TUN"),
        (" protocol FOO", "5:11 W `FOO` is no value for `protocol`"),
        (" persistence_timeout 0", "5:22 W `0` is no value"),
        (" delay_loop 0", "5:13 W `0` is no value"),
        (" nat_mask 255.255.255.0", "5:2 W `nat_mask` is obsolete"),
        (" quorum 1", "5:2 W `quorum` is not supported yet"),
        (" foo 1", "5:2 W unknown keyword `foo` in `virtual_server`"),
        (" smtp_alert", "5:2 I `smtp_alert`"),
        (" real_server foo 80 {\n }", "5:14 W `real_server` needs an IP address and a port"),
        (" real_server 10.0.0.3 99999 {\n }", "5:14 W `real_server` needs an IP address and a port"),
        (" real_server fe80::1 80 {\n }", "5:2 W fe80::1 and 10.0.0.1:80/udp are of two families"),
        (" real_server 10.0.0.3 80", "5:2 W `real_server` has no block"),
    ] {
        let server = warned(&server(line, ""), start).expect("kept");
        assert_eq!((server.scheduler.as_str(), server.forwarding), ("rr", Forwarding::DirectRouting));
    }
    let (server, _) = found(&server(" persistence_timeout", ""));
    assert_eq!(server.unwrap().persistence, Some(360));
}

#[test]
fn services_that_are_left_out() {
    for (text, start) in [
        ("virtual_server foo 80 {\n}\n", "1:16 W `virtual_server` needs an IP address and a port"),
        ("virtual_server fwmark 3 {\n}\n", "1:16 W `virtual_server fwmark` is not supported yet"),
        ("virtual_server group g {\n}\n", "1:16 W `virtual_server group` is not supported yet"),
        ("virtual_server 10.0.0.1 80 {\n}\n", "1:1 W virtual server 10.0.0.1:80 has no real server"),
    ] {
        assert_eq!(warned(text, start), None);
    }
}

#[test]
fn check_findings() {
    for (lines, start, checks) in [
        ("  weight -1", "7:10 W `-1` is no value for `weight`", 0),
        ("  MISC_CHECK {\n   misc_path /x\n  }", "7:3 W `MISC_CHECK` is not supported yet", 0),
        ("  TCP_CHECK", "7:3 W `TCP_CHECK` has no block", 0),
        ("  TCP_CHECK {\n   nb_get_retry 3\n  }", "8:4 W `nb_get_retry` is the old name of `retry`", 1),
        ("  TCP_CHECK {\n   connect_timeout 0\n  }", "8:20 W `0` is no value", 1),
        ("  TCP_CHECK {\n   connect_port 70000\n  }", "8:17 W `70000` is no value", 1),
        ("  TCP_CHECK {\n   bindto <ip>\n  }", "8:4 W `bindto` is not supported yet", 1),
        ("  TCP_CHECK {\n   url {\n   }\n  }", "8:4 W `url` belongs in `HTTP_GET`, not in `TCP_CHECK`", 1),
        ("  HTTP_GET {\n  }", "7:3 W `HTTP_GET` has no `url`", 0),
        ("  HTTP_GET {\n   url {\n    path /\n    status_code 999\n   }\n  }", "10:17 W `999` is no value", 1),
        ("  HTTP_GET {\n   url {\n    path /\n    status_code 200 201\n   }\n  }", "10:21 W only one status code", 1),
        ("  HTTP_GET {\n   url {\n    path /\n    digest abc\n   }\n  }", "10:12 W `abc` is no value for `digest`", 1),
        ("  HTTP_GET {\n   url {\n    path /\n    regex x\n   }\n  }", "10:5 W `regex` is not supported yet", 1),
    ] {
        let server = warned(&server("", lines), start).expect("kept");
        assert_eq!(server.real_servers[0].checks.len(), checks, "{lines}");
    }
    let (_, found) = found(&server("", "  HTTP_GET {\n   url {\n    status_code 200\n   }\n  }"));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[1].starts_with("8:4 W `url` has no `path`"), "{found:#?}");
}
