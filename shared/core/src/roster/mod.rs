//! The roster: how the voters decide the next one, and who should vote.
//!
//! ```text
//!   commands, enrolment --+                        +--> Send: consensus messages to voters
//!   policy ---------------+--> Replica             +--> Store: promised and accepted, on disk
//!   consensus messages ---+      acceptor          +--> Adopt: a committed roster
//!   stored, timeout ------+      proposer (queue)  +--> Answer: to whoever wanted the change
//! ```
//!
//! [`replica`] is one node's part: [`acceptor`] is what it has promised, the proposer carries one
//! change at a time through [`mesh_wire::mesh::consensus`]. [`change`] makes a roster out of the
//! one before it. [`policy`] wants changes by itself: voters for a mesh that grows, or in the place
//! of those that are gone.
//!
//! Voters come and go one at a time, so that the majorities of two successive rosters share a
//! voter. Leases live on across a change: those counted by the voters of roster c - 1 are promised
//! by a majority of them, which every majority of the voters of c meets. So at least one of those
//! who decide on c + 1 knows such a lease, and accepts no further change of voters before it ends.

pub mod acceptor;
pub mod change;
pub mod policy;
mod proposer;
pub mod replica;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::roster::Roster;
use serde::{Deserialize, Serialize};

use crate::time::Instant;

pub use acceptor::Acceptor;
pub use change::{Change, ChangeRefusal};
pub use replica::Replica;

/// What a node has to keep on disk. As JSON it is a roster with one field more, so that rosters
/// written before there was one are read, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The roster committed last.
    #[serde(flatten)]
    pub roster: Roster,
    /// What was promised and accepted about its successor.
    #[serde(default)]
    pub successor: Acceptor,
}

impl From<Roster> for State {
    fn from(roster: Roster) -> State {
        State { roster, successor: Acceptor::default() }
    }
}

/// What the outside looks like at the moment of a step.
#[derive(Clone, Debug, Default)]
pub struct Moment {
    /// This host's boot-time clock.
    pub now: Instant,
    /// The wall clock, in seconds since 1970-01-01 UTC.
    pub unix_s: u64,
    /// The latest end of the leases this node has granted and that still live.
    pub grants_until: Option<Instant>,
    /// Members there is a connection to, this node included.
    pub connected: BTreeSet<NodeId>,
}
