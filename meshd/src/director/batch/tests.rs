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
            Action::SweepAddresses { except: Default::default() },
            arm(2, 500),
        ]
    };
    assert_eq!(regroup(actions()), actions());
    // Of two points in time for one address the later one stays.
    assert_eq!(regroup(vec![arm(1, 400), announce(1), arm(1, 976)]), [arm(1, 400), arm(1, 976), announce(1)]);
}
