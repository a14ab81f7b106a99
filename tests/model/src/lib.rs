//! Every order of events of a small cluster.
//!
//! The simulator (`cargo sim`) draws long histories of a whole cluster by lot. This is the other
//! half: a few hosts, a handful of messages and faults, and then *all* histories, found by
//! `stateright`. [`lease`] holds the real voters and ballots of `mesh_core::lease`;
//! [`roster`] checks the rule by which the set of voters changes.
//!
//! A planted bug ([`lease::Mutant`], [`roster::Mutant`]) must be found: a search that finds nothing in anything proves
//! nothing.

pub mod lease;
mod relative;
pub mod roster;
pub mod search;
