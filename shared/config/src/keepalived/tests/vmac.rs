//! Virtual MAC addresses, routes, rules and options of addresses; in both languages the same.

use std::net::IpAddr;

use super::*;

#[track_caller]
fn only(more: &str) -> VirtualRouter {
    assert_clean(&with(more)).routers.remove(0)
}

#[track_caller]
fn warned(more: &str, start: &str) -> VirtualRouter {
    assert_found(&with(more), start).expect("usable").routers.remove(0)
}

fn vmac(name: &str, mac: [u8; 6], group: u32) -> Option<Vmac> {
    Some(Vmac { name: name.into(), base: "eth0".into(), mac, group, ipvlan: None })
}

const MAC: [u8; 6] = [0, 0, 0x5e, 0, 1, 51];

#[test]
fn a_router_has_an_interface_of_its_own() {
    let router = only(" use_vmac");
    assert_eq!(router.vmac, vmac("vrrp.51", MAC, 0));
    assert_eq!((router.interface.as_str(), router.advert_interface()), ("eth0", "vrrp.51"));
    assert_eq!(router.interface_of(&router.addresses[0]), "vrrp.51");
    assert_eq!(router.segment_of(&router.addresses[0]), "eth0");
    let router = only(" use_vmac 02:0:0:0:7 gw.51 group 7\n vmac_xmit_base");
    assert_eq!(router.vmac, vmac("gw.51", [2, 0, 0, 0, 7, 51], 7));
    assert_eq!(router.advert_interface(), "eth0");
    assert_eq!(only("").vmac, None);
}

#[test]
fn what_is_wrong_with_it_is_told_and_the_rest_used() {
    for (line, start) in [
        ("use_vmac 01:00:5e:00:01:08", "4:11 W `01:00:5e:00:01:08` is a MAC address of a group"),
        ("use_vmac 00:00:5e:00:01:08", "4:11 W `00:00:5e:00:01:08` is a MAC address that RFC 9568 gives to another"),
        ("use_vmac 02:00:00:07", "4:11 W `02:00:00:07` is no MAC address; expected one such as"),
        ("use_vmac 02:00:00:00:07:1g", "4:11 W `02:00:00:00:07:1g` is no MAC address"),
        ("use_vmac averyveryverylongname", "4:11 W `averyveryverylongname` is no name of an interface"),
        ("use_vmac group x", "4:17 W `x` is no group: expected a number"),
        ("use_vmac group", "4:11 W `group` has no value"),
        ("use_vmac netlink_notify_msg", "4:11 I the kernel tells of the interface anyway"),
    ] {
        assert_eq!(warned(&format!(" {line}"), start).vmac, vmac("vrrp.51", MAC, 0), "{line}");
    }
    let router = warned(" use_vmac\n unicast_peer {\n  10.0.0.9\n }", "4:2 W unicast adverts cannot leave");
    assert!(router.vmac_transmit_base);
    assert!(!warned(" vmac_xmit_base", "4:2 W `vmac_xmit_base` does nothing").vmac_transmit_base);
    for word in ["vmac_prefix", "vmac_addr_prefix"] {
        let start = format!("2:{} W `muchtoolong` is no value for `{word}`", word.len() + 2);
        assert_found(&global(&format!("{word} muchtoolong")), &start);
    }
}

#[test]
fn an_ipvlan_is_an_interface_without_a_mac_address() {
    let router = only(" use_ipvlan vepa 10.0.0.7/24 gw.51");
    let ipvlan = Ipvlan { address: Some("10.0.0.7/24".parse().unwrap()), mode: IpvlanMode::Vepa };
    let made = router.vmac.as_ref().unwrap();
    assert_eq!(made, &Vmac { name: "gw.51".into(), ..Vmac::ipvlan("eth0", ipvlan) });
    assert_eq!(made.own_mac(), None);
    assert_eq!(router.transport, Transport::Multicast { source: Some("10.0.0.7".parse().unwrap()) });
    assert_eq!((router.interface_of(&router.addresses[0]), router.advert_interface()), ("eth0", "eth0"));
    assert_eq!(router.source_interface(), "gw.51");
    let router = only(" use_ipvlan 10.0.0.7\n mcast_src_ip 10.0.0.1");
    assert_eq!((router.vmac.as_ref().unwrap().name.as_str(), router.source_interface()), ("vrrp.51", "eth0"));
    let unicast = "unicast_src_ip 10.0.0.1\n unicast_peer {\n  10.0.0.9\n }";
    assert_eq!(only(&format!(" use_ipvlan 10.0.0.7\n {unicast}")).source_interface(), "eth0");
    for (line, start) in [
        ("use_ipvlan", "4:2 W `use_ipvlan` has no address: adverts come from that of the interface"),
        ("use_ipvlan fe80::7", "4:13 W fe80::7 is not IPv4 as the instance is"),
        ("use_ipvlan 10.0.0.7 vepa private", "4:27 W `private` is a second mode"),
        ("use_ipvlan 10.0.0.7 10.0.0.8", "4:22 W `10.0.0.8` is a second address"),
        ("use_ipvlan 10.0.0.7 a b", "4:24 W `b` is a second name"),
        ("use_ipvlan 10.0.0.7 averyveryverylongname", "4:22 W `averyveryverylongname` is no name of an interface"),
        ("use_ipvlan 10.0.0.7\n use_ipvlan", "5:2 W a second `use_ipvlan`"),
        ("use_ipvlan 10.0.0.7\n use_vmac", "5:2 W `use_vmac` and what goes with it has no place beside"),
        ("use_ipvlan 10.0.0.7\n unicast_peer {\n  10.0.0.9\n }", "4:2 W unicast adverts are sent and heard by the"),
    ] {
        assert!(warned(&format!(" {line}"), start).vmac.unwrap().ipvlan.is_some(), "{line}");
    }
    let other = "vrrp_instance B {\n interface eth0\n virtual_router_id 52\n virtual_ipaddress {\n  10.0.0.2\n }\n";
    for (more, start) in [
        ("use_vmac", "11:20 E virtual MAC address on `eth0`, where `A` has bridge; expected the same kind"),
        ("use_ipvlan 10.0.0.8 vepa", "11:20 E vepa on `eth0`, where `A` has bridge; expected the same kind"),
    ] {
        assert_found(&format!("{}{other} {more}\n}}\n", with(" use_ipvlan 10.0.0.7")), start);
    }
    assert_clean(&format!("{}{other} use_ipvlan 10.0.0.8\n}}\n", with(" use_ipvlan 10.0.0.7")));
}

#[test]
fn a_vrf_is_that_of_the_interface() {
    warned(" vrf blue", "4:2 W `vrf` has no place beside an interface, whose VRF is used anyway");
    let without = with(" vrf blue").replace(" interface eth0\n", "\n");
    assert_found(&without, "1:15 E `A` has no `interface`; expected `interface NAME`, one of the VRF: without one");
}

#[test]
fn names_are_found_as_keepalived_finds_them() {
    let instance = |name: &str, vrid: u8, more: &str, address: &str| {
        format!(
            "vrrp_instance {name} {{\n interface eth0\n virtual_router_id {vrid}\n{more}\n virtual_ipaddress {{\n{address}\n }}\n}}\n"
        )
    };
    let text = "global_defs {\n vmac_prefix vm\n vmac_addr_prefix va\n}\n".to_owned()
        + &instance(
            "A",
            51,
            " use_vmac\n virtual_ipaddress_excluded {\n fd00::9/64 use_vmac\n fd00::8/64\n }",
            "10.0.0.1\n 10.1.0.1 dev eth1 use_vmac\n 10.1.0.2 dev eth1",
        )
        + &instance("B", 52, " use_vmac vm.53", "10.0.0.2")
        + &instance("C", 53, " use_vmac\n use_vmac_addr", "10.0.0.3\n 10.1.0.3 dev eth1");
    let routers = assert_clean(&text).routers;
    let on = |router: &VirtualRouter| router.served().map(|a| router.interface_of(a).to_owned()).collect::<Vec<_>>();
    assert_eq!(on(&routers[0]), ["vm.51", "va.51", "eth1", "va6.51", "eth0"]);
    assert_eq!(on(&routers[1]), ["vm.53"]);
    assert_eq!(on(&routers[2]), ["vm4.53", "va.53"]);
    let made: Vec<_> = routers[0].vmacs().map(|v| (v.name.as_str(), v.base.as_str(), v.mac[4])).collect();
    assert_eq!(made, [("vm.51", "eth0", 1), ("va.51", "eth1", 1), ("va6.51", "eth0", 2)]);

    // One name, or one MAC address on one interface, is nobody else's.
    let twice = instance("A", 51, " use_vmac x", "10.0.0.1") + &instance("B", 52, " use_vmac x", "10.0.0.2");
    let config = assert_found(&twice, "12:11 W `x` is already the virtual interface of `A`").unwrap();
    assert_eq!(config.routers[1].vmac.as_ref().unwrap().name, "vrrp.52");
    let mac = " use_vmac 02:00:00:00:00:01";
    let twice = instance("A", 51, mac, "10.0.0.1") + &instance("B", 52, mac, "10.0.0.2");
    assert_found(&twice, "11:20 E 02:00:00:00:00:01 on `eth0` is already the virtual MAC address of `A`");
}

#[test]
fn directors_have_to_agree_on_it() {
    let digest = |more: &str| assert_clean(&with(more)).digest();
    assert_ne!(digest(" use_vmac"), digest(""));
    assert_eq!(digest(" use_vmac name"), digest(" use_vmac"));
    assert_ne!(digest(" use_vmac 02:00:00:00:00:01"), digest(" use_vmac"));
}

#[test]
fn options_of_addresses() {
    let router = only(
        " virtual_ipaddress {\n  10.0.0.2/24 noprefixroute preferred_lft 5 no_track\n  10.0.0.3 peer 10.0.0.4/31\n }\n \
         virtual_ipaddress_excluded {\n  fd00::1/64 home -nodad mngtmpaddr autojoin preferred_lft forever\n }",
    );
    let first = &router.addresses[0];
    assert_eq!((first.no_prefix_route, first.preferred_s, first.track), (true, Some(5), false));
    let second = &router.addresses[1];
    assert_eq!((second.net, second.peer), ("10.0.0.3/31".parse().unwrap(), "10.0.0.4".parse::<IpAddr>().ok()));
    let third = &router.excluded_addresses[0];
    assert_eq!([third.home, third.dad, third.manage_temporary, third.autojoin, third.track], [true; 5]);
    assert_eq!(third.preferred_s, Some(u32::MAX));
}

#[test]
fn routes_and_rules_are_read_and_told_where_they_are_wrong() {
    let router = only(
        " virtual_routes {\n  10.2.0.0/16 via 10.0.0.9 dev eth0\n }\n virtual_rules {\n  from 10.2.0.0/16 table 5 priority 9\n }",
    );
    assert_eq!((router.routes.len(), router.rules.len(), router.rules[0].priority), (1, 1, 9));
    let router = warned(
        " virtual_routes {\n  10.2.0.0/16 dev a foo 1\n  10.3.0.0/16 dev a\n }",
        "5:21 W `foo` is no word of a route; the route is left out",
    );
    assert_eq!(router.routes.len(), 1);
    let router = warned(" virtual_rules {\n  table x\n }", "5:9 W `x` is no value for `table`");
    assert_eq!(router.rules, []);
    let router = warned(" virtual_rules {\n  table 5\n }", "5:3 W the rule has no `priority`");
    assert_eq!(router.rules[0].priority, 16_384);
    assert_found(&with(" virtual_routes"), "4:2 E `virtual_routes` has no block");
}

/// Either language says all of it.
#[test]
fn both_languages_say_the_same() {
    let conf = "static_ipaddress {\n 10.9.0.1/24 dev eth1\n}\nstatic_routes {\n 10.8.0.0/16 via 10.9.0.9\n}\nstatic_rules {\n table 5 priority 3\n}\n".to_owned()
        + "global_defs {\n vmac_prefix vm\n vmac_addr_prefix va\n}\n"
        + &with(" use_vmac gw 02:00:00:00:07 group 3\n vmac_xmit_base\n use_vmac_addr\n virtual_routes {\n  10.2.0.0/16 via 10.0.0.9 no_track\n }\n \
            virtual_rules {\n  from 10.2.0.0/16 table 5 priority 9\n }\n virtual_ipaddress_excluded {\n  fd00::1/64 dev eth1 use_vmac home -nodad mngtmpaddr autojoin\n  \
            10.3.0.1 peer 10.3.0.2/31 noprefixroute preferred_lft 5 no_track\n }");
    let toml = r#"
[host]
addresses = [{ address = "10.9.0.1/24", interface = "eth1" }]
routes = ["10.8.0.0/16 via 10.9.0.9"]
rules = ["table 5 priority 3"]
[vmac]
prefix = "vm"
address_prefix = "va"
[[router]]
name = "A"
interface = "eth0"
vrid = 51
addresses = ["10.0.0.1"]
vmac = { name = "gw", mac = "02:00:00:00:07", group = 3, transmit_base = true }
vmac_addresses = true
routes = ["10.2.0.0/16 via 10.0.0.9 no_track"]
rules = ["from 10.2.0.0/16 table 5 priority 9"]
excluded_addresses = [
    { address = "fd00::1/64", interface = "eth1", vmac = true, home = true, dad = true, manage_temporary = true, autojoin = true },
    { address = "10.3.0.1", peer = "10.3.0.2/31", no_prefix_route = true, preferred = "5s", track = false },
]
"#;
    let native = |text: &str| crate::native::parse(Path::new("f"), text, &Host::none());
    let (config, report) = native(toml);
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    assert_eq!(config.as_ref(), Some(&assert_clean(&conf)));
    assert_eq!(config.unwrap().routers[0].address_vmacs.len(), 1);
    for (from, to, expected) in [
        ("02:00:00:00:07", "02:00", "`02:00` is no MAC address"),
        ("\"gw\"", "\"a/b\"", "`a/b` is no name of an interface"),
        ("\"vm\"", "\"muchtoolong\"", "`muchtoolong` is no prefix"),
        ("10.3.0.2/31", "fd00::2", "`fd00::2` is no peer"),
        (", interface = \"eth1\" }]", " }]", "10.9.0.1/24 names no interface"),
        ("via 10.9.0.9", "via x", "`x` is no gateway"),
        ("table 5 priority 3", "priority 3", "the rule does nothing"),
        ("[[router]]", "[[router]]\nunicast = { peers = [\"10.0.0.9\"] }", ""),
    ] {
        let (config, report) = native(&toml.replacen(from, to, 1));
        let told = report.findings.iter().any(|f| f.message.starts_with(expected)) || expected.is_empty();
        assert!(told && config.is_none() != expected.is_empty(), "{to}: {:?}", report.findings);
    }
    let (config, report) = native(
        &toml
            .replace("transmit_base = true", "transmit_base = false")
            .replace("[[router]]", "[[router]]\nunicast = { peers = [\"10.0.0.9\"] }"),
    );
    assert!(
        config.is_none() && report.findings[0].message.starts_with("unicast adverts cannot leave"),
        "{:?}",
        report.findings
    );
}
