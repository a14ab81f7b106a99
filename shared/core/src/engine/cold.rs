//! A cold start: nobody has served a router since this node began, as far as it knows, so directors that come up
//! together take what is meant for them, and not all of it the one that was ready first. Power that comes back would
//! move each address twice otherwise.
//!
//! Where the mesh places routers, who is not the director that one is meant for stands back for a moment, and so does
//! everybody as long as it does not know all of the members. Elsewhere it is who knows of a worthier one that is there
//! and able; VRRP's own skew is a few milliseconds where adverts come often, less than two starts are apart. After that
//! whoever wants it claims: addresses that nobody serves are worse than uneven shares and than moves.

use std::time::Duration;

use mesh_wire::mesh::RouterKey;
use mesh_wire::mesh::roster::Role;

use super::Engine;
use crate::instance::Instance;
use crate::membership::Peer;
use crate::time::Instant;

/// For how long, where placement decides.
const STANDS_BACK: Duration = Duration::from_millis(1500);

/// For how long where priorities decide, at most. Who is worthier has begun to wait by the time that this node knows
/// of it, and claims within its own down interval: ours is no shorter.
const LETS_PASS: Duration = Duration::from_millis(500);

/// News about others within this time are looked at together: at such a start there are thousands.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// What is left to others for a moment.
#[derive(Debug, Default)]
pub(super) struct Cold {
    /// After that nothing is.
    until: Instant,
    /// When to look whether it still has to be.
    pub(super) look_at: Option<Instant>,
}

impl Engine {
    /// Until when this node leaves a router to others, where it does; its group waits once.
    pub(super) fn stands_back(&mut self, now: Instant, key: RouterKey) -> Option<Instant> {
        let instance = self.instances.get(&key).filter(|i| self.is_cold(i))?;
        let placed = self.config.spreads(&instance.config);
        let longest = if placed { STANDS_BACK } else { LETS_PASS.min(instance.vrrp.down_interval()) };
        let until = instance.stands_back.unwrap_or(now + longest);
        if now >= until || !self.is_meant_for_others(key) {
            return None;
        }
        for member in self.members(key) {
            self.instances.get_mut(&member)?.stands_back.get_or_insert(until);
        }
        self.cold.until = self.cold.until.max(until);
        Some(until)
    }

    /// Somebody serves it, or did: from now on it is claimed as soon as VRRP wants it.
    pub(super) fn note_served(&mut self, now: Instant, key: RouterKey) {
        if let Some(instance) = self.instances.get_mut(&key) {
            instance.stands_back = Some(instance.stands_back.map_or(now, |until| until.min(now)));
        }
    }

    /// Something else is known of the others.
    pub(super) fn note_others(&mut self, now: Instant) {
        if now < self.cold.until {
            self.cold.look_at.get_or_insert(now + LOOK_PAUSE);
        }
    }

    /// Looks at what is known of them now, if anything is new.
    pub(super) fn look_at_others(&mut self, now: Instant) {
        if self.cold.look_at.is_some_and(|at| at <= now) {
            self.cold.look_at = None;
            self.come_forward(now);
        }
    }

    /// What is meant for this node now is claimed.
    pub(super) fn come_forward(&mut self, now: Instant) {
        let stands_back = |i: &&Instance| i.stands_back.is_some_and(|until| now < until) && i.vrrp.is_backup();
        let waiting: Vec<RouterKey> = self.instances.values().filter(stands_back).map(|i| i.config.key).collect();
        for key in waiting {
            if self.is_cold(&self.instances[&key]) && !self.is_meant_for_others(key) {
                self.schedule_claim(now, key, now);
            }
        }
    }

    /// Whether nobody has served it since this node began, as far as it knows.
    fn is_cold(&self, instance: &Instance) -> bool {
        self.roster.is_some() && instance.heard.is_none()
    }

    fn is_meant_for_others(&self, key: RouterKey) -> bool {
        if !self.instances.get(&key).is_some_and(|i| self.config.spreads(&i.config)) {
            let unclear = |peer: &Peer| peer.connected && peer.has_more_to_say();
            return self.rank(&key) > 0 || self.others().flatten().any(unclear);
        }
        let first = self.members(key).into_iter().min().unwrap_or(key);
        match self.places.homes.get(&first) {
            Some(home) if *home != self.setup.node => true,
            // As far as this node knows.
            _ => !self.knows_all(),
        }
    }

    /// Whether all directors of the roster are there and have said what they have.
    fn knows_all(&self) -> bool {
        let knows = |peer: &Peer| peer.connected && peer.report.is_some() && !peer.has_more_to_say();
        self.others().all(|peer| peer.is_some_and(knows))
    }

    /// What is known about the other directors of the roster.
    fn others(&self) -> impl Iterator<Item = Option<&Peer>> {
        let directors = self.roster.iter().flat_map(|r| &r.members).filter(|m| m.role == Role::Director);
        directors.filter(|m| m.id != self.setup.node).map(|m| self.membership.peer(m.id))
    }
}
