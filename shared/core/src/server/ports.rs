//! Which of this host's own ports take connections.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use mesh_wire::mesh::gossip::PortState;

/// So many tries in a row without an answer mean that nobody takes connections: a full backlog for a
/// moment is load, not failure.
const SILENT_TRIES: u32 = 3;

/// How a try to connect ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Try {
    /// Connected.
    Accepted,
    /// Refused at once.
    Refused,
    /// No answer in time.
    Silent,
}

/// The ports of this host behind virtual servers.
#[derive(Clone, Debug, Default)]
pub(super) struct Ports(BTreeMap<SocketAddr, Port>);

#[derive(Clone, Copy, Debug, Default)]
struct Port {
    state: Option<PortState>,
    silent: u32,
}

impl Ports {
    /// These, and no others.
    pub(super) fn want(&mut self, wanted: &BTreeSet<SocketAddr>) {
        self.0.retain(|port, _| wanted.contains(port));
        for port in wanted {
            self.0.entry(*port).or_default();
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.0.keys().copied()
    }

    /// What changed, in words. A try that began before the port was given up says nothing.
    pub(super) fn tried(&mut self, address: SocketAddr, how: Try) -> Option<String> {
        let port = self.0.get_mut(&address)?;
        port.silent = if how == Try::Silent { port.silent.saturating_add(1) } else { 0 };
        let state = match how {
            Try::Accepted => PortState::Up,
            Try::Refused => PortState::Down,
            Try::Silent if port.silent >= SILENT_TRIES => PortState::Down,
            Try::Silent => return None,
        };
        if port.state.replace(state) == Some(state) {
            return None;
        }
        let why = match how {
            Try::Accepted => "takes connections",
            Try::Refused => "refuses connections",
            Try::Silent => "does not answer",
        };
        Some(format!("{address} {why}"))
    }

    /// In lists of so many; at least one, which may be empty.
    pub(super) fn told(&self, many: usize) -> Vec<BTreeMap<SocketAddr, PortState>> {
        let known: Vec<(SocketAddr, PortState)> =
            self.0.iter().filter_map(|(address, port)| Some((*address, port.state?))).collect();
        if known.is_empty() {
            return vec![BTreeMap::new()];
        }
        known.chunks(many).map(|some| some.iter().copied().collect()).collect()
    }
}
