//! Values that nodes publish by gossip: information for people, placement and status, never votes.
//!
//! Keys of one node: `node` holds a [`NodeReport`], `router/KEY` a [`RouterReport`], both as JSON.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{RouterKey, roster::Role};

/// Key of the [`NodeReport`].
pub const NODE_KEY: &str = "node";
/// What the key of every [`RouterReport`] begins with.
pub const ROUTER_PREFIX: &str = "router/";

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
    /// The virtual addresses with prefix lengths.
    pub vips: Vec<String>,
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
