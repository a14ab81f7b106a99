//! What directors say to each other over QUIC.
//!
//! Lease messages and votes travel directly between two nodes, on a connection bound to the
//! sender's certificate ([`lease`]). What every node tells all others (names, priorities, router
//! states) travels by gossip and is information only, never a vote ([`gossip`]).

pub mod codec;
pub mod consensus;
pub mod enrol;
pub mod gossip;
pub mod lease;
pub mod moves;
pub mod roster;
mod tag;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::tag::tag;

/// A node of the mesh: the first eight bytes of the SHA-256 of its public key (SPKI, DER), big
/// endian. It follows from the certificate, so that nobody can claim another node's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({self})")
    }
}

impl FromStr for NodeId {
    type Err = std::num::ParseIntError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        u64::from_str_radix(s, 16).map(NodeId)
    }
}

/// Address family of a virtual router: IPv4 and IPv6 routers with one VRID are two routers
/// (RFC 9568 section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Which one an address is of.
    pub fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::Ipv4,
            IpAddr::V6(_) => Family::Ipv6,
        }
    }
}

/// In words.
impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        })
    }
}

/// The name of a virtual router that all directors agree on without agreeing on interface or
/// instance names, which differ from host to host: what a lease is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouterKey {
    /// IPv4 or IPv6.
    pub family: Family,
    /// Virtual router identifier, 1 to 255.
    pub vrid: u8,
    /// Zero where this VRID is used on one interface only; otherwise a hash of the interface's
    /// name, which then has to be the same on all directors.
    pub segment: u32,
}

impl fmt::Display for RouterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = match self.family {
            Family::Ipv4 => "4",
            Family::Ipv6 => "6",
        };
        write!(f, "{family}.{}", self.vrid)?;
        if self.segment != 0 {
            write!(f, ".{:08x}", self.segment)?;
        }
        Ok(())
    }
}
