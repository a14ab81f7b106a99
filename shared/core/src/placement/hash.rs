//! Weighted rendezvous hashing in whole numbers: the same on every host.

use mesh_wire::mesh::{Family, NodeId, RouterKey};

/// Bits after the point.
const FRACTION: u32 = 32;

/// How far a group is from a director: it belongs to the nearest. Each is nearest to a part of all
/// groups that is proportional to its capacity, and one more director takes from all others alike.
pub(super) fn distance(node: NodeId, group: RouterKey, capacity: u32) -> u128 {
    // -log2(u) / capacity, with u the hash between 0 and 1.
    (u128::from(minus_log2(hash(node, group))) << 32) / u128::from(capacity.max(1))
}

fn hash(node: NodeId, group: RouterKey) -> u64 {
    let family = match group.family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 6,
    };
    let group = u64::from(group.segment) << 16 | u64::from(group.vrid) << 8 | family;
    mix(mix(group) ^ mix(node.0 ^ 0x9e37_79b9_7f4a_7c15))
}

/// The finalizer of MurmurHash3: every bit of the input changes half of the output.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

/// -log2(hash / 2^64), by squaring: each square of the mantissa gives one bit.
fn minus_log2(hash: u64) -> u64 {
    let hash = hash.max(1);
    let zeros = hash.leading_zeros();
    let mut mantissa = hash << zeros;
    let mut log = u64::from(63 - zeros) << FRACTION;
    for bit in (0..FRACTION).rev() {
        let square = (u128::from(mantissa) * u128::from(mantissa)) >> 63;
        let doubled = square >> 64 != 0;
        log |= u64::from(doubled) << bit;
        mantissa = (square >> u32::from(doubled)) as u64;
    }
    (64 << FRACTION) - log
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_right() {
        let one = 1 << FRACTION;
        assert_eq!(minus_log2(1), 64 * one);
        assert_eq!(minus_log2(1 << 63), one);
        assert_eq!(minus_log2(3 << 62), one - 2_512_394_809, "log2(1.5) is 0.58496250072");
        for hash in [12_345, u64::MAX, 0xdead_beef_0000_0001] {
            let exact = 64.0 - (hash as f64).log2();
            assert!((minus_log2(hash) as f64 / one as f64 - exact).abs() < 1e-9, "{hash}");
        }
    }
}
