//! One attempt to have a roster decided, and the changes that wait for their turn.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::consensus::{Objection, Step};
use mesh_wire::mesh::roster::{Ballot, Roster};

use super::change::{Change, ChangeRefusal};
use crate::time::Instant;

/// Changes that may wait; more are refused.
pub(super) const MOST_JOBS: usize = 16;

/// How long a change may take: less than `meshctl` waits.
pub(super) const JOB_TIME: Duration = Duration::from_secs(4);

/// Who has not answered is asked again so often.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(100);

/// After an attempt that lost against another one: doubles up to 32 times.
const BACK_OFF: Duration = Duration::from_millis(15);

/// A change that is wanted.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// Who waits for the answer.
    pub(super) ticket: Option<u64>,
    pub(super) change: Change,
    pub(super) deadline: Instant,
}

/// What there is to do, and what is being done.
#[derive(Clone, Debug, Default)]
pub(super) struct Proposer {
    pub(super) jobs: VecDeque<Job>,
    pub(super) attempt: Option<Attempt>,
    /// The highest round seen anywhere.
    pub(super) round: u64,
    /// Attempts in a row that lost against others.
    failures: u32,
    pub(super) retry_at: Option<Instant>,
}

/// One ballot.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) ballot: Ballot,
    pub(super) phase: Phase,
    answers: BTreeMap<NodeId, Result<(), Objection>>,
    pub(super) ask_at: Instant,
}

/// How far it is.
#[derive(Clone, Debug)]
pub(super) enum Phase {
    /// Promises are collected; the roster accepted under the highest ballot among them.
    Prepare(Option<(Ballot, Roster)>),
    /// This roster is to be accepted.
    Accept(Roster),
}

impl Attempt {
    pub(super) fn new(now: Instant, ballot: Ballot) -> Attempt {
        Attempt { ballot, phase: Phase::Prepare(None), answers: BTreeMap::new(), ask_at: now + ASK_AGAIN }
    }

    /// What to send in this phase.
    pub(super) fn question(&self) -> Step {
        match &self.phase {
            Phase::Prepare(_) => Step::Prepare,
            Phase::Accept(roster) => Step::Accept { roster: roster.clone() },
        }
    }

    /// Goes on to have this roster accepted.
    pub(super) fn accept(&mut self, now: Instant, roster: Roster) {
        self.phase = Phase::Accept(roster);
        self.answers.clear();
        self.ask_at = now + ASK_AGAIN;
    }

    /// Takes in a voter's answer in this ballot; an answer of the other phase says nothing.
    pub(super) fn answer(&mut self, from: NodeId, step: Step) {
        let verdict = match (&mut self.phase, step) {
            (Phase::Prepare(best), Step::Promise { accepted }) => {
                if accepted.as_ref().map(|(b, _)| b) > best.as_ref().map(|(b, _)| b) {
                    *best = accepted;
                }
                Ok(())
            }
            (Phase::Accept(_), Step::Accepted) => Ok(()),
            (_, Step::Refused(objection)) => Err(objection),
            (Phase::Prepare(_) | Phase::Accept(_), _) => return,
        };
        // A yes was on disk: what is heard later and says otherwise is older.
        let answer = self.answers.entry(from).or_insert(verdict);
        if answer.is_err() {
            *answer = verdict;
        }
    }

    pub(super) fn agreed(&self, node: NodeId) -> bool {
        self.answers.get(&node).is_some_and(Result::is_ok)
    }

    /// Voters that said yes.
    pub(super) fn yes(&self, roster: &Roster) -> usize {
        roster.voters().filter(|m| self.agreed(m.id)).count()
    }

    /// Whether so many voters take part in a higher ballot that this one cannot be won any more.
    pub(super) fn outbid(&self, roster: &Roster) -> bool {
        let lost = |id| matches!(self.answers.get(&id), Some(Err(Objection::Promised(_))));
        let against = roster.voters().filter(|m| lost(m.id)).count();
        against + roster.quorum() > roster.voters().count()
    }

    /// Why a majority has not agreed.
    pub(super) fn refusal(&self, roster: &Roster) -> ChangeRefusal {
        let silent = roster.voters().filter(|m| !self.answers.contains_key(&m.id));
        let said_no = |m: &mesh_wire::mesh::roster::Member| {
            self.answers.get(&m.id).and_then(|a| a.err()).map(|o| (m.name.clone(), o))
        };
        ChangeRefusal::NoMajority {
            accepted: self.yes(roster),
            needed: roster.quorum(),
            silent: silent.map(|m| m.name.clone()).collect(),
            objections: roster.voters().filter_map(said_no).collect(),
        }
    }
}

impl Proposer {
    /// Leaves the field to somebody else's ballot for a moment that differs from node to node.
    pub(super) fn back_off(&mut self, now: Instant, me: NodeId) {
        self.attempt = None;
        let pause = BACK_OFF * (1 << self.failures.min(5));
        self.failures += 1;
        let chance = (me.0 ^ self.round).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 54;
        self.retry_at = Some(now + pause + pause * chance as u32 / 1024);
    }

    /// The roster has changed: whatever was tried is decided.
    pub(super) fn begin_anew(&mut self) {
        self.attempt = None;
        self.retry_at = None;
        self.failures = 0;
    }

    /// Ends the changes that took too long; the one being tried with what its voters said.
    pub(super) fn expire(&mut self, now: Instant, roster: &Roster) -> Vec<(u64, ChangeRefusal)> {
        let Some(first) = self.jobs.front() else { return Vec::new() };
        let attempt = self.attempt.take_if(|_| first.deadline <= now);
        let why = attempt.map_or(ChangeRefusal::Busy, |a| a.refusal(roster));
        let mut late = Vec::new();
        self.jobs.retain(|job| {
            if job.deadline <= now {
                late.extend(job.ticket.map(|ticket| (ticket, why.clone())));
            }
            job.deadline > now
        });
        late
    }

    /// When something has to be done at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let first = self.jobs.iter().map(|job| job.deadline).min();
        let next = self.attempt.as_ref().map(|a| a.ask_at).or(self.retry_at.filter(|_| first.is_some()));
        first.into_iter().chain(next).min()
    }
}
