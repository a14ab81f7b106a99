//! What only version 3 has: twelve bits of centiseconds (RFC 9568 section 5.2.7).

use super::{Malformed, Unit};

/// The longest interval, 40.95 s.
pub(super) const MAX_INTERVAL: u16 = 0x0fff;

/// From bytes 4 and 5 of the header; the upper four bits are reserved and ignored.
pub(super) fn parse(bytes: [u8; 2]) -> Result<Unit, Malformed> {
    let centiseconds = u16::from_be_bytes(bytes) & MAX_INTERVAL;
    Unit::centiseconds(centiseconds.into()).ok_or(Malformed::Interval)
}
