//! Tokens: what lets one machine join.
//!
//! A token checks itself: nothing about it is stored until it is used or revoked, and every holder of the CA
//! key can make and check it. Its nonce then stands in the roster, which makes a second use fail
//! at every seed. As URL-safe base64 without padding:
//!
//! ```text
//! version 1 | CA certificate's SHA-256, first 16 bytes | expiry u64 BE | nonce u64 BE | HMAC, 16 bytes
//! ```
//!
//! The fingerprint pins the CA for the joiner; expiry is in seconds since 1970-01-01 UTC; the HMAC
//! (SHA-256, truncated) covers all that stands before it, under a key derived from the CA's key.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::enrol::Refusal;
use ring::hmac;

pub(super) use issued::Issued;

mod issued;

const VERSION: u8 = 1;
const FINGERPRINT: usize = 16;
const MAC: usize = 16;
const SIGNED: usize = 1 + FINGERPRINT + 8 + 8;

/// First bytes of the SHA-256 of a CA certificate (DER).
pub(super) type Fingerprint = [u8; FINGERPRINT];

/// A token as it is handed to the operator.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// What is passed to `meshd join --token`.
    pub text: String,
    /// When it stops working, in seconds since 1970-01-01 UTC.
    pub expires_unix: u64,
    /// What `meshctl token list` calls it; no secret.
    pub(super) nonce: u64,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token {{ text: …, id: {}, expires_unix: {} }}", NodeId(self.nonce), self.expires_unix)
    }
}

/// What a token says, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claims {
    /// The CA.
    pub(super) fingerprint: Fingerprint,
    /// Seconds since 1970-01-01 UTC.
    pub(super) expires_unix: u64,
    /// Makes tokens different.
    pub(super) nonce: u64,
}

/// The fingerprint of a CA certificate (DER).
pub(super) fn fingerprint(ca_der: &[u8]) -> Fingerprint {
    let digest = ring::digest::digest(&ring::digest::SHA256, ca_der);
    std::array::from_fn(|i| digest.as_ref()[i])
}

/// Makes and checks tokens: the holder of the CA's private key.
pub(super) struct Issuer {
    fingerprint: Fingerprint,
    key: hmac::Key,
}

impl Issuer {
    /// From the CA certificate (DER) and the CA's private key (PKCS #8, DER).
    pub(super) fn new(ca_der: &[u8], ca_key_der: &[u8]) -> Issuer {
        let root = hmac::Key::new(hmac::HMAC_SHA256, ca_key_der);
        let derived = hmac::sign(&root, b"meshd enrolment token, key 1");
        Issuer { fingerprint: fingerprint(ca_der), key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) }
    }

    /// A new token for a nonce never used before.
    pub(super) fn create(&self, nonce: u64, now_unix: Duration, ttl: Duration) -> Token {
        let expires_unix = now_unix.as_secs().saturating_add(ttl.as_secs());
        let claims = Claims { fingerprint: self.fingerprint, expires_unix, nonce };
        let mut bytes = signed_part(&claims);
        bytes.extend_from_slice(&hmac::sign(&self.key, &bytes).as_ref()[..MAC]);
        Token { text: BASE64_URL_SAFE_NO_PAD.encode(bytes), expires_unix, nonce }
    }

    /// Checks everything but whether the token was used.
    pub(super) fn check(&self, text: &str, now_unix: Duration) -> Result<Claims, Refusal> {
        let (claims, mac) = split(text)?;
        if claims.fingerprint != self.fingerprint {
            return Err(Refusal::TokenOtherCluster);
        }
        let expected = hmac::sign(&self.key, &signed_part(&claims));
        if !same_bytes(&expected.as_ref()[..MAC], &mac) {
            return Err(Refusal::TokenForged);
        }
        if now_unix.as_secs() >= claims.expires_unix {
            return Err(Refusal::TokenExpired { ago_s: now_unix.as_secs() - claims.expires_unix });
        }
        Ok(claims)
    }
}

/// Reads a token without checking it: only the fingerprint is of use to a joiner.
pub(super) fn read(text: &str) -> Result<Claims, Refusal> {
    split(text).map(|(claims, _)| claims)
}

fn split(text: &str) -> Result<(Claims, [u8; MAC]), Refusal> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| Refusal::TokenMalformed)?;
    if bytes.len() != SIGNED + MAC || bytes[0] != VERSION {
        return Err(Refusal::TokenMalformed);
    }
    let number = |at: usize| u64::from_be_bytes(std::array::from_fn(|i| bytes[at + i]));
    let claims = Claims {
        fingerprint: std::array::from_fn(|i| bytes[1 + i]),
        expires_unix: number(1 + FINGERPRINT),
        nonce: number(1 + FINGERPRINT + 8),
    };
    Ok((claims, std::array::from_fn(|i| bytes[SIGNED + i])))
}

fn signed_part(claims: &Claims) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SIGNED + MAC);
    bytes.push(VERSION);
    bytes.extend_from_slice(&claims.fingerprint);
    bytes.extend_from_slice(&claims.expires_unix.to_be_bytes());
    bytes.extend_from_slice(&claims.nonce.to_be_bytes());
    bytes
}

/// Compares in a time that does not depend on where the difference is.
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |diff, (x, y)| diff | (x ^ y)) == 0
}

#[cfg(test)]
mod tests;
