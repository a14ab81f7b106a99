//! What a failed effect forbids in the same step.

use mesh_core::Decision;
use mesh_wire::mesh::{Family, NodeId, RouterKey, lease};

use super::*;

const VIP: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 80);

fn failed(effects: &[(Effect, bool)]) -> Failures {
    let mut failures = Failures::default();
    effects.iter().for_each(|(effect, closing)| failures.note(effect, *closing));
    failures
}

fn removal() -> Effect {
    Effect::Removal { interface: "eth0".to_owned(), address: VIP }
}

fn release() -> Action {
    let router = RouterKey { family: Family::Ipv4, vrid: 51, segment: 0 };
    let message = Message::Release(vec![lease::Release { router, epoch: 1, successor: None }]);
    Action::SendMessage { to: NodeId(2), message }
}

#[test]
fn an_address_that_could_not_be_added_is_not_announced() {
    let announce = Action::GratuitousArp { interface: "eth0".to_owned(), address: VIP, count: 5 };
    assert!(!failed(&[]).forbid(&announce));
    assert!(failed(&[(Effect::Address { interface: "eth0".to_owned(), address: VIP }, false)]).forbid(&announce));
}

#[test]
fn a_lease_is_not_given_away_while_neither_fence_nor_kernel_let_go() {
    assert!(!failed(&[(removal(), false)]).forbid(&release()), "the fence is closed");
    assert!(!failed(&[(Effect::Fence, true)]).forbid(&release()), "the address is gone");
    assert!(!failed(&[(removal(), false), (Effect::Fence, false)]).forbid(&release()), "opening failed, not closing");
    assert!(failed(&[(removal(), false), (Effect::Fence, true)]).forbid(&release()));
}

#[test]
fn a_fence_stays_around_an_address_that_could_not_be_removed() {
    let none = Action::FenceInstall { addresses: Vec::new() };
    assert!(!failed(&[]).forbid(&none));
    assert!(failed(&[(removal(), false)]).forbid(&none));
    assert!(!failed(&[(removal(), false)]).forbid(&Action::FenceInstall { addresses: vec![VIP] }));
}

#[test]
fn who_could_not_write_a_roster_has_not_accepted_it() {
    let yes = Action::RosterVerdict { ticket: 1, verdict: Ok(()) };
    assert!(!failed(&[]).forbid(&yes));
    assert!(failed(&[(Effect::Roster, false)]).forbid(&yes));
    let told = Action::Record(Decision::Warning { text: String::new() });
    assert!(!failed(&[(Effect::Roster, false)]).forbid(&told));
}

fn arm(last: u8, until_ms: u64) -> Action {
    let until = Instant::from_nanos(until_ms * 1_000_000);
    Action::FenceArm { addresses: vec![Ipv4Addr::new(10, 1, 1, last)], until }
}

fn add(last: u8) -> Action {
    let address = mesh_config::model::VirtualAddress {
        net: format!("10.1.1.{last}/32").parse().unwrap(),
        interface: None,
        label: None,
        scope: mesh_config::model::Scope::Global,
        broadcast: None,
    };
    Action::AddAddress { interface: "eth0".to_owned(), address, lifetime_s: 3 }
}

fn announce(last: u8) -> Action {
    Action::GratuitousArp { interface: "eth0".to_owned(), address: Ipv4Addr::new(10, 1, 1, last), count: 5 }
}

#[test]
fn many_takeovers_arm_once_and_add_together_before_anything_is_announced() {
    let actions = vec![arm(1, 976), add(1), announce(1), arm(2, 976), add(2), announce(2)];
    let both = Action::FenceArm {
        addresses: vec![Ipv4Addr::new(10, 1, 1, 1), Ipv4Addr::new(10, 1, 1, 2)],
        until: Instant::from_nanos(976_000_000),
    };
    assert_eq!(batch::regroup(actions), [both, add(1), add(2), announce(1), announce(2)]);
}

#[test]
fn nothing_is_moved_over_what_closes_or_gives_away() {
    let close = || Action::FenceClose { addresses: vec![Ipv4Addr::new(10, 1, 1, 1)] };
    let actions = || vec![arm(1, 976), close(), release(), arm(1, 1_200), add(2), Action::SweepAddresses, arm(2, 500)];
    assert_eq!(batch::regroup(actions()), actions());
    // Of two points in time for one address the later one stays.
    assert_eq!(batch::regroup(vec![arm(1, 400), announce(1), arm(1, 976)]), [arm(1, 400), arm(1, 976), announce(1)]);
}
