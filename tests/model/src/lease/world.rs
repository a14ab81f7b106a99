//! The state of the small cluster: what each host and the network between them remember.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use mesh_core::Instant;
use mesh_core::lease::MAX_LEASE;
use mesh_core::lease::ballot::Lease;
use mesh_core::lease::memory::{Changes, VoterStart};
use mesh_core::lease::voter::Voter;
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::lease::{Claim, Release, Verdict};

use crate::relative::{Relative, START};

/// All hosts vote.
pub const HOSTS: usize = 3;

/// The first two may serve, too.
pub const CANDIDATES: usize = 2;

/// Requests, promises and fences older than this have ended on every clock.
const MEMORY: Duration = Duration::from_millis(MAX_LEASE.as_millis() as u64 * 11 / 10);

/// A host by its place in [`World::hosts`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(pub usize);

/// The whole cluster. Two worlds are the same when all that can follow is the same: instants count
/// relative to each host's now.
#[derive(Clone, Debug)]
pub struct World {
    /// A, B and C.
    pub hosts: [Arc<Host>; HOSTS],
    /// In flight, in no order.
    pub network: Vec<Packet>,
    /// What may still happen.
    pub left: Left,
    /// What the properties ask about.
    pub history: History,
}

/// One host: its clock, its daemon and its kernel.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its clock's reading.
    pub now: Instant,
    /// How much its clock advances in a tick.
    pub pace: Duration,
    /// Whether its daemon is scheduled.
    pub running: bool,
    /// The grants it gave: the code under test.
    pub voter: Voter,
    /// What of it outlives the daemon.
    pub kept: VoterStart,
    /// The kernel lets traffic through until then, whatever the daemon does.
    pub fence: Option<Instant>,
    /// The daemon's view of the lease; never used where the host is no candidate.
    pub director: Director,
    /// Of the last request sent. It survives a restart, as the daemon takes it from the clock.
    pub seq: u64,
}

/// What a candidate's daemon knows.
#[derive(Clone, Debug, Default, Hash)]
pub struct Director {
    /// The ballot: the code under test.
    pub lease: Lease,
    /// Until when the fence was opened last.
    pub armed_until: Option<Instant>,
    /// Highest epoch heard of.
    pub epoch_seen: u64,
    /// Requests of this ballot that may still be answered.
    pub sent: Vec<Sent>,
}

/// A request sent.
#[derive(Clone, Debug, Hash)]
pub struct Sent {
    /// Its number.
    pub seq: u64,
    /// When.
    pub at: Instant,
    /// What was asked for.
    pub duration: Duration,
}

/// A message in flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Packet {
    /// Sender.
    pub from: Place,
    /// Receiver.
    pub to: Place,
    /// What it says.
    pub content: Content,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Grant or renew.
    Request {
        /// Its number.
        seq: u64,
        /// The lease.
        claim: Claim,
    },
    /// The voter's answer.
    Reply {
        /// The request's number.
        seq: u64,
        /// The answer.
        verdict: Verdict,
    },
    /// The sender's ballot is over.
    Release(Vec<Release>),
}

/// How often each of these may still happen: they bound the search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    /// Ballots begun, by all candidates together.
    pub claims: u8,
    /// Requests of each candidate's present ballot.
    pub asks: [u8; CANDIDATES],
    /// Planned moves.
    pub moves: u8,
    /// Daemons stopped in their tracks.
    pub stops: u8,
    /// Daemons started anew.
    pub restarts: u8,
    /// Messages that arrive twice.
    pub duplicates: u8,
}

/// What happened so far, as far as a property asks.
#[derive(Clone, Debug)]
pub struct History {
    /// Until when each voter has promised each candidate, on the voter's clock, as the messages it
    /// sent say. It does not forget with the voter.
    pub promised: [[Instant; CANDIDATES]; HOSTS],
    /// The last to open its fence, and the epoch of its ballot then.
    pub owner: Option<(Place, u64)>,
    /// It gave the lease back.
    pub released: bool,
    /// A voter lost its memory.
    pub forgot: bool,
    /// What the last event brought about.
    pub just: Option<Milestone>,
}

/// What is worth knowing about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Milestone {
    /// A lease went from one candidate to the other after it ran out.
    MovedByExpiry,
    /// The same after it was given back.
    MovedByRelease,
    /// A new ballot won with an epoch not above the last one's.
    EpochFell,
    /// A voter that had lost its memory granted again.
    SpokeAgain,
    /// A voter's higher epoch was taken over.
    Raised,
}

impl World {
    /// Three hosts that have run for long, and nobody serves.
    pub fn new(paces: [Duration; HOSTS], left: Left) -> Self {
        World {
            hosts: paces.map(|pace| Arc::new(Host::new(pace))),
            network: Vec::new(),
            left,
            history: History {
                promised: [[START; CANDIDATES]; HOSTS],
                owner: None,
                released: false,
                forgot: false,
                just: None,
            },
        }
    }

    /// One host, to change: the others are shared with the states before.
    pub(super) fn host(&mut self, at: Place) -> &mut Host {
        Arc::make_mut(&mut self.hosts[at.0])
    }

    /// Whatever follows, no second fence opens and no ballot is won any more.
    pub fn is_over(&self) -> bool {
        let asks = |h: &Arc<Host>| matches!(h.director.lease, Lease::Asking(_));
        let may_serve = |h: &&Arc<Host>| h.director.lease.ballot().is_some() || h.serves();
        self.left.claims == 0 && !self.hosts.iter().any(asks) && self.hosts.iter().filter(may_serve).count() <= 1
    }

    /// Hosts whose kernel lets traffic through.
    pub fn serving(&self) -> usize {
        self.hosts.iter().filter(|h| h.serves()).count()
    }
}

impl Host {
    fn new(pace: Duration) -> Self {
        Host {
            now: START,
            pace,
            running: true,
            voter: Voter::start(START, VoterStart::default()),
            kept: VoterStart::default(),
            fence: None,
            director: Director::default(),
            seq: 0,
        }
    }

    /// Whatever changed in the voter's memory is kept before anything else happens. There is one
    /// router, so that the latest slot is the whole memory.
    pub(super) fn keep(&mut self) {
        if let Some(Changes { slots, epoch_ceiling }) = self.voter.take_changes() {
            self.kept.slots = slots;
            self.kept.epoch_ceiling = epoch_ceiling.unwrap_or(self.kept.epoch_ceiling);
        }
    }

    /// Whether its kernel lets traffic through.
    pub fn serves(&self) -> bool {
        self.fence.is_some_and(|until| until > self.now)
    }
}

impl Place {
    /// Its identity in messages.
    pub const fn id(self) -> NodeId {
        NodeId(self.0 as u64 + 1)
    }

    /// The host with that identity.
    pub const fn of(id: NodeId) -> Place {
        Place(id.0 as usize - 1)
    }

    /// All hosts.
    pub fn all() -> impl Iterator<Item = Place> {
        (0..HOSTS).map(Place)
    }

    /// Those that may serve.
    pub fn candidates() -> impl Iterator<Item = Place> {
        (0..CANDIDATES).map(Place)
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (host, promised) in self.hosts.iter().zip(&self.history.promised) {
            // What is kept is in the voter, too. A grant or a fence that has ended has ended, however long ago.
            let over = &mut Relative::new(state, host.now, Duration::ZERO);
            (host.running, &host.voter, host.fence.filter(|until| *until > host.now)).hash(over);
            promised.hash(over);
            (host.pace, host.seq).hash(state);
            // The age of a request counts as long as its lease may live.
            host.director.hash(&mut Relative::new(state, host.now, MEMORY));
        }
        let mut packets: Vec<u64> = self.network.iter().map(print).collect();
        packets.sort_unstable();
        packets.hash(state);
        let History { promised: _, owner, released, forgot, just } = &self.history;
        (self.left, owner, released, forgot, just).hash(state);
    }
}

/// Equal where the fingerprints are: the checker counts by these alone.
impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        print(self) == print(other)
    }
}

fn print(value: &impl Hash) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["A", "B", "C"][self.0])
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Packet { from, to, content } = self;
        match content {
            Content::Request { seq, claim } => {
                write!(f, "{from}'s request {seq} to {to} (epoch {}, {} ms)", claim.epoch, claim.duration_ms)
            }
            Content::Reply { seq, verdict } => {
                write!(f, "{from}'s answer to {to}'s request {seq}: ")?;
                match verdict {
                    Verdict::Granted { epoch } => write!(f, "granted, epoch {epoch}"),
                    Verdict::Held { owner, epoch, remaining_ms } => {
                        write!(f, "held by {}, epoch {epoch}, {remaining_ms} ms", Place::of(*owner))
                    }
                    Verdict::Stale { max_epoch } => write!(f, "stale, seen {max_epoch}"),
                    Verdict::WrongRoster => f.write_str("wrong roster"),
                    Verdict::Quarantine { remaining_ms } => write!(f, "quarantine, {remaining_ms} ms"),
                }
            }
            Content::Release(releases) => {
                let epochs: Vec<u64> = releases.iter().map(|r| r.epoch).collect();
                write!(f, "{from}'s release of epochs {epochs:?} to {to}")
            }
        }
    }
}
