//! What the [watching judge](crate::judge::watch) saw, and what follows from it: pure, so that it can be proven on
//! made-up observations.
//!
//! An answer proves that its host served at *some* moment between the question and its arrival. So two hosts are said
//! to have served at once only where one answered between two answers of the other, all within `SPAN`: no order of
//! owners explains that. What is shorter than about two periods is not seen, and a machine that is too busy to answer
//! in time makes the judge blind, never wrong.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::time::Duration;

/// No host gives an address away, and has it back, in less.
const SPAN: Duration = Duration::from_millis(25);
/// Fewer unanswered rounds in a row are lost frames.
const OUTAGE_ROUNDS: usize = 3;
/// Between two answers of the same host, this many rounds without one end its service. A pause of the judge does not.
const STAY_ROUNDS: u32 = 4;

/// What a host answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// An echo request to its own hardware address: it serves.
    Echo,
    /// An ARP request: it says that it has the address.
    Arp,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sighting {
    /// Whose, as an index into the names.
    pub host: usize,
    /// To the question of this round.
    pub round: u32,
    /// When it was seen.
    pub at: Duration,
    /// To which question.
    pub kind: Seen,
}

/// A host's service, from its first to its last answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// Whose.
    pub host: usize,
    /// First answered question.
    pub from: Duration,
    /// Last answered question.
    pub to: Duration,
}

/// Two hosts that served at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    /// The host whose answer came between two of the other's.
    pub host: usize,
    /// The other.
    pub between: usize,
    /// When the answered question was sent.
    pub at: Duration,
}

/// Observations of several addresses by one judge.
#[derive(Debug, Clone)]
pub struct Sightings {
    /// Directors.
    pub names: Vec<String>,
    /// Virtual addresses.
    pub vips: Vec<Ipv4Addr>,
    period: Duration,
    rounds: Vec<Duration>,
    // For each address, in the order of arrival.
    seen: Vec<Vec<Sighting>>,
}

impl Sightings {
    /// Nothing seen yet.
    pub fn new(names: Vec<String>, period: Duration, vips: Vec<Ipv4Addr>) -> Sightings {
        let seen = vec![Vec::new(); vips.len()];
        Sightings { names, vips, period, rounds: Vec::new(), seen }
    }

    /// A round begins now; gives its number.
    pub fn begin_round(&mut self, now: Duration) -> u32 {
        self.rounds.push(now);
        self.rounds.len() as u32 - 1
    }

    /// An answer to a question of a round that began.
    pub fn note(&mut self, vip: usize, sighting: Sighting) {
        if (sighting.round as usize) < self.rounds.len() {
            self.seen[vip].push(sighting);
        }
    }

    /// From the first round to the last.
    pub fn observed(&self) -> Range<Duration> {
        let last = self.rounds.last().copied().unwrap_or_default();
        self.rounds.first().copied().unwrap_or_default()..last
    }

    /// Times between two rounds further apart than `limit`: what happened in them was not seen.
    pub fn blind(&self, limit: Duration) -> Vec<Range<Duration>> {
        self.rounds.windows(2).filter(|pair| pair[1] - pair[0] > limit).map(|pair| pair[0]..pair[1]).collect()
    }

    /// When two hosts are proven to have served this address at once.
    pub fn overlaps(&self, vip: usize) -> Vec<Overlap> {
        let mut found = Vec::new();
        let by_host = self.by_host(vip);
        for (host, answers) in by_host.iter().enumerate() {
            for (between, others) in by_host.iter().enumerate().filter(|(other, _)| *other != host) {
                let proven = answers.iter().filter(|answer| self.is_between(answer, others));
                found.extend(proven.map(|answer| Overlap { host, between, at: self.sent(answer) }));
            }
        }
        found.sort_by_key(|overlap| overlap.at);
        found
    }

    /// For how long two hosts or more served this address at once: a period for each round in which that is proven.
    pub fn dual(&self, vip: usize) -> Duration {
        let mut moments: Vec<_> = self.overlaps(vip).iter().map(|overlap| overlap.at).collect();
        moments.dedup();
        self.period * moments.len() as u32
    }

    /// When nobody served this address: from the first question without an answer to the next one with.
    pub fn outages(&self, vip: usize) -> Vec<Range<Duration>> {
        let mut answered = vec![false; self.rounds.len()];
        let echoes = self.seen[vip].iter().filter(|sighting| sighting.kind == Seen::Echo);
        echoes.for_each(|sighting| answered[sighting.round as usize] = true);
        let mut outages = Vec::new();
        let mut first = None;
        for round in 0..=answered.len() {
            if answered.get(round) == Some(&false) {
                first.get_or_insert(round);
                continue;
            }
            if let Some(first) = first.take().filter(|first| round - first >= OUTAGE_ROUNDS) {
                outages.push(self.rounds[first]..*self.rounds.get(round).unwrap_or(&self.rounds[round - 1]));
            }
        }
        outages
    }

    /// Who served this address when, in the order in which they began.
    pub fn stays(&self, vip: usize) -> Vec<Stay> {
        let mut stays: Vec<Stay> = Vec::new();
        for (host, answers) in self.by_host(vip).iter().enumerate() {
            for answers in answers.chunk_by(|a, b| b.round - a.round <= STAY_ROUNDS) {
                let (from, to) = (self.sent(&answers[0]), self.sent(&answers[answers.len() - 1]));
                stays.push(Stay { host, from, to });
            }
        }
        stays.sort_by_key(|stay| stay.from);
        stays
    }

    fn sent(&self, sighting: &Sighting) -> Duration {
        self.rounds[sighting.round as usize]
    }

    // In the order of the questions.
    fn by_host(&self, vip: usize) -> Vec<Vec<Sighting>> {
        let mut by_host = vec![Vec::new(); self.names.len()];
        self.seen[vip].iter().for_each(|sighting| by_host[sighting.host].push(*sighting));
        by_host.iter_mut().for_each(|answers| answers.sort_by_key(|answer| answer.round));
        by_host
    }

    // Whether `others`, sorted by round, have an answer that was seen before this question was sent, and one whose
    // question was sent after this answer was seen.
    fn is_between(&self, answer: &Sighting, others: &[Sighting]) -> bool {
        let sent = self.sent(answer);
        let earliest = sent.saturating_sub(SPAN);
        let begin = others.partition_point(|other| self.sent(other) < earliest);
        let near = || others[begin..].iter().take_while(|other| self.sent(other) <= sent + SPAN);
        let earlier = |other: &&Sighting| other.round < answer.round && other.at <= sent;
        let Some(before) = near().filter(earlier).map(|other| self.sent(other)).max() else {
            return false;
        };
        near().any(|other| other.round > answer.round && self.sent(other) >= answer.at && other.at - before <= SPAN)
    }
}

#[cfg(test)]
mod tests;
