//! Answers -> values. Nothing the kernel says is taken for granted: lengths and numbers are checked.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mesh_config::model::Protocol;
use mesh_core::ipvs::{
    DestinationKey, DestinationStatistics, Forwarding, GueChecksum, Netmask, Persistence, SchedulerFlags, ServiceKey,
    Statistics, SyncDaemon, SyncRole, Timeouts, Tunnel,
};
use mesh_wire::mesh::Family;
use nix::libc;

use super::attributes::Reader;
use super::names::{control, daemon, destination, flag, info, method, service, state, stats, top, tunnel};

/// The kernel says something else than its header file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer of the kernel cannot be read: {0}")]
pub struct Malformed(pub(super) String);

/// What ip_vs says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Major, minor, patch.
    pub version: (u8, u8, u8),
    /// Slots of the connection table.
    pub connection_table_size: u32,
}

/// A service that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) service: mesh_core::ipvs::Service,
    pub(super) statistics: Statistics,
}

/// A destination that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) key: DestinationKey,
    pub(super) destination: mesh_core::ipvs::Destination,
    pub(super) statistics: DestinationStatistics,
}

/// A service; none where its protocol is one this program does not know.
pub(super) fn service(attributes: &[u8]) -> Result<Option<(ServiceKey, Service)>, Malformed> {
    let reader = Reader::new(attributes)?.nested(top::SERVICE)?;
    let Some(key) = service_key(&reader)? else { return Ok(None) };
    // struct ip_vs_flags: the flags, and which of them are meant, which is all.
    let [f0, f1, f2, f3, ..] = reader.bytes::<8>(service::FLAGS)?;
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    let persistence = match flags & flag::PERSISTENT {
        0 => None,
        _ => Some(Persistence { timeout: reader.u32(service::TIMEOUT)?, netmask: netmask(&reader, key.family())? }),
    };
    let service = mesh_core::ipvs::Service {
        scheduler: reader.name(service::SCHED_NAME)?,
        persistence,
        one_packet: flags & flag::ONE_PACKET != 0,
        scheduler_flags: SchedulerFlags {
            flag1: flags & flag::SCHED1 != 0,
            flag2: flags & flag::SCHED2 != 0,
            flag3: flags & flag::SCHED3 != 0,
        },
        persistence_engine: reader.has(service::PE_NAME).then(|| reader.name(service::PE_NAME)).transpose()?,
    };
    let statistics = statistics(&reader, service::STATS64, service::STATS)?;
    Ok(Some((key, Service { service, statistics })))
}

fn service_key(reader: &Reader<'_>) -> Result<Option<ServiceKey>, Malformed> {
    let family = reader.family(service::AF)?;
    if reader.has(service::FWMARK) {
        return Ok(Some(ServiceKey::Fwmark { mark: reader.u32(service::FWMARK)?, family }));
    }
    let protocol = match i32::from(reader.u16(service::PROTOCOL)?) {
        libc::IPPROTO_TCP => Protocol::Tcp,
        libc::IPPROTO_UDP => Protocol::Udp,
        libc::IPPROTO_SCTP => Protocol::Sctp,
        _ => return Ok(None),
    };
    let (address, port) = (reader.address(service::ADDR, family)?, reader.be16(service::PORT)?);
    Ok(Some(ServiceKey::Address { address, port, protocol }))
}

fn netmask(reader: &Reader<'_>, family: Family) -> Result<Netmask, Malformed> {
    let bytes: [u8; 4] = reader.bytes(service::NETMASK)?;
    match family {
        Family::Ipv4 => Ok(Netmask::Ipv4(Ipv4Addr::from(bytes))),
        Family::Ipv6 => {
            let length = u32::from_ne_bytes(bytes);
            let length = u8::try_from(length).map_err(|_| Malformed(format!("prefix length {length}")))?;
            Ok(Netmask::Ipv6(length))
        }
    }
}

/// A destination of a service of this family.
pub(super) fn destination(attributes: &[u8], family: Family) -> Result<Destination, Malformed> {
    let reader = Reader::new(attributes)?.nested(top::DEST)?;
    // Kernels before 3.18 do not say it: there it is always the service's.
    let family = if reader.has(destination::ADDR_FAMILY) { reader.family(destination::ADDR_FAMILY)? } else { family };
    let key =
        DestinationKey { address: reader.address(destination::ADDR, family)?, port: reader.be16(destination::PORT)? };
    let destination = mesh_core::ipvs::Destination {
        weight: reader.u32(destination::WEIGHT)?,
        forwarding: forwarding(&reader)?,
        upper_threshold: reader.u32(destination::U_THRESH)?,
        lower_threshold: reader.u32(destination::L_THRESH)?,
    };
    let statistics = DestinationStatistics {
        active_connections: reader.u32(destination::ACTIVE_CONNS)?,
        inactive_connections: reader.u32(destination::INACT_CONNS)?,
        persistent_connections: reader.u32(destination::PERSIST_CONNS)?,
        through: statistics(&reader, destination::STATS64, destination::STATS)?,
    };
    Ok(Destination { key, destination, statistics })
}

fn forwarding(reader: &Reader<'_>) -> Result<Forwarding, Malformed> {
    let [method, ..] = (reader.u32(destination::FWD_METHOD)? & method::MASK).to_le_bytes();
    // Kernels before 5.3 do not say it: there every tunnel is IP in IP.
    let has = |kind| reader.has(kind);
    let kind = if has(destination::TUN_TYPE) { reader.u8(destination::TUN_TYPE)? } else { tunnel::IPIP };
    let flags = if has(destination::TUN_FLAGS) { reader.u16(destination::TUN_FLAGS)? } else { 0 };
    let tunnel = match (method, kind) {
        (method::MASQ, _) => return Ok(Forwarding::Nat),
        (method::DROUTE, _) => return Ok(Forwarding::DirectRouting),
        (method::TUNNEL, tunnel::IPIP) => Tunnel::Ipip,
        (method::TUNNEL, tunnel::GUE) => {
            let checksum = match (flags & tunnel::CSUM, flags & tunnel::REMCSUM) {
                (_, tunnel::REMCSUM) => GueChecksum::Remote,
                (tunnel::CSUM, _) => GueChecksum::Full,
                _ => GueChecksum::None,
            };
            Tunnel::Gue { port: reader.be16(destination::TUN_PORT)?, checksum }
        }
        (method::TUNNEL, tunnel::GRE) => Tunnel::Gre { checksum: flags & tunnel::CSUM != 0 },
        (method, tunnel) => return Ok(Forwarding::Other { method, tunnel }),
    };
    Ok(Forwarding::Tunnel(tunnel))
}

/// Counters of 64 bits, or of 32 where the kernel (before 4.1) has no others.
fn statistics(reader: &Reader<'_>, wide: u16, narrow: u16) -> Result<Statistics, Malformed> {
    let is_wide = reader.has(wide);
    let reader = reader.nested(if is_wide { wide } else { narrow })?;
    let read = |kind| match kind {
        // Bytes have 64 bits everywhere.
        stats::INBYTES | stats::OUTBYTES => reader.u64(kind),
        kind if is_wide => reader.u64(kind),
        kind => reader.u32(kind).map(u64::from),
    };
    Ok(Statistics {
        connections: read(stats::CONNS)?,
        packets_in: read(stats::INPKTS)?,
        packets_out: read(stats::OUTPKTS)?,
        bytes_in: read(stats::INBYTES)?,
        bytes_out: read(stats::OUTBYTES)?,
        connections_per_s: read(stats::CPS)?,
        packets_in_per_s: read(stats::INPPS)?,
        packets_out_per_s: read(stats::OUTPPS)?,
        bytes_in_per_s: read(stats::INBPS)?,
        bytes_out_per_s: read(stats::OUTBPS)?,
    })
}

/// A synchronisation daemon.
pub(super) fn daemon(attributes: &[u8]) -> Result<SyncDaemon, Malformed> {
    let reader = Reader::new(attributes)?.nested(top::DAEMON)?;
    let role = match reader.u32(daemon::STATE)? {
        state::MASTER => SyncRole::Master,
        state::BACKUP => SyncRole::Backup,
        other => return Err(Malformed(format!("synchronisation state {other}"))),
    };
    let id = reader.u32(daemon::SYNC_ID)?;
    let has = |kind| reader.has(kind);
    let group: Option<IpAddr> = if has(daemon::MCAST_GROUP) {
        Some(Ipv4Addr::from(reader.bytes::<4>(daemon::MCAST_GROUP)?).into())
    } else if has(daemon::MCAST_GROUP6) {
        Some(Ipv6Addr::from(reader.bytes::<16>(daemon::MCAST_GROUP6)?).into())
    } else {
        None
    };
    // Kernels before 4.3 know none of what is optional here.
    Ok(SyncDaemon {
        role,
        interface: reader.name(daemon::MCAST_IFN)?,
        id: u8::try_from(id).map_err(|_| Malformed(format!("synchronisation id {id}")))?,
        maxlen: has(daemon::SYNC_MAXLEN).then(|| reader.u16(daemon::SYNC_MAXLEN)).transpose()?,
        group,
        port: has(daemon::MCAST_PORT).then(|| reader.u16(daemon::MCAST_PORT)).transpose()?,
        ttl: has(daemon::MCAST_TTL).then(|| reader.u8(daemon::MCAST_TTL)).transpose()?,
    })
}

/// Timeouts; zero for those of a protocol this kernel's ip_vs does not have.
pub(super) fn timeouts(attributes: &[u8]) -> Result<Timeouts, Malformed> {
    let reader = Reader::new(attributes)?;
    let read = |kind| if reader.has(kind) { reader.u32(kind) } else { Ok(0) };
    Ok(Timeouts { tcp: read(top::TIMEOUT_TCP)?, tcp_fin: read(top::TIMEOUT_TCP_FIN)?, udp: read(top::TIMEOUT_UDP)? })
}

/// Version and sizes.
pub(super) fn info(attributes: &[u8]) -> Result<Info, Malformed> {
    let reader = Reader::new(attributes)?;
    let [_, major, minor, patch] = reader.u32(info::VERSION)?.to_be_bytes();
    Ok(Info { version: (major, minor, patch), connection_table_size: reader.u32(info::CONN_TAB_SIZE)? })
}

/// The number of a generic netlink family.
pub(super) fn family_id(attributes: &[u8]) -> Result<u16, Malformed> {
    Reader::new(attributes)?.u16(control::FAMILY_ID)
}
