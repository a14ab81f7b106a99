//! What a failed effect forbids in the same step.

use std::net::{IpAddr, Ipv4Addr};

use mesh_core::Instant;
use mesh_wire::mesh::{Family, NodeId, RouterKey, lease};

use super::*;

const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 80));

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
    let message = Message::Release(vec![lease::Release { router, epoch: 1, seq: 1, successor: None }]);
    Action::SendMessage { to: NodeId(2), message }
}

#[test]
fn an_address_that_could_not_be_added_is_not_announced() {
    let announce = Action::Announce { interface: "eth0".to_owned(), address: VIP, count: 5 };
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
    let none = Action::FenceInstall { addresses: Vec::new(), unaccepted: Vec::new() };
    assert!(!failed(&[]).forbid(&none));
    assert!(failed(&[(removal(), false)]).forbid(&none));
    assert!(
        !failed(&[(removal(), false)]).forbid(&Action::FenceInstall { addresses: vec![VIP], unaccepted: Vec::new() })
    );
}

#[test]
fn a_promise_that_would_be_forgotten_is_not_made() {
    let reply = lease::Reply { seq: 1, clock_ns: 1, roster_epoch: 3, verdicts: Vec::new() };
    let address = "10.1.1.80/24".parse().unwrap();
    let address = mesh_config::model::VirtualAddress::new(address);
    let promises = [
        Action::SendMessage { to: NodeId(2), message: Message::Reply(reply) },
        Action::FenceArm { addresses: vec![VIP], until: Instant::default() },
        Action::AddAddress { interface: "eth0".to_owned(), address, lifetime_s: 3 },
        Action::Announce { interface: "eth0".to_owned(), address: VIP, count: 5 },
    ];
    for promise in promises {
        assert!(!failed(&[]).forbid(&promise));
        assert!(failed(&[(Effect::Memory, false)]).forbid(&promise), "{promise:?}");
    }
    assert!(!failed(&[(Effect::Memory, false)]).forbid(&Action::FenceClose { addresses: vec![VIP] }));
    assert!(!failed(&[(Effect::Memory, false)]).forbid(&release()), "that is no promise");
}

#[test]
fn what_could_not_be_left_behind_is_handed_over_before_the_end() {
    assert!(!failed(&[]).forbid(&Action::Stopped));
    assert!(failed(&[(Effect::LeaveBehind, false)]).forbid(&Action::Stopped));
}
