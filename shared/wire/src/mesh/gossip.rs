//! Values that nodes publish by gossip: information for people, placement and status, never votes.
//!
//! Keys of one node: `node` holds a [`NodeReport`], `router/KEY` a [`RouterReport`], `vips/KEY/0` and so on a
//! [`VipsReport`], `serves/0` and so on a [`ServesReport`], `server/0` and so on a [`ServerReport`], `service/NAME` a [`ServiceReport`],
//! `pin/KEY` a [`PinReport`], `drain/NODE` a [`DrainReport`], all as JSON.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{NodeId, RouterKey, roster::Role};

/// Longest value with its key, in bytes; longer ones are not sent.
pub const MAX_VALUE: usize = 16 * 1024;

/// Key of the [`NodeReport`].
pub const NODE_KEY: &str = "node";
/// What the key of every [`RouterReport`] begins with.
pub const ROUTER_PREFIX: &str = "router/";
/// What the key of every [`VipsReport`] begins with; the router's and the number of the part follow. Behind all of
/// [`ROUTER_PREFIX`] in the order of keys, in which values are passed on that are news together.
pub const VIPS_PREFIX: &str = "vips/";
/// What the key of every [`ServesReport`] begins with; the number of the part follows.
pub const SERVES_PREFIX: &str = "serves/";
/// What the key of every [`ServerReport`] begins with; the number of the part follows.
pub const SERVER_PREFIX: &str = "server/";

/// What the key of every [`ServiceReport`] begins with; the virtual server's name follows, each `#` in
/// it doubled, and `#2` and so on for further parts.
pub const SERVICE_PREFIX: &str = "service/";

/// What the key of every [`PinReport`] begins with; the router's follows.
pub const PIN_PREFIX: &str = "pin/";
/// What the key of every [`DrainReport`] begins with; the node's identity follows.
pub const DRAIN_PREFIX: &str = "drain/";

/// A node about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// What it does.
    pub role: Role,
    /// Version of the daemon.
    pub version: String,
    /// Digest of what has to be equal on all directors (VRIDs, addresses, intervals).
    pub config_digest: String,
    /// Whether it hands over what it holds and takes nothing.
    pub draining: bool,
    /// Epoch of the roster it counts by; who has a newer one sends it.
    #[serde(default)]
    pub roster_epoch: u64,
    /// When its configuration came, in milliseconds since 1970-01-01 UTC, where others' have to fit it
    /// though digests are equal: others ask when this changes. 0 where nothing has to.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fits_since_unix_ms: u64,
    /// What it found where it looked for a director on a segment, which it does when the mesh hears that
    /// director and it does not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hearing: Vec<Hearing>,
    /// Nobody hears it on the segments of these routers: others shall go on looking for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mute: Vec<RouterKey>,
    /// How many routers it shall have, beside those of others; a share, not a limit.
    #[serde(default = "usual_capacity")]
    pub capacity: u32,
    /// Of how many virtual routers it speaks, so that others know when they have heard of all; 0 of a version that did
    /// not say so.
    #[serde(default)]
    pub routers: u32,
}

/// A director's share where it does not say another one.
pub const USUAL_CAPACITY: u32 = 100;

fn usual_capacity() -> u32 {
    USUAL_CAPACITY
}

/// What a node found on a segment by ARP or neighbour solicitations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hearing {
    /// A router on that segment.
    pub router: RouterKey,
    /// The director it looked for.
    pub director: NodeId,
    /// Whether that answered, for itself or for the router's address.
    pub answers: bool,
    /// Which other directors answered.
    pub hears: Vec<NodeId>,
}

/// A director about one of its virtual routers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterReport {
    /// Which virtual router.
    pub key: RouterKey,
    /// The instance's name in that director's configuration.
    pub name: String,
    /// The interface there.
    pub interface: String,
    /// The virtual addresses with prefix lengths; of many of them the first ones.
    pub vips: Vec<String>,
    /// How many [`VipsReport`] have the others.
    #[serde(default, skip_serializing_if = "is_none")]
    pub vips_parts: u32,
    /// What the director is for this router.
    pub state: RouterState,
    /// Effective priority, 0 while in fault.
    pub priority: u8,
    /// Epoch of the lease held, 0 without one.
    pub epoch: u64,
    /// Source address of its adverts, for telling mesh nodes from foreign routers.
    pub source: Option<IpAddr>,
    /// A router outside the mesh that is active on the segment, as far as this node hears.
    pub foreign: Option<IpAddr>,
    /// The last change of `state`.
    pub transition: Transition,
    /// Why it cannot serve there, or what keeps its priority lower than it could be, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// Routes and rules that it is served without there because the kernel refused them, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lacks: Option<String>,
    /// It is held back there, because it came and went too often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<HoldReport>,
    /// What placement goes by; `None` from versions that know none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<PlaceReport>,
}

/// Virtual addresses that a [`RouterReport`] has no room for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipsReport {
    /// Which virtual router.
    pub router: RouterKey,
    /// Which part of them, from 0.
    pub part: u32,
    /// With prefix lengths.
    pub vips: Vec<String>,
}

/// A router that a director does not take for now, although it could.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldReport {
    /// Until when, in milliseconds since 1970-01-01 UTC on that node's wall clock.
    pub until_unix_ms: u64,
    /// In words.
    pub because: String,
}

/// What placement has to know of a router on one director, besides its state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceReport {
    /// The priority its operator wrote.
    pub configured: u8,
    /// The priority it has by its place in the order of directors, before tracking.
    pub base: u8,
    /// Whether it is placed by the mesh, and not by configured priorities.
    pub spread: bool,
    /// Whether a worthier director takes over from a living one.
    pub preempt: bool,
    /// The first router of its sync group there, where it is in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<RouterKey>,
    /// Routers that should be on other directors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<RouterKey>,
}

/// Where an operator wants a router to be. Everybody repeats what has the highest version, so that
/// it outlives the node that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinReport {
    /// Which router.
    pub router: RouterKey,
    /// On which director; nowhere any more where there is none.
    pub node: Option<NodeId>,
    /// One more than what it replaces.
    pub version: u64,
    /// Who set it: of two equal versions, that of the higher identity counts.
    pub by: NodeId,
}

/// Whether an operator wants a director to be empty; repeated as a [`PinReport`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrainReport {
    /// Which director.
    pub node: NodeId,
    /// What is wanted.
    pub drain: Drain,
    /// One more than what it replaces.
    pub version: u64,
    /// Who set it, as with a pin.
    pub by: NodeId,
}

/// What an operator wants a director to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Drain {
    /// Serve as usual.
    #[default]
    No,
    /// Hand over everything, and take nothing that others can.
    Draining,
    /// Serve again; what belongs to it comes back one after another.
    Returning,
}

/// State of one virtual router on one director.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RouterState {
    /// Serves the addresses.
    Active,
    /// Stands by.
    Backup,
    /// Cannot serve: link, address or tracked object.
    Fault,
    /// Wanted to take over and was refused by the voters.
    Vetoed,
}

/// When and why a state changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// Milliseconds since 1970-01-01 UTC on that node's wall clock.
    pub at_unix_ms: u64,
    /// In words.
    pub cause: String,
    /// 32 hexadecimal digits, the same on every node that took part.
    pub trace_id: String,
}

/// One part of what a director tells real servers about its virtual servers. The parts 0 to
/// `parts` - 1 of one revision are the whole, which replaces what that director told before; a part
/// that is missing or deleted says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServesReport {
    /// The same in all parts that belong together.
    pub revision: u64,
    /// How many parts there are, at least one.
    pub parts: u32,
    /// Virtual servers; one may be told in several pieces, of which each stands for itself.
    pub virtual_servers: Vec<Served>,
}

/// A virtual server, as far as its real servers have to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// How people call it.
    pub name: String,
    /// Where clients' packets go to; port 0 is every port. Nothing for firewall marks, whose
    /// addresses only rules on the director know.
    pub endpoints: Vec<SocketAddr>,
    /// What is forwarded.
    pub protocol: Protocol,
    /// Real servers as configured, port 0 for that of the endpoint, and how packets reach them.
    pub real_servers: BTreeMap<SocketAddr, Forwarding>,
}

/// Transport protocol of a virtual server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// How a director forwards to a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forwarding {
    /// With the real server's address in place of the virtual one.
    Nat,
    /// As it came, to the real server's MAC address.
    Dr,
    /// As it came, inside an IP packet.
    Tun,
    /// As it came, inside GUE.
    Gue,
    /// As it came, inside GRE.
    Gre,
}

/// One part of what a director says about one of its virtual servers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceReport {
    /// The virtual server's name.
    pub name: String,
    /// All of it is in ip_vs there.
    pub programmed: bool,
    /// Real servers that this director checks, as configured.
    pub real_servers: BTreeMap<SocketAddr, RealServerReport>,
}

/// What a director's own checks say about a real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RealServerReport {
    /// Whether it serves.
    pub state: Health,
    /// Why not, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when, in milliseconds since 1970-01-01 UTC on that node's wall clock.
    pub since_unix_ms: u64,
    /// When it was found up after somebody else had said that it is down, on the same clock.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub confirmed_unix_ms: u64,
}

fn is_none(number: &u32) -> bool {
    *number == 0
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Health of a real server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// All checks succeed.
    Up,
    /// One does not.
    Down,
    /// There was no result yet.
    #[default]
    Unknown,
}

/// One part of what a real server says about itself. Its parts say the same about `ready`, and
/// together list all ports.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerReport {
    /// All that packets for the virtual addresses need is in place. False while it is being put
    /// there, and from the moment the server begins to leave: send no new connections then.
    pub ready: bool,
    /// Its TCP ports behind virtual servers, by the address that directors know them by, each once
    /// it was tried.
    pub ports: BTreeMap<SocketAddr, PortState>,
}

/// What a real server sees of one of its own ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortState {
    /// Takes connections.
    Up,
    /// Does not.
    Down,
}
