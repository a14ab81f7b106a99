use mesh_config::model::{LeaseTime, VirtualRouter};

use super::*;
use crate::fixture::{key, ms, router};

fn three() -> Instances {
    let mut instances = Instances::default();
    for vrid in 1..=3 {
        let config = VirtualRouter { key: key(vrid), ..router(100) };
        instances.insert(Instance::new(config, LeaseTime::Fast, ms(0)));
    }
    instances
}

/// All looks of a step, each of which changes the router and those that `more` gives.
fn looks(instances: &mut Instances, more: impl Fn(u8) -> Option<u8>) -> Vec<u8> {
    let mut order = Vec::new();
    let mut last = None;
    while let Some(at) = instances.look_after(last) {
        order.push(at.vrid);
        instances.get_mut(&at).unwrap().wants = Some("");
        if let Some(other) = more(at.vrid) {
            instances.get_mut(&key(other)).unwrap().wants = Some("");
        }
        last = Some(at);
    }
    order
}

#[test]
fn a_change_is_looked_at_once_and_a_look_changes_nothing_that_has_to_be_looked_at() {
    let mut instances = three();
    assert_eq!(looks(&mut instances, |_| None), [1, 2, 3]);
    assert!(looks(&mut instances, |_| None).is_empty());
    instances.get_mut(&key(2)).unwrap().wants = None;
    assert_eq!(looks(&mut instances, |_| None), [2]);
    instances.touch_all();
    assert_eq!(looks(&mut instances, |_| None), [1, 2, 3]);
}

#[test]
fn what_a_look_changes_elsewhere_is_looked_at_in_its_turn_or_in_the_next_step() {
    let mut instances = three();
    looks(&mut instances, |_| None);
    instances.get_mut(&key(2)).unwrap().wants = None;
    let neighbour = |vrid| match vrid {
        2 => Some(3),
        3 => Some(1),
        _ => None,
    };
    assert_eq!(looks(&mut instances, neighbour), [2, 3]);
    assert_eq!(looks(&mut instances, |_| None), [1]);
}

#[test]
fn every_way_to_change_a_router_is_noted() {
    let mut instances = three();
    assert_eq!(instances.take_changed(), [key(1), key(2), key(3)].into());
    assert!(instances.changed().is_empty());
    instances.get_mut(&key(3));
    assert!(instances.get_mut(&key(9)).is_none());
    assert_eq!(instances.take_changed(), [key(3)].into());
    instances.get_mut(&key(3));
    instances.get_mut(&key(3));
    assert_eq!(instances.take_changed(), [key(3)].into(), "again after it was taken");
    instances.remove(&key(1));
    assert_eq!(instances.take_changed(), [key(1)].into());
    assert_eq!(instances.values_mut().count(), 2);
    assert_eq!(instances.take_changed(), [key(2), key(3)].into());
}

#[test]
fn what_routers_wait_for_is_found_by_time_and_forgotten_with_them() {
    let mut instances = three();
    looks(&mut instances, |_| None);
    let at = |n, kind| Waits { first: Some((ms(n), kind)), ..Waits::default() };
    let serves = Waits { lease_end: Some(ms(70)), without_lease: true, ..at(30, TimerKind::Vrrp) };
    instances.put_in_index(key(1), Some(at(50, TimerKind::Claim)));
    instances.put_in_index(key(2), Some(serves));
    instances.put_in_index(key(3), Some(Waits { restless: true, ..Waits::default() }));
    assert_eq!(instances.first_timer(), Some((ms(30), TimerKind::Vrrp)));
    assert_eq!(instances.due(ms(49)).collect::<Vec<_>>(), [key(2)]);
    assert_eq!(instances.first_lease_end(), Some(ms(70)));
    assert!(instances.any_without_lease());
    instances.open_due(ms(49));
    assert_eq!(looks(&mut instances, |_| None), [2, 3]);

    instances.put_in_index(key(2), Some(at(60, TimerKind::Vrrp)));
    assert_eq!(instances.first_timer(), Some((ms(50), TimerKind::Claim)));
    assert_eq!(instances.first_lease_end(), None);
    assert!(!instances.any_without_lease());
    assert_eq!(instances.due(ms(60)).collect::<Vec<_>>(), [key(1), key(2)]);

    for vrid in 1..=3 {
        instances.put_in_index(key(vrid), None);
    }
    assert_eq!(instances.first_timer(), None);
    instances.open_due(ms(100));
    assert!(looks(&mut instances, |_| None).is_empty());
}
