//! The last will of a daemon: what somebody else has to do in its place once it is dead.
//!
//! Whoever carries it out first closes the fence and removes the addresses, and only then tells
//! others that they may have them: [`Will::resignations`] to routers on the segment,
//! [`Will::releases`] to the voters.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::lease::Release;
use mesh_wire::vrrp::Envelope;
use serde::{Deserialize, Serialize};

use crate::vrrp;

/// All that a dead daemon leaves to be done. One without entries leaves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Will {
    /// Virtual addresses in the kernel, each with the interface it is on.
    pub addresses: Vec<(String, IpNet)>,
    /// Advertisements with priority 0, ready to be sent. Those with an authentication header have a number
    /// ahead of what was sent so far.
    pub resignations: Vec<Advert>,
    /// The same of routers with `auth_hmac`.
    pub unsigned: Vec<Unsigned>,
    /// Every lease a voter may have granted to this node.
    pub releases: Vec<Release>,
    /// The other voters, and where they are reached.
    pub voters: Vec<(NodeId, SocketAddr)>,
}

/// One packet with TOS or traffic class 0xC0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advert {
    /// Out of this interface.
    pub interface: String,
    /// IP source.
    pub source: IpAddr,
    /// 224.0.0.18, ff02::12, or a unicast peer.
    pub destination: IpAddr,
    /// The rest of the IP header.
    pub envelope: Envelope,
    /// The VRRP packet, checksum included.
    pub payload: Vec<u8>,
}

/// A packet whose signature tells when it was made, and must not be ahead of the clock: who heard it would
/// take the next run's adverts for old ones. So whoever sends it signs it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsigned {
    advert: Advert,
    key: u8,
    secret: Vec<u8>,
}

impl Unsigned {
    /// To be signed with this key.
    pub fn new(advert: Advert, key: u8, secret: &[u8]) -> Unsigned {
        Unsigned { advert, key, secret: secret.to_vec() }
    }

    /// The packet to send at this time since 1970. `None` where it is no advert.
    pub fn sign(&self, clock: Duration) -> Option<Advert> {
        let Advert { source, destination, payload, .. } = &self.advert;
        let payload = vrrp::sign(payload, (*source, *destination), (self.key, &self.secret), clock)?;
        Some(Advert { payload, ..self.advert.clone() })
    }
}

impl fmt::Debug for Unsigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsigned").field("advert", &self.advert).field("key", &self.key).finish_non_exhaustive()
    }
}
