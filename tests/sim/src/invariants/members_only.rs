//! Nobody serves who is no director in its own roster, and no witness ever does.

use mesh_wire::mesh::roster::Role;

use super::Invariant;
use crate::cluster::{Cluster, Fact};

/// Looked at whenever service changed.
#[derive(Debug)]
pub(super) struct MembersOnly;

impl Invariant for MembersOnly {
    fn name(&self) -> &'static str {
        "members_only"
    }

    fn check(&mut self, world: &Cluster, _: &[Fact]) -> Result<(), String> {
        for machine in world.hosts.iter().filter(|h| h.serves != 0) {
            let member = machine.state.roster.as_ref().and_then(|r| r.member(machine.id));
            if member.is_none_or(|m| m.role != Role::Director) {
                return Err(format!("{} serves and is no director of the mesh", machine.name));
            }
        }
        Ok(())
    }
}
