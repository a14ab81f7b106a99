//! The authentication header of version 2 (RFC 2338 section 5.3.6 type 2, RFC 2402, RFC 2403), as
//! keepalived sends it: IP protocol 51, then these 24 bytes, then the advert.
//!
//! ```text
//!  +---------------+---------------+---------------+---------------+
//!  | next header   | length (4)    | reserved                      |
//!  +---------------+---------------+---------------+---------------+
//!  |             security parameters index: the IP source          |
//!  +---------------------------------------------------------------+
//!  |                          sequence number                      |
//!  +---------------------------------------------------------------+
//!  |       HMAC-MD5-96 over IP header, this one and the advert     |
//!  +---------------------------------------------------------------+
//! ```
//!
//! TOS, flags and checksum of the IP header count as zero. Its TTL counts as it is for multicast, other
//! than RFC 2402 has it, and as zero for unicast. A packet with IP options is not understood.

use std::net::Ipv4Addr;

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;

/// IP protocol number of the authentication header.
pub const IP_PROTOCOL: u8 = 51;
/// Its length here.
pub const LENGTH: usize = 24;

/// Where the digest is in the header, to its end.
const DIGEST: usize = 12;
/// Length of the header in words of four bytes, less two.
const WORDS: u8 = 4;
const IP_HEADER: usize = 20;

/// What of an IP header the digest covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Around {
    /// Source.
    pub source: Ipv4Addr,
    /// Destination.
    pub destination: Ipv4Addr,
    /// Time to live; looked at for multicast only.
    pub ttl: u8,
    /// Identification.
    pub identification: u16,
}

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Not even a header, or more than an IP packet holds.
    #[error("{0} bytes are no packet with an authentication header")]
    Length(usize),
    /// Its length field is not that of this digest.
    #[error("authentication header of {0} words")]
    Words(u8),
    /// Something else than VRRP is in it.
    #[error("next header {0}")]
    NextHeader(u8),
    /// Another password, or a field was changed.
    #[error("authentication header with a wrong digest")]
    Digest,
    /// keepalived puts the IP source there.
    #[error("security parameters index {0} is not the source")]
    Index(Ipv4Addr),
}

/// The header, then the advert.
pub fn seal(key: &[u8; 8], around: &Around, sequence: u32, advert: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(LENGTH + advert.len());
    packet.extend([super::IP_PROTOCOL, WORDS, 0, 0]);
    packet.extend(around.source.octets());
    packet.extend(sequence.to_be_bytes());
    packet.extend([0; LENGTH - DIGEST]);
    packet.extend(advert);
    let digest = digest(key, around, &packet).finalize().into_bytes();
    packet[DIGEST..LENGTH].copy_from_slice(&digest[..LENGTH - DIGEST]);
    packet
}

/// Verifies what followed an IP header of protocol [`IP_PROTOCOL`]: the sequence number, and the advert.
///
/// # Errors
/// The first rule broken, in the order of [`Broken`].
pub fn open<'p>(key: &[u8; 8], around: &Around, packet: &'p [u8]) -> Result<(u32, &'p [u8]), Broken> {
    let Some((header, advert)) = packet.split_first_chunk::<LENGTH>() else {
        return Err(Broken::Length(packet.len()));
    };
    if packet.len() > usize::from(u16::MAX) - IP_HEADER {
        return Err(Broken::Length(packet.len()));
    }
    let [next, words, _, _, a, b, c, d, s0, s1, s2, s3, ..] = *header;
    if words != WORDS {
        return Err(Broken::Words(words));
    }
    if next != super::IP_PROTOCOL {
        return Err(Broken::NextHeader(next));
    }
    let mut unsigned = packet.to_vec();
    unsigned[DIGEST..LENGTH].fill(0);
    digest(key, around, &unsigned).verify_truncated_left(&header[DIGEST..]).map_err(|_| Broken::Digest)?;
    let index = Ipv4Addr::from([a, b, c, d]);
    if index != around.source {
        return Err(Broken::Index(index));
    }
    Ok((u32::from_be_bytes([s0, s1, s2, s3]), advert))
}

/// The identifier of the virtual router that an advert in a header is for, not verified.
pub fn vrid(packet: &[u8]) -> Option<u8> {
    packet.get(LENGTH + 1).copied()
}

fn digest(key: &[u8; 8], around: &Around, packet: &[u8]) -> Hmac<Md5> {
    let mut mac = Hmac::<Md5>::new_from_slice(key).expect("HMAC takes keys of any length");
    let length = (IP_HEADER + packet.len()) as u16;
    let ttl = if around.destination.is_multicast() { around.ttl } else { 0 };
    mac.update(&[0x45, 0]);
    mac.update(&length.to_be_bytes());
    mac.update(&around.identification.to_be_bytes());
    mac.update(&[0, 0, ttl, IP_PROTOCOL, 0, 0]);
    mac.update(&around.source.octets());
    mac.update(&around.destination.octets());
    mac.update(packet);
    mac
}

#[cfg(test)]
mod tests;
