//! Whose word counts for what. All members hold a certificate of the mesh, but web hosts are open to the world: one of
//! them that is taken over must not decide where addresses are. Directors are believed in everything; a witness in what
//! it may say; a server that votes in its vote and in rosters, one that does not in nothing but what it says of itself.

use mesh_wire::mesh::gossip::{DRAIN_PREFIX, NODE_KEY, PIN_PREFIX, ROUTER_PREFIX, SERVES_PREFIX};
use mesh_wire::mesh::lease::{Message, Verdict};
use mesh_wire::mesh::roster::{Member, Role};
use mesh_wire::mesh::{NodeId, RouterKey};

use super::Engine;
use crate::lease::{EPOCH_STRIDE, QUARANTINE};
use crate::time::Instant;

/// Why a message is not for its sender to send, if so.
fn objection(member: &Member, message: &Message) -> Option<&'static str> {
    let directs = member.role == Role::Director;
    let votes = member.voter || member.role != Role::Server;
    match message {
        Message::Request(_) | Message::Release(_) | Message::Preempt(_) | Message::Parting(_) => {
            (!directs).then_some("a message about leases of its own from a node that is no director")
        }
        // Grants of a director or witness that lost its vote still end.
        Message::Reply(_) | Message::Vacant(_) => (!votes).then_some("a voter's message from a server without a vote"),
        Message::Roster(_) | Message::Consensus(_) => {
            (!votes).then_some("a message about the roster from a server without a vote")
        }
        // Looked at where the kind of it is known.
        Message::Move(_) => None,
    }
}

/// Why a value is not for its sender to gossip, if so.
fn gossip_objection(role: Role, key: &str) -> Option<&'static str> {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| key.starts_with(prefix));
    match role {
        Role::Director => None,
        Role::Witness | Role::Server if begins(&[ROUTER_PREFIX, SERVES_PREFIX]) => {
            Some("gossip about virtual routers or services from a node that is no director")
        }
        Role::Server if begins(&[PIN_PREFIX, DRAIN_PREFIX]) => Some("gossip of operators' wishes from a server"),
        Role::Witness | Role::Server => None,
    }
}

impl Engine {
    fn known(&self, node: NodeId) -> Option<&Member> {
        self.roster.as_ref()?.member(node)
    }

    /// Whether a message is looked at; one that is not is counted.
    pub(super) fn heeds(&mut self, now: Instant, from: NodeId, message: &Message) -> bool {
        let objection = match self.known(from) {
            None => Some("mesh message from a node that is not in the roster"),
            Some(member) => objection(member, message),
        };
        objection.inspect(|reason| self.count_drop(now, from.to_string(), reason)).is_none()
    }

    /// Whether a gossiped value is looked at; one that is not is counted. That it is gone always is.
    pub(super) fn heeds_gossip(&mut self, now: Instant, node: NodeId, key: &str, value: Option<&str>) -> bool {
        let Some(member) = self.known(node).filter(|_| value.is_some()) else { return true };
        let objection = gossip_objection(member.role, key);
        objection.inspect(|reason| self.count_drop(now, node.to_string(), reason)).is_none()
    }

    /// Takes in what a member says of itself; gives the router that it says it serves now. What only directors see of
    /// segments and have of routers is left out of what others say.
    pub(super) fn hear_gossip(&mut self, node: NodeId, key: &str, value: Option<&str>) -> Option<RouterKey> {
        let served = self.membership.gossip(node, key, value);
        if key == NODE_KEY && self.known(node).is_some_and(|member| member.role != Role::Director) {
            let report = self.membership.peer_mut(node).report.as_mut();
            report.into_iter().for_each(|r| (r.mute, r.hearing, r.routers) = (Vec::new(), Vec::new(), 0));
        }
        served
    }

    /// Whether this is a web host.
    pub(super) fn is_server(&self, node: NodeId) -> bool {
        self.known(node).is_some_and(|member| member.role == Role::Server)
    }
}

/// A voter's answer to a claim under the epoch `asked`, as far as it can be true: one answer leads no further than a
/// stride, and nothing that a voter granted or forgot lasts longer than a quarantine.
pub(super) fn plausible(verdict: Verdict, asked: u64) -> Verdict {
    let bounded = |epoch: u64| epoch.min(asked.saturating_add(EPOCH_STRIDE));
    let lasts = |remaining_ms: u32| remaining_ms.min(QUARANTINE.as_millis() as u32);
    match verdict {
        Verdict::Granted { epoch } => Verdict::Granted { epoch: bounded(epoch) },
        Verdict::Held { owner, epoch, remaining_ms } => {
            Verdict::Held { owner, epoch: bounded(epoch), remaining_ms: lasts(remaining_ms) }
        }
        Verdict::Stale { max_epoch } => Verdict::Stale { max_epoch: bounded(max_epoch) },
        Verdict::Quarantine { remaining_ms } => Verdict::Quarantine { remaining_ms: lasts(remaining_ms) },
        Verdict::WrongRoster => Verdict::WrongRoster,
    }
}
