//! What the unit tests of several modules begin with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use mesh_config::model::{GratuitousArp, Policy, Scope, Transport, Version, VirtualAddress, VirtualRouter};
use mesh_wire::mesh::roster::{Member, Role, Roster, VotePolicy};
use mesh_wire::mesh::{Family, NodeId, RouterKey};

use crate::time::Instant;

/// The virtual address of [`router`].
pub(crate) const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 1, 80));

/// The key of [`router`].
pub(crate) const KEY: RouterKey = key(51);

pub(crate) const fn key(vrid: u8) -> RouterKey {
    RouterKey { family: Family::Ipv4, vrid, segment: 0 }
}

/// Milliseconds after the clock's zero.
pub(crate) const fn ms(n: u64) -> Instant {
    Instant::from_nanos(n * 1_000_000)
}

/// Microseconds after the clock's zero.
pub(crate) const fn us(n: u64) -> Instant {
    Instant::from_nanos(n * 1_000)
}

/// VI_1: version 3, adverts every second, [`VIP`] on eth0.
pub(crate) fn router(priority: u8) -> VirtualRouter {
    VirtualRouter {
        name: "VI_1".to_owned(),
        key: KEY,
        interface: "eth0".to_owned(),
        initial_active: false,
        priority,
        version: Version::V3,
        advert_interval: Duration::from_secs(1),
        preempt: true,
        preempt_delay: Duration::ZERO,
        auth_pass: None,
        transport: Transport::Multicast { source: None },
        addresses: vec![vip("10.1.1.80/24")],
        excluded_addresses: Vec::new(),
        track_scripts: Vec::new(),
        garp: GratuitousArp::default(),
        strict: false,
        skip_check_adv_addr: false,
        policy: Policy::default(),
    }
}

pub(crate) fn vip(net: &str) -> VirtualAddress {
    let net = net.parse().unwrap();
    VirtualAddress { net, interface: None, label: None, scope: Scope::Global, broadcast: None }
}

/// lb1 to lbN, all directors and voters, at epoch N as if they had joined one after another.
pub(crate) fn roster(n: u64) -> Roster {
    let member = |id: u64| Member {
        id: NodeId(id),
        name: format!("lb{id}"),
        address: SocketAddr::from(([10, 1, 1, 10 + id as u8], 7946)),
        role: Role::Director,
        voter: true,
        vote: VotePolicy::Auto,
    };
    Roster { cluster: "c0".to_owned(), epoch: n, members: (1..=n).map(member).collect(), ..Roster::default() }
}
