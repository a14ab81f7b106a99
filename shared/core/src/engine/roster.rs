//! Taking over a newer roster.

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::lease::Message;
use mesh_wire::mesh::roster::Roster;

use super::Engine;
use crate::action::Action;
use crate::decision::Decision;
use crate::lease::ballot::Lease;
use crate::time::Instant;

impl Engine {
    /// A roster came in: as a proposal (with a ticket, exactly one epoch ahead) or as something a
    /// majority agreed on already. Whoever accepts a proposal has adopted it, and refuses any
    /// other of the same epoch.
    pub(super) fn learn_roster(&mut self, now: Instant, ticket: Option<u64>, roster: Roster) {
        let Some(current) = self.roster.clone() else { return };
        let newer = if ticket.is_some() {
            Some(roster.epoch) == current.epoch.checked_add(1)
        } else {
            roster.epoch > current.epoch
        };
        let known = roster.member(self.setup.node).is_some();
        let accepted = roster.cluster == current.cluster && known && newer;
        if accepted {
            self.adopt_roster(now, roster.clone());
        }
        if let Some(ticket) = ticket {
            let verdict = if accepted || roster == current { Ok(()) } else { Err(current) };
            self.out.push(Action::RosterVerdict { ticket, verdict });
        }
    }

    fn adopt_roster(&mut self, now: Instant, roster: Roster) {
        let was_leased = self.leased();
        self.roster = Some(roster.clone());
        self.membership.retain(|id| roster.member(id).is_some());
        self.out.push(Action::AdoptRoster(roster.clone()));
        let voters = roster.voters().map(|m| m.name.clone()).collect();
        self.record(Decision::Roster { epoch: roster.epoch, voters });
        self.warn_unprotected();
        for to in self.other_members() {
            self.send_roster(to);
        }
        match (was_leased, self.leased()) {
            (false, true) => self.begin_leases(now),
            (true, false) => self.end_leases(),
            (false, false) | (true, true) => {}
        }
    }

    /// The mesh has enough voters from now on: what is served already goes on for a moment and
    /// gets a lease, all else is fenced.
    fn begin_leases(&mut self, now: Instant) {
        for instance in self.instances.values_mut().filter(|i| i.vrrp.is_active()) {
            instance.unleased_since = Some(now);
            instance.claim_at = Some(now);
        }
        self.install_fence();
    }

    /// The mesh has too few voters from now on: VRRP alone decides, whoever serves goes on.
    fn end_leases(&mut self) {
        for instance in self.instances.values_mut() {
            instance.lease = Lease::Idle;
            instance.armed_until = None;
            instance.unleased_since = None;
            instance.claim_at = None;
            instance.vetoes.clear();
            instance.veto = None;
        }
        self.rearm.clear();
        self.install_fence();
    }

    pub(super) fn send_roster(&mut self, to: NodeId) {
        if let Some(roster) = self.roster.clone().filter(|_| self.membership.is_connected(to)) {
            self.out.push(Action::SendMessage { to, message: Message::Roster(roster) });
        }
    }

    /// All members but this node.
    pub(super) fn other_members(&self) -> Vec<NodeId> {
        let members = self.roster.iter().flat_map(|r| &r.members).map(|m| m.id);
        members.filter(|id| *id != self.setup.node).collect()
    }
}
