//! What meshctl and meshd say to each other: JSON over HTTP/1.1 on a unix socket.
//!
//! | request | answer |
//! |---|---|
//! | `GET /status` | [`Status`] |
//! | `GET /status/watch` | server-sent events, one [`Status`] as JSON in each `data:` |
//! | `GET /events?since=S&limit=N` | [`story::Events`] of all nodes, those of the last S seconds, N at most |
//! | `GET /events/follow?since=S` | server-sent events, one [`story::Event`] in each `data:`, for as long as one reads |
//! | `GET /traces?id=ID&router=NAME_OR_VIP` | [`story::Trace`]: the one of this id (its first digits do), else the latest |
//! | `GET /explain?router=NAME_OR_VIP` | [`story::Explanation`] |
//! | `GET /metrics` | the same in figures, as OpenMetrics text, for Prometheus |
//! | `POST /tokens` with [`TokenRequest`] | [`TokenReply`] |
//! | `POST /stop` with [`StopRequest`] | [`StopReply`]; the daemon stops |
//! | `POST /upgrade` | [`StopReply`]; the guard starts the program on disk in the daemon's place |
//! | `POST /reload` | [`ReloadReply`], once the configuration on disk is in use |
//! | `GET /tokens` | a list of [`TokenInfo`] |
//! | `POST /tokens/revoke` with [`TokenRevocation`] | [`RosterChanged`] |
//! | `POST /voters/add`, `/voters/remove` with [`NodeRequest`] | [`RosterChanged`] |
//! | `POST /nodes/remove` with [`NodeRemoval`] | [`RosterChanged`] |
//! | `POST /moves` with [`MoveRequest`], `/moves/back` with [`BackRequest`] | [`Ordered`] |
//! | `POST /nodes/drain`, `/nodes/undrain` with [`NodeRequest`] | [`Ordered`], at once; [`Status`] shows how far it is |
//! | `POST /plan` with [`PlanRequest`] | [`Plan`] |
//! | anything refused | HTTP status 4xx or 5xx and a [`Refusal`] |
//!
//! Fields may be added, never renamed or removed; readers ignore what they do not know.

use serde::{Deserialize, Serialize};

pub mod drift;
pub mod story;

/// Default place of the socket.
pub const DEFAULT_SOCKET: &str = "/run/meshd/meshd.sock";

/// The cluster-wide map as one node sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The mesh.
    pub cluster: Cluster,
    /// The node that answers.
    pub node: String,
    /// All members.
    pub nodes: Vec<Node>,
    /// All virtual routers any member reports, by name.
    pub routers: Vec<Router>,
    /// Virtual services.
    pub services: Vec<Service>,
    /// BFD sessions of the node that answers, by name.
    #[serde(default)]
    pub bfd: Vec<BfdSession>,
    /// What the node that answers has counted since it started, by name.
    #[serde(default)]
    pub counters: std::collections::BTreeMap<String, u64>,
    /// What it has dropped, by sender and reason in words.
    #[serde(default)]
    pub drops: std::collections::BTreeMap<String, u64>,
    /// How often it began to serve: by `handover`, `release`, `expiry` of another's lease, or `silence`.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub failovers: std::collections::BTreeMap<String, u64>,
    /// How often which voter refused its claims, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vetoes: Vec<story::VetoCount>,
    /// How other directors are configured otherwise than the node that answers.
    #[serde(default, skip_serializing_if = "drift::Drift::is_empty")]
    pub drift: drift::Drift,
    /// What the guard of its daemon did; none without a guard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<Guard>,
    /// Why the configuration that was read last is not in use, while the one before it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_refused: Option<ConfigRefused>,
}

/// A configuration that was read again and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRefused {
    /// When; RFC 3339, UTC.
    pub at: String,
    /// What is wrong with it, in lines, each finding with its file and line.
    pub errors: Vec<String>,
}

/// The process that watches over a daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// Its process id.
    pub pid: u32,
    /// The daemon's.
    pub daemon_pid: u32,
    /// How often it started the daemon again after it had died.
    pub restarts: u64,
    /// How the daemon died last, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_death: Option<String>,
    /// When; RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_death_at: Option<String>,
    /// Why it cannot act for a killed daemon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cannot_act: Option<String>,
}

/// The mesh as a whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// Cluster id, empty without a mesh.
    pub id: String,
    /// Cluster name, empty without a mesh.
    pub name: String,
    /// Whether at most one owner is enforced.
    pub protection: Protection,
    /// Why not, while `protection` is `unprotected`; why this node is in no mesh any more, where it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unprotected_because: Option<String>,
    /// The voters.
    pub quorum: Quorum,
}

/// Whether at most one owner is enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protection {
    /// By leases of a quorum of voters and a fence in the kernel.
    Protected,
    /// In a mesh, but with fewer than three voters, or no fence, or serving without a lease: VRRP
    /// decides alone whenever no majority of the voters answers.
    Unprotected,
    /// No mesh.
    None,
}

/// The voters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// Configured voters.
    pub voters: usize,
    /// Votes that make a majority.
    pub needed: usize,
    /// Voters this node reaches now, itself included.
    pub reachable: usize,
    /// Epoch of the roster.
    pub roster_epoch: u64,
}

/// A member of the mesh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// `director`, `witness` or `server`.
    pub role: String,
    /// Whether it votes.
    pub voter: bool,
    /// Who decides whether it votes: `auto` (the mesh), `always` or `never` (the operator).
    #[serde(default)]
    pub vote: String,
    /// Whether it is there, as seen from the node that answers.
    pub liveness: Liveness,
    /// Its mesh address.
    pub address: String,
    /// Whether it is being emptied.
    pub draining: bool,
    /// Round trip in milliseconds; none for itself and for nodes that are not there.
    pub rtt_ms: Option<f64>,
    /// Digest of what has to be equal on all directors.
    pub config_digest: String,
    /// Version of its daemon.
    pub version: String,
}

/// Whether a member is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// Connected.
    Alive,
    /// Not connected, but others still hear it.
    Suspect,
    /// Nobody hears it.
    Dead,
    /// Said goodbye.
    Left,
}

/// One virtual router over the whole mesh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Router {
    /// Instance name.
    pub name: String,
    /// Interface.
    pub interface: String,
    /// VRID.
    pub vrid: u8,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// Virtual addresses with prefix lengths.
    pub vips: Vec<String>,
    /// Over the whole mesh.
    pub state: RouterState,
    /// Who is Active.
    pub active: Option<String>,
    /// What this node is for it: `active`, `backup`, `fault`, `vetoed`, or `none` where it is not
    /// configured here.
    pub here: String,
    /// The lease, where this node knows one.
    pub lease: Option<Lease>,
    /// Effective priority of each director.
    pub priority: std::collections::BTreeMap<String, u8>,
    /// The last takeover or loss anywhere.
    pub last_transition: Option<Transition>,
    /// Why the node that answers cannot tell who serves it, in words: `state` is what it would be if directors
    /// that are not reached from there did not serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cannot_tell: Option<String>,
    /// Directors that cannot serve it, and why, in words.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub faults: std::collections::BTreeMap<String, String>,
    /// Directors whose priority is lower than it could be, and what lowers it, in words.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub lowered: std::collections::BTreeMap<String, String>,
    /// Directors that serve it without addresses, routes or rules it should have, because the kernel refused them, and
    /// which, in words.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub lacks: std::collections::BTreeMap<String, String>,
    /// What is configured on directors that the mesh, or an operator, gave another priority.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub configured_priority: std::collections::BTreeMap<String, u8>,
    /// Why this node was refused, while `here` is `vetoed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub veto: Option<Veto>,
    /// Why this node does not take it for now, although it could: it came and went too often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// The directors that do not take it for now for the same reason, this node among them.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub held_on: std::collections::BTreeMap<String, Held>,
    /// A router outside the mesh that advertises: the active one while `state` is `foreign`, else one
    /// beside the member that serves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign: Option<String>,
    /// Where an operator wants it, until said otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pinned_to: Option<String>,
    /// What keeps others from serving beside the one that does.
    #[serde(default)]
    pub protection: RouterProtection,
    /// Why a member of a mesh serves without a lease, while it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unprotected_because: Option<String>,
}

/// What keeps others from serving a router beside the one that does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouterProtection {
    /// A lease, granted by a majority of the voters.
    Lease,
    /// Nothing: VRRP alone, or nobody serves.
    #[default]
    None,
}

/// State of a virtual router over the whole mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouterState {
    /// A member serves it.
    Active,
    /// Nobody serves it.
    Vacant,
    /// A router outside the mesh serves it.
    Foreign,
    /// Every director that has it is in fault.
    Fault,
}

/// A lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Holder's name.
    pub owner: String,
    /// Its epoch.
    pub epoch: u64,
    /// What is left of it, as the answering node knows it.
    pub remaining_ms: u64,
}

/// A change of state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// RFC 3339, UTC.
    pub at: String,
    /// In words.
    pub cause: String,
    /// Trace id, 32 hexadecimal digits.
    pub trace_id: String,
}

/// A refused takeover.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Veto {
    /// The voters that refused.
    pub by: Vec<String>,
    /// Who holds the lease.
    pub holder: Option<String>,
    /// In words.
    pub reason: String,
}

/// A router that is held back on a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// RFC 3339, UTC.
    pub until: String,
    /// What fell, how often, and for how long it is held, in words.
    pub because: String,
}

/// A virtual service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// `ADDR:PORT/protocol`.
    pub virtual_server: String,
    /// ip_vs scheduler.
    pub scheduler: String,
    /// `nat`, `dr` or `tun`.
    pub forwarding: String,
    /// Seconds, 0 without persistence.
    pub persistence_s: u32,
    /// Directors that have it programmed.
    pub on: Vec<String>,
    /// Its real servers.
    pub real_servers: Vec<RealServer>,
    /// `gained` or `lost`, on the node that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<String>,
    /// Weight of all real servers that are used there.
    #[serde(default)]
    pub live_weight: u64,
    /// The sorry server, while it serves there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sorry_server: Option<String>,
    /// Why it is not in ip_vs there, or not wholly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_programmed_because: Option<String>,
    /// Why the node that answers would rather not serve its addresses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unfit_because: Option<String>,
}

/// A real server of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServer {
    /// `ADDR:PORT`.
    pub address: String,
    /// Its weight.
    pub weight: i64,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// The same, as each director sees it.
    pub seen_by: std::collections::BTreeMap<String, String>,
    /// Why it is down, in the words of each director that says so.
    #[serde(default)]
    pub reasons: std::collections::BTreeMap<String, String>,
    /// Directors that check it.
    #[serde(default)]
    pub checked_by: Vec<String>,
}

/// A BFD session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BfdSession {
    /// Its name.
    pub name: String,
    /// Address of the neighbour.
    pub neighbor: String,
    /// `up`, `init`, `down` or `admin_down`.
    pub state: String,
    /// Since when; RFC 3339, UTC.
    pub since: String,
    /// Why it is not up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Between two packets of ours, at most.
    pub tx_interval_ms: f64,
    /// After so much silence the neighbour counts as gone.
    pub detection_ms: f64,
    /// Packets sent since it began.
    pub sent: u64,
    /// Packets of the neighbour that counted.
    pub received: u64,
    /// How often it was up and went down.
    pub losses: u64,
}

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
