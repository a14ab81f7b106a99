//! Who belongs to the mesh and who votes: the only durable state besides keys.

use serde::{Deserialize, Deserializer, Serialize};

use super::NodeId;

/// The members of a mesh under one epoch. Liveness alone never changes it: every change is decided
/// by a majority of the voters (see [`super::consensus`]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// The cluster: hex of the first eight bytes of the SHA-256 of the CA certificate.
    pub cluster: String,
    /// Grows by one with every change.
    pub epoch: u64,
    /// All nodes that joined, in the order of joining.
    pub members: Vec<Member>,
    /// Tokens that were used or revoked, until they expire.
    pub used_tokens: Vec<UsedToken>,
    /// Members that were removed, in the order of removal: they never come back.
    #[serde(default)]
    pub removed: Vec<Tombstone>,
}

/// One node of the mesh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Follows from its certificate.
    pub id: NodeId,
    /// Unique in the mesh, 1 to 63 letters, digits, `-`, `_` or `.`.
    pub name: String,
    /// Where its mesh port is reached, `ADDR:PORT`.
    pub address: std::net::SocketAddr,
    /// What it does.
    pub role: Role,
    /// Whether it votes on leases and rosters.
    pub voter: bool,
    /// Who decides whether it votes.
    #[serde(default)]
    pub vote: VotePolicy,
}

/// Who decides whether a member votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VotePolicy {
    /// The mesh: among the first to join, or in the place of one that is gone.
    #[default]
    Auto,
    /// The operator took its vote.
    Never,
    /// The operator gave it a vote, and only the operator takes it.
    Always,
}

/// A token that works no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UsedToken {
    /// What makes the token different from others.
    pub nonce: u64,
    /// When it expires, in seconds since 1970-01-01 UTC; [`UNKNOWN_EXPIRY`] where nobody knows.
    pub expires_unix: u64,
    /// Who joined with it; `None` for one that was revoked, or used before this was written down.
    pub by: Option<NodeId>,
}

/// The expiry of tokens used before rosters said when they expire.
pub const UNKNOWN_EXPIRY: u64 = u64::MAX;

/// What is left of a removed member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// Its identity.
    pub id: NodeId,
    /// The first epoch without it.
    pub epoch: u64,
}

/// The number of one attempt to decide a roster: any two attempts of a mesh have different ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// Higher than every round its proposer has seen.
    pub round: u64,
    /// Whose attempt it is.
    pub proposer: NodeId,
}

/// What a node does in the mesh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Holds virtual routers.
    Director,
    /// Votes only.
    Witness,
    /// A real server.
    Server,
}

/// How many members vote as soon as they have joined: a mesh of so many voters survives a loss.
pub const FIRST_VOTERS: usize = 3;

/// The most voters of one mesh: each is asked for every lease.
pub const MAX_VOTERS: usize = 7;

/// Removed members remembered; the oldest are forgotten first.
pub const MAX_TOMBSTONES: usize = 1024;

impl Roster {
    /// The voters, in the order of joining.
    pub fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|m| m.voter)
    }

    /// How many votes make a majority of the configured voters.
    pub fn quorum(&self) -> usize {
        self.voters().count() / 2 + 1
    }

    /// The member with this identity.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        self.members.iter().find(|m| m.id == id)
    }

    /// Whether this node votes.
    pub fn is_voter(&self, id: NodeId) -> bool {
        self.member(id).is_some_and(|m| m.voter)
    }

    /// Whether this node holds the CA's key and can enrol others: a voter does, unless it is a server.
    /// Web hosts are open to the world, and whoever has the key can make members.
    pub fn enrols(&self, id: NodeId) -> bool {
        self.member(id).is_some_and(|m| m.voter && m.role != Role::Server)
    }

    /// Since which epoch this node is no member any more, where it was one.
    pub fn removed_at(&self, id: NodeId) -> Option<u64> {
        self.removed.iter().find(|t| t.id == id).map(|t| t.epoch)
    }

    /// How many nodes vote in one of the two rosters only.
    pub fn voters_changed(&self, other: &Roster) -> usize {
        let only = |a: &Roster, b: &Roster| a.voters().filter(|m| !b.is_voter(m.id)).count();
        only(self, other) + only(other, self)
    }
}

/// Reads what is written today, and in text also the bare nonces of earlier versions.
impl<'de> Deserialize<'de> for UsedToken {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Whole {
            nonce: u64,
            expires_unix: u64,
            by: Option<NodeId>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Text {
            Nonce(u64),
            Whole(Whole),
        }
        let whole = if deserializer.is_human_readable() {
            match Text::deserialize(deserializer)? {
                Text::Nonce(nonce) => Whole { nonce, expires_unix: UNKNOWN_EXPIRY, by: None },
                Text::Whole(whole) => whole,
            }
        } else {
            Whole::deserialize(deserializer)?
        };
        Ok(UsedToken { nonce: whole.nonce, expires_unix: whole.expires_unix, by: whole.by })
    }
}
