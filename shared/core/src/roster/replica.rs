//! One node's part in deciding rosters: acceptor, proposer and learner around what is on its disk.
//!
//! Nothing is promised before it is on disk: an answer waits until a [`Effect::Store`] that holds
//! what it says is confirmed. A committed roster is adopted at once; its acceptor speaks about the
//! next one only when disk has both.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::consensus::{Consensus, Objection, Step};
use mesh_wire::mesh::lease::Message;
use mesh_wire::mesh::roster::{Ballot, Roster};

use super::change::{Change, ChangeRefusal};
use super::proposer::{ASK_AGAIN, Attempt, JOB_TIME, Job, MOST_JOBS, Phase, Proposer};
use super::{Acceptor, Moment, State};
use crate::time::Instant;

/// Answers that may wait for the disk; the oldest are dropped, their askers ask again.
const MOST_WAITING: usize = 64;

/// After the disk failed, before it is tried again.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// A fact.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message of the consensus.
    Message {
        /// From whom.
        from: NodeId,
        /// What it says.
        message: Consensus,
    },
    /// A roster that a majority accepted.
    Committed(Roster),
    /// A change is wanted; answered by [`Effect::Answer`] where there is a ticket.
    Change {
        /// What the answer refers to.
        ticket: Option<u64>,
        /// What is wanted.
        change: Change,
    },
    /// The state of this ticket, or a later one, is on disk.
    Stored {
        /// The ticket.
        ticket: u64,
    },
    /// The disk failed.
    NotStored,
    /// Nothing but that time has passed.
    Timeout,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Send this.
    Send(NodeId, Message),
    /// Bring this to the disk; a later one takes the place of one that was not begun.
    Store {
        /// Confirmed by [`Event::Stored`].
        ticket: u64,
        /// All of it.
        state: State,
    },
    /// Count and serve by this roster from now on.
    Adopt(Roster),
    /// The end of a change.
    Answer {
        /// Its ticket.
        ticket: u64,
        /// The roster it is in.
        result: Result<Roster, ChangeRefusal>,
    },
}

/// The state of one node.
#[derive(Clone, Debug)]
pub struct Replica {
    me: NodeId,
    state: State,
    /// Since when no lease lives that was counted before the voters changed last.
    settled_at: Instant,
    /// Counts changes of `state`; the newest handed to the disk, and the newest on it.
    version: u64,
    requested: u64,
    durable: u64,
    store_retry: Option<Instant>,
    /// Answers, and the version that has to be on disk first.
    waiting: VecDeque<(u64, NodeId, Consensus)>,
    proposer: Proposer,
    out: Vec<Effect>,
}

impl Replica {
    /// With what is on disk. What this node granted before ends by `grants_until`, in whichever roster
    /// it was: that of the disk may be older than the one it granted under.
    pub fn new(me: NodeId, state: State, now: Instant, grants_until: Option<Instant>) -> Replica {
        Replica {
            me,
            settled_at: grants_until.unwrap_or(now),
            state,
            version: 0,
            requested: 0,
            durable: 0,
            store_retry: None,
            waiting: VecDeque::new(),
            proposer: Proposer::default(),
            out: Vec::new(),
        }
    }

    /// The roster committed last, as far as this node knows.
    pub fn roster(&self) -> &Roster {
        &self.state.roster
    }

    /// Whether a roster was accepted here of which it is not known that it was committed.
    pub fn has_unfinished(&self) -> bool {
        self.state.successor.accepted.is_some()
    }

    /// Whether a change is under way.
    pub fn is_busy(&self) -> bool {
        !self.proposer.jobs.is_empty()
    }

    /// When to send [`Event::Timeout`] at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let store = self.store_retry.filter(|_| self.version > self.requested);
        store.into_iter().chain(self.proposer.deadline()).min()
    }

    /// Takes in one fact.
    pub fn handle(&mut self, moment: &Moment, event: Event) -> Vec<Effect> {
        match event {
            Event::Message { from, message } => self.receive(moment, from, message),
            Event::Committed(roster) => self.learn(moment, roster),
            Event::Change { ticket, change } => self.want(moment, ticket, change),
            Event::Stored { ticket } => self.durable = self.durable.max(ticket),
            Event::NotStored => self.not_stored(moment.now),
            Event::Timeout => {}
        }
        self.run_timers(moment);
        self.flush(moment);
        std::mem::take(&mut self.out)
    }

    fn receive(&mut self, moment: &Moment, from: NodeId, message: Consensus) {
        let Consensus { epoch, ballot, step } = message;
        let asked = matches!(step, Step::Prepare | Step::Accept { .. });
        let current = self.state.roster.epoch;
        if epoch <= current {
            if asked {
                self.out.push(Effect::Send(from, Message::Roster(Arc::new(self.state.roster.clone()))));
            }
            return;
        }
        if epoch - current > 1 {
            if asked {
                let step = Step::Refused(Objection::Behind { epoch: current });
                self.out.push(Effect::Send(from, Message::Consensus(Consensus { epoch, ballot, step })));
            }
            return;
        }
        self.proposer.round = self.proposer.round.max(ballot.round);
        match step {
            Step::Prepare | Step::Accept { .. } => self.vote(moment.now, from, ballot, step),
            Step::Promise { .. } | Step::Accepted | Step::Refused(_) => self.count(moment, from, ballot, step),
        }
    }

    /// As a voter, and for its own ballots as anybody: no ballot is begun before it is on disk, so
    /// that it is not used again for something else after a restart.
    fn vote(&mut self, now: Instant, from: NodeId, ballot: Ballot, step: Step) {
        let before = self.state.successor.clone();
        let State { roster, successor } = &mut self.state;
        let answer = match step {
            _ if !roster.is_voter(self.me) && from != self.me => Step::Refused(Objection::NotAVoter),
            Step::Accept { roster: next } => match successor.accept(now, roster, self.settled_at, ballot, next) {
                Ok(()) => Step::Accepted,
                Err(objection) => Step::Refused(objection),
            },
            _ => match successor.prepare(ballot) {
                Ok(()) => Step::Promise { accepted: successor.accepted.clone() },
                Err(objection) => Step::Refused(objection),
            },
        };
        if self.state.successor != before {
            self.version += 1;
        }
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.pop_front();
        }
        let epoch = self.state.roster.epoch + 1;
        // A refusal binds nobody: it need not wait.
        let version = if matches!(answer, Step::Refused(_)) { 0 } else { self.version };
        self.waiting.push_back((version, from, Consensus { epoch, ballot, step: answer }));
    }

    /// As a proposer: takes in an answer.
    fn count(&mut self, moment: &Moment, from: NodeId, ballot: Ballot, step: Step) {
        match &step {
            Step::Refused(Objection::Promised(other)) => self.proposer.round = self.proposer.round.max(other.round),
            Step::Refused(Objection::Behind { .. }) => {
                self.out.push(Effect::Send(from, Message::Roster(Arc::new(self.state.roster.clone()))));
            }
            _ => {}
        }
        let Some(attempt) = self.proposer.attempt.as_mut().filter(|a| a.ballot == ballot) else { return };
        attempt.answer(from, step);
        let roster = &self.state.roster;
        if attempt.outbid(roster) {
            return self.proposer.back_off(moment.now, self.me);
        }
        if attempt.yes(roster) < roster.quorum() {
            return;
        }
        match attempt.phase.clone() {
            Phase::Prepare(found) if attempt.agreed(self.me) => self.prepared(moment, found),
            Phase::Prepare(_) => {}
            Phase::Accept(committed) => self.learn(moment, committed),
        }
    }

    /// A majority promised: what was found has to be finished before anything new.
    fn prepared(&mut self, moment: &Moment, found: Option<(Ballot, Roster)>) {
        let wanted = || self.proposer.jobs.front()?.change.apply(&self.state.roster, moment).ok()?;
        let value = found.map(|(_, roster)| roster).or_else(wanted);
        let Some(attempt) = &mut self.proposer.attempt else { return };
        match value {
            Some(roster) => {
                attempt.accept(moment.now, roster);
                self.ask(moment);
            }
            None => {
                // Nothing to finish, and what was wanted is there or cannot be any more.
                self.proposer.attempt = None;
                if let Some(Job { change: Change::Finish, .. }) = self.proposer.jobs.front() {
                    self.proposer.jobs.pop_front();
                }
                self.propose(moment);
            }
        }
    }

    /// Asks the voters that have not said yes.
    fn ask(&mut self, moment: &Moment) {
        let epoch = self.state.roster.epoch + 1;
        let Some(attempt) = &mut self.proposer.attempt else { return };
        attempt.ask_at = moment.now + ASK_AGAIN;
        let (ballot, step) = (attempt.ballot, attempt.question());
        let missing = |id: &NodeId| !attempt.agreed(*id);
        let others = self.state.roster.voters().map(|m| m.id).filter(|id| *id != self.me);
        for to in others.filter(missing) {
            let message = Consensus { epoch, ballot, step: step.clone() };
            self.out.push(Effect::Send(to, Message::Consensus(message)));
        }
        let own = step == Step::Prepare || self.state.roster.is_voter(self.me);
        if own && missing(&self.me) {
            self.vote(moment.now, self.me, ballot, step);
        }
    }

    fn want(&mut self, moment: &Moment, ticket: Option<u64>, change: Change) {
        if self.proposer.jobs.len() >= MOST_JOBS {
            self.out.extend(ticket.map(|ticket| Effect::Answer { ticket, result: Err(ChangeRefusal::Busy) }));
            return;
        }
        self.proposer.jobs.push_back(Job { ticket, change, deadline: moment.now + JOB_TIME });
        self.propose(moment);
    }

    /// Begins with the first change that is not there yet.
    fn propose(&mut self, moment: &Moment) {
        while let Some(job) = self.proposer.jobs.front() {
            if self.proposer.attempt.is_some() || self.proposer.retry_at.is_some_and(|t| t > moment.now) {
                return;
            }
            let member = self.state.roster.member(self.me).is_some();
            let next =
                if member { job.change.apply(&self.state.roster, moment) } else { Err(ChangeRefusal::NotAMember) };
            let unfinished = job.change == Change::Finish && self.has_unfinished();
            let result = match next {
                Ok(Some(_)) => return self.begin(moment),
                Ok(None) if unfinished => return self.begin(moment),
                Ok(None) => Ok(self.state.roster.clone()),
                Err(refusal) => Err(refusal),
            };
            if let Some(Job { ticket: Some(ticket), .. }) = self.proposer.jobs.pop_front() {
                self.out.push(Effect::Answer { ticket, result });
            }
        }
    }

    fn begin(&mut self, moment: &Moment) {
        let promised = self.state.successor.promised.map_or(0, |b| b.round);
        self.proposer.round = self.proposer.round.max(promised).saturating_add(1);
        let ballot = Ballot { round: self.proposer.round, proposer: self.me };
        self.proposer.retry_at = None;
        self.proposer.attempt = Some(Attempt::new(moment.now, ballot));
        self.ask(moment);
    }

    /// A committed roster.
    fn learn(&mut self, moment: &Moment, roster: Roster) {
        let known = &self.state.roster;
        if roster.cluster != known.cluster || roster.epoch <= known.epoch {
            return;
        }
        if known.voters_changed(&roster) > 0 {
            self.settled_at = self.settled_at.max(moment.grants_until.unwrap_or(moment.now));
        }
        self.state = State { roster: roster.clone(), successor: Acceptor::default() };
        self.version += 1;
        self.waiting.clear();
        self.proposer.begin_anew();
        self.out.push(Effect::Adopt(roster));
        self.propose(moment);
    }

    fn not_stored(&mut self, now: Instant) {
        self.requested = self.durable;
        self.store_retry = Some(now + STORE_RETRY);
        let waiting = std::mem::take(&mut self.waiting);
        for (_, to, message) in waiting {
            let step = Step::Refused(Objection::Storage);
            if to != self.me {
                self.out.push(Effect::Send(to, Message::Consensus(Consensus { step, ..message })));
            } else if let Some(attempt) = self.proposer.attempt.as_mut().filter(|a| a.ballot == message.ballot) {
                // Its own voter's answer, so that whoever waits is told of it.
                attempt.answer(to, step);
            }
        }
    }

    fn run_timers(&mut self, moment: &Moment) {
        for (ticket, refusal) in self.proposer.expire(moment.now, &self.state.roster) {
            self.out.push(Effect::Answer { ticket, result: Err(refusal) });
        }
        if self.proposer.attempt.as_ref().is_some_and(|a| a.ask_at <= moment.now) {
            self.ask(moment);
        }
        self.propose(moment);
    }

    /// Hands what changed to the disk, and says what is there. Our own answers may change more.
    fn flush(&mut self, moment: &Moment) {
        loop {
            if self.version > self.requested && self.store_retry.is_none_or(|t| t <= moment.now) {
                self.store_retry = None;
                self.requested = self.version;
                self.out.push(Effect::Store { ticket: self.version, state: self.state.clone() });
            }
            let Some(ready) = self.waiting.iter().position(|(version, ..)| *version <= self.durable) else { return };
            let Some((_, to, message)) = self.waiting.remove(ready) else { return };
            if to == self.me {
                self.count(moment, to, message.ballot, message.step);
            } else {
                self.out.push(Effect::Send(to, Message::Consensus(message)));
            }
        }
    }
}
