//! The map: what [`Status`] tells of nodes, routers and services.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{drift, story};

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
    pub counters: BTreeMap<String, u64>,
    /// What it has dropped, by sender and reason in words.
    #[serde(default)]
    pub drops: BTreeMap<String, u64>,
    /// How often it began to serve: by `handover`, `release`, `expiry` of another's lease, or `silence`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failovers: BTreeMap<String, u64>,
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
    pub priority: BTreeMap<String, u8>,
    /// The last takeover or loss anywhere.
    pub last_transition: Option<Transition>,
    /// Why the node that answers cannot tell who serves it, in words: `state` is what it would be if directors
    /// that are not reached from there did not serve.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cannot_tell: Option<String>,
    /// Directors that cannot serve it, and why, in words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub faults: BTreeMap<String, String>,
    /// Directors whose priority is lower than it could be, and what lowers it, in words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lowered: BTreeMap<String, String>,
    /// Directors that serve it without addresses, routes or rules it should have, because the kernel refused them, and
    /// which, in words.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lacks: BTreeMap<String, String>,
    /// What is configured on directors that the mesh, or an operator, gave another priority.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub configured_priority: BTreeMap<String, u8>,
    /// Why this node was refused, while `here` is `vetoed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub veto: Option<Veto>,
    /// Why this node does not take it for now, although it could: it came and went too often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// The directors that do not take it for now for the same reason, this node among them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub held_on: BTreeMap<String, Held>,
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
    pub seen_by: BTreeMap<String, String>,
    /// Why it is down, in the words of each director that says so.
    #[serde(default)]
    pub reasons: BTreeMap<String, String>,
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
