use super::*;
use crate::model::BfdInstance;

fn ip(text: &str) -> std::net::IpAddr {
    text.parse().unwrap()
}

fn with(lines: &str) -> String {
    format!("bfd_instance b {{\n neighbor_ip 10.0.0.2\n{lines}\n}}\n")
}

/// The only session, and what was found, as `LINE:COLUMN SEVERITY MESSAGE`.
#[track_caller]
fn read_one(text: &str) -> (BfdInstance, Vec<String>) {
    let (config, found) = read(text);
    let mut sessions = config.unwrap_or_else(|| panic!("{found:#?}")).bfd_instances;
    assert_eq!(sessions.len(), 1, "{found:#?}");
    (sessions.remove(0), found)
}

#[test]
fn defaults_are_those_of_keepalived() {
    let (session, found) = read_one(&with(""));
    assert_eq!((&session, &found[..]), (&BfdInstance::new("b", ip("10.0.0.2")), &[][..]));
    let (six, found) = read_one("bfd_instance b {\n neighbour_ip fd00::2\n}\n");
    assert_eq!((six, &found[..]), (BfdInstance { ttl: 64, ..BfdInstance::new("b", ip("fd00::2")) }, &[][..]));
}

#[test]
fn every_keyword_has_its_place() {
    let lines = " source_ip 10.0.0.1\n interface eth0\n min_rx 3.312\n min_tx 20\n idle_tx 2000\n multiplier 3\n passive\n \
                 ttl 250\n max_hops 4\n multihop\n weight -20 reverse\n vrrp";
    let expected = BfdInstance {
        source: Some(ip("10.0.0.1")),
        interface: Some("eth0".into()),
        min_rx: Duration::from_micros(3312),
        min_tx: Duration::from_millis(20),
        idle_tx: Duration::from_secs(2),
        multiplier: 3,
        passive: true,
        ttl: 250,
        max_hops: 4,
        multihop: true,
        weight: -20,
        reverse: true,
        for_services: false,
        ..BfdInstance::new("b", ip("10.0.0.2"))
    };
    assert_eq!(read_one(&with(lines)), (expected, vec![]));
    let (both, _) = read_one(&with(" vrrp\n checker"));
    assert!(both.for_routers && both.for_services);
    let (checker, _) = read_one(&with(" checker"));
    assert!(!checker.for_routers && checker.for_services);
    let (link_local, found) = read_one("bfd_instance b {\n neighbor_ip fe80::2\n interface eth1\n hoplimit 255\n}\n");
    assert_eq!((link_local.interface.as_deref(), link_local.ttl, found), (Some("eth1"), 255, vec![]));
    let (cut, _) = read_one("bfd_instance b {\n neighbor_ip 10.0.0.2/24\n neighbor_ip 10.0.0.3\n}\n");
    assert_eq!(cut.neighbour, ip("10.0.0.3"), "the last one counts");
}

/// Each is refused where keepalived refuses it, and its default stays.
#[test]
fn values_out_of_range_are_skipped_with_their_place() {
    for (line, column, expected) in [
        ("min_rx 0.9", 9, "milliseconds from 1 to 4294967"),
        ("min_rx 4294968", 9, "milliseconds from 1 to 4294967"),
        ("min_rx x", 9, "milliseconds from 1 to 4294967"),
        ("min_tx -5", 9, "milliseconds from 1 to 4294967"),
        ("idle_tx 999", 10, "milliseconds from 1000 to 4294967"),
        ("idle_tx 5s", 10, "milliseconds from 1000 to 4294967"),
        ("multiplier 0", 13, "a number from 1 to 255"),
        ("multiplier 256", 13, "a number from 1 to 255"),
        ("multiplier 1.5", 13, "a number from 1 to 255"),
        ("ttl 0", 6, "a number from 1 to 255"),
        ("hoplimit 256", 11, "a number from 1 to 255"),
        ("max_hops 256", 11, "a number from -1 to 255"),
        ("max_hops -2", 11, "a number from -1 to 255"),
        ("weight 254", 9, "a number from -253 to 253"),
        ("weight -254", 9, "a number from -253 to 253"),
        ("source_ip x", 12, "an IP address"),
    ] {
        let (session, found) = read_one(&with(&format!(" {line}")));
        assert_eq!(session, BfdInstance::new("b", ip("10.0.0.2")), "{line}");
        let (keyword, value) = line.split_once(' ').unwrap();
        let said = format!("3:{column} W `{value}` is no value for `{keyword}`: expected {expected}; skipped");
        assert_eq!(found, [said], "{line}");
    }
    for (line, said) in [
        ("weight 1 foo", "3:11 W `foo` is no option of a weight: expected reverse or noreverse; skipped"),
        ("min_tx 3.3125", "3:9 W `3.3125` has more than three decimals; the others are cut"),
        ("passive yes", "3:10 W `passive` takes no value: it is on whatever follows; `yes` skipped"),
        ("ttl 3\n max_hops 4", "1:14 W `max_hops` is more than 3, the TTL or hop limit, which is used"),
        ("multiplyer 3", "3:2 W unknown keyword `multiplyer`; skipped (did you mean `multiplier`?)"),
        ("interval 3", "3:2 W `interval` belongs in `vrrp_script`, not in `bfd_instance`; skipped"),
    ] {
        let found = read_one(&with(&format!(" {line}"))).1;
        assert_eq!(found, [said], "{line}");
    }
    let (any, found) = read_one(&with(" max_hops -1"));
    assert_eq!((any.max_hops, found), (255, vec![]));
    let (config, found) = read(&with(" min_rx"));
    assert!(config.is_none(), "keepalived stops, too");
    assert_eq!(found, ["3:2 E `min_rx` has no value; expected milliseconds from 1 to 4294967"]);
}

#[test]
fn what_can_be_no_session_is_left_out() {
    let long = "b".repeat(32);
    for (text, said) in [
        ("bfd_instance b {\n}\n".to_string(), "1:14 W `bfd_instance b`: there is no `neighbor_ip`; left out"),
        (with("source_ip fd00::1"), "1:14 W `bfd_instance b`: fd00::1 and 10.0.0.2 are not of one family; left out"),
        (
            with("neighbor_ip fe80::2"),
            "1:14 W `bfd_instance b`: fe80::2 is link-local; expected `interface`, too; left out",
        ),
        (with("neighbor_ip 224.0.0.1"), "1:14 W `bfd_instance b`: 224.0.0.1 is no address of one host; left out"),
        (
            format!("bfd_instance {long} {{\n neighbor_ip 10.0.0.2\n}}\n"),
            &format!("1:14 W `bfd_instance {long}`: the name has more than 31 bytes; left out"),
        ),
    ] {
        let (config, found) = read(&text);
        assert_eq!((config.unwrap().bfd_instances, found), (vec![], vec![said.to_string()]), "{text}");
    }
    let second =
        |name: &str, address: &str| format!("{}bfd_instance {name} {{\n neighbor_ip {address}\n}}\n", with(""));
    let (_, found) = read_one(&second("b", "10.0.0.3"));
    assert_eq!(found, ["5:14 W a second `bfd_instance b`; the first one stays"]);
    let (_, found) = read_one(&second("c", "10.0.0.2"));
    assert_eq!(found, ["5:14 W `bfd_instance c`: `b` is a session with 10.0.0.2 already; left out"]);
    let (config, found) = read("bfd_instance {\n neighbor_ip 10.0.0.2\n}\n");
    assert!(config.is_none());
    assert_eq!(found, ["1:1 E `bfd_instance` has no name; expected `bfd_instance NAME {`"]);
}
