//! Taking over a newer roster.

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::lease::Message;
use mesh_wire::mesh::roster::{FIRST_VOTERS, Roster};

use super::Engine;
use crate::action::Action;
use crate::decision::Decision;
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
        let few = self.voters().len() < FIRST_VOTERS;
        self.roster = Some(roster.clone());
        self.membership.retain(|id| roster.member(id).is_some());
        self.out.push(Action::AdoptRoster(roster.clone()));
        let voters = roster.voters().map(|m| m.name.clone()).collect();
        self.record(Decision::Roster { epoch: roster.epoch, voters });
        self.warn_unprotected();
        for to in self.other_members() {
            self.send_roster(to);
        }
        if few && self.voters().len() >= FIRST_VOTERS {
            self.begin_grace(now);
        }
        self.ask_under_new_roster(now);
    }

    /// Leases go on under the next roster; its voters are asked at once.
    fn ask_under_new_roster(&mut self, now: Instant) {
        for instance in self.instances.values_mut().filter(|i| i.vrrp.is_active()) {
            if let Some(ballot) = instance.lease.ballot_mut() {
                ballot.ask_at = now;
            }
        }
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
