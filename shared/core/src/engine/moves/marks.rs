//! What operators decided: where a router shall be, and which director shall be empty.
//!
//! Each mark is gossiped by all directors and witnesses that know it, and the one with the highest version counts. So
//! it outlives whoever was told, and a member that starts again learns it from the others; when all
//! members stop at once, marks are gone.

use std::collections::BTreeMap;

use mesh_wire::mesh::gossip::{DRAIN_PREFIX, Drain, DrainReport, PIN_PREFIX, PinReport};
use mesh_wire::mesh::roster::Role;
use mesh_wire::mesh::{NodeId, RouterKey};
use serde::Serialize;

use super::super::Engine;
use crate::lease::voter::MAX_ROUTERS;
use crate::time::Instant;

/// Marks with the highest version heard.
#[derive(Debug, Default)]
pub(in crate::engine) struct Marks {
    pins: BTreeMap<RouterKey, PinReport>,
    drains: BTreeMap<NodeId, DrainReport>,
}

impl Marks {
    /// Where the operator wants a router.
    pub(in crate::engine) fn pin(&self, router: &RouterKey) -> Option<NodeId> {
        self.pins.get(router)?.node
    }

    /// What the operator wants of a director.
    pub(in crate::engine) fn drain(&self, node: NodeId) -> Drain {
        self.drains.get(&node).map_or(Drain::No, |d| d.drain)
    }

    /// The same as it is told.
    pub(super) fn drain_report(&self, node: NodeId) -> Option<DrainReport> {
        self.drains.get(&node).copied()
    }

    /// Directors with any wish but the usual one.
    pub(in crate::engine) fn drains(&self) -> impl Iterator<Item = (NodeId, Drain)> + '_ {
        self.drains.values().filter(|d| d.drain != Drain::No).map(|d| (d.node, d.drain))
    }

    /// All of them, for somebody who may know none.
    pub(super) fn all(&self) -> (Vec<PinReport>, Vec<DrainReport>) {
        (self.pins.values().copied().collect(), self.drains.values().copied().collect())
    }

    /// Whether there is any, so that somebody has to look.
    pub(in crate::engine) fn any(&self) -> bool {
        self.drains().next().is_some() || self.pins.values().any(|p| p.node.is_some())
    }
}

impl Engine {
    /// A gossiped value, which may be a mark.
    pub(in crate::engine) fn hear_mark(&mut self, now: Instant, key: &str, value: Option<&str>) {
        let Some(value) = value else { return };
        if key.starts_with(PIN_PREFIX) {
            if let Ok(pin) = serde_json::from_str::<PinReport>(value) {
                self.note_pin(now, pin);
            }
        } else if key.starts_with(DRAIN_PREFIX)
            && let Ok(drain) = serde_json::from_str::<DrainReport>(value)
        {
            self.note_drain(now, drain);
        }
    }

    /// Whether an operator wants a router elsewhere than on this director, which may not know yet: one that is drained
    /// or comes back from that gets by plan what belongs to it.
    pub(in crate::engine) fn is_kept_from(&self, node: NodeId, router: RouterKey) -> bool {
        let marks = &self.moves.marks;
        let first = self.members(router).into_iter().min().unwrap_or(router);
        marks.drain(node) != Drain::No || marks.pin(&first).is_some_and(|pin| pin != node)
    }

    /// The operator's word on where a router shall be, from here on.
    pub(in crate::engine) fn set_pin(&mut self, now: Instant, router: RouterKey, node: Option<NodeId>) {
        let marks = &self.moves.marks;
        if marks.pin(&router) != node {
            let version = marks.pins.get(&router).map_or(0, |p| p.version).saturating_add(1);
            self.note_pin(now, PinReport { router, node, version, by: self.setup.node });
        }
    }

    /// The operator's word on whether a director shall be empty, from here on.
    pub(in crate::engine) fn set_drain(&mut self, now: Instant, node: NodeId, drain: Drain) {
        let marks = &self.moves.marks;
        if marks.drain(node) != drain {
            let version = marks.drains.get(&node).map_or(0, |d| d.version).saturating_add(1);
            self.note_drain(now, DrainReport { node, drain, version, by: self.setup.node });
        }
    }

    /// It was removed: nothing can be kept there, and nobody waits for it to be empty.
    pub(in crate::engine) fn forget_marks_of(&mut self, now: Instant, node: NodeId) {
        if self.moves.marks.drains.remove(&node).is_some() {
            self.withdraw(format!("{DRAIN_PREFIX}{node}"));
        }
        let pinned = self.moves.marks.pins.values().filter(|p| p.node == Some(node)).map(|p| p.router);
        for router in pinned.collect::<Vec<_>>() {
            self.set_pin(now, router, None);
        }
    }

    pub(super) fn note_pin(&mut self, now: Instant, pin: PinReport) {
        let pins = &mut self.moves.marks.pins;
        let known = pins.get(&pin.router).map(|p| (p.version, p.by));
        if pin.router.vrid == 0 || known.is_none() && pins.len() >= MAX_ROUTERS || known >= Some((pin.version, pin.by))
        {
            return;
        }
        pins.insert(pin.router, pin);
        self.repeat(now, format!("{PIN_PREFIX}{}", pin.router), &pin);
    }

    pub(super) fn note_drain(&mut self, now: Instant, drain: DrainReport) {
        let drains = &mut self.moves.marks.drains;
        let known = drains.get(&drain.node).map(|d| (d.version, d.by));
        let member = self.roster.as_ref().is_some_and(|r| r.member(drain.node).is_some());
        if !member || known >= Some((drain.version, drain.by)) {
            return;
        }
        drains.insert(drain.node, drain);
        self.repeat(now, format!("{DRAIN_PREFIX}{}", drain.node), &drain);
    }

    fn repeat(&mut self, now: Instant, key: String, mark: &impl Serialize) {
        // Nobody heeds a server's.
        if self.role() != Role::Server {
            self.publish_value(key, super::super::json(mark));
        }
        self.note_places(now);
    }
}
