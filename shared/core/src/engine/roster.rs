//! The roster as the engine uses it: consensus wired to inputs and actions, and what a new roster
//! changes.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_wire::mesh::lease::Message;
use mesh_wire::mesh::roster::{FIRST_VOTERS, Roster};
use mesh_wire::mesh::{NodeId, RouterKey};

use super::register::Register;
use super::{Engine, Setup};
use crate::action::Action;
use crate::decision::Decision;
use crate::input::Input;
use crate::roster::policy::{Census, Policy, Presence, REPLACE_AFTER};
use crate::roster::replica::{Effect, Event};
use crate::roster::{Change, ChangeRefusal, Moment, Replica, State};
use crate::time::Instant;

/// Between two proposals of the policy, where the first led to nothing.
const PROPOSE_AGAIN: std::time::Duration = std::time::Duration::from_secs(1);

/// What a voter accepted and nobody committed is finished after this, by any voter.
const FINISH_AFTER: std::time::Duration = std::time::Duration::from_secs(1);

/// Never.
const FOREVER: Instant = Instant::from_nanos(u64::MAX);

/// This node's part in deciding who votes.
#[derive(Debug)]
pub(super) struct Council {
    /// None without a mesh.
    replica: Option<Replica>,
    census: Census,
    /// Since the last census somebody else became a member.
    stale: bool,
    /// Members that came or went since then.
    stirred: BTreeSet<NodeId>,
    /// When to ask the policy again.
    policy_at: Option<Instant>,
    unfinished_since: Option<Instant>,
    /// The first epoch without this node.
    removed: Option<u64>,
    /// The failure of the disk told last, so that it is told once.
    store_told: Option<String>,
}

impl Council {
    /// `grants_until`: the latest end of what this node granted as a voter, or may have.
    pub(super) fn new(setup: &Setup, now: Instant, grants_until: Option<Instant>) -> Council {
        let state = |roster: &Roster| State { roster: roster.clone(), successor: setup.successor.clone() };
        Council {
            replica: setup.roster.as_ref().map(|r| Replica::new(setup.node, state(r), now, grants_until)),
            census: Census::default(),
            stale: true,
            stirred: BTreeSet::new(),
            policy_at: Some(now),
            unfinished_since: None,
            removed: None,
            store_told: None,
        }
    }

    /// A fact about a member: it has to be counted again.
    pub(super) fn note(&mut self, input: &Input) {
        if let Input::PeerUp { node, .. } | Input::PeerDown { node, .. } | Input::Heard { node, .. } = input {
            self.stirred.insert(*node);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let replica = self.replica.as_ref()?;
        let policy = self.policy_at.filter(|_| !replica.is_busy());
        replica.deadline().into_iter().chain(policy).min()
    }
}

impl Engine {
    /// Tells the replica, and brings about what it wants.
    pub(super) fn consult(&mut self, now: Instant, event: Event) {
        let moment = self.moment(now);
        let Some(replica) = &mut self.council.replica else { return };
        for effect in replica.handle(&moment, event) {
            match effect {
                Effect::Send(to, message) => {
                    if self.membership.is_connected(to) {
                        self.out.push(Action::SendMessage { to, message });
                    }
                }
                Effect::Store { ticket, state } => self.out.push(Action::StoreRoster { ticket, state }),
                Effect::Adopt(roster) => self.adopt_roster(now, roster),
                Effect::Answer { ticket, result } => self.out.push(Action::RosterChanged { ticket, result }),
            }
        }
    }

    /// Somebody wants the roster changed.
    pub(super) fn change_roster(&mut self, now: Instant, ticket: u64, change: Change) {
        if let Change::RemoveIdle(node) = change {
            let routers = self.served_by(now, node);
            if !routers.is_empty() {
                let result = Err(ChangeRefusal::Serves { name: self.name_of(node), routers });
                return self.out.push(Action::RosterChanged { ticket, result });
            }
        }
        self.consult(now, Event::Change { ticket: Some(ticket), change });
    }

    /// What a member serves that is there, as status shows it.
    fn served_by(&self, now: Instant, node: NodeId) -> Vec<String> {
        if node != self.setup.node && !self.membership.is_connected(node) {
            return Vec::new();
        }
        let serves = |key: &RouterKey| self.active(now, *key) == Some(node);
        let served: Vec<RouterKey> = self.known_routers().into_iter().filter(serves).collect();
        self.router_names(&served)
    }

    fn moment(&self, now: Instant) -> Moment {
        let connected = self.membership.peers().filter(|(_, p)| p.connected).map(|(id, _)| id);
        Moment {
            now,
            unix_s: self.unix_ms(now) / 1000,
            grants_until: self.voter.latest_expiry(now),
            connected: connected.chain([self.setup.node]).collect(),
        }
    }

    /// The roster's timers, and its policy where this node votes.
    pub(super) fn run_council(&mut self, now: Instant) {
        let Some(replica) = &self.council.replica else { return };
        if replica.deadline().is_some_and(|t| t <= now) {
            self.consult(now, Event::Timeout);
        }
        let news = self.count_members(now);
        let votes = self.is_voter();
        let Council { replica: Some(replica), census, policy_at, unfinished_since, .. } = &mut self.council else {
            return;
        };
        if news {
            // Only voters propose, and members are many.
            *policy_at = votes.then_some(now).or(*unfinished_since);
        }
        match (replica.has_unfinished(), *unfinished_since) {
            (true, None) => {
                *unfinished_since = Some(now);
                *policy_at = Some(policy_at.map_or(now + FINISH_AFTER, |t| t.min(now + FINISH_AFTER)));
            }
            (true, Some(_)) => {}
            (false, _) => *unfinished_since = None,
        }
        if policy_at.is_none_or(|t| t > now) || replica.is_busy() {
            return;
        }
        let replace_after = self.config.mesh.replace_after.unwrap_or(REPLACE_AFTER);
        let policy = Policy { me: self.setup.node, roster: replica.roster(), census, replace_after };
        let finish_at = unfinished_since.map(|t| t + FINISH_AFTER);
        let change = policy.change(now).or(finish_at.filter(|t| *t <= now).map(|_| Change::Finish));
        *policy_at = match change {
            Some(_) => Some(now + PROPOSE_AGAIN),
            None => policy.deadline(now).into_iter().chain(finish_at).min(),
        };
        if let Some(change) = change {
            self.consult(now, Event::Change { ticket: None, change });
        }
    }

    /// Takes the census of those that came or went, and says whether that is news.
    fn count_members(&mut self, now: Instant) -> bool {
        let stirred = std::mem::take(&mut self.council.stirred);
        if std::mem::take(&mut self.council.stale) {
            let members = self.roster.iter().flat_map(|r| &r.members);
            let members: Vec<(NodeId, Presence)> = members.map(|m| (m.id, self.presence(m.id))).collect();
            return self.council.census.note(now, &members);
        }
        let is_member = |id: &NodeId| self.roster.as_ref().is_some_and(|r| r.member(*id).is_some());
        let there: Vec<(NodeId, Presence)> =
            stirred.into_iter().filter(is_member).map(|id| (id, self.presence(id))).collect();
        there.into_iter().fold(false, |news, (id, presence)| self.council.census.note_one(now, id, presence) || news)
    }

    fn presence(&self, id: NodeId) -> Presence {
        match self.membership.peer(id) {
            _ if id == self.setup.node => Presence::Connected,
            Some(p) if p.connected => Presence::Connected,
            Some(p) if p.heard && !p.left => Presence::Heard,
            Some(_) | None => Presence::Gone,
        }
    }

    /// The roster could not be brought to the disk.
    pub(super) fn roster_not_stored(&mut self, now: Instant, error: &str) {
        if self.council.store_told.as_deref() != Some(error) {
            self.council.store_told = Some(error.to_owned());
            let text = format!("the roster cannot be written to disk, this node does not vote on rosters: {error}");
            self.record(Decision::Warning { text });
        }
        self.consult(now, Event::NotStored);
    }

    fn adopt_roster(&mut self, now: Instant, roster: Roster) {
        let few = self.voters().len() < FIRST_VOTERS;
        if roster.member(self.setup.node).is_none() && self.council.removed.is_none() {
            // Under the old roster, which says that there is a fence to be closed.
            self.council.removed = Some(roster.removed_at(self.setup.node).unwrap_or(roster.epoch));
            self.block_removed();
            self.evaluate_all(now);
        }
        let stays: BTreeSet<NodeId> = roster.members.iter().map(|m| m.id).collect();
        let before = self.other_members();
        let register = Register::new(Arc::new(roster.clone())).after(self.roster.as_ref());
        for gone in before.into_iter().filter(|id| !stays.contains(id)) {
            if self.membership.is_connected(gone) {
                self.out.push(Action::SendMessage { to: gone, message: Message::Roster(register.whole()) });
            }
            self.forget_marks_of(now, gone);
        }
        self.roster = Some(register);
        // Other votes count now.
        self.instances.touch_all();
        self.council.stale = true;
        self.note_surroundings(now);
        self.council.policy_at = Some(now);
        self.membership.retain(|id| stays.contains(&id));
        self.others.retain(|id| stays.contains(&id));
        self.out.push(Action::AdoptRoster(roster.clone()));
        let voters = roster.voters().map(|m| m.name.clone()).collect();
        self.record(Decision::Roster { epoch: roster.epoch, voters });
        for to in self.other_members() {
            self.send_roster(to);
        }
        if few && self.voters().len() >= FIRST_VOTERS {
            self.begin_grace(now);
        }
        self.ask_under_new_roster(now);
        self.claim_again(now);
    }

    /// Why this node serves nothing any more.
    pub(super) fn removed_because(&self) -> Option<String> {
        self.council.removed.map(|epoch| format!("this node was removed from the mesh by roster epoch {epoch}"))
    }

    /// Where this node was removed: a fault for good in every router.
    pub(super) fn block_removed(&mut self) {
        let Some(reason) = self.removed_because() else { return };
        for instance in self.instances.values_mut() {
            instance.blocked = Some((FOREVER, reason.clone()));
        }
    }

    /// Leases go on under the next roster; its voters are asked at once.
    fn ask_under_new_roster(&mut self, now: Instant) {
        for instance in self.instances.values_mut().filter(|i| i.vrrp.is_active()) {
            if let Some(ballot) = instance.lease.ballot_mut() {
                ballot.ask_at = now;
            }
        }
    }

    /// A committed roster. One comes with each new connection, and mostly it is the one that is known.
    pub(super) fn hear_roster(&mut self, now: Instant, roster: Arc<Roster>) {
        if self.roster.as_ref().is_some_and(|known| roster.epoch > known.epoch) {
            self.consult(now, Event::Committed(Arc::unwrap_or_clone(roster)));
        }
    }

    pub(super) fn send_roster(&mut self, to: NodeId) {
        if let Some(roster) = self.roster.as_ref().filter(|_| self.membership.is_connected(to)) {
            self.out.push(Action::SendMessage { to, message: Message::Roster(roster.whole()) });
        }
    }

    /// All members but this node.
    pub(super) fn other_members(&self) -> Vec<NodeId> {
        let members = self.roster.iter().flat_map(|r| &r.members).map(|m| m.id);
        members.filter(|id| *id != self.setup.node).collect()
    }
}
