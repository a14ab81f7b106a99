//! Who owns the addresses (priority 255), and who has one without owning it: RFC 9568 sections 5.2.4, 6.1, 6.4, 7.1 and
//! 8.3.2; RFC 3768 has the same in sections 5.3.4 and 6.4.

use std::time::Duration;

use mesh_config::model::{Conduct, Version, VirtualRouter};
use mesh_conformance::*;
use mesh_core::input::Datagram;
use mesh_core::vrrp::down_interval;
use mesh_core::{Action, Input};

const BOTH: [Version; 2] = [Version::V2, Version::V3];
const SECOND: Duration = Duration::from_secs(1);

fn ignoring(priority: u8) -> VirtualRouter {
    let conduct = Conduct { owner_ignore_adverts: true, ..Conduct::default() };
    VirtualRouter { conduct, ..router(Version::V3, priority) }
}

#[test]
fn rfc_9568_7_1_erratum_8298_an_owner_tells_of_every_advert_at_a_bounded_rate() {
    let other = "10.1.1.12: VI_1: it advertises the addresses that this host owns and serves";
    for owner in [router(Version::V3, 255), ignoring(255)] {
        let mut owner = Host::new(owner);
        for n in 0..100 {
            owner.hears(ms(10 + n), HIGHER, &advert(Version::V3, 100));
            let expected = if n == 0 { vec![other.to_owned()] } else { Vec::new() };
            assert_eq!(owner.warnings(), expected, "advert {n}");
        }
        owner.hears(ms(60_010), HIGHER, &advert(Version::V3, 1));
        assert_eq!(owner.warnings(), [format!("{other} (100 times)")]);
    }
    let mut owner = Host::new(VirtualRouter { initial_active: false, ..router(Version::V3, 255) });
    owner.hears(ms(10), HIGHER, &advert(Version::V3, 100));
    assert_eq!(owner.warnings(), [""; 0], "while it does not serve, somebody has to");
}

#[test]
fn rfc_9568_7_1_and_8_3_2_an_owner_that_ignores_adverts_tells_of_a_second_owner_and_of_wrong_adverts() {
    let mut owner = Host::new(ignoring(255));
    owner.hears(ms(10), HIGHER, &advert(Version::V3, 255));
    assert_eq!(owner.warnings(), ["10.1.1.12: VI_1: it has priority 255, too, and only one can own the addresses"]);
    assert!(!owner.yields() && owner.sent().is_empty());
    owner.receives(ms(20), Datagram { ttl: 254, ..packet(LOWER.into(), &advert(Version::V3, 100)) });
    let dropped = ("10.1.1.10: VI_1: TTL or hop limit is not 255".to_owned(), 1);
    assert!(owner.drops().contains(&dropped), "{:?}", owner.drops());
}

#[test]
fn rfc_9568_6_1_and_3768_6_1_an_owner_preempts_whatever_is_configured() {
    for version in BOTH {
        let waits = VirtualRouter { preempt: false, initial_active: false, ..router(version, 255) };
        let mut owner = Host::new(waits.clone());
        let due = owner.deadline();
        owner.hears(ms(500), HIGHER, &advert(version, 254));
        assert_eq!((owner.deadline(), owner.takes_over_at()), (due, due), "{version:?}");
        let mut other = Host::new(VirtualRouter { priority: 254, ..waits });
        other.hears(ms(500), HIGHER, &advert(version, 253));
        assert!(other.takes_over_at() > due, "without preemption others wait");
    }
}

#[test]
fn deviation_9568_6_1_an_owner_that_begins_as_a_backup_waits_for_its_preempt_delay() {
    let delay = Duration::from_secs(8);
    let waits = VirtualRouter { initial_active: false, preempt_delay: delay, ..router(Version::V3, 255) };
    let mut owner = Host::new(waits);
    for second in 1..10 {
        owner.hears(ms(second * 1000), HIGHER, &advert(Version::V3, 100));
    }
    let last_heeded = ms(7000);
    assert_eq!(owner.takes_over_at(), last_heeded + down_interval(Version::V3, 255, SECOND, 3));
}

#[test]
fn deviation_9568_6_4_1_and_3768_6_4_1_an_owner_with_state_backup_waits_for_its_down_interval() {
    for version in BOTH {
        let mut owner = Host::new(VirtualRouter { initial_active: false, ..router(version, 255) });
        assert!(!owner.serves() && owner.sent().is_empty(), "{:#?}", owner.actions);
        assert_eq!(owner.takes_over_at(), ms(0) + down_interval(version, 255, SECOND, 3));
    }
}

#[test]
fn rfc_9568_6_4_1_and_3768_6_4_1_an_owner_advertises_again_after_its_interval() {
    for version in BOTH {
        let mut owner = Host::new(VirtualRouter { advert_interval: SECOND * 2, ..router(version, 255) });
        assert_eq!(owner.priorities(), [255]);
        let mut sent = Vec::new();
        while let Some((due, _)) = owner.engine.deadline().filter(|(due, _)| *due <= ms(6000)) {
            owner.step(due, Input::Timeout);
            sent.extend(owner.sent().iter().map(|_| due));
        }
        assert_eq!(sent, [ms(2000), ms(4000), ms(6000)], "{version:?}");
    }
}

#[test]
fn deviation_9568_6_4_2_an_owner_in_backup_keeps_the_addresses_of_its_host() {
    let mut owner = Host::new(router(Version::V3, 255));
    owner.has(ms(10), &["10.1.1.80/24"]);
    owner.hears(ms(20), HIGHER, &advert(Version::V3, 255));
    assert!(!owner.yields(), "its host would lose its own address");
    owner.step(ms(1100), Input::Timeout);
    assert!(owner.sent().is_empty(), "it is a backup all the same");
    let mut guest = Host::new(router(Version::V3, 255));
    guest.hears(ms(20), HIGHER, &advert(Version::V3, 255));
    assert!(guest.yields(), "what it brought goes");
}

const NEEDS_255: &str = "eth0: VI_1: 10.1.1.80 is there while this router does not serve it; a host's own address needs \
                         priority 255, or the router will take it away";

#[test]
fn rfc_9568_5_2_4_and_3768_5_3_4_who_has_an_address_of_its_own_is_told_that_it_needs_255() {
    for version in BOTH {
        let mut host = Host::new(router(version, 150));
        host.has(ms(0), &["10.1.1.80/24"]);
        host.hears(ms(600), HIGHER, &advert(version, 200));
        assert_eq!(host.warnings(), [NEEDS_255]);
        host.hears(ms(700), HIGHER, &advert(version, 200));
        assert_eq!(host.warnings(), [""; 0], "at a bounded rate");
        // Where nobody is heard, when it takes over.
        let mut host = Host::new(router(version, 150));
        host.has(ms(0), &["10.1.1.80/32"]);
        host.takes_over_at();
        assert_eq!(host.warnings(), [NEEDS_255]);
    }
    let mut owner = Host::new(VirtualRouter { initial_active: false, ..router(Version::V3, 255) });
    owner.has(ms(0), &["10.1.1.80/24"]);
    let due = owner.deadline();
    owner.step(due, Input::Timeout);
    assert_eq!(owner.priorities(), [255]);
    assert!(!owner.warnings().contains(&NEEDS_255.to_owned()), "{:?}", owner.warnings());
}

#[test]
fn rfc_9568_5_2_4_what_this_daemon_has_put_there_is_not_the_hosts_own() {
    let (mut host, at) = Host::active(router(Version::V3, 150));
    host.has(at, &["10.1.1.80/24"]);
    for n in 0..10 {
        host.hears(at + Duration::from_millis(n * 40), HIGHER, &advert(Version::V3, 200));
        assert_eq!(host.warnings(), [""; 0], "the kernel has not removed it yet");
    }
    host.has(at + SECOND, &[]);
    host.hears(at + SECOND, HIGHER, &advert(Version::V3, 200));
    assert_eq!(host.warnings(), [""; 0]);
    assert!(host.actions.iter().all(|action| !matches!(action, Action::DelAddress { .. })));
}
