//! Sockets towards a real server, with all of the connection options.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mesh_config::model::Connect;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::patience::Patience;
use super::words;

/// A connection, closed by dropping it.
pub(super) async fn connect(connect: &Connect, patience: &Patience) -> Result<TcpStream, String> {
    let socket = open(connect, Type::STREAM, Protocol::TCP)?;
    let socket = TcpSocket::from_std_stream(socket.into());
    patience.wait(socket.connect(connect.to)).await
}

/// A socket for datagrams from and to the real server only; it also hears of ICMP errors.
pub(super) fn datagrams(connect: &Connect, kind: Type, protocol: Protocol) -> Result<UdpSocket, String> {
    let socket = open(connect, kind, protocol)?;
    socket.connect(&SockAddr::from(connect.to)).map_err(|error| words::error(&error))?;
    UdpSocket::from_std(socket.into()).map_err(|error| words::error(&error))
}

/// A socket that does not block and is bound as asked for.
pub(super) fn open(connect: &Connect, kind: Type, protocol: Protocol) -> Result<Socket, String> {
    let socket = Socket::new(Domain::for_address(connect.to), kind.nonblocking(), Some(protocol))
        .map_err(|error| format!("socket: {}", words::error(&error)))?;
    if connect.fwmark != 0 {
        setting(format_args!("fwmark {}", connect.fwmark), socket.set_mark(connect.fwmark))?;
    }
    if let Some(interface) = &connect.interface {
        setting(format_args!("bind_if {interface}"), socket.bind_device(Some(interface.as_bytes())))?;
    }
    if let Some((address, port)) = connect.from {
        setting(
            format_args!("bindto {}", SocketAddr::new(address, port)),
            bind(&socket, kind, connect.to, address, port),
        )?;
    }
    Ok(socket)
}

fn bind(socket: &Socket, kind: Type, to: SocketAddr, address: IpAddr, port: u16) -> io::Result<()> {
    // `bind_port` alone: any address of the right family.
    let address = if address.is_unspecified() && to.is_ipv6() {
        IpAddr::from([0_u16; 8])
    } else if address.is_unspecified() {
        IpAddr::from([0_u8; 4])
    } else {
        address
    };
    let mut from = SocketAddr::new(address, port);
    if let (SocketAddr::V6(from), SocketAddr::V6(to)) = (&mut from, to)
        && from.ip().is_unicast_link_local()
    {
        from.set_scope_id(to.scope_id());
    }
    if port == 0 && kind == Type::STREAM {
        // The port is chosen when the destination is known: one source can have the same port towards many servers.
        setsockopt(socket, sockopt::IpBindAddressNoPort, &true)?;
    } else if port != 0 {
        // The last check from this port may not be forgotten yet.
        socket.set_reuse_address(true)?;
    }
    socket.bind(&SockAddr::from(from))
}

fn setting(what: std::fmt::Arguments<'_>, done: io::Result<()>) -> Result<(), String> {
    done.map_err(|error| format!("{what}: {}", words::error(&error)))
}
