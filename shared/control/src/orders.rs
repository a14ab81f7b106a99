//! What a node is asked for and told to do, and what comes of it.

use serde::{Deserialize, Serialize};

/// Asks for an enrolment token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRequest {
    /// Seconds until it expires, 1 to 604 800.
    pub ttl_s: u32,
}

/// An enrolment token; it is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenReply {
    /// The token.
    pub token: String,
    /// RFC 3339, UTC.
    pub expires: String,
    /// The whole command to type on the new machine, without the token.
    pub command: String,
}

/// Asks the daemon to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// Leave what is served to the next run instead of handing it over.
    #[serde(default)]
    pub keep: bool,
}

/// It stops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopReply {
    /// The processes that end.
    pub pids: Vec<u32>,
}

/// The configuration was read again, and is in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReply {
    /// What there is to say about it, as `meshd check` does: `FILE:LINE:COLUMN: SEVERITY: TEXT`.
    pub findings: Vec<String>,
    /// And in a line.
    pub summary: String,
}

/// What is known about one token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenInfo {
    /// 16 hexadecimal digits; no secret.
    pub id: String,
    /// RFC 3339, UTC; none where nobody knows any more.
    pub expires: Option<String>,
    /// `open` (made by this daemon since it started, and not used), `used` or `revoked`.
    pub state: String,
    /// Who joined with it, while `state` is `used`.
    pub by: Option<String>,
}

/// Makes a token useless.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRevocation {
    /// The token, or its id.
    pub token: String,
}

/// Names a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRequest {
    /// Its name, or its identity (16 hexadecimal digits).
    pub node: String,
}

/// Asks for a mesh without a member, for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRemoval {
    /// Its name, or its identity (16 hexadecimal digits).
    pub node: String,
    /// Also if it serves something, which nobody serves then until its leases have run out.
    #[serde(default)]
    pub now: bool,
}

/// Asks for a virtual router, and its sync group, on another director.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRequest {
    /// The router's name, its sync group's, or one of its addresses.
    pub what: String,
    /// The director's name, or its identity.
    pub node: String,
}

/// Asks for a virtual router where it would be if no operator had moved it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackRequest {
    /// As in [`MoveRequest`].
    pub what: String,
}

/// An order was taken, and where it was a move, carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ordered {
    /// What is so now, in words.
    pub done: String,
    /// The director that orders moves.
    pub by: String,
}

/// Asks what would move.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRequest {
    /// As if this director were to be empty.
    #[serde(default)]
    pub drain: Option<String>,
}

/// What would move if nothing else changed, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The director that orders moves; none where none is there.
    pub ordered_by: Option<String>,
    /// How fast, at most, as configured on the node that answers.
    pub moves_per_minute: u32,
    /// One after another.
    pub moves: Vec<PlannedMove>,
    /// What should leave a director, and cannot.
    pub stuck: Vec<StuckMove>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMove {
    /// Names of the routers that move together.
    pub routers: Vec<String>,
    /// Who serves them.
    pub from: String,
    /// Who shall.
    pub to: String,
    /// Why, in words.
    pub because: String,
}

/// Routers that should leave a director, and cannot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StuckMove {
    /// Their names.
    pub routers: Vec<String>,
    /// Who serves them.
    pub on: String,
    /// Why they stay, in words.
    pub because: String,
}

/// A change of the roster was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterChanged {
    /// The roster's epoch.
    pub roster_epoch: u64,
    /// Names of the voters.
    pub voters: Vec<String>,
    /// Votes that make a majority.
    pub needed: usize,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What was refused and why.
    pub error: String,
    /// What to do next.
    pub hint: Option<String>,
}
