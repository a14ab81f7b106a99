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

/// After these were to be added to eth0, of which the kernel refused the first.
fn after_adding(addresses: &[IpAddr]) -> Failures {
    let mut failures = Failures::default();
    for address in addresses {
        let address = mesh_config::model::VirtualAddress::new(ipnet::IpNet::new(*address, 24).unwrap());
        failures.note_addition(&Action::AddAddress { interface: "eth0".to_owned(), address, lifetime_s: 3 });
    }
    failures.note(&Effect::Address { interface: "eth0".to_owned(), address: addresses[0] }, false);
    failures
}

fn announce(interface: &str, address: IpAddr) -> Action {
    Action::Announce { interface: interface.to_owned(), address, count: 5 }
}

fn advertisement(interface: &str) -> Action {
    let [source, destination] = [VIP, IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18))];
    let envelope = mesh_wire::vrrp::Envelope::default();
    Action::SendAdvertisement { interface: interface.to_owned(), source, destination, envelope, payload: Vec::new() }
}

#[test]
fn an_address_that_could_not_be_added_is_not_announced() {
    assert!(!failed(&[]).forbid(&announce("eth0", VIP)));
    let failures = after_adding(&[VIP]);
    assert!(failures.forbid(&announce("eth0", VIP)));
    assert!(failures.forbid(&advertisement("eth0")), "nothing is served there that was not before");
    assert!(!failures.forbid(&announce("eth1", VIP)));
    assert!(!failures.forbid(&advertisement("eth1")));
}

#[test]
fn an_address_that_could_not_be_added_does_not_silence_others() {
    let other = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 81));
    let failures = after_adding(&[VIP, other]);
    assert!(failures.forbid(&announce("eth0", VIP)));
    assert!(!failures.forbid(&announce("eth0", other)));
    assert!(!failures.forbid(&advertisement("eth0")), "a router is served");
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
