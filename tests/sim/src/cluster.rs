//! All hosts and the wires between them, moved on from event to event.

mod daemon;
mod faults;

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::{Decision, Input};
use mesh_wire::mesh::lease::Message;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::clock::{HostClock, Time, ms};
use crate::host::{self, Connection, Host};
use crate::mutant::Mutant;
use crate::network::Network;
use crate::story::Story;

/// How often connections and gossip are looked at.
const TICK: Duration = ms(50);

/// A connection without an answer for so long is gone: the mesh's idle timeout.
const IDLE: Duration = ms(300);

/// A new connection takes about so long.
const CONNECT: Duration = ms(50);

/// What a cluster is made of.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Directors.
    pub nodes: usize,
    /// Of which vote.
    pub voters: usize,
    /// Virtual routers.
    pub routers: usize,
    /// Whether a higher priority takes over from a lower one.
    pub preempt: bool,
}

impl Layout {
    /// So many directors, three of them voters (all, where there are fewer or five), two routers.
    pub fn of(nodes: usize) -> Self {
        Layout { nodes, voters: if nodes == 4 { 3 } else { nodes }, routers: 2, preempt: true }
    }
}

/// Something that happens at a point in time.
#[derive(Debug)]
enum Event {
    Input {
        host: usize,
        run: u32,
        input: Box<Input>,
    },
    Message {
        host: usize,
        run: u32,
        from: usize,
        from_run: u32,
        message: Box<Message>,
    },
    Goodbye {
        host: usize,
        run: u32,
        from: usize,
    },
    /// A host's look at the segment is over.
    Probed {
        host: usize,
        run: u32,
        probe: u64,
        addresses: Vec<std::net::Ipv4Addr>,
    },
    Timer {
        host: usize,
        run: u32,
        timer: u64,
    },
    Resume {
        host: usize,
        run: u32,
    },
    Start {
        host: usize,
    },
    Boot {
        host: usize,
    },
    Restart {
        host: usize,
    },
    PlugIn {
        host: usize,
    },
    EndRule {
        number: u64,
    },
    Lifetime {
        host: usize,
        router: usize,
    },
    Late {
        host: usize,
        run: u32,
        actions: Vec<mesh_core::Action>,
    },
    Tick,
    /// Nothing but a moment at which a kernel may close a fence.
    Look,
}

/// What a judge may want to know besides the state.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A daemon decided something.
    Decision(usize, Decision),
    /// A daemon started, remembering nothing.
    Started(usize),
    /// A host lost its daemon, or its power.
    Crashed(usize),
}

/// The world of one run.
#[derive(Debug)]
pub struct Cluster {
    /// True time.
    pub now: Time,
    /// What it is made of.
    pub layout: Layout,
    /// The machines.
    pub hosts: Vec<Host>,
    /// The wires.
    pub network: Network,
    /// The log.
    pub story: Story,
    /// When the last fault ended; `None` while any may be there.
    pub quiet_since: Option<Time>,
    /// Whether messages arrive that were sent over a connection closed since. QUIC lets none through,
    /// but no lease may depend on that.
    pub strays: bool,
    /// Failing effects now and then, of a thousand.
    pub failures: u32,
    mutant: Option<Mutant>,
    queue: BTreeMap<(Time, u64), Event>,
    queued: u64,
    rng: StdRng,
    facts: Vec<Fact>,
    steps: u64,
}

impl Cluster {
    /// Hosts with clocks and rosters, and no daemon yet.
    pub fn new(layout: Layout, seed: u64, mutant: Option<Mutant>, story: Story) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let new_host = |index| {
            let reading = Duration::from_nanos(rng.random_range(100_000_000_000..1_000_000_000_000));
            let clock = HostClock::new(Time::ZERO, reading, rng.random_range(-1000..=1000));
            Host::new(index, layout.nodes, layout.routers, layout.preempt, clock)
        };
        let hosts = (0..layout.nodes).map(new_host).collect();
        let mut cluster = Cluster {
            now: Time::ZERO,
            layout,
            hosts,
            network: Network::default(),
            story,
            quiet_since: Some(Time::ZERO),
            strays: false,
            failures: 0,
            mutant,
            queue: BTreeMap::new(),
            queued: 0,
            rng,
            facts: Vec::new(),
            steps: 0,
        };
        cluster.schedule(TICK, Event::Tick);
        cluster
    }

    /// Gives all hosts the same roster and starts their daemons within the first 200 ms.
    pub fn start_all(&mut self) {
        let roster = host::roster(self.layout.nodes, self.layout.voters);
        for index in 0..self.layout.nodes {
            self.hosts[index].roster = Some(roster.clone());
            let at = ms(self.rng.random_range(0..200));
            self.start_after(index, at);
        }
    }

    /// The hosts whose kernel lets a router's address be reached, at this very instant.
    pub fn serving(&self, router: usize) -> Vec<usize> {
        let address = host::virtual_address(router);
        let serves = |h: &Host| h.up && h.kernel.serves(address, h.now(self.now));
        (0..self.hosts.len()).filter(|i| serves(&self.hosts[*i])).collect()
    }

    /// When the next event is due.
    pub fn next_event(&self) -> Time {
        self.queue.keys().next().map_or(Time::MAX, |(at, _)| *at)
    }

    /// Brings about the next event.
    pub fn advance(&mut self) {
        let Some(((at, _), event)) = self.queue.pop_first() else { return };
        self.now = at;
        match event {
            Event::Input { host, run, input } => {
                if self.is_run(host, run) {
                    self.deliver(host, *input);
                }
            }
            Event::Message { host, run, from, from_run, message } => {
                if self.is_run(host, run) && self.still_read(host, from, from_run) {
                    self.deliver(host, Input::Message { from: self.hosts[from].id, message: *message });
                }
            }
            Event::Goodbye { host, run, from } => {
                if self.is_run(host, run) {
                    self.hear_goodbye(host, from);
                }
            }
            Event::Probed { host, run, probe, addresses } => {
                if self.is_run(host, run) {
                    self.probed(host, probe, &addresses);
                }
            }
            Event::Timer { host, run, timer } => {
                let due = self.is_run(host, run) && self.hosts[host].running().is_some_and(|d| d.timer == timer);
                if due {
                    self.step(host, Input::Timeout);
                }
            }
            Event::Resume { host, run } => {
                if self.is_run(host, run) {
                    self.resume(host);
                }
            }
            Event::Start { host } => self.start(host),
            Event::Boot { host } => self.boot(host),
            Event::Restart { host } => self.restart(host),
            Event::PlugIn { host } => self.set_link(host, true),
            Event::EndRule { number } => self.network.remove(at, number),
            Event::Lifetime { host, router } => self.lifetime_over(host, router),
            Event::Late { host, run, actions } => {
                if self.is_run(host, run) {
                    actions.into_iter().for_each(|action| self.perform(host, action));
                }
            }
            Event::Tick => self.tick(),
            Event::Look => {}
        }
    }

    /// What happened since this was last asked.
    pub fn take_facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    /// Steps of all engines so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The engine of a host's daemon.
    pub fn engine(&self, host: usize) -> Option<&mesh_core::Engine> {
        self.hosts[host].daemon.as_ref().map(|d| &d.engine)
    }

    /// Tells it to a host's daemon now.
    pub fn tell(&mut self, host: usize, input: Input) {
        self.deliver(host, input);
    }

    /// Lets a moment pass that is an event for itself, so that the run does not end before it.
    pub fn look_at(&mut self, at: Time) {
        self.queued += 1;
        self.queue.insert((at, self.queued), Event::Look);
    }

    fn is_run(&self, host: usize, run: u32) -> bool {
        self.hosts[host].daemon.is_some() && self.hosts[host].run == run
    }

    /// Whether the connection a message came over is still there on the receiver's side.
    fn still_read(&self, host: usize, from: usize, from_run: u32) -> bool {
        let connection = self.hosts[host].daemon.as_ref().map(|d| d.peers[from]);
        self.strays || connection.is_some_and(|c| c.up && c.run == from_run)
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now + after, self.queued), event);
    }

    fn schedule_input(&mut self, after: Duration, host: usize, input: Input) {
        let run = self.hosts[host].run;
        self.schedule(after, Event::Input { host, run, input: Box::new(input) });
    }

    fn say(&mut self, host: usize, what: impl FnOnce() -> String) {
        self.story.tell(self.now, &self.hosts[host].name, what);
    }

    fn detail(&mut self, host: usize, what: impl FnOnce() -> String) {
        self.story.detail(self.now, &self.hosts[host].name, what);
    }

    fn index_of(&self, id: mesh_wire::mesh::NodeId) -> Option<usize> {
        self.hosts.iter().position(|h| h.id == id)
    }

    /// Connections come and go after the real thing's delays; gossip spreads over those there are.
    fn tick(&mut self) {
        self.schedule(TICK, Event::Tick);
        for host in 0..self.hosts.len() {
            for peer in (0..self.hosts.len()).filter(|p| *p != host) {
                self.watch_connection(host, peer);
                if self.reaches(peer, host) && self.rng.random_range(0..2) == 0 {
                    self.gossip(peer, host);
                }
            }
        }
    }

    /// Whether a connection between two hosts would hold.
    fn reaches(&self, a: usize, b: usize) -> bool {
        let knows = |x: &Host, y: &Host| x.roster.as_ref().is_some_and(|r| r.member(y.id).is_some());
        let (x, y) = (&self.hosts[a], &self.hosts[b]);
        let both = |f: &dyn Fn(&Host) -> bool| f(x) && f(y);
        both(&|h| h.running().is_some() && h.link && h.up)
            && (knows(x, y) && knows(y, x))
            && self.network.connects(a, b)
    }

    fn watch_connection(&mut self, host: usize, peer: usize) {
        let (now, reaches, run, node) = (self.now, self.reaches(host, peer), self.hosts[peer].run, self.hosts[peer].id);
        let Some(daemon) = &mut self.hosts[host].daemon else { return };
        let connection = &mut daemon.peers[peer];
        if connection.up == reaches && (!reaches || connection.run == run) {
            connection.changing_since = None;
            return;
        }
        let since = *connection.changing_since.get_or_insert(now);
        if now < since + if reaches { CONNECT } else { IDLE } {
            return;
        }
        *connection = Connection { up: reaches, run, since: now, changing_since: None };
        let input = if reaches { Input::PeerUp { node, rtt: ms(1) } } else { Input::PeerDown { node, left: false } };
        self.deliver(host, input);
    }

    /// `to` learns everything newer that `from` knows.
    fn gossip(&mut self, from: usize, to: usize) {
        let Some(source) = &self.hosts[from].daemon else { return };
        let Some(target) = &self.hosts[to].daemon else { return };
        let newer = |(key, (version, _)): &(&(usize, String), &(u64, Option<String>))| {
            key.0 != to && target.gossip.get(*key).is_none_or(|(known, _)| known < version)
        };
        let news: Vec<_> = source.gossip.iter().filter(newer).map(|(k, v)| (k.clone(), v.clone())).collect();
        for ((origin, key), (version, value)) in news {
            let node = self.hosts[origin].id;
            let Some(target) = &mut self.hosts[to].daemon else { return };
            target.gossip.insert((origin, key.clone()), (version, value.clone()));
            self.deliver(to, Input::Gossip { node, key, value });
        }
    }
}
