//! What this node says of itself and of its routers, by gossip.

use std::collections::BTreeSet;

use mesh_wire::mesh::RouterKey;
use mesh_wire::mesh::gossip::{NODE_KEY, NodeReport, RouterReport};

use super::{Engine, addresses, json};
use crate::action::Action;
use crate::instance::Instance;
use crate::membership::router_key;

impl Engine {
    /// Gossips what changed about this node, and about those of its routers that may have.
    pub(super) fn publish(&mut self, routers: &BTreeSet<RouterKey>) {
        if self.roster.is_none() {
            return;
        }
        let role = self.role();
        let node = NodeReport {
            role,
            version: self.setup.version.clone(),
            config_digest: self.digest.clone(),
            draining: self.drains_here(),
            roster_epoch: self.roster.as_ref().map_or(0, |r| r.epoch),
            fits_since_unix_ms: self.others.fits_since,
            capacity: self.config.mesh.placement.capacity,
            hearing: self.hearings(),
            mute: self.mute_routers(),
            routers: self.instances.len() as u32,
        };
        // Looked at after every step, so nothing is written of what did not change.
        if self.reported_self.as_ref() != Some(&node) {
            self.publish_value(NODE_KEY.to_owned(), json(&node));
            self.reported_self = Some(node);
        }
        self.publish_serves();
        let stale = |i: &&Instance| !self.reported.get(&i.config.key).is_some_and(|r| self.is_reported(i, r));
        let here = routers.iter().filter_map(|key| self.instances.get(key));
        let changed: Vec<RouterReport> = here.filter(stale).map(|i| self.report(i)).collect();
        for mut report in changed {
            let parts = addresses::set_apart(&mut report);
            self.publish_value(router_key(&report.key), json(&report));
            // They are those of its configuration, and told with its first report.
            if self.reported.insert(report.key, report.clone()).is_none() {
                self.publish_addresses(report.key, parts);
            }
        }
    }

    pub(super) fn publish_value(&mut self, key: String, value: String) {
        if self.published.get(&key) != Some(&value) {
            self.published.insert(key.clone(), value.clone());
            self.out.push(Action::Publish { key, value: Some(value) });
        }
    }

    /// Whether a report still says all that can change while a router's configuration stays.
    fn is_reported(&self, instance: &Instance, report: &RouterReport) -> bool {
        let transition = &instance.transition;
        report.state == instance.state()
            && report.priority == instance.shown_priority()
            && report.place.as_ref().is_some_and(|p| p.base == instance.base)
            && report.epoch == instance.held_epoch()
            && report.source == instance.source
            && report.foreign == instance.foreign.map(|f| f.source)
            && report.because.as_ref() == instance.because()
            && report.lacks == instance.lacks.words()
            && report.held.as_ref().map(|held| held.until_unix_ms) == self.held_until(instance)
            && report.transition.at_unix_ms == self.unix_ms(transition.at)
            && report.transition.cause == transition.cause
            && report.transition.trace_id == transition.trace_id
    }

    pub(super) fn withdraw(&mut self, key: String) {
        if self.published.remove(&key).is_some() {
            self.out.push(Action::Publish { key, value: None });
        }
    }

    /// What this node says about one of its routers.
    pub(super) fn report(&self, instance: &Instance) -> RouterReport {
        RouterReport {
            key: instance.config.key,
            name: instance.config.name.clone(),
            interface: instance.config.interface.clone(),
            vips: instance.config.served().map(|a| a.net.to_string()).collect(),
            vips_parts: 0,
            state: instance.state(),
            priority: instance.shown_priority(),
            epoch: instance.held_epoch(),
            source: instance.source,
            foreign: instance.foreign.map(|f| f.source),
            transition: mesh_wire::mesh::gossip::Transition {
                at_unix_ms: self.unix_ms(instance.transition.at),
                cause: instance.transition.cause.clone(),
                trace_id: instance.transition.trace_id.clone(),
            },
            because: instance.because().cloned(),
            lacks: instance.lacks.words(),
            held: self.hold_report(instance),
            place: Some(self.place_report(instance)),
        }
    }
}
