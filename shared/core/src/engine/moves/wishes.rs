//! What an operator asks of this node: names are looked up here, and the dispatcher decides.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_control as control;
use mesh_wire::mesh::gossip::Drain;
use mesh_wire::mesh::moves::{MoveMessage, Order};
use mesh_wire::mesh::roster::Role;
use mesh_wire::mesh::{NodeId, RouterKey};

use super::super::Engine;
use super::dispatch::{Asker, TURN_WITHIN};
use crate::action::Action;
use crate::orders::{Answer, Refused, Wish};
use crate::placement::{self, Plan};
use crate::time::Instant;

/// How long the dispatcher has to answer: a turn may have to come, and the move be carried out.
const ANSWERED_WITHIN: Duration = TURN_WITHIN.saturating_add(Duration::from_secs(4));

/// Wishes that wait for what this node does not know yet, at most.
const MOST_EARLY: usize = 64;

/// When one director is gone, all others agree by then on who orders moves.
const NOTICED_WITHIN: Duration = Duration::from_millis(500);

/// Wishes that wait for their answer.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    asked: BTreeMap<u64, Asked>,
    /// What was wanted before this node knew enough to look names up, or to plan.
    early: Vec<(u64, Wish)>,
}

#[derive(Debug)]
struct Asked {
    ticket: u64,
    order: Order,
    of: NodeId,
    until: Instant,
    /// The process that was asked is gone: to be asked again then.
    again: Option<Instant>,
}

impl Wishes {
    /// Whether something waits for what this node does not know yet.
    pub(super) fn waits(&self) -> bool {
        !self.early.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.asked.values().map(|a| a.again.unwrap_or(a.until).min(a.until)).min()
    }
}

impl Engine {
    /// An operator asks for something.
    pub(in crate::engine) fn wish(&mut self, now: Instant, ticket: u64, wish: Wish) {
        if self.is_informed(now) || self.moves.wishes.early.len() >= MOST_EARLY {
            self.grant(now, ticket, &wish);
        } else {
            self.moves.wishes.early.push((ticket, wish));
        }
    }

    fn grant(&mut self, now: Instant, ticket: u64, wish: &Wish) {
        match self.understand(wish) {
            Err(refused) => self.out.push(Action::Ordered { ticket, result: Err(refused) }),
            Ok(Meant::Plan(_)) if !self.reaches_quorum() => {
                let (reached, all) = (self.reachable_voters(), self.voters().len());
                let text = format!(
                    "{} cannot know what would move: it reaches no majority of the voters, {reached} of {all}",
                    self.setup.name
                );
                self.out.push(Action::Ordered { ticket, result: Err(Refused { text, unknown: false }) });
            }
            Ok(Meant::Plan(drain)) => {
                let plan = self.show_plan(now, drain);
                self.out.push(Action::Ordered { ticket, result: Ok(Answer::Plan(plan)) });
            }
            Ok(Meant::Order(order)) => self.ask(now, ticket, order, now + ANSWERED_WITHIN),
        }
    }

    fn ask(&mut self, now: Instant, ticket: u64, order: Order, until: Instant) {
        match self.dispatcher() {
            None => self.reply(ticket, None, Err("no director is there".to_owned())),
            Some(node) if node == self.setup.node => self.order(now, Asker::Here(ticket), order),
            Some(of) => {
                let id = self.next_id(now);
                self.moves.wishes.asked.insert(id, Asked { ticket, order, of, until, again: None });
                self.send_move(of, MoveMessage::Order { id, order });
            }
        }
    }

    /// The process that this member was is gone, and with it what it was asked; it may be back already.
    pub(in crate::engine) fn lost_wishes(&mut self, now: Instant, node: NodeId) {
        for asked in self.moves.wishes.asked.values_mut().filter(|a| a.of == node) {
            asked.again = Some(now + NOTICED_WITHIN);
        }
    }

    /// What waited for this node to know more, or for others to notice who is gone. What is asked twice because the
    /// answer was lost is done already, or said to be under way.
    pub(super) fn ask_wishes_again(&mut self, now: Instant) {
        if self.moves.wishes.waits() && self.is_informed(now) {
            let early = std::mem::take(&mut self.moves.wishes.early);
            early.into_iter().for_each(|(ticket, wish)| self.grant(now, ticket, &wish));
        }
        let due = |a: &Asked| a.again.is_some_and(|at| at <= now) && now < a.until;
        let again: Vec<Asked> = self.moves.wishes.asked.extract_if(.., |_, a| due(a)).map(|(_, a)| a).collect();
        for Asked { ticket, order, until, .. } in again {
            self.ask(now, ticket, order, until);
        }
    }

    /// The dispatcher's answer.
    pub(super) fn answered(&mut self, from: NodeId, id: u64, outcome: Result<String, String>) {
        if self.moves.wishes.asked.get(&id).is_some_and(|a| a.of == from)
            && let Some(Asked { ticket, of, .. }) = self.moves.wishes.asked.remove(&id)
        {
            self.reply(ticket, Some(of), outcome);
        }
    }

    pub(super) fn give_up_wishes(&mut self, now: Instant) {
        let late: Vec<u64> =
            self.moves.wishes.asked.iter().filter(|(_, a)| a.until <= now).map(|(id, _)| *id).collect();
        for id in late {
            let Some(Asked { ticket, of, .. }) = self.moves.wishes.asked.remove(&id) else { continue };
            let text = format!("{}, which orders moves, did not answer in time", self.name_of(of));
            self.reply(ticket, None, Err(text));
        }
    }

    /// Answers an operator here.
    pub(super) fn reply(&mut self, ticket: u64, by: Option<NodeId>, outcome: Result<String, String>) {
        let by = by.map_or_else(|| self.setup.name.clone(), |node| self.name_of(node));
        let result = outcome.map(|text| Answer::Done { text, by }).map_err(|text| Refused { text, unknown: false });
        self.out.push(Action::Ordered { ticket, result });
    }

    fn understand(&self, wish: &Wish) -> Result<Meant, Refused> {
        if self.roster.is_none() {
            let text = "this node is in no mesh, so there is nobody to move anything to".to_owned();
            return Err(Refused { text, unknown: false });
        }
        Ok(match wish {
            Wish::Plan { drain } => Meant::Plan(drain.as_ref().map(|node| self.director_named(node)).transpose()?),
            Wish::Move { what, node } => {
                Meant::Order(Order::Move { router: self.router_named(what)?, to: self.director_named(node)? })
            }
            Wish::Back { what } => Meant::Order(Order::Back { router: self.router_named(what)? }),
            Wish::Drain { node } => Meant::Order(Order::Drain { node: self.director_named(node)? }),
            Wish::Undrain { node } => Meant::Order(Order::Undrain { node: self.director_named(node)? }),
        })
    }

    fn director_named(&self, name: &str) -> Result<NodeId, Refused> {
        let members = || self.roster.iter().flat_map(|r| &r.members).filter(|m| m.role == Role::Director);
        let named = members().find(|m| m.name.eq_ignore_ascii_case(name) || m.id.to_string() == name);
        named.map(|m| m.id).ok_or_else(|| {
            let names: Vec<&str> = members().map(|m| m.name.as_str()).collect();
            Refused { text: format!("no director {name:?}; there is {}", names.join(", ")), unknown: true }
        })
    }

    /// A router by its name, one of its addresses, or the name of its sync group here.
    fn router_named(&self, what: &str) -> Result<RouterKey, Refused> {
        let is_vip = |vip: &str| vip == what || vip.split('/').next() == Some(what);
        let found: BTreeSet<RouterKey> = self
            .known_routers()
            .into_iter()
            .filter(|key| self.reports(*key).iter().any(|(_, _, r)| r.name == what || r.vips.iter().any(|v| is_vip(v))))
            .collect();
        let group = self.config.sync_groups.iter().any(|g| g.name == what);
        let of_group = self.config.routers_named(what).map(|r| r.key).next().filter(|_| group);
        let mut found = found.into_iter();
        match (found.next(), found.next(), of_group) {
            (Some(key), None, _) | (None, _, Some(key)) => Ok(key),
            (None, ..) => Err(Refused { text: format!("no virtual router or address {what:?}"), unknown: true }),
            (Some(_), ..) => {
                let text = format!("{what:?} is more than one virtual router; name one by an address");
                Err(Refused { text, unknown: true })
            }
        }
    }

    /// What would happen as things stand, or with a director to be emptied.
    fn show_plan(&self, now: Instant, drain: Option<NodeId>) -> control::Plan {
        let mut view = self.view(now);
        if let Some(director) = drain.and_then(|node| view.nodes.get_mut(&node)) {
            director.drain = Drain::Draining;
        }
        view.forget_refusals();
        let Plan { moves, stuck } = placement::plan(&view);
        let names = |key: &RouterKey| view.groups.get(key).map_or_else(Vec::new, |g| self.router_names(&g.routers));
        let shown = |m: &placement::Move| control::PlannedMove {
            routers: names(&m.group),
            from: self.name_of(m.from),
            to: self.name_of(m.to),
            because: self.because(m),
        };
        let stays = |s: &placement::Stuck| control::StuckMove {
            routers: names(&s.group),
            on: self.name_of(s.on),
            because: stuck_because(s.owned).to_owned(),
        };
        control::Plan {
            ordered_by: self.dispatcher().map(|node| self.name_of(node)),
            moves_per_minute: self.config.mesh.placement.moves_per_minute,
            moves: moves.iter().map(shown).collect(),
            stuck: stuck.iter().map(stays).collect(),
        }
    }
}

/// A wish with its names looked up.
enum Meant {
    Order(Order),
    Plan(Option<NodeId>),
}

/// Why something cannot leave a director.
pub(super) fn stuck_because(owned: bool) -> &'static str {
    if owned { "the addresses are that host's own (priority 255)" } else { "no other director can serve it" }
}
