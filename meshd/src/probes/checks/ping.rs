//! PING_CHECK: one ICMP echo.
//!
//! By the kernel's own socket for that (icmp(7)), which hears nothing but the answers to it; where
//! `net.ipv4.ping_group_range` does not allow that, by a raw socket.

use std::io;

use mesh_config::model::Connect;
use socket2::{Protocol, Type};
use tokio::net::UdpSocket;

use super::patience::Patience;
use super::{random, socket};

/// As ping(8) sends.
const PAYLOAD: usize = 56;
const HEADER: usize = 8;
/// With an IPv4 header of any length before it.
const ROOM: usize = 60 + HEADER + PAYLOAD;

pub(super) async fn check(connect: &Connect) -> Result<(), String> {
    let patience = Patience::new(connect.timeout);
    let v6 = connect.to.is_ipv6();
    let (socket, raw) = open(connect)?;
    patience.wait(exchange(&socket, raw, v6)).await
}

pub(super) async fn exchange(socket: &UdpSocket, raw: bool, v6: bool) -> io::Result<()> {
    let request = echo(v6);
    socket.send(&request).await?;
    let mut buffer = [0; ROOM];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let packet = if raw && !v6 { without_header(&buffer[..length]) } else { &buffer[..length] };
        if answers(packet, &request, v6) {
            return Ok(());
        }
    }
}

/// The socket, and whether it is a raw one.
fn open(connect: &Connect) -> Result<(UdpSocket, bool), String> {
    let protocol = if connect.to.is_ipv6() { Protocol::ICMPV6 } else { Protocol::ICMPV4 };
    let mut connect = connect.clone();
    connect.to.set_port(0);
    match socket::datagrams(&connect, Type::DGRAM, protocol) {
        Ok(socket) => Ok((socket, false)),
        // Why the better one cannot be had is the better reason, too.
        Err(why) => match socket::datagrams(&connect, Type::RAW, protocol) {
            Ok(socket) => Ok((socket, true)),
            Err(_) => Err(why),
        },
    }
}

/// RFC 792 page 14, RFC 4443 section 4.1. Identifier, number and payload are random; the kernel may set another
/// identifier, and the checksum of ICMPv6.
pub(super) fn echo(v6: bool) -> [u8; HEADER + PAYLOAD] {
    let mut packet: [u8; HEADER + PAYLOAD] = random::bytes();
    packet[..4].copy_from_slice(&[if v6 { 128 } else { 8 }, 0, 0, 0]);
    let sum = checksum(&packet);
    packet[2..4].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// Other echoes come by here, too, if the socket is a raw one: the payload tells.
pub(super) fn answers(packet: &[u8], request: &[u8], v6: bool) -> bool {
    let reply = [if v6 { 129 } else { 0 }, 0];
    packet.len() == request.len() && packet[..2] == reply && packet[6..] == request[6..]
}

fn without_header(packet: &[u8]) -> &[u8] {
    let length = packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4);
    packet.get(length..).unwrap_or_default()
}

/// RFC 1071, of an even number of bytes.
pub(super) fn checksum(packet: &[u8]) -> u16 {
    let sum: u32 = packet.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}
