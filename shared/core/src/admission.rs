//! Who may become a member: decided on the roster alone.
//!
//! A candidate has shown a valid token and that it holds the private key of its identity. What is
//! decided here is whether the roster has room for it, and what the roster looks like afterwards.

use std::net::SocketAddr;

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::enrol::Refusal;
use mesh_wire::mesh::roster::{Member, Role, Roster, UsedToken, VotePolicy};

/// The most members of one mesh: every pair keeps a connection, and every gossip digest names all.
pub const MAX_MEMBERS: usize = 64;

/// The most used and revoked tokens that are remembered until they expire.
pub const MAX_TOKENS: usize = 1024;

/// A machine that wants to become a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Follows from the public key it proved to hold.
    pub id: NodeId,
    /// Name wanted.
    pub name: String,
    /// Where its mesh port will be reached.
    pub address: SocketAddr,
    /// What it will do.
    pub role: Role,
    /// Nonce of its token.
    pub token_nonce: u64,
    /// When its token expires, in seconds since 1970-01-01 UTC.
    pub token_expires_unix: u64,
}

/// The roster with the candidate in it, one epoch later. It does not vote yet: that is for those
/// who are there.
///
/// A candidate that is a member already under the same name, address and role gets the roster as
/// it is, whatever became of its token: it lost the reply and asks again, and its key proves that
/// it is the same machine.
///
/// # Errors
/// What is in the way.
pub fn admit(roster: &Roster, candidate: &Candidate) -> Result<Roster, Refusal> {
    let Candidate { id, name, address, role, token_nonce, token_expires_unix } = candidate;
    if let Some(known) = roster.member(*id) {
        if (&known.name, known.address, known.role) == (name, *address, *role) {
            return Ok(roster.clone());
        }
        return Err(Refusal::IdentityTaken { name: known.name.clone(), address: known.address });
    }
    if let Some(epoch) = roster.removed_at(*id) {
        return Err(Refusal::Removed { epoch });
    }
    if let Some(used) = roster.used_tokens.iter().find(|used| used.nonce == *token_nonce) {
        let by = used.by.and_then(|id| roster.member(id)).map(|m| m.name.clone());
        return Err(Refusal::TokenUsed { by });
    }
    check_name(name)?;
    check_address(*address)?;
    if let Some(other) = roster.members.iter().find(|m| m.name.eq_ignore_ascii_case(name)) {
        return Err(Refusal::NameTaken { name: other.name.clone(), address: other.address });
    }
    if let Some(other) = roster.members.iter().find(|m| m.address == *address) {
        return Err(Refusal::AddressTaken { address: *address, by: other.name.clone() });
    }
    if roster.members.len() >= MAX_MEMBERS {
        return Err(Refusal::TooManyMembers { max: MAX_MEMBERS });
    }
    if roster.used_tokens.len() >= MAX_TOKENS {
        return Err(Refusal::TooManyTokens { max: MAX_TOKENS });
    }
    let mut next = roster.clone();
    next.epoch += 1;
    let vote = VotePolicy::Auto;
    next.members.push(Member { id: *id, name: name.clone(), address: *address, role: *role, voter: false, vote });
    next.used_tokens.push(UsedToken { nonce: *token_nonce, expires_unix: *token_expires_unix, by: Some(*id) });
    Ok(next)
}

/// Whether this can be a member's name: 1 to 63 letters, digits, `-`, `_` or `.`.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=63).contains(&name.len()) && name.chars().all(fits) {
        return Ok(());
    }
    Err(Refusal::NameInvalid { name: name.chars().take(80).collect() })
}

/// Whether others can connect to this address: one concrete unicast address and port.
pub fn check_address(address: SocketAddr) -> Result<(), Refusal> {
    let ip = address.ip();
    let broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    if address.port() == 0 || ip.is_unspecified() || ip.is_multicast() || broadcast {
        return Err(Refusal::AddressUnusable { address });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
