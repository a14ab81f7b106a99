//! The kinds of socket (raw(7), packet(7)), and the only unsafe code of the VRRP path.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU32;
use std::os::fd::AsRawFd;
use std::task::{Context, Poll, ready};

use mesh_wire::mesh::Family;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, SockAddrStorage, SockFilter, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::Ear;
use super::ip::{self, Packet};

/// Room for a burst of all 255 routers of a link and more, while the engine does something else:
/// the kernel charges 0.8 to 2.5 KiB for each packet and doubles this number for that.
const RECEIVE_BUFFER: usize = 512 * 1024;

/// The first band of the kernel's default queue (tc-prio(8)), so that adverts leave a busy host in
/// time. 6 is the highest that needs no CAP_NET_ADMIN.
const PRIORITY: libc::c_int = 6;

/// Figures of a socket (asm-generic/socket.h; Linux 4.12), a list of numbers.
const SO_MEMINFO: libc::c_int = 55;
/// Where in it the packets are that were not kept.
const DROPS: usize = libc::SK_MEMINFO_DROPS as usize;

/// Packets that other interfaces may have put into a socket before it was bound to its own.
const STRAYS: usize = 1024;

/// Adverts of one family on one interface, of IP protocol 112, or 51 where they are behind an
/// authentication header.
#[derive(Debug)]
pub(super) struct VrrpSocket(AsyncFd<Socket>, Family);

impl VrrpSocket {
    /// By index: a name may belong to another interface by now. With `only_from` it hears frames from
    /// this MAC address alone.
    pub(super) fn open(index: u32, ear: &Ear, only_from: Option<[u8; 6]>) -> io::Result<VrrpSocket> {
        let family = ear.family;
        let index = NonZeroU32::new(index).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let domain = match family {
            Family::Ipv4 => Domain::IPV4,
            Family::Ipv6 => Domain::IPV6,
        };
        let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(Protocol::from(i32::from(ear.protocol))))?;
        // By default a socket hears the groups that any socket of the host joined. The kernel takes
        // source, TTL and TOS from the packet.
        match family {
            Family::Ipv4 => {
                socket.bind_device_by_index_v4(Some(index))?;
                socket.set_multicast_all_v4(false)?;
                socket.set_multicast_loop_v4(false)?;
                socket.set_header_included_v4(true)?;
            }
            Family::Ipv6 => {
                socket.bind_device_by_index_v6(Some(index))?;
                socket.set_multicast_all_v6(false)?;
                socket.set_multicast_loop_v6(false)?;
                socket.set_header_included_v6(true)?;
                // Linux 4.15. Sends also where the interface has no address any more: a goodbye comes after these are
                // gone.
                socket.set_freebind_v6(true)?;
                // What IPv4 has in the header that comes along.
                setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
                setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
            }
        }
        if let Some(mac) = only_from {
            socket.attach_filter(&frames_from(mac))?;
        }
        setsockopt(&socket, sockopt::Priority, &PRIORITY)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            // Without CAP_NET_ADMIN only up to net.core.rmem_max.
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        discard_strays(&socket);
        for group in &ear.groups {
            match group {
                IpAddr::V4(group) => {
                    socket.join_multicast_v4_n(group, &InterfaceIndexOrAddress::Index(index.get()))?;
                }
                IpAddr::V6(group) => socket.join_multicast_v6(group, index.get())?,
            }
        }
        Ok(VrrpSocket(readable(socket)?, family))
    }

    /// The next packet; `None` for one that disagrees with its own IP header, or is longer than the
    /// buffer.
    pub(super) fn poll_receive<'b>(
        &self,
        cx: &mut Context<'_>,
        buffer: &'b mut [u8],
    ) -> Poll<io::Result<Option<Packet<'b>>>> {
        let taken = ready!(poll_read(&self.0, cx, |socket| read(self.1, socket, buffer)))?;
        Poll::Ready(Ok(packet(taken, buffer)))
    }

    /// The same of those that wait in the kernel, also where the runtime has not been told of them yet.
    pub(super) fn take<'b>(&self, buffer: &'b mut [u8]) -> Poll<io::Result<Option<Packet<'b>>>> {
        loop {
            match read(self.1, self.0.get_ref(), buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                result => return Poll::Ready(result.map(|taken| packet(taken, buffer))),
            }
        }
    }

    /// How many packets the kernel has not kept for it, mostly for want of room.
    pub(super) fn lost(&self) -> io::Result<u32> {
        let mut figures = [0; DROPS + 1];
        let mut length = size_of_val(&figures) as libc::socklen_t;
        let fd = self.0.get_ref().as_raw_fd();
        // SAFETY: the kernel writes at most `length` bytes, all of them in the array, and tells how many.
        let result =
            unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, SO_MEMINFO, figures.as_mut_ptr().cast(), &raw mut length) };
        Errno::result(result)?;
        if (length as usize) < size_of_val(&figures) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        Ok(figures[DROPS])
    }

    /// One packet, IP header first, with these addresses in it.
    ///
    /// # Errors
    /// The two are not of one family, or the kernel says so.
    pub(super) fn send(&self, (source, destination): (IpAddr, IpAddr), index: u32, packet: &[u8]) -> io::Result<()> {
        let socket = self.0.get_ref();
        match (source, destination) {
            (IpAddr::V4(_), IpAddr::V4(to)) => socket.send_to(packet, &SocketAddr::from((to, 0)).into()).map(drop),
            (IpAddr::V6(source), IpAddr::V6(to)) => send_v6(socket, (source, to), index, packet),
            (IpAddr::V4(_) | IpAddr::V6(_), _) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }
}

/// Names the source beside the header that has it: else the kernel looks for one of the interface's.
fn send_v6(socket: &Socket, (source, to): (Ipv6Addr, Ipv6Addr), index: u32, packet: &[u8]) -> io::Result<()> {
    let to = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, index));
    let from = libc::in6_pktinfo { ipi6_addr: libc::in6_addr { s6_addr: source.octets() }, ipi6_ifindex: index };
    let from = [ControlMessage::Ipv6PacketInfo(&from)];
    sendmsg(socket.as_raw_fd(), &[IoSlice::new(packet)], &from, MsgFlags::empty(), Some(&to))?;
    Ok(())
}

/// What was read: the length with the header, or what [`read_v6`] tells.
enum Taken {
    V4(usize),
    V6(Option<(usize, Ipv6Addr, Ipv6Addr, u8)>),
}

fn read(family: Family, mut socket: &Socket, buffer: &mut [u8]) -> io::Result<Taken> {
    match family {
        Family::Ipv4 => socket.read(buffer).map(Taken::V4),
        Family::Ipv6 => read_v6(socket, buffer).map(Taken::V6),
    }
}

fn packet(taken: Taken, buffer: &[u8]) -> Option<Packet<'_>> {
    match taken {
        Taken::V4(length) => ip::parse(&buffer[..length]),
        Taken::V6(header) => header.map(|(length, source, destination, ttl)| Packet {
            source: source.into(),
            destination: destination.into(),
            ttl,
            sealed: None,
            payload: &buffer[..length],
        }),
    }
}

/// What followed an IPv6 header: its length, and source, destination and hop limit. `None` where the
/// kernel did not tell, or cut it.
fn read_v6(socket: &Socket, buffer: &mut [u8]) -> io::Result<Option<(usize, Ipv6Addr, Ipv6Addr, u8)>> {
    let mut control = nix::cmsg_space!(libc::in6_pktinfo, libc::c_int);
    let mut parts = [IoSliceMut::new(buffer)];
    let message = recvmsg::<SockaddrIn6>(socket.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty())?;
    let (mut destination, mut hop_limit) = (None, None);
    for part in message.cmsgs()? {
        match part {
            ControlMessageOwned::Ipv6PacketInfo(info) => destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr)),
            ControlMessageOwned::Ipv6HopLimit(limit) => hop_limit = u8::try_from(limit).ok(),
            _ => {}
        }
    }
    let whole = !message.flags.contains(MsgFlags::MSG_TRUNC);
    let source = message.address.map(|address| address.ip()).filter(|_| whole);
    Ok(source.zip(destination).zip(hop_limit).map(|((from, to), limit)| (message.bytes, from, to, limit)))
}

/// Only what came in a frame from this MAC address (classic BPF; the frame's header stands below the packet).
fn frames_from([a, b, c, d, e, f]: [u8; 6]) -> [SockFilter; 6] {
    const LOAD_WORD: u16 = 0x20;
    const LOAD_HALF: u16 = 0x28;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// SKF_LL_OFF, and the source in an Ethernet header.
    const SOURCE: u32 = 0u32.wrapping_sub(0x20_0000) + 6;
    [
        SockFilter::new(LOAD_WORD, 0, 0, SOURCE),
        SockFilter::new(IF_EQUAL, 0, 3, u32::from_be_bytes([a, b, c, d])),
        SockFilter::new(LOAD_HALF, 0, 0, SOURCE + 4),
        SockFilter::new(IF_EQUAL, 0, 1, u32::from(u16::from_be_bytes([e, f]))),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// Tells when there is something to read. Needs a tokio runtime.
fn readable(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: the socket owns its descriptor, which stays the same and open until the AsyncFd,
    // which owns the socket, drops it.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

fn poll_read<T>(
    fd: &AsyncFd<Socket>,
    cx: &mut Context<'_>,
    mut read: impl FnMut(&Socket) -> io::Result<T>,
) -> Poll<io::Result<T>> {
    loop {
        let mut guard = ready!(fd.poll_read_ready(cx))?;
        match guard.try_io(|fd| read(fd.get_ref())) {
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(result) => return Poll::Ready(result),
            Err(_would_block) => {}
        }
    }
}

/// Between its creation and its binding a raw socket hears every interface.
fn discard_strays(mut socket: &Socket) {
    let mut byte = [0];
    for _ in 0..STRAYS {
        if socket.read(&mut byte).is_err() {
            return;
        }
    }
}

/// Sends Ethernet frames and receives none.
#[derive(Debug)]
pub(super) struct PacketSocket(Socket);

impl PacketSocket {
    pub(super) fn new() -> io::Result<PacketSocket> {
        // Protocol 0 receives nothing; any other would queue frames that nobody reads.
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking(), None)?;
        setsockopt(&socket, sockopt::Priority, &PRIORITY)?;
        Ok(PacketSocket(socket))
    }

    /// One ARP frame, Ethernet header first.
    pub(super) fn send(&self, index: u32, frame: &[u8]) -> io::Result<()> {
        self.0.send_to(frame, &link_address(index, libc::ETH_P_ARP)).map(|_| ())
    }
}

/// Sends whole IPv6 packets and receives none.
#[derive(Debug)]
pub(super) struct Ipv6Socket(Socket);

impl Ipv6Socket {
    pub(super) fn new() -> io::Result<Ipv6Socket> {
        let socket = Socket::new(Domain::IPV6, Type::RAW.nonblocking(), Some(Protocol::from(libc::IPPROTO_RAW)))?;
        socket.set_header_included_v6(true)?;
        // This host knows what it says, and would suspect another host.
        socket.set_multicast_loop_v6(false)?;
        setsockopt(&socket, sockopt::Priority, &PRIORITY)?;
        Ok(Ipv6Socket(socket))
    }

    /// One packet, IPv6 header first; `destination` is an address of the link.
    pub(super) fn send(&self, destination: Ipv6Addr, index: u32, packet: &[u8]) -> io::Result<()> {
        self.0.send_to(packet, &SocketAddrV6::new(destination, 0, 0, index).into()).map(|_| ())
    }
}

/// ARP, or neighbour discovery, on one interface, Ethernet headers included.
#[derive(Debug)]
pub(super) struct LinkSocket {
    fd: AsyncFd<Socket>,
    index: u32,
    protocol: libc::c_int,
}

impl LinkSocket {
    pub(super) fn open(index: u32, family: Family) -> io::Result<LinkSocket> {
        // With protocol 0 it hears nothing until it is bound to its interface.
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking(), None)?;
        let protocol = match family {
            Family::Ipv4 => libc::ETH_P_ARP,
            Family::Ipv6 => {
                socket
                    .attach_filter(&NEIGHBOUR_DISCOVERY.map(|(code, yes, no, k)| SockFilter::new(code, yes, no, k)))?;
                // All, because what comes with a virtual MAC address that this host has as well is seen here only
                // before the kernel gives it to that interface.
                libc::ETH_P_ALL
            }
        };
        socket.bind(&link_address(index, protocol))?;
        Ok(LinkSocket { fd: readable(socket)?, index, protocol })
    }

    /// Of any interface, what passes a filter.
    pub(super) fn filtered(filter: &[SockFilter]) -> io::Result<LinkSocket> {
        // With protocol 0 it hears nothing before it has the filter.
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking(), None)?;
        socket.attach_filter(filter)?;
        socket.bind(&link_address(0, libc::ETH_P_ALL))?;
        Ok(LinkSocket { fd: readable(socket)?, index: 0, protocol: libc::ETH_P_ALL })
    }

    /// One frame.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.fd.get_ref().send_to(frame, &link_address(self.index, self.protocol)).map(|_| ())
    }

    /// The next frame; one longer than the buffer comes cut.
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_read(&self.fd, cx, |mut socket| socket.read(buffer))
    }
}

/// Of all IPv6 frames only neighbour solicitations and advertisements (classic BPF: code, where to go
/// on if it is so and if not, operand).
const NEIGHBOUR_DISCOVERY: [(u16, u8, u8, u32); 9] = {
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    [
        (LOAD_HALF, 0, 0, 12),
        (IF_EQUAL, 0, 6, 0x86dd),
        (LOAD_BYTE, 0, 0, 20),
        (IF_EQUAL, 0, 4, 58),
        (LOAD_BYTE, 0, 0, 54),
        (IF_EQUAL, 1, 0, 135),
        (IF_EQUAL, 0, 1, 136),
        (RETURN, 0, 0, u32::MAX),
        (RETURN, 0, 0, 0),
    ]
};

/// Which interface a frame leaves by; where it goes is in the frame itself.
fn link_address(index: u32, protocol: libc::c_int) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: the storage is large enough and aligned for every address type, and all its bytes
    // being zero is a valid sockaddr_ll.
    let link: &mut libc::sockaddr_ll = unsafe { storage.view_as() };
    link.sll_family = libc::AF_PACKET as libc::sa_family_t;
    link.sll_protocol = (protocol as u16).to_be();
    link.sll_ifindex = index as i32;
    // SAFETY: family and length are those of the sockaddr_ll just written.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}
