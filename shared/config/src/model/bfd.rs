//! BFD sessions.

use std::net::IpAddr;
use std::time::Duration;

use super::Weight;

/// One session with one neighbour (`bfd_instance`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdInstance {
    /// Unique name, at most [`BfdInstance::LONGEST_NAME`] bytes.
    pub name: String,
    /// `neighbor_ip`, a unicast address; no two sessions have the same on the same interface.
    pub neighbour: IpAddr,
    /// `source_ip`, of the same family; default the kernel's choice.
    pub source: Option<IpAddr>,
    /// `interface`: packets go and come by this one only. Always there for a link-local neighbour.
    pub interface: Option<String>,
    /// `min_rx`: the least interval between packets that is asked of the neighbour; default 10 ms,
    /// at least 1 ms.
    pub min_rx: Duration,
    /// `min_tx`: the least interval between packets sent; default 10 ms, at least 1 ms.
    pub min_tx: Duration,
    /// `idle_tx`: the same while the session is not up; default 1 s, at least 1 s.
    pub idle_tx: Duration,
    /// `multiplier`: how many packets in a row the neighbour has to miss; default 5, 1 to 255.
    pub multiplier: u8,
    /// `passive`: sends nothing until it hears the neighbour.
    pub passive: bool,
    /// `ttl` or `hoplimit` of what is sent, 1 to 255; keepalived.conf has 64 as the default for IPv6,
    /// everything else 255.
    pub ttl: u8,
    /// `max_hops`: how far below `ttl` that of what is received may be, at most `ttl`; default 0.
    pub max_hops: u8,
    /// `multihop`: the ports of RFC 5883 instead of those of RFC 5881.
    pub multihop: bool,
    /// `weight`: for virtual routers that track it and say nothing else; default 0, -253 to 253.
    pub weight: i16,
    /// `weight ... reverse`: up and down change places.
    pub reverse: bool,
    /// `vrrp` or neither of the two: virtual routers may track it.
    pub for_routers: bool,
    /// `checker` or neither of the two: checks of real servers may refer to it.
    pub for_services: bool,
}

impl BfdInstance {
    /// Longest name in bytes.
    pub const LONGEST_NAME: usize = 31;
    /// Shortest `min_rx` and `min_tx`.
    pub const SHORTEST: Duration = Duration::from_millis(1);
    /// Shortest `idle_tx` (RFC 5880 section 6.8.3).
    pub const SHORTEST_IDLE: Duration = Duration::from_secs(1);
    /// Longest of all: what fits in a packet, 71 minutes.
    pub const LONGEST: Duration = Duration::from_millis(4_294_967);

    /// What counts where whoever tracks it says nothing.
    pub fn own_weight(&self) -> Weight {
        Weight { by: self.weight.into(), reverse: self.reverse }
    }

    /// A session with this neighbour, and every other value at its default.
    pub fn new(name: impl Into<String>, neighbour: IpAddr) -> Self {
        BfdInstance {
            name: name.into(),
            neighbour,
            source: None,
            interface: None,
            min_rx: Duration::from_millis(10),
            min_tx: Duration::from_millis(10),
            idle_tx: Duration::from_secs(1),
            multiplier: 5,
            passive: false,
            ttl: 255,
            max_hops: 0,
            multihop: false,
            weight: 0,
            reverse: false,
            for_routers: true,
            for_services: true,
        }
    }
}
