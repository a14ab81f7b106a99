//! The signature behind an advert (draft-cassen-vrrp-auth-hmac, `auth_hmac` of keepalived 2.4).
//!
//! ```text
//!  +---------------+---------------+---------------+---------------+
//!  | type (1)      | key           | 0             | 0             |
//!  +---------------+---------------+---------------+---------------+
//!  |                        seconds since 1970                     |
//!  +-------------------------------+-------------------------------+
//!  | fraction of a second, 1/65536 | counter                       |
//!  +-------------------------------+-------------------------------+
//!  |               HMAC-SHA256-128, 16 bytes                       |
//!  +---------------------------------------------------------------+
//! ```
//!
//! It covers a pseudo header (family, version, VRID, source), the advert with its checksum as zero, these
//! twelve bytes, and sixteen zeros for itself. In IPv4 the checksum of the advert does not cover it, in
//! IPv6 it does.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Advertisement, ChecksumForm, SIGNATURE, checksum, emit};

const TYPE: u8 = 1;
const TAG: usize = 16;

/// What stands behind an advert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Which key it was made with.
    pub key: u8,
    /// Seconds, fraction and counter as one number, which grows.
    pub sequence: u64,
}

impl Signature {
    /// From the bytes behind an advert; `None` where they are something else.
    pub(super) fn parse(bytes: &[u8; SIGNATURE]) -> Option<Signature> {
        let [TYPE, key, 0, 0, sequence @ ..] = bytes else { return None };
        Some(Signature { key: *key, sequence: u64::from_be_bytes(*sequence.first_chunk()?) })
    }

    /// The sender's clock.
    pub fn seconds(&self) -> u32 {
        (self.sequence >> 32) as u32
    }
}

/// An advert as [`emit`] has it, with its signature.
pub fn sign(
    advertisement: &Advertisement,
    source: IpAddr,
    destination: IpAddr,
    form: ChecksumForm,
    (signature, key): (Signature, &[u8]),
) -> Vec<u8> {
    let mut packet = emit(advertisement, source, destination, form);
    packet.extend([TYPE, signature.key, 0, 0]);
    packet.extend(signature.sequence.to_be_bytes());
    let tag = tag(key, source, &packet).finalize().into_bytes();
    packet.extend(&tag[..TAG]);
    if source.is_ipv6() {
        packet[6..8].fill(0);
        let sum = checksum(&packet, source, destination, ChecksumForm::PseudoHeader);
        packet[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// Whether a packet that [`super::parse_signed`] found a signature behind was signed with this key.
pub fn verify(packet: &[u8], source: IpAddr, key: &[u8]) -> bool {
    let Some((signed, told)) = packet.split_last_chunk::<TAG>().filter(|(signed, _)| signed.len() >= 8) else {
        return false;
    };
    tag(key, source, signed).verify_truncated_left(told).is_ok()
}

/// Over an advert and the first part of its signature.
fn tag(key: &[u8], source: IpAddr, signed: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    let mut address = [0; 16];
    let family = match source {
        IpAddr::V4(source) => {
            address[..4].copy_from_slice(&source.octets());
            4
        }
        IpAddr::V6(source) => {
            address = source.octets();
            6
        }
    };
    mac.update(&[family, signed[0] >> 4, signed[1], 0]);
    mac.update(&address);
    mac.update(&signed[..6]);
    mac.update(&[0, 0]);
    mac.update(&signed[8..]);
    mac.update(&[0; TAG]);
    mac
}

#[cfg(test)]
mod tests;
