mod kept;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use mesh_wire::mesh::Family;

use super::*;
use crate::tests::{Texts, read_with};

fn only(text: &str) -> VirtualRouter {
    let config = assert_clean(text);
    assert_eq!(config.routers.len(), 1);
    config.routers.into_iter().next().unwrap()
}

/// The router and the one finding.
#[track_caller]
fn warned(more: &str, start: &str) -> VirtualRouter {
    assert_found(&with(more), start).expect("usable").routers.remove(0)
}

#[test]
fn defaults() {
    let router = only(&with(""));
    assert_eq!((router.name.as_str(), router.interface.as_str()), ("A", "eth0"));
    assert_eq!((router.key.family, router.key.vrid, router.key.segment), (Family::Ipv4, 51, 0));
    assert_eq!((router.priority, router.version, router.initial_active), (100, Version::V2, false));
    assert_eq!(router.advert_interval, Duration::from_secs(1));
    assert_eq!((router.preempt, router.preempt_delay), (true, Duration::ZERO));
    assert_eq!(router.transport, Transport::Multicast { source: None });
    assert_eq!((router.auth_pass, router.garp), (None, GratuitousArp::default()));
    assert_eq!(router.addresses[0].net, "10.0.0.1/32".parse().unwrap());
    assert!(router.excluded_addresses.is_empty() && router.track == Tracks::default());
}

#[test]
fn state_and_priority_follow_from_each_other() {
    let router = only(&with(" state MASTER"));
    assert_eq!((router.priority, router.initial_active), (255, true));
    let router = only(&with(" priority 255"));
    assert_eq!((router.priority, router.initial_active), (255, true));
    let router = only(&with(" priority 255\n state BACKUP"));
    assert_eq!((router.priority, router.initial_active), (255, false));
    let router = only(&with(" state MASTER\n priority 150"));
    assert_eq!((router.priority, router.initial_active), (150, true));
}

#[test]
fn the_last_of_a_repeated_keyword_counts() {
    assert_eq!(only(&with(" priority 10\n priority +20 30\n interface eth1")).priority, 20);
    assert_eq!(only(&with(" priority 10\n interface eth1")).interface, "eth1");
    assert!(only(&with(" nopreempt\n preempt")).preempt);
}

#[test]
fn values_that_are_replaced() {
    assert!(!warned(" state master", "4:8 W `master` is no value for `state`").initial_active);
    for priority in ["0", "300", "abc", "0x10", "-1"] {
        let start =
            format!("4:11 W `{priority}` is no value for `priority`: expected a number from 1 to 255; 100 is used");
        assert_eq!(warned(&format!(" priority {priority}"), &start).priority, 100);
    }
    assert_eq!(warned(" version 4", "4:10 W `4` is no value for `version`").version, Version::V2);
    warned(" preempt_delay 2000", "4:16 W `2000` is no value for `preempt_delay`");
    warned(" garp_master_delay x", "4:20 W `x` is no value for `garp_master_delay`");
    warned(" strict_mode foo", "4:14 W `foo` is no value for `strict_mode`");
    warned(" mcast_src_ip foo", "4:15 W `foo` is no value for `mcast_src_ip`");
}

#[test]
fn advert_intervals_are_rounded() {
    for (lines, start, millis) in [
        (" advert_int 1.5", "4:13 W `advert_int` of version 2", 2000),
        (" advert_int 0.4", "4:13 W `advert_int` of version 2", 1000),
        (" advert_int 0", "4:13 W `0` is no value", 1000),
        (" advert_int 300", "4:13 W `300` is no value", 1000),
        (" advert_int 0.123\n version 3", "4:13 W `advert_int` of version 3", 120),
        (" advert_int 0.125\n version 3", "4:13 W `advert_int` of version 3", 130),
        (" advert_int 50\n version 3", "4:13 W `advert_int` of version 3", 40_950),
        (" advert_int 0.001\n version 3", "4:13 W `0.001` is no value", 1000),
    ] {
        assert_eq!(warned(lines, start).advert_interval, Duration::from_millis(millis), "{lines}");
    }
    assert_eq!(only(&with(" advert_int 255")).advert_interval, Duration::from_secs(255));
    assert_eq!(only(&with(" version 3\n advert_int 0.01")).advert_interval, Duration::from_millis(10));
}

#[test]
fn preemption() {
    assert!(!only(&with(" nopreempt")).preempt);
    assert_eq!(only(&with(" preempt_delay 0.5")).preempt_delay, Duration::from_millis(500));
    assert!(
        warned(" state MASTER\n nopreempt\n priority 9", "5:2 W `nopreempt` does not work with state MASTER").preempt
    );
    assert!(warned(" nopreempt\n priority 255", "4:2 W `nopreempt` does not work with an owner").preempt);
    let delayed = |more, start| assert_eq!(warned(more, start).preempt_delay, Duration::ZERO);
    delayed(" state MASTER\n priority 9\n preempt_delay 5", "6:2 W `preempt_delay` does not work with state MASTER");
    delayed(" nopreempt\n preempt_delay 5", "5:2 W `preempt_delay` does not work with `nopreempt`");
}

#[test]
fn authentication() {
    let block = |lines: &str| with(&format!(" authentication {{\n{lines}\n }}"));
    assert_eq!(only(&block("  auth_type PASS\n  auth_pass 1111")).auth_pass, Some(Password::new(b"1111")));
    let pass = |text: &str, start: &str| assert_found(text, start).expect("usable").routers[0].auth_pass;
    let long = block("  auth_type PASS\n  auth_pass 123456789");
    assert_eq!(pass(&long, "6:13 W the password is longer than 8 bytes"), Some(Password::new(b"12345678")));
    let header = only(&block("  auth_type AH\n  auth_pass 1"));
    assert_eq!((header.auth_pass, header.auth_header), (Some(Password::new(b"1")), true));
    assert!(!format!("{header:?}").contains("49"), "{header:?}");
}

/// A password may stand anywhere in its block by mistake: logs, events and pages have what is found.
#[test]
fn no_finding_shows_a_password() {
    let with_block = |lines: &str| with(&format!(" authentication {{\n{lines}\n }}"));
    for text in [
        with_block("  auth_type S3cret\n  auth_pass x"),
        with_block("  auth_type PASS\n  auth_pass\n  S3cret"),
        with_block("  auth_pas S3cret"),
        with_block("  auth_pass S3cret S3cret"),
        format!("$PW=S3cret\n{}", with_block("  auth_type PASS\n  auth_pass ${PW}${PW2}")),
        with(" auth_hmac {\n  key S3cret\n }"),
        with(" auth_hmac {\n  key\n  S3cret\n }"),
        with(" auth_hmac {\n  key 1\n  hex:S3cret\n }"),
    ] {
        let (_, found) = read(&text);
        assert!(!found.is_empty(), "{text}");
        assert!(found.iter().all(|finding| !finding.contains("S3cret")), "{found:#?}");
    }
}

#[test]
fn authentication_findings() {
    let with_block = |before: &str, lines: &str| with(&format!("{before} authentication {{\n{lines}\n }}"));
    for (text, starts) in [
        (with_block("", "  auth_type PASS"), vec!["4:2 W `auth_type PASS` without `auth_pass`"]),
        (with_block("", "  auth_pass x"), vec!["4:2 I a password without `auth_type PASS`"]),
        (with_block("", "  auth_type FOO"), vec!["5:13 W no known authentication"]),
        (with_block("", "  auth_pass"), vec!["5:3 E `auth_pass` has no value"]),
        (
            with_block("", "  auth_tipe PASS"),
            vec!["5:3 W unknown keyword in `authentication`; skipped (did you mean `auth_type`?)"],
        ),
        (
            with_block(" version 3\n", "  auth_type PASS\n auth_pass x"),
            vec!["5:2 W VRRP version 3 has no authentication"],
        ),
        (
            with_block(" strict_mode\n", "  auth_type PASS\n auth_pass x"),
            vec!["5:2 W strict mode has no authentication"],
        ),
        (with(" authentication PASS x"), vec!["4:2 E `authentication` has no block"]),
    ] {
        let (_, found) = read(&text);
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        for (found, start) in found.iter().zip(starts) {
            assert!(found.starts_with(start), "{found}");
        }
    }
}

#[test]
fn strict_mode_wants_state_and_priority_to_agree() {
    let (config, found) = read(&with(" strict_mode on\n state MASTER\n priority 100\n preempt_delay 3"));
    assert!(found[0].starts_with("1:15 W `A`: strict mode and priority 100 need state BACKUP"), "{found:#?}");
    assert!(found[1].starts_with("7:2 W `preempt_delay` does not work with strict mode"), "{found:#?}");
    assert_eq!(found.len(), 2);
    let router = &config.unwrap().routers[0];
    assert!(router.strict && !router.initial_active);
}

#[test]
fn unicast() {
    let ip = |s: &str| s.parse::<IpAddr>().unwrap();
    let router = only(&with(" unicast_src_ip 10.0.0.7\n unicast_peer {\n  10.0.0.8\n  10.0.0.9\n }"));
    let peers = vec![ip("10.0.0.8"), ip("10.0.0.9")];
    assert_eq!(router.transport, Transport::Unicast { source: Some(ip("10.0.0.7")), peers });
    assert_eq!(only(&with(" mcast_src_ip 10.0.0.7")).transport, Transport::Multicast { source: Some(ip("10.0.0.7")) });

    let router = warned(" unicast_src_ip 10.0.0.7", "4:2 W unicast without a peer");
    assert_eq!(router.transport, Transport::Multicast { source: Some(ip("10.0.0.7")) });
    for (line, start) in [("x", "6:3 W `x` is no IP address"), ("10.0.0.8", "6:3 I 10.0.0.8 is already a peer")] {
        let router = warned(&format!(" unicast_peer {{\n  10.0.0.8\n  {line}\n }}"), start);
        assert_eq!(router.transport, Transport::Unicast { source: None, peers: vec![ip("10.0.0.8")] });
    }
}

#[test]
fn addresses_with_options() {
    let text = with(
        " virtual_ipaddress {\n  10.0.0.2/24 dev eth1 label eth1:x scope link brd +\n  10.0.0.3/24 broadcast 10.0.0.255\n }\n \
         virtual_ipaddress_excluded {\n  10.0.1.1 scope 254\n }",
    );
    let router = only(&text);
    let address = &router.addresses[0];
    assert_eq!(address.net, "10.0.0.2/24".parse().unwrap());
    assert_eq!((address.interface.as_deref(), address.label.as_deref()), (Some("eth1"), Some("eth1:x")));
    assert_eq!((address.scope, address.broadcast), (Scope::Link, Some(Ipv4Addr::new(10, 0, 0, 255))));
    assert_eq!(router.addresses[1].broadcast, Some(Ipv4Addr::new(10, 0, 0, 255)));
    assert_eq!(router.addresses.len(), 3);
    assert_eq!(router.excluded_addresses[0].scope, Scope::Host);
}

#[test]
fn address_findings() {
    for (line, start, served) in [
        ("hello", "5:3 W `hello` is no IP address; left out", 1),
        ("10.0.0.2:80", "5:3 W `10.0.0.2:80` is no IP address", 1),
        ("10.0.0.2/33", "5:3 W `33` is no prefix length: expected 0 to 32; 32 is used", 2),
        ("10.0.0.2/", "5:3 W `` is no prefix length", 2),
        ("10.0.0.2 dev", "5:12 W `dev` has no value; 10.0.0.2/32 is left out", 1),
        ("10.0.0.2 label 0123456789abcdef", "5:18 W label `0123456789abcdef` is longer", 1),
        ("10.0.0.2 scope foo", "5:18 W `foo` is no scope", 2),
        ("10.0.0.2 brd foo", "5:16 W `foo` is no broadcast address", 1),
        ("10.0.0.2 foo", "5:12 W `foo` is no option of an address", 2),
        ("10.0.0.2 preferred_lft x", "5:26 W `x` is no lifetime: expected seconds or forever", 2),
        ("10.0.0.2 peer fd00::1", "5:17 W `fd00::1` is no peer", 1),
        ("224.0.0.5", "5:3 W 224.0.0.5 cannot be a virtual address", 1),
        ("0.0.0.0", "5:3 W 0.0.0.0 cannot be a virtual address", 1),
        ("::", "5:3 W :: cannot be a virtual address", 1),
        ("::ffff:10.0.0.9", "5:3 W ::ffff:10.0.0.9 cannot be a virtual address", 1),
        ("10.0.0.2 {\n }", "5:12 E `10.0.0.2` takes no block", 0),
    ] {
        let config = assert_found(&with(&format!(" virtual_ipaddress {{\n  {line}\n }}")), start);
        assert_eq!(config.map_or(0, |c| c.routers[0].addresses.len()), served, "{line}");
    }
}

#[test]
fn more_addresses_than_an_advert_holds_become_excluded() {
    let lines: String = (0..256).map(|i| format!("  10.1.{}.{}\n", i / 200, i % 200 + 1)).collect();
    let router = warned(&format!(" virtual_ipaddress {{\n{lines} }}"), "260:3 W 257 addresses are more than the 255");
    assert_eq!((router.addresses.len(), router.excluded_addresses.len()), (255, 2));
}

/// The numbers are keepalived 2.2.7's for these MTUs.
#[test]
fn an_advert_has_to_fit_in_the_mtu_of_its_interface() {
    for (family, version, mtu, most) in [
        (Family::Ipv4, Version::V2, 300, 62),
        (Family::Ipv4, Version::V3, 300, 64),
        (Family::Ipv4, Version::V2, 400, 87),
        (Family::Ipv4, Version::V3, 500, 114),
        (Family::Ipv4, Version::V2, 1500, 255),
        (Family::Ipv6, Version::V3, 1280, 76),
        (Family::Ipv6, Version::V3, 1500, 89),
        (Family::Ipv4, Version::V2, 0, 0),
    ] {
        assert_eq!(most_addresses(family, version, false, mtu), most, "{family} {version:?} {mtu}");
    }
    let lines: String = (1..=99).map(|i| format!("  10.1.0.{i}\n")).collect();
    let text = with(&format!(" virtual_ipaddress {{\n{lines} }}"));
    let files = Texts(BTreeMap::from([("/sys/class/net/eth0/mtu", "400\n")]));
    let (config, report) = read_with(&text, &files);
    assert_eq!(report.findings.len(), 1);
    assert!(report.findings[0].to_string().contains("100 addresses are more than the 87 of an advert"));
    let router = &config.unwrap().routers[0];
    assert_eq!((router.addresses.len(), router.excluded_addresses.len()), (87, 13));
}

#[test]
fn an_instance_without_addresses_is_an_election() {
    let text = "vrrp_instance A {\n interface eth0\n virtual_router_id 51\n}\n";
    let router = assert_found(text, "1:15 W `A` has no virtual address: an election").unwrap().routers.remove(0);
    assert_eq!((router.addresses.len(), router.excluded_addresses.len()), (0, 0));
    let excluded =
        "vrrp_instance A {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress_excluded {\n  10.0.0.1\n }\n}\n";
    let router =
        assert_found(excluded, "1:15 W `A` has no virtual address: adverts list none").unwrap().routers.remove(0);
    assert_eq!((router.addresses.len(), router.excluded_addresses.len()), (0, 1));
}

#[test]
fn what_an_instance_cannot_do_without() {
    for (text, start) in [
        (with("").replace(" interface eth0", ""), "1:15 E `A` has no `interface`"),
        (with("").replace(" virtual_router_id 51", ""), "1:15 E `A` has no `virtual_router_id`"),
        (
            with("").replace(" 51", " 300"),
            "3:20 E `300` is no value for `virtual_router_id`: expected a number from 1 to 255",
        ),
        (with("").replace(" 51", " 0"), "3:20 E `0` is no value for `virtual_router_id`"),
        (with("").replace(" 51", " x"), "3:20 E `x` is no value for `virtual_router_id`"),
        (with("").replace(" 51", ""), "3:2 E `virtual_router_id` has no value"),
        (with(" state"), "4:2 E `state` has no value; expected MASTER or BACKUP"),
        (with(" track_script"), "4:2 E `track_script` has no block"),
        (with(" priority 9 {\n }"), "4:13 E `priority` takes no block"),
    ] {
        let (config, found) = read(&text);
        assert!(config.is_none());
        assert!(found.iter().any(|f| f.starts_with(start)), "{found:#?} in\n{text}");
    }
}

#[test]
fn keywords_that_wait() {
    for (line, start) in [
        (" native_ipv6", "4:2 I `native_ipv6` is obsolete: the addresses tell the family"),
        (" debug 3", "4:2 I `debug` has no effect"),
        (" priorty 100", "4:2 W unknown keyword `priorty`; skipped (did you mean `priority`?)"),
        (" router_id x", "4:2 W `router_id` belongs in `global_defs`, not in `vrrp_instance`"),
        (" foo {\n  priority 3\n  bar {\n  }\n }", "4:2 W unknown keyword `foo`"),
    ] {
        assert_eq!(warned(line, start).priority, 100);
    }
}

#[test]
fn instances_must_not_share() {
    let second = |from: &str, to: &str| format!("{}{}", with(""), with("").replace(" A ", " B ").replace(from, to));
    assert_found(&second("10.0.0.1", "10.0.0.2"), "11:20 E VRID 51 on `eth0` is already used by `A`");
    assert_found(&second(" 51", " 52"), "14:3 E 10.0.0.1 is already an address of `A`");
    let excluded = with(" virtual_ipaddress_excluded {\n  10.0.0.1\n }").replace(" A ", " B ").replace(" 51", " 52");
    let excluded = format!("{}{}", with(""), excluded.replace("  10.0.0.1\n }\n}", "  10.0.0.2\n }\n}"));
    assert_found(&excluded, "13:3 E 10.0.0.1 is already an address of `A`");
    let named = format!("{}{}", with(""), with(" priority 7"));
    let config = assert_found(&named, "9:15 W a second `vrrp_instance A`; the first one stays").unwrap();
    assert_eq!((config.routers.len(), config.routers[0].priority), (1, 100));
}

/// Two IPv6 addresses, and these lines before them.
fn with_ipv6(lines: &str) -> String {
    with(lines).replace("  10.0.0.1\n", "  fe80::80/64\n  2001:db8::80/64\n")
}

#[test]
fn ipv6_has_version_3_whatever_vrrp_version_says() {
    let router = only(&with_ipv6(" advert_int 0.05"));
    assert_eq!((router.key.family, router.version), (Family::Ipv6, Version::V3));
    assert_eq!(router.advert_interval, Duration::from_millis(50));
    let nets: Vec<String> = router.addresses.iter().map(|a| a.net.to_string()).collect();
    assert_eq!(nets, ["fe80::80/64", "2001:db8::80/64"]);
    let global = format!("global_defs {{\n vrrp_version 2\n}}\n{}", with_ipv6(""));
    assert_eq!(only(&global).version, Version::V3);
    let config = assert_found(&with_ipv6(" version 2"), "4:2 W VRRP version 2 has no IPv6; version 3 is used");
    assert_eq!(config.unwrap().routers[0].version, Version::V3);
    assert_found(&with_ipv6(" authentication {\n  auth_type PASS\n  auth_pass x\n }"), "4:2 W VRRP version 3 has no");
}

#[test]
fn ipv6_peers_and_sources() {
    let ip = |s: &str| s.parse::<IpAddr>().unwrap();
    let router = only(&with_ipv6(" unicast_src_ip fe80::7\n unicast_peer {\n  fe80::8\n  2001:db8::9\n }"));
    let peers = vec![ip("fe80::8"), ip("2001:db8::9")];
    assert_eq!(router.transport, Transport::Unicast { source: Some(ip("fe80::7")), peers });
    let router = only(&with_ipv6(" mcast_src_ip fe80::7"));
    assert_eq!(router.transport, Transport::Multicast { source: Some(ip("fe80::7")) });
}

#[test]
fn families_mix_in_excluded_addresses_alone() {
    let four = " virtual_ipaddress_excluded {\n  10.0.0.9/24\n  2001:db8::9\n }";
    let router = only(&with_ipv6(four));
    assert_eq!((router.key.family, router.excluded_addresses.len()), (Family::Ipv6, 2));
    let router = only(&with(" virtual_ipaddress_excluded {\n  2001:db8::9/64\n }"));
    assert_eq!((router.key.family, router.version), (Family::Ipv4, Version::V2));
    assert_eq!(router.excluded_addresses[0].net, "2001:db8::9/64".parse().unwrap());

    let what = "is IPv4, and `A` is IPv6; expected one in `virtual_ipaddress_excluded`, or an instance of its own";
    let mixed = with_ipv6("").replace("  2001:db8::80/64\n", "  10.0.0.1/24\n");
    let config = assert_found(&mixed, &format!("7:3 W 10.0.0.1 {what}; left out"));
    assert_eq!(config.unwrap().routers[0].addresses.len(), 1);
}

#[test]
fn a_link_local_address_goes_first_and_is_missed() {
    let last = with_ipv6("").replace("  fe80::80/64\n  2001:db8::80/64\n", "  2001:db8::1\n  2001:db8::2\n  fe80::1\n");
    let nets: Vec<String> = only(&last).addresses.iter().map(|a| a.net.addr().to_string()).collect();
    assert_eq!(nets, ["fe80::1", "2001:db8::1", "2001:db8::2"]);
    let none = |lines| with_ipv6(lines).replace("  fe80::80/64\n", "");
    assert_found(&none(""), "6:3 I adverts begin with no link-local address");
    let (config, found) = read(&none(" strict_mode"));
    assert!(found.iter().any(|f| f.starts_with("6:3 W strict mode: adverts begin with no link-local")), "{found:#?}");
    assert_eq!(config.unwrap().routers[0].addresses.len(), 1);
}

#[test]
fn ipv6_addresses_have_no_label_scope_or_broadcast() {
    for (line, start, served) in [
        ("2001:db8::9 label eth0:1", "5:21 I an IPv6 address has no `label`", 3),
        ("2001:db8::9 scope link", "5:21 I an IPv6 address has no `scope`", 3),
        ("2001:db8::9 brd 10.0.0.255", "5:19 W `10.0.0.255` is no broadcast address", 2),
        ("2001:db8::9/129", "5:3 W `129` is no prefix length: expected 0 to 128; 128 is used", 3),
        ("ff02::5", "5:3 W ff02::5 cannot be a virtual address", 2),
        ("::1", "5:3 W ::1 cannot be a virtual address", 2),
    ] {
        let config = assert_found(&with_ipv6(&format!(" virtual_ipaddress {{\n  {line}\n }}")), start).unwrap();
        let router = &config.routers[0];
        assert_eq!(router.addresses.len(), served, "{line}");
        assert!(router.addresses.iter().all(|a| (a.label.as_ref(), a.scope) == (None, Scope::Global)), "{line}");
    }
}

#[test]
fn more_ipv6_addresses_than_a_frame_holds_become_excluded() {
    let lines: String = (1..=92).map(|i| format!("  2001:db8::{i:x}\n")).collect();
    let text = with_ipv6(&format!(" virtual_ipaddress {{\n{lines} }}"));
    let config = assert_found(&text, "93:3 W 94 addresses are more than the 89 of an advert").unwrap();
    let router = &config.routers[0];
    assert_eq!((router.addresses.len(), router.excluded_addresses.len()), (89, 5));
    assert_eq!(router.addresses[0].net, "fe80::80/64".parse().unwrap(), "the link-local one stays in");
}

#[test]
fn one_vrid_in_both_families_is_two_routers() {
    let both = format!("{}{}", with(""), with_ipv6("").replace(" A ", " B "));
    let keys: Vec<String> = assert_clean(&both).routers.iter().map(|r| r.key.to_string()).collect();
    assert_eq!(keys, ["4.51", "6.51"]);
}
