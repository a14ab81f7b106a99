//! Who belongs to the mesh and who votes: the only durable state besides keys.

use serde::{Deserialize, Serialize};

use super::NodeId;

/// The members of a mesh under one epoch. Liveness never changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// The cluster: hex of the first eight bytes of the SHA-256 of the CA certificate.
    pub cluster: String,
    /// Grows by one with every change.
    pub epoch: u64,
    /// All nodes that joined, in the order of joining.
    pub members: Vec<Member>,
    /// Nonces of the tokens already used.
    pub used_tokens: Vec<u64>,
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
    /// Whether it votes on leases.
    pub voter: bool,
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

/// How many of the first nodes that join become voters.
pub const FIRST_VOTERS: usize = 3;

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

    /// The roster with one more member, who votes while there are fewer than
    /// [`FIRST_VOTERS`] voters.
    pub fn with_member(
        &self,
        id: NodeId,
        name: String,
        address: std::net::SocketAddr,
        role: Role,
        token_nonce: u64,
    ) -> Roster {
        let mut next = self.clone();
        next.epoch += 1;
        let voter = role != Role::Server && self.voters().count() < FIRST_VOTERS;
        next.members.push(Member { id, name, address, role, voter });
        next.used_tokens.push(token_nonce);
        next
    }
}
