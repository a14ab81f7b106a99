//! VRRP advertisements: version 2 for IPv4 (RFC 3768, with the PASS authentication of RFC 2338)
//! and version 3 for IPv4 and IPv6 (RFC 9568).
//!
//! What is judged here needs nothing but the packet: its shape and its checksum. The IP TTL, and
//! whether VRID, version, interval, password and addresses are the expected ones, is the
//! receiver's business.
//!
//! ```text
//!   0                   1                   2                   3
//!   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//!  +-------+-------+---------------+---------------+---------------+
//!  |version| type 1|     VRID      |   priority    | address count |
//!  +-------+-------+---------------+---------------+---------------+
//!  |   auth type   |   seconds     |            checksum           |  version 2
//!  |reserved|      centiseconds    |            checksum           |  version 3
//!  +---------------+---------------+-------------------------------+
//!  |              addresses, 4 bytes each, or 16 in IPv6           |
//!  +---------------------------------------------------------------+
//!  |             8 bytes of authentication data, version 2 only    |
//!  +---------------------------------------------------------------+
//! ```
//!
//! Bytes beyond the length that version and count give are accepted where all are zero: some
//! stacks count the padding of a short Ethernet frame into the IP length. keepalived 2.4 appends a
//! [`signature`] of 28 bytes, which [`parse_signed`] tells apart; anything else is malformed.
//!
//! An advert of version 2 may also come behind an authentication [`header`], in a packet of another IP
//! protocol.

pub mod header;
pub mod signature;
mod v2;
mod v3;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::util;
use serde::{Deserialize, Serialize};

use crate::mesh::Family;
pub use signature::Signature;

/// IP protocol number of VRRP.
pub const IP_PROTOCOL: u8 = 112;
/// Where multicast adverts go in IPv4 (RFC 9568 section 5.1.1.2).
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// Where they go in IPv6 (RFC 9568 section 5.1.2.2).
pub const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// The only TTL or hop limit an advert may have; a lower one was routed (RFC 9568 sections 5.1.1.3
/// and 5.1.2.3).
pub const TTL: u8 = 255;
/// How many addresses an advert can list: the count is one byte.
pub const MAX_ADDRESSES: usize = 255;
/// Length of the signature behind an advert (`auth_hmac`).
pub const SIGNATURE: usize = 28;

const HEADER: usize = 8;
const ADVERTISEMENT: u8 = 1;

/// Where multicast adverts of a family go.
pub fn group(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => GROUP.into(),
        Family::Ipv6 => GROUP_V6.into(),
    }
}

/// Version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// RFC 3768.
    V2,
    /// RFC 9568.
    V3,
}

/// How often adverts are sent, in the unit of one version of the protocol: seconds in version 2,
/// centiseconds in version 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interval(Unit);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// 1 to 255.
    Seconds(u8),
    /// 1 to 4095.
    Centiseconds(u16),
}

/// A duration that an advert of this version cannot state exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntervalError {
    /// Version 2.
    #[error("{0:?} is not a whole number of seconds from 1 to 255")]
    Seconds(Duration),
    /// Version 3.
    #[error("{0:?} is not a multiple of 10 ms from 10 ms to 40.95 s")]
    Centiseconds(Duration),
}

impl Interval {
    /// The interval as `version` states it.
    ///
    /// # Errors
    /// Out of range, or between two units: rounding is for whoever knows what was meant.
    pub fn new(version: Version, interval: Duration) -> Result<Interval, IntervalError> {
        let unit = match version {
            Version::V2 => whole(interval, Duration::from_secs(1)).and_then(Unit::seconds),
            Version::V3 => whole(interval, Duration::from_millis(10)).and_then(Unit::centiseconds),
        };
        unit.map(Interval).ok_or(match version {
            Version::V2 => IntervalError::Seconds(interval),
            Version::V3 => IntervalError::Centiseconds(interval),
        })
    }

    /// The version whose unit it has.
    pub fn version(self) -> Version {
        match self.0 {
            Unit::Seconds(_) => Version::V2,
            Unit::Centiseconds(_) => Version::V3,
        }
    }

    /// 10 ms to 255 s.
    pub fn duration(self) -> Duration {
        match self.0 {
            Unit::Seconds(s) => Duration::from_secs(s.into()),
            Unit::Centiseconds(cs) => Duration::from_millis(u64::from(cs) * 10),
        }
    }
}

impl Unit {
    fn seconds(n: u128) -> Option<Unit> {
        u8::try_from(n).ok().filter(|n| *n > 0).map(Unit::Seconds)
    }

    fn centiseconds(n: u128) -> Option<Unit> {
        u16::try_from(n).ok().filter(|n| (1..=v3::MAX_INTERVAL).contains(n)).map(Unit::Centiseconds)
    }
}

/// How many units fit, if they do so exactly.
fn whole(interval: Duration, unit: Duration) -> Option<u128> {
    let (interval, unit) = (interval.as_nanos(), unit.as_nanos());
    (interval % unit == 0).then_some(interval / unit)
}

/// What version 2 carries behind the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// Type 0, and always in version 3.
    None,
    /// Type 1, a password in clear text, zero padded (RFC 2338 section 5.3.6). It protects from
    /// mistakes, not from anybody who listens.
    Pass([u8; 8]),
    /// Type 2: the packet has an authentication [`header`] (RFC 2338 section 5.3.6).
    Header,
}

/// What the IP header of an advert says besides its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Behind an authentication [`header`], of protocol [`header::IP_PROTOCOL`]: the identification, which
    /// the header covers and which is never 0. Otherwise of [`IP_PROTOCOL`], and the kernel chooses.
    pub sealed: Option<u16>,
}

impl Default for Envelope {
    fn default() -> Self {
        Envelope { ttl: TTL, sealed: None }
    }
}

/// One advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertisement {
    /// Virtual router identifier, 1 to 255.
    pub vrid: u8,
    /// 255: owns the addresses. 1 to 254: a backup's. 0: stops being active now.
    pub priority: u8,
    /// The sender's advertisement interval. Its unit is that of the protocol's version.
    pub interval: Interval,
    /// The virtual addresses, up to [`MAX_ADDRESSES`], all of the packet's family. In IPv6 the first
    /// one sent is link-local (RFC 9568 section 5.2.9, erratum 8300); what is received need not be.
    /// None where an election is all there is, which only keepalived has: for everybody else such an
    /// advert is to be ignored (erratum 8299).
    pub addresses: Vec<IpAddr>,
    /// [`Authentication::None`] in version 3.
    pub auth: Authentication,
}

impl Advertisement {
    /// Version of the protocol.
    pub fn version(&self) -> Version {
        self.interval.version()
    }

    /// The sender's advertisement interval.
    pub fn advert_interval(&self) -> Duration {
        self.interval.duration()
    }
}

/// What a checksum covers. Version 3 for IPv4 is sent both ways; a router that insists on one
/// drops what has the other. In IPv6 there is one form, with the pseudo header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChecksumForm {
    /// A pseudo header (source, destination, protocol, length), then the message: all there is for
    /// IPv6 (RFC 9568 section 5.2.8), and for IPv4 what keepalived sends and insists on in version 3,
    /// unless told otherwise.
    PseudoHeader,
    /// The message alone: version 2 (RFC 3768 section 5.3.8), and version 3 for IPv4 according to
    /// RFC 9568 section 5.2.8.
    Message,
    /// A pseudo header as if a unicast advert of version 3 over IPv4 went to [`GROUP`]: keepalived up to
    /// 1.3.6.
    GroupPseudoHeader,
}

/// The first rule that a packet breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not even a header.
    #[error("{0} bytes, shorter than a VRRP header")]
    TooShort(usize),
    /// Neither 2 nor 3.
    #[error("version {0}")]
    Version(u8),
    /// Version 2 has no IPv6.
    #[error("version 2 over IPv6")]
    Version2OverIpv6,
    /// Not an advertisement, the only type there is.
    #[error("type {0}")]
    Type(u8),
    /// Zero is no virtual router.
    #[error("virtual router identifier 0")]
    Vrid,
    /// Shorter than version and address count say.
    #[error("{actual} bytes where {expected} are announced")]
    Truncated {
        /// Length according to version and count.
        expected: usize,
        /// Length of what came.
        actual: usize,
    },
    /// Longer than version and address count say, by something else than zero bytes.
    #[error("{actual} bytes where {expected} are announced, and the rest is not padding")]
    TrailingBytes {
        /// Length according to version and count.
        expected: usize,
        /// Length of what came.
        actual: usize,
    },
    /// Right in no [`ChecksumForm`] its version has.
    #[error("checksum {0:#06x} is wrong")]
    Checksum(u16),
    /// An interval of zero (RFC 9568 section 5.2.7, erratum 8301).
    #[error("advertisement interval 0")]
    Interval,
    /// Version 2, neither none (0) nor PASS (1) nor a header (2).
    #[error("authentication type {0}")]
    AuthenticationType(u8),
}

/// A packet that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// What it says.
    pub advertisement: Advertisement,
    /// What its checksum covered.
    pub form: ChecksumForm,
    /// What stood behind it, to be verified.
    pub signature: Option<Signature>,
}

/// The same as [`parse_signed`] for whoever knows no signatures: a packet with one is malformed.
///
/// # Errors
/// The first rule broken, in the order of [`Malformed`].
pub fn parse(
    payload: &[u8],
    source: impl Into<IpAddr>,
    destination: impl Into<IpAddr>,
) -> Result<(Advertisement, ChecksumForm), Malformed> {
    let Received { advertisement, form, signature } = parse_signed(payload, source, destination)?;
    if signature.is_some() {
        let actual = payload.len();
        return Err(Malformed::TrailingBytes { expected: actual - SIGNATURE, actual });
    }
    Ok((advertisement, form))
}

/// Reads what followed the IP header of a packet of protocol [`IP_PROTOCOL`]. `source` and `destination` are those of
/// the IP header, also where that destination is a unicast address.
///
/// Reserved bits and the authentication data of type 0 are not looked at (RFC 9568 section 5.2.6,
/// RFC 3768 section 5.3.6).
///
/// # Errors
/// The first rule broken, in the order of [`Malformed`].
pub fn parse_signed(
    payload: &[u8],
    source: impl Into<IpAddr>,
    destination: impl Into<IpAddr>,
) -> Result<Received, Malformed> {
    let (source, destination) = (source.into(), destination.into());
    let Some(&[version_type, vrid, priority, count, byte4, byte5, sum_high, sum_low]) = payload.first_chunk() else {
        return Err(Malformed::TooShort(payload.len()));
    };
    let (version, trailer) = match version_type >> 4 {
        2 if source.is_ipv6() => return Err(Malformed::Version2OverIpv6),
        2 => (Version::V2, v2::TRAILER),
        3 => (Version::V3, 0),
        other => return Err(Malformed::Version(other)),
    };
    if version_type & 0x0f != ADVERTISEMENT {
        return Err(Malformed::Type(version_type & 0x0f));
    }
    if vrid == 0 {
        return Err(Malformed::Vrid);
    }

    let address_length = if source.is_ipv6() { 16 } else { 4 };
    let addresses_end = HEADER + address_length * usize::from(count);
    let (expected, actual) = (addresses_end + trailer, payload.len());
    let Some((message, rest)) = payload.split_at_checked(expected) else {
        return Err(Malformed::Truncated { expected, actual });
    };
    let signature = rest.try_into().ok().and_then(Signature::parse);
    if signature.is_none() && rest.iter().any(|byte| *byte != 0) {
        return Err(Malformed::TrailingBytes { expected, actual });
    }
    // In IPv6 the kernel computes it, over all there is.
    let covered = if source.is_ipv6() && signature.is_some() { payload } else { message };
    let form = checksum_form(version, covered, source, destination)
        .ok_or(Malformed::Checksum(u16::from_be_bytes([sum_high, sum_low])))?;

    let (interval, auth) = match version {
        Version::V2 => v2::parse([byte4, byte5], &message[addresses_end..])?,
        Version::V3 => (v3::parse([byte4, byte5])?, Authentication::None),
    };
    let addresses = addresses(&message[HEADER..addresses_end], source);
    let advertisement = Advertisement { vrid, priority, interval: Interval(interval), addresses, auth };
    Ok(Received { advertisement, form, signature })
}

/// What follows the IP header from `source` to `destination`, checksum included; both are of one
/// family.
///
/// Version 2 and IPv6 have one form of checksum and version 3 no authentication: there `form` and
/// `auth` are not looked at. Addresses beyond [`MAX_ADDRESSES`] are left out, as keepalived does: they
/// are served all the same; so are those of the other family. In IPv6 the first link-local address
/// goes first, where there is one.
pub fn emit(
    advertisement: &Advertisement,
    source: impl Into<IpAddr>,
    destination: impl Into<IpAddr>,
    form: ChecksumForm,
) -> Vec<u8> {
    let (source, destination) = (source.into(), destination.into());
    let Advertisement { vrid, priority, interval, addresses, auth } = advertisement;
    let addresses = listed(addresses, source);
    let (number, bytes4_5, trailer, form) = match interval.0 {
        Unit::Seconds(s) => (2, [v2::auth_type(auth), s], v2::trailer(auth), ChecksumForm::Message),
        Unit::Centiseconds(cs) if source.is_ipv6() => (3, cs.to_be_bytes(), Vec::new(), ChecksumForm::PseudoHeader),
        Unit::Centiseconds(cs) => (3, cs.to_be_bytes(), Vec::new(), form),
    };

    let mut message = Vec::with_capacity(HEADER + 16 * addresses.len() + trailer.len());
    message.extend([number << 4 | ADVERTISEMENT, *vrid, *priority, addresses.len() as u8]);
    message.extend(bytes4_5);
    message.extend([0, 0]);
    for address in addresses {
        match address {
            IpAddr::V4(address) => message.extend(address.octets()),
            IpAddr::V6(address) => message.extend(address.octets()),
        }
    }
    message.extend(trailer);
    let sum = checksum(&message, source, destination, form);
    message[6..8].copy_from_slice(&sum.to_be_bytes());
    message
}

/// The addresses of an advert from `source`, in the order in which it lists them.
fn listed(addresses: &[IpAddr], source: IpAddr) -> Vec<IpAddr> {
    let mut listed: Vec<IpAddr> = addresses.iter().copied().filter(|a| a.is_ipv6() == source.is_ipv6()).collect();
    let link_local = |a: &IpAddr| matches!(a, IpAddr::V6(a) if a.is_unicast_link_local());
    if let Some(first) = listed.iter().position(link_local) {
        listed[..=first].rotate_right(1);
    }
    listed.truncate(MAX_ADDRESSES);
    listed
}

/// Addresses of the source's family, one after another.
fn addresses(bytes: &[u8], source: IpAddr) -> Vec<IpAddr> {
    match source {
        IpAddr::V4(_) => bytes.as_chunks().0.iter().map(|a: &[u8; 4]| IpAddr::from(*a)).collect(),
        IpAddr::V6(_) => bytes.as_chunks().0.iter().map(|a: &[u8; 16]| IpAddr::from(*a)).collect(),
    }
}

/// Which form the checksum in the message is right in. Where both are, they are the same.
fn checksum_form(version: Version, message: &[u8], source: IpAddr, destination: IpAddr) -> Option<ChecksumForm> {
    let old = source.is_ipv4() && !destination.is_multicast();
    let forms: &[ChecksumForm] = match version {
        Version::V2 => &[ChecksumForm::Message],
        Version::V3 if source.is_ipv6() => &[ChecksumForm::PseudoHeader],
        Version::V3 if old => &[ChecksumForm::PseudoHeader, ChecksumForm::Message, ChecksumForm::GroupPseudoHeader],
        Version::V3 => &[ChecksumForm::PseudoHeader, ChecksumForm::Message],
    };
    // Over a message that holds its own checksum the result is zero (RFC 1071 section 1).
    forms.iter().copied().find(|form| checksum(message, source, destination, *form) == 0)
}

/// The Internet checksum over a message as it stands.
fn checksum(message: &[u8], source: IpAddr, destination: IpAddr, form: ChecksumForm) -> u16 {
    const SKIP_NOTHING: usize = usize::MAX;
    let protocol = IpNextHeaderProtocol(IP_PROTOCOL);
    match (form, source, destination) {
        (ChecksumForm::PseudoHeader, IpAddr::V4(source), IpAddr::V4(destination)) => {
            util::ipv4_checksum(message, SKIP_NOTHING, &[], &source, &destination, protocol)
        }
        (ChecksumForm::GroupPseudoHeader, IpAddr::V4(source), _) => {
            util::ipv4_checksum(message, SKIP_NOTHING, &[], &source, &GROUP, protocol)
        }
        (ChecksumForm::PseudoHeader, IpAddr::V6(source), IpAddr::V6(destination)) => {
            util::ipv6_checksum(message, SKIP_NOTHING, &[], &source, &destination, protocol)
        }
        // No packet has addresses of two families.
        (ChecksumForm::Message | ChecksumForm::PseudoHeader | ChecksumForm::GroupPseudoHeader, ..) => {
            util::checksum(message, SKIP_NOTHING)
        }
    }
}
