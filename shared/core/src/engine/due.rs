//! When a step is due, and which routers it has to look at: see [`crate::instances`].

use std::collections::BTreeSet;

use mesh_wire::mesh::RouterKey;
use mesh_wire::mesh::lease::Message;

use super::{Engine, TimerKind};
use crate::input::Input;
use crate::instance::Instance;
use crate::instances::Waits;
use crate::lease::ballot::Lease;
use crate::time::Instant;

impl Engine {
    /// When to call [`Engine::step`] with [`Input::Timeout`] at the latest, and what for.
    pub fn deadline(&self) -> Option<(Instant, TimerKind)> {
        let news = self.standing.look_at.map(|at| (at, TimerKind::Standing));
        self.work_due().into_iter().chain(news).min()
    }

    /// The same, but for what is only to be told: work that is late shows that the daemon stood still.
    pub(super) fn work_due(&self) -> Option<(Instant, TimerKind)> {
        let mut first = self.instances.first_timer();
        let mut due = |at: Option<Instant>, kind| {
            first = first.into_iter().chain(at.map(|at| (at, kind))).min();
        };
        due(self.voter.deadline(), TimerKind::GrantEnd);
        due(self.fence.retry, TimerKind::Fence);
        due(self.vmacs.retry, TimerKind::Claim);
        due(self.cold.look_at, TimerKind::Claim);
        due(self.statics.look_at, TimerKind::Refresh);
        due(self.memory.retry, TimerKind::Memory);
        due(self.keeping.map(|k| k.until), TimerKind::Keep);
        due(self.council.deadline(), TimerKind::Roster);
        due(self.neighbour.tell_at, TimerKind::Services);
        due(self.moves_deadline(), TimerKind::Moves);
        due(self.delays.deadline(), TimerKind::Delay);
        due(self.segments.look_at, TimerKind::Segment);
        due(self.pacer.deadline(), TimerKind::Announce);
        due(self.others.deadline(), TimerKind::Drift);
        first
    }

    /// Whether a lease ran out that the engine still counts on: between two steps, or in the middle
    /// of a step's effects.
    pub fn lease_ended(&self, now: Instant) -> bool {
        self.instances.first_lease_end().is_some_and(|end| end <= now)
    }

    /// Whether any router of a mesh is served without a lease: the kernel ends that by itself only when
    /// the addresses' lifetimes are over.
    pub fn serves_without_lease(&self) -> bool {
        self.instances.any_without_lease()
    }

    /// Notes what the routers that may have changed wait for now, and tells which these are.
    pub(super) fn index_changed(&mut self) -> BTreeSet<RouterKey> {
        let changed = self.instances.take_changed();
        for key in &changed {
            let waits = self.instances.get(key).map(|instance| self.waits(instance));
            self.instances.put_in_index(*key, waits);
        }
        changed
    }

    /// Whether the index says of each router what a look at all of it says: a timer that depends on anything but the
    /// router has to touch it when that changes.
    pub(super) fn index_is_true(&self) -> bool {
        self.instances.iter().all(|(key, instance)| self.instances.waits_of(key) == Some(self.waits(instance)))
    }

    fn waits(&self, instance: &Instance) -> Waits {
        let held = instance.lease.is_held();
        let hold = instance.damper.hold();
        // Before a start delay is over nothing ends a hold.
        let ending = hold.filter(|_| !self.delays.pending());
        let mut first: Option<(Instant, TimerKind)> = None;
        let mut due = |at: Option<Instant>, kind| {
            first = first.into_iter().chain(at.map(|at| (at, kind))).min();
        };
        due(instance.vrrp.deadline(), TimerKind::Vrrp);
        due(instance.foreign.map(|f| f.until), TimerKind::Vrrp);
        due(instance.claim_at, TimerKind::Claim);
        due(instance.blocked.as_ref().map(|(t, _)| *t), TimerKind::Claim);
        due(ending.map(|hold| hold.until), TimerKind::Delay);
        due(instance.lonely_until.filter(|_| ending.is_some()), TimerKind::Delay);
        due(instance.garp.map(|(t, _)| t), TimerKind::Announce);
        due(instance.extra_at, TimerKind::Announce);
        due(instance.refresh_at, TimerKind::Refresh);
        due(instance.adopted, TimerKind::LeaseEnd);
        due(self.grace_ends(instance), TimerKind::LeaseEnd);
        if held {
            due(instance.armed_until, TimerKind::LeaseEnd);
            due(instance.silence.decide_at, TimerKind::LeaseEnd);
        }
        if let Some(ballot) = instance.lease.ballot() {
            due(Some(ballot.ask_at), TimerKind::LeaseRequest);
            if !held {
                due(Some(ballot.give_up_at), TimerKind::LeaseRequest);
            }
        }
        Waits {
            first,
            lease_end: instance.armed_until.filter(|_| held),
            without_lease: instance.silence.unprotected_since.is_some(),
            // For voters that connect or do not, and for directors that could serve it in place of this one.
            restless: matches!(instance.lease, Lease::Asking(_)) || hold.is_some(),
        }
    }
}

/// Whether a fact concerns the routers only that it changes. What is not known to is looked at with all of them; such
/// facts are rare.
pub(super) fn is_narrow(input: &Input) -> bool {
    match input {
        Input::Timeout | Input::Listened | Input::Advertisement(_) | Input::SealedAdvertisement { .. } => true,
        Input::Message { message, .. } => matches!(message, Message::Request(_) | Message::Reply(_)),
        _ => false,
    }
}
