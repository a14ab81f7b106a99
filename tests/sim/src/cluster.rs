//! All hosts and the wires between them, moved on from event to event.

mod daemon;
mod event;
mod faults;
mod guard;
mod mesh;
mod mutate;
mod roster;
mod segment;

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::Input;
use mesh_core::orders::{Answer, Refused};
use mesh_core::roster::State;
use mesh_wire::mesh::{Family, NodeId};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::clock::{HostClock, Time, ms};
use crate::host::Host;
pub use crate::layout::Layout;
use crate::layout::virtual_address;
use crate::mutant::Mutant;
use crate::network::Network;
use crate::story::Story;
use event::Event;
pub use event::Fact;
use roster::Newest;
use segment::Foreign;

/// How often connections and gossip are looked at.
const TICK: Duration = ms(50);

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
    /// What operators were told, in order.
    pub answers: Vec<Result<Answer, Refused>>,
    /// When a router outside the mesh was last on the segment, or somebody sent forged adverts.
    pub foreign_until: Time,
    mutant: Option<Mutant>,
    foreign: Option<Foreign>,
    newest: Newest,
    queue: BTreeMap<(Time, u64), Event>,
    queued: u64,
    rng: StdRng,
    facts: Vec<Fact>,
    steps: u64,
    service_changes: u64,
}

impl Cluster {
    /// Hosts with clocks that drift by up to the bound, and no daemon yet.
    pub fn new(layout: Layout, seed: u64, mutant: Option<Mutant>, story: Story) -> Self {
        Cluster::with_drift(layout, seed, mutant, story, 2000)
    }

    /// The same with clocks that run fast or slow by up to so many parts per million.
    pub fn with_drift(layout: Layout, seed: u64, mutant: Option<Mutant>, story: Story, ppm: i32) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let new_host = |index| {
            let reading = Duration::from_nanos(rng.random_range(100_000_000_000..1_000_000_000_000));
            Host::new(index, &layout, HostClock::new(Time::ZERO, reading, rng.random_range(-ppm..=ppm)))
        };
        let hosts = (0..layout.hosts()).map(new_host).collect();
        let mut cluster = Cluster {
            now: Time::ZERO,
            layout,
            hosts,
            network: Network::default(),
            story,
            quiet_since: Some(Time::ZERO),
            strays: false,
            failures: 0,
            answers: Vec::new(),
            foreign_until: Time::ZERO,
            mutant,
            foreign: None,
            newest: Newest::default(),
            queue: BTreeMap::new(),
            queued: 0,
            rng,
            facts: Vec::new(),
            steps: 0,
            service_changes: 0,
        };
        cluster.schedule(TICK, Event::Tick);
        cluster
    }

    /// Gives all hosts that are there the same roster and starts their daemons within 200 ms.
    pub fn start_all(&mut self) {
        let members = self.layout.hosts() - self.layout.late;
        let roster = self.layout.roster(members);
        for index in 0..members {
            self.hosts[index].state = Some(State::from(roster.clone()));
            let at = ms(self.rng.random_range(0..200));
            self.start_after(index, at);
        }
    }

    /// The hosts whose kernel lets a router's address be reached, at this very instant.
    pub fn serving(&self, router: usize) -> Vec<usize> {
        (0..self.hosts.len()).filter(|host| self.serves(*host, router)).collect()
    }

    /// Whether this host is one of them.
    pub fn serves(&self, host: usize, router: usize) -> bool {
        self.hosts[host].serves.contains(&router)
    }

    /// Whether the mesh or an operator says who serves a router, and not its priorities.
    pub fn is_placed(&self, router: usize) -> bool {
        let key = crate::layout::router_key(router);
        let family = if key.family == Family::Ipv4 { "ipv4" } else { "ipv6" };
        let says = |host: &Host| {
            let Some(daemon) = &host.daemon else { return false };
            let status = daemon.engine.status(host.now(self.now));
            let is_it = |r: &mesh_control::Router| (r.vrid, r.family.as_str()) == (key.vrid, family);
            let pinned = |r: &mesh_control::Router| is_it(r) && r.pinned_to.is_some();
            status.routers.iter().any(pinned) || status.nodes.iter().any(|n| n.draining)
        };
        self.layout.spread || self.hosts.iter().any(says)
    }

    /// Counts changes of what [`Cluster::serving`] says.
    pub fn service_changes(&self) -> u64 {
        self.service_changes
    }

    /// When the next event is due.
    pub fn next_event(&self) -> Time {
        self.queue.keys().next().map_or(Time::MAX, |(at, _)| *at)
    }

    /// Brings about the next event; whether it was a tick, the moment to look at what takes time.
    pub fn advance(&mut self) -> bool {
        let Some(((at, _), event)) = self.queue.pop_first() else { return false };
        self.now = at;
        let tick = matches!(event, Event::Tick | Event::Look);
        match event {
            Event::Input { host, run, input } if self.is_run(host, run) => self.deliver(host, *input),
            Event::Message { host, run, from, from_run, message } if self.is_run(host, run) => {
                self.receive(host, from, from_run, *message);
            }
            Event::Goodbye { host, run, from } if self.is_run(host, run) => self.hear_goodbye(host, from),
            Event::Probed { host, run, probe, addresses } if self.is_run(host, run) => {
                self.probed(host, probe, &addresses);
            }
            Event::Timer { host, run, timer } if self.is_run(host, run) => self.timer(host, timer),
            Event::Resume { host, run } if self.is_run(host, run) => self.resume(host),
            Event::Late { host, run, actions } if self.is_run(host, run) => {
                actions.into_iter().for_each(|action| self.perform(host, action));
            }
            Event::Written { host, run, ticket, state } if self.is_run(host, run) => {
                self.written(host, ticket, *state);
            }
            Event::Shortened { host, run, owner, seq, release } if self.is_run(host, run) => {
                self.shortened(host, owner, seq, release);
            }
            Event::Input { .. }
            | Event::Message { .. }
            | Event::Goodbye { .. }
            | Event::Probed { .. }
            | Event::Timer { .. }
            | Event::Resume { .. }
            | Event::Late { .. }
            | Event::Written { .. }
            | Event::Shortened { .. } => {} // Of a process that is no more.
            Event::Guard { host, run } => self.guard_acts(host, run),
            Event::Unpause { host } => self.unpause(host),
            Event::Start { host } => self.start(host),
            Event::Boot { host } => self.boot(host),
            Event::Restart { host } => self.restart(host),
            Event::PlugIn { host } => self.set_link(host, true),
            Event::Join { host } => self.join(host),
            Event::Stall { host, duration } if self.may_stall(host) => self.stall(host, duration),
            Event::Disturb { rule, duration } if self.quiet_since.is_none() => drop(self.disturb(rule, duration)),
            Event::Stall { .. } | Event::Disturb { .. } => {} // Faults are over, or the fence is exposed.
            Event::EndRule { number } => self.network.remove(at, number),
            Event::Kernel { host } => self.look_at_kernel(host),
            Event::Foreign { number, heard } => self.foreign_event(number, heard),
            Event::Tick => self.tick(),
            Event::Look => {}
        }
        tick
    }

    /// What happened since this was last asked.
    pub fn take_facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    /// Whether anything happened since then.
    pub fn has_facts(&self) -> bool {
        !self.facts.is_empty()
    }

    /// Steps of all engines so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The engine of a host's daemon.
    pub fn engine(&self, host: usize) -> Option<&mesh_core::Engine> {
        self.hosts[host].daemon.as_ref().map(|d| &d.engine)
    }

    /// Tells it to a host's daemon now: an operator's command, say.
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

    fn schedule(&mut self, after: Duration, event: Event) {
        self.queued += 1;
        self.queue.insert((self.now.saturating_add(after), self.queued), event);
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

    fn index_of(&self, id: NodeId) -> Option<usize> {
        self.hosts.iter().position(|h| h.id == id)
    }

    /// Lets a host's kernel end what is over, and notes what it serves. To be called after anything
    /// in it changed; it comes back by itself when the next thing ends.
    fn look_at_kernel(&mut self, host: usize) {
        let now = self.now;
        let machine = &mut self.hosts[host];
        let reading = machine.now(now);
        let alive = machine.up && machine.paused.is_none();
        let over = if alive { machine.kernel.expire(reading) } else { Vec::new() };
        let reached = |r: &usize| alive && machine.kernel.serves(virtual_address(*r), reading);
        let serves = (0..self.layout.routers).filter(reached).collect();
        if machine.serves != serves {
            machine.serves = serves;
            self.service_changes += 1;
        }
        let ends = machine.kernel.next_end(reading).filter(|_| alive).map(|end| machine.clock.when(end));
        if machine.look_at <= now {
            machine.look_at = Time::MAX;
        }
        if let Some(at) = ends.filter(|at| *at < machine.look_at) {
            machine.look_at = at;
            self.schedule(at - now, Event::Kernel { host });
        }
        for address in over {
            self.say(host, || format!("{address} goes, its lifetime is over"));
            let interface = crate::layout::INTERFACE.to_owned();
            self.schedule_input(Duration::ZERO, host, Input::AddressGone { interface, address });
        }
    }
}
