//! IP headers as raw sockets deliver and take them (RFC 791 section 3.1, RFC 8200 section 3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mesh_wire::vrrp::{Envelope, IP_PROTOCOL, header};

const HEADER: usize = 20;
const HEADER_V6: usize = 40;
/// Internetwork control (RFC 2474 section 4.2.2.1), as keepalived marks its adverts.
const TOS: u8 = 0xc0;

/// What of a received packet matters to VRRP.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    /// Or the hop limit.
    pub(super) ttl: u8,
    /// The identification, where an authentication header covers it.
    pub(super) sealed: Option<u16>,
    /// What follows the header and its options, without padding of the frame.
    pub(super) payload: &'a [u8],
}

/// From a packet with its IPv4 header. `None` where the header's lengths and the packet's disagree, and
/// where an authentication header would cover IP options.
pub(super) fn parse(packet: &[u8]) -> Option<Packet<'_>> {
    let header: &[u8; HEADER] = packet.first_chunk()?;
    let header_length = usize::from(header[0] & 0x0f) * 4;
    let total_length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    if header[0] >> 4 != 4 || header_length < HEADER {
        return None;
    }
    let payload = packet.get(header_length..total_length)?;
    let is_sealed = header[9] == header::IP_PROTOCOL;
    if is_sealed && header_length != HEADER {
        return None;
    }
    let [.., s0, s1, s2, s3, d0, d1, d2, d3] = *header;
    Some(Packet {
        source: IpAddr::from([s0, s1, s2, s3]),
        destination: IpAddr::from([d0, d1, d2, d3]),
        ttl: header[8],
        sealed: is_sealed.then(|| u16::from_be_bytes([header[4], header[5]])),
        payload,
    })
}

/// A whole IPv4 packet. The kernel fills in length and checksum, and the identification where it is 0
/// (raw(7), IP_HDRINCL).
pub(super) fn emit(source: Ipv4Addr, destination: Ipv4Addr, envelope: Envelope, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER + payload.len());
    let protocol = if envelope.sealed.is_some() { header::IP_PROTOCOL } else { IP_PROTOCOL };
    let [high, low] = envelope.sealed.unwrap_or(0).to_be_bytes();
    packet.extend([0x45, TOS, 0, 0, high, low, 0, 0, envelope.ttl, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// A whole IPv6 packet of protocol 112.
pub(super) fn emit_v6(source: Ipv6Addr, destination: Ipv6Addr, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER_V6 + payload.len());
    // Version 6, then the traffic class, across the bytes.
    packet.extend([0x60 | TOS >> 4, TOS << 4, 0, 0]);
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([IP_PROTOCOL, hop_limit]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

    /// With the length that the kernel fills in.
    fn sent(payload: &[u8]) -> Vec<u8> {
        let mut packet = emit(SOURCE, GROUP, Envelope::default(), payload);
        let length = packet.len() as u16;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet
    }

    #[test]
    fn what_is_emitted_parses() {
        let packet = sent(b"advert");
        let expected =
            Packet { source: SOURCE.into(), destination: GROUP.into(), ttl: 255, sealed: None, payload: b"advert" };
        assert_eq!(parse(&packet), Some(expected));
    }

    #[test]
    fn an_authentication_header_covers_the_identification_and_no_options() {
        let mut packet = emit(SOURCE, GROUP, Envelope { ttl: 7, sealed: Some(0x1234) }, b"advert");
        let length = packet.len() as u16;
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        let parsed = parse(&packet).unwrap();
        assert_eq!((parsed.ttl, parsed.sealed, packet[9]), (7, Some(0x1234), 51));
        packet[0] = 0x46;
        assert_eq!(parse(&packet), None);
    }

    #[test]
    fn an_ipv6_packet_has_its_header() {
        let (source, group): (Ipv6Addr, Ipv6Addr) = ("fe80::1".parse().unwrap(), "ff02::12".parse().unwrap());
        let packet = emit_v6(source, group, 255, &[7; 300]);
        assert_eq!(packet[..8], [0x6c, 0x00, 0, 0, 1, 44, 112, 255], "traffic class 0xC0, length, hop limit");
        assert_eq!((&packet[8..24], &packet[24..40]), (&source.octets()[..], &group.octets()[..]));
        assert_eq!(packet[40..], [7; 300]);
    }

    #[test]
    fn options_are_skipped_and_padding_is_cut_off() {
        let mut packet = sent(b"advert");
        packet.extend([9; 6]);
        assert_eq!(parse(&packet).unwrap().payload, b"advert");
        packet[0] = 0x46;
        assert_eq!(parse(&packet).unwrap().payload, b"rt");
    }

    #[test]
    fn lengths_that_disagree_are_refused() {
        let good = sent(b"advert");
        for end in 0..good.len() {
            assert_eq!(parse(&good[..end]), None, "cut at {end}");
        }
        for (at, value) in [(0, 0x44), (0, 0x4f), (0, 0x65), (2, 1), (3, 19)] {
            let mut packet = good.clone();
            packet[at] = value;
            assert_eq!(parse(&packet), None, "{value:#x} at {at}");
        }
    }
}
