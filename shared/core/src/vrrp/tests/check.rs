//! Each reason to drop an advertisement, and what is no reason.

use mesh_config::model::Transport;
use mesh_wire::vrrp::{Advertisement, Authentication, GROUP, Interval};

use super::*;
use crate::fixture::VIP;
use crate::input::Datagram;

const PASSWORD: [u8; 8] = *b"secret\0\0";

fn datagram() -> Datagram {
    Datagram { interface: "eth0".to_owned(), source: HIGHER, destination: GROUP.into(), ttl: 255, payload: Vec::new() }
}

fn packet(version: mesh_wire::vrrp::Version, interval: Duration) -> Advertisement {
    Advertisement {
        vrid: 51,
        priority: 150,
        interval: Interval::new(version, interval).unwrap(),
        addresses: vec![VIP],
        auth: Authentication::None,
    }
}

fn v3() -> Advertisement {
    packet(mesh_wire::vrrp::Version::V3, Duration::from_secs(1))
}

fn v2() -> Advertisement {
    packet(mesh_wire::vrrp::Version::V2, Duration::from_secs(1))
}

fn unicast() -> VirtualRouter {
    VirtualRouter { transport: Transport::Unicast { source: None, peers: vec![HIGHER] }, ..router(100) }
}

#[test]
fn a_good_advertisement_is_heard() {
    let fast = packet(mesh_wire::vrrp::Version::V3, Duration::from_millis(20));
    let expected = Heard { source: HIGHER, priority: 150, interval: Duration::from_millis(20) };
    assert_eq!(check(&router(100), Some(OWN), &datagram(), &fast), Ok(expected), "version 3 intervals may differ");
}

#[test]
fn a_routed_packet_is_dropped_on_multicast_only() {
    let routed = Datagram { ttl: 254, ..datagram() };
    assert_eq!(check(&router(100), Some(OWN), &routed, &v3()), Err(Drop::Ttl));
    let routed = Datagram { ttl: 254, destination: OWN, ..datagram() };
    assert!(check(&unicast(), Some(OWN), &routed, &v3()).is_ok());
}

#[test]
fn multicast_and_unicast_do_not_mix() {
    let sent_to_us = Datagram { destination: OWN, ..datagram() };
    assert_eq!(check(&router(100), Some(OWN), &sent_to_us, &v3()), Err(Drop::Transport));
    assert_eq!(check(&unicast(), Some(OWN), &datagram(), &v3()), Err(Drop::Transport));
}

#[test]
fn unicast_comes_from_a_peer_where_that_is_asked_for() {
    let stranger = Datagram { source: LOWER, destination: OWN, ..datagram() };
    assert_eq!(check(&unicast(), Some(OWN), &stranger, &v3()).map(|heard| heard.source), Ok(LOWER));
    let mut checks = unicast();
    checks.conduct.check_source = true;
    assert_eq!(check(&checks, Some(OWN), &stranger, &v3()), Err(Drop::NotAPeer));
    assert!(check(&checks, Some(OWN), &Datagram { destination: OWN, ..datagram() }, &v3()).is_ok());
}

#[test]
fn versions_do_not_mix() {
    assert_eq!(check(&router(100), Some(OWN), &datagram(), &v2()), Err(Drop::Version));
    let second = VirtualRouter { version: Version::V2, ..router(100) };
    assert_eq!(check(&second, Some(OWN), &datagram(), &v3()), Err(Drop::Version));
}

#[test]
fn version_2_compares_the_password_and_its_absence() {
    let open = VirtualRouter { version: Version::V2, ..router(100) };
    let closed = VirtualRouter { auth_pass: Some(mesh_config::model::Password(PASSWORD)), ..open.clone() };
    let with = |auth| Advertisement { auth, ..v2() };
    let right = with(Authentication::Pass(PASSWORD));
    assert!(check(&closed, Some(OWN), &datagram(), &right).is_ok());
    assert_eq!(check(&open, Some(OWN), &datagram(), &right), Err(Drop::Authentication));
    assert_eq!(check(&closed, Some(OWN), &datagram(), &v2()), Err(Drop::Authentication));
    let wrong = with(Authentication::Pass(*b"Secret\0\0"));
    assert_eq!(check(&closed, Some(OWN), &datagram(), &wrong), Err(Drop::Authentication));
}

#[test]
fn version_2_compares_the_interval() {
    let second = VirtualRouter { version: Version::V2, ..router(100) };
    let slow = packet(mesh_wire::vrrp::Version::V2, Duration::from_secs(2));
    assert_eq!(check(&second, Some(OWN), &datagram(), &slow), Err(Drop::Interval));
    assert!(check(&second, Some(OWN), &datagram(), &v2()).is_ok());
}

#[test]
fn our_own_packet_is_nobodys() {
    let own = Datagram { source: OWN, ..datagram() };
    assert_eq!(check(&router(100), Some(OWN), &own, &v3()), Err(Drop::Own));
    assert!(check(&router(100), None, &own, &v3()).is_ok(), "without a source there is nothing to compare");
}

#[test]
fn another_address_list_is_no_reason() {
    let other = Advertisement { addresses: vec![OWN], ..v3() };
    assert!(check(&router(100), Some(OWN), &datagram(), &other).is_ok());
}
