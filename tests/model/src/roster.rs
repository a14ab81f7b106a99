//! The rule by which the set of voters changes, and why leases survive it.
//!
//! Which roster follows which is given: that voters agree on one for each epoch is the consensus'
//! own matter. It is committed once a majority of the voters before it accepts it, and whoever may
//! accept does; when anybody learns of it is open. Candidates count votes by the roster they know,
//! voters answer only those that know the same. All clocks are alike, a grant begins when it is
//! asked for, and the candidate hears of it: drift and delay, which are what
//! [`lease`](crate::lease) is about, and lost answers only keep fences closed.
//!
//! Claim: the fence of an owner that counts by roster c is closed before anybody counts by c + 2.

use std::fmt;

use clap::ValueEnum;
use stateright::{Model, Property};

use crate::search::{Readable, Search};

/// Nodes that may ever vote.
const NODES: usize = 5;

/// Nodes that may serve. Whether they vote makes no difference here.
const CANDIDATES: usize = 2;

/// One search.
#[derive(Clone, Copy, Debug)]
pub struct RosterModel {
    /// The voters of each roster, the node with number n as the bit n - 1.
    pub rosters: &'static [Set],
    /// Ticks a lease lives; a voter that forgot what it granted is silent for as long.
    pub lease: u8,
    /// Voters that lose their memory.
    pub restarts: u8,
    /// The planted bug.
    pub mutant: Option<Mutant>,
}

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mutant {
    /// A voter accepts the next change while leases it granted before the last one live.
    NoWait,
    /// One voter goes and another comes in one step.
    Swap,
    /// A voter that lost its memory accepts a change at once, whatever it may have granted.
    RestartForgets,
    /// Everybody changes over when a voter has accepted a roster, instead of a majority.
    OneIsEnough,
}

/// Voters, as bits.
pub type Set = u8;

/// The whole mesh. Times are ticks that remain.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mesh {
    /// The epoch of the roster committed last; the first is 0.
    newest: u8,
    voters: [Voter; NODES],
    candidates: [Candidate; CANDIDATES],
    restarts: u8,
}

/// One node as a voter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Voter {
    /// The roster it knows.
    epoch: u8,
    /// It has accepted the next.
    accepted: bool,
    /// Whom it granted the lease, and for how much longer.
    grant: Option<(u8, u8)>,
    /// It accepts no other voters before.
    unsettled: u8,
    /// It grants nothing before.
    silent: u8,
}

/// One candidate or owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Candidate {
    /// The roster it counts by.
    epoch: u8,
    /// What each voter promised.
    promises: [u8; NODES],
    /// The fence is open for so long.
    fence: u8,
    /// The roster by which that was counted.
    counted_by: u8,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The next roster is committed.
    Commit,
    /// A voter learns the roster committed last.
    VoterLearns(usize),
    /// A candidate does.
    CandidateLearns(usize),
    /// A voter grants a candidate what it asks for.
    Grant(usize, usize),
    /// A voter loses its memory.
    Restart(usize),
    /// Time passes.
    Tick,
}

impl Model for RosterModel {
    type State = Mesh;
    type Action = Event;

    fn init_states(&self) -> Vec<Mesh> {
        let voter = Voter { accepted: true, ..Voter::default() };
        let candidates = [Candidate::default(); CANDIDATES];
        vec![Mesh { newest: 0, voters: [voter; NODES], candidates, restarts: self.restarts }]
    }

    fn actions(&self, mesh: &Mesh, events: &mut Vec<Event>) {
        events.push(Event::Tick);
        if usize::from(mesh.newest) + 1 < self.rosters.len() && self.is_accepted(mesh) {
            events.push(Event::Commit);
        }
        for (node, voter) in mesh.voters.iter().enumerate() {
            if voter.epoch < mesh.newest {
                events.push(Event::VoterLearns(node));
            }
            if mesh.restarts > 0 && has(self.voters_of(voter.epoch), node) {
                events.push(Event::Restart(node));
            }
        }
        for (name, candidate) in mesh.candidates.iter().enumerate() {
            if candidate.epoch < mesh.newest {
                events.push(Event::CandidateLearns(name));
            }
            for (node, voter) in mesh.voters.iter().enumerate() {
                let other = voter.grant.is_some_and(|(owner, _)| usize::from(owner) != name);
                let votes = has(self.voters_of(voter.epoch), node);
                if voter.epoch == candidate.epoch && votes && voter.silent == 0 && !other {
                    events.push(Event::Grant(node, name));
                }
            }
        }
    }

    fn next_state(&self, mesh: &Mesh, event: Event) -> Option<Mesh> {
        let mut next = mesh.clone();
        match event {
            Event::Commit => next.newest += 1,
            Event::VoterLearns(node) => {
                let voter = &mut next.voters[node];
                let changed = self.voters_of(voter.epoch) != self.voters_of(mesh.newest);
                if changed && self.mutant != Some(Mutant::NoWait) {
                    voter.unsettled = voter.unsettled.max(voter.grant.map_or(0, |(_, left)| left));
                }
                voter.epoch = mesh.newest;
                voter.accepted = voter.unsettled == 0;
            }
            Event::CandidateLearns(name) => {
                next.candidates[name].epoch = mesh.newest;
                self.count(&mut next.candidates[name]);
            }
            Event::Grant(node, name) => {
                next.voters[node].grant = Some((name as u8, self.lease));
                next.candidates[name].promises[node] = self.lease;
                self.count(&mut next.candidates[name]);
            }
            Event::Restart(node) => {
                next.restarts -= 1;
                let voter = &mut next.voters[node];
                let unsettled = if self.mutant == Some(Mutant::RestartForgets) { 0 } else { self.lease };
                let accepted = voter.accepted || unsettled == 0;
                *voter = Voter { grant: None, accepted, unsettled, silent: self.lease, ..*voter };
            }
            Event::Tick => next.tick(),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one open fence", |_, mesh: &Mesh| mesh.serving() <= 1),
            Property::sometimes("all changes are made", |model: &RosterModel, mesh: &Mesh| {
                usize::from(mesh.newest) + 1 == model.rosters.len()
            }),
            Property::sometimes("a lease lives on across a change", |_, mesh: &Mesh| {
                mesh.candidates.iter().any(|c| c.fence > 0 && c.counted_by < mesh.newest)
            }),
            Property::sometimes("a lease is counted by the newest voters", |model: &RosterModel, mesh: &Mesh| {
                mesh.candidates.iter().any(|c| c.fence > 0 && usize::from(c.counted_by) + 1 == model.rosters.len())
            }),
        ]
    }
}

impl RosterModel {
    /// With a planted bug, and as much as that takes.
    pub fn with(mutant: Mutant) -> Self {
        let model = RosterModel { rosters: &GROW_AND_SHRINK, lease: 2, restarts: 0, mutant: Some(mutant) };
        match mutant {
            Mutant::NoWait | Mutant::OneIsEnough => model,
            Mutant::Swap => RosterModel { rosters: &[0b0111, 0b1011], ..model },
            Mutant::RestartForgets => RosterModel { restarts: 1, ..model },
        }
    }

    fn voters_of(&self, epoch: u8) -> Set {
        self.rosters[usize::from(epoch)]
    }

    /// Whether enough of the newest roster's voters accept its successor.
    fn is_accepted(&self, mesh: &Mesh) -> bool {
        let set = self.voters_of(mesh.newest);
        let accepts = |(node, voter): &(usize, &Voter)| has(set, *node) && voter.epoch == mesh.newest && voter.accepted;
        let accepted = mesh.voters.iter().enumerate().filter(accepts).count();
        accepted >= if self.mutant == Some(Mutant::OneIsEnough) { 1 } else { quorum(set) }
    }

    /// Opens the fence for as long as a majority promised; never for less than before.
    fn count(&self, candidate: &mut Candidate) {
        let set = self.voters_of(candidate.epoch);
        let mut promises: Vec<u8> = (0..NODES).filter(|n| has(set, *n)).map(|n| candidate.promises[n]).collect();
        promises.sort_unstable_by(|a, b| b.cmp(a));
        let deadline = promises[quorum(set) - 1];
        if deadline > candidate.fence {
            candidate.fence = deadline;
            candidate.counted_by = candidate.epoch;
        }
    }
}

impl Mesh {
    fn serving(&self) -> usize {
        self.candidates.iter().filter(|c| c.fence > 0).count()
    }

    fn tick(&mut self) {
        for voter in &mut self.voters {
            voter.grant = voter.grant.filter(|(_, left)| *left > 1).map(|(owner, left)| (owner, left - 1));
            voter.unsettled = voter.unsettled.saturating_sub(1);
            voter.accepted |= voter.unsettled == 0;
            voter.silent = voter.silent.saturating_sub(1);
        }
        for candidate in &mut self.candidates {
            candidate.promises.iter_mut().for_each(|left| *left = left.saturating_sub(1));
            candidate.fence = candidate.fence.saturating_sub(1);
            if candidate.fence == 0 {
                candidate.counted_by = 0;
            }
        }
    }
}

fn has(set: Set, node: usize) -> bool {
    set >> node & 1 == 1
}

fn quorum(set: Set) -> usize {
    set.count_ones() as usize / 2 + 1
}

/// A fourth voter, then the third goes: majorities of the first and of the last need not meet.
const GROW_AND_SHRINK: [Set; 3] = [0b0111, 0b1111, 0b1011];

/// The third goes, then there is a fourth.
const SHRINK_AND_GROW: [Set; 3] = [0b0111, 0b0011, 0b1011];

/// What is searched before every merge.
pub fn small() -> Vec<Search<RosterModel>> {
    vec![
        search("one comes, one goes", 1_000_000, &GROW_AND_SHRINK, 2, 0),
        search("one goes, one comes", 150_000, &SHRINK_AND_GROW, 2, 0),
        search("one comes, one goes, one forgets", 700_000, &GROW_AND_SHRINK, 1, 1),
        search("one comes and goes again", 700_000, &[0b0111, 0b1111, 0b0111, 0b0011], 1, 0),
    ]
}

/// More of it: many minutes, and some gigabytes.
pub fn large() -> Vec<Search<RosterModel>> {
    vec![
        search("one comes, one goes, one forgets", 9_000_000, &GROW_AND_SHRINK, 2, 1),
        search("one goes, one comes, one forgets", 4_500_000, &SHRINK_AND_GROW, 2, 2),
        search("two come", 1_200_000, &[0b00111, 0b01111, 0b11111], 1, 1),
        search("two are replaced", 2_500_000, &[0b00111, 0b01111, 0b01110, 0b11110, 0b11100], 1, 0),
    ]
}

fn search(
    name: &'static str,
    at_least: usize,
    rosters: &'static [Set],
    lease: u8,
    restarts: u8,
) -> Search<RosterModel> {
    Search { name, at_least, model: RosterModel { rosters, lease, restarts, mutant: None } }
}

impl Readable for RosterModel {
    fn describe(&self, mesh: &Mesh) -> String {
        let serving = mesh.candidates.iter().enumerate().filter(|(_, c)| c.fence > 0);
        let words = serving.map(|(name, c)| format!("{} serves, {} left", letter(name), c.fence));
        words.collect::<Vec<_>>().join("; ")
    }
}

fn letter(candidate: usize) -> char {
    if candidate == 0 { 'A' } else { 'B' }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Commit => f.write_str("the next roster is committed"),
            Event::VoterLearns(node) => write!(f, "voter {} learns the newest roster", node + 1),
            Event::CandidateLearns(name) => write!(f, "{} learns the newest roster", letter(*name)),
            Event::Grant(node, name) => write!(f, "voter {} grants {}", node + 1, letter(*name)),
            Event::Restart(node) => write!(f, "voter {} starts anew and remembers nothing", node + 1),
            Event::Tick => f.write_str("time passes"),
        }
    }
}
