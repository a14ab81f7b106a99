//! The last will of a daemon: what somebody else has to do in its place once it is dead.
//!
//! Whoever carries it out first closes the fence and removes the addresses, and only then tells
//! others that they may have them: [`Will::resignations`] to routers on the segment,
//! [`Will::releases`] to the voters.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::lease::Release;
use mesh_wire::vrrp::Envelope;
use serde::{Deserialize, Serialize};

/// All that a dead daemon leaves to be done. One without entries leaves nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Will {
    /// Virtual addresses in the kernel, each with the interface it is on.
    pub addresses: Vec<(String, IpNet)>,
    /// Advertisements with priority 0, ready to be sent. Not of routers whose adverts carry a number that
    /// must not come again: who hears no mesh waits for as long as VRRP has it.
    pub resignations: Vec<Advert>,
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
