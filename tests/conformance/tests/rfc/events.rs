//! Events and timers that both versions have: RFC 9568 section 6.4 and RFC 3768 section 6.4.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mesh_config::model::{Version, VirtualRouter};
use mesh_conformance::*;
use mesh_core::vrrp::down_interval;
use mesh_core::{Action, Input};
use mesh_wire::vrrp::{self, Advertisement, Interval};

const BOTH: [Version; 2] = [Version::V2, Version::V3];
const SECOND: Duration = Duration::from_secs(1);

/// Version 3, from somebody who advertises at another pace.
fn every(priority: u8, seconds: u64) -> Advertisement {
    let interval = Interval::new(vrrp::Version::V3, SECOND * seconds as u32).unwrap();
    Advertisement { interval, ..advert(Version::V3, priority) }
}

#[test]
fn rfc_9568_6_4_3_and_3768_6_4_3_after_its_shutdown_no_timer_is_left_and_nothing_is_sent() {
    for version in BOTH {
        let (mut host, at) = Host::active(router(version, 150));
        host.step(at + SECOND / 2, Input::Shutdown);
        assert_eq!((host.priorities(), host.engine.deadline()), (vec![0], None), "{version:?}");
        for second in 1..10 {
            host.step(at + SECOND * second, Input::Timeout);
            assert!(host.sent().is_empty() && host.announced().is_empty() && !host.serves());
            host.hears(at + SECOND * second, HIGHER, &advert(version, 1));
            assert!(host.sent().is_empty(), "it is in Initialize: adverts are nothing to it");
        }
    }
}

#[test]
fn rfc_9568_6_4_2_and_3768_6_4_2_when_the_down_timer_fires_each_address_is_told() {
    for version in BOTH {
        let addresses = vec![address("10.1.1.80/24"), address("10.1.1.81/24")];
        let (host, at) = Host::active(VirtualRouter { addresses, ..router(version, 100) });
        assert_eq!(at, ms(0) + down_interval(version, 100, SECOND, 3));
        assert_eq!(host.priorities(), [100]);
        let second = IpAddr::from(Ipv4Addr::new(10, 1, 1, 81));
        assert_eq!(host.announced(), [(IpAddr::from(VIP), 5), (second, 5)]);
        assert_eq!(host.sent()[0].advert().addresses, [VIP.into(), second]);
    }
}

/// It does not answer ARP, and accepts nothing: the addresses are not there.
#[test]
fn rfc_9568_6_4_2_and_3768_6_4_2_a_backup_has_none_of_the_addresses_and_says_nothing() {
    for version in BOTH {
        let mut host = Host::new(router(version, 150));
        for second in 1..10 {
            host.hears(ms(second * 1000), HIGHER, &advert(version, 200));
            assert!(!host.serves() && host.sent().is_empty() && host.announced().is_empty());
        }
    }
}

/// Nor does it answer neighbour solicitations.
#[test]
fn rfc_9568_6_4_2_a_backup_over_ipv6_has_none_of_the_addresses_and_says_nothing() {
    let mut host = Host::new(router_v6(150));
    for second in 1..10 {
        host.hears(ms(second * 1000), HIGHER_V6, &advert_v6(200));
        assert!(!host.serves() && host.sent().is_empty() && host.announced().is_empty());
    }
}

#[test]
fn rfc_9568_6_4_3_and_3768_6_4_3_priority_0_is_answered_and_the_timer_reset() {
    for version in BOTH {
        let (mut host, at) = Host::active(router(version, 150));
        let reset = at + Duration::from_millis(400);
        host.hears(reset, HIGHER, &advert(version, 0));
        assert_eq!(host.priorities(), [150]);
        host.step(at + SECOND, Input::Timeout);
        assert!(host.sent().is_empty(), "not on its old grid");
        host.step(reset + SECOND, Input::Timeout);
        assert_eq!(host.priorities(), [150]);
    }
}

#[test]
fn rfc_3768_6_4_3_after_yielding_the_down_timer_is_that_of_the_own_interval() {
    let (mut host, at) = Host::active(VirtualRouter { advert_interval: SECOND * 3, ..router(Version::V2, 150) });
    let interval = Interval::new(vrrp::Version::V2, SECOND * 3).unwrap();
    host.hears(at, HIGHER, &Advertisement { interval, ..advert(Version::V2, 151) });
    assert!(host.yields());
    assert_eq!(host.takes_over_at(), at + down_interval(Version::V2, 150, SECOND * 3, 3));
}

#[test]
fn rfc_9568_6_4_2_and_6_4_3_the_interval_of_a_less_worthy_advert_is_not_taken_over() {
    let mut host = Host::new(router(Version::V3, 100));
    host.hears(ms(500), HIGHER, &every(99, 4));
    assert_eq!(host.takes_over_at(), ms(0) + down_interval(Version::V3, 100, SECOND, 3));
    let (mut host, at) = Host::active(router(Version::V3, 150));
    host.hears(at, HIGHER, &every(149, 4));
    host.step(at + SECOND, Input::Timeout);
    assert_eq!(host.priorities(), [150], "at its own pace");
    assert_eq!(host.sent()[0].advert().advert_interval(), SECOND);
}

/// Of equal priorities the higher address wins, whatever its first bit.
#[test]
fn rfc_9568_6_4_3_and_3768_6_4_3_addresses_are_compared_as_numbers_without_a_sign() {
    for (source, yields) in [(Ipv4Addr::new(203, 0, 113, 1), true), (Ipv4Addr::new(9, 255, 255, 255), false)] {
        for version in BOTH {
            let (mut host, at) = Host::active(router(version, 150));
            host.hears(at, source, &advert(version, 150));
            assert_eq!(host.yields(), yields, "{source}");
        }
    }
    let high: Ipv6Addr = "fe80::8000:0:0:1".parse().unwrap();
    let low: Ipv6Addr = "fe80::10".parse().unwrap();
    for (source, yields) in [(high, true), (low, false)] {
        let (mut host, at) = Host::active(router_v6(150));
        host.hears(at, source, &advert_v6(150));
        assert_eq!(host.yields(), yields, "{source}");
    }
}

#[test]
fn rfc_9568_6_4_3_an_address_is_announced_only_once_it_is_there() {
    for router in [router(Version::V2, 150), router(Version::V3, 150), router_v6(150)] {
        let (host, _) = Host::active(router);
        let added = host.actions.iter().rposition(|action| matches!(action, Action::AddAddress { .. }));
        let announced = host.actions.iter().position(|action| matches!(action, Action::Announce { .. }));
        assert!(added.expect("it serves") < announced.expect("it tells"), "{:#?}", host.actions);
    }
}
