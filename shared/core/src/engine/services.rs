//! What this machine and that of the services ([`crate::services`]) tell each other: who is there
//! and serves what, and which addresses this host should not serve.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use mesh_wire::mesh::RouterKey;

use super::Engine;
use crate::action::Action;
use crate::instance::Instance;
use crate::services::input::{Member, Surroundings};
use crate::time::Instant;
use crate::vrrp::OWNER_PRIORITY;

/// Changes within this time are told together: many routers may move at once.
const TELL_PAUSE: Duration = Duration::from_millis(20);

/// Effective priority of a router that is better served by another director: it serves if nobody else can.
const UNFIT_PRIORITY: u8 = 1;

/// What the services were told and have said.
#[derive(Debug, Default)]
pub(super) struct Neighbour {
    /// When to look whether there is something new to tell.
    pub(super) tell_at: Option<Instant>,
    told: Option<Surroundings>,
    /// Addresses to be served by somebody else, and why.
    unfit: BTreeMap<IpAddr, String>,
}

impl Engine {
    /// Something changed that services may have to know.
    pub(super) fn note_surroundings(&mut self, now: Instant) {
        self.note_places(now);
        self.note_standing(now);
        if !self.config.virtual_servers.is_empty() || self.config.lvs.sync.is_some() {
            self.neighbour.tell_at.get_or_insert(now + TELL_PAUSE);
        }
    }

    /// Tells the services who is there and serves what, where that is not what it was.
    pub(super) fn tell_surroundings(&mut self, now: Instant) {
        if self.neighbour.tell_at.is_none_or(|at| at > now) {
            return;
        }
        self.neighbour.tell_at = None;
        let surroundings = self.surroundings(now);
        if self.neighbour.told.as_ref() != Some(&surroundings) {
            self.neighbour.told = Some(surroundings.clone());
            self.out.push(Action::TellServices(surroundings));
        }
    }

    fn surroundings(&self, now: Instant) -> Surroundings {
        let members = match &self.roster {
            Some(roster) => roster.members.iter().map(|m| (m.id, self.member(m.id, m.name.clone()))).collect(),
            None => [(self.setup.node, self.member(self.setup.node, self.setup.name.clone()))].into(),
        };
        let active = self.instances.values().filter(|i| i.vrrp.is_active());
        Surroundings { members, owners: self.owners(now), active_here: active.map(|i| i.config.name.clone()).collect() }
    }

    fn member(&self, id: mesh_wire::mesh::NodeId, name: String) -> Member {
        let role = self.roster.as_ref().and_then(|r| r.member(id)).map_or_else(|| self.role(), |m| m.role);
        let draining = |p: &crate::membership::Peer| p.report.as_ref().is_some_and(|r| r.draining);
        let alive = if id == self.setup.node {
            !self.drains_here()
        } else {
            self.membership.peer(id).is_some_and(|p| p.connected && !draining(p))
        };
        Member { name, role, alive }
    }

    fn owners(&self, now: Instant) -> BTreeMap<IpAddr, mesh_wire::mesh::NodeId> {
        let mut owners = BTreeMap::new();
        for key in self.known_routers() {
            let reports = self.reports(key);
            let Some(active) = self.active_node(now, key, &reports) else { continue };
            let vips = reports.iter().flat_map(|(_, _, r)| &r.vips).filter_map(|v| v.parse::<IpNet>().ok());
            owners.extend(vips.map(|net| (net.addr(), active)));
        }
        owners
    }

    /// The services say which addresses somebody else should serve. An owner hands over to a
    /// director that says nothing of the kind; where there is none, it stays.
    pub(super) fn set_unfit(&mut self, now: Instant, unfit: BTreeMap<IpAddr, String>) {
        let before = std::mem::replace(&mut self.neighbour.unfit, unfit);
        let changed: BTreeSet<IpAddr> =
            before.keys().chain(self.neighbour.unfit.keys()).filter(|a| !self.knows(&before, a)).copied().collect();
        for key in self.keys() {
            if self.instances[&key].config.served().any(|a| changed.contains(&a.net.addr())) {
                self.evaluate(now, key);
                self.hand_over_unfit(now, key);
            }
        }
    }

    fn knows(&self, before: &BTreeMap<IpAddr, String>, address: &IpAddr) -> bool {
        before.contains_key(address) == self.neighbour.unfit.contains_key(address)
    }

    pub(super) fn hand_over_unfit(&mut self, now: Instant, key: RouterKey) {
        let instance = &self.instances[&key];
        let Some(reason) = self.unfit_because(instance).filter(|_| instance.lease.is_held()) else { return };
        let candidates = self.group_candidates(key);
        let fit = candidates.iter().filter(|(_, priority)| *priority > UNFIT_PRIORITY);
        let Some((successor, _)) = fit.copied().max_by_key(|(_, priority)| *priority) else { return };
        let cause = format!("handed over to {}: {reason}", self.name_of(successor));
        self.retire(now, key, &cause, true, Some(successor));
    }

    pub(super) fn unfit_because(&self, instance: &Instance) -> Option<String> {
        let mut served = instance.config.served();
        let services = served.find_map(|address| self.neighbour.unfit.get(&address.net.addr()).cloned());
        services.or_else(|| self.mute_because(&instance.config.interface).map(str::to_owned))
    }

    /// The priority tracking gives, unless services are better reached from elsewhere, or nobody hears this
    /// node. The owner of the addresses keeps its own.
    pub(super) fn fit_priority(&self, instance: &Instance, priority: u8) -> u8 {
        let unfit = priority != OWNER_PRIORITY && self.unfit_because(instance).is_some();
        if unfit { UNFIT_PRIORITY } else { Self::placed_priority(instance, priority) }
    }
}
