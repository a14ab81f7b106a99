//! A fleet: many directors, of which five vote, with the real engine and gossip paced as chitchat paces it.
//!
//! ```text
//! fleet     one run and its phases        world     engines, events, messages between them
//! gossip    who tells whom what, when     figures   what was measured, as a table
//! ```
//!
//! Nothing fails here but the one director that is killed: this is about size, and [`crate::cluster`] about faults.
//! A real mesh has at most [`mesh_core::admission::MAX_MEMBERS`] members: every pair keeps a connection, which is not
//! simulated here, with ten signs of life a second. What decides would bear many more.
//!
//! What is measured of messages and gossip is their own bytes: QUIC, UDP and IP come on top of them, about 60 bytes a
//! packet, and so do the signs of life of each connection.

mod figures;
mod gossip;
mod world;

use std::time::Duration;

use mesh_wire::mesh::lease::Message;
use mesh_wire::mesh::roster::{Member, Role, Roster, VotePolicy};

pub use figures::Figures;
use figures::{Spread, resident};
use world::World;

use crate::clock::{Time, ms};

/// Directors that vote.
pub const VOTERS: usize = 5;
/// Directors that have one router in their configuration.
const SHARERS: usize = 5;
/// By then everything is served and everybody knows.
const SETTLED: Time = ms(15_000);
/// So long it is watched.
const WATCHED: Duration = ms(5_000);
/// By then everybody knows of a death, or never will.
const PATIENCE: Duration = ms(20_000);

/// What a fleet is made of.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// Directors.
    pub nodes: usize,
    /// Virtual routers, each on five directors.
    pub routers: usize,
    /// Everything but the real time of steps follows from it.
    pub seed: u64,
}

impl Fleet {
    /// Lives through a start, a while without events, and the death of one director that serves and does not vote.
    pub fn run(self) -> Figures {
        let before = resident();
        let mut world = World::new(self);
        world.run_until(SETTLED);
        let served = world.served();
        world.begin_watching();
        world.run_until(SETTLED + WATCHED);
        let watched = world.watched();
        let memory = resident().saturating_sub(before + world.gossip.bytes_of_model()) / self.nodes as u64;
        let victim = world.victim();
        let lost = world.owned_by(victim);
        world.kill(victim);
        let dead_at = world.now;
        let known = world.run_until_known(victim, dead_at + PATIENCE);
        let served_again = world.run_until_served_by_others(&lost, victim, dead_at + PATIENCE);
        let status = world.time_status();
        Figures {
            fleet: self,
            served,
            watched,
            memory,
            lost: lost.len(),
            suspected: known.map(|(suspected, _)| suspected - dead_at),
            known: known.map(|(_, known)| known - dead_at),
            served_again: served_again.map(|at| at - dead_at),
            news: Spread::of(std::mem::take(&mut world.gossip.delays)),
            status,
            roster: mesh_wire::mesh::codec::encode(&Message::Roster(self.roster())).len(),
        }
    }

    /// The directors that have a router: the first has the highest priority.
    fn sharers(self, router: usize) -> impl Iterator<Item = usize> {
        // One far from the other, so that losses are spread as in a real fleet.
        let step = (self.nodes / SHARERS).max(1);
        (0..SHARERS.min(self.nodes)).map(move |place| (VOTERS + router * 7 + place * step) % self.nodes)
    }

    fn roster(self) -> Roster {
        let member = |index: usize| Member {
            id: world::node_id(index),
            name: format!("lb{}", index + 1),
            address: (world::address(index), 7946).into(),
            role: Role::Director,
            voter: index < VOTERS,
            vote: VotePolicy::Auto,
        };
        let members = (0..self.nodes).map(member).collect();
        Roster { cluster: "f1ee7".to_owned(), epoch: self.nodes as u64, members, ..Roster::default() }
    }
}
