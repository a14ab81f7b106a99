//! RFC 3768, VRRP version 2.

use std::time::Duration;

use mesh_config::model::{Conduct, Password, Version, VirtualRouter};
use mesh_conformance::*;
use mesh_core::Input;
use mesh_core::input::Datagram;
use mesh_core::vrrp::{down_interval, skew_time};
use mesh_wire::vrrp::{self, Advertisement, Authentication, ChecksumForm, GROUP, Interval};

fn v2(priority: u8) -> VirtualRouter {
    router(Version::V2, priority)
}

fn heard(priority: u8) -> Advertisement {
    advert(Version::V2, priority)
}

#[test]
fn rfc_3768_5_2_adverts_go_from_the_primary_address_to_the_group_with_ttl_255() {
    let (host, _) = Host::active(v2(150));
    let sent = &host.sent()[0];
    assert_eq!((sent.source, sent.destination, sent.envelope.ttl), (OWN.into(), GROUP.into(), 255));
}

#[test]
fn rfc_3768_5_2_3_a_ttl_other_than_255_is_discarded() {
    let mut host = Host::new(v2(150));
    let before = host.deadline();
    host.receives(ms(100), Datagram { ttl: 254, ..packet(HIGHER.into(), &heard(200)) });
    assert_eq!((host.deadline(), host.drops().len()), (before, 1));
}

#[test]
fn rfc_3768_5_3_the_packet_has_version_2_seconds_and_8_zero_bytes_at_its_end() {
    let (host, _) = Host::active(v2(150));
    let payload = &host.sent()[0].payload;
    assert_eq!(payload[..6], [0x21, VRID, 150, 1, 0, 1]);
    assert_eq!((payload.len(), &payload[8..12], &payload[12..]), (20, &VIP.octets()[..], &[0; 8][..]));
}

#[test]
fn rfc_3768_5_3_1_and_5_3_2_version_2_type_1_are_heard_and_others_discarded() {
    for first in [0x01, 0x11, 0x41, 0x20, 0x22, 0x2f] {
        let mut host = Host::new(v2(150));
        let before = host.deadline();
        let mut datagram = packet(HIGHER.into(), &heard(200));
        datagram.payload[0] = first;
        host.receives(ms(100), datagram);
        assert_eq!((host.deadline(), host.drops().len()), (before, 1), "{first:#x}");
    }
    let mut host = Host::new(v2(150));
    let before = host.deadline();
    host.hears(ms(100), HIGHER, &advert(Version::V3, 200));
    let reason = "10.1.1.12: VI_1: other VRRP version than configured".to_owned();
    assert_eq!((host.deadline(), host.drops()), (before, vec![(reason, 1)]));
}

#[test]
fn rfc_3768_5_3_3_another_vrid_is_not_for_us() {
    let (mut host, at) = Host::active(v2(150));
    host.hears(at, HIGHER, &Advertisement { vrid: 52, ..heard(250) });
    assert!(!host.yields() && host.sent().is_empty() && host.drops().is_empty());
}

#[test]
fn rfc_3768_5_3_4_priorities_are_255_for_the_owner_and_else_the_configured_one() {
    assert_eq!(Host::new(v2(255)).priorities(), [255]);
    for priority in [1, 100, 254] {
        assert_eq!(Host::active(v2(priority)).0.priorities(), [priority]);
    }
}

#[test]
fn rfc_3768_5_3_6_an_unknown_authentication_type_is_discarded() {
    for kind in [3, 255] {
        let mut payload = packet(HIGHER.into(), &heard(200)).payload;
        payload[4] = kind;
        // Where it runs below zero, one more is taken away.
        let (sum, below) = u16::from_be_bytes([payload[6], payload[7]]).overflowing_sub(u16::from(kind) << 8);
        payload[6..8].copy_from_slice(&(sum - u16::from(below)).to_be_bytes());
        assert_eq!(vrrp::parse(&payload, HIGHER, GROUP), Err(vrrp::Malformed::AuthenticationType(kind)));
    }
}

#[test]
fn rfc_3768_5_3_8_the_checksum_covers_the_message_alone() {
    let (host, _) = Host::active(v2(150));
    let sent = &host.sent()[0];
    assert_eq!(vrrp::parse(&sent.payload, sent.source, sent.destination).unwrap().1, ChecksumForm::Message);
    assert!(vrrp::parse(&sent.payload, HIGHER, sent.destination).is_ok(), "no addresses of the IP header");
}

#[test]
fn rfc_3768_5_3_10_authentication_data_is_ignored() {
    let mut payload = packet(HIGHER.into(), &heard(200)).payload;
    payload[18] = 1;
    let sum = u16::from_be_bytes([payload[6], payload[7]]) - 0x0100;
    payload[6..8].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(vrrp::parse(&payload, HIGHER, GROUP).map(|(advert, _)| advert), Ok(heard(200)));
}

#[test]
fn rfc_3768_6_1_the_skew_is_a_fraction_of_a_second_whatever_the_interval() {
    for (priority, seconds) in [(1, 1), (100, 5), (254, 255)] {
        let interval = Duration::from_secs(seconds);
        let skew = Duration::from_secs(1) * (256 - u32::from(priority)) / 256;
        assert_eq!(skew_time(Version::V2, priority, interval), skew);
        assert_eq!(down_interval(Version::V2, priority, interval, 3), interval * 3 + skew);
    }
}

#[test]
fn rfc_3768_6_4_1_an_owner_starts_as_master_and_others_as_backups() {
    let owner = Host::new(v2(255));
    assert_eq!((owner.priorities(), owner.announced()), (vec![255], vec![(VIP.into(), 5)]));
    let host = Host::new(v2(100));
    assert!(!host.serves() && host.sent().is_empty());
    assert_eq!(host.deadline(), ms(0) + Duration::from_micros(3_609_375));
}

#[test]
fn rfc_3768_6_4_2_a_backup_hears_priority_0_worthy_and_less_worthy_adverts() {
    let mut host = Host::new(v2(100));
    let before = host.deadline();
    host.hears(ms(100), HIGHER, &heard(99));
    assert_eq!(host.deadline(), before, "discarded");
    host.hears(ms(200), HIGHER, &heard(100));
    assert_eq!(host.deadline(), ms(200) + Duration::from_micros(3_609_375));
    host.hears(ms(300), HIGHER, &heard(0));
    assert_eq!(host.deadline(), ms(300) + Duration::from_micros(609_375));
}

#[test]
fn rfc_3768_6_4_3_a_master_resigns_answers_and_yields() {
    let (mut host, at) = Host::active(v2(150));
    host.hears(at, HIGHER, &heard(0));
    assert_eq!(host.priorities(), [150]);
    host.hears(at, LOWER, &heard(150));
    assert!(!host.yields());
    host.hears(at, HIGHER, &heard(150));
    assert!(host.yields() && host.sent().is_empty());
    let (mut host, at) = Host::active(v2(150));
    host.step(at, Input::Shutdown);
    assert_eq!(host.priorities(), [0]);
}

#[test]
fn rfc_3768_6_4_3_a_less_worthy_advert_is_discarded_where_that_is_asked_for() {
    let conduct = Conduct { lower_prio_no_advert: true, ..Conduct::default() };
    let (mut host, at) = Host::active(VirtualRouter { conduct, ..v2(150) });
    host.hears(at, HIGHER, &heard(149));
    assert!(host.sent().is_empty() && !host.yields());
}

#[test]
fn deviation_3768_6_4_3_a_less_worthy_advert_is_answered() {
    let (mut host, at) = Host::active(v2(150));
    host.hears(at, HIGHER, &heard(149));
    assert_eq!(host.priorities(), [150]);
}

#[test]
fn rfc_3768_6_1_preemption_is_on_by_default_and_without_it_a_backup_heeds_everybody() {
    assert!(v2(150).preempt);
    let mut host = Host::new(VirtualRouter { preempt: false, ..v2(100) });
    host.hears(ms(500), HIGHER, &heard(1));
    assert_eq!(host.deadline(), ms(500) + down_interval(Version::V2, 100, Duration::from_secs(1), 3));
}

#[test]
fn rfc_3768_6_4_2_shutdown_of_a_backup_cancels_its_timer_and_sends_nothing() {
    let mut host = Host::new(v2(150));
    host.step(ms(100), Input::Shutdown);
    assert_eq!((host.sent(), host.engine.deadline()), (Vec::new(), None));
}

#[test]
fn rfc_3768_6_4_3_a_master_advertises_every_interval() {
    let (mut host, at) = Host::active(VirtualRouter { advert_interval: Duration::from_secs(3), ..v2(150) });
    let mut sent = Vec::new();
    while let Some((due, _)) = host.engine.deadline().filter(|(due, _)| *due <= at + Duration::from_secs(9)) {
        host.step(due, Input::Timeout);
        sent.extend(host.sent().iter().map(|_| due));
    }
    assert_eq!(sent, [3, 6, 9].map(|seconds| at + Duration::from_secs(seconds)));
}

#[test]
fn rfc_3768_7_1_a_wrong_length_or_checksum_is_discarded() {
    let good = packet(HIGHER.into(), &heard(200));
    for at in 0..good.payload.len() {
        let mut host = Host::new(v2(150));
        let before = host.deadline();
        let mut payload = good.payload.clone();
        payload[at] ^= 0x80;
        host.receives(ms(100), Datagram { payload, ..good.clone() });
        assert_eq!((host.deadline(), host.drops().len()), (before, 1), "byte {at}");
        host.receives(ms(100), Datagram { payload: good.payload[..at].to_vec(), ..good.clone() });
        assert_eq!(host.deadline(), before, "cut at {at}");
    }
}

/// As erratum 8298 of RFC 9568 has it.
#[test]
fn deviation_3768_7_1_an_owner_reads_adverts() {
    let mut owner = Host::new(v2(255));
    owner.hears(ms(10), LOWER, &heard(255));
    assert!(!owner.yields());
    owner.hears(ms(10), HIGHER, &heard(255));
    assert!(owner.yields());
    let conduct = Conduct { owner_ignore_adverts: true, ..Conduct::default() };
    let mut owner = Host::new(VirtualRouter { conduct, ..v2(255) });
    owner.hears(ms(10), HIGHER, &heard(255));
    assert!(!owner.yields() && owner.sent().is_empty(), "by the letter");
}

#[test]
fn rfc_3768_7_1_another_interval_is_discarded() {
    let mut host = Host::new(v2(100));
    let before = host.deadline();
    let interval = Interval::new(vrrp::Version::V2, Duration::from_secs(2)).unwrap();
    host.hears(ms(100), HIGHER, &Advertisement { interval, ..heard(200) });
    let reason = "10.1.1.12: VI_1: advertisement interval differs".to_owned();
    assert_eq!((host.deadline(), host.drops()), (before, vec![(reason, 1)]));
}

#[test]
fn rfc_3768_7_1_another_authentication_is_discarded() {
    for auth in [Authentication::Pass(*b"secret\0\0"), Authentication::Header] {
        let mut host = Host::new(v2(100));
        let before = host.deadline();
        host.hears(ms(100), HIGHER, &Advertisement { auth, ..heard(200) });
        let reason = "10.1.1.12: VI_1: authentication differs".to_owned();
        assert_eq!((host.deadline(), host.drops()), (before, vec![(reason, 1)]));
    }
}

#[test]
fn deviation_3768_7_1_other_addresses_are_heeded() {
    let mut host = Host::new(v2(100));
    host.hears(ms(100), HIGHER, &Advertisement { addresses: vec![HIGHER.into()], ..heard(200) });
    assert_eq!(host.deadline(), ms(100) + Duration::from_micros(3_609_375));
}

#[test]
fn deviation_3768_5_3_6_a_password_is_sent_where_it_is_configured() {
    let (host, _) = Host::active(VirtualRouter { auth_pass: Some(Password::new(b"secret12345")), ..v2(150) });
    assert_eq!(host.sent()[0].advert().auth, Authentication::Pass(*b"secret12"));
}
