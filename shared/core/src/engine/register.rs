//! The committed roster, with what nearly every step asks of it at hand: a step must not take longer the more members
//! there are.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::roster::{Member, Role, Roster};

/// A roster that is looked up and not searched.
#[derive(Debug)]
pub(super) struct Register {
    roster: Arc<Roster>,
    /// Where members stand in it.
    places: BTreeMap<NodeId, usize>,
    voters: Vec<NodeId>,
    has_servers: bool,
    /// What members were called that were removed while this node was looking: their leases are told of after them.
    former: BTreeMap<NodeId, String>,
}

impl Register {
    pub(super) fn new(roster: Arc<Roster>) -> Register {
        Register {
            places: roster.members.iter().enumerate().map(|(place, member)| (member.id, place)).collect(),
            voters: roster.voters().map(|member| member.id).collect(),
            has_servers: roster.members.iter().any(|member| member.role == Role::Server),
            former: BTreeMap::new(),
            roster,
        }
    }

    /// With the names of those that were members before, as long as the roster has their tombstones.
    pub(super) fn after(mut self, before: Option<&Register>) -> Register {
        let members = before.iter().flat_map(|b| &b.roster.members).map(|member| (member.id, &member.name));
        let former = before.iter().flat_map(|b| &b.former).map(|(id, name)| (*id, name));
        let gone = members.chain(former).filter(|(id, _)| self.roster.removed_at(*id).is_some());
        self.former = gone.map(|(id, name)| (id, name.clone())).collect();
        self
    }

    /// The member with this identity.
    pub(super) fn member(&self, id: NodeId) -> Option<&Member> {
        self.places.get(&id).map(|place| &self.roster.members[*place])
    }

    /// What a member is called, or was.
    pub(super) fn name_of(&self, id: NodeId) -> Option<&str> {
        self.member(id).map(|member| &member.name).or_else(|| self.former.get(&id)).map(String::as_str)
    }

    /// The voters' identities, in the order of joining.
    pub(super) fn voter_ids(&self) -> &[NodeId] {
        &self.voters
    }

    pub(super) fn is_voter(&self, id: NodeId) -> bool {
        self.voters.contains(&id)
    }

    /// Whether any member is a real server.
    pub(super) fn has_servers(&self) -> bool {
        self.has_servers
    }

    /// All of it, to be sent: not a copy for everybody.
    pub(super) fn whole(&self) -> Arc<Roster> {
        Arc::clone(&self.roster)
    }
}

impl Deref for Register {
    type Target = Roster;

    fn deref(&self) -> &Roster {
        &self.roster
    }
}
