//! The kinds of socket (raw(7), packet(7)), and the only unsafe code of the VRRP path.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::num::NonZeroU32;
use std::task::{Context, Poll, ready};

use mesh_wire::vrrp::{GROUP, IP_PROTOCOL};
use nix::libc;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, SockAddr, SockAddrStorage, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Room for a burst of all 255 routers of a link and more, while the engine does something else:
/// the kernel charges 0.8 to 2.5 KiB for each packet and doubles this number for that.
const RECEIVE_BUFFER: usize = 512 * 1024;

/// The first band of the kernel's default queue (tc-prio(8)), so that adverts leave a busy host in
/// time. 6 is the highest that needs no CAP_NET_ADMIN.
const PRIORITY: libc::c_int = 6;

/// Packets that other interfaces may have put into a socket before it was bound to its own.
const STRAYS: usize = 1024;

/// IP protocol 112 on one interface.
#[derive(Debug)]
pub(super) struct VrrpSocket(AsyncFd<Socket>);

impl VrrpSocket {
    /// By index: a name may belong to another interface by now.
    pub(super) fn open(index: u32) -> io::Result<VrrpSocket> {
        let index = NonZeroU32::new(index).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let socket = Socket::new(Domain::IPV4, Type::RAW.nonblocking(), Some(Protocol::from(i32::from(IP_PROTOCOL))))?;
        socket.bind_device_by_index_v4(Some(index))?;
        // By default a socket hears the groups that any socket of the host joined.
        socket.set_multicast_all_v4(false)?;
        socket.set_multicast_loop_v4(false)?;
        // The kernel takes source, TTL and TOS from the packet.
        socket.set_header_included_v4(true)?;
        setsockopt(&socket, sockopt::Priority, &PRIORITY)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            // Without CAP_NET_ADMIN only up to net.core.rmem_max.
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        discard_strays(&socket);
        socket.join_multicast_v4_n(&GROUP, &InterfaceIndexOrAddress::Index(index.get()))?;
        Ok(VrrpSocket(readable(socket)?))
    }

    /// The next packet, IP header first; one longer than the buffer comes cut.
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_read(&self.0, cx, buffer)
    }

    /// One packet, IP header first.
    pub(super) fn send(&self, destination: Ipv4Addr, packet: &[u8]) -> io::Result<()> {
        let address = SocketAddrV4::new(destination, 0).into();
        self.0.get_ref().send_to(packet, &address).map(|_| ())
    }
}

/// Tells when there is something to read. Needs a tokio runtime.
fn readable(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    // SAFETY: the socket owns its descriptor, which stays the same and open until the AsyncFd,
    // which owns the socket, drops it.
    Ok(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?)
}

fn poll_read(fd: &AsyncFd<Socket>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
    loop {
        let mut guard = ready!(fd.poll_read_ready(cx))?;
        match guard.try_io(|fd| fd.get_ref().read(buffer)) {
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
        self.0.send_to(frame, &arp_address(index)).map(|_| ())
    }
}

/// ARP on one interface, Ethernet headers included.
#[derive(Debug)]
pub(super) struct ArpSocket(AsyncFd<Socket>, u32);

impl ArpSocket {
    pub(super) fn open(index: u32) -> io::Result<ArpSocket> {
        // With protocol 0 it hears nothing until it is bound to its interface.
        let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking(), None)?;
        socket.bind(&arp_address(index))?;
        Ok(ArpSocket(readable(socket)?, index))
    }

    /// One frame.
    pub(super) fn send(&self, frame: &[u8]) -> io::Result<()> {
        self.0.get_ref().send_to(frame, &arp_address(self.1)).map(|_| ())
    }

    /// The next frame; one longer than the buffer comes cut.
    pub(super) fn poll_receive(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_read(&self.0, cx, buffer)
    }
}

/// Which interface a frame leaves by; where it goes is in the frame itself.
fn arp_address(index: u32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: the storage is large enough and aligned for every address type, and all its bytes
    // being zero is a valid sockaddr_ll.
    let link: &mut libc::sockaddr_ll = unsafe { storage.view_as() };
    link.sll_family = libc::AF_PACKET as libc::sa_family_t;
    link.sll_protocol = (libc::ETH_P_ARP as u16).to_be();
    link.sll_ifindex = index as i32;
    // SAFETY: family and length are those of the sockaddr_ll just written.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}
