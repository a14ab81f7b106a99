//! What a director has to know before it orders anything, or takes orders.
//!
//! Gossip reaches a director that has just started some tenths of a second after the first connection. Until then it
//! knows nothing of drains and pins, its own among them, and does not see who serves what. So whoever connects is told
//! the marks at once, and how many routers the other one has; what is ordered meanwhile waits until all that are there
//! have introduced themselves and gossip has told of their routers.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::gossip::{DrainReport, PinReport};
use mesh_wire::mesh::moves::{MOST_MARKS, MoveMessage};
use mesh_wire::mesh::roster::Role;

use super::super::Engine;
use crate::time::Instant;

/// Who says nothing for so long is of an earlier version, or has no time: it is not waited for any longer.
const INTRODUCED_WITHIN: Duration = Duration::from_secs(2);

/// Directors that are connected and not known well enough yet.
#[derive(Debug, Default)]
pub(super) struct Introductions {
    awaited: BTreeMap<NodeId, Awaited>,
}

#[derive(Debug)]
struct Awaited {
    until: Instant,
    /// How many routers it says it has, once it said so.
    routers: Option<u32>,
}

impl Introductions {
    /// When nobody is waited for any more.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.awaited.values().map(|a| a.until).max()
    }
}

impl Engine {
    /// A connection to this member stands, perhaps to another process than before.
    pub(in crate::engine) fn acquaint(&mut self, now: Instant, node: NodeId) {
        self.lost_wishes(now, node);
        self.introduce(now, node);
    }

    fn introduce(&mut self, now: Instant, to: NodeId) {
        if self.role() != Role::Director {
            return;
        }
        let (pins, drains) = self.moves.marks.all();
        let (pins, drains) = (first(pins), first(drains));
        let routers = self.instances.len() as u32;
        self.send_move(to, MoveMessage::Introduction { pins, drains, routers });
        let role = self.roster.as_ref().and_then(|r| r.member(to)).map(|m| m.role);
        if role == Some(Role::Director) {
            let awaited = Awaited { until: now + INTRODUCED_WITHIN, routers: None };
            self.moves.introductions.awaited.insert(to, awaited);
        }
    }

    /// What was just decided of a director, to all at once: what is ordered next must not arrive before it.
    pub(super) fn tell_drain(&mut self, node: NodeId) {
        let Some(drain) = self.moves.marks.drain_report(node) else { return };
        let routers = self.instances.len() as u32;
        let members = self.roster.iter().flat_map(|r| &r.members).filter(|m| m.role == Role::Director);
        let there = members.map(|m| m.id).filter(|id| self.membership.is_connected(*id)).collect::<Vec<_>>();
        for to in there {
            self.send_move(to, MoveMessage::Introduction { pins: Vec::new(), drains: vec![drain], routers });
        }
    }

    /// Who is gone is not waited for.
    pub(in crate::engine) fn forget_introduction(&mut self, node: NodeId) {
        self.moves.introductions.awaited.remove(&node);
    }

    /// A director says what it knows.
    pub(super) fn introduced(
        &mut self,
        now: Instant,
        from: NodeId,
        pins: Vec<PinReport>,
        drains: Vec<DrainReport>,
        routers: u32,
    ) {
        pins.into_iter().for_each(|pin| self.note_pin(now, pin));
        drains.into_iter().for_each(|drain| self.note_drain(now, drain));
        if let Some(awaited) = self.moves.introductions.awaited.get_mut(&from) {
            awaited.routers = Some(routers);
        }
    }

    /// Whether this node knows what all directors that are there know, and what they serve.
    pub(in crate::engine) fn is_informed(&self, now: Instant) -> bool {
        let told = |node: &NodeId, routers: u32| {
            let peer = self.membership.peer(*node).filter(|p| p.report.is_some());
            peer.is_some_and(|p| p.routers.len() >= routers as usize)
        };
        let mut awaited = self.moves.introductions.awaited.iter();
        awaited.all(|(node, a)| a.until <= now || a.routers.is_some_and(|routers| told(node, routers)))
    }
}

/// As many as a message may carry; gossip has all.
fn first<T>(mut marks: Vec<T>) -> Vec<T> {
    marks.truncate(MOST_MARKS);
    marks
}
