use super::*;

/// The only check of the only real server.
#[track_caller]
fn check(service: &str, real: &str) -> Check {
    let mut server = clean(&server(service, real));
    assert_eq!(server.real_servers[0].checks.len(), 1);
    server.real_servers[0].checks.remove(0)
}

fn base(kind: CheckKind) -> Check {
    Check::new(kind, "10.0.0.2:80".parse().unwrap())
}

fn http(urls: Vec<Url>) -> HttpCheck {
    HttpCheck::new(false, urls)
}

#[test]
fn every_kind_has_its_defaults() {
    let script = || script_of(&["/bin/c"], None);
    let root = CheckKind::Dns { record: "SOA".into(), name: ".".into() };
    let smtp = CheckKind::Smtp { helo_name: None, hosts: vec![base(CheckKind::Tcp).connect] };
    for (block, expected) in [
        ("TCP_CHECK {\n}", CheckKind::Tcp),
        ("PING_CHECK {\n}", CheckKind::Ping),
        ("DNS_CHECK {\n}", root),
        ("SMTP_CHECK {\n}", smtp),
        ("UDP_CHECK {\n}", CheckKind::Udp { payload: None, reply: None }),
        (
            "MISC_CHECK {\nmisc_path /bin/c\n}",
            CheckKind::Misc { script: script(), timeout: seconds(60), dynamic: false },
        ),
        ("HTTP_GET {\nurl {\npath /\n}\n}", CheckKind::Http(http(vec![Url::new("/")]))),
    ] {
        assert_eq!(check("", block), base(expected), "{block}");
    }
}

#[test]
fn settings_of_the_innermost_block_win() {
    let service = " delay_loop 6\n warmup 2\n retry 4\n delay_before_retry 5\n connect_timeout 7\n alpha";
    let one = check(service, "TCP_CHECK {\n}");
    let times = |c: &Check| (c.delay_loop, c.warmup, c.retry, c.delay_before_retry, c.connect.timeout, c.alpha);
    assert_eq!(times(&one), (seconds(6), seconds(2), 4, seconds(5), seconds(7), true));
    let real = "  delay_loop 8\n retry 9\n alpha off\n";
    let two = check(service, &format!("{real}DNS_CHECK {{\n}}"));
    assert_eq!(times(&two), (seconds(8), seconds(2), 9, seconds(5), seconds(7), false));
    let inner =
        "MISC_CHECK {\n misc_path /bin/c\n delay_loop 3\n retry 0\n alpha\n warmup 0\n delay_before_retry 0.5\n}";
    let three = check(service, &format!("{inner}\n{real}"));
    assert_eq!(times(&three), (seconds(3), seconds(0), 0, Duration::from_millis(500), seconds(7), true));
    let CheckKind::Misc { timeout, .. } = three.kind else { panic!() };
    assert_eq!(timeout, seconds(3));
    // Without anything said, DNS_CHECK waits for a loop, and a first check comes within one.
    let dns = check(" delay_loop 6", "DNS_CHECK {\n}");
    assert_eq!((dns.delay_before_retry, dns.retry, dns.warmup), (seconds(6), 3, seconds(6)));
}

#[test]
fn connections() {
    let one = check(
        "",
        "TCP_CHECK {\n connect_ip 10.0.0.7\n connect_port 81\n bindto 10.0.0.8\n bind_port 99\n bind_if eth1\n fwmark 5\n log_all_failures\n}",
    );
    let connect = Connect {
        from: Some(("10.0.0.8".parse().unwrap(), 99)),
        interface: Some("eth1".into()),
        fwmark: 5,
        ..Connect::new("10.0.0.7:81".parse().unwrap())
    };
    assert_eq!(one, Check { connect, log_all_failures: true, ..base(CheckKind::Tcp) });
    let one = check("", "TCP_CHECK {\n bind_port 99\n}");
    assert_eq!(one.connect.from, Some(("0.0.0.0".parse().unwrap(), 99)));
    let one = check("", "TCP_CHECK {\n connect_ip fe80::7\n bind_if eth1\n}");
    assert_eq!(one.connect.to, "[fe80::7]:80".parse().unwrap());
}

#[test]
fn http_checks_reach_the_model() {
    let digest = "0123456789ABCDEF0123456789abcdef";
    let urls = format!(
        "virtualhost c.example\n http_protocol 1.1\n fast_recovery\n url {{\n path /a\n status_code 200 300-399\n status_code 404\n \
         virtualhost u.example\n regex \"a b\"\n regex_no_match\n regex_options caseless utf\n regex_min_offset 3\n regex_max_offset 9\n }}\n \
         url {{\n path /b\n digest {digest}\n }}"
    );
    for keyword in ["HTTP_GET", "SSL_GET"] {
        let check = check("", &format!("{keyword} {{\n{urls}\n}}"));
        let regex = Regex {
            pattern: "a b".into(),
            options: vec!["caseless".into(), "utf".into()],
            no_match: true,
            offsets: (3, Some(9)),
        };
        let first = Url {
            virtualhost: Some("u.example".into()),
            status: vec![(200, 200), (300, 399), (404, 404)],
            regex: Some(regex),
            ..Url::new("/a")
        };
        let second = Url {
            virtualhost: Some("c.example".into()),
            digest: Some(digest.to_ascii_lowercase()),
            status: vec![(100, 599)],
            ..Url::new("/b")
        };
        let kind = HttpCheck {
            tls: keyword == "SSL_GET",
            protocol: HttpProtocol::V11,
            fast_recovery: true,
            ..http(vec![first, second])
        };
        assert_eq!(check, base(CheckKind::Http(kind)));
    }
}

#[test]
fn virtual_hosts_come_from_every_level_and_name_the_server() {
    let get = |service: &str, real: &str, own: &str| {
        let check = check(service, &format!("{real}\nSSL_GET {{\n{own}\n url {{\n path /\n }}\n}}"));
        let CheckKind::Http(HttpCheck { sni, mut urls, .. }) = check.kind else { panic!() };
        (urls.remove(0).virtualhost, sni)
    };
    let some = |s: &str| Some(s.to_string());
    assert_eq!(get(" virtualhost v", "", ""), (some("v"), None));
    assert_eq!(get(" virtualhost v", "virtualhost r", ""), (some("r"), None));
    assert_eq!(get(" virtualhost v", "virtualhost r", "virtualhost c\nenable_sni"), (some("c"), some("c")));
    assert_eq!(get(" virtualhost v", "", "sni_name s"), (some("v"), some("s")));
    assert_eq!(get(" virtualhost v", "", "enable_sni off"), (some("v"), None));
    warned(&server("", "SSL_GET {\n enable_sni\n url {\n path /\n }\n}"), "7:1 W `enable_sni` without a `virtualhost`");
    warned(
        &server("", "HTTP_GET {\n enable_sni\n url {\n path /\n }\n}"),
        "8:2 I `enable_sni` has no effect without TLS",
    );
}

#[test]
fn mail_checks_have_hosts() {
    let one = check(
        "",
        "SMTP_CHECK {\n helo_name lb\n connect_port 25\n fwmark 3\n connect_timeout 2\n host {\n connect_ip 10.0.0.8\n }\n host {\n connect_port 26\n bindto 10.0.0.9\n }\n}",
    );
    let CheckKind::Smtp { helo_name, hosts } = &one.kind else { panic!() };
    assert_eq!(helo_name.as_deref(), Some("lb"));
    let first = Connect { fwmark: 3, timeout: seconds(2), ..Connect::new("10.0.0.8:25".parse().unwrap()) };
    let from = Some(("10.0.0.9".parse().unwrap(), 0));
    let second = Connect { fwmark: 3, from, timeout: seconds(2), ..Connect::new("10.0.0.2:26".parse().unwrap()) };
    assert_eq!(hosts, &[first, second]);
}

#[test]
fn udp_checks_have_bytes() {
    let one = check(
        "",
        "UDP_CHECK {\n payload Ab12f 3 456 546443123\n require_reply \"Xb 1\" fx\n min_reply_length 2\n max_reply_length 9\n}",
    );
    let payload = Some(vec![0xab, 0x12, 0x0f, 0x03, 0x45, 0x06, 0x54, 0x64, 0x43, 0x12, 0x03]);
    let pattern = vec![(0x0b, 0x0f), (0x01, 0xff), (0xf0, 0xf0)];
    let reply = Some(UdpReply { pattern, least: 2, most: 9 });
    assert_eq!(one.kind, CheckKind::Udp { payload, reply });
    let pattern = |digits: &str| {
        let one = check("", &format!("UDP_CHECK {{\n require_reply {digits}\n}}"));
        let CheckKind::Udp { reply: Some(reply), .. } = one.kind else { panic!() };
        reply.pattern
    };
    assert_eq!(pattern("XX x"), [(0, 0), (0, 0xf0)]);
    let one = check("", "UDP_CHECK {\n require_reply\n}");
    let reply = Some(UdpReply { pattern: vec![], least: 0, most: 255 });
    assert_eq!(one.kind, CheckKind::Udp { payload: None, reply });
}

#[test]
fn the_other_kinds_reach_the_model() {
    let one =
        check("", "MISC_CHECK {\n misc_path \"/bin/c -a 'b c'\"\n misc_timeout 4\n misc_dynamic\n user ops staff\n}");
    let script = script_of(&["/bin/c", "-a", "b c"], Some(("ops", Some("staff"))));
    assert_eq!(one.kind, CheckKind::Misc { script, timeout: seconds(4), dynamic: true });
    let quoted = check("", "MISC_CHECK {\n misc_path '/bin/c -a \"b c\"'\n}");
    assert!(matches!(&quoted.kind, CheckKind::Misc { script, .. } if script.command == ["/bin/c", "-a", "b c"]));
    let one = check("", "MISC_CHECK {\n misc_path /bin/c -a 'b c'\n}");
    let CheckKind::Misc { script, .. } = one.kind else { panic!() };
    assert_eq!(script.command, ["/bin/c", "-a", "b c"]);
    let one = check("", "DNS_CHECK {\n type aaaa\n name www.example\n}");
    assert_eq!(one.kind, CheckKind::Dns { record: "AAAA".into(), name: "www.example".into() });

    let files = "track_file f {\n file /run/f\n weight 4 reverse\n}\nvrrp_track_file g {\n file \"/run/a b\"\n init_file 7 overwrite\n}\n";
    let text = format!(
        "{files}{}",
        server(
            "",
            "FILE_CHECK {\n track_file f\n}\nFILE_CHECK {\n track_file g\n weight -3\n dynamic\n}\nFILE_CHECK {\n track_file f\n weight 0\n dynamic\n}"
        )
    );
    let config = assert_clean(&text);
    let file = |name: &str, path: &str| TrackFile {
        name: name.into(),
        path: path.into(),
        weight: 1,
        reverse: false,
        init: None,
    };
    let expected = [
        TrackFile { weight: 4, reverse: true, ..file("f", "/run/f") },
        TrackFile { init: Some((7, true)), ..file("g", "/run/a b") },
    ];
    assert_eq!(config.track_files, expected);
    let checks: Vec<&CheckKind> = config.virtual_servers[0].real_servers[0].checks.iter().map(|c| &c.kind).collect();
    let file = |name: &str, weight, reverse, dynamic| CheckKind::File { file: name.into(), weight, reverse, dynamic };
    assert_eq!(checks, [&file("f", 4, true, true), &file("g", -3, false, true), &file("f", 0, false, false)]);

    let text =
        format!("bfd_instance b {{\n neighbor_ip 10.0.0.2\n}}\n{}", server("", "BFD_CHECK {\n name b\n alpha\n}"));
    let checked = clean(&text);
    let check = &checked.real_servers[0].checks[0];
    assert_eq!((&check.kind, check.alpha), (&CheckKind::Bfd { instance: "b".into() }, true));

    let (block, real) = ("bfd_instance b {\n neighbor_ip 10.0.0.2\n", server("", "BFD_CHECK {\n name b\n}"));
    let said = "12:7 W there is no `bfd_instance b` for checks; the check is left out";
    assert_eq!(warned(&format!("{block} vrrp\n}}\n{real}"), said).unwrap().real_servers[0].checks, []);
    let said = "8:7 W `bfd_instance b` stands further down: keepalived would not find it";
    assert_eq!(warned(&format!("{real}{block}}}\n"), said).unwrap().real_servers[0].checks.len(), 1);
}

#[test]
fn check_findings() {
    let url = |lines: &str| format!("  HTTP_GET {{\n   url {{\n    path /\n{lines}\n   }}\n  }}");
    let tcp = |lines: &str| format!("  TCP_CHECK {{\n{lines}\n  }}");
    let one = |kind: &str, lines: &str| format!("  {kind} {{\n{lines}\n  }}");
    for (lines, start, checks) in [
        ("  TCP_CHECK".into(), "7:3 W `TCP_CHECK` has no block", 0),
        (tcp("   nb_get_retry 3"), "8:4 W `nb_get_retry` is the old name of `retry`", 1),
        (tcp("   connect_timeout 0"), "8:20 W `0` is no value", 1),
        (tcp("   connect_port 70000"), "8:17 W `70000` is no value", 1),
        (tcp("   connect_port 0"), "8:17 W `0` is no value", 1),
        (tcp("   connect_ip foo"), "8:15 W `foo` is no value for `connect_ip`", 1),
        (tcp("   bindto <ip>"), "8:11 W `<ip>` is no value for `bindto`: expected an IP address; skipped", 1),
        (tcp("   bindto fe80::1"), "8:11 W fe80::1 is not of the family of 10.0.0.2", 1),
        (tcp("   fwmark 0x5"), "8:11 W `0x5` is no value for `fwmark`", 1),
        (tcp("   connect_ip fe80::1"), "7:3 W fe80::1 is link-local; expected `bind_if`", 0),
        (tcp("   log_all_failures foo"), "8:21 W `foo` is no value", 1),
        (tcp("   weight 3"), "8:4 W `weight` belongs in `vrrp_script`, not in `TCP_CHECK`", 1),
        (tcp("   url {\n   }"), "8:4 W `url` belongs in `HTTP_GET`, not in `TCP_CHECK`", 1),
        (one("HTTP_GET", ""), "7:3 W `HTTP_GET` has no `url`", 0),
        (one("HTTP_GET", "   http_protocol 2\n   url {\n    path /\n   }"), "8:18 W `2` is no value", 1),
        (url("    status_code 999"), "10:17 W `999` is no value", 1),
        (url("    status_code 299-200"), "10:17 W `299-200` is no value for `status_code`", 1),
        (url("    status_code 200,201"), "10:17 W `200,201` is no value", 1),
        (url("    status_code"), "10:5 W `status_code` has no value", 1),
        (url("    digest abc"), "10:12 W `abc` is no value for `digest`", 1),
        (url("    regex_no_match"), "10:5 W there is no `regex` for this", 1),
        (url("    regex x\n    regex_options foo"), "11:19 W `foo` is no option of a regex", 1),
        (
            url("    regex x\n    regex_min_offset 5\n    regex_max_offset 3"),
            "10:5 W no match can begin between 5 and 3",
            1,
        ),
        (url("    regex_stack 1 2"), "10:5 I `regex_stack` has no effect", 1),
        (one("MISC_CHECK", ""), "7:3 W `MISC_CHECK` has no `misc_path`; the check is left out", 0),
        (
            one("MISC_CHECK", "   misc_path /x\n   misc_path \"/x 'y\""),
            "9:14 W this command is empty or has an open",
            1,
        ),
        (one("MISC_CHECK", "   misc_path /x\n   misc_timeout 2.5"), "9:17 W `2.5` is no value", 1),
        (one("MISC_CHECK", "   misc_path /x\n   misc_dynamic on"), "9:17 W `misc_dynamic` takes no value", 1),
        (one("MISC_CHECK", "   misc_path /x\n   connect_port 80"), "9:4 W `connect_port` belongs in `TCP_CHECK`", 1),
        (
            one("MISC_CHECK", "   misc_path /x\n   connect_timeout 2"),
            "9:4 W `connect_timeout` belongs in `virtual_server`",
            1,
        ),
        (one("DNS_CHECK", "   type ANY"), "8:9 W `ANY` is no value for `type`", 1),
        (one("DNS_CHECK", "   name a..b"), "8:9 W `a..b` is no value for `name`: expected a domain name", 1),
        (one("SMTP_CHECK", "   helo_name"), "8:4 W `helo_name` has no value", 1),
        (one("SMTP_CHECK", "   host {\n    foo\n   }"), "9:5 W unknown keyword `foo` in `host`", 1),
        (one("UDP_CHECK", "   payload"), "8:4 W `payload` has no value; expected hexadecimal digits", 1),
        (one("UDP_CHECK", "   payload 1x"), "8:12 W `1x` is no value for `payload`", 1),
        (one("UDP_CHECK", "   require_reply 1Xg"), "8:18 W `1Xg` is no value for `require_reply`", 1),
        (one("UDP_CHECK", "   min_reply_length 5"), "8:4 W there is no `require_reply` for this", 1),
        (one("UDP_CHECK", "   require_reply\n   max_reply_length 70000"), "9:21 W `70000` is no value", 1),
        (
            one("UDP_CHECK", "   require_reply\n   min_reply_length 5\n   max_reply_length 3"),
            "7:3 W min_reply_length 5 is above",
            1,
        ),
        (one("FILE_CHECK", ""), "7:3 W `FILE_CHECK` has no `track_file`; the check is left out", 0),
        (one("BFD_CHECK", ""), "7:3 W `BFD_CHECK` has no `name`; the check is left out", 0),
        (one("BFD_CHECK", "   name b"), "8:9 W there is no `bfd_instance b` for checks; the check is left out", 0),
    ] {
        let server = warned(&server("", &lines), start).expect("kept");
        assert_eq!(server.real_servers[0].checks.len(), checks, "{lines}");
    }
    let (_, found) = found(&server("", "  HTTP_GET {\n   url {\n    status_code 200\n   }\n  }"));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[1].starts_with("8:4 W `url` has no `path`"), "{found:#?}");
}

#[test]
fn a_check_without_a_port_is_found() {
    let text = "virtual_server fwmark 5 {\n lb_algo rr\n lb_kind NAT\n real_server 10.0.0.2 {\n  TCP_CHECK {\n  }\n  PING_CHECK {\n  }\n }\n}\n";
    warned(text, "5:3 W the check has no port: it will fail; expected `connect_port`").expect("kept");
    clean(&text.replace("TCP_CHECK {", "TCP_CHECK {\n connect_port 80"));
    // Where the service has one, it is that.
    let text = server("", "TCP_CHECK {\n}").replace("10.0.0.2 80", "10.0.0.2");
    assert_eq!(clean(&text).real_servers[0].checks[0].connect.to, "10.0.0.2:80".parse().unwrap());
}

#[test]
fn track_file_findings() {
    for (lines, start) in [
        ("track_file f {\n}", "1:12 W `track_file f` has no `file`; left out"),
        ("track_file {\n}", "1:1 E `track_file` has no value"),
        ("track_file f", "1:1 E `track_file` has no block"),
        (
            "track_file f {\n file /a\n weight 255\n}",
            "3:9 W `255` is no value for `weight`: expected a number from -254 to 254",
        ),
        ("track_file f {\n file /a\n weight 1 foo\n}", "3:11 W `foo` is no option of a weight"),
        ("track_file f {\n file /a\n init_file x\n}", "3:12 W `x` is no value for `init_file`"),
        ("track_file f {\n file /a\n file /b\n}", "3:2 W a second `file`; the first one stays"),
        ("vrrp_track_file f {\n file /a\n foo\n}", "3:2 W unknown keyword `foo` in `vrrp_track_file`"),
        (
            "track_file f {\n file /a\n}\ntrack_file f {\n file /b\n}",
            "4:12 W a second `track_file f`; the first one stays",
        ),
    ] {
        assert_found(&format!("{lines}\n"), start);
    }
    let text = format!("{}track_file f {{\n file /a\n}}\n", server("", "FILE_CHECK {\n track_file f\n}"));
    let config = warned(&text, "8:13 W `track_file f` stands further down").unwrap();
    assert_eq!(config.real_servers[0].checks.len(), 1);
    let (_, found) = found(&server("", "FILE_CHECK {\n track_file f\n}"));
    assert!(found[1].starts_with("8:13 W there is no `track_file f`"), "{found:#?}");
}
