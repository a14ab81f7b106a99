//! What the configuration makes of a router, by strict mode and without it: RFC 9568 sections 5.2.3, 5.2.9, 6.1, 6.4.3,
//! 7.1 with errata 8298 and 8300; RFC 3768 section 6.4.3.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use mesh_config::host::Host as Machine;
use mesh_config::model::{Version, VirtualRouter};
use mesh_conformance::*;
use mesh_core::Action;
use mesh_core::vrrp::down_interval;
use mesh_wire::vrrp::Advertisement;

/// What a file has to say, and its only router.
fn read(name: &str, text: &str) -> (Option<VirtualRouter>, Vec<String>) {
    let (config, report) = mesh_config::parse(Path::new(name), text, &Machine::none());
    let router = config.and_then(|config| config.routers.into_iter().next());
    (router, report.findings.iter().map(ToString::to_string).collect())
}

/// With these lines, and these addresses.
fn instance(lines: &str, addresses: &str) -> (Option<VirtualRouter>, Vec<String>) {
    let block = format!(
        "vrrp_instance VI_1 {{\n interface eth0\n virtual_router_id 51\n{lines} virtual_ipaddress {{\n{addresses} }}\n}}\n"
    );
    read("keepalived.conf", &block)
}

fn strict(lines: &str, addresses: &str) -> VirtualRouter {
    instance(&format!(" strict_mode\n{lines}"), addresses).0.expect("it can be used")
}

const VIP_LINE: &str = "  10.1.1.80/24\n";
const GLOBAL: &str = "  2001:db8::80/64\n";
const BOTH: &str = "  fe80::80/64\n  2001:db8::80/64\n";

#[test]
fn rfc_9568_5_2_3_a_vrid_is_1_to_255() {
    for (vrid, fits) in [(0, false), (1, true), (255, true), (256, false)] {
        let keepalived = format!(
            "vrrp_instance VI_1 {{\n interface eth0\n virtual_router_id {vrid}\n virtual_ipaddress {{\n{VIP_LINE} }}\n}}\n"
        );
        let native = format!(
            "[[router]]\nname = \"VI_1\"\ninterface = \"eth0\"\nvrid = {vrid}\naddresses = [\"10.1.1.80/24\"]\n"
        );
        for (file, text) in [("keepalived.conf", keepalived), ("meshd.toml", native)] {
            let (router, findings) = read(file, &text);
            assert_eq!(router.map(|router| router.key.vrid), fits.then_some(vrid as u8), "{file}: {findings:?}");
            assert_eq!(findings.is_empty(), fits, "{file}: {findings:?}");
        }
    }
}

/// As keepalived has it in both versions.
#[test]
fn deviation_9568_6_4_3_strict_mode_answers_no_less_worthy_advert() {
    for (version, lines) in [(Version::V2, " version 2\n priority 150\n"), (Version::V3, " version 3\n priority 150\n")]
    {
        let router = strict(lines, VIP_LINE);
        assert_eq!(router.version, version);
        let (mut host, at) = Host::active(router);
        host.hears(at, HIGHER, &advert(version, 149));
        assert!(host.sent().is_empty() && host.announced().is_empty() && !host.yields(), "{version:?}");
    }
}

/// keepalived 2.2.7 does the same.
#[test]
fn rfc_9568_7_1_erratum_8298_a_strict_owner_reads_adverts() {
    let owner = strict(" version 3\n priority 255\n", VIP_LINE);
    let mut host = Host::new(owner);
    assert!(host.serves());
    host.hears(ms(10), LOWER, &advert(Version::V3, 255));
    assert!(!host.yields());
    host.hears(ms(20), HIGHER, &advert(Version::V3, 255));
    assert!(host.yields());
}

#[test]
fn rfc_9568_6_1_strict_mode_accepts_nothing_for_the_addresses() {
    for lines in ["", " version 3\n"] {
        assert!(!strict(lines, VIP_LINE).accepts());
        assert!(instance(lines, VIP_LINE).0.expect("it can be used").accepts());
    }
}

fn with(first: &str) -> Advertisement {
    let addresses: Vec<IpAddr> = [first, "2001:db8::80"].map(|address| address.parse().expect("an address")).to_vec();
    Advertisement { addresses, ..advert_v6(200) }
}

#[test]
fn rfc_9568_7_1_erratum_8300_strict_mode_discards_ipv6_adverts_that_begin_with_no_link_local_address() {
    let mut host = Host::new(strict(" priority 150\n", BOTH));
    let before = host.deadline();
    host.hears(ms(100), HIGHER_V6, &with("2001:db8::81"));
    let reason = "fe80::12: VI_1: the first address is not link-local".to_owned();
    assert_eq!((host.deadline(), host.drops()), (before, vec![(reason, 1)]));
    host.hears(ms(200), HIGHER_V6, &with("fe80::80"));
    assert_eq!(host.deadline(), ms(200) + down_interval(Version::V3, 150, Duration::from_secs(1), 3));
}

#[test]
fn deviation_9568_7_1_erratum_8300_adverts_that_begin_with_another_address_are_heard() {
    let like_it = Advertisement { addresses: vec!["2001:db8::80".parse().unwrap()], ..advert_v6(200) };
    // By default, and by a strict router that has none itself: both would serve.
    let routers = [instance(" priority 150\n", BOTH).0.unwrap(), strict(" priority 150\n", GLOBAL)];
    for router in routers {
        let mut host = Host::new(router);
        host.hears(ms(100), HIGHER_V6, &like_it);
        assert_eq!(host.deadline(), ms(100) + down_interval(Version::V3, 150, Duration::from_secs(1), 3));
    }
}

#[test]
fn deviation_9568_5_2_9_and_6_1_a_router_without_a_link_local_address_is_accepted_and_told() {
    let said = "ignored: adverts begin with no link-local address, as VRRP for IPv6 wants it; some routers drop them";
    let native = "[[router]]\nname = \"VI_1\"\ninterface = \"eth0\"\nvrid = 51\naddresses = [\"2001:db8::80/64\"]\n";
    for (place, (router, findings)) in
        [("keepalived.conf:5:3", instance("", GLOBAL)), ("meshd.toml:5:14", read("meshd.toml", native))]
    {
        assert_eq!(findings, [format!("{place}: {said}")]);
        let (host, _) = Host::active(router.expect("it can be used"));
        assert_eq!(host.sent()[0].advert().addresses, ["2001:db8::80".parse::<IpAddr>().unwrap()]);
    }
    let strict = read("meshd.toml", &format!("{native}strict = true\n"));
    assert!(strict.0.is_none() && strict.1[0].contains("expected a link-local address"), "{:?}", strict.1);
}

#[test]
fn rfc_3768_6_4_3_without_accept_packets_for_the_addresses_are_dropped_but_for_an_owner() {
    let unaccepted = |lines: &str| {
        let router = instance(lines, VIP_LINE).0.expect("it can be used");
        let host = Host::new(router);
        let last = host.actions.iter().rev().find_map(|action| match action {
            Action::FenceInstall { unaccepted, .. } => Some(unaccepted.clone()),
            _ => None,
        });
        last.unwrap_or_default()
    };
    assert_eq!(unaccepted(" version 2\n no_accept\n"), [IpAddr::from(VIP)]);
    assert_eq!(unaccepted(" version 2\n strict_mode\n priority 100\n"), [IpAddr::from(VIP)]);
    assert_eq!(unaccepted(" version 2\n priority 255\n"), Vec::<IpAddr>::new(), "the owner's own");
}

#[test]
fn deviation_3768_6_4_3_packets_for_the_addresses_are_accepted_by_default() {
    assert!(instance(" version 2\n", VIP_LINE).0.expect("it can be used").accepts());
}
