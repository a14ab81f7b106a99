use super::*;
use mesh_wire::mesh::Family;

const NAT: &str =
    "virtual_server 10.0.0.1 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n real_server 10.0.0.2 80 {\n }\n";

#[test]
fn a_service_reaches_the_model() {
    let text = server(
        " delay_loop 6\n persistence_timeout 50\n persistence_granularity 255.255.255.0\n persistence_engine sip\n flag-1\n flag-2\n flag-3\n \
         ha_suspend\n alpha\n omega\n quorum 3\n hysteresis 2\n quorum_up \"/bin/up 'a b'\" ops staff\n quorum_down /bin/down\n \
         sorry_server 10.0.0.9 80\n sorry_server_inhibit\n sorry_server_lvs_method NAT\n smtp_alert\n snmp_name x",
        "  weight 3\n  uthreshold 100\n  lthreshold 80\n  lvs_method TUN type gue port 6080 csum\n  inhibit_on_failure\n  \
         notify_up /bin/u\n  notify_down \"/bin/d x\" nobody\n  smtp_alert off",
    );
    let (server, found) = found(&text);
    assert_eq!(found, ["5:2 I `snmp_name` has no effect in this version".replace("5:2", "23:2")]);
    let to = "10.0.0.2:80".parse().unwrap();
    let real = RealServer {
        weight: 3,
        upper_threshold: 100,
        lower_threshold: 80,
        inhibit_on_failure: true,
        notify_up: Some(script_of(&["/bin/u"], None)),
        notify_down: Some(script_of(&["/bin/d", "x"], Some(("nobody", None)))),
        smtp_alert: Some(false),
        ..RealServer::new(to, Forwarding::Tunnel(Tunnel::Gue(6080, TunnelChecksum::Checksum)))
    };
    let sorry = SorryServer { address: "10.0.0.9:80".parse().unwrap(), forwarding: Forwarding::Nat, inhibit: true };
    let expected = VirtualServer {
        scheduler: "rr".into(),
        forwarding: Forwarding::DirectRouting,
        persistence: Some(50),
        granularity: Some(24),
        persistence_engine: Some("sip".into()),
        flag_1: true,
        flag_2: true,
        flag_3: true,
        ha_suspend: true,
        alpha: true,
        omega: true,
        quorum: 3,
        hysteresis: 2,
        quorum_up: Some(script_of(&["/bin/up", "a b"], Some(("ops", Some("staff"))))),
        quorum_down: Some(script_of(&["/bin/down"], None)),
        sorry_server: Some(sorry),
        smtp_alert: Some(true),
        real_servers: vec![real],
        ..VirtualServer::new(Endpoint::Address("10.0.0.1:80".parse().unwrap()), Protocol::Tcp)
    };
    assert_eq!(server, Some(expected));
}

#[test]
fn missing_settings_have_keepalived_s_defaults() {
    let (server, found) = found("virtual_server 10.0.0.1 80 {\n real_server 10.0.0.2 80 {\n }\n}\n");
    let server = server.unwrap();
    let expected = VirtualServer {
        real_servers: vec![RealServer::new("10.0.0.2:80".parse().unwrap(), Forwarding::Nat)],
        ..VirtualServer::new(Endpoint::Address("10.0.0.1:80".parse().unwrap()), Protocol::Udp)
    };
    assert_eq!(server, expected);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].starts_with("1:1 W virtual server 10.0.0.1:80 has no `protocol`: UDP is used"), "{}", found[0]);
}

#[test]
fn service_findings() {
    for (line, start) in [
        (" lvs_sched foo", "5:12 W `foo` is no value for `lvs_sched`"),
        (" lvs_sched RR", "5:12 W `RR` is no value for `lvs_sched`"),
        (" lb_kind nat", "5:10 W `nat` is no value for `lb_kind`: expected NAT, DR or TUN"),
        (" lb_kind DR csum", "5:13 W `csum` is for TUN only; skipped"),
        (" protocol FOO", "5:11 W `FOO` is no value for `protocol`"),
        (" persistence_timeout 0", "5:22 W `0` is no value"),
        (" persistence_timeout 2678401", "5:22 W `2678401` is no value"),
        (" persistence_engine foo", "5:21 W `foo` is no value for `persistence_engine`: expected sip"),
        (" persistence_engine sip", "1:1 W a persistence engine needs persistence; `persistence_timeout 360` is used"),
        (" persistence_granularity 255.0.255.0", "5:26 W `255.0.255.0` is no granularity: expected a netmask"),
        (" persistence_granularity 64", "5:26 W `64` is no granularity"),
        (" persistence_timeout 9\n persistence_granularity 24", "6:26 W read as 24 bits; keepalived"),
        (" persistence_granularity 255.255.255.0", "1:1 W a granularity needs persistence"),
        (" delay_loop 0", "5:13 W `0` is no value"),
        (" delay_loop 5000000", "5:13 W `delay_loop` is longer than 31 days"),
        (" warmup x", "5:9 W `x` is no value"),
        (" connect_timeout 5000", "5:18 W `5000` is no value for `connect_timeout`"),
        (" retry 0", "5:8 W `0` is no value for `retry`: expected a number from 1"),
        (" nat_mask 255.255.255.0", "5:2 W `nat_mask` is obsolete"),
        (" quorum 0", "5:9 W `0` is no value for `quorum`"),
        (" quorum 9", "5:2 W quorum 9 is more than the weight of all real servers; 1 is used"),
        (" hysteresis -1", "5:13 W `-1` is no value for `hysteresis`"),
        (" hysteresis 1", "5:2 W hysteresis 1 is not below the quorum 1; 0 is used"),
        (" ops", "5:2 W `ops` is for UDP only; skipped"),
        (" sh-port", "5:2 W this is for the schedulers sh and mh, not for rr"),
        (" alpha off", "5:8 W `alpha` takes no value: it is on whatever follows"),
        (" smtp_alert maybe", "5:13 W `maybe` is no value for `smtp_alert`: expected on or off"),
        (" ip_family inet6", "5:12 W this is not the family of the virtual server's addresses"),
        (" ip_family ipx", "5:12 W `ipx` is no value"),
        (" weight 0", "5:9 W `0` is no value for `weight`: expected a number from 1"),
        (" virtualhost", "5:2 W `virtualhost` has no value"),
        (" sorry_server_inhibit", "5:2 W there is no `sorry_server`; skipped"),
        (" sorry_server_lvs_method NAT", "5:2 W there is no `sorry_server`; skipped"),
        (" sorry_server foo 80", "5:15 W `sorry_server` needs an IP address and a port"),
        (" sorry_server fe80::1 80", "5:2 W fe80::1 is not of the virtual server's family"),
        (" sorry_server 10.0.0.9 81", "5:2 W port 81: without NAT the port stays the service's; port 80 is used"),
        (" quorum_up /bin/a\n quorum_up /bin/b", "6:2 W a second `quorum_up`; the first one stays"),
        (" foo 1", "5:2 W unknown keyword `foo` in `virtual_server`"),
        (" log_all_failures", "5:2 W `log_all_failures` belongs in `TCP_CHECK`, not in `virtual_server`"),
        (" smtp_alert off x", "5:17 W `x` is a word too many after `smtp_alert`"),
        (" hashed", "5:2 I `hashed`"),
        (" real_server foo 80 {\n }", "5:14 W `real_server` needs an IP address and a port"),
        (" real_server 10.0.0.3 99999 {\n }", "5:14 W `real_server` needs an IP address and a port"),
        (" real_server 10.0.0.3/24 80 {\n }", "5:14 W `/24` means nothing after the address"),
        (" real_server fe80::1 80 {\n }", "5:2 W fe80::1 and 10.0.0.1:80/tcp are of two families"),
        (" real_server 10.0.0.2 80 {\n }", "7:2 W 10.0.0.2:80 is already a real server"),
        (" real_server 10.0.0.3 81 {\n }", "5:2 W port 81: without NAT the port stays"),
        (" real_server 10.0.0.3 80", "5:2 W `real_server` has no block"),
    ] {
        let server = warned(&server(line, ""), start).expect("kept");
        assert_eq!((server.scheduler.as_str(), server.forwarding), ("rr", Forwarding::DirectRouting));
    }
    let none = "1:1 W quorum 1 is more than the weight of all real servers, which is 0";
    assert_eq!(warned(&server("", "  weight 0"), none).expect("kept").quorum, 1);
    // Said where it is set.
    warned(&server(" quorum 2", "  weight 0"), "5:2 W quorum 2 is more than the weight");
}

#[test]
fn values_that_stop_keepalived_are_errors() {
    for (line, start) in [
        (" lb_algo", "5:2 E `lb_algo` has no value"),
        (" quorum_up", "5:2 E `quorum_up` has no value"),
        (" quorum 1 {\n }", "5:11 E `quorum` takes no block"),
        (" delay_loop ${X}", "5:13 E `${X}` is not defined"),
        (" real_server", "5:2 E `real_server` has no value"),
    ] {
        assert_eq!(warned(&server(line, ""), start), None);
    }
}

#[test]
fn services_that_are_left_out() {
    for (text, start) in [
        ("virtual_server foo 80 {\n}\n", "1:16 W `virtual_server` needs an IP address and a port"),
        ("virtual_server 10.0.0.1 99999 {\n}\n", "1:16 W `virtual_server` needs"),
        ("virtual_server fwmark 0 {\n}\n", "1:23 W `0` is no mark: expected 1 to 4294967295; left out"),
        ("virtual_server fwmark x {\n}\n", "1:23 W `x` is no mark"),
        ("virtual_server fwmark {\n}\n", "1:1 E `virtual_server fwmark` has no value"),
        ("virtual_server group {\n}\n", "1:1 E `virtual_server group` has no value; expected a name"),
        ("virtual_server group g {\n}\n", "1:22 W there is no `virtual_server_group g`; left out"),
        ("virtual_server {\n}\n", "1:1 E `virtual_server` has no value"),
        ("virtual_server 10.0.0.1 80\n", "1:1 E `virtual_server` has no block"),
        (
            "virtual_server 10.0.0.1 80 {\n lb_algo rr\n lb_kind NAT\n protocol TCP\n sorry_server 10.0.0.9 80\n}\n",
            "1:1 W virtual server 10.0.0.1:80 has no real server; left out",
        ),
    ] {
        assert_eq!(warned(text, start), None);
    }
}

#[test]
fn tunnels() {
    use TunnelChecksum::{Checksum, None as Without, Remote};
    for (words, tunnel) in [
        ("", Tunnel::Ipip),
        (" type ipip", Tunnel::Ipip),
        (" type ipip nocsum", Tunnel::Ipip),
        (" type gue port 6080", Tunnel::Gue(6080, Without)),
        (" type gue port 6080 remcsum", Tunnel::Gue(6080, Remote)),
        (" csum type gue port 1", Tunnel::Gue(1, Checksum)),
        (" type gre csum", Tunnel::Gre(Checksum)),
        (" type gre", Tunnel::Gre(Without)),
    ] {
        let server = clean(&server(&format!(" lb_kind TUN{words}"), ""));
        assert_eq!(server.forwarding, Forwarding::Tunnel(tunnel), "{words}");
        assert_eq!(server.real_servers[0].forwarding, Forwarding::Tunnel(tunnel), "{words}");
    }
    for (words, start, tunnel) in [
        ("type gue", "7:23 W a tunnel of type gue needs `port NUMBER`", Tunnel::Ipip),
        ("type gre remcsum", "7:3 W a tunnel of type gre has no remcsum", Tunnel::Gre(Checksum)),
        ("csum", "7:18 W a tunnel of type ipip has no checksum", Tunnel::Ipip),
        ("type gre port 5", "7:3 W a tunnel of type gre has no port", Tunnel::Gre(Without)),
        ("type foo", "7:23 W no such type of tunnel", Tunnel::Ipip),
        ("foo", "7:18 W `foo` is no option of a tunnel", Tunnel::Ipip),
    ] {
        let server = warned(&server("", &format!("  lvs_method TUN {words}")), start).expect("kept");
        assert_eq!(server.real_servers[0].forwarding, Forwarding::Tunnel(tunnel), "{words}");
    }
}

#[test]
fn flags_of_hashing_schedulers_have_names() {
    for (lines, flags) in [
        (" lb_algo sh\n sh-port", (false, true)),
        (" sh-fallback\n lb_algo sh", (true, false)),
        (" lb_algo mh\n mh-port\n mh-fallback", (true, true)),
    ] {
        let server = clean(&server(lines, ""));
        assert_eq!((server.flag_1, server.flag_2, server.flag_3), (flags.0, flags.1, false), "{lines}");
    }
    let server = clean(&server("", "").replace("TCP", "UDP").replace(" lb_algo rr", " lb_algo rr\n ops"));
    assert!(server.one_packet);
}

#[test]
fn real_servers_take_over_what_the_service_says() {
    let server = clean(&server(
        " weight 7\n inhibit_on_failure\n real_server 10.0.0.3 {\n  weight 0\n  inhibit_on_failure off\n }",
        "",
    ));
    let [first, second] = &server.real_servers[..] else { panic!("{server:?}") };
    assert_eq!((first.address.to_string(), first.weight, first.inhibit_on_failure), ("10.0.0.3:80".into(), 0, false));
    assert_eq!((second.weight, second.inhibit_on_failure), (7, true));
    let large = clean(&super::server("", "  weight 2147483647"));
    assert_eq!(large.real_servers[0].weight, 2_147_483_647);
    for (line, start) in [
        ("  weight -1", "7:10 W `-1` is no value for `weight`"),
        ("  weight 2147483648", "7:10 W `2147483648` is no value"),
        ("  uthreshold -1", "7:14 W `-1` is no value"),
        ("  retry 0", "7:9 W `0` is no value"),
        ("  notify_up /bin/a\n  notify_up /bin/b", "8:3 W a second `notify_up`"),
        ("  lb_kind DR", "7:3 W `lb_kind` belongs in `virtual_server`, not in `real_server`"),
        ("  inhibit_on_failure x", "7:22 W `x` is no value for `inhibit_on_failure`"),
        ("  quorum 3", "7:3 W `quorum` belongs in `virtual_server`"),
        ("  FOO_CHECK {\n  }", "7:3 W unknown keyword `FOO_CHECK`"),
    ] {
        warned(&super::server("", line), start).expect("kept");
    }
}

#[test]
fn a_service_of_all_ports_is_persistent() {
    let text = NAT.replace("10.0.0.1 80", "10.0.0.1").replace("10.0.0.2 80", "10.0.0.2") + "}\n";
    let server = warned(&text, "1:1 W a service of all ports needs persistence").expect("kept");
    assert_eq!((server.name.as_str(), server.persistence), ("10.0.0.1:0/tcp", Some(360)));
    assert_eq!(server.real_servers[0].address.port(), 0);
    let server = clean(&text.replace(" lb_algo", " persistence_timeout\n lb_algo"));
    assert_eq!(server.persistence, Some(360));
}

#[test]
fn marks() {
    let mark = |more: &str| {
        format!("virtual_server fwmark 5 {{\n lb_algo rr\n lb_kind TUN\n{more}\n real_server 10.0.0.2 {{\n }}\n}}\n")
    };
    let server = clean(&mark(""));
    assert_eq!((server.name.as_str(), server.protocol, server.family), ("fwmark 5", Protocol::Tcp, Family::Ipv4));
    assert_eq!(server.endpoints, [Endpoint::Fwmark(5, Family::Ipv4)]);
    let server = clean(&mark(" ip_family inet6"));
    assert_eq!((server.name.as_str(), server.family), ("fwmark 5 inet6", Family::Ipv6));
    assert_eq!(server.endpoints, [Endpoint::Fwmark(5, Family::Ipv6)]);
    assert_eq!(server.real_servers.len(), 1);
    // The first real server that is no tunnel's decides.
    let text = mark(" real_server fe80::2 {\n  lvs_method NAT\n }");
    assert_eq!(clean(&text).family, Family::Ipv6);
    let text = mark("").replace("10.0.0.2", "fe80::2");
    assert_eq!(clean(&text).family, Family::Ipv6);
    warned(&mark(" protocol UDP"), "4:2 I marks are of every protocol").expect("kept");
    let server = warned(&mark("").replace("10.0.0.2 {", "10.0.0.2 80 {"), "5:2 W port 80: without NAT");
    assert_eq!(server.unwrap().real_servers[0].address.port(), 0);
    let text = mark(" ip_family inet6").replace("TUN", "NAT");
    let (server, found) = found(&text);
    assert_eq!(server, None);
    assert!(found[0].starts_with("1:1 W virtual server fwmark 5 has no real server"), "{found:#?}");
    assert!(found[1].starts_with("5:2 W 10.0.0.2 and fwmark 5 inet6 are of two families"), "{found:#?}");
}

#[test]
fn two_pools_for_one_service_are_an_error() {
    let one = format!("{NAT}}}\n");
    let (config, found) = read(&format!("{one}{one}"));
    assert!(config.is_none());
    assert_eq!(
        found,
        ["8:1 E 10.0.0.1:80/tcp is already served by virtual server 10.0.0.1:80/tcp; expected one pool for it"]
    );
    // By another protocol it is another service.
    let other = one.replace("TCP", "UDP");
    let config = assert_clean(&format!("{one}{other}"));
    assert_eq!(config.virtual_servers[1].name, "10.0.0.1:80/udp");
    let group = "virtual_server_group g {\n 10.0.0.0-2 80\n}\n";
    let used = one.replace("10.0.0.1 80", "group g");
    assert_found(&format!("{group}{one}{used}"), "11:1 E 10.0.0.1:80/tcp is already served by virtual server 10.0.0.1");
    let mark = one.replace("10.0.0.1 80", "fwmark 3").replace(" protocol TCP\n", "");
    assert_found(&format!("{mark}{mark}"), "7:1 E fwmark 3 is already served");
}
