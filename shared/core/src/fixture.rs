//! What the unit tests of several modules begin with.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use mesh_config::model::{GratuitousArp, Version, VirtualAddress, VirtualRouter};
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

/// VI_1: version 3, adverts every second, [`VIP`] on eth0. Less worthy adverts are answered by one announcement, so
/// that the bursts of a new active router show.
pub(crate) fn router(priority: u8) -> VirtualRouter {
    let garp = GratuitousArp { lower_prio_repeat: 1, lower_prio_delay: Duration::ZERO, ..GratuitousArp::default() };
    VirtualRouter {
        garp,
        initial_active: priority == 255,
        priority,
        version: Version::V3,
        addresses: vec![vip("10.1.1.80/24")],
        ..VirtualRouter::new("VI_1", KEY, "eth0")
    }
}

pub(crate) fn vip(net: &str) -> VirtualAddress {
    VirtualAddress::new(net.parse().unwrap())
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
