//! A fleet: many directors, of which five vote, with the real engine and gossip paced as chitchat paces it.
//!
//! ```text
//! fleet     one run and its phases        world     engines, events, messages; who serves, who knows
//! gossip    who tells whom what, when     figures   what was measured, as a table
//! ```
//!
//! Nothing fails here but directors that are killed, one after another or a rack at once: this is about size, and
//! [`crate::cluster`] about faults.
//!
//! What is measured of messages and gossip is their own bytes: QUIC, UDP and IP come on top of them, about 60 bytes a
//! packet, and so do the signs of life of each connection. How directors whose configurations differ ask each other
//! what differs is not simulated. Real times of steps are those of many engines that take turns on one processor, none
//! of which finds anything of its own in the caches: a daemon's are shorter.
//!
//! # Why a real mesh has at most 64 members
//!
//! [`MAX_MEMBERS`](mesh_core::admission::MAX_MEMBERS) is none of the limits that show here: the engine's step hardly
//! grows with the fleet, and a death is known everywhere within a second. What grows is, for each member:
//!
//! - connections, which are not simulated: one with every other member, ten signs of life a second over each;
//! - gossip: every exchange carries a line of each member both ways, so bytes grow with members, for all of them with
//!   their square. Beyond [`MOST_NODES`] chitchat has no room for its digest at all;
//! - the roster over each new connection, and to everybody with each change of it.
//!
//! A mesh of more needs a partial one: everybody connected with the voters and the directors of its own routers only,
//! gossip over those connections with digests by group and not by member, and a roster that is asked for by who has an
//! older one instead of sent to all.

mod figures;
mod gossip;
mod world;

use std::time::Duration;

use mesh_wire::mesh::roster::{Member, Role, Roster, VotePolicy};

use figures::resident;
pub use figures::{Aftermath, Bytes, Figures, Rates, Spread, Watched};
pub use gossip::{MOST_NODES, sizes};
use world::World;

use crate::clock::{Time, ms};

/// Directors that vote.
pub const VOTERS: usize = 5;
/// Directors that have one router in their configuration.
const SHARERS: usize = 5;
/// By then everything is served and everybody knows.
const SETTLED: Time = ms(12_000);
/// So long it is watched.
const WATCHED: Duration = ms(5_000);

/// What a fleet is made of.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// Directors.
    pub nodes: usize,
    /// Virtual routers, each on five directors.
    pub routers: usize,
    /// The mesh finds a director for each router; else configured priorities decide.
    pub spread: bool,
    /// Everything but the real time of steps follows from it.
    pub seed: u64,
}

/// What dies, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A director that serves and does not vote.
    Director,
    /// A voter.
    Voter,
    /// One director of twenty, at once; of each router one at most.
    Rack,
}

impl Fleet {
    /// Lives through a start, a while without events, and losses one after another. What it is at, and when in its own
    /// time, is told now and then.
    pub fn run(self, tell: &mut dyn FnMut(&str, Time)) -> Figures {
        let before = resident();
        tell("engines are made", Time::ZERO);
        let mut world = World::new(self);
        world.begin_watching();
        self.pass(&mut world, SETTLED, "start", tell);
        let start = world.watched();
        let served = world.owners().into_iter().flatten().count();
        world.begin_watching();
        self.pass(&mut world, SETTLED + WATCHED, "at rest", tell);
        let rest = world.watched();
        let memory = resident().saturating_sub(before + world.gossip.bytes_of_model()) / self.nodes as u64;
        let status = world.time_status();
        let mut losses = Vec::new();
        for loss in [Loss::Director, Loss::Voter, Loss::Rack] {
            tell(loss.name(), world.now);
            losses.push(world.lose(loss));
        }
        Figures { fleet: self, served, start, rest, memory, status, losses }
    }

    fn pass(self, world: &mut World, until: Time, what: &str, tell: &mut dyn FnMut(&str, Time)) {
        while world.now < until {
            world.run_until((world.now + ms(1000)).min(until));
            tell(what, world.now);
        }
    }

    /// The directors that have a router: the first has the highest priority.
    fn sharers(self, router: usize) -> impl Iterator<Item = usize> {
        // One far from the other, so that losses are spread as in a real fleet.
        let step = (self.nodes / SHARERS).max(1);
        (0..SHARERS.min(self.nodes)).map(move |place| (VOTERS + router * 7 + place * step) % self.nodes)
    }

    /// How many die at once.
    fn rack(self) -> usize {
        (self.nodes / 20).max(1)
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

impl Loss {
    fn name(self) -> &'static str {
        match self {
            Loss::Director => "a director dies",
            Loss::Voter => "a voter dies",
            Loss::Rack => "a rack dies",
        }
    }
}
