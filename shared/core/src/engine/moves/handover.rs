//! One move, between the owner and its successor.
//!
//! The owner asks the successor first; silence or a refusal, and nothing has moved. Then, in the order
//! of every letting go, its fence closes, and voters keep the lease free for the successor. Where that
//! one does not serve in time, the owner claims again what it gave, and the pin is taken back.

use std::time::Duration;

use mesh_wire::mesh::moves::{MoveMessage, Pin, short};
use mesh_wire::mesh::{NodeId, RouterKey};

use super::super::Engine;
use crate::time::Instant;

/// The successor has to say that it is ready within this.
const READY_WITHIN: Duration = Duration::from_millis(300);

/// And to serve within this, from when the lease was given back for it.
const TAKEN_WITHIN: Duration = Duration::from_millis(250);

/// Owner and successor are through with it by then, one way or the other.
pub(super) const OVER_WITHIN: Duration = READY_WITHIN.saturating_add(TAKEN_WITHIN);

/// What a successor was told is out of date after this.
const EXPECTED_FOR: Duration = Duration::from_secs(1);

/// Moves a successor prepares for at a time, at most: there should be one.
const MOST_EXPECTED: usize = 16;

/// What is to be handed over.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) routers: Vec<RouterKey>,
    pub(super) to: NodeId,
    pub(super) pin: Pin,
    pub(super) cause: String,
}

/// Moves this node takes part in.
#[derive(Debug, Default)]
pub(super) struct Handover {
    giving: Option<Giving>,
    expected: Vec<Expected>,
}

/// The one this node gives.
#[derive(Debug)]
struct Giving {
    id: u64,
    dispatcher: NodeId,
    task: Task,
    /// The pin that was there before, once the lease was given back.
    released: Option<Option<NodeId>>,
    until: Instant,
}

/// One this node is ready for.
#[derive(Debug)]
struct Expected {
    id: u64,
    from: NodeId,
    routers: Vec<RouterKey>,
    pin: Pin,
    cause: String,
    until: Instant,
}

impl Handover {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.giving.iter().map(|g| g.until).chain(self.expected.iter().map(|e| e.until)).min()
    }
}

impl Engine {
    /// The dispatcher wants this node to hand over.
    pub(super) fn hand_over(&mut self, now: Instant, dispatcher: NodeId, id: u64, task: Task) {
        let held = |key: &RouterKey| self.instances.get(key).is_some_and(|i| i.lease.is_held());
        let refusal = if self.moves.handover.giving.is_some() {
            Some("it hands over something else".to_owned())
        } else if !task.routers.iter().any(held) {
            Some("it holds no lease of it".to_owned())
        } else if !self.membership.is_connected(task.to) {
            Some(format!("it does not reach {}", self.name_of(task.to)))
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let failure = format!("{} refused: {refusal}", self.setup.name);
            return self.tell_ended(now, dispatcher, id, Some(failure));
        }
        let Task { routers, pin, cause, .. } = task.clone();
        self.send_move(task.to, MoveMessage::Prepare { id, routers, pin, cause });
        let giving = Giving { id, dispatcher, task, released: None, until: now + READY_WITHIN };
        self.moves.handover.giving = Some(giving);
    }

    /// The owner asks whether this node would take over.
    pub(super) fn prepare(
        &mut self,
        now: Instant,
        from: NodeId,
        id: u64,
        routers: Vec<RouterKey>,
        pin: Pin,
        cause: String,
    ) {
        let busy = self.moves.handover.expected.len() >= MOST_EXPECTED;
        let refusal = if busy { Some("too many moves at once".to_owned()) } else { self.unready(now, &routers) };
        if refusal.is_none() {
            let expected = Expected { id, from, routers, pin, cause, until: now + EXPECTED_FOR };
            self.moves.handover.expected.push(expected);
        }
        let refusal = refusal.map(|refusal| short(&refusal));
        self.send_move(from, MoveMessage::Prepared { id, refusal });
    }

    /// Why this node cannot take over, at this moment.
    fn unready(&self, now: Instant, routers: &[RouterKey]) -> Option<String> {
        if self.ending() {
            return Some("it stops".to_owned());
        }
        if self.drains_here() {
            return Some("it is being emptied".to_owned());
        }
        if !self.reaches_quorum() {
            return Some("it reaches no majority of the voters".to_owned());
        }
        routers.iter().find_map(|key| {
            let Some(instance) = self.instances.get(key) else { return Some(format!("it has no router {key}")) };
            let name = &instance.config.name;
            if let Some(fault) = &instance.fault {
                return Some(format!("{name} is in fault there: {fault}"));
            }
            if instance.defers_to_foreign(now) {
                return Some(format!("a router outside the mesh is worthier to serve {name}"));
            }
            self.unfit_because(instance).map(|why| format!("{name} is better served elsewhere: {why}"))
        })
    }

    /// The successor has answered: now, or never.
    pub(super) fn prepared(&mut self, now: Instant, from: NodeId, id: u64, refusal: Option<String>) {
        let ours = |g: &&mut Giving| g.id == id && g.task.to == from && g.released.is_none();
        let Some(giving) = self.moves.handover.giving.as_mut().filter(ours) else { return };
        if let Some(refusal) = refusal {
            let failure = format!("{} refused: {refusal}; nothing moved", self.name_of(from));
            return self.end_giving(now, Some(failure));
        }
        giving.until = now + TAKEN_WITHIN;
        let Task { routers, to, pin, cause } = giving.task.clone();
        let Some(first) = routers.first().copied() else { return };
        let before = self.moves.marks.pin(&first);
        if let Some(giving) = &mut self.moves.handover.giving {
            giving.released = Some(before);
        }
        self.apply_pin(now, first, pin, to);
        let cause = format!("handed over to {}: {cause}", self.name_of(to));
        for key in routers {
            if self.instances.get(&key).is_some_and(|i| i.lease.is_held()) {
                self.retire(now, key, &cause, true, Some(to));
            }
        }
        self.places.look_at = Some(now);
    }

    fn apply_pin(&mut self, now: Instant, group: RouterKey, pin: Pin, to: NodeId) {
        match pin {
            Pin::Keep => {}
            Pin::Set => self.set_pin(now, group, Some(to)),
            Pin::Clear => self.set_pin(now, group, None),
        }
    }

    /// The successor serves.
    pub(super) fn taken_over(&mut self, now: Instant, from: NodeId, id: u64) {
        let giving = self.moves.handover.giving.as_ref();
        if giving.is_some_and(|g| g.id == id && g.task.to == from && g.released.is_some()) {
            self.end_giving(now, None);
        }
    }

    /// Moves that came to nothing, and those this node has completed as the successor.
    pub(super) fn run_handover(&mut self, now: Instant) {
        if let Some(giving) = self.moves.handover.giving.as_ref().filter(|g| g.until <= now) {
            let name = self.name_of(giving.task.to);
            let failure = match giving.released {
                None => format!("{name} did not say within {READY_WITHIN:?} that it is ready; nothing moved"),
                Some(before) => {
                    let routers = giving.task.routers.clone();
                    self.take_back(now, &routers, before);
                    format!(
                        "{name} was ready and did not serve within {TAKEN_WITHIN:?}; {} claims it again",
                        self.setup.name
                    )
                }
            };
            self.end_giving(now, Some(failure));
        }
        if self.moves.handover.expected.is_empty() {
            return;
        }
        let serves = |key: &RouterKey| self.instances.get(key).is_some_and(|i| i.lease.is_held());
        let expected = std::mem::take(&mut self.moves.handover.expected);
        let (done, rest): (Vec<_>, Vec<_>) = expected.into_iter().partition(|e| e.routers.iter().all(serves));
        self.moves.handover.expected = rest.into_iter().filter(|e| e.until > now).collect();
        for Expected { id, from, routers, pin, .. } in done {
            if let Some(first) = routers.first() {
                self.apply_pin(now, *first, pin, self.setup.node);
            }
            self.places.look_at = Some(now);
            self.send_move(from, MoveMessage::Taken { id });
        }
    }

    /// The successor may have died between its word and its claim: whoever is first serves.
    fn take_back(&mut self, now: Instant, routers: &[RouterKey], pin: Option<NodeId>) {
        if let Some(first) = routers.first() {
            self.set_pin(now, *first, pin);
        }
        for key in routers {
            if let Some(instance) = self.instances.get_mut(key).filter(|i| i.vrrp.is_backup()) {
                instance.vacancy = "the successor of a planned move did not serve".to_owned();
                self.schedule_claim(now, *key, now);
            }
        }
    }

    fn end_giving(&mut self, now: Instant, failure: Option<String>) {
        if let Some(Giving { id, dispatcher, .. }) = self.moves.handover.giving.take() {
            self.tell_ended(now, dispatcher, id, failure);
        }
    }

    fn tell_ended(&mut self, now: Instant, dispatcher: NodeId, id: u64, failure: Option<String>) {
        if dispatcher == self.setup.node {
            return self.move_ended(now, dispatcher, id, failure);
        }
        let failure = failure.map(|failure| short(&failure));
        self.send_move(dispatcher, MoveMessage::Ended { id, failure });
    }

    /// Whether this node is giving a router to a successor that has not taken it yet.
    pub(in crate::engine) fn gives(&self, router: &RouterKey) -> bool {
        self.moves.handover.giving.as_ref().is_some_and(|g| g.released.is_some() && g.task.routers.contains(router))
    }

    /// Who is about to give a router to this node by plan.
    pub(in crate::engine) fn expected_from(&self, router: &RouterKey) -> Option<NodeId> {
        self.moves.handover.expected.iter().find(|e| e.routers.contains(router)).map(|e| e.from)
    }

    /// Why a router is about to come here by plan, where it is.
    pub(in crate::engine) fn expected_because(&self, router: &RouterKey) -> Option<String> {
        let expected = self.moves.handover.expected.iter().find(|e| e.routers.contains(router))?;
        Some(format!("taken over from {}: {}", self.name_of(expected.from), expected.cause))
    }
}
