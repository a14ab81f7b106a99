//! Changes and questions -> requests.

use std::net::IpAddr;

use mesh_config::model::Protocol;
use mesh_core::ipvs::{
    Change, Destination, DestinationKey, Forwarding, GueChecksum, Netmask, Service, ServiceKey, SyncDaemon, SyncRole,
    Timeouts, Tunnel,
};
use mesh_wire::mesh::Family;
use nix::libc;

use super::attributes::Writer;
use super::names::{NAME_MAX, command, daemon, destination, flag, method, service, state, top, tunnel};
use super::refusal::Refusal;

/// A request, without what the socket adds: headers, family and number.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) command: u8,
    pub(super) attributes: Vec<u8>,
}

/// The request for a change; refuses what cannot be said to the kernel at all.
pub(super) fn change(change: &Change) -> Result<Request, Refusal> {
    let mut writer = Writer::default();
    let command = match change {
        Change::AddService { key, service } => whole_service(&mut writer, command::NEW_SERVICE, key, service)?,
        Change::EditService { key, service } => whole_service(&mut writer, command::SET_SERVICE, key, service)?,
        Change::DeleteService { key } => {
            writer.nest(top::SERVICE, |writer| service_key(writer, key));
            command::DEL_SERVICE
        }
        Change::AddDestination { service, key, destination } => {
            whole_destination(&mut writer, service, key, Some(destination));
            command::NEW_DEST
        }
        Change::EditDestination { service, key, destination } => {
            whole_destination(&mut writer, service, key, Some(destination));
            command::SET_DEST
        }
        Change::DeleteDestination { service, key } => {
            whole_destination(&mut writer, service, key, None);
            command::DEL_DEST
        }
        Change::SetTimeouts(timeouts) => {
            self::timeouts(&mut writer, timeouts);
            command::SET_CONFIG
        }
        Change::StartSync(daemon) => {
            check_name("interface", &daemon.interface)?;
            writer.nest(top::DAEMON, |writer| sync_daemon(writer, daemon));
            command::NEW_DAEMON
        }
        Change::StopSync(role) => {
            writer.nest(top::DAEMON, |writer| writer.u32(daemon::STATE, role_number(*role)));
            command::DEL_DAEMON
        }
    };
    Ok(Request { command, attributes: writer.finish() })
}

/// All services.
pub(super) fn get_services() -> Request {
    Request { command: command::GET_SERVICE, attributes: Vec::new() }
}

/// All destinations of a service.
pub(super) fn get_destinations(key: &ServiceKey) -> Request {
    let mut writer = Writer::default();
    writer.nest(top::SERVICE, |writer| service_key(writer, key));
    Request { command: command::GET_DEST, attributes: writer.finish() }
}

/// Version and sizes.
pub(super) fn get_info() -> Request {
    Request { command: command::GET_INFO, attributes: Vec::new() }
}

/// Timeouts of connections.
pub(super) fn get_timeouts() -> Request {
    Request { command: command::GET_CONFIG, attributes: Vec::new() }
}

/// Synchronisation daemons that run.
pub(super) fn get_daemons() -> Request {
    Request { command: command::GET_DAEMON, attributes: Vec::new() }
}

fn whole_service(writer: &mut Writer, command: u8, key: &ServiceKey, value: &Service) -> Result<u8, Refusal> {
    check_name("scheduler", &value.scheduler)?;
    if let Some(engine) = &value.persistence_engine {
        check_name("persistence engine", engine)?;
    }
    let netmask = value.persistence.map_or(Netmask::host(key.family()), |persistence| persistence.netmask);
    let netmask = match (key.family(), netmask) {
        (Family::Ipv4, Netmask::Ipv4(mask)) => mask.octets(),
        (Family::Ipv6, Netmask::Ipv6(length)) => u32::from(length).to_ne_bytes(),
        (_, netmask) => return Err(Refusal::local(format!("{key} cannot have the netmask {netmask:?}"))),
    };
    writer.nest(top::SERVICE, |writer| {
        service_key(writer, key);
        writer.name(service::SCHED_NAME, &value.scheduler);
        if let Some(engine) = &value.persistence_engine {
            writer.name(service::PE_NAME, engine);
        }
        // struct ip_vs_flags: which bits to set, and which to look at.
        writer.put(service::FLAGS, &[flags(value).to_ne_bytes(), u32::MAX.to_ne_bytes()].concat());
        writer.u32(service::TIMEOUT, value.persistence.map_or(0, |persistence| persistence.timeout));
        writer.put(service::NETMASK, &netmask);
    });
    Ok(command)
}

fn flags(service: &Service) -> u32 {
    let flags = service.scheduler_flags;
    let bits = [
        (service.persistence.is_some(), flag::PERSISTENT),
        (service.one_packet, flag::ONE_PACKET),
        (flags.flag1, flag::SCHED1),
        (flags.flag2, flag::SCHED2),
        (flags.flag3, flag::SCHED3),
    ];
    bits.iter().filter(|(set, _)| *set).map(|(_, bit)| bit).sum()
}

fn service_key(writer: &mut Writer, key: &ServiceKey) {
    writer.u16(service::AF, family_number(key.family()));
    match key {
        ServiceKey::Address { address, port, protocol } => {
            let protocol = match protocol {
                Protocol::Tcp => libc::IPPROTO_TCP,
                Protocol::Udp => libc::IPPROTO_UDP,
                Protocol::Sctp => libc::IPPROTO_SCTP,
            };
            writer.u16(service::PROTOCOL, protocol as u16);
            writer.address(service::ADDR, *address);
            writer.be16(service::PORT, *port);
        }
        ServiceKey::Fwmark { mark, .. } => writer.u32(service::FWMARK, *mark),
    }
}

fn whole_destination(writer: &mut Writer, of: &ServiceKey, key: &DestinationKey, value: Option<&Destination>) {
    writer.nest(top::SERVICE, |writer| service_key(writer, of));
    writer.nest(top::DEST, |writer| {
        writer.u16(destination::ADDR_FAMILY, family_number(family_of(key.address)));
        writer.address(destination::ADDR, key.address);
        writer.be16(destination::PORT, key.port);
        if let Some(value) = value {
            destination_value(writer, value);
        }
    });
}

fn destination_value(writer: &mut Writer, value: &Destination) {
    let (method, kind, port, flags) = match value.forwarding {
        Forwarding::Nat => (method::MASQ, 0, 0, 0),
        Forwarding::DirectRouting => (method::DROUTE, 0, 0, 0),
        Forwarding::Tunnel(Tunnel::Ipip) => (method::TUNNEL, tunnel::IPIP, 0, 0),
        Forwarding::Tunnel(Tunnel::Gue { port, checksum }) => {
            let flags = match checksum {
                GueChecksum::None => 0,
                GueChecksum::Full => tunnel::CSUM,
                GueChecksum::Remote => tunnel::REMCSUM,
            };
            (method::TUNNEL, tunnel::GUE, port, flags)
        }
        Forwarding::Tunnel(Tunnel::Gre { checksum }) => {
            (method::TUNNEL, tunnel::GRE, 0, if checksum { tunnel::CSUM } else { 0 })
        }
        Forwarding::Other { method, tunnel } => (method, tunnel, 0, 0),
    };
    writer.u32(destination::FWD_METHOD, u32::from(method));
    writer.u32(destination::WEIGHT, value.weight);
    writer.u32(destination::U_THRESH, value.upper_threshold);
    writer.u32(destination::L_THRESH, value.lower_threshold);
    writer.u8(destination::TUN_TYPE, kind);
    writer.be16(destination::TUN_PORT, port);
    writer.u16(destination::TUN_FLAGS, flags);
}

fn timeouts(writer: &mut Writer, timeouts: &Timeouts) {
    writer.u32(top::TIMEOUT_TCP, timeouts.tcp);
    writer.u32(top::TIMEOUT_TCP_FIN, timeouts.tcp_fin);
    writer.u32(top::TIMEOUT_UDP, timeouts.udp);
}

fn sync_daemon(writer: &mut Writer, daemon: &SyncDaemon) {
    writer.u32(daemon::STATE, role_number(daemon.role));
    writer.name(daemon::MCAST_IFN, &daemon.interface);
    writer.u32(daemon::SYNC_ID, u32::from(daemon.id));
    if let Some(maxlen) = daemon.maxlen {
        writer.u16(daemon::SYNC_MAXLEN, maxlen);
    }
    match daemon.group {
        Some(IpAddr::V4(group)) => writer.put(daemon::MCAST_GROUP, &group.octets()),
        Some(IpAddr::V6(group)) => writer.put(daemon::MCAST_GROUP6, &group.octets()),
        None => {}
    }
    if let Some(port) = daemon.port {
        writer.u16(daemon::MCAST_PORT, port);
    }
    if let Some(ttl) = daemon.ttl {
        writer.u8(daemon::MCAST_TTL, ttl);
    }
}

fn role_number(role: SyncRole) -> u32 {
    match role {
        SyncRole::Master => state::MASTER,
        SyncRole::Backup => state::BACKUP,
    }
}

fn family_of(address: IpAddr) -> Family {
    match address {
        IpAddr::V4(_) => Family::Ipv4,
        IpAddr::V6(_) => Family::Ipv6,
    }
}

fn family_number(family: Family) -> u16 {
    match family {
        Family::Ipv4 => libc::AF_INET as u16,
        Family::Ipv6 => libc::AF_INET6 as u16,
    }
}

fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > NAME_MAX || name.contains('\0') {
        return Err(Refusal::local(format!("`{name}` names no {what}: 1 to {NAME_MAX} bytes, none of them zero")));
    }
    Ok(())
}
