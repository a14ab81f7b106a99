//! Routers that fall and recover too often are held back, where another director can serve them: see
//! [`crate::damping`].
//!
//! In a mesh only: it knows who else could serve, and a router alone does as keepalived does. What falls is a link, a
//! script or anything else that is tracked; a failed effect has a wait of its own, and so has a pool that does not
//! answer. Where a fall is a fault the fault goes on; where it is a lower priority that does, so that the router is
//! still there as the last choice.

use std::time::Duration;

use mesh_config::model::QuorumLoss;
use mesh_wire::mesh::RouterKey;
use mesh_wire::mesh::gossip::HoldReport;
use mesh_wire::mesh::roster::Role;

use super::Engine;
use crate::action::Action;
use crate::damping::Damper;
use crate::decision::Decision;
use crate::instance::Instance;
use crate::time::Instant;
use crate::vrrp::OWNER_PRIORITY;

/// A director that is not connected may be back by then.
const COMES_BACK_WITHIN: Duration = Duration::from_millis(500);

/// And a majority of the voters by then.
const MESH_BACK_WITHIN: Duration = Duration::from_secs(3);

/// What is told of holds, and what the next run has to know of them.
#[derive(Debug, Default)]
pub(super) struct Holds {
    /// How often a router was held back.
    pub(super) count: u64,
    /// What was written down for the next run is not all any more.
    changed: bool,
    /// Until when others may still have to tell that they are there, where a hold goes on from the run before.
    begin_until: Instant,
}

impl Holds {
    /// A router that is no more, or begins anew with another configuration.
    pub(super) fn forget(&mut self, removed: Option<&Instance>) {
        self.changed |= removed.is_some_and(|instance| instance.damper.mark() != (None, None));
    }
}

impl Engine {
    /// At the start: who is held back does not escape that by a restart.
    pub(super) fn resume_holds(&mut self, now: Instant) {
        let Some(settings) = self.config.mesh.damping.filter(|_| self.leased()) else { return };
        for (key, damper) in std::mem::take(&mut self.setup.holds) {
            if let Some(instance) = self.instances.get_mut(&key) {
                instance.damper = damper.resume(now, &settings);
                self.holds.begin_until = now + MESH_BACK_WITHIN;
            }
        }
    }

    /// Has what fell written down for the next run, where that changed.
    pub(super) fn keep_holds(&mut self) {
        if std::mem::take(&mut self.holds.changed) {
            let fell = self.instances.iter().filter(|(_, i)| i.damper.mark().0.is_some());
            let kept = fell.map(|(key, i)| (*key, i.damper.clone())).collect();
            self.out.push(Action::KeepHolds(kept));
        }
    }

    /// Until when a router is held back here, in milliseconds since 1970.
    pub(super) fn held_until(&self, instance: &Instance) -> Option<u64> {
        instance.damper.hold().map(|hold| self.unix_ms(hold.until))
    }

    /// What others are told of it.
    pub(super) fn hold_report(&self, instance: &Instance) -> Option<HoldReport> {
        let hold = instance.damper.hold()?;
        Some(HoldReport { until_unix_ms: self.unix_ms(hold.until), because: hold.because.clone() })
    }

    /// What counts of what a look found: the fault and the priority by tracking may be those before a recovery.
    pub(super) fn damp(&mut self, now: Instant, key: RouterKey, fault: &mut Option<String>, priority: &mut Option<u8>) {
        let settings = self.config.mesh.damping.filter(|_| self.leased());
        let Some(instance) = self.instances.get(&key) else { return };
        let Some(settings) = settings.filter(|_| instance.config.priority != OWNER_PRIORITY) else {
            self.holds.changed |= instance.damper.mark() != (None, None);
            self.instances.get_mut(&key).expect("looked up above").damper = Damper::default();
            return;
        };
        let seen = priority.filter(|_| fault.is_none());
        let fall = fault.clone().or_else(|| self.gives_way(key, seen));
        let free = self.is_free(now, key);
        let instance = self.instances.get_mut(&key).expect("looked up above");
        let before = instance.damper.mark();
        let counts = instance.damper.see(now, &settings, seen, fall.as_deref(), free);
        self.holds.changed |= instance.damper.mark() != before;
        let hold = instance.damper.hold().cloned();
        if let Some(hold) = &hold {
            match counts {
                // In a run that goes on with a hold less may be seen than was held back.
                Some(lower) => *priority = priority.map(|seen| seen.min(lower)),
                None => drop(fault.get_or_insert_with(|| hold.because.clone())),
            }
        }
        if let Some(hold) = hold.filter(|hold| before.1 != Some(hold.until)) {
            let name = instance.config.name.clone();
            self.holds.count += 1;
            self.record(Decision::Held { name, key, lasts: hold.lasts, cause: hold.because });
        }
    }

    /// Why a lower priority by tracking is a fall: another director becomes worthier.
    fn gives_way(&self, key: RouterKey, seen: Option<u8>) -> Option<String> {
        let instance = &self.instances[&key];
        let (before, after) = (instance.vrrp.priority(), self.fit_priority(instance, seen?));
        let best = self.group_candidates(key).into_iter().map(|(_, priority)| priority).max()?;
        (before >= best && after < best).then(|| format!("its priority fell to {after}"))
    }

    /// A hold is over, or nobody else is left who could serve. Then it is claimed at once if it is free: its last owner
    /// may be long gone.
    pub(super) fn end_hold(&mut self, now: Instant, key: RouterKey) {
        let Some(hold) = self.instances.get(&key).and_then(|i| i.damper.hold()) else { return };
        let over = hold.until <= now;
        if !self.is_free(now, key) && !over {
            return;
        }
        self.evaluate(now, key);
        let alone = self.is_alone(key);
        if let Some(instance) = self.instances.get_mut(&key).filter(|i| alone && i.vrrp.is_backup()) {
            instance.vacancy = "no other director can serve it any more".to_owned();
            self.schedule_claim(now, key, now);
        }
    }

    /// Whether a router may not be held back: it serves, or nobody else could. Those that are not connected are given
    /// time to come back: what flaps may be what connects this host with them.
    fn is_free(&mut self, now: Instant, key: RouterKey) -> bool {
        let active = self.instances[&key].vrrp.is_active();
        let alone = !active && self.is_alone(key);
        let grace = if self.reaches_quorum() { COMES_BACK_WITHIN } else { MESH_BACK_WITHIN };
        let wait = if self.all_connected() { Duration::ZERO } else { grace };
        let wait = wait.max(self.holds.begin_until.since(now));
        let lonely = &mut self.instances.get_mut(&key).expect("looked up above").lonely_until;
        if !alone {
            *lonely = None;
        }
        active || alone && *lonely.get_or_insert(now + wait) <= now
    }

    /// Whether no other director that is there could serve a router. Without a majority of the voters nobody knows, and
    /// this node could not either, but where VRRP decides then.
    fn is_alone(&self, key: RouterKey) -> bool {
        let could = |i| self.reaches_quorum() || self.on_quorum_loss(i) == QuorumLoss::Vrrp;
        self.group_candidates(key).is_empty() && self.instances.get(&key).is_some_and(could)
    }

    fn all_connected(&self) -> bool {
        let directors = self.roster.iter().flat_map(|r| &r.members).filter(|m| m.role == Role::Director);
        let mut others = directors.filter(|m| m.id != self.setup.node);
        others.all(|m| self.membership.is_connected(m.id))
    }
}
