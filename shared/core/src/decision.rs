//! Decisions as values: a log line, a span and an audit entry are made of them.

use std::time::Duration;

use mesh_wire::mesh::{NodeId, RouterKey};

use crate::tracking::Kind;

/// Something that was decided, and why.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// A virtual router changed its state here.
    Router {
        /// The instance's name.
        name: String,
        /// Its key.
        key: RouterKey,
        /// What happened.
        event: RouterEvent,
        /// In words.
        cause: String,
        /// 32 hexadecimal digits, the same on all nodes that took part.
        trace_id: String,
    },
    /// A sync group changed its state here: what its members do is told of each of them, too.
    Group {
        /// Its name.
        name: String,
        /// What it is now.
        state: GroupState,
        /// The lowest effective priority of its members.
        priority: u8,
        /// In words, after the name of the member it began with.
        cause: String,
    },
    /// A member appeared, disappeared or left.
    Peer {
        /// Which.
        node: NodeId,
        /// Its name, as far as the roster knows it.
        name: String,
        /// What happened, in words.
        event: String,
    },
    /// The roster changed.
    Roster {
        /// Its epoch.
        epoch: u64,
        /// Names of its voters.
        voters: Vec<String>,
    },
    /// A tracked script changed its state.
    Script {
        /// Its name.
        name: String,
        /// Up or down.
        up: bool,
        /// In words.
        cause: String,
    },
    /// A virtual router fell so often that its recovery does not count for a while.
    Held {
        /// The instance's name.
        name: String,
        /// Its key.
        key: RouterKey,
        /// For how long.
        lasts: Duration,
        /// What fell and how often, in words.
        cause: String,
    },
    /// What is tracked changed a virtual router's priority.
    Weighed {
        /// The instance's name.
        name: String,
        /// Its key.
        key: RouterKey,
        /// What the priority is now.
        priority: u8,
        /// What keeps it lower than it could be, in words; none where nothing does any more.
        because: Option<String>,
    },
    /// A planned move; told by the director that orders it.
    Move {
        /// The router's name, the first one's of a group.
        name: String,
        /// Its key.
        key: RouterKey,
        /// Name of who serves it.
        from: String,
        /// Name of who shall.
        to: String,
        /// How far it is.
        event: MoveEvent,
        /// Why it moves, in words.
        cause: String,
    },
    /// An operator ordered something about a director; told by the director that took the order.
    Order {
        /// In words.
        text: String,
    },
    /// Another director is configured otherwise where all have to agree, or not any more.
    Drift {
        /// Its name.
        node: String,
        /// What differs and what comes of it, a line each; nothing where all is equal again.
        differences: Vec<String>,
    },
    /// Something else that is tracked changed.
    Tracked {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: String,
        /// How it stands now, in words.
        cause: String,
    },
    /// Something of ours in the kernel was touched by somebody else, and is repaired.
    Repaired {
        /// What, in words.
        what: String,
    },
    /// Something went wrong that the operator has to know.
    Warning {
        /// In words.
        text: String,
    },
    /// How the mesh as a whole stands, where that changed.
    Standing {
        /// As it should: what was told before is over.
        good: bool,
        /// In words.
        text: String,
    },
    /// A received packet was dropped.
    Dropped {
        /// From where.
        from: String,
        /// Which rule it broke.
        reason: String,
        /// How many such drops this line stands for.
        count: u64,
    },
}

/// How far a planned move is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveEvent {
    /// It begins.
    Begun,
    /// The successor serves.
    Done,
    /// It failed; who refused, and what is so now, in words.
    Failed(String),
}

/// What a sync group is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupState {
    /// All members serve.
    Active,
    /// All members stand by.
    Backup,
    /// A member cannot serve, so none does.
    Fault,
}

/// What happened to a virtual router here.
#[derive(Clone, Debug, PartialEq)]
pub enum RouterEvent {
    /// Serves from now on, under this epoch (0 without leases).
    Active {
        /// The lease's epoch.
        epoch: u64,
        /// The voters that granted it.
        voters: Vec<String>,
    },
    /// Serves without a lease, since no majority of the voters answers: others may serve, too.
    Unprotected,
    /// Served without a lease, and has one from now on, under this epoch.
    Protected {
        /// The lease's epoch.
        epoch: u64,
        /// The voters that granted it.
        voters: Vec<String>,
    },
    /// Stands by.
    Backup,
    /// Cannot serve.
    Fault,
    /// Wanted to take over and was refused.
    Vetoed {
        /// The voters that refused.
        by: Vec<String>,
    },
}
