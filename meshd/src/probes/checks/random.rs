//! Bytes nobody else sends.

use ring::rand::{SecureRandom, SystemRandom};

/// Random bytes; zeros where the kernel has none, which it has.
pub(super) fn bytes<const LENGTH: usize>() -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let _ = SystemRandom::new().fill(&mut bytes);
    bytes
}
