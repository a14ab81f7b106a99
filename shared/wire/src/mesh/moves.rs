//! Planned moves: an order goes to the director that orders moves, from there to whoever serves, and
//! that one hands over to the successor.
//!
//! ```text
//!  any member --Order--> orders moves --HandOver--> owner --Prepare--> successor
//!                                                         <--Prepared--
//!                        (owner: fence closed, lease released for the successor)
//!                                                         <--Taken-----
//!             <--Answer--             <--Ended-----
//! ```
//!
//! Any of them may be lost or late: nothing but a lease says who serves.

use serde::{Deserialize, Serialize};

use super::gossip::{DrainReport, PinReport};
use super::{NodeId, RouterKey};

/// Bytes of a text in such a message, at most.
pub const LONGEST_TEXT: usize = 512;

/// As much of a text as such a message may carry.
pub fn short(text: &str) -> String {
    text[..text.floor_char_boundary(LONGEST_TEXT)].to_owned()
}

/// Routers moved together, at most.
pub const MOST_ROUTERS: usize = 255;

/// Pins in one message, at most, and drains.
pub const MOST_MARKS: usize = 1000;

/// One message about a move. `id` is the sender's first, and repeated in every answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MoveMessage {
    /// An operator wants something moved.
    Order {
        /// Names the order.
        id: u64,
        /// What is wanted.
        order: Order,
    },
    /// What came of it, in words, or who refused and why.
    Answer {
        /// The order.
        id: u64,
        /// In words.
        outcome: Result<String, String>,
    },
    /// To whoever serves these routers: hand them over.
    HandOver {
        /// Names the move.
        id: u64,
        /// All of one group.
        routers: Vec<RouterKey>,
        /// The successor.
        to: NodeId,
        /// What becomes of the operator's word on where they are.
        pin: Pin,
        /// Why, in words.
        cause: String,
    },
    /// To the successor: will you take these, as soon as they are free?
    Prepare {
        /// The move.
        id: u64,
        /// The routers.
        routers: Vec<RouterKey>,
        /// As in the order to hand over.
        pin: Pin,
        /// Why, in words.
        cause: String,
    },
    /// The successor's answer; a refusal in words.
    Prepared {
        /// The move.
        id: u64,
        /// Why not.
        refusal: Option<String>,
    },
    /// The successor serves all of them.
    Taken {
        /// The move.
        id: u64,
    },
    /// The move is over, or has failed, in words.
    Ended {
        /// The move.
        id: u64,
        /// Who refused, and why, and what is so now.
        failure: Option<String>,
    },
    /// To whoever has just connected: what operators decided, as far as the sender knows; to all, what has just been
    /// decided. Gossip says the same, a little later. The last kind: earlier versions drop it.
    Introduction {
        /// Where routers shall be, or shall not be any more.
        pins: Vec<PinReport>,
        /// Which directors shall be empty, or as usual again.
        drains: Vec<DrainReport>,
        /// How many routers the sender has: so many reports are to come by gossip.
        routers: u32,
    },
}

/// What an operator wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// This router, and its group, on that director, until said otherwise.
    Move {
        /// Which router.
        router: RouterKey,
        /// To whom.
        to: NodeId,
    },
    /// This router, and its group, where it would be without a word from the operator.
    Back {
        /// Which router.
        router: RouterKey,
    },
    /// This director empty.
    Drain {
        /// Which.
        node: NodeId,
    },
    /// This director as usual again.
    Undrain {
        /// Which.
        node: NodeId,
    },
}

/// What a move does to the operator's word on where a router shall be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pin {
    /// Nothing.
    Keep,
    /// It shall be with the successor.
    Set,
    /// There is none any more.
    Clear,
}
