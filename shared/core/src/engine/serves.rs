//! What a director tells real servers: which virtual servers there are, and who stands behind them.
//! Only where a member is a server: nobody else reads it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use mesh_config::model::{self, Config, Endpoint, Tunnel, VirtualServer};
use mesh_wire::fnv;
use mesh_wire::mesh::gossip::{Forwarding, Protocol, SERVES_PREFIX, Served, ServesReport};
use mesh_wire::mesh::roster::Role;

use super::{Engine, json};
use crate::action::Action;

/// Longest list of virtual servers in one value, in bytes: half of what gossip passes on.
const LONGEST: usize = 7 * 1024;

/// Endpoints or real servers in one piece: 64 of both have less than [`LONGEST`] bytes.
const PIECE: usize = 64;

impl Engine {
    /// Tells it where that was not done yet, or is not true any more.
    pub(super) fn publish_serves(&mut self) {
        let has_servers = self.roster.as_ref().is_some_and(|r| r.has_servers());
        let wanted = has_servers && self.role() == Role::Director;
        if self.serves_told == (self.configured, wanted) {
            return;
        }
        self.serves_told = (self.configured, wanted);
        let parts = if wanted { reports(&self.config) } else { Vec::new() };
        let is_ours = |key: &String| key.starts_with(SERVES_PREFIX);
        let before: Vec<String> = self.published.keys().filter(|key| is_ours(key)).cloned().collect();
        let now: BTreeMap<String, String> =
            parts.iter().enumerate().map(|(n, part)| (format!("{SERVES_PREFIX}{n}"), json(part))).collect();
        for key in before.into_iter().filter(|key| !now.contains_key(key)) {
            self.published.remove(&key);
            self.out.push(Action::Publish { key, value: None });
        }
        for (key, value) in now {
            self.publish_value(key, value);
        }
    }
}

/// All parts; one without anything in it where there are no virtual servers.
fn reports(config: &Config) -> Vec<ServesReport> {
    let mut parts: Vec<Vec<Served>> = vec![Vec::new()];
    let mut length = 0;
    for piece in config.virtual_servers.iter().flat_map(pieces) {
        let more = json(&piece).len() + 1;
        if length + more > LONGEST {
            parts.push(Vec::new());
            length = 0;
        }
        length += more;
        parts.last_mut().expect("there is one from the start").push(piece);
    }
    let revision = fnv::hash(json(&parts).as_bytes());
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    parts.into_iter().map(|virtual_servers| ServesReport { revision, parts: count, virtual_servers }).collect()
}

/// A virtual server in pieces that each have room in one part.
fn pieces(server: &VirtualServer) -> Vec<Served> {
    let endpoints: Vec<SocketAddr> = server
        .endpoints
        .iter()
        .filter_map(|endpoint| match endpoint {
            Endpoint::Address(address) => Some(*address),
            Endpoint::Fwmark(..) => None,
        })
        .collect();
    let real_servers: Vec<(SocketAddr, Forwarding)> =
        server.real_servers.iter().map(|r| (r.address, forwarding(r.forwarding))).collect();
    let piece = |endpoints: &[SocketAddr], real_servers: &[(SocketAddr, Forwarding)]| Served {
        name: server.name.chars().take(PIECE).collect(),
        endpoints: endpoints.to_vec(),
        protocol: match server.protocol {
            model::Protocol::Tcp => Protocol::Tcp,
            model::Protocol::Udp => Protocol::Udp,
            model::Protocol::Sctp => Protocol::Sctp,
        },
        real_servers: real_servers.iter().copied().collect(),
    };
    // A service by marks has no endpoint and is told once all the same.
    let groups: Vec<&[SocketAddr]> = if endpoints.is_empty() { vec![&[]] } else { endpoints.chunks(PIECE).collect() };
    groups.iter().flat_map(|group| real_servers.chunks(PIECE).map(|some| piece(group, some))).collect()
}

fn forwarding(forwarding: model::Forwarding) -> Forwarding {
    match forwarding {
        model::Forwarding::Nat => Forwarding::Nat,
        model::Forwarding::DirectRouting => Forwarding::Dr,
        model::Forwarding::Tunnel(Tunnel::Ipip) => Forwarding::Tun,
        model::Forwarding::Tunnel(Tunnel::Gue(..)) => Forwarding::Gue,
        model::Forwarding::Tunnel(Tunnel::Gre(_)) => Forwarding::Gre,
    }
}
