//! The lease protocol: who may serve a virtual router's addresses, and until when.
//!
//! Requests carry durations, never points in time: every node measures on its own clock. One
//! message speaks of many routers at once (one renewal a node and period).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::consensus::Consensus;
use super::moves::{MoveMessage, short};
use super::{NodeId, RouterKey, roster::Roster};

/// Any message between two nodes of the mesh on the fast path (QUIC datagrams, or a stream where
/// it does not fit one).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Director to voter: grant or renew these leases.
    Request(Request),
    /// Voter to director: the answer to one [`Request`].
    Reply(Reply),
    /// Director to voter: these leases are over; the sender's fence is closed.
    Release(Vec<Release>),
    /// Voter to directors: these leases may be asked for. A hint, safety never needs it.
    Vacant(Vec<Vacant>),
    /// Backup to owner: I have the higher priority, hand over when you can.
    Preempt(Preempt),
    /// To a node whose roster is older than the sender's: a committed one, from any member.
    Roster(Arc<Roster>),
    /// Between a proposer of a new roster and the voters.
    Consensus(Consensus),
    /// About a planned move. Older versions, whose bytes for the kinds before are the same, drop this and
    /// what follows.
    Move(MoveMessage),
    /// Ahead of a release: why. For people only, nothing is decided by it.
    Parting(Parting),
}

/// Grant or renew leases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The epoch of the roster the sender counts votes by.
    pub roster_epoch: u64,
    /// Grows with every request of one director, also from run to run: numbers follow its clock in
    /// nanoseconds. A reply names the one it answers.
    pub seq: u64,
    /// How long each lease shall last from the moment the voter reads this, in milliseconds.
    pub claims: Vec<Claim>,
}

/// One lease asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Claim {
    /// Which virtual router.
    pub router: RouterKey,
    /// The ballot: grows with every takeover.
    pub epoch: u64,
    /// Duration in milliseconds.
    pub duration_ms: u32,
}

/// A voter's answer to one [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The request's `seq`.
    pub seq: u64,
    /// The voter's own boot-time clock in nanoseconds: lets a director notice that its own clock
    /// stood still.
    pub clock_ns: u64,
    /// The voter's roster epoch.
    pub roster_epoch: u64,
    /// One verdict for each claim that was not a duplicate.
    pub verdicts: Vec<(RouterKey, Verdict)>,
}

/// What a voter says to one claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Granted for the duration asked, under this epoch.
    Granted {
        /// The claim's epoch.
        epoch: u64,
    },
    /// Another node's grant has not expired: the veto.
    Held {
        /// Who holds it.
        owner: NodeId,
        /// Under which epoch.
        epoch: u64,
        /// For how much longer, in milliseconds.
        remaining_ms: u32,
    },
    /// The epoch is older than one the voter has seen.
    Stale {
        /// The highest epoch seen.
        max_epoch: u64,
    },
    /// The sender counts votes by another roster.
    WrongRoster,
    /// The voter lost its memory and stays silent until no grant it may have forgotten can live.
    Quarantine {
        /// For how much longer, in milliseconds.
        remaining_ms: u32,
    },
}

/// The end of a lease, said by its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Release {
    /// Which virtual router.
    pub router: RouterKey,
    /// The epoch it was held under; any other is left alone.
    pub epoch: u64,
    /// Number of the sender's last request: what it asked for later is another lease, what it asked
    /// for before is void, even where the request comes after the release. Whoever
    /// speaks for a dead director, or a later run for an earlier one, says [`Release::LAST`].
    pub seq: u64,
    /// Who should have it next: the voter keeps it free for that node for a moment.
    pub successor: Option<NodeId>,
}

impl Parting {
    /// As much of the cause as a message may carry.
    pub fn new(cause: &str, leases: Vec<(RouterKey, u64)>) -> Self {
        Self { cause: short(cause), leases }
    }
}

impl Release {
    /// The `seq` of a run that is over: no request it sent under these epochs counts any more. The
    /// runs after it use later epochs.
    pub const LAST: u64 = u64::MAX;
}

/// Why the sender gives leases back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parting {
    /// In words, at most [`LONGEST_TEXT`](super::moves::LONGEST_TEXT) bytes.
    pub cause: String,
    /// Which, each with its epoch.
    pub leases: Vec<(RouterKey, u64)>,
}

/// A lease ended at this voter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vacant {
    /// Which virtual router.
    pub router: RouterKey,
    /// Who held it.
    pub owner: NodeId,
    /// The epoch of the lease that ended.
    pub epoch: u64,
    /// Released by its holder, or run out.
    pub released: bool,
    /// Whom the voter keeps it free for.
    pub reserved_for: Option<NodeId>,
}

/// A wish to take over from a living owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preempt {
    /// Which virtual router.
    pub router: RouterKey,
    /// The sender's effective priority, 1 to 255.
    pub priority: u8,
}
