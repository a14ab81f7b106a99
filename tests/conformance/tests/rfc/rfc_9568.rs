//! RFC 9568, VRRP version 3, with its errata.

use std::net::IpAddr;
use std::time::Duration;

use mesh_config::model::{ChecksumChoice, Conduct, Version, VirtualRouter};
use mesh_conformance::*;
use mesh_core::input::Datagram;
use mesh_core::vrrp::{down_interval, skew_time};
use mesh_core::{Action, Decision, Input};
use mesh_wire::arp;
use mesh_wire::vrrp::{self, Advertisement, ChecksumForm, GROUP, GROUP_V6, Interval};

fn v3(priority: u8) -> VirtualRouter {
    router(Version::V3, priority)
}

fn heard(priority: u8) -> Advertisement {
    advert(Version::V3, priority)
}

/// An advert whose sender has another interval.
fn every(priority: u8, millis: u64) -> Advertisement {
    let interval = Interval::new(vrrp::Version::V3, Duration::from_millis(millis)).unwrap();
    Advertisement { interval, ..heard(priority) }
}

fn with(conduct: Conduct, priority: u8) -> VirtualRouter {
    VirtualRouter { conduct, ..v3(priority) }
}

#[test]
fn rfc_9568_5_1_1_ipv4_adverts_go_from_the_primary_address_to_the_group_with_ttl_255() {
    let (host, _) = Host::active(v3(150));
    let sent = &host.sent()[0];
    assert_eq!((sent.source, sent.destination), (OWN.into(), GROUP.into()));
    assert_eq!((sent.envelope.ttl, sent.envelope.sealed), (255, None));
    assert_eq!(vrrp::IP_PROTOCOL, 112);
}

#[test]
fn rfc_9568_5_1_1_3_a_ttl_other_than_255_is_discarded() {
    for ttl in [0, 1, 64, 254] {
        let mut host = Host::new(v3(150));
        let before = host.deadline();
        host.receives(ms(100), Datagram { ttl, ..packet(HIGHER.into(), &heard(200)) });
        assert_eq!((host.deadline(), host.drops().len()), (before, 1), "TTL {ttl}");
    }
}

#[test]
fn rfc_9568_5_1_2_ipv6_adverts_go_from_the_link_local_address_to_the_group_with_hop_limit_255() {
    let (host, _) = Host::active(router_v6(150));
    let sent = &host.sent()[0];
    assert_eq!((sent.source, sent.destination), (OWN_V6.into(), GROUP_V6.into()));
    assert_eq!(sent.envelope.ttl, 255);
}

#[test]
fn rfc_9568_5_1_2_3_a_hop_limit_other_than_255_is_discarded() {
    let mut host = Host::new(router_v6(150));
    let before = host.deadline();
    host.receives(ms(100), Datagram { ttl: 254, ..packet(HIGHER_V6.into(), &advert_v6(200)) });
    assert_eq!((host.deadline(), host.drops().len()), (before, 1));
}

#[test]
fn rfc_9568_5_2_1_and_5_2_2_version_3_type_1_are_sent_and_others_discarded() {
    let (host, _) = Host::active(v3(150));
    assert_eq!(host.sent()[0].payload[0], 0x31);
    for first in [0x01, 0x11, 0x41, 0xf1, 0x30, 0x32, 0x3f] {
        let mut payload = packet(HIGHER.into(), &heard(200)).payload;
        payload[0] = first;
        assert!(vrrp::parse(&payload, HIGHER, GROUP).is_err(), "{first:#x}");
    }
}

#[test]
fn rfc_9568_5_2_3_the_vrid_is_ours_and_others_are_not_for_us() {
    let (mut host, at) = Host::active(v3(150));
    assert_eq!(host.sent()[0].payload[1], VRID);
    host.hears(at, HIGHER, &Advertisement { vrid: 52, ..heard(250) });
    assert!(!host.yields() && host.sent().is_empty() && host.drops().is_empty());
    let zero = Advertisement { vrid: 0, ..heard(250) };
    assert!(vrrp::parse(&packet(HIGHER.into(), &zero).payload, HIGHER, GROUP).is_err());
}

#[test]
fn rfc_9568_5_2_4_priorities_are_255_for_the_owner_0_for_who_resigns_and_else_the_configured_one() {
    let owner = Host::new(v3(255));
    assert_eq!(owner.priorities(), [255]);
    let (mut host, at) = Host::active(v3(1));
    assert_eq!(host.priorities(), [1]);
    host.step(at, Input::Shutdown);
    assert_eq!(host.priorities(), [0]);
}

/// Erratum 8299.
#[test]
fn rfc_9568_5_2_5_an_advert_without_addresses_is_ignored() {
    let mut host = Host::new(v3(150));
    let before = host.deadline();
    host.hears(ms(100), HIGHER, &Advertisement { addresses: Vec::new(), ..heard(200) });
    assert_eq!((host.deadline(), host.drops()), (before, vec![("10.1.1.12: VI_1: no addresses".to_owned(), 1)]));
}

#[test]
fn deviation_9568_5_2_5_an_election_without_addresses_hears_its_like() {
    let mut host = Host::new(VirtualRouter { addresses: Vec::new(), ..v3(150) });
    let before = host.deadline();
    host.hears(ms(100), HIGHER, &Advertisement { addresses: Vec::new(), ..heard(200) });
    assert!(host.deadline() > before && host.drops().is_empty());
}

#[test]
fn rfc_9568_5_2_6_reserved_bits_are_zero_when_sent_and_ignored_when_received() {
    let (host, _) = Host::active(v3(150));
    assert_eq!(host.sent()[0].payload[4] & 0xf0, 0);
    let mut payload = vrrp::emit(&heard(200), HIGHER, GROUP, ChecksumForm::Message);
    payload[4] |= 0xf0;
    // The checksum made right again: its sum grew by 0xf000.
    let sum = u32::from(u16::from_be_bytes([payload[6], payload[7]])) + 0x0fff;
    let sum = (sum & 0xffff) + (sum >> 16);
    payload[6..8].copy_from_slice(&(sum as u16).to_be_bytes());
    assert_eq!(vrrp::parse(&payload, HIGHER, GROUP).map(|(advert, _)| advert), Ok(heard(200)));
}

/// Erratum 8301: 1 to 4095.
#[test]
fn rfc_9568_5_2_7_the_interval_is_12_bits_of_centiseconds_and_never_0() {
    for (millis, bytes) in [(10, [0, 1]), (1000, [0, 100]), (40_950, [0x0f, 0xff])] {
        let (host, _) = Host::active(VirtualRouter { advert_interval: Duration::from_millis(millis), ..v3(150) });
        assert_eq!(host.sent()[0].payload[4..6], bytes);
    }
    for wrong in [0, 5, 40_960] {
        assert!(Interval::new(vrrp::Version::V3, Duration::from_millis(wrong)).is_err(), "{wrong} ms");
    }
    // One centisecond made zero, and the checksum right again.
    let mut payload = vrrp::emit(&every(200, 10), HIGHER, GROUP, ChecksumForm::Message);
    payload[5] = 0;
    let sum = u16::from_be_bytes([payload[6], payload[7]]) + 1;
    payload[6..8].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(vrrp::parse(&payload, HIGHER, GROUP), Err(vrrp::Malformed::Interval));
}

#[test]
fn rfc_9568_5_2_8_the_checksum_covers_the_message_alone_in_ipv4() {
    let (host, _) = Host::active(with(Conduct { checksum: ChecksumChoice::Message, ..Conduct::default() }, 150));
    let sent = &host.sent()[0];
    assert_eq!(vrrp::parse(&sent.payload, sent.source, sent.destination).unwrap().1, ChecksumForm::Message);
}

#[test]
fn rfc_9568_5_2_8_the_checksum_covers_a_pseudo_header_in_ipv6() {
    let (host, _) = Host::active(router_v6(150));
    let sent = &host.sent()[0];
    assert_eq!(vrrp::parse(&sent.payload, sent.source, sent.destination).unwrap().1, ChecksumForm::PseudoHeader);
    assert!(vrrp::parse(&sent.payload, HIGHER_V6, sent.destination).is_err(), "the source is covered");
}

#[test]
fn deviation_9568_5_2_8_ipv4_has_a_pseudo_header_until_a_neighbour_is_heard_without() {
    let (mut host, at) = Host::active(v3(150));
    let form = |host: &Host| {
        let sent = &host.sent()[0];
        vrrp::parse(&sent.payload, sent.source, sent.destination).unwrap().1
    };
    assert_eq!(form(&host), ChecksumForm::PseudoHeader);
    let payload = vrrp::emit(&heard(100), HIGHER, GROUP, ChecksumForm::Message);
    host.receives(at, Datagram { payload, ..packet(HIGHER.into(), &heard(100)) });
    assert_eq!(form(&host), ChecksumForm::Message, "accepted, and answered in kind");
}

#[test]
fn rfc_9568_5_2_9_addresses_of_the_other_family_are_served_and_not_sent() {
    let router = VirtualRouter { excluded_addresses: vec![address("2001:db8::80/64")], ..v3(150) };
    let (host, _) = Host::active(router);
    assert_eq!(host.sent()[0].advert().addresses, [IpAddr::from(VIP)]);
    let served: Vec<IpAddr> = host.announced().iter().map(|(address, _)| *address).collect();
    assert_eq!(served, [IpAddr::from(VIP), "2001:db8::80".parse().unwrap()]);
}

/// Erratum 8300.
#[test]
fn rfc_9568_5_2_9_the_first_ipv6_address_sent_is_link_local() {
    let (host, _) = Host::active(router_v6(150));
    let expected: [IpAddr; 2] = ["fe80::80", "2001:db8::80"].map(|a| a.parse().unwrap());
    assert_eq!(host.sent()[0].advert().addresses, expected);
}

#[test]
fn rfc_9568_6_1_skew_and_down_interval_follow_the_active_routers_interval() {
    for (priority, millis) in [(1, 1000), (100, 1000), (254, 10), (255, 10), (1, 40_950)] {
        let interval = Duration::from_millis(millis);
        let skew = interval * (256 - u32::from(priority)) / 256;
        assert!(!skew.is_zero());
        assert_eq!(skew_time(Version::V3, priority, interval), skew);
        assert_eq!(down_interval(Version::V3, priority, interval, 3), interval * 3 + skew);
    }
}

#[test]
fn rfc_9568_6_1_preempt_mode_is_on_by_default_and_the_owner_always_preempts() {
    assert!(v3(150).preempt);
    let mut owner = Host::new(VirtualRouter { preempt: false, ..v3(255) });
    assert!(owner.serves(), "{:#?}", owner.actions);
    owner.hears(ms(100), HIGHER, &heard(254));
    assert!(!owner.yields());
}

#[test]
fn rfc_9568_6_1_without_accept_mode_packets_for_the_addresses_are_dropped() {
    let refused = |conduct, priority| {
        let host = Host::new(with(conduct, priority));
        let last = host.actions.iter().rev().find_map(|action| match action {
            Action::FenceInstall { unaccepted, .. } => Some(unaccepted.clone()),
            _ => None,
        });
        last.expect("what is dropped is told at the start")
    };
    let shut = || Conduct { accept: false, ..Conduct::default() };
    assert_eq!(refused(shut(), 150), [IpAddr::from(VIP)]);
    assert!(refused(shut(), 255).is_empty(), "an owner always accepts");
    assert!(refused(Conduct::default(), 150).is_empty());
}

#[test]
fn deviation_9568_6_1_accept_mode_is_on_by_default() {
    assert!(v3(150).accepts());
}

#[test]
fn rfc_9568_6_4_1_an_owner_advertises_and_announces_at_once() {
    let host = Host::new(v3(255));
    assert_eq!((host.priorities(), host.announced()), (vec![255], vec![(VIP.into(), 5)]));
    let host = Host::new(router_v6(255));
    assert_eq!(host.priorities(), [255]);
    assert_eq!(host.announced().len(), 2, "each IPv6 address, by unsolicited neighbour advertisements");
}

#[test]
fn rfc_9568_6_4_1_a_backup_waits_for_its_whole_down_interval() {
    let host = Host::new(v3(100));
    assert!(host.sent().is_empty() && host.announced().is_empty() && !host.serves());
    assert_eq!(host.deadline(), ms(0) + Duration::from_micros(3_609_375));
}

#[test]
fn rfc_9568_6_4_2_shutdown_of_a_backup_cancels_its_timer_and_sends_nothing() {
    let mut host = Host::new(v3(150));
    host.step(ms(100), Input::Shutdown);
    assert!(host.sent().is_empty());
    assert_eq!(host.engine.deadline(), None);
}

#[test]
fn rfc_9568_6_4_2_when_the_down_timer_fires_it_advertises_and_announces() {
    let (host, at) = Host::active(v3(100));
    assert_eq!(at, ms(0) + Duration::from_micros(3_609_375));
    assert_eq!((host.priorities(), host.announced()), (vec![100], vec![(VIP.into(), 5)]));
}

#[test]
fn rfc_9568_6_4_2_priority_0_leaves_the_skew_alone() {
    let mut host = Host::new(v3(100));
    host.hears(ms(500), HIGHER, &heard(0));
    assert_eq!(host.deadline(), ms(500) + Duration::from_micros(609_375));
}

#[test]
fn rfc_9568_6_4_2_a_worthy_advert_resets_the_timer_to_its_senders_interval() {
    for (priority, millis) in [(100, 1000), (200, 100), (255, 4000)] {
        let mut host = Host::new(v3(100));
        host.hears(ms(500), HIGHER, &every(priority, millis));
        let interval = Duration::from_millis(millis);
        assert_eq!(host.takes_over_at(), ms(500) + down_interval(Version::V3, 100, interval, 3), "{priority}");
    }
}

#[test]
fn rfc_9568_6_4_2_a_less_worthy_advert_is_discarded_unless_preemption_is_off() {
    let mut host = Host::new(v3(100));
    let before = host.deadline();
    host.hears(ms(500), HIGHER, &heard(99));
    assert_eq!(host.deadline(), before);
    let mut host = Host::new(VirtualRouter { preempt: false, ..v3(100) });
    host.hears(ms(500), HIGHER, &heard(1));
    assert_eq!(host.deadline(), ms(500) + down_interval(Version::V3, 100, Duration::from_secs(1), 3));
}

#[test]
fn rfc_9568_6_4_3_shutdown_sends_priority_0() {
    let (mut host, at) = Host::active(v3(150));
    host.step(at, Input::Shutdown);
    assert!(host.yields());
    assert_eq!(host.priorities(), [0]);
}

#[test]
fn rfc_9568_6_4_3_an_active_router_advertises_every_interval() {
    let (mut host, at) = Host::active(VirtualRouter { advert_interval: Duration::from_millis(250), ..v3(150) });
    let mut sent = 0;
    while let Some((due, _)) = host.engine.deadline().filter(|(due, _)| *due <= at + Duration::from_secs(3)) {
        host.step(due, Input::Timeout);
        sent += host.sent().len();
    }
    assert_eq!(sent, 12);
}

#[test]
fn rfc_9568_6_4_3_priority_0_is_answered_and_the_timer_reset() {
    let (mut host, at) = Host::active(v3(150));
    host.hears(at + Duration::from_millis(400), HIGHER, &heard(0));
    assert_eq!(host.priorities(), [150]);
    host.step(at + Duration::from_millis(1399), Input::Timeout);
    assert!(host.sent().is_empty(), "not before a whole interval");
    host.step(at + Duration::from_millis(1400), Input::Timeout);
    assert_eq!(host.priorities(), [150]);
}

#[test]
fn rfc_9568_6_4_3_a_higher_priority_or_an_equal_one_with_a_higher_address_takes_over() {
    for (source, priority, yields) in
        [(LOWER, 151, true), (HIGHER, 150, true), (LOWER, 150, false), (HIGHER, 149, false)]
    {
        let (mut host, at) = Host::active(v3(150));
        host.hears(at, source, &every(priority, 2000));
        assert_eq!(host.yields(), yields, "{source} {priority}");
        if yields {
            assert!(host.sent().is_empty(), "it does not resign");
            assert_eq!(host.deadline(), at + down_interval(Version::V3, 150, Duration::from_secs(2), 3));
        }
    }
}

#[test]
fn rfc_9568_6_4_3_a_less_worthy_advert_is_answered_without_resetting_the_timer() {
    let (mut host, at) = Host::active(v3(150));
    host.hears(at + Duration::from_millis(400), HIGHER, &heard(149));
    assert_eq!(host.priorities(), [150]);
    host.step(at + Duration::from_millis(1000), Input::Timeout);
    assert_eq!(host.priorities(), [150], "on its old grid");
}

#[test]
fn rfc_9568_7_1_a_wrong_version_length_or_checksum_is_discarded() {
    let good = packet(HIGHER.into(), &heard(200));
    for at in 0..good.payload.len() {
        let mut host = Host::new(v3(150));
        let before = host.deadline();
        let mut payload = good.payload.clone();
        payload[at] ^= 0x80;
        host.receives(ms(100), Datagram { payload, ..good.clone() });
        assert_eq!((host.deadline(), host.drops().len()), (before, 1), "byte {at}");
        host.receives(ms(100), Datagram { payload: good.payload[..at].to_vec(), ..good.clone() });
        assert_eq!(host.deadline(), before, "cut at {at}");
    }
    let mut host = Host::new(v3(150));
    host.receives(ms(100), packet(HIGHER.into(), &advert(Version::V2, 200)));
    assert_eq!(host.drops(), [("10.1.1.12: VI_1: other VRRP version than configured".to_owned(), 1)]);
}

/// Erratum 8298: an owner reads adverts, and two owners resolve by their addresses.
#[test]
fn rfc_9568_7_1_erratum_8298_two_owners_resolve() {
    let mut owner = Host::new(v3(255));
    owner.hears(ms(10), LOWER, &heard(255));
    assert!(!owner.yields());
    owner.hears(ms(10), HIGHER, &heard(255));
    assert!(owner.yields());
}

#[test]
fn rfc_9568_7_1_an_owner_that_goes_by_the_letter_discards_adverts() {
    let conduct = Conduct { owner_ignore_adverts: true, ..Conduct::default() };
    let mut owner = Host::new(with(conduct, 255));
    owner.hears(ms(10), HIGHER, &heard(255));
    assert!(!owner.yields() && owner.sent().is_empty());
}

#[test]
fn rfc_9568_7_1_other_addresses_and_intervals_are_told_and_heeded() {
    let mut host = Host::new(v3(100));
    let other = Advertisement { addresses: vec![HIGHER.into()], ..every(200, 2000) };
    host.hears(ms(500), HIGHER, &other);
    let told =
        |host: &Host| host.actions.iter().filter(|a| matches!(a, Action::Record(Decision::Warning { .. }))).count();
    let shown = format!("{:?}", host.actions);
    assert!(shown.contains("other addresses") && shown.contains("every 2s, and every 1s is configured"), "{shown}");
    assert_eq!(told(&host), 2);
    for n in 0..100 {
        host.hears(ms(501 + n), HIGHER, &other);
        assert_eq!(told(&host), 0, "at a bounded rate");
    }
    assert_eq!(host.takes_over_at(), ms(600) + down_interval(Version::V3, 100, Duration::from_secs(2), 3));
}

/// As RFC 3768 section 5.3.4 has it for version 2.
#[test]
fn rfc_9568_8_3_2_a_second_owner_is_told_at_a_bounded_rate() {
    let mut owner = Host::new(v3(255));
    let mut told = 0;
    for n in 0..100 {
        owner.hears(ms(10 + n), LOWER, &heard(255));
        told += usize::from(format!("{:?}", owner.actions).contains("it has priority 255, too"));
    }
    assert_eq!(told, 1);
    let mut other = Host::new(v3(254));
    other.hears(ms(10), LOWER, &heard(255));
    assert!(!format!("{:?}", other.actions).contains("255, too"), "one owner is as it should be");
}

#[test]
fn rfc_9568_7_2_what_is_sent_says_what_is_configured() {
    let (host, _) = Host::active(v3(150));
    assert_eq!(host.sent()[0].advert(), heard(150));
}

/// Errata 7947 and 7949: a gratuitous ARP is a request whose sender and target are the virtual address.
#[test]
fn rfc_9568_8_1_2_gratuitous_arp_has_the_address_as_sender_and_target() {
    let mac = [2, 0, 0, 0, 0, 0x0a];
    let frame = arp::gratuitous_request(mac, VIP);
    assert_eq!(frame[..14], [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0x0a, 8, 6]);
    assert_eq!(frame[20..22], [0, 1], "a request");
    assert_eq!((&frame[22..28], &frame[28..32], &frame[38..42]), (&mac[..], &VIP.octets()[..], &VIP.octets()[..]));
}

/// As keepalived and FRR send it: the target's hardware address is broadcast, and not that of the virtual router.
#[test]
fn deviation_9568_6_4_1_and_6_4_2_gratuitous_arp_has_broadcast_as_its_target_hardware_address() {
    let frame = arp::gratuitous_request([0, 0, 0x5e, 0, 1, VRID], VIP);
    assert_eq!(frame[32..38], [0xff; 6]);
}

#[test]
fn deviation_9568_7_3_the_mac_address_is_the_interfaces() {
    let (host, _) = Host::active(v3(150));
    assert!(host.announced().contains(&(VIP.into(), 5)), "announced on the router's own interface, with its MAC");
}
