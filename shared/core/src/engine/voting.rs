//! The engine as a voter: answers, ends of grants, and what has to be remembered of them.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_wire::mesh::lease::{Claim, Message, Parting, Release, Reply, Request, Vacant, Verdict};
use mesh_wire::mesh::{NodeId, RouterKey};

use super::Engine;
use crate::action::Action;
use crate::decision::Decision;
use crate::lease::memory::MEMORY_RETRY;
use crate::lease::pace::Pace;
use crate::time::Instant;

/// What ended in a step, at this voter or of this node's own.
#[derive(Debug, Default)]
pub(super) struct Ends {
    vacancies: Vec<Vacant>,
    releases: Vec<Release>,
    /// What of these was served, by the reason why it is given back.
    partings: BTreeMap<String, Vec<(RouterKey, u64)>>,
    /// Among the step's actions.
    place: usize,
}

/// Releases or vacancies in one message, at most: some 40 bytes each, and the codec's limit is 64 KiB.
const LONGEST_LIST: usize = 1000;

/// Whether this voter can remember what it grants.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// It cannot, and is silent until the next try.
    pub retry: Option<Instant>,
    /// That was told.
    told: bool,
}

impl Engine {
    /// As a voter: answers a request.
    pub(super) fn answer(&mut self, now: Instant, from: NodeId, request: &Request) -> Reply {
        let mine = self.roster.as_ref().map_or(0, |r| r.epoch);
        let same = |verdict| request.claims.iter().map(|c| (c.router, verdict)).collect();
        let verdicts = if request.roster_epoch != mine || !self.is_voter() {
            if request.roster_epoch < mine {
                self.send_roster(from);
            }
            same(Verdict::WrongRoster)
        } else if let Some(retry) = self.memory.retry {
            same(Verdict::Quarantine { remaining_ms: retry.since(now).as_millis() as u32 + 1 })
        } else {
            self.decide_all(now, from, request.seq, &request.claims)
        };
        Reply { seq: request.seq, clock_ns: now.as_nanos(), roster_epoch: mine, verdicts }
    }

    fn decide_all(&mut self, now: Instant, from: NodeId, seq: u64, claims: &[Claim]) -> Vec<(RouterKey, Verdict)> {
        let mut verdicts = Vec::with_capacity(claims.len());
        for claim in claims {
            if !self.voter.has_room(&claim.router) {
                let reason = "a request for more virtual routers than a voter has room for";
                self.count_drop(now, from.to_string(), reason);
            }
            let held = self.voter.holder(now, &claim.router);
            let verdict = self.voter.decide(now, from, seq, claim);
            self.note_vote(now, from, claim, held, verdict);
            verdicts.extend(verdict.map(|v| (claim.router, v)));
        }
        verdicts
    }

    pub(super) fn is_voter(&self) -> bool {
        self.roster.as_ref().is_some_and(|r| r.is_voter(self.setup.node))
    }

    /// As a voter: another node gives leases back.
    pub(super) fn receive_releases(&mut self, now: Instant, from: NodeId, releases: &[Release]) {
        for release in releases {
            if let Some(vacant) = self.voter.release(now, from, release) {
                self.tell_vacant(vacant);
                self.hear_vacant(now, self.setup.node, &vacant);
            }
        }
    }

    /// As a voter: grants that ran out. One of its own is no reason for this node to claim again: it
    /// has just lost the lease for want of a majority, or of time.
    pub(super) fn expire_grants(&mut self, now: Instant) {
        for vacant in self.voter.expire(now) {
            self.tell_vacant(vacant);
            if vacant.owner != self.setup.node {
                self.hear_vacant(now, self.setup.node, &vacant);
            }
        }
    }

    /// Has the others know why a lease is about to be released.
    pub(super) fn explain_release(&mut self, router: RouterKey, epoch: u64, cause: &str) {
        self.ends.partings.entry(cause.to_owned()).or_default().push((router, epoch));
    }

    fn tell_vacant(&mut self, vacant: Vacant) {
        self.ends.vacancies.push(vacant);
        self.ends.place = self.out.len();
    }

    /// Gives back what voters granted to this node, whose fence is closed by what this step did so
    /// far.
    pub(super) fn give_back(&mut self, now: Instant, releases: Vec<Release>) {
        if self.is_voter() {
            // Ended by ourselves: others are told, it is no reason for us to claim again.
            for vacant in
                releases.iter().filter_map(|r| self.voter.release(now, self.setup.node, r)).collect::<Vec<_>>()
            {
                self.tell_vacant(vacant);
            }
        }
        self.ends.releases.extend(releases);
        self.ends.place = self.out.len();
    }

    /// Tells what this step gave back, and what ended at this voter, in one message to each: in the
    /// place of the last of them, after whatever closes a fence.
    pub(super) fn flush_ends(&mut self) {
        let ends = std::mem::take(&mut self.ends);
        if ends.vacancies.is_empty() && ends.releases.is_empty() {
            return;
        }
        let others = |nodes: Vec<NodeId>| nodes.into_iter().filter(|n| *n != self.setup.node).collect::<Vec<_>>();
        let members: Vec<NodeId> =
            self.other_members().into_iter().filter(|m| self.membership.is_connected(*m)).collect();
        let partings = ends.partings.iter().flat_map(|(cause, leases)| {
            leases.chunks(LONGEST_LIST).map(|part| Message::Parting(Parting::new(cause, part.to_vec())))
        });
        let vacancies = ends.vacancies.chunks(LONGEST_LIST).map(|part| Message::Vacant(part.to_vec()));
        let releases = ends.releases.chunks(LONGEST_LIST).map(|part| Message::Release(part.to_vec()));
        // The reason is there before the news, whichever of the two messages below brings it.
        let messages = to_each(members.clone(), partings)
            .chain(to_each(members, vacancies))
            .chain(to_each(others(self.voters()), releases));
        let messages: Vec<Action> = messages.collect();
        self.out.splice(ends.place..ends.place, messages);
    }

    /// Has this step's grants and releases remembered before anything that relies on them: a reply, a
    /// fence opened by our own vote, a request under an epoch that is used once.
    pub(super) fn remember(&mut self) {
        let Some(changes) = self.voter.take_changes() else { return };
        let relies = |a: &Action| {
            let message = matches!(a, Action::SendMessage { message: Message::Reply(_) | Message::Request(_), .. });
            message || matches!(a, Action::FenceArm { .. })
        };
        let at = self.out.iter().position(relies).unwrap_or(self.out.len());
        self.out.insert(at, Action::Remember(changes));
    }

    /// What this voter granted is not remembered, and what is remembered would be believed: it grants
    /// nothing until it can remember, to itself neither, and lets go of what its own vote carries.
    pub(super) fn memory_failed(&mut self, now: Instant, error: &str) {
        self.voter.changes_lost();
        self.memory.retry = Some(now + MEMORY_RETRY);
        if !std::mem::replace(&mut self.memory.told, true) {
            let text = format!("this voter is silent, for it cannot remember what it grants: {error}");
            self.record(Decision::Warning { text });
        }
        for key in self.keys() {
            let ballot = self.instances[&key].lease.ballot();
            if ballot.is_some_and(|b| b.granted_by().any(|v| v == self.setup.node)) {
                self.retire(now, key, "this node's own vote cannot be remembered", true, None);
            }
        }
    }

    /// Tries whether memory works again: all of it is written, and a failure is reported before
    /// anything else happens.
    pub(super) fn retry_memory(&mut self, now: Instant) {
        if self.memory.retry.is_some_and(|t| t <= now) {
            self.memory.retry = None;
            self.voter.remember_all();
        }
    }

    /// What hardly any answer of a voter exceeds: as measured of late, else twice the round trip of
    /// its connection.
    pub(super) fn pace(&self, now: Instant) -> Pace {
        let slow = |voter: &NodeId| {
            let peer = self.membership.peer(*voter)?;
            peer.replies.slow(now).or_else(|| peer.connected.then_some(peer.rtt * 2))
        };
        let voters = self.voters();
        let others = voters.iter().filter(|v| **v != self.setup.node);
        Pace::new(others.filter_map(slow).max().unwrap_or(Duration::ZERO))
    }
}

fn to_each(nodes: Vec<NodeId>, messages: impl Iterator<Item = Message>) -> impl Iterator<Item = Action> {
    messages.flat_map(move |message| {
        let send = move |to| Action::SendMessage { to, message: message.clone() };
        nodes.clone().into_iter().map(send)
    })
}
