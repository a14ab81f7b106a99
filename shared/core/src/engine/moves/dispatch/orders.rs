//! What operators order: their moves have their turn before what placement wants, drains are decided at once.

use std::time::Duration;

use mesh_wire::mesh::gossip::Drain;
use mesh_wire::mesh::moves::{MoveMessage, Order, Pin, short};
use mesh_wire::mesh::{NodeId, RouterKey};

use super::super::super::Engine;
use super::super::wishes::stuck_because;
use super::{Asker, TURN_WITHIN, Waiting};
use crate::decision::Decision;
use crate::placement::{self, Move, View};
use crate::time::Instant;
use crate::vrrp::OWNER_PRIORITY;

/// Orders that wait, at most.
const MOST_ORDERS: usize = 64;

/// How long a word takes to all that are connected.
const KNOWN_WITHIN: Duration = Duration::from_millis(30);

impl Engine {
    /// An order has come to this node.
    pub(in crate::engine::moves) fn order(&mut self, now: Instant, asker: Asker, order: Order) {
        if self.dispatcher() != Some(self.setup.node) {
            let other = self.dispatcher().map_or_else(|| "nobody".to_owned(), |node| self.name_of(node));
            return self.answer_order(asker, Err(format!("{} refused: {other} orders moves", self.setup.name)));
        }
        if !self.is_informed(now) && self.moves.dispatch.early.len() < MOST_ORDERS {
            return self.moves.dispatch.early.push((asker, order));
        }
        if !self.reaches_quorum() {
            let text =
                format!("{}, which orders moves, refused: it reaches no majority of the voters", self.setup.name);
            return self.answer_order(asker, Err(text));
        }
        match order {
            Order::Drain { node } => {
                let outcome = self.drain(now, node);
                self.answer_order(asker, outcome);
            }
            Order::Undrain { node } => {
                let outcome = self.undrain(now, node);
                self.answer_order(asker, outcome);
            }
            Order::Move { .. } | Order::Back { .. } if self.moves.dispatch.queue.len() >= MOST_ORDERS => {
                let text = format!(
                    "{}, which orders moves, refused: {MOST_ORDERS} orders are waiting already",
                    self.setup.name
                );
                self.answer_order(asker, Err(text));
            }
            Order::Move { .. } | Order::Back { .. } => {
                self.moves.dispatch.queue.push_back(Waiting { asker, order, until: now + TURN_WITHIN });
            }
        }
    }

    pub(super) fn answer_order(&mut self, asker: Asker, outcome: Result<String, String>) {
        match asker {
            Asker::Nobody => {}
            Asker::Here(ticket) => self.reply(ticket, Some(self.setup.node), outcome),
            Asker::Member(node, id) => {
                let outcome = outcome.map(|text| short(&text)).map_err(|text| short(&text));
                self.send_move(node, MoveMessage::Answer { id, outcome });
            }
        }
    }

    /// A director is to be empty, if there is somebody else for all that it has.
    fn drain(&mut self, now: Instant, node: NodeId) -> Result<String, String> {
        let name = self.name_of(node);
        if self.moves.marks.drain(node) == Drain::Draining {
            return Ok(format!("{name} is being emptied already, or empty"));
        }
        let mut view = self.view(now);
        let Some(director) = view.nodes.get_mut(&node) else {
            return Err(format!("{}, which orders moves, refused: {name} is not there", self.setup.name));
        };
        director.drain = Drain::Draining;
        view.forget_refusals();
        let plan = placement::plan(&view);
        if let Some(stuck) = plan.stuck.iter().find(|s| s.on == node && !s.owned) {
            let names = self.router_names(&view.groups[&stuck.group].routers).join(", ");
            return Err(format!("{}, which orders moves, refused: {names}: {}", self.setup.name, stuck_because(false)));
        }
        let stuck = plan.stuck.iter().filter(|s| s.on == node);
        let stays: Vec<String> = stuck.flat_map(|s| self.router_names(&view.groups[&s.group].routers)).collect();
        let leaves = plan.moves.iter().filter(|m| m.from == node).count();
        self.decide_drain(now, node, Drain::Draining);
        self.record(Decision::Order { text: format!("{name} is drained by operator") });
        let stays = if stays.is_empty() {
            String::new()
        } else {
            format!("; {} stay: {}", stays.join(", "), stuck_because(true))
        };
        Ok(format!("{name} hands over what it serves ({leaves}), one after another{stays}"))
    }

    /// All that are there know it before anything is moved because of it: a successor that thinks it is still to be
    /// empty would refuse.
    fn decide_drain(&mut self, now: Instant, node: NodeId, drain: Drain) {
        self.set_drain(now, node, drain);
        self.tell_drain(node);
        self.moves.dispatch.next_at = self.moves.dispatch.next_at.max(now + KNOWN_WITHIN);
        self.moves.dispatch.plan_again(now);
    }

    fn undrain(&mut self, now: Instant, node: NodeId) -> Result<String, String> {
        let name = self.name_of(node);
        if self.moves.marks.drain(node) != Drain::Draining {
            return Ok(format!("{name} is not being emptied"));
        }
        self.decide_drain(now, node, Drain::Returning);
        self.record(Decision::Order { text: format!("{name} serves again, by operator") });
        Ok(format!("{name} serves again; what belongs to it comes back one after another"))
    }

    /// Operators' orders come first.
    pub(super) fn take_turns(&mut self, now: Instant) {
        while self.moves.dispatch.job.is_none() {
            let due = now >= self.moves.dispatch.next_at;
            let Some(waiting) = self.moves.dispatch.queue.front() else { return };
            if waiting.until <= now && !due {
                let rate = self.config.mesh.placement.moves_per_minute;
                let text = format!(
                    "{}, which orders moves, refused: {rate} moves a minute leave no turn within {TURN_WITHIN:?}",
                    self.setup.name
                );
                let asker = waiting.asker;
                self.moves.dispatch.queue.pop_front();
                self.answer_order(asker, Err(text));
            } else if due && let Some(Waiting { asker, order, .. }) = self.moves.dispatch.queue.pop_front() {
                let view = self.view(now);
                let begun = match order {
                    Order::Move { router, to } => self.move_to(now, asker, &view, router, to),
                    Order::Back { router } => self.move_back(now, asker, &view, router),
                    Order::Drain { .. } | Order::Undrain { .. } => Err("it is no move".to_owned()),
                };
                match begun {
                    Ok(None) => {}
                    Ok(Some(text)) => self.answer_order(asker, Ok(text)),
                    Err(text) => self
                        .answer_order(asker, Err(format!("{}, which orders moves, refused: {text}", self.setup.name))),
                }
            } else {
                return;
            }
        }
    }

    /// Begins an operator's move; says at once what there is to say where nothing has to move.
    fn move_to(
        &mut self,
        now: Instant,
        asker: Asker,
        view: &View,
        router: RouterKey,
        to: NodeId,
    ) -> Result<Option<String>, String> {
        let (id, group) = group_of(view, router).ok_or_else(|| format!("nobody has a router {router}"))?;
        let (names, node) = (self.router_names(&group.routers).join(", "), self.name_of(to));
        let Some(director) = view.nodes.get(&to) else { return Err(format!("{node} is not there")) };
        let Some(seat) = group.seats.get(&to) else {
            return Err(format!("{node} has no {names} in its configuration"));
        };
        let Some(from) = group.owner else {
            return Err(format!("nobody serves {names}: there is nothing to hand over"));
        };
        if from == to {
            self.set_pin(now, id, Some(to));
            return Ok(Some(format!("{node} serves {names} already, and keeps it")));
        }
        if director.drain == Drain::Draining {
            return Err(format!("{node} is being emptied (meshctl undrain {node})"));
        }
        if seat.tracked.is_none() {
            return Err(format!("{names} is in fault on {node}"));
        }
        if !view.is_fit(group, to) {
            return Err(format!("tracking lowers the priority of {names} on {node}, which would not keep it"));
        }
        if group.seats.values().any(|s| s.configured == OWNER_PRIORITY) {
            return Err(format!("the addresses of {names} are a host's own (priority 255), and stay there"));
        }
        let cause = format!("moved by operator to {node}");
        self.begin(now, asker, view, Move { group: id, from, to, reason: placement::Reason::Pinned }, Pin::Set, cause);
        Ok(None)
    }

    /// Undoes [`Engine::move_to`].
    fn move_back(
        &mut self,
        now: Instant,
        asker: Asker,
        view: &View,
        router: RouterKey,
    ) -> Result<Option<String>, String> {
        let (id, group) = group_of(view, router).ok_or_else(|| format!("nobody has a router {router}"))?;
        let names = self.router_names(&group.routers).join(", ");
        if self.moves.marks.pin(&id).is_none() {
            return Err(format!("{names} was not moved by an operator"));
        }
        let mut free = view.clone();
        free.groups.entry(id).and_modify(|g| g.pin = None);
        let home = free.worthiest(id).filter(|home| Some(*home) != group.owner && !group.spread && group.preempt);
        let (Some(to), Some(from)) = (home, group.owner) else {
            self.set_pin(now, id, None);
            return Ok(Some(format!("{names} is where it may stay; it is no longer kept there")));
        };
        let cause = format!("moved back by operator to {}", self.name_of(to));
        self.begin(
            now,
            asker,
            view,
            Move { group: id, from, to, reason: placement::Reason::Returns },
            Pin::Clear,
            cause,
        );
        Ok(None)
    }
}

/// The group a router is in.
fn group_of(view: &View, router: RouterKey) -> Option<(RouterKey, &placement::Group)> {
    view.groups.iter().find(|(_, g)| g.routers.contains(&router)).map(|(id, group)| (*id, group))
}
