//! FNV-1a: short names for what hosts compare with each other, or with what they wrote down themselves.
//!
//! Two nodes of one mesh may run different versions, and a node outlives its own version: what is the same
//! has to hash the same everywhere and for ever, which the standard library promises for none of its hashers.
//! It guards against change, not against an attacker.

/// What an empty text hashes to.
const START: u64 = 0xcbf2_9ce4_8422_2325;

/// The hash, 64 bit.
pub fn hash(bytes: &[u8]) -> u64 {
    more(START, bytes)
}

/// Goes on from a hash with what follows; from another number it makes a second, unlike hash.
pub fn more(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The hash, 32 bit.
pub fn hash32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |h, b| (h ^ u32::from(*b)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_never_change() {
        assert_eq!(hash(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(more(hash(b"foo"), b"bar"), hash(b"foobar"));
        assert_eq!(hash32(b""), 0x811c_9dc5);
        assert_eq!(hash32(b"foobar"), 0xbf9c_f968);
    }
}
