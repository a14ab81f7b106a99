//! How a running cluster grows. All that the harness knows of agreement on rosters is here: what a
//! seed does with a new member, and what an operator asks for.

use std::time::Duration;

use mesh_core::Input;
use mesh_wire::mesh::roster::Roster;

use super::{Cluster, Event};
use crate::clock::ms;

/// Between two tries to join.
const TRY_AGAIN: Duration = ms(500);

impl Cluster {
    /// A host asks to become a member after a while, and again until it is one.
    pub fn join_after(&mut self, host: usize, after: Duration) {
        self.schedule(after, Event::Join { host });
    }

    /// Hosts that are no members yet.
    pub fn outsiders(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|h| !self.hosts[*h].installed).collect()
    }

    /// A voter proposes the roster with the host in it to all voters, itself included. It takes a
    /// majority; everybody else learns the roster from those that accepted it.
    pub(super) fn join(&mut self, host: usize) {
        if self.hosts[host].installed {
            return;
        }
        let Some((seed, current)) = self.seed() else { return self.join_after(host, TRY_AGAIN) };
        let member = self.layout.roster(host + 1).members[host].clone();
        let token = self.queued;
        let next = current.with_member(member.id, member.name, member.address, member.role, token);
        self.say(host, || format!("joins through lb{}: epoch {}", seed + 1, next.epoch));
        for voter in self.electorate(seed, &current) {
            self.deliver(voter, Input::Roster { ticket: Some(token), roster: next.clone() });
        }
        let joined = &mut self.hosts[host];
        joined.installed = true;
        joined.state.roster = Some(next);
        self.start_after(host, ms(20));
        // Its arrival may move addresses: what was calm begins anew.
        self.quiet_since = self.quiet_since.map(|_| self.now);
    }

    /// A voter that has the newest roster and reaches a majority of voters that have it, too.
    fn seed(&self) -> Option<(usize, Roster)> {
        let rosters = self.hosts.iter().filter_map(|h| h.state.roster.as_ref());
        let newest = rosters.max_by_key(|r| r.epoch)?.clone();
        let seed = (0..self.hosts.len()).find(|seed| self.electorate(*seed, &newest).len() >= newest.quorum())?;
        Some((seed, newest))
    }

    /// The voters a proposal from `seed` would reach now and that can keep it; none where `seed` is
    /// not one of them.
    fn electorate(&self, seed: usize, roster: &Roster) -> Vec<usize> {
        let able = |host: &usize| {
            let machine = &self.hosts[*host];
            roster.is_voter(machine.id)
                && machine.running().is_some()
                && machine.slow_disk.0 <= self.now
                && machine.state.roster.as_ref() == Some(roster)
                && self.connected_since(seed, *host, self.now)
        };
        let voters: Vec<usize> = (0..self.hosts.len()).filter(able).collect();
        if voters.contains(&seed) { voters } else { Vec::new() }
    }

    /// Gives some hosts a roster in which the first `voters` hosts vote, without asking anybody: what
    /// no correct change of voters does.
    pub fn impose_voters(&mut self, on: &[usize], voters: usize) {
        let rosters = self.hosts.iter().filter_map(|h| h.state.roster.as_ref());
        let Some(mut roster) = rosters.max_by_key(|r| r.epoch).cloned() else { return };
        roster.epoch += 1;
        for (index, member) in roster.members.iter_mut().enumerate() {
            member.voter = index < voters;
        }
        for host in on {
            self.deliver(*host, Input::Roster { ticket: None, roster: roster.clone() });
        }
    }
}
