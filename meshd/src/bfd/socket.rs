//! Sockets of BFD: one for each family and port hears, one for each session speaks (udp(7), ip(7)).

#[cfg(test)]
mod tests;

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use mesh_config::model::BfdInstance;
use mesh_core::bfd::Datagram;
use mesh_wire::bfd::{MULTIHOP_PORT, PORT, SOURCE_PORTS};
use nix::libc;
use nix::net::if_::{if_indextoname, if_nametoindex};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use rand::RngExt;
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::kernel::ip_of;

/// Longest packet read: its length is one byte, and what follows it is of no interest.
const BUFFER: usize = 256;

/// Room for what comes while the thread does something else: the kernel charges about 800 bytes for
/// each packet.
const RECEIVE_BUFFER: usize = 512 * 1024;

/// Network control (CS6), as routers mark it, and the queue that leaves first.
const TRAFFIC_CLASS: u32 = 0xc0;
const PRIORITY: libc::c_int = 6;

/// How many source ports are tried that may be somebody's already.
const TRIES: usize = 16;

/// Hears one port in one family.
#[derive(Debug)]
pub(super) struct Receiver {
    socket: Socket,
    multihop: bool,
}

/// Family (whether IPv6) and port (whether that for several hops) of a receiver.
pub(super) type Place = (bool, bool);

/// Where packets of a session come to.
pub(super) fn place(instance: &BfdInstance) -> Place {
    (instance.neighbour.is_ipv6(), instance.multihop)
}

fn port(multihop: bool) -> u16 {
    if multihop { MULTIHOP_PORT } else { PORT }
}

impl Receiver {
    /// On all addresses; no other program can have the port then.
    pub(super) fn open((ipv6, multihop): Place) -> io::Result<Receiver> {
        let (domain, any) = if ipv6 {
            (Domain::IPV6, IpAddr::V6(Ipv6Addr::UNSPECIFIED))
        } else {
            (Domain::IPV4, IpAddr::V4(Ipv4Addr::UNSPECIFIED))
        };
        let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        if ipv6 {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            // Without CAP_NET_ADMIN only up to net.core.rmem_max.
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        socket.bind(&SocketAddr::new(any, port(multihop)).into())?;
        Ok(Receiver { socket, multihop })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The next datagram; `Ok(None)` for one the kernel told too little of. `WouldBlock` when there
    /// is none.
    pub(super) fn receive(&self) -> io::Result<Option<Datagram>> {
        let mut buffer = [0; BUFFER];
        let mut control = nix::cmsg_space!(libc::in6_pktinfo, libc::in_pktinfo, libc::c_int);
        let mut parts = [IoSliceMut::new(&mut buffer)];
        let flags = MsgFlags::empty();
        let message = recvmsg::<SockaddrStorage>(self.socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
        let (mut index, mut ttl) = (None, None);
        for part in message.cmsgs()? {
            match part {
                ControlMessageOwned::Ipv4PacketInfo(info) => index = u32::try_from(info.ipi_ifindex).ok(),
                ControlMessageOwned::Ipv6PacketInfo(info) => index = Some(info.ipi6_ifindex),
                ControlMessageOwned::Ipv4Ttl(value) | ControlMessageOwned::Ipv6HopLimit(value) => {
                    ttl = u8::try_from(value).ok();
                }
                _ => {}
            }
        }
        let source = message.address.and_then(|address| ip_of(&address));
        let length = message.bytes;
        let Some((source, ttl)) = source.zip(ttl) else { return Ok(None) };
        let interface = index.and_then(|index| if_indextoname(index).ok()?.into_string().ok()).unwrap_or_default();
        Ok(Some(Datagram { interface, source, ttl, multihop: self.multihop, payload: buffer[..length].to_vec() }))
    }
}

/// What one session sends from. The source port stays the same as long as it can (RFC 5881 section
/// 4).
#[derive(Debug)]
pub(super) struct Sender {
    pub(super) instance: BfdInstance,
    socket: Option<(Socket, SocketAddr)>,
    port: Option<u16>,
    /// Why nothing can be sent.
    pub(super) error: Option<String>,
}

impl Sender {
    /// Not open yet.
    pub(super) fn new(instance: BfdInstance) -> Sender {
        Sender { instance, socket: None, port: None, error: None }
    }

    pub(super) fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Opens it, or says why it cannot be.
    pub(super) fn open(&mut self, random: &mut impl RngExt) {
        match open(&self.instance, self.port, random) {
            Ok((socket, destination, port)) => {
                (self.socket, self.port, self.error) = (Some((socket, destination)), Some(port), None);
            }
            Err(error) => self.error = Some(format!("cannot send: {error}")),
        }
    }

    /// Never waits; what there is no room for is lost, as the network may.
    pub(super) fn send(&mut self, payload: &[u8]) {
        let Some((socket, destination)) = &self.socket else { return };
        let Err(error) = socket.send_to(payload, &(*destination).into()) else {
            self.error = None;
            return;
        };
        let passes = matches!(
            error.raw_os_error(),
            Some(
                libc::EAGAIN
                    | libc::ENOBUFS
                    | libc::ENETUNREACH
                    | libc::EHOSTUNREACH
                    | libc::ENETDOWN
                    | libc::EPERM
                    | libc::EINTR
            )
        );
        if !passes {
            // The address or the interface is another one now, or gone.
            self.socket = None;
        }
        self.error = Some(format!("cannot send: {error}"));
    }
}

fn open(
    instance: &BfdInstance,
    port_before: Option<u16>,
    random: &mut impl RngExt,
) -> io::Result<(Socket, SocketAddr, u16)> {
    let ipv6 = instance.neighbour.is_ipv6();
    let domain = if ipv6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    // It only sends: what comes back to its port would wait for ever. (Classic BPF: return 0.)
    socket.attach_filter(&[SockFilter::new(0x06, 0, 0, 0)])?;
    let mut scope = 0;
    if let Some(interface) = &instance.interface {
        scope = if_nametoindex(interface.as_str())?;
        socket.bind_device(Some(interface.as_bytes()))?;
    }
    if ipv6 {
        socket.set_unicast_hops_v6(instance.ttl.into())?;
        socket.set_tclass_v6(TRAFFIC_CLASS)?;
    } else {
        socket.set_ttl_v4(instance.ttl.into())?;
        socket.set_tos_v4(TRAFFIC_CLASS)?;
    }
    setsockopt(&socket, sockopt::Priority, &PRIORITY)?;
    let any: IpAddr = if ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let source = instance.source.unwrap_or(any);
    let port = bind(&socket, source, scope, port_before, random)?;
    let destination = scoped(instance.neighbour, self::port(instance.multihop), scope);
    Ok((socket, destination, port))
}

/// To the port it had before, or to a free one by chance.
fn bind(socket: &Socket, source: IpAddr, scope: u32, before: Option<u16>, random: &mut impl RngExt) -> io::Result<u16> {
    let drawn = std::iter::repeat_with(|| random.random_range(SOURCE_PORTS)).take(TRIES);
    let mut taken = io::Error::from(io::ErrorKind::AddrInUse);
    for port in before.into_iter().chain(drawn) {
        match socket.bind(&scoped(source, port, scope).into()) {
            Ok(()) => return Ok(port),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}

/// An interface matters for link-local addresses only, and other ones do not mind.
fn scoped(address: IpAddr, port: u16, scope: u32) -> SocketAddr {
    match address {
        IpAddr::V4(address) => (address, port).into(),
        IpAddr::V6(address) => SocketAddrV6::new(address, port, 0, scope).into(),
    }
}
