//! What is told of neighbours, and of packets that are not for this router: RFC 9568 sections 2.5, 5.1, 5.2.9 and 7.1;
//! RFC 3768 section 7.1.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use mesh_config::model::{Conduct, Config, Transport, Version, VirtualRouter};
use mesh_conformance::*;
use mesh_core::input::Datagram;
use mesh_core::{Action, Decision, Input};
use mesh_wire::vrrp::{self, Advertisement, ChecksumForm, Interval};

const SECOND: Duration = Duration::from_secs(1);

fn unicast() -> VirtualRouter {
    let transport = Transport::Unicast { source: None, peers: vec![HIGHER.into()] };
    VirtualRouter { transport, ..router(Version::V3, 150) }
}

fn told(host: &Host) -> Vec<Decision> {
    let dropped = |action: &Action| match action {
        Action::Record(decision @ Decision::Dropped { .. }) => Some(decision.clone()),
        _ => None,
    };
    host.actions.iter().filter_map(dropped).collect()
}

#[test]
fn rfc_9568_2_5_an_active_router_tells_of_a_backup_that_claims_beside_it() {
    let beside = "10.1.1.12: VI_1: it claims the addresses, and our adverts should keep it from that: they have priority \
                  150, its own 149";
    let (mut host, at) = Host::active(router(Version::V3, 150));
    host.hears(at + SECOND, HIGHER, &advert(Version::V3, 149));
    assert_eq!(host.warnings(), [""; 0], "the last advert of the one before");
    for second in 2..=6 {
        host.step(at + SECOND * second, Input::Timeout);
    }
    let settled = at + SECOND * 6;
    for n in 0..100 {
        host.hears(settled + Duration::from_millis(n), HIGHER, &advert(Version::V3, 149));
        let expected = if n == 0 { vec![beside.to_owned()] } else { Vec::new() };
        assert_eq!(host.warnings(), expected, "advert {n}");
    }
    // Its own advert is late: it stood still.
    let late = settled + Duration::from_secs(61);
    host.hears(late, HIGHER, &advert(Version::V3, 149));
    assert_eq!(host.warnings(), [format!("{beside}, the last one 60s late (100 times)")]);
    // An advert of priority 0 claims nothing.
    let (mut host, at) = Host::active(router(Version::V3, 150));
    host.hears(at + SECOND * 4, HIGHER, &advert(Version::V3, 0));
    assert_eq!(host.warnings(), [""; 0]);
}

#[test]
fn deviation_9568_5_1_1_3_a_unicast_peer_may_have_any_ttl() {
    let mut host = Host::new(unicast());
    let before = host.deadline();
    let payload = vrrp::emit(&advert(Version::V3, 200), HIGHER, OWN, ChecksumForm::PseudoHeader);
    let datagram =
        Datagram { ttl: 3, destination: OWN.into(), payload, ..packet(HIGHER.into(), &advert(Version::V3, 200)) };
    host.receives(ms(100), datagram);
    assert!(host.deadline() > before && host.drops().is_empty(), "{:?}", host.drops());
}

#[test]
fn deviation_9568_5_1_1_3_and_7_2_unicast_adverts_go_to_each_peer_with_the_ttl_that_is_configured() {
    let conduct = Conduct { unicast_ttl: 9, ..Conduct::default() };
    let (host, _) = Host::active(VirtualRouter { conduct, ..unicast() });
    let sent: Vec<_> = host.sent().iter().map(|sent| (sent.source, sent.destination, sent.envelope.ttl)).collect();
    assert_eq!(sent, [(IpAddr::from(OWN), IpAddr::from(HIGHER), 9)]);
}

#[test]
fn deviation_9568_5_1_1_2_and_7_2_another_group_where_it_is_configured() {
    let group = Ipv4Addr::new(224, 0, 0, 99);
    let conduct = Conduct { group: Some(group.into()), ..Conduct::default() };
    let (host, _) = Host::active(VirtualRouter { conduct: conduct.clone(), ..router(Version::V3, 150) });
    assert_eq!(host.sent()[0].destination, group);
    let mut host = Host::new(VirtualRouter { conduct, ..router(Version::V3, 150) });
    let before = host.deadline();
    host.hears(ms(100), HIGHER, &advert(Version::V3, 200));
    assert_eq!(host.deadline(), before, "that of VRRP is not heard then");
}

fn hears_another_vrid(logged: bool) -> Host {
    let mut config = Config { routers: vec![router(Version::V3, 150)], ..Config::default() };
    config.vrrp.log_unknown_vrids = logged;
    let mut host = Host::configured(config, None);
    host.hears(ms(100), HIGHER, &Advertisement { vrid: 52, ..advert(Version::V3, 200) });
    host
}

#[test]
fn deviation_9568_7_1_and_3768_7_1_a_vrid_of_nobody_here_is_discarded_without_a_word() {
    let host = hears_another_vrid(false);
    assert_eq!((host.drops(), told(&host)), (Vec::new(), Vec::new()));
}

#[test]
fn rfc_9568_7_1_and_3768_7_1_a_vrid_of_nobody_here_is_told_where_that_is_wanted() {
    let mut host = hears_another_vrid(true);
    let (from, reason) = ("10.1.1.12".to_owned(), "eth0: VRID 52 is not configured".to_owned());
    assert_eq!(told(&host), [Decision::Dropped { from, reason, count: 1 }]);
    host.hears(ms(200), HIGHER, &Advertisement { vrid: 52, ..advert(Version::V3, 200) });
    assert_eq!(told(&host), [], "at a bounded rate");
}

#[test]
fn rfc_3768_7_1_other_addresses_and_another_interval_are_told() {
    let mut host = Host::new(router(Version::V2, 100));
    host.hears(ms(100), HIGHER, &Advertisement { addresses: vec![HIGHER.into()], ..advert(Version::V2, 200) });
    let text = "10.1.1.12: VI_1: it advertises other addresses than are configured here: ";
    assert!(host.warnings().len() == 1 && host.warnings()[0].starts_with(text), "{:?}", host.warnings());
    let interval = Interval::new(vrrp::Version::V2, SECOND * 2).unwrap();
    host.hears(ms(200), HIGHER, &Advertisement { interval, ..advert(Version::V2, 200) });
    let (from, reason) = ("10.1.1.12".to_owned(), "VI_1: advertisement interval differs".to_owned());
    assert_eq!(told(&host), [Decision::Dropped { from, reason, count: 1 }]);
}
