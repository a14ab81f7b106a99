//! Virtual routers over IPv6, and IPv4 ones that serve IPv6 addresses as well.

use std::net::Ipv6Addr;

use mesh_config::model::{QuorumLoss, Transport};
use mesh_wire::mesh::Family;
use mesh_wire::vrrp::{Advertisement, Authentication, ChecksumForm, GROUP_V6, Interval, Version, emit};

use super::actions::*;
use super::*;
use crate::input::{Datagram, Unusable};

const SIX: RouterKey = RouterKey { family: Family::Ipv6, vrid: 51, segment: 0 };

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn link_local(id: NodeId) -> Ipv6Addr {
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 10 + id.0 as u16)
}

/// VI_6: a global and a link-local address.
fn six(priority: u8) -> VirtualRouter {
    VirtualRouter {
        name: "VI_6".to_owned(),
        key: SIX,
        addresses: vec![vip("2001:db8::80/64"), vip("fe80::80/64")],
        ..router(priority)
    }
}

/// eth0 of both families, a global IPv6 address first.
fn both(id: NodeId) -> Interface {
    let more = ["2001:db8::11/64".to_owned(), format!("{}/64", link_local(id))];
    let more = more.iter().map(|net| net.parse().unwrap());
    Interface { addresses: eth0(id).addresses.into_iter().chain(more).collect(), ..eth0(id) }
}

fn on_both(routers: Vec<VirtualRouter>, roster: Option<Roster>) -> Engine {
    let mut engine = Engine::new(setup(LB1, roster), config(routers), ms(0));
    engine.step(ms(0), Input::Interface(both(LB1)));
    engine
}

fn bytes(from: IpAddr, to: IpAddr, priority: u8) -> Vec<u8> {
    let packet = Advertisement {
        vrid: 51,
        priority,
        interval: Interval::new(Version::V3, Duration::from_secs(1)).unwrap(),
        addresses: vec![address("fe80::80"), address("2001:db8::80")],
        auth: Authentication::None,
    };
    emit(&packet, from, to, ChecksumForm::PseudoHeader)
}

fn heard(from: IpAddr, priority: u8) -> Datagram {
    let (interface, destination) = ("eth0".to_owned(), IpAddr::V6(GROUP_V6));
    Datagram { interface, source: from, destination, ttl: 255, payload: bytes(from, destination, priority) }
}

fn added(net: &str, lifetime_s: u32) -> Action {
    Action::AddAddress { interface: "eth0".to_owned(), address: vip(net), lifetime_s }
}

fn announced(text: &str, count: u32) -> Action {
    Action::Announce { interface: "eth0".to_owned(), address: address(text), count }
}

#[test]
fn it_takes_over_and_lets_go_as_over_ipv4() {
    let mut engine = on_both(vec![six(200)], None);
    let own = IpAddr::V6(link_local(LB1));
    let sent = |priority| Action::SendAdvertisement {
        interface: "eth0".to_owned(),
        source: own,
        destination: GROUP_V6.into(),
        envelope: mesh_wire::vrrp::Envelope::default(),
        payload: bytes(own, GROUP_V6.into(), priority),
    };
    let actions = plain(engine.step(CLAIM, Input::Timeout));
    let expected = [
        added("2001:db8::80/64", 5),
        added("fe80::80/64", 5),
        sent(200),
        announced("2001:db8::80", 5),
        announced("fe80::80", 5),
    ];
    assert_eq!(actions[..5], expected, "the first address sent is link-local");
    let stopped = plain(engine.step(ms(4000), Input::Shutdown));
    let removed = |net: &str| Action::DelAddress { interface: "eth0".to_owned(), address: vip(net) };
    assert_eq!(stopped[..3], [removed("2001:db8::80/64"), removed("fe80::80/64"), sent(0)]);
}

#[test]
fn the_fence_and_the_will_are_about_ipv6_addresses_as_well() {
    let mut engine = on_both(vec![six(200)], Some(roster(3)));
    let addresses = vec![address("2001:db8::80"), address("fe80::80")];
    let first = request(&engine.step(CLAIM, Input::Timeout));
    assert_eq!(first.claims[0].router, SIX);
    let actions = engine.step(ms(3220), granted(LB2, ms(3220), &first));
    let armed = actions.iter().position(|a| matches!(a, Action::FenceArm { addresses: a, .. } if *a == addresses));
    let add = actions.iter().position(|a| matches!(a, Action::AddAddress { .. }));
    assert!(armed.unwrap() < add.unwrap(), "{actions:#?}");
    let will = actions.iter().find_map(|a| if let Action::KeepWill(will) = a { Some(will.clone()) } else { None });
    let will = will.unwrap();
    let on = |net: &str| ("eth0".to_owned(), net.parse().unwrap());
    assert_eq!(will.addresses, [on("2001:db8::80/64"), on("fe80::80/64")]);
    assert_eq!(will.resignations.len(), 1);
    assert_eq!(will.resignations[0].destination, IpAddr::V6(GROUP_V6));
    let same: crate::Will = serde_json::from_str(&serde_json::to_string(&will).unwrap()).unwrap();
    assert_eq!(same, will, "as it is kept on disk");
}

#[test]
fn without_a_usable_link_local_address_it_waits_and_says_why() {
    let ours = link_local(LB1);
    let fault = |unusable: Vec<(Ipv6Addr, Unusable)>| {
        let mut engine = Engine::new(setup(LB1, None), config(vec![six(200)]), ms(0));
        let addresses = vec!["10.1.1.11/24".parse().unwrap(), "2001:db8::11/64".parse().unwrap()];
        engine.step(ms(0), Input::Interface(Interface { addresses, unusable, ..eth0(LB1) }));
        assert!(engine.work_due().is_none(), "in fault no timer runs");
        (engine.instances[&SIX].fault.clone().unwrap(), engine)
    };
    let elsewhere: Ipv6Addr = "2001:db8::99".parse().unwrap();
    let none = "interface eth0 has no link-local IPv6 address to send from";
    assert_eq!(fault(vec![]).0, none);
    assert_eq!(fault(vec![(elsewhere, Unusable::Tentative)]).0, none, "a global one is no help");
    let duplicate = fault(vec![(ours, Unusable::Duplicate)]).0;
    assert_eq!(duplicate, "interface eth0 cannot send from fe80::b: another host has it (dadfailed)");
    let (tentative, mut engine) = fault(vec![(ours, Unusable::Tentative)]);
    let expected = "interface eth0 cannot send from fe80::b yet: it is checked for duplicates (tentative)";
    assert_eq!(tentative, expected);
    engine.step(ms(1000), Input::Interface(both(LB1)));
    assert_eq!(engine.instances[&SIX].fault, None);
    assert!(engine.instances[&SIX].vrrp.is_backup());

    // It goes while it serves: no longer.
    wait(&mut engine, ms(5000));
    assert!(engine.instances[&SIX].vrrp.is_active());
    let actions = plain(engine.step(ms(5100), Input::Interface(eth0(LB1))));
    assert!(actions.iter().any(|a| matches!(a, Action::DelAddress { .. })), "{actions:#?}");
    assert_eq!(engine.instances[&SIX].fault.as_deref(), Some(none));
}

#[test]
fn an_ipv4_router_needs_no_link_local_address_and_a_configured_source_is_the_one() {
    let transport = Transport::Unicast { source: Some(address("2001:db8::11")), peers: vec![address("2001:db8::12")] };
    let engine = on_both(vec![router(200), VirtualRouter { transport, ..six(200) }], None);
    assert_eq!(engine.instances[&KEY].source, Some(source(LB1)));
    assert_eq!(engine.instances[&SIX].source, Some(address("2001:db8::11")));
    let adverts = engine.advertisements(SIX, None, None);
    assert_eq!((adverts.len(), adverts[0].destination), (1, address("2001:db8::12")));
}

#[test]
fn routers_of_one_vrid_and_two_families_hear_their_own() {
    let mut engine = on_both(vec![router(200), six(200)], None);
    engine.step(CLAIM, Input::Timeout);
    let active = |engine: &Engine| [KEY, SIX].map(|key| engine.instances[&key].vrrp.is_active());
    assert_eq!(active(&engine), [true, true]);
    engine.step(ms(4000), Input::Advertisement(heard(IpAddr::V6(link_local(LB2)), 201)));
    assert_eq!(active(&engine), [true, false]);
    engine.step(ms(4100), adverts::multicast(LB2, 201));
    assert_eq!(active(&engine), [false, false]);
}

#[test]
fn equal_priorities_are_told_apart_by_the_link_local_address() {
    for (theirs, yields) in [("fe80::c", true), ("fe80::a", false), ("fe80::b:1", true)] {
        let mut engine = on_both(vec![six(200)], None);
        engine.step(CLAIM, Input::Timeout);
        engine.step(ms(4000), Input::Advertisement(heard(address(theirs), 200)));
        assert_eq!(engine.instances[&SIX].vrrp.is_backup(), yields, "{theirs} against fe80::b");
    }
}

#[test]
fn adverts_that_came_through_a_router_or_to_another_group_are_dropped() {
    let good = heard(IpAddr::V6(link_local(LB2)), 201);
    let to = |destination: &str| Datagram {
        destination: address(destination),
        payload: bytes(good.source, address(destination), 201),
        ..good.clone()
    };
    let cases = [
        (Datagram { ttl: 254, ..good.clone() }, "VI_6: TTL or hop limit is not 255"),
        (to("ff02::1"), "VI_6: multicast where unicast is configured, or the reverse"),
        (to("fe80::b"), "VI_6: multicast where unicast is configured, or the reverse"),
        (Datagram { destination: address("ff02::13"), ..good.clone() }, "malformed: checksum"),
    ];
    for (datagram, reason) in cases {
        let mut engine = on_both(vec![six(200)], None);
        engine.step(CLAIM, Input::Timeout);
        engine.step(ms(4000), Input::Advertisement(datagram));
        assert!(engine.instances[&SIX].vrrp.is_active(), "{reason}");
        let told: Vec<&str> = engine.drops().map(|(key, _)| key).collect();
        assert!(told.len() == 1 && told[0].contains(reason), "{told:?} instead of {reason}");
    }
}

#[test]
fn excluded_addresses_of_the_other_family_are_served_but_not_sent() {
    let mixed = VirtualRouter { excluded_addresses: vec![vip("2001:db8::9/64")], ..router(200) };
    let mut engine = on_both(vec![mixed], Some(roster(3)));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    let actions = engine.step(ms(3220), granted(LB2, ms(3220), &first));
    let wanted = vec![VIP, address("2001:db8::9")];
    assert!(actions.iter().any(|a| matches!(a, Action::FenceArm { addresses, .. } if *addresses == wanted)));
    assert!(actions.contains(&advert(200)), "as without it");
    assert!(actions.contains(&announced("2001:db8::9", 5)) && actions.contains(&garp(5)));
    let gone = Input::AddressGone { interface: "eth0".to_owned(), address: address("2001:db8::9") };
    let repaired = engine.step(ms(3300), gone);
    assert!(repaired.contains(&added("2001:db8::9/64", 3)) && repaired.contains(&announced("2001:db8::9", 1)));
}

#[test]
fn without_a_quorum_ipv6_addresses_are_probed_before_they_are_served() {
    let mut engine = on_both(vec![six(200)], Some(roster(2)));
    assert_eq!(engine.on_quorum_loss(&engine.instances[&SIX]), QuorumLoss::Vrrp);
    let mut probe = None;
    for n in 0..1000 {
        let actions = engine.step(ms(3300 + n * 10), Input::Timeout);
        probe = actions.into_iter().find(|a| matches!(a, Action::ProbeAddresses { .. }));
        if probe.is_some() {
            break;
        }
    }
    let on = |text: &str| ("eth0".to_owned(), address(text));
    assert_eq!(probe, Some(Action::ProbeAddresses { probe: 1, addresses: vec![on("2001:db8::80"), on("fe80::80")] }));
}

#[test]
fn status_names_the_family_and_the_addresses() {
    let engine = on_both(vec![router(200), six(200)], None);
    let status = engine.status(ms(10));
    let shown: Vec<_> = status.routers.iter().map(|r| (r.family.as_str(), r.vrid, r.vips.join(" "))).collect();
    let expected = [("ipv4", 51, "10.1.1.80/24"), ("ipv6", 51, "2001:db8::80/64 fe80::80/64")];
    assert_eq!(shown, expected.map(|(f, v, a)| (f, v, a.to_owned())));
}

/// What an earlier version gossips parses, and an IPv4 router's report is what it was.
#[test]
fn reports_are_written_as_they_were() {
    let mut report = report(LB2, RouterState::Backup, 150, 0);
    let text = serde_json::to_string(&report).unwrap();
    assert!(text.contains("\"source\":\"10.1.1.12\"") && text.contains("\"foreign\":null"), "{text}");
    report.source = Some(IpAddr::V6(link_local(LB2)));
    let text = serde_json::to_string(&report).unwrap();
    assert!(text.contains("\"source\":\"fe80::c\""), "{text}");
    assert_eq!(serde_json::from_str::<RouterReport>(&text).unwrap(), report);
}
