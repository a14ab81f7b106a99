//! A cold start of routers that the mesh places: nobody has served them since this node began, so directors take
//! what placement gives them, and not all of it the one that was started first.
//!
//! Who is not the director that a router is meant for stands back for a moment, and so does everybody as long as it does
//! not know all of the members. After that whoever wants it claims: addresses that nobody serves are worse than uneven
//! shares, which planned moves put right.

use std::time::Duration;

use mesh_wire::mesh::RouterKey;
use mesh_wire::mesh::roster::Role;

use super::Engine;
use crate::instance::Instance;
use crate::time::Instant;

/// For how long.
const STANDS_BACK: Duration = Duration::from_millis(1500);

impl Engine {
    /// Until when this node leaves a router to others, where it does.
    pub(super) fn stands_back(&mut self, now: Instant, key: RouterKey) -> Option<Instant> {
        let instance = self.instances.get(&key).filter(|i| self.is_cold(i))?;
        let until = instance.stands_back.unwrap_or(now + STANDS_BACK);
        let meant = self.is_meant_for_others(key);
        let instance = self.instances.get_mut(&key)?;
        instance.stands_back = Some(until);
        (meant && now < until).then_some(until)
    }

    /// Placement may have changed its mind: what is meant for this node now is claimed.
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
        self.roster.is_some() && self.config.spreads(&instance.config) && instance.heard.is_none()
    }

    fn is_meant_for_others(&self, key: RouterKey) -> bool {
        let first = self.members(key).into_iter().min().unwrap_or(key);
        match self.places.homes.get(&first) {
            Some(home) if *home != self.setup.node => true,
            // As far as this node knows.
            _ => !self.knows_all(),
        }
    }

    /// Whether all directors of the roster are there and have said what they have.
    fn knows_all(&self) -> bool {
        let directors = self.roster.iter().flat_map(|r| &r.members).filter(|m| m.role == Role::Director);
        let mut others = directors.filter(|m| m.id != self.setup.node);
        let knows = |peer: &crate::membership::Peer| peer.connected && peer.report.is_some();
        others.all(|m| self.membership.peer(m.id).is_some_and(knows))
    }
}
