//! Enrolment: how a machine without an identity becomes a member.
//!
//! ```text
//!   joiner                        seed (holds the CA key)              voters
//!     | -- EnrolRequest ------------> |  token checked                    |
//!     |                               | <-- consensus on the roster ----> |
//!     | <-- EnrolReply::Welcome ----- |  committed: certificate signed    |
//! ```
//!
//! The joiner has no certificate yet: it knows the seed by the CA fingerprint in its token, the
//! seed knows the joiner by the token itself. It does not vote before it was seen on the mesh: a
//! join that breaks off leaves no voter that never comes.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::roster::{Role, Roster};

/// TLS application protocol of mesh connections (mutual TLS).
pub const ALPN_MESH: &[u8] = b"mesh/1";
/// TLS application protocol of enrolment (the joiner has no certificate).
pub const ALPN_ENROL: &[u8] = b"mesh-enrol/1";
/// The most bytes an encoded [`EnrolRequest`] may have.
pub const MAX_REQUEST: usize = 8 * 1024;
/// The most bytes an encoded [`EnrolReply`] or [`CaKeyReply`] may have: a full roster takes a fifth.
pub const MAX_REPLY: usize = 256 * 1024;

/// A string that never shows up in logs or `Debug` output: tokens and private keys.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Joiner to seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolRequest {
    /// The token as the operator passed it on.
    pub token: Secret,
    /// Certificate signing request (PKCS #10, DER). Only its public key counts, and its signature,
    /// which proves possession of the private key.
    pub csr: Vec<u8>,
    /// Name wanted.
    pub name: String,
    /// Where the joiner's mesh port will be reached.
    pub address: SocketAddr,
    /// What it will do.
    pub role: Role,
}

/// Seed to joiner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrolReply {
    /// Admitted.
    Welcome(Box<Welcome>),
    /// Not admitted, and nothing changed.
    Refused(Refusal),
}

/// All that makes a machine a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The new member's certificate (PEM).
    pub certificate: String,
    /// The mesh's CA certificate (PEM).
    pub ca_certificate: String,
    /// The roster with the new member.
    pub roster: Roster,
}

/// Why a machine is not admitted, and what helps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// Not a token at all.
    #[error("this is no token, or part of it is missing: copy the whole string that `meshctl token create` printed")]
    TokenMalformed,
    /// Its time is over.
    #[error(
        "this token expired {ago_s} s ago: create another one with `meshctl token create` on a member (and compare the clocks)"
    )]
    TokenExpired {
        /// For how long, by the seed's clock, in seconds.
        ago_s: u64,
    },
    /// It names another CA.
    #[error(
        "this token belongs to another cluster than the seed: use `meshctl token create` on a member of the seed's cluster"
    )]
    TokenOtherCluster,
    /// No holder of the CA key made it.
    #[error("this token was not made by this cluster (its checksum is wrong): create one with `meshctl token create`")]
    TokenForged,
    /// One token makes one member, and none once it is revoked.
    #[error(
        "this token was {}: create another one with `meshctl token create`",
        .by.as_ref().map_or("revoked".to_owned(), |by| format!("used already (by {by})"))
    )]
    TokenUsed {
        /// The member that used it; nobody, where it was revoked.
        by: Option<String>,
    },
    /// Names are unique.
    #[error("the name {name} is taken by the member at {address}: choose another one with --name")]
    NameTaken {
        /// The name.
        name: String,
        /// Whose it is.
        address: SocketAddr,
    },
    /// Not a name.
    #[error("{name:?} cannot be a name: 1 to 63 letters, digits, '-', '_' or '.' (--name)")]
    NameInvalid {
        /// What was asked for.
        name: String,
    },
    /// Addresses are unique.
    #[error("the address {address} is taken by {by}: choose another one with --listen")]
    AddressTaken {
        /// The address.
        address: SocketAddr,
        /// Whose it is.
        by: String,
    },
    /// Nobody could connect there.
    #[error("{address} cannot be reached by others: name an address and port of this host with --listen ADDR:PORT")]
    AddressUnusable {
        /// The address.
        address: SocketAddr,
    },
    /// The key belongs to a member that differs from what is asked for.
    #[error(
        "this host's key belongs to the member {name} at {address} already: join as that one, or start with an empty state directory"
    )]
    IdentityTaken {
        /// The member's name.
        name: String,
        /// Its address.
        address: SocketAddr,
    },
    /// The key belongs to a member that was removed.
    #[error(
        "this host's key belongs to a node that was removed from the mesh (roster epoch {epoch}): join with an empty state directory and a new token"
    )]
    Removed {
        /// The first epoch without it.
        epoch: u64,
    },
    /// So many tokens were used or revoked that no more can be remembered.
    #[error("{max} tokens that have not expired were used or revoked already: wait until some of them expire")]
    TooManyTokens {
        /// The limit.
        max: usize,
    },
    /// The mesh is full.
    #[error(
        "the mesh has {max} members, and no room for more, as each pair keeps a connection: `meshctl nodes remove NODE` \
         makes room where one is gone for good (`meshctl nodes` shows which); real servers need not be members; more \
         directors are another mesh, with `meshd init`"
    )]
    TooManyMembers {
        /// The limit.
        max: usize,
    },
    /// The certificate signing request cannot be used.
    #[error("the certificate signing request is not valid: {reason}")]
    BadRequest {
        /// What is wrong with it.
        reason: String,
    },
    /// The seed cannot sign certificates.
    #[error("the seed does not hold the CA key; use one of these as --seed: {}", .ask.join(", "))]
    NoSigner {
        /// Members that can, as `NAME (ADDR:PORT)`.
        ask: Vec<String>,
    },
    /// The voters did not agree in time.
    #[error(
        "only {accepted} of the {needed} voters needed agreed to a new member: see `meshctl nodes`, and try again with the same token"
    )]
    NoMajority {
        /// How many said yes.
        accepted: usize,
        /// How many had to.
        needed: usize,
    },
    /// Too many enrolments at once.
    #[error("the seed is busy with other enrolments: try again with the same token")]
    Busy,
    /// The seed's own fault.
    #[error("the seed failed: {reason}; its log has more")]
    Internal {
        /// In words.
        reason: String,
    },
}

/// On a mesh connection: asks the peer for the CA's private key. Voters enrol others, so a member
/// that became one needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaKeyRequest;

/// The answer to a [`CaKeyRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaKeyReply {
    /// The CA's private key (PEM); none where the peer has none, or knows the asker as no voter.
    pub ca_key: Option<Secret>,
}
