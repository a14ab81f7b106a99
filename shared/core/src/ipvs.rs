//! What ip_vs holds, as values: the words in which virtual services are wanted, found and changed.
//!
//! ```text
//! Table        services and their destinations        Change      one step from one table to another
//! SyncDaemon   connections told to other directors    Statistics  what went through
//! Timeouts     of connections without traffic
//!
//! reconcile    wanted minus present: changes          apply       what a kernel does with one
//! ```
//!
//! A value says what the kernel is to do and nothing else: what the kernel adds on its own account
//! (the mark that a service is in its hash table, a netmask where nothing is persistent) is not
//! here, so that what is wanted and what is found are equal when they mean the same.

pub mod apply;
pub mod reconcile;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use mesh_config::model::Protocol;
use mesh_wire::mesh::Family;

/// The services of a kernel, or those that are wanted.
pub type Table = BTreeMap<ServiceKey, Pool>;

/// A service and who serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// How connections are scheduled.
    pub service: Service,
    /// Where they go.
    pub destinations: BTreeMap<DestinationKey, Destination>,
}

/// What a service is known by: ip_vs has one service for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ServiceKey {
    /// Packets to an address.
    Address {
        /// The virtual address.
        address: IpAddr,
        /// The port; zero is every port, and then the service has to be persistent.
        port: u16,
        /// The transport protocol.
        protocol: Protocol,
    },
    /// Packets that netfilter has marked.
    Fwmark {
        /// The mark, not zero.
        mark: u32,
        /// Of the packets.
        family: Family,
    },
}

/// How a service treats connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// The scheduler's name as ip_vs knows it, up to 15 bytes: `rr`, `wlc`, `mh`...
    pub scheduler: String,
    /// A client's connections go where its first one went.
    pub persistence: Option<Persistence>,
    /// `ops`: each packet of a UDP service is scheduled by itself.
    pub one_packet: bool,
    /// What the scheduler makes of its flags.
    pub scheduler_flags: SchedulerFlags,
    /// The persistence engine's name (`sip`).
    pub persistence_engine: Option<String>,
}

/// For how long, and for which neighbours of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Persistence {
    /// Seconds after the last connection.
    pub timeout: u32,
    /// Clients that are the same after masking count as one.
    pub netmask: Netmask,
}

/// `persistence_granularity`; of the family of its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Netmask {
    /// A mask of IPv4; 255.255.255.255 is each client by itself.
    Ipv4(Ipv4Addr),
    /// A prefix length of IPv6, 1 to 128; 128 is each client by itself.
    Ipv6(u8),
}

/// Flags that each scheduler reads in its own way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SchedulerFlags {
    /// `flag-1`; `sh-fallback` and `mh-fallback`: another destination where the chosen one is unavailable.
    pub flag1: bool,
    /// `flag-2`; `sh-port` and `mh-port`: the client's port counts, too.
    pub flag2: bool,
    /// `flag-3`.
    pub flag3: bool,
}

/// What a destination is known by within its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DestinationKey {
    /// The real server; of another family than the service only behind a tunnel.
    pub address: IpAddr,
    /// Its port; only NAT changes it on the way.
    pub port: u16,
}

/// How a destination is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Its share, 0 to 65535; with 0 it keeps the connections it has and gets no new ones.
    pub weight: u32,
    /// How packets get there.
    pub forwarding: Forwarding,
    /// No new connections above so many; 0 is no limit.
    pub upper_threshold: u32,
    /// After that, new connections again below so many; 0 is three quarters of the upper one. Not
    /// more than the upper one.
    pub lower_threshold: u32,
}

impl Destination {
    /// Without limits.
    pub fn new(weight: u32, forwarding: Forwarding) -> Destination {
        Destination { weight, forwarding, upper_threshold: 0, lower_threshold: 0 }
    }
}

/// How packets get to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarding {
    /// Masquerading: addresses and ports are rewritten, and the answers come back this way.
    Nat,
    /// Direct routing: only the frame's address changes.
    DirectRouting,
    /// In packets of the director's own.
    Tunnel(Tunnel),
    /// What ip_vs knows besides and this program never sets, such as local node (1) and bypass (4).
    Other {
        /// IP_VS_CONN_F_FWD_MASK of its flags.
        method: u8,
        /// The type of its tunnel.
        tunnel: u8,
    },
}

/// What packets are wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// IP in IP.
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// The destination's UDP port, not zero.
        port: u16,
        /// Of the outer packet.
        checksum: GueChecksum,
    },
    /// Generic routing encapsulation.
    Gre {
        /// Whether the header carries a checksum.
        checksum: bool,
    },
}

/// How the outer packet of GUE is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GueChecksum {
    /// `nocsum`.
    #[default]
    None,
    /// `csum`: a UDP checksum.
    Full,
    /// `remcsum`: the inner checksum is left to the far end.
    Remote,
}

/// Seconds after which a connection without traffic is forgotten. In [`Change::SetTimeouts`] zero
/// leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP, established.
    pub tcp: u32,
    /// TCP after a FIN.
    pub tcp_fin: u32,
    /// UDP.
    pub udp: u32,
}

/// A thread of the kernel that tells other directors of connections, or hears of theirs. There is
/// at most one of each role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncDaemon {
    /// What it does.
    pub role: SyncRole,
    /// The interface of its multicast, up to 15 bytes.
    pub interface: String,
    /// Directors that belong together use the same; a backup with 0 hears all.
    pub id: u8,
    /// Longest UDP payload; the kernel's default fits the interface's MTU.
    pub maxlen: Option<u16>,
    /// Multicast group; default 224.0.0.81.
    pub group: Option<IpAddr>,
    /// UDP port; default 8848.
    pub port: Option<u16>,
    /// TTL or hop limit of the multicast; default 1.
    pub ttl: Option<u8>,
}

/// What a synchronisation daemon does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SyncRole {
    /// Tells.
    Master,
    /// Hears.
    Backup,
}

/// One step; the kernel does each by itself, and connections that are not concerned notice nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// There is no service with this key yet.
    AddService {
        /// Which.
        key: ServiceKey,
        /// Its settings.
        service: Service,
    },
    /// Its connections and destinations stay.
    EditService {
        /// Which.
        key: ServiceKey,
        /// All of its settings.
        service: Service,
    },
    /// With its destinations.
    DeleteService {
        /// Which.
        key: ServiceKey,
    },
    /// There is no destination with this key yet.
    AddDestination {
        /// Of which service.
        service: ServiceKey,
        /// Which.
        key: DestinationKey,
        /// Its settings.
        destination: Destination,
    },
    /// Its connections stay.
    EditDestination {
        /// Of which service.
        service: ServiceKey,
        /// Which.
        key: DestinationKey,
        /// All of its settings.
        destination: Destination,
    },
    /// Packets of its connections are dropped from now on, unless it comes back before they end.
    DeleteDestination {
        /// Of which service.
        service: ServiceKey,
        /// Which.
        key: DestinationKey,
    },
    /// Of all services.
    SetTimeouts(Timeouts),
    /// There is none of this role yet.
    StartSync(SyncDaemon),
    /// There is one of this role.
    StopSync(SyncRole),
}

/// What went through a service or to a destination since it was added, and how much in a second. The
/// kernel sums up every two seconds: what is younger is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients; only NAT sees them.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients; only NAT sees them.
    pub bytes_out: u64,
    /// Connections a second, of late.
    pub connections_per_s: u64,
    /// Packets from clients a second.
    pub packets_in_per_s: u64,
    /// Packets to clients a second.
    pub packets_out_per_s: u64,
    /// Bytes from clients a second.
    pub bytes_in_per_s: u64,
    /// Bytes to clients a second.
    pub bytes_out_per_s: u64,
}

/// What a destination is busy with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DestinationStatistics {
    /// Connections that are established.
    pub active_connections: u32,
    /// Connections that begin or end.
    pub inactive_connections: u32,
    /// Clients bound to it.
    pub persistent_connections: u32,
    /// What went through.
    pub through: Statistics,
}

/// Of a service and its destinations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceStatistics {
    /// What went through.
    pub through: Statistics,
    /// Each destination.
    pub destinations: BTreeMap<DestinationKey, DestinationStatistics>,
}

impl ServiceKey {
    /// Of the packets the service takes.
    pub fn family(&self) -> Family {
        match self {
            ServiceKey::Address { address: IpAddr::V4(_), .. } => Family::Ipv4,
            ServiceKey::Address { address: IpAddr::V6(_), .. } => Family::Ipv6,
            ServiceKey::Fwmark { family, .. } => *family,
        }
    }
}

impl Netmask {
    /// Each client by itself.
    pub fn host(family: Family) -> Netmask {
        match family {
            Family::Ipv4 => Netmask::Ipv4(Ipv4Addr::BROADCAST),
            Family::Ipv6 => Netmask::Ipv6(128),
        }
    }

    /// So many leading bits.
    pub fn of(family: Family, bits: u8) -> Netmask {
        match family {
            Family::Ipv4 => {
                let zeros = 32 - u32::from(bits.min(32));
                Netmask::Ipv4(Ipv4Addr::from_bits(u32::MAX.checked_shl(zeros).unwrap_or(0)))
            }
            Family::Ipv6 => Netmask::Ipv6(bits.clamp(1, 128)),
        }
    }
}

impl SyncDaemon {
    /// Whether one that runs is as this one asks for, whatever the kernel chose where nothing was
    /// asked for.
    pub fn is_met_by(&self, running: &SyncDaemon) -> bool {
        fn fits<T: PartialEq>(wanted: &Option<T>, running: &Option<T>) -> bool {
            wanted.is_none() || wanted == running
        }
        (self.role, &self.interface, self.id) == (running.role, &running.interface, running.id)
            && fits(&self.maxlen, &running.maxlen)
            && fits(&self.group, &running.group)
            && fits(&self.port, &running.port)
            && fits(&self.ttl, &running.ttl)
    }
}

/// As in the status: `192.0.2.80:80/tcp`, `[2001:db8::80]:53/udp`, `fwmark 7/ipv4`.
impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServiceKey::Address { address, port, protocol } => {
                let protocol = match protocol {
                    Protocol::Tcp => "tcp",
                    Protocol::Udp => "udp",
                    Protocol::Sctp => "sctp",
                };
                write!(f, "{}/{protocol}", SocketAddr::new(*address, *port))
            }
            ServiceKey::Fwmark { mark, family: Family::Ipv4 } => write!(f, "fwmark {mark}/ipv4"),
            ServiceKey::Fwmark { mark, family: Family::Ipv6 } => write!(f, "fwmark {mark}/ipv6"),
        }
    }
}

/// `192.0.2.1:80`, `[2001:db8::1]:80`.
impl fmt::Display for DestinationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

impl From<DestinationKey> for SocketAddr {
    fn from(key: DestinationKey) -> SocketAddr {
        SocketAddr::new(key.address, key.port)
    }
}

impl From<SocketAddr> for DestinationKey {
    fn from(address: SocketAddr) -> DestinationKey {
        DestinationKey { address: address.ip(), port: address.port() }
    }
}

impl fmt::Display for SyncRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SyncRole::Master => "master",
            SyncRole::Backup => "backup",
        })
    }
}
