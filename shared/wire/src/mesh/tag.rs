//! A secret as something that tells equal ones from different ones.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Sixteen hexadecimal digits of HMAC-SHA256 over a secret.
pub fn tag(nonce: &[u8; 32], secret: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(nonce).expect("HMAC takes keys of any length");
    mac.update(secret);
    mac.finalize().into_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_depends_on_both() {
        // Of Python's hmac module.
        assert_eq!(tag(&[0; 32], b"secret"), "1810e8d341b9e61e");
        assert_eq!(tag(&[0; 32], b"secret"), tag(&[0; 32], b"secret"));
        assert_ne!(tag(&[0; 32], b"secret"), tag(&[0; 32], b"secres"));
        assert_ne!(tag(&[0; 32], b"secret"), tag(&[1; 32], b"secret"));
    }
}
