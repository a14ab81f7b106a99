//! What the judge saw, and the arithmetic on it: pure, so that it can be proven on made-up observations.
//!
//! | figure | says | error |
//! |---|---|---|
//! | [`Report::dual`] | how long two directors answered at once | one period per change of owner |
//! | [`Report::gap`] | longest time in which no director answered | one period |
//! | [`Report::client_gap`] | longest time in which the client's pings were not answered | one period |
//! | [`Report::late`] | longest time between two rounds: what the judge can not have seen | none |

use std::fmt;
use std::time::Duration;

/// A director that missed this many rounds or fewer between two answers served all the time: a lost frame must not hide
/// that two served at once.
const BRIDGED: usize = 2;

/// One round of questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Round {
    /// When the questions were sent.
    pub at: Duration,
    /// Directors that answered the echo request sent to their own hardware address, as bits.
    pub icmp: u32,
    /// Directors that answered the ARP request for the VIP, as bits.
    pub arp: u32,
}

/// The client's pings: when each was sent, and whether it was answered in time.
pub type Pings = Vec<(Duration, bool)>;

/// A time during which one director served the VIP, from the first to the last question it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// First answered question.
    pub from: Duration,
    /// Last answered question.
    pub to: Duration,
}

/// What the judge saw.
#[derive(Debug, Clone)]
pub struct Report {
    names: Vec<String>,
    period: Duration,
    rounds: Vec<Round>,
    client: Pings,
}

impl Report {
    /// From observations in order of time; `names` are the directors behind the bits.
    pub fn new(names: Vec<String>, period: Duration, rounds: Vec<Round>, client: Pings) -> Report {
        Report { names, period, rounds, client }
    }

    /// The same, of what was sent from `from` until before `to`.
    pub fn window(&self, from: Duration, to: Duration) -> Report {
        let within = |at: Duration| from <= at && at < to;
        Report {
            rounds: self.rounds.iter().copied().filter(|round| within(round.at)).collect(),
            client: self.client.iter().copied().filter(|(at, _)| within(*at)).collect(),
            ..self.clone()
        }
    }

    /// When the first round was asked.
    pub fn begins(&self) -> Duration {
        self.rounds.first().map_or(Duration::ZERO, |round| round.at)
    }

    /// How long two directors or more answered, by ARP or by echo, whichever.
    pub fn dual(&self) -> Duration {
        let serving = self.serving();
        let rounds = (0..self.rounds.len()).filter(|i| serving[*i].count_ones() > 1);
        rounds.map(|i| self.lasts(i)).sum()
    }

    /// Longest time in which no director answered an echo request: from the first question without an answer to the
    /// next one with. The judge's own pauses are not counted: nothing was asked in them.
    pub fn gap(&self) -> Duration {
        let answered: Vec<_> = self.rounds.iter().map(|round| (round.at, round.icmp != 0)).collect();
        longest_gap(&answered, self.period)
    }

    /// The same, of the client's pings.
    pub fn client_gap(&self) -> Duration {
        longest_gap(&self.client, self.period)
    }

    /// Longest time between two rounds.
    pub fn late(&self) -> Duration {
        self.rounds.windows(2).map(|pair| pair[1].at - pair[0].at).max().unwrap_or_default()
    }

    /// Share of rounds, from 0 to 1, that came more than `limit` after the one before.
    pub fn share_later_than(&self, limit: Duration) -> f64 {
        let late = self.rounds.windows(2).filter(|pair| pair[1].at - pair[0].at > limit).count();
        late as f64 / self.rounds.len().max(1) as f64
    }

    /// When this director served the VIP.
    pub fn served(&self, name: &str) -> Vec<Interval> {
        let Some(index) = self.names.iter().position(|known| known == name) else { return Vec::new() };
        let mut intervals: Vec<Interval> = Vec::new();
        let mut before = false;
        for (round, serving) in self.rounds.iter().zip(self.serving()) {
            let serves = serving & (1 << index) != 0;
            match intervals.last_mut() {
                Some(last) if serves && before => last.to = round.at,
                _ if serves => intervals.push(Interval { from: round.at, to: round.at }),
                _ => {}
            }
            before = serves;
        }
        intervals
    }

    /// Directors in the order in which they began to serve.
    pub fn owners(&self) -> Vec<&str> {
        let mut starts: Vec<_> = self
            .names
            .iter()
            .flat_map(|name| self.served(name).into_iter().map(move |interval| (interval.from, name.as_str())))
            .collect();
        starts.sort();
        starts.into_iter().map(|(_, name)| name).collect()
    }

    // Who serves in each round, short holes between two answers of the same director filled.
    fn serving(&self) -> Vec<u32> {
        let mut serving: Vec<u32> = self.rounds.iter().map(|round| round.icmp | round.arp).collect();
        for host in 0..self.names.len() {
            let mut last = None;
            for i in 0..serving.len() {
                if serving[i] & (1 << host) == 0 {
                    continue;
                }
                if let Some(last) = last.filter(|last| i - last <= BRIDGED + 1) {
                    serving[last..i].iter_mut().for_each(|round| *round |= 1 << host);
                }
                last = Some(i);
            }
        }
        serving
    }

    // How long a round stands for: until the next one, unless that was late.
    fn lasts(&self, i: usize) -> Duration {
        let next = self.rounds.get(i + 1).map_or(self.period, |next| next.at - self.rounds[i].at);
        next.min(2 * self.period)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "without the VIP {} ms, the client {} ms, two at once {} ms; owners {}; {} rounds, at most {} ms apart",
            self.gap().as_millis(),
            self.client_gap().as_millis(),
            self.dual().as_millis(),
            if self.owners().is_empty() { "none".into() } else { self.owners().join(", ") },
            self.rounds.len(),
            self.late().as_millis()
        )
    }
}

fn longest_gap(asked: &[(Duration, bool)], period: Duration) -> Duration {
    let mut longest = Duration::ZERO;
    let mut first: Option<Duration> = None;
    for (i, (at, answered)) in asked.iter().enumerate() {
        if *answered {
            first = None;
            continue;
        }
        let begin = *first.get_or_insert(*at);
        let step = asked.get(i + 1).map_or(period, |(next, _)| *next - *at);
        longest = longest.max(*at - begin + step.min(2 * period));
    }
    longest
}

#[cfg(test)]
mod tests;
