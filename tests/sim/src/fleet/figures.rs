//! What was measured, and its table.

use std::fmt;
use std::ops::Add;
use std::time::Duration;

use mesh_wire::mesh::codec;
use mesh_wire::mesh::lease::Message;
use nix::time::ClockId;

use super::{Fleet, Loss};

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

/// What a node sent, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// Requests, answers, releases, vacancies.
    pub leases: u64,
    /// Rosters, and how they are decided.
    pub rosters: u64,
    /// About planned moves, and introductions.
    pub moves: u64,
}

impl Bytes {
    /// Of all kinds.
    pub fn total(&self) -> u64 {
        self.leases + self.rosters + self.moves
    }
}

impl Add for Bytes {
    type Output = Bytes;

    fn add(self, other: Bytes) -> Bytes {
        Bytes {
            leases: self.leases + other.leases,
            rosters: self.rosters + other.rosters,
            moves: self.moves + other.moves,
        }
    }
}

/// Bytes a second, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// See [`Bytes`].
    pub leases: f64,
    /// See [`Bytes`].
    pub rosters: f64,
    /// See [`Bytes`].
    pub moves: f64,
}

impl Rates {
    pub(super) fn new(bytes: Bytes, seconds: f64) -> Rates {
        let Bytes { leases, rosters, moves } = bytes;
        let [leases, rosters, moves] = [leases, rosters, moves].map(|bytes| bytes as f64 / seconds);
        Rates { leases, rosters, moves }
    }
}

/// What passed in a while.
#[derive(Clone, Copy, Debug)]
pub struct Watched {
    /// How long, in the fleet's time.
    pub time: Duration,
    /// Processor time of the engines' steps.
    pub steps: Spread,
    /// Messages that the busiest voter sends.
    pub voter: Rates,
    /// The same of all nodes on average.
    pub messages: Rates,
    /// Bytes of gossip a second that a node sends on average.
    pub gossip: f64,
    /// How long what was told in this time took to everybody.
    pub news: Spread,
}

/// What came of a loss.
#[derive(Clone, Copy, Debug)]
pub struct Aftermath {
    /// What died.
    pub loss: Loss,
    /// How many directors that is.
    pub dead: usize,
    /// Directors that live on.
    pub living: usize,
    /// Routers they served.
    pub lost: usize,
    /// Of each living node: until it had no connection with any of them.
    pub suspected: Spread,
    /// Until it knew that nobody hears them.
    pub known: Spread,
    /// Of each lost router: until another director served it.
    pub served: Spread,
    /// Of each living node: until it knew who serves all of them.
    pub told: Spread,
    /// Routers that another director serves within five seconds although theirs lives.
    pub moved: usize,
    /// What it took.
    pub watched: Watched,
}

impl Aftermath {
    /// Whether everybody that lives came to know, and everything was served again.
    pub fn is_over(&self) -> bool {
        let all = [self.suspected, self.known, self.told].iter().all(|spread| spread.count == self.living);
        all && self.served.count == self.lost
    }
}

/// How one fleet did.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Which.
    pub fleet: Fleet,
    /// Routers that were served after the start.
    pub served: usize,
    /// From the start until then.
    pub start: Watched,
    /// While nothing happened.
    pub rest: Watched,
    /// Bytes of memory for each engine.
    pub memory: u64,
    /// What one status takes.
    pub status: Spread,
    /// One after another.
    pub losses: Vec<Aftermath>,
}

impl Figures {
    /// Bytes of the roster, which goes over every new connection.
    pub fn roster(&self) -> usize {
        codec::encode(&Message::Roster(self.fleet.roster().into())).len()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { fleet, start, rest, .. } = self;
        let placed = if fleet.spread { "placed by the mesh" } else { "placed by priority" };
        writeln!(f, "{} directors, {} of them vote; {} routers, {placed}", fleet.nodes, super::VOTERS, fleet.routers)?;
        writeln!(f, "  served after the start          {}", self.served)?;
        let seconds = start.time.as_secs_f64();
        let [rosters, gossip] = [start.messages.rosters, start.gossip].map(|rate| Kilo(rate * seconds));
        writeln!(f, "  sent by a node until then       {rosters}B of rosters, {gossip}B of gossip")?;
        writeln!(f, "  roster over a new connection    {}B", Kilo(self.roster() as f64))?;
        writeln!(f, "  memory of an engine             {}B", Kilo(self.memory as f64))?;
        writeln!(f, "  step at the start               {}", Micros(start.steps))?;
        writeln!(f, "  step at rest                    {}", Micros(rest.steps))?;
        writeln!(f, "  status                          {}", Micros(self.status))?;
        writeln!(f, "  a second at rest, of a node     {}, gossip {}B", rest.messages, Kilo(rest.gossip))?;
        write!(f, "  of the busiest voter            {}", rest.voter)?;
        self.losses.iter().try_for_each(|loss| write!(f, "\n{loss}"))
    }
}

impl fmt::Display for Aftermath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Aftermath { loss, dead, living, lost, watched, .. } = self;
        writeln!(
            f,
            "{}: {dead} dead, {living} live on; it served {lost} routers, {} others moved",
            loss.name(),
            self.moved
        )?;
        writeln!(f, "  no connection with it           {}", Seconds(self.suspected))?;
        writeln!(f, "  known that nobody hears it      {}", Seconds(self.known))?;
        writeln!(f, "  routers served again            {}", Seconds(self.served))?;
        writeln!(f, "  known who serves them           {}", Seconds(self.told))?;
        writeln!(f, "  news to everybody               {}", Seconds(watched.news))?;
        writeln!(f, "  step                            {}", Micros(watched.steps))?;
        write!(f, "  a second, of a node             {}, gossip {}B", watched.messages, Kilo(watched.gossip))
    }
}

impl fmt::Display for Rates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rates { leases, rosters, moves } = self;
        write!(f, "leases {}B, rosters {}B, moves {}B", Kilo(*leases), Kilo(*rosters), Kilo(*moves))
    }
}

/// With the prefix that suits it.
struct Kilo(f64);

impl fmt::Display for Kilo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 1e6 => write!(f, "{:.2} M", bytes / 1e6),
            bytes if bytes >= 1e3 => write!(f, "{:.1} k", bytes / 1e3),
            bytes => write!(f, "{bytes:.0} "),
        }
    }
}

struct Micros(Spread);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, max] = [self.0.p50, self.0.p99, self.0.max].map(|d| d.as_nanos() as f64 / 1e3);
        write!(f, "p50 {p50:.1} us, p99 {p99:.1} us, max {max:.0} us of {}", self.0.count)
    }
}

struct Seconds(Spread);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, max] = [self.0.p50, self.0.p99, self.0.max].map(|d| d.as_secs_f64());
        write!(f, "p50 {p50:.2} s, p99 {p99:.2} s, max {max:.2} s of {}", self.0.count)
    }
}

/// Processor time of this thread: the machine may be busy with other things.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock;

impl Clock {
    pub(super) fn now(self) -> Duration {
        ClockId::CLOCK_THREAD_CPUTIME_ID.now().map_or(Duration::ZERO, Duration::from)
    }
}

/// Memory of this process in bytes.
pub(super) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) * 1024
}
