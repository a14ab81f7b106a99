//! How the voters decide the next roster: single-decree Paxos, one instance for each epoch.
//!
//! ```text
//!   proposer                              voters of the roster with epoch e
//!      | -- Prepare (ballot) -------------> |  promise to take part in no lower ballot
//!      | <- Promise (accepted before) ----- |  on disk before it is said
//!      | -- Accept (ballot, roster e+1) --> |
//!      | <- Accepted ---------------------- |  on disk before it is said
//!      |    a majority accepted: committed; spread as `Message::Roster`
//! ```
//!
//! Whoever finds in the promises that a voter has accepted a roster already has to finish that one
//! before a change of its own. Only committed rosters are adopted.

use serde::{Deserialize, Serialize};

use super::roster::{Ballot, Roster};

/// One message of the instance that decides `epoch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consensus {
    /// The epoch of the roster to be decided: one more than that of the roster whose voters decide.
    pub epoch: u64,
    /// The attempt it belongs to.
    pub ballot: Ballot,
    /// What is said.
    pub step: Step,
}

/// What is said about one ballot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Proposer to voter: take part in this ballot and in no lower one.
    Prepare,
    /// Voter to proposer: so be it.
    Promise {
        /// The roster it accepted last, and under which ballot.
        accepted: Option<(Ballot, Roster)>,
    },
    /// Proposer to voter: accept this roster.
    Accept {
        /// The roster with `epoch`.
        roster: Roster,
    },
    /// Voter to proposer: accepted.
    Accepted,
    /// Voter to proposer: neither promised nor accepted.
    Refused(Objection),
}

/// Why a voter did not agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Objection {
    /// It takes part in a higher ballot.
    Promised(Ballot),
    /// Its own roster is older, of this epoch: it has to learn first.
    Behind {
        /// The epoch of its roster.
        epoch: u64,
    },
    /// It does not vote.
    NotAVoter,
    /// The roster is no successor: another cluster, another epoch, no voters or too many, or more
    /// than one voter comes or goes.
    NotASuccessor,
    /// Leases that were counted by the voters before the last change of voters may still live.
    Unsettled {
        /// For how much longer at most, in milliseconds.
        remaining_ms: u32,
    },
    /// It cannot write its roster file.
    Storage,
}
