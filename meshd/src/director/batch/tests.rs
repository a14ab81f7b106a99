//! What may be moved, and over what not.

use std::net::IpAddr;

use mesh_core::Instant;
use mesh_wire::mesh::lease::{Message, Release};
use mesh_wire::mesh::{Family, NodeId, RouterKey};

use super::*;

fn release() -> Action {
    let router = RouterKey { family: Family::Ipv4, vrid: 51, segment: 0 };
    let message = Message::Release(vec![Release { router, epoch: 1, seq: 1, successor: None }]);
    Action::SendMessage { to: NodeId(2), message }
}

fn arm(last: u8, until_ms: u64) -> Action {
    let until = Instant::from_nanos(until_ms * 1_000_000);
    Action::FenceArm { addresses: vec![IpAddr::from([10, 1, 1, last])], until }
}

fn add(last: u8) -> Action {
    let address = mesh_config::model::VirtualAddress::new(format!("10.1.1.{last}/32").parse().unwrap());
    Action::AddAddress { interface: "eth0".to_owned(), address, lifetime_s: 3 }
}

fn announce(last: u8) -> Action {
    Action::Announce { interface: "eth0".to_owned(), address: IpAddr::from([10, 1, 1, last]), count: 5 }
}

#[test]
fn many_takeovers_arm_once_and_add_together_before_anything_is_announced() {
    let actions = vec![arm(1, 976), add(1), announce(1), arm(2, 976), add(2), announce(2)];
    let both = Action::FenceArm {
        addresses: vec![IpAddr::from([10, 1, 1, 1]), IpAddr::from([10, 1, 1, 2])],
        until: Instant::from_nanos(976_000_000),
    };
    assert_eq!(regroup(actions), [both, add(1), add(2), announce(1), announce(2)]);
}

#[test]
fn nothing_is_moved_over_what_closes_or_gives_away() {
    let close = || Action::FenceClose { addresses: vec![IpAddr::from([10, 1, 1, 1])] };
    let actions = || {
        vec![
            arm(1, 976),
            close(),
            release(),
            arm(1, 1_200),
            add(2),
            Action::SweepAddresses { except: Default::default(), configured: Default::default() },
            arm(2, 500),
        ]
    };
    assert_eq!(regroup(actions()), actions());
    // Of two points in time for one address the later one stays.
    assert_eq!(regroup(vec![arm(1, 400), announce(1), arm(1, 976)]), [arm(1, 400), arm(1, 976), announce(1)]);
}

fn close(last: u8) -> Action {
    Action::FenceClose { addresses: vec![IpAddr::from([10, 1, 1, last])] }
}

fn del(last: u8) -> Action {
    let address = mesh_config::model::VirtualAddress::new(format!("10.1.1.{last}/32").parse().unwrap());
    Action::DelAddress { interface: "eth0".to_owned(), address }
}

fn install(addresses: &[u8]) -> Action {
    let addresses = addresses.iter().map(|last| IpAddr::from([10, 1, 1, *last])).collect();
    Action::FenceInstall { addresses, unaccepted: Vec::new() }
}

#[test]
fn many_that_are_let_go_are_closed_at_once_and_removed_together_before_the_last_words() {
    let actions = vec![close(1), del(1), announce(1), close(2), del(2), announce(2), release()];
    let both = Action::FenceClose { addresses: vec![IpAddr::from([10, 1, 1, 1]), IpAddr::from([10, 1, 1, 2])] };
    assert_eq!(regroup(actions), [both, del(1), del(2), announce(1), announce(2), release()]);
}

#[test]
fn takeovers_and_retreats_keep_their_order() {
    let actions = vec![arm(1, 976), add(1), announce(1), close(1), del(1), announce(1), arm(1, 1200), add(1)];
    assert_eq!(regroup(actions.clone()), actions);
}

#[test]
fn a_fence_installed_for_each_of_many_is_installed_twice() {
    let opened = vec![install(&[2, 3, 4]), announce(1), install(&[3, 4]), announce(2), install(&[4]), announce(3)];
    let expected = [install(&[2, 3, 4]), announce(1), announce(2), install(&[4]), announce(3)];
    assert_eq!(regroup(opened), expected, "nothing is open sooner");
    let closed = vec![install(&[1]), del(1), install(&[1, 2]), del(2), install(&[1, 2, 3]), del(3)];
    let expected = [install(&[1, 2, 3]), del(1), del(2), install(&[1, 2, 3]), del(3)];
    assert_eq!(regroup(closed), expected, "nothing is closed later");
    let stop = vec![install(&[1, 2]), del(1), del(2), install(&[]), Action::Stopped];
    assert_eq!(regroup(stop.clone()), stop, "it is there until nothing is served");
}
