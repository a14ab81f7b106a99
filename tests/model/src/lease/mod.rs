//! The lease, with the real [`Voter`](mesh_core::lease::voter::Voter)s and
//! [`Ballot`](mesh_core::lease::ballot::Ballot)s in its states.
//!
//! Hosts A, B and C vote; A and B are candidates. Time passes in ticks, at a pace of its own on
//! each host. A message in flight may arrive at any time, never, twice, and after any other. A
//! daemon may be stopped and go on, or start anew with or without its voter's memory; its kernel
//! goes on meanwhile. [`Bounds`] say how much of it one history may hold.

mod director;
mod mutant;
mod world;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::lease::{CLAIM_TIMEOUT, FIRST_LEASE, MAX_LEASE};
use stateright::{Model, Property};

use crate::search::{Readable, Search};

pub use director::Rules;
pub use mutant::Mutant;
pub use world::{CANDIDATES, HOSTS, Left, Milestone, Packet, Place, World};

/// One search: rules, bounds and clocks.
#[derive(Clone, Debug)]
pub struct LeaseModel {
    /// What does not change.
    pub rules: Rules,
    /// What one history may hold.
    pub bounds: Bounds,
    /// Real time between two looks at the world.
    pub tick: Duration,
    /// How fast each host's clock goes, in thousandths of true time, in each of the histories' beginnings.
    pub paces: Vec<[u32; HOSTS]>,
}

/// How much one history may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Ballots begun.
    pub claims: u8,
    /// Requests in each ballot.
    pub asks: u8,
    /// Planned moves.
    pub moves: u8,
    /// Daemons stopped.
    pub stops: u8,
    /// Daemons started anew.
    pub restarts: u8,
    /// Messages that arrive twice.
    pub duplicates: u8,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A candidate wants to serve.
    Claim(Place),
    /// It asks again, or renews.
    Ask(Place),
    /// The owner hands over to the other candidate.
    Move(Place, Place),
    /// SIGSTOP.
    Stop(Place),
    /// SIGCONT.
    Continue(Place),
    /// The daemon starts anew, its voter's memory lost or kept.
    Restart(Place, bool),
    /// A message arrives.
    Arrive(Packet),
    /// A message arrives, and another copy of it is still under way.
    ArriveTwice(Packet),
    /// A message is lost.
    Lose(Packet),
    /// Time passes.
    Tick,
}

impl Model for LeaseModel {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let Bounds { claims, moves, stops, restarts, duplicates, .. } = self.bounds;
        let left = Left { claims, asks: [0; CANDIDATES], moves, stops, restarts, duplicates };
        let pace = |per_mille: u32| self.tick * per_mille / 1000;
        self.paces.iter().map(|paces| World::new(paces.map(pace), left)).collect()
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        if world.is_over() {
            return;
        }
        events.push(Event::Tick);
        for packet in &world.network {
            // What is not wanted may as well stay; it has to go where it leaves no room.
            if world.network.len() + 1 >= self.rules.in_flight {
                events.push(Event::Lose(packet.clone()));
            }
            if world.hosts[packet.to.0].running {
                events.push(Event::Arrive(packet.clone()));
                if world.left.duplicates > 0 {
                    events.push(Event::ArriveTwice(packet.clone()));
                }
            }
        }
        for at in Place::candidates() {
            self.candidate_events(world, at, events);
        }
        for at in Place::all() {
            if world.left.restarts > 0 {
                events.extend([Event::Restart(at, true), Event::Restart(at, false)]);
            }
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        next.history.just = None;
        let rules = &self.rules;
        match event {
            Event::Claim(at) => next.claim(at, rules, self.bounds.asks),
            Event::Ask(at) => next.ask(at, rules),
            Event::Move(at, to) => {
                next.left.moves -= 1;
                next.retire(at, Some(to), rules);
            }
            Event::Stop(at) => {
                next.left.stops -= 1;
                next.host(at).running = false;
            }
            Event::Continue(at) => {
                next.host(at).running = true;
                next.run_timers(at, rules);
            }
            Event::Restart(at, forgets) => {
                next.left.restarts -= 1;
                next.restart(at, forgets, rules);
            }
            Event::Arrive(packet) => {
                next.network.retain(|p| *p != packet);
                next.receive(&packet, rules);
            }
            Event::ArriveTwice(packet) => {
                next.left.duplicates -= 1;
                next.receive(&packet, rules);
            }
            Event::Lose(packet) => next.network.retain(|p| *p != packet),
            Event::Tick => {
                for at in Place::all() {
                    let host = next.host(at);
                    host.now = host.now + host.pace;
                    if host.running {
                        next.run_timers(at, rules);
                    }
                }
            }
        }
        for at in Place::all() {
            if next.hosts[at.0].voter != world.hosts[at.0].voter {
                next.host(at).keep();
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one open fence", |_, w: &World| w.serving() <= 1),
            Property::always("no voter promises to two at once", |_, w: &World| {
                let one = |(host, promised): (&Arc<world::Host>, &[_; CANDIDATES])| {
                    promised.iter().filter(|until| **until > host.now).count() <= 1
                };
                w.hosts.iter().zip(&w.history.promised).all(one)
            }),
            Property::always("epochs grow from owner to owner", |_, w: &World| {
                w.history.just != Some(Milestone::EpochFell)
            }),
            Property::sometimes("there is an owner", |_, w: &World| w.serving() == 1),
            Property::sometimes("a lease that ran out goes to the other", |_, w: &World| {
                w.history.just == Some(Milestone::MovedByExpiry)
            }),
            Property::sometimes("a lease given back goes to the other", |_, w: &World| {
                w.history.just == Some(Milestone::MovedByRelease)
            }),
            Property::sometimes("a higher epoch is taken over", |_, w: &World| {
                w.history.just == Some(Milestone::Raised)
            }),
            Property::sometimes("a voter that forgot grants again", |_, w: &World| {
                w.history.just == Some(Milestone::SpokeAgain)
            }),
        ]
    }
}

impl LeaseModel {
    fn candidate_events(&self, world: &World, at: Place, events: &mut Vec<Event>) {
        let host = &world.hosts[at.0];
        if !host.running {
            events.push(Event::Continue(at));
            return;
        }
        let lease = &host.director.lease;
        // The candidates are alike: the first ballot of all may as well be A's.
        let first = world.left.claims == self.bounds.claims && at != Place(0);
        match lease.ballot() {
            None if world.left.claims > 0 && !first => events.push(Event::Claim(at)),
            Some(_) if world.left.asks[at.0] > 0 => events.push(Event::Ask(at)),
            None | Some(_) => {}
        }
        if lease.is_held() && world.left.moves > 0 {
            events.extend(Place::candidates().filter(|to| *to != at).map(|to| Event::Move(at, to)));
        }
        if world.left.stops > 0 {
            events.push(Event::Stop(at));
        }
    }

    fn new(scope: &Scope) -> Self {
        LeaseModel {
            rules: Rules { lease: scope.lease, in_flight: scope.in_flight, mutant: None },
            bounds: scope.bounds,
            tick: scope.tick,
            paces: scope.paces.to_vec(),
        }
    }

    /// The least that shows a planted bug.
    pub fn with(mutant: Mutant) -> Self {
        let calm = |bounds| Scope { bounds, ..LONG };
        let scope = match mutant {
            Mutant::OverwriteGrants => calm(Bounds { asks: 1, ..CALM }),
            Mutant::NoQuarantine => calm(Bounds { asks: 1, restarts: 1, ..CALM }),
            Mutant::NoStartSweep => {
                Scope { in_flight: 2, bounds: Bounds { claims: 3, asks: 1, restarts: 1, ..CALM }, ..SHORT }
            }
            Mutant::DuplicateShortens => calm(Bounds { duplicates: 1, ..CALM }),
            Mutant::ReleaseBeforeClosing => calm(Bounds { moves: 1, ..CALM }),
            Mutant::DeadlineFromArrival => SHORT,
            Mutant::NoMargin => LONG,
            Mutant::WildClocks => Scope { paces: &WILD_CLOCKS, ..LONG },
        };
        let mut model = LeaseModel::new(&scope);
        model.rules.mutant = Some(mutant);
        model
    }
}

/// Bounds and clocks of one search.
#[derive(Clone, Copy, Debug)]
struct Scope {
    lease: Duration,
    in_flight: usize,
    bounds: Bounds,
    tick: Duration,
    paces: &'static [[u32; HOSTS]],
}

/// Two ballots, of two requests each, and nothing but the network goes wrong.
const CALM: Bounds = Bounds { claims: 2, asks: 2, moves: 0, stops: 0, restarts: 0, duplicates: 0 };

/// The worst for the first owner: its clock is as far behind the voters' as clocks may differ.
const SLOW_OWNER: [[u32; HOSTS]; 1] = [[999, 1001, 1001]];

/// Twenty times as far apart.
const WILD_CLOCKS: [[u32; HOSTS]; 1] = [[980, 1020, 1020]];

/// Every combination of a slow and a fast clock.
const ANY_CLOCKS: [[u32; HOSTS]; 8] = [
    [999, 999, 999],
    [999, 999, 1001],
    [999, 1001, 999],
    [999, 1001, 1001],
    [1001, 999, 999],
    [1001, 999, 1001],
    [1001, 1001, 999],
    [1001, 1001, 1001],
];

/// The longest lease, looked at every second: quarantine is just long enough.
const LONG: Scope =
    Scope { lease: MAX_LEASE, in_flight: 3, bounds: CALM, tick: Duration::from_secs(1), paces: &SLOW_OWNER };

/// A lease no longer than the first grant, looked at as often as claims fail.
const SHORT: Scope = Scope { lease: FIRST_LEASE, tick: CLAIM_TIMEOUT, ..LONG };

/// What is searched before every merge: under a minute.
pub fn small() -> Vec<Search<LeaseModel>> {
    let scope = |bounds| Scope { bounds, ..LONG };
    let tight = |bounds| Scope { bounds, in_flight: 2, ..LONG };
    vec![
        search("messages that arrive twice", 1_400_000, scope(Bounds { duplicates: 1, ..CALM })),
        search("planned moves", 950_000, scope(Bounds { moves: 1, ..CALM })),
        search("stopped daemons", 550_000, tight(Bounds { stops: 1, ..CALM })),
        search("daemons started anew", 1_200_000, tight(Bounds { restarts: 1, ..CALM })),
        search("three ballots", 1_100_000, scope(Bounds { claims: 3, asks: 1, duplicates: 1, ..CALM })),
        search("short leases", 220_000, Scope { in_flight: 2, ..SHORT }),
    ]
}

/// The same and more of it at once, on all clocks: many minutes, and some gigabytes.
pub fn large() -> Vec<Search<LeaseModel>> {
    let scope = |bounds| Scope { bounds, paces: &ANY_CLOCKS, ..LONG };
    let tight = |bounds| Scope { in_flight: 2, ..scope(bounds) };
    let start = Bounds { restarts: 1, ..CALM };
    vec![
        search("messages that arrive twice", 10_000_000, scope(Bounds { duplicates: 1, ..CALM })),
        search("planned moves of stopped daemons", 10_000_000, tight(Bounds { moves: 1, stops: 1, ..CALM })),
        search("daemons started anew", 7_000_000, Scope { paces: &SLOW_OWNER, ..scope(start) }),
        search("two daemons started anew", 3_300_000, tight(Bounds { asks: 1, restarts: 2, ..CALM })),
        search("three ballots and a start", 20_000_000, tight(Bounds { claims: 3, asks: 1, moves: 1, ..start })),
        search("three ballots, renewed", 36_000_000, tight(Bounds { claims: 3, ..CALM })),
        search("short leases", 20_000_000, Scope { paces: &ANY_CLOCKS, ..SHORT }),
    ]
}

fn search(name: &'static str, at_least: usize, scope: Scope) -> Search<LeaseModel> {
    Search { name, at_least, model: LeaseModel::new(&scope) }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Claim(at) => write!(f, "{at} claims"),
            Event::Ask(at) => write!(f, "{at} asks again"),
            Event::Move(at, to) => write!(f, "{at} hands over to {to}"),
            Event::Stop(at) => write!(f, "{at}'s daemon is stopped"),
            Event::Continue(at) => write!(f, "{at}'s daemon goes on"),
            Event::Restart(at, true) => write!(f, "{at}'s daemon starts anew and remembers nothing"),
            Event::Restart(at, false) => write!(f, "{at}'s daemon starts anew with its voter's memory"),
            Event::Arrive(packet) => write!(f, "{packet} arrives"),
            Event::ArriveTwice(packet) => write!(f, "{packet} arrives, a copy of it is under way"),
            Event::Lose(packet) => write!(f, "{packet} is lost"),
            Event::Tick => f.write_str("time passes"),
        }
    }
}

impl Readable for LeaseModel {
    fn describe(&self, world: &World) -> String {
        let fences = Place::candidates().filter_map(|at| {
            let host = &world.hosts[at.0];
            let left = host.fence?.since(host.now);
            host.serves().then(|| format!("{at} serves, {} ms left", left.as_millis()))
        });
        fences.collect::<Vec<_>>().join("; ")
    }
}
