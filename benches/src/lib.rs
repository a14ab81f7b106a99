//! Fixtures the benchmarks share.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net};
use mesh_config::model::{Config, VirtualAddress, VirtualRouter};
use mesh_core::lease::memory::VoterStart;
use mesh_core::{Engine, Input, Instant, Setup, input};
use mesh_wire::mesh::roster::{Member, Role, Roster};
use mesh_wire::mesh::{Family, NodeId, RouterKey};

/// A configuration with `routers` virtual routers (at most 255) of `addresses` addresses each.
pub fn config(routers: u8, addresses: u8) -> Config {
    let router = |vrid: u8| VirtualRouter {
        addresses: (0..addresses).map(|i| address(vrid, i)).collect(),
        ..VirtualRouter::new(format!("VI_{vrid}"), RouterKey { family: Family::Ipv4, vrid, segment: 0 }, "eth0")
    };
    Config { routers: (1..=routers).map(router).collect(), ..Config::default() }
}

fn address(vrid: u8, i: u8) -> VirtualAddress {
    let net = Ipv4Net::new(Ipv4Addr::new(10, 7, vrid, i), 32).expect("32 is a prefix length");
    VirtualAddress::new(IpNet::V4(net))
}

/// An engine without a mesh whose interface is up, at `now`.
pub fn engine(config: Config, now: Instant) -> Engine {
    engine_in(None, config, now)
}

/// The same as the first of three voters; the others are nodes 2 and 3.
pub fn voter(config: Config, now: Instant) -> Engine {
    let member = |id: u8| Member {
        id: NodeId(u64::from(id)),
        name: format!("lb{id}"),
        address: SocketAddr::from(([10, 1, 1, 10 + id], 7946)),
        role: Role::Director,
        voter: true,
        vote: Default::default(),
    };
    let members = (1..=3).map(member).collect();
    let roster = Roster { cluster: "bench".to_owned(), epoch: 3, members, ..Roster::default() };
    engine_in(Some(roster), config, now)
}

fn engine_in(roster: Option<Roster>, config: Config, now: Instant) -> Engine {
    let setup = Setup {
        node: NodeId(1),
        name: "lb1".to_owned(),
        roster,
        successor: Default::default(),
        version: "bench".to_owned(),
        seed: 1,
        unix_at_zero: Duration::ZERO,
        voter: VoterStart::default(),
        adopted: Vec::new(),
        holds: Vec::new(),
    };
    let mut engine = Engine::new(setup, config, now);
    let net = Ipv4Net::new(Ipv4Addr::new(10, 1, 1, 11), 24).expect("24 is a prefix length");
    let (name, addresses, unusable) = ("eth0".to_owned(), vec![net.into()], Vec::new());
    engine.step(now, Input::Interface(input::Interface { name, running: true, addresses, unusable }));
    engine
}
