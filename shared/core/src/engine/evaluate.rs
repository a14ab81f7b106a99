//! Whether routers can run, and with which priority: looked at again whenever anything it depends on may have
//! changed. A group has the faults of all its members.

use std::net::IpAddr;

use mesh_wire::mesh::RouterKey;

use super::Engine;
use crate::decision::{Decision, RouterEvent};
use crate::time::Instant;
use crate::tracking;

/// What a look at one router found.
struct Look {
    key: RouterKey,
    source: Option<IpAddr>,
    /// What is wrong with it.
    fault: Option<String>,
    /// What has to be known before it begins.
    awaits: Option<String>,
    /// Its effective priority; `None` leaves it as it was.
    priority: Option<u8>,
    /// What keeps that lower than it could be, in words.
    lowered: Option<String>,
}

impl Engine {
    /// Looks at everything a router needs to run, after any of it may have changed.
    pub(super) fn evaluate_all(&mut self, now: Instant) {
        for key in self.keys().into_iter().filter(|key| self.groups.leads(*key)).collect::<Vec<_>>() {
            self.evaluate(now, key);
        }
    }

    /// The same for one router, and all of its group.
    pub(super) fn evaluate(&mut self, now: Instant, key: RouterKey) {
        let members = self.members(key);
        if self.delays.holds(now) && members.iter().all(|m| self.is_new(m)) {
            return;
        }
        members.iter().for_each(|member| self.note_own_addresses(*member));
        let looks: Vec<Look> = members.iter().map(|member| self.look(now, *member)).collect();
        let first = looks.iter().find_map(|look| Some((look.key, look.fault.clone()?)));
        let unaware = first.as_ref().map_or_else(Vec::new, |(key, fault)| self.unaware(&members, *key, fault));
        let shared = first.map(|(key, fault)| self.shared(key, &fault));
        // As keepalived does, it waits for first results in no state that is told: who runs already goes on meanwhile.
        let waiting = shared.is_none() && members.iter().all(|m| self.instances[m].fault.is_some());
        let awaits = looks.iter().find_map(|look| look.awaits.clone()).filter(|_| waiting);
        // Interfaces become known one after another; until when they are waited for is in `adopted`.
        let waits = members.iter().any(|m| self.waits_for_interface(m));
        let (mut begun, mut inherits, mut ended) = (Vec::new(), Vec::new(), Vec::new());
        for look in looks {
            let Some(instance) = self.instances.get_mut(&look.key) else { return };
            instance.source = look.source;
            if let Some(priority) = look.priority {
                instance.vrrp.set_priority(priority);
                self.note_weights(look.key, look.lowered);
            }
            self.note_priority(look.key);
            let Some(instance) = self.instances.get_mut(&look.key) else { return };
            let inherited = look.fault.is_none() && shared.is_some();
            let fault = look.fault.or_else(|| shared.clone()).or_else(|| awaits.clone());
            let resumes = fault.is_none() && instance.adopted.is_some();
            // What is wrong while others are waited for is acted on when that is over.
            if waits || instance.fault == fault && !resumes {
                continue;
            }
            let was_fault = std::mem::replace(&mut instance.fault, fault.clone()).is_some();
            match fault {
                // It did not run before, either: there is nothing to tell.
                Some(_) if was_fault && (awaits.is_some() || inherited && !unaware.contains(&look.key)) => {}
                // Told after those it comes from.
                Some(fault) if inherited => inherits.push((look.key, fault)),
                Some(fault) => begun.push((look.key, fault)),
                None => ended.push((look.key, was_fault)),
            }
        }
        begun.append(&mut inherits);
        self.begin_faults(now, begun);
        self.end_faults(now, ended);
    }

    /// Members of a group that nothing was told of yet: as with keepalived they hear of another's fault at the start.
    fn unaware(&self, members: &[RouterKey], key: RouterKey, fault: &str) -> Vec<RouterKey> {
        let untold = |key: &RouterKey| self.instances[key].transition.trace_id.is_empty();
        let is_news = !untold(&key) || self.instances[&key].fault.as_deref() != Some(fault);
        members.iter().filter(|member| is_news && untold(member)).copied().collect()
    }

    /// Whether it has not taken part yet.
    fn is_new(&self, key: &RouterKey) -> bool {
        let instance = &self.instances[key];
        instance.adopted.is_none() && instance.fault.is_some() && !instance.vrrp.is_active()
    }

    fn waits_for_interface(&self, key: &RouterKey) -> bool {
        let instance = &self.instances[key];
        instance.adopted.is_some() && self.misses_interface(instance)
    }

    fn look(&mut self, now: Instant, key: RouterKey) -> Look {
        let instance = &self.instances[&key];
        let link = |name: &str| self.interfaces.get(name).is_some_and(|interface| interface.running);
        let tracked = self.tracking.effect(&instance.config, self.groups.config_of(key), &link, instance.goes_on);
        let missing = self.link_fault(instance).or_else(|| self.static_fault(&instance.config.name));
        let (mut fault, awaits, mut priority) = match tracked {
            tracking::Effect::Priority(priority) => (missing, None, Some(priority)),
            tracking::Effect::Awaits(priority, awaits) => (missing, Some(awaits), Some(priority)),
            tracking::Effect::Fault(fault) => (missing.or(Some(fault)), None, None),
        };
        let lowered = self.tracking.lowers(&instance.config, self.groups.config_of(key), &link, instance.goes_on);
        self.damp(now, key, &mut fault, &mut priority);
        let instance = &self.instances[&key];
        let fault = fault.or_else(|| instance.blocked.as_ref().map(|(_, reason)| reason.clone()));
        let priority = priority.map(|priority| self.fit_priority(instance, priority));
        Look { key, source: self.source_of(instance), fault, awaits, priority, lowered }
    }

    /// What keeps a router's priority low may be something else than before: that is told.
    fn note_weights(&mut self, key: RouterKey, lowered: Option<String>) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        if instance.lowered == lowered {
            return;
        }
        instance.lowered.clone_from(&lowered);
        let (name, priority) = (instance.config.name.clone(), instance.vrrp.priority());
        self.record(Decision::Weighed { name, key, priority, because: lowered });
    }

    /// All are let go of before the first is told to have a fault: it may be another's.
    fn begin_faults(&mut self, now: Instant, begun: Vec<(RouterKey, String)>) {
        for (key, fault) in &begun {
            self.instances.get_mut(key).expect("looked at above").veto = None;
            self.retire(now, *key, fault, true, None);
        }
        for (key, fault) in begun {
            self.instances.get_mut(&key).expect("looked at above").vrrp.shutdown();
            self.record_router(now, key, RouterEvent::Fault, 0, fault);
        }
    }

    fn end_faults(&mut self, now: Instant, ended: Vec<(RouterKey, bool)>) {
        let ending = self.ending();
        for (key, was_fault) in ended {
            let instance = self.instances.get_mut(&key).expect("looked at above");
            instance.veto = None;
            if instance.adopted.is_some() {
                self.resume(now, key);
            } else if was_fault && !ending {
                let verdict = instance.vrrp.startup(now);
                self.record_router(now, key, RouterEvent::Backup, 0, "ready".to_owned());
                self.follow(now, key, verdict);
            }
        }
    }
}
