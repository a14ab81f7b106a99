//! What was measured, and its table.

use std::fmt;
use std::time::Duration;

use super::Fleet;

/// The lower half, nearly all, and the worst of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spread {
    /// Half are at most this.
    pub p50: Duration,
    /// 99 of 100 are.
    pub p99: Duration,
    /// All are.
    pub max: Duration,
    /// How many there are.
    pub count: usize,
}

impl Spread {
    /// Of these.
    pub fn of(mut values: Vec<Duration>) -> Spread {
        values.sort_unstable();
        let at = |percent: usize| values.get((values.len() * percent / 100).min(values.len().saturating_sub(1)));
        let at = |percent| at(percent).copied().unwrap_or_default();
        Spread { p50: at(50), p99: at(99), max: at(100), count: values.len() }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let us = |d: Duration| d.as_nanos() as f64 / 1e3;
        let (p50, p99, max) = (us(self.p50), us(self.p99), us(self.max));
        write!(f, "p50 {p50:.1} us, p99 {p99:.1} us, max {max:.1} us of {}", self.count)
    }
}

/// While nothing happened.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// Real time of the engines' steps.
    pub steps: Spread,
    /// Bytes of messages a second that the busiest voter sends.
    pub voters: f64,
    /// The same of all nodes on average.
    pub messages: f64,
    /// Bytes of gossip a second that a node sends.
    pub gossip: f64,
}

/// How one fleet did.
#[derive(Clone, Copy, Debug)]
pub struct Figures {
    /// Which.
    pub fleet: Fleet,
    /// Routers that were served after the start.
    pub served: usize,
    /// While nothing happened.
    pub watched: Watched,
    /// Bytes of memory for each engine.
    pub memory: u64,
    /// Routers of the director that died.
    pub lost: usize,
    /// From its death until no node was connected with it any more.
    pub suspected: Option<Duration>,
    /// Until each node knew that nobody hears it.
    pub known: Option<Duration>,
    /// Until each node knew that others serve its routers.
    pub served_again: Option<Duration>,
    /// How long news took to everybody.
    pub news: Spread,
    /// What one status takes.
    pub status: Spread,
    /// Bytes of the roster, which goes over every new connection.
    pub roster: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { fleet, watched, .. } = self;
        let seconds = |d: Option<Duration>| d.map_or("never".to_owned(), |d| format!("{:.2} s", d.as_secs_f64()));
        let kb = |bytes: f64| format!("{:.1} kB/s", bytes / 1e3);
        writeln!(f, "{} directors, {} of them vote, {} routers", fleet.nodes, super::VOTERS, fleet.routers)?;
        writeln!(f, "  served after the start               {}", self.served)?;
        writeln!(f, "  death: no connection left            {}", seconds(self.suspected))?;
        writeln!(f, "  death: everybody knows               {}", seconds(self.known))?;
        writeln!(f, "  death: {:>3} routers moved, all know  {}", self.lost, seconds(self.served_again))?;
        writeln!(f, "  news to everybody: p50, p99, max     {}", Seconds(self.news))?;
        writeln!(f, "  messages sent by a node, a voter     {}, {}", kb(watched.messages), kb(watched.voters))?;
        writeln!(f, "  gossip sent by a node                {}", kb(watched.gossip))?;
        writeln!(f, "  roster over each new connection      {:.1} kB", self.roster as f64 / 1e3)?;
        writeln!(f, "  memory of an engine                  {:.2} MB", self.memory as f64 / 1e6)?;
        writeln!(f, "  step                                 {}", watched.steps)?;
        write!(f, "  status                               {}", self.status)
    }
}

struct Seconds(Spread);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, max] = [self.0.p50, self.0.p99, self.0.max].map(|d| d.as_secs_f64());
        write!(f, "{p50:.2} s, {p99:.2} s, {max:.2} s of {}", self.0.count)
    }
}

/// The real clock, which decides nothing here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock;

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "what real steps cost is measured in real time")]
    pub(super) fn now(self) -> std::time::Instant {
        std::time::Instant::now()
    }
}

/// Memory of this process in bytes.
pub(super) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
