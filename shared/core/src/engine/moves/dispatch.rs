//! One director has everything moved that is to be moved: one group after another, evenly spaced.
//!
//! It is the living director with the lowest identity that reaches a majority. In a partition there may
//! be two for a while, of which one at most moves anything: a move takes a lease.

mod orders;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mesh_wire::mesh::gossip::{Drain, RouterState};
use mesh_wire::mesh::moves::{MoveMessage, Order, Pin, short};
use mesh_wire::mesh::roster::Role;
use mesh_wire::mesh::{NodeId, RouterKey};

use super::super::Engine;
use super::handover;
use crate::decision::{Decision, MoveEvent};
use crate::placement::{self, Move, View};
use crate::time::Instant;

/// An operator's order has to have its turn within this.
pub(super) const TURN_WITHIN: Duration = Duration::from_secs(10);

/// A move that is not over by then has failed: twice what owner and successor give each other.
const MOVED_WITHIN: Duration = Duration::from_secs(2);

/// How long the new owner's word may take through gossip, before anything is planned without it.
const CONFIRMED_WITHIN: Duration = Duration::from_secs(2);

/// What failed is not tried again by plan before this.
const TRIED_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What the dispatcher knows.
#[derive(Debug, Default)]
pub(in crate::engine) struct Dispatch {
    /// This node is it.
    active: bool,
    /// What was ordered before this node knew enough.
    early: Vec<(Asker, Order)>,
    queue: VecDeque<Waiting>,
    job: Option<Job>,
    /// When the next move may begin.
    next_at: Instant,
    /// A group whose new owner is not in the view yet, and until when that is waited for.
    unseen: Option<(RouterKey, NodeId, Instant)>,
    /// Where what shall not go for now, and until when.
    refused: BTreeMap<(RouterKey, NodeId), Instant>,
    /// When to plan again.
    plan_at: Option<Instant>,
}

/// Who wants to know what came of an order.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) enum Asker {
    /// Nobody: placement wants it.
    Nobody,
    /// An operator on this node, by this ticket.
    Here(u64),
    /// A member, by the number of its order.
    Member(NodeId, u64),
}

#[derive(Debug)]
struct Waiting {
    asker: Asker,
    order: Order,
    until: Instant,
}

/// The move under way.
#[derive(Debug)]
struct Job {
    id: u64,
    asker: Asker,
    group: RouterKey,
    from: NodeId,
    to: NodeId,
    cause: String,
    /// The highest epoch anybody had of it when the move began.
    epoch: u64,
    /// From then on gossip may say that it is over: owner and successor have had the time to say so.
    known_at: Instant,
    until: Instant,
}

impl Dispatch {
    pub(super) fn deadline(&self) -> Option<Instant> {
        if !self.active {
            return None;
        }
        if let Some(job) = &self.job {
            return Some(job.until);
        }
        let turn = self.queue.iter().map(|w| w.until).min().map(|until| until.min(self.next_at));
        let plan = self.plan_at.map(|at| self.unseen.map_or(at, |(.., until)| at.max(until)).max(self.next_at));
        turn.into_iter().chain(plan).min()
    }

    /// Whether it matters who dispatches: that is not looked at in every step of a large mesh.
    fn has_work(&self) -> bool {
        self.job.is_some() || !self.queue.is_empty() || self.plan_at.is_some() || self.waits()
    }

    /// Whether orders wait for what this node does not know yet.
    pub(super) fn waits(&self) -> bool {
        !self.early.is_empty()
    }

    /// Something changed: to be planned again.
    pub(in crate::engine) fn plan_again(&mut self, at: Instant) {
        self.plan_at = Some(self.plan_at.map_or(at, |t| t.min(at)));
    }

    pub(in crate::engine) fn is_refused(&self, now: Instant, group: RouterKey, node: NodeId) -> bool {
        self.refused.get(&(group, node)).is_some_and(|until| *until > now)
    }
}

impl Engine {
    /// Who orders moves, as seen from here.
    pub(in crate::engine) fn dispatcher(&self) -> Option<NodeId> {
        let there = |id: NodeId| if id == self.setup.node { !self.ending() } else { self.membership.is_connected(id) };
        let directors = self.roster.iter().flat_map(|r| &r.members).filter(|m| m.role == Role::Director);
        directors.map(|m| m.id).filter(|id| there(*id)).min()
    }

    /// The dispatcher's turn.
    pub(super) fn run_dispatch(&mut self, now: Instant) {
        if !self.moves.dispatch.has_work() {
            return;
        }
        let orders = self.dispatcher() == Some(self.setup.node);
        if self.moves.dispatch.waits() && (!orders || self.is_informed(now)) {
            let early = std::mem::take(&mut self.moves.dispatch.early);
            early.into_iter().for_each(|(asker, order)| self.order(now, asker, order));
        }
        let active = orders && self.reaches_quorum();
        let was = std::mem::replace(&mut self.moves.dispatch.active, active);
        if !active {
            self.moves.dispatch.plan_at = None;
            self.resign(now);
            return;
        }
        if !was {
            // Whoever dispatched before may just have begun a move.
            self.moves.dispatch.next_at = now + self.spacing();
            if self.places_anything() {
                self.moves.dispatch.plan_again(now);
            }
        }
        if self.moves.dispatch.job.as_ref().is_some_and(|job| job.known_at <= now && self.has_arrived(job)) {
            self.finish_job(now, None);
        }
        if let Some(Job { from, .. }) = self.moves.dispatch.job.as_ref().filter(|job| job.until <= now) {
            let failure = format!("{} did not say within {MOVED_WITHIN:?} what came of it", self.name_of(*from));
            self.finish_job(now, Some(failure));
        }
        self.take_turns(now);
        if self.moves.dispatch.job.is_none() {
            self.carry_on(now);
        }
    }

    /// Another one orders moves from now on, or nobody.
    fn resign(&mut self, now: Instant) {
        let text = format!("{} does not order moves any more", self.setup.name);
        if self.moves.dispatch.job.is_some() {
            self.finish_job(now, Some(text.clone()));
        }
        for waiting in std::mem::take(&mut self.moves.dispatch.queue) {
            self.answer_order(waiting.asker, Err(text.clone()));
        }
    }

    /// Between two moves.
    fn spacing(&self) -> Duration {
        Duration::from_secs(60) / self.config.mesh.placement.moves_per_minute.max(1)
    }

    /// What placement wants, when it is time.
    fn carry_on(&mut self, now: Instant) {
        let dispatch = &mut self.moves.dispatch;
        if dispatch.plan_at.is_none_or(|at| at > now) || dispatch.next_at > now {
            return;
        }
        if !self.is_informed(now) {
            // Gossip calls for it earlier.
            return self.moves.dispatch.plan_at = self.moves.introductions.deadline();
        }
        let dispatch = &mut self.moves.dispatch;
        dispatch.refused.retain(|_, until| *until > now);
        let again = dispatch.refused.values().min().copied();
        let unseen = dispatch.unseen;
        dispatch.plan_at = again;
        if !self.places_anything() {
            return;
        }
        let view = self.view(now);
        if let Some((group, node, until)) = unseen {
            if until > now && view.groups.get(&group).is_some_and(|g| g.owner != Some(node)) {
                self.moves.dispatch.plan_again(until);
                return;
            }
            self.moves.dispatch.unseen = None;
        }
        let Some(next) = placement::next_move(&view) else {
            // What was refused may go after all, a little later.
            if self.moves.dispatch.refused.is_empty() {
                self.forget_returns(now, &view);
            }
            return;
        };
        let steady = self.places.steady_since + self.config.mesh.placement.rebalance_after;
        if !next.reason.is_ordered() && steady > now {
            self.moves.dispatch.plan_again(steady);
            return;
        }
        let cause = self.because(&next);
        self.begin(now, Asker::Nobody, &view, next, Pin::Keep, cause);
    }

    /// All that belongs to directors that were drained is back, or cannot come.
    fn forget_returns(&mut self, now: Instant, view: &View) {
        let back: Vec<NodeId> =
            self.moves.marks.drains().filter(|(_, d)| *d == Drain::Returning).map(|(n, _)| n).collect();
        for node in back.into_iter().filter(|node| view.nodes.contains_key(node)) {
            self.set_drain(now, node, Drain::No);
        }
    }

    fn begin(&mut self, now: Instant, asker: Asker, view: &View, wanted: Move, pin: Pin, cause: String) {
        let Move { group, from, to, .. } = wanted;
        let routers = view.groups[&group].routers.clone();
        let id = self.next_id(now);
        let cause = short(&cause);
        let epoch = self.membership.max_epoch(&group).max(self.instances.get(&group).map_or(0, |i| i.held_epoch()));
        let known_at = now + handover::OVER_WITHIN;
        self.moves.dispatch.next_at = now + self.spacing();
        self.moves.dispatch.job =
            Some(Job { id, asker, group, from, to, cause: cause.clone(), epoch, known_at, until: now + MOVED_WITHIN });
        self.record_move(MoveEvent::Begun);
        if from == self.setup.node {
            self.hand_over(now, from, id, handover::Task { routers, to, pin, cause });
        } else {
            self.send_move(from, MoveMessage::HandOver { id, routers, to, pin, cause });
        }
    }

    /// Whether the successor serves, by its own word: the owner's may be lost, with the owner's process perhaps.
    fn has_arrived(&self, job: &Job) -> bool {
        if job.to == self.setup.node {
            return self.instances.get(&job.group).is_some_and(|i| i.held_epoch() > job.epoch);
        }
        let said = self.membership.router(job.to, &job.group);
        said.is_some_and(|r| r.state == RouterState::Active && r.epoch > job.epoch)
    }

    /// The owner says what came of it.
    pub(super) fn move_ended(&mut self, now: Instant, from: NodeId, id: u64, failure: Option<String>) {
        if self.moves.dispatch.job.as_ref().is_some_and(|job| job.id == id && job.from == from) {
            self.finish_job(now, failure);
        }
    }

    fn finish_job(&mut self, now: Instant, failure: Option<String>) {
        self.record_move(failure.clone().map_or(MoveEvent::Done, MoveEvent::Failed));
        let Some(Job { asker, group, to, .. }) = self.moves.dispatch.job.take() else { return };
        let dispatch = &mut self.moves.dispatch;
        match &failure {
            None => dispatch.unseen = Some((group, to, now + CONFIRMED_WITHIN)),
            Some(_) => drop(dispatch.refused.insert((group, to), now + TRIED_AGAIN_AFTER)),
        }
        dispatch.plan_again(now);
        let names = self.router_names(&[group]).join(", ");
        let outcome = match failure {
            None => Ok(format!("{} serves {names}", self.name_of(to))),
            Some(failure) => Err(failure),
        };
        self.answer_order(asker, outcome);
    }

    fn record_move(&mut self, event: MoveEvent) {
        let Some(Job { group, from, to, cause, .. }) = &self.moves.dispatch.job else { return };
        let name = self.router_names(&[*group]).join(", ");
        let (from, to) = (self.name_of(*from), self.name_of(*to));
        let decision = Decision::Move { name, key: *group, from, to, event, cause: cause.clone() };
        self.record(decision);
    }
}
