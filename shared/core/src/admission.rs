//! Who may become a member: decided on the roster alone.
//!
//! A candidate has shown a valid token and that it holds the private key of its identity. What is
//! decided here is whether the roster has room for it, and what the roster looks like afterwards.

use std::net::SocketAddr;

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::enrol::Refusal;
use mesh_wire::mesh::roster::{Member, Role, Roster};

/// The most members of one mesh: every pair keeps a connection, and every gossip digest names all.
pub const MAX_MEMBERS: usize = 64;

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
}

/// The roster with the candidate in it.
///
/// A candidate that is a member already under the same name, address and role gets the roster as
/// it is, whatever became of its token: it lost the reply and asks again, and its key proves that
/// it is the same machine.
pub fn admit(roster: &Roster, candidate: &Candidate) -> Result<Roster, Refusal> {
    let Candidate { id, name, address, role, token_nonce } = candidate;
    if let Some(known) = roster.member(*id) {
        if (&known.name, known.address, known.role) == (name, *address, *role) {
            return Ok(roster.clone());
        }
        return Err(Refusal::IdentityTaken { name: known.name.clone(), address: known.address });
    }
    if let Some(position) = roster.used_tokens.iter().position(|used| used == token_nonce) {
        return Err(Refusal::TokenUsed { by: token_user(roster, position).map(|m| m.name.clone()) });
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
    Ok(roster.with_member(*id, name.clone(), *address, *role, *token_nonce))
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

/// Who joined with the token at this position. Every member but the founder used one, in the order
/// of joining, so that positions agree as long as nobody was removed and no token revoked.
fn token_user(roster: &Roster, position: usize) -> Option<&Member> {
    if roster.members.len() != roster.used_tokens.len() + 1 {
        return None;
    }
    roster.members.get(position + 1)
}

#[cfg(test)]
mod tests;
