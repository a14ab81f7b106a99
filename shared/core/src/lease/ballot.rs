//! One router's lease as its owner or a candidate sees it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::lease::Verdict;

use super::pace::Pace;
use super::{CLAIM_TIMEOUT, EPOCH_REACH, GUARD, worth};
use crate::time::Instant;

/// Where a lease stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lease {
    /// Not wanted, or refused.
    #[default]
    Idle,
    /// Voters were asked; not a majority has granted yet.
    Asking(Ballot),
    /// A majority granted.
    Held(Ballot),
}

/// Promises and refusals under one ballot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Ballot {
    /// The epoch of the next request; raised while held when a voter has seen a higher one.
    pub epoch: u64,
    /// The epoch this ballot began with: older promises were given back and count no more.
    first_epoch: u64,
    /// When it began: answers to older requests are not about it.
    began: Instant,
    /// Why the router is wanted.
    pub cause: String,
    promises: BTreeMap<NodeId, Promise>,
    refusals: BTreeMap<NodeId, Refusal>,
    /// When each voter's word last raised the epoch.
    raised: BTreeMap<NodeId, Instant>,
    /// When each voter last answered, whatever it said.
    heard: BTreeMap<NodeId, Instant>,
    /// How fast the voters answer.
    pace: Pace,
    /// When to ask the voters next.
    pub ask_at: Instant,
    /// When an unanswered claim has failed; renewals have no such time, the deadline ends them.
    pub give_up_at: Instant,
}

/// What a voter granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Promise {
    /// When the last request it granted was sent.
    sent: Instant,
    /// What it is worth, on our clock.
    until: Instant,
    /// Highest epoch it granted.
    epoch: u64,
}

/// A voter's refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// What it said.
    pub verdict: Verdict,
    /// When it may say otherwise.
    pub until: Option<Instant>,
}

/// What the votes so far come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// A majority granted; the fence may be open until then.
    Won(Instant),
    /// Not decided.
    Open,
    /// A majority cannot be reached any more.
    Lost,
}

impl Ballot {
    /// A new claim under `epoch`, asked for at once of voters that are near.
    pub fn new(now: Instant, epoch: u64, cause: String) -> Self {
        Ballot {
            epoch,
            first_epoch: epoch,
            began: now,
            cause,
            promises: BTreeMap::new(),
            refusals: BTreeMap::new(),
            raised: BTreeMap::new(),
            heard: BTreeMap::new(),
            pace: Pace::default(),
            ask_at: now,
            give_up_at: now + CLAIM_TIMEOUT,
        }
    }

    /// The same for voters that answer at this pace, and a lease of this duration.
    #[must_use]
    pub fn paced(self, pace: Pace, lease: Duration) -> Self {
        Ballot { pace, give_up_at: self.began + pace.claim_timeout(lease), ..self }
    }

    /// One that an earlier run of this daemon held, under the last of these epochs. It is renewed
    /// from `ask_at` on; what voters promised is known only by its end, which the fence has.
    pub fn resumed(now: Instant, epochs: RangeInclusive<u64>, ask_at: Instant, cause: String) -> Self {
        let ballot = Ballot::new(now, *epochs.end(), cause);
        Ballot { first_epoch: *epochs.start(), ask_at, ..ballot }
    }

    /// When it was made.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Notes that the claim was sent.
    pub fn asked(&mut self, now: Instant) {
        self.ask_at = now + self.pace.ask_again();
    }

    /// Notes that a renewal was sent; the next is due after `period`.
    pub fn renewed(&mut self, now: Instant, period: Duration) {
        self.ask_at = now + period;
    }

    /// A voter's answer to a request sent at `sent` for `duration`.
    pub fn vote(&mut self, now: Instant, voter: NodeId, sent: Instant, duration: Duration, verdict: Verdict) {
        if sent < self.began {
            return;
        }
        self.heard.insert(voter, now);
        match verdict {
            Verdict::Granted { epoch } => {
                if (self.first_epoch..=self.epoch).contains(&epoch) {
                    let until = sent + worth(duration);
                    let promise = self.promises.entry(voter).or_insert(Promise { sent, until, epoch });
                    promise.sent = promise.sent.max(sent);
                    promise.until = promise.until.max(until);
                    promise.epoch = promise.epoch.max(epoch);
                    self.refusals.remove(&voter);
                }
            }
            // Overtaken by the grant of a later request.
            Verdict::Held { .. } | Verdict::Stale { .. }
                if self.promises.get(&voter).is_some_and(|p| p.sent > sent) => {}
            Verdict::Held { remaining_ms, .. } | Verdict::Quarantine { remaining_ms } => {
                let until = now + Duration::from_millis(u64::from(remaining_ms));
                self.refusals.insert(voter, Refusal { verdict, until: Some(until) });
                // About to run out: the same ballot may still win.
                if until < self.give_up_at {
                    self.ask_at = self.ask_at.min(until + Duration::from_millis(1));
                }
            }
            Verdict::Stale { max_epoch } => {
                self.refusals.insert(voter, Refusal { verdict, until: Some(now) });
                // Others need time to answer under the new epoch: who is faster than they must not go on raising it.
                let pause = CLAIM_TIMEOUT.max(self.pace.ask_again());
                let may = self.raised.get(&voter).is_none_or(|last| now >= *last + pause);
                if let Some(next) = max_epoch.checked_add(1).filter(|next| *next > self.epoch && may) {
                    self.raised.insert(voter, now);
                    self.epoch = next;
                    self.ask_at = now;
                }
            }
            Verdict::WrongRoster => {
                self.refusals.insert(voter, Refusal { verdict, until: Some(now) });
                self.ask_at = self.ask_at.min(now + Duration::from_millis(5));
            }
        }
    }

    /// The end of what a majority of `voters` promised, less the guard: the quorum-th largest
    /// promise.
    pub fn deadline(&self, voters: &[NodeId]) -> Option<Instant> {
        self.majority(voters, |_| true)
    }

    fn majority(&self, voters: &[NodeId], counts: impl Fn(&Promise) -> bool) -> Option<Instant> {
        let quorum = voters.len() / 2 + 1;
        let promises = voters.iter().filter_map(|v| self.promises.get(v)).filter(|p| counts(p));
        let mut ends: Vec<Instant> = promises.map(|p| p.until).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        ends.get(quorum - 1).map(|t| *t - GUARD)
    }

    /// Counts. To win takes a majority under one and the same epoch, the present one: whoever wins
    /// later meets a voter that knows it, and takes a higher one.
    pub fn count(&self, now: Instant, voters: &[NodeId]) -> Count {
        if let Some(deadline) = self.won(voters).filter(|d| *d > now) {
            return Count::Won(deadline);
        }
        let quorum = voters.len() / 2 + 1;
        let lost = voters.iter().filter(|v| self.refuses_for_good(v)).count();
        if now >= self.give_up_at || lost + quorum > voters.len() { Count::Lost } else { Count::Open }
    }

    /// The same as [`Ballot::deadline`], of what was promised under the present epoch.
    pub fn won(&self, voters: &[NodeId]) -> Option<Instant> {
        self.majority(voters, |p| p.epoch == self.epoch)
    }

    fn refuses_for_good(&self, voter: &NodeId) -> bool {
        self.refusals.get(voter).is_some_and(|r| r.until.is_none_or(|until| until >= self.give_up_at))
    }

    /// Voters whose grant of another node still stands, with that node and its epoch.
    pub fn held_now(&self, now: Instant) -> impl Iterator<Item = (NodeId, NodeId, u64)> + '_ {
        let stands = move |voter: &NodeId| self.refusals[voter].until.is_some_and(|until| until > now);
        self.held_by_other().filter(move |(voter, ..)| stands(voter))
    }

    /// Voters whose grant of another node stands in the way.
    pub fn held_by_other(&self) -> impl Iterator<Item = (NodeId, NodeId, u64)> + '_ {
        self.refusals.iter().filter_map(|(voter, refusal)| match refusal.verdict {
            Verdict::Held { owner, epoch, .. } => Some((*voter, owner, epoch)),
            _ => None,
        })
    }

    /// Voters that answered at all.
    pub fn answered(&self) -> usize {
        self.heard.len()
    }

    /// When a majority of `voters` had last answered, whatever it said.
    pub fn quorum_heard(&self, voters: &[NodeId]) -> Option<Instant> {
        let mut heard: Vec<Instant> = voters.iter().filter_map(|v| self.heard.get(v)).copied().collect();
        heard.sort_unstable_by(|a, b| b.cmp(a));
        heard.get(voters.len() / 2).copied()
    }

    /// Whether no majority of `voters` has answered, and nobody who did knows, or may have forgotten,
    /// that another node holds the lease: silence, and no refusal.
    pub fn is_silence(&self, now: Instant, voters: &[NodeId]) -> bool {
        let refuses = |r: &Refusal| matches!(r.verdict, Verdict::Held { .. } | Verdict::Quarantine { .. });
        let stands = |r: &Refusal| refuses(r) && r.until.is_some_and(|until| until > now);
        self.quorum_heard(voters).is_none() && !voters.iter().filter_map(|v| self.refusals.get(v)).any(stands)
    }

    /// Whether this voter has answered.
    pub fn has_heard(&self, voter: &NodeId) -> bool {
        self.heard.contains_key(voter)
    }

    /// How many of `voters` promised this node what has not run out.
    pub fn promised(&self, now: Instant, voters: &[NodeId]) -> usize {
        voters.iter().filter_map(|v| self.promises.get(v)).filter(|p| p.until > now).count()
    }

    /// Asks at once, and gives up after `timeout` at the earliest.
    pub fn prolong(&mut self, now: Instant, timeout: Duration) {
        self.give_up_at = self.give_up_at.max(now + timeout);
        self.ask_at = now;
    }

    /// Goes on asking for as long as it takes: the router serves meanwhile.
    pub fn never_gives_up(&mut self, now: Instant) {
        self.give_up_at = Instant::MAX;
        self.ask_at = now;
    }

    /// Voters that granted.
    pub fn granted_by(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.promises.keys().copied()
    }

    /// Refusals that name another holder, and until when they stand.
    pub fn vetoes(&self) -> BTreeMap<NodeId, Instant> {
        let held = self.refusals.iter().filter(|(_, r)| matches!(r.verdict, Verdict::Held { .. }));
        held.filter_map(|(voter, r)| r.until.map(|until| (*voter, until))).collect()
    }

    /// When to try again after candidates got in each other's way: no refusal was for longer than
    /// `longest`, a first, short grant. Owners renew, and are not waited for.
    pub fn collision_ends(&self, longest: Duration) -> Option<Instant> {
        let short = |r: &Refusal| match r.verdict {
            Verdict::Held { remaining_ms, .. } => Duration::from_millis(u64::from(remaining_ms)) <= longest,
            _ => true,
        };
        self.vetoes().into_values().max().filter(|_| self.refusals.values().all(short))
    }

    /// Every epoch this ballot went through: a voter may hold a grant under any of them.
    pub fn epochs(&self) -> RangeInclusive<u64> {
        // A ballot raised more often than this has been held for long, and its early grants with it.
        let first = self.first_epoch.max(self.epoch.saturating_sub(3));
        first..=self.epoch
    }

    /// The highest epoch known to voters that do not grant this ballot's because it is beyond their reach.
    pub fn beyond(&self) -> Option<u64> {
        let short = |r: &Refusal| match r.verdict {
            Verdict::Stale { max_epoch } => Some(max_epoch).filter(|e| self.epoch > e.saturating_add(EPOCH_REACH)),
            _ => None,
        };
        self.refusals.values().filter_map(short).max()
    }

    /// When a voter in quarantine speaks again, the earliest.
    pub fn quarantine_ends(&self) -> Option<Instant> {
        let quarantined = self.refusals.values().filter(|r| matches!(r.verdict, Verdict::Quarantine { .. }));
        quarantined.filter_map(|r| r.until).min()
    }

    /// What to ask for while asking: a short lease; the whole one is asked for once held.
    pub fn first_duration(&self, lease: Duration) -> Duration {
        self.pace.first_lease(lease)
    }

    /// What remains of others' grants, at most, where only candidates are in the way.
    pub fn collision(&self, lease: Duration) -> Duration {
        self.pace.collision(lease)
    }
}

impl Lease {
    /// The ballot, while there is one.
    pub fn ballot(&self) -> Option<&Ballot> {
        match self {
            Lease::Idle => None,
            Lease::Asking(ballot) | Lease::Held(ballot) => Some(ballot),
        }
    }

    /// The same, to change.
    pub fn ballot_mut(&mut self) -> Option<&mut Ballot> {
        match self {
            Lease::Idle => None,
            Lease::Asking(ballot) | Lease::Held(ballot) => Some(ballot),
        }
    }

    /// Whether a majority granted.
    pub fn is_held(&self) -> bool {
        matches!(self, Lease::Held(_))
    }
}
