//! Planned moves: what an operator asks for, what balance asks for, and how it is brought about.
//!
//! The living director with the lowest identity *dispatches*: it takes all orders and all that
//! placement wants, and has one group after another handed over, evenly spaced, for the whole mesh
//! ([`dispatch`]). Owner and successor carry a move out between them, and nothing is let go before the
//! successor has said that it is ready ([`handover`]). What an operator decided stays: pins and drains
//! are told by gossip, and everybody repeats them ([`marks`]); who has just started is told at once, and orders
//! nothing before it knows ([`introductions`]). A lease alone says who serves; when all of
//! this is wrong, something moves that need not, or stays that should go.

mod dispatch;
mod handover;
mod introductions;
mod marks;
mod wishes;

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::lease::Message;
use mesh_wire::mesh::moves::MoveMessage;
use mesh_wire::mesh::roster::Role;

use super::Engine;
use crate::action::Action;
use crate::time::Instant;

/// What a node knows of moves.
#[derive(Debug, Default)]
pub(super) struct Moves {
    pub(super) marks: marks::Marks,
    pub(super) dispatch: dispatch::Dispatch,
    handover: handover::Handover,
    wishes: wishes::Wishes,
    introductions: introductions::Introductions,
    /// The last number of a move or an order; numbers follow the clock, from run to run.
    id: u64,
}

impl Engine {
    /// Whatever is due, at the end of every step.
    pub(super) fn run_moves(&mut self, now: Instant) {
        self.run_handover(now);
        self.look_at_places(now);
        self.run_dispatch(now);
        self.ask_wishes_again(now);
        self.give_up_wishes(now);
        // What has just been decided may be about a router here.
        self.follow_places(now);
    }

    pub(super) fn moves_deadline(&self) -> Option<Instant> {
        let Moves { dispatch, handover, wishes, introductions, .. } = &self.moves;
        let known = (dispatch.waits() || wishes.waits()).then(|| introductions.deadline()).flatten();
        let ends = [self.places.look_at, dispatch.deadline(), handover.deadline(), wishes.deadline(), known];
        ends.into_iter().flatten().min()
    }

    /// A member says something about a move.
    pub(super) fn receive_move(&mut self, now: Instant, from: NodeId, message: MoveMessage) {
        let role = self.roster.as_ref().and_then(|r| r.member(from)).map(|m| m.role);
        let asks = matches!(message, MoveMessage::Order { .. });
        // Web hosts are open to the world, and a witness only passes on what its operator says.
        if role != Some(Role::Director) && !(asks && role == Some(Role::Witness)) {
            self.count_drop(now, from.to_string(), "a message about moves from a node that has no say in them");
            return;
        }
        match message {
            MoveMessage::Order { id, order } => self.order(now, dispatch::Asker::Member(from, id), order),
            MoveMessage::Answer { id, outcome } => self.answered(from, id, outcome),
            MoveMessage::HandOver { id, routers, to, pin, cause } => {
                self.hand_over(now, from, id, handover::Task { routers, to, pin, cause });
            }
            MoveMessage::Prepare { id, routers, pin, cause } => self.prepare(now, from, id, routers, pin, cause),
            MoveMessage::Prepared { id, refusal } => self.prepared(now, from, id, refusal),
            MoveMessage::Taken { id } => self.taken_over(now, from, id),
            MoveMessage::Ended { id, failure } => self.move_ended(now, from, id, failure),
            MoveMessage::Introduction { pins, drains, routers } => self.introduced(now, from, pins, drains, routers),
        }
    }

    fn send_move(&mut self, to: NodeId, message: MoveMessage) {
        self.out.push(Action::SendMessage { to, message: Message::Move(message) });
    }

    fn next_id(&mut self, now: Instant) -> u64 {
        self.moves.id = now.as_nanos().max(self.moves.id + 1);
        self.moves.id
    }
}
