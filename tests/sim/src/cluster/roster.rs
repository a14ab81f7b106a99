//! How a running cluster changes: what a seed does with a new member, what an operator asks for, and
//! what hosts write down about it.

use std::time::Duration;

use mesh_core::Input;
use mesh_core::admission::Candidate;
use mesh_core::roster::{Change, ChangeRefusal, State};
use mesh_wire::mesh::roster::{Role, Roster};
use rand::RngExt;

use super::{Cluster, Event};
use crate::clock::{Time, ms};
use crate::host::Daemon;

/// A new member that got no answer asks again after so long.
const ASK_AGAIN: Duration = ms(3000);

/// Tokens are good for longer than any run.
const NEVER: u64 = 4_000_000_000;

/// Numbers of an operator's commands; below are those of hosts that want to join.
const COMMAND: u64 = 1000;

/// The newest roster anybody goes by.
#[derive(Clone, Debug, Default)]
pub(super) struct Newest {
    roster: Roster,
    since: Time,
}

impl Cluster {
    /// A host asks to become a member after a while, and again until it is one.
    pub fn join_after(&mut self, host: usize, after: Duration) {
        self.schedule(after, Event::Join { host });
    }

    /// Hosts that are no members yet.
    pub fn outsiders(&self) -> Vec<usize> {
        (0..self.hosts.len()).filter(|h| !self.hosts[*h].installed).collect()
    }

    /// It asks a voter, any that is running.
    pub(super) fn join(&mut self, host: usize) {
        if self.hosts[host].installed {
            return;
        }
        self.join_after(host, ASK_AGAIN);
        let running = |h: &usize| self.hosts[*h].running().is_some();
        let voters: Vec<usize> = self.voters().into_iter().filter(running).collect();
        let Some(seed) = voters.get(self.rng.random_range(0..voters.len().max(1))).copied() else { return };
        let member = self.layout.roster(host + 1).members[host].clone();
        let candidate = Candidate {
            id: member.id,
            name: member.name,
            address: member.address,
            role: member.role,
            token_nonce: host as u64,
            token_expires_unix: NEVER,
        };
        self.say(host, || format!("wants to join through lb{}", seed + 1));
        self.deliver(seed, Input::ChangeRoster { ticket: host as u64, change: Change::Admit(candidate) });
    }

    /// An operator's command to a daemon.
    pub fn command(&mut self, host: usize, change: Change) {
        self.say(host, || format!("is told by the operator: {change:?}"));
        self.deliver(host, Input::ChangeRoster { ticket: COMMAND, change });
    }

    /// The answer to who asked for a change.
    pub(super) fn roster_changed(&mut self, on: usize, ticket: u64, result: Result<Roster, ChangeRefusal>) {
        self.detail(on, || format!("change {ticket}: {result:?}"));
        let host = usize::try_from(ticket).unwrap_or(usize::MAX);
        let (Ok(roster), true) = (result, self.outsiders().contains(&host)) else { return };
        let joined = &mut self.hosts[host];
        joined.installed = true;
        joined.state = Some(State::from(roster));
        self.start_after(host, ms(20));
        // Its arrival may move addresses: what was calm begins anew.
        self.quiet_since = self.quiet_since.map(|_| self.now);
    }

    /// The daemon brings its state to the disk, one after another.
    pub(super) fn store_roster(&mut self, host: usize, ticket: u64, state: State) {
        let usual = Duration::from_micros(self.rng.random_range(200..20_000));
        let machine = &mut self.hosts[host];
        let (until, slow) = machine.slow_disk;
        let begins = machine.disk_busy_until.max(self.now);
        machine.disk_busy_until = begins + if until > self.now { slow } else { usual };
        let (run, after) = (machine.run, machine.disk_busy_until - self.now);
        self.schedule(after, Event::Written { host, run, ticket, state: Box::new(state) });
    }

    /// It is there.
    pub(super) fn written(&mut self, host: usize, ticket: u64, state: State) {
        self.hosts[host].state = Some(state);
        self.deliver(host, Input::RosterStored { ticket });
    }

    /// The daemon goes by another roster from now on.
    pub(super) fn adopt_roster(&mut self, host: usize, roster: Roster) {
        if roster.epoch > self.newest.roster.epoch {
            self.newest = Newest { roster: roster.clone(), since: self.now };
        }
        if let Some(daemon) = &mut self.hosts[host].daemon {
            daemon.roster = Some(roster);
            daemon.roster_since = self.now;
        }
    }

    /// Who votes according to the newest roster there is.
    pub fn voters(&self) -> Vec<usize> {
        self.newest.roster.voters().filter_map(|m| self.index_of(m.id)).collect()
    }

    /// Since when there is no newer one.
    pub fn voters_since(&self) -> Time {
        self.newest.since
    }

    /// Whether a host may serve according to the newest roster.
    pub fn is_director(&self, host: usize) -> bool {
        self.newest.roster.member(self.hosts[host].id).is_some_and(|m| m.role == Role::Director)
    }

    /// Whether a majority of the voters goes by the newest roster.
    pub fn is_agreed(&self) -> bool {
        self.voters().iter().filter(|h| self.is_up_to_date(**h, self.now)).count() >= self.newest.roster.quorum()
    }

    /// Whether a host has gone by the newest roster since then. A majority of its voters may not know
    /// yet that they are: those that decided on it may all be elsewhere.
    pub fn is_up_to_date(&self, host: usize, since: Time) -> bool {
        let newest = |d: &Daemon| d.roster.as_ref().is_some_and(|r| r.epoch == self.newest.roster.epoch);
        self.hosts[host].daemon.as_ref().is_some_and(|d| newest(d) && d.roster_since <= since)
    }

    /// The director that should own a router when all is well.
    pub fn worthiest(&self, router: usize) -> usize {
        let directors = (0..self.layout.directors).filter(|h| self.is_director(*h));
        directors.max_by_key(|host| self.layout.priority(*host, router)).unwrap_or(0)
    }

    /// Gives some hosts a roster in which these vote, without asking anybody: what no correct change of
    /// voters does.
    pub fn impose_voters(&mut self, on: &[usize], voters: &[usize]) {
        let mut roster = self.newest.roster.clone();
        roster.epoch += 1;
        for member in &mut roster.members {
            member.voter = voters.iter().any(|v| self.hosts[*v].id == member.id);
        }
        for host in on {
            self.deliver(*host, Input::Roster(roster.clone()));
        }
    }
}
