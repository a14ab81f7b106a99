//! What can be fenced, and in which tables of the kernel each of it is.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_netfilter::NetfilterProtoFamily as Family;

/// What the fence closes unless it is leased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FenceTarget {
    /// An IPv4 address: what comes for it, what leaves from it, and ARP that asks for or tells of it.
    V4(Ipv4Addr),
    /// An IPv6 address: the same, with neighbour discovery in place of ARP.
    V6(Ipv6Addr),
    /// A virtual MAC address (00:00:5e:00:01:xx or 02:xx): IP and ARP addressed to it, whatever the IP
    /// address, so that two gateways never forward the same packet; and every frame sent from it, a
    /// last advertisement included (packet sockets get ENOBUFS).
    Mac([u8; 6]),
}

impl FenceTarget {
    /// The key of its elements.
    pub(super) fn key(&self) -> Vec<u8> {
        match self {
            FenceTarget::V4(address) => address.octets().to_vec(),
            FenceTarget::V6(address) => address.octets().to_vec(),
            FenceTarget::Mac(mac) => mac.to_vec(),
        }
    }

    /// What an element with this key is; no two kinds have keys of one length.
    pub(super) fn from_key(key: &[u8]) -> Option<FenceTarget> {
        let v4 = <[u8; 4]>::try_from(key).map(|octets| FenceTarget::V4(octets.into()));
        let mac = || key.try_into().map(FenceTarget::Mac);
        let v6 = || <[u8; 16]>::try_from(key).map(|octets| FenceTarget::V6(octets.into()));
        v4.or_else(|_| mac()).or_else(|_| v6()).ok()
    }

    pub(super) fn is_mac(&self) -> bool {
        matches!(self, FenceTarget::Mac(_))
    }
}

impl From<IpAddr> for FenceTarget {
    fn from(address: IpAddr) -> FenceTarget {
        match address {
            IpAddr::V4(address) => FenceTarget::V4(address),
            IpAddr::V6(address) => FenceTarget::V6(address),
        }
    }
}

impl fmt::Display for FenceTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FenceTarget::V4(address) => address.fmt(f),
            FenceTarget::V6(address) => address.fmt(f),
            FenceTarget::Mac([a, b, c, d, e, last]) => {
                write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{last:02x}")
            }
        }
    }
}

/// One of our tables; all have the same name, each its family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// `ip meshd`.
    Ip,
    /// `arp meshd`.
    Arp,
    /// `ip6 meshd`.
    Ip6,
    /// `netdev meshd`: frames on their way out.
    Netdev,
}

impl Table {
    /// Those there may be.
    pub(super) const ALL: [Table; 4] = [Table::Ip, Table::Arp, Table::Ip6, Table::Netdev];

    pub(super) fn family(self) -> Family {
        match self {
            Table::Ip => Family::IPv4,
            Table::Arp => Family::ARP,
            Table::Ip6 => Family::IPv6,
            Table::Netdev => Family::NetDev,
        }
    }

    /// Whether elements for this target belong there.
    pub(super) fn holds(self, target: &FenceTarget) -> bool {
        match target {
            FenceTarget::V4(_) => matches!(self, Table::Ip | Table::Arp),
            FenceTarget::V6(_) => self == Table::Ip6,
            FenceTarget::Mac(_) => true,
        }
    }
}
