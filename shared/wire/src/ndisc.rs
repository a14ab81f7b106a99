//! Neighbour discovery (RFC 4861): unsolicited advertisements (sections 4.4 and 7.2.6, RFC 9568
//! section 6.4.1), and solicitations as duplicate address detection sends them (RFC 4862 section
//! 5.4.2). What [`crate::arp`] is for IPv4.
//!
//! ```text
//!  IPv6     next header 58, hop limit 255: anything else came through a router
//!  +---------------+---------------+-------------------------------+
//!  |      type     |     code 0    |            checksum           |  135 solicitation, 136 advertisement
//!  |R|S|O|                      reserved                           |  flags of an advertisement only
//!  +---------------------------------------------------------------+
//!  |                       target, 16 bytes                        |
//!  +---------------+---------------+-------------------------------+
//!  |     type 2    |    length 1   |          MAC, 6 bytes         |  option, not in detection
//!  +---------------+---------------+-------------------------------+
//! ```

#[cfg(test)]
mod tests;

use std::net::Ipv6Addr;

use pnet_packet::ip::IpNextHeaderProtocols::Icmpv6;
use pnet_packet::util;

/// Where unsolicited advertisements go.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const ETHERNET: usize = 14;
const IPV6: usize = 40;
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
const ICMPV6: u8 = 58;
const HOP_LIMIT: u8 = 255;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Type to target.
const MESSAGE: usize = 24;
const TARGET_MAC: u8 = 2;
const ROUTER: u8 = 0x80;
const OVERRIDE: u8 = 0x20;

/// The IPv6 packet that tells all neighbours: `vip` is at `mac` now. `router` says that the host
/// forwards: neighbours forget routes through an address whose host does not (RFC 4861 section
/// 7.2.5).
pub fn unsolicited_advertisement(mac: [u8; 6], vip: Ipv6Addr, router: bool) -> Vec<u8> {
    let flags = OVERRIDE | if router { ROUTER } else { 0 };
    let option = [&[TARGET_MAC, 1], &mac[..]].concat();
    packet(vip, ALL_NODES, ADVERTISEMENT, flags, vip, &option)
}

/// The Ethernet frame that asks "who has `address`?", from nobody: it enters no neighbour's cache, and
/// whoever has the address tells all nodes.
pub fn probe(mac: [u8; 6], address: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(address);
    let [.., a, b, c, d] = group.octets();
    let mut frame = vec![0x33, 0x33, a, b, c, d];
    frame.extend(mac);
    frame.extend(ETHERTYPE_IPV6);
    frame.extend(packet(Ipv6Addr::UNSPECIFIED, group, SOLICITATION, 0, address, &[]));
    frame
}

/// The group that whoever has `address` listens to (RFC 4291 section 2.7.1).
pub fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// Who shows by this frame that it has one of these addresses, or is about to take it: it advertises
/// it, speaks of neighbours from it, or looks whether it is free (RFC 4862 sections 5.4.3 and 5.4.4).
/// What `mac` sent itself shows nothing, nor does what came through a router or has a wrong checksum.
pub fn conflict(frame: &[u8], mac: [u8; 6], addresses: &[Ipv6Addr]) -> Option<(Ipv6Addr, [u8; 6])> {
    let (ethernet, ip) = frame.split_first_chunk::<ETHERNET>()?;
    let (_, sender) = ethernet.split_first_chunk::<6>()?;
    let sender: [u8; 6] = *sender.first_chunk()?;
    if ethernet[12..] != ETHERTYPE_IPV6 || sender == mac {
        return None;
    }
    let (header, rest) = ip.split_first_chunk::<IPV6>()?;
    if header[0] >> 4 != 6 || header[6] != ICMPV6 || header[7] != HOP_LIMIT {
        return None;
    }
    let source = address(&header[8..])?;
    let message = rest.get(..usize::from(u16::from_be_bytes([header[4], header[5]])))?;
    let (kind, target) = (*message.first()?, address(message.get(8..MESSAGE)?)?);
    if checksum(message, source, address(&header[24..])?) != 0 || message[1] != 0 {
        return None;
    }
    let about = match kind {
        ADVERTISEMENT => target,
        SOLICITATION if source.is_unspecified() => target,
        SOLICITATION => source,
        _ => return None,
    };
    addresses.contains(&about).then_some((about, sender))
}

fn address(bytes: &[u8]) -> Option<Ipv6Addr> {
    bytes.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets))
}

fn packet(source: Ipv6Addr, destination: Ipv6Addr, kind: u8, flags: u8, target: Ipv6Addr, option: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.octets());
    message.extend(option);
    let sum = checksum(&message, source, destination);
    message[2..4].copy_from_slice(&sum.to_be_bytes());

    let mut packet = vec![0x60, 0, 0, 0, 0, message.len() as u8, ICMPV6, HOP_LIMIT];
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(message);
    packet
}

/// Zero over a message that holds its own (RFC 4443 section 2.3).
fn checksum(message: &[u8], source: Ipv6Addr, destination: Ipv6Addr) -> u16 {
    util::ipv6_checksum(message, usize::MAX, &[], &source, &destination, Icmpv6)
}
