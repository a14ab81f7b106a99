//! Engines and what passes between them, event by event.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;
use mesh_config::model::{Config, Version, VirtualAddress, VirtualRouter};
use mesh_control::Liveness;
use mesh_core::input::{Datagram, Interface};
use mesh_core::lease::memory::VoterStart;
use mesh_core::{Action, Engine, Input, Instant, Setup};
use mesh_wire::mesh::codec;
use mesh_wire::mesh::{Family, NodeId, RouterKey};
use mesh_wire::vrrp::TTL;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use super::Fleet;
use super::figures::{Clock, Spread, Watched};
use super::gossip::{Gossip, INTERVAL, Learnt};
use crate::clock::{Time, ms};
use crate::layout::INTERFACE;

/// A message, an advert.
const DELAY: Duration = Duration::from_micros(500);
/// Connections are made over so long, in any order.
const CONNECTING: Duration = ms(1000);
/// A connection without an answer is gone after about so long: the mesh's idle timeout, since the last sign of life.
const IDLE: (Duration, Duration) = (ms(200), ms(310));
/// What is published goes out after a pause.
const ROUND_PAUSE: Duration = ms(20);
/// Peers that a new value goes to at once, voters first, as meshd has it.
const AT_ONCE: usize = 16;
/// The disk takes so long, and so does a probe.
const DISK: Duration = ms(5);
const PROBE: Duration = ms(40);
/// The boot-time clock at the start.
const BOOTED: Duration = ms(100_000);

#[derive(Debug)]
enum Event {
    Input(Box<Input>),
    Timer(u64),
    Round,
    /// What was published goes out to those that are connected.
    Wake,
}

struct Node {
    engine: Engine,
    alive: bool,
    timer: u64,
    timer_due: Option<Instant>,
    waking: bool,
}

/// All of them.
pub(super) struct World {
    fleet: Fleet,
    pub(super) now: Time,
    nodes: Vec<Node>,
    pub(super) gossip: Gossip,
    queue: BinaryHeap<Reverse<(Time, u64, usize)>>,
    events: std::collections::BTreeMap<u64, Event>,
    queued: u64,
    rng: StdRng,
    /// Bytes and messages each node sent.
    messages: Vec<(u64, u64)>,
    steps: Vec<Duration>,
    watching_since: Option<Time>,
    clock: Clock,
}

impl World {
    pub(super) fn new(fleet: Fleet) -> World {
        let mut world = World {
            fleet,
            now: Time::ZERO,
            nodes: Vec::new(),
            gossip: Gossip::new(fleet.nodes, fleet.seed),
            queue: BinaryHeap::new(),
            events: Default::default(),
            queued: 0,
            rng: StdRng::seed_from_u64(fleet.seed),
            messages: vec![(0, 0); fleet.nodes],
            steps: Vec::new(),
            watching_since: None,
            clock: Clock,
        };
        let roster = fleet.roster();
        for index in 0..fleet.nodes {
            let setup = Setup {
                node: node_id(index),
                name: format!("lb{}", index + 1),
                roster: Some(roster.clone()),
                successor: Default::default(),
                version: "fleet".to_owned(),
                seed: fleet.seed + index as u64,
                unix_at_zero: Duration::from_secs(1_790_000_000),
                voter: VoterStart::default(),
                adopted: Vec::new(),
                holds: Vec::new(),
            };
            let engine = Engine::new(setup, world.config(index), world.reading());
            world.nodes.push(Node { engine, alive: true, timer: 0, timer_due: None, waking: false });
        }
        world.start();
        world
    }

    fn start(&mut self) {
        for index in 0..self.fleet.nodes {
            let net = IpNet::new(address(index), 16).expect("16 is a prefix length");
            let (name, addresses) = (INTERFACE.to_owned(), vec![net]);
            self.schedule_input(
                ms(1),
                index,
                Input::Interface(Interface { name, running: true, addresses, unusable: Vec::new() }),
            );
            let first = INTERVAL.mul_f64(self.rng.random_range(0.0..1.0));
            self.schedule(first, index, Event::Round);
            for other in 0..index {
                let at = CONNECTING.mul_f64(self.rng.random_range(0.05..1.0));
                for (node, peer) in [(index, other), (other, index)] {
                    self.schedule_input(at, node, Input::PeerUp { node: node_id(peer), rtt: DELAY * 2 });
                }
            }
        }
    }

    fn config(&self, index: usize) -> Config {
        let place = |router: usize| self.fleet.sharers(router).position(|sharer| sharer == index);
        let routers = (0..self.fleet.routers).filter_map(|router| {
            let key = RouterKey { family: Family::Ipv4, vrid: router as u8 + 1, segment: 0 };
            let net = IpNet::new(virtual_address(router), 24).expect("24 is a prefix length");
            Some(VirtualRouter {
                priority: 200 - 20 * place(router)? as u8,
                version: Version::V3,
                addresses: vec![VirtualAddress::new(net)],
                ..VirtualRouter::new(format!("VI_{}", router + 1), key, INTERFACE)
            })
        });
        Config { routers: routers.collect(), ..Config::default() }
    }

    fn reading(&self) -> Instant {
        Instant::from_nanos((BOOTED + self.now).as_nanos() as u64)
    }

    fn schedule(&mut self, after: Duration, node: usize, event: Event) {
        self.queued += 1;
        self.queue.push(Reverse((self.now + after, self.queued, node)));
        self.events.insert(self.queued, event);
    }

    fn schedule_input(&mut self, after: Duration, node: usize, input: Input) {
        self.schedule(after, node, Event::Input(Box::new(input)));
    }

    pub(super) fn run_until(&mut self, until: Time) {
        while self.queue.peek().is_some_and(|Reverse((at, ..))| *at <= until) {
            self.advance();
        }
        self.now = until;
    }

    fn advance(&mut self) {
        let Some(Reverse((at, number, node))) = self.queue.pop() else { return };
        let event = self.events.remove(&number).expect("every event in the queue is there");
        self.now = at;
        if !self.nodes[node].alive {
            return;
        }
        match event {
            Event::Input(input) => self.step(node, *input),
            Event::Timer(timer) if timer == self.nodes[node].timer => {
                self.nodes[node].timer_due = None;
                self.step(node, Input::Timeout);
            }
            Event::Timer(_) => {}
            Event::Round => self.round(node),
            Event::Wake => {
                self.nodes[node].waking = false;
                for other in self.told_at_once(node) {
                    self.exchange(node, other);
                }
            }
        }
    }

    /// Whom a node tells at once what is new: voters, and others by chance.
    fn told_at_once(&mut self, node: usize) -> Vec<usize> {
        let reached = |other: &usize| *other != node && self.nodes[*other].alive;
        let voters = (0..super::VOTERS).filter(reached).collect::<Vec<_>>();
        let mut others: Vec<usize> = (super::VOTERS..self.fleet.nodes).filter(reached).collect();
        let room = AT_ONCE.saturating_sub(voters.len()).min(others.len());
        let (chosen, _) = others.partial_shuffle(&mut self.rng, room);
        voters.into_iter().chain(chosen.iter().copied()).collect()
    }

    fn round(&mut self, node: usize) {
        self.schedule(INTERVAL, node, Event::Round);
        for other in self.gossip.partners(node) {
            if self.nodes[other].alive {
                self.exchange(node, other);
            }
        }
        for (of, alive) in self.gossip.judge(self.now, node) {
            self.schedule_input(Duration::ZERO, node, Input::Heard { node: node_id(of), alive });
        }
    }

    fn exchange(&mut self, one: usize, other: usize) {
        let living = self.nodes.iter().filter(|node| node.alive).count();
        let learnt = self.gossip.exchange(self.now, one, other, living);
        for (node, Learnt { values }) in [one, other].into_iter().zip(learnt) {
            for (of, version) in values {
                let told = self.gossip.value(of, version);
                let (key, value) = (told.key.clone(), told.value.clone());
                self.schedule_input(DELAY, node, Input::Gossip { node: node_id(of), key, value });
            }
        }
    }

    fn step(&mut self, node: usize, input: Input) {
        let now = self.reading();
        let begin = self.clock.now();
        let actions = self.nodes[node].engine.step(now, input);
        if self.watching_since.is_some() {
            self.steps.push(self.clock.now() - begin);
        }
        for action in actions {
            self.perform(node, action);
        }
        self.set_timer(node);
    }

    fn set_timer(&mut self, node: usize) {
        let Some((due, _)) = self.nodes[node].engine.deadline() else { return };
        let machine = &mut self.nodes[node];
        if machine.timer_due == Some(due) {
            return;
        }
        machine.timer_due = Some(due);
        machine.timer += 1;
        let timer = machine.timer;
        let after = due.since(self.reading());
        self.schedule(after, node, Event::Timer(timer));
    }

    fn perform(&mut self, node: usize, action: Action) {
        match action {
            Action::SendMessage { to, message } => {
                let sent = &mut self.messages[node];
                // One byte tells messages from gossip.
                *sent = (sent.0 + codec::encode(&message).len() as u64 + 1, sent.1 + 1);
                self.schedule_input(DELAY, index_of(to), Input::Message { from: node_id(node), message });
            }
            Action::SendAdvertisement { interface, source, destination, payload, .. } => {
                let router = usize::from(payload[1]) - 1;
                let datagram = Datagram { interface, source, destination, ttl: TTL, payload };
                for other in self.fleet.sharers(router).filter(|other| *other != node).collect::<Vec<_>>() {
                    self.schedule_input(DELAY, other, Input::Advertisement(datagram.clone()));
                }
            }
            Action::Publish { key, value } => {
                self.gossip.publish(node, self.now, key, value);
                if !std::mem::replace(&mut self.nodes[node].waking, true) {
                    self.schedule(ROUND_PAUSE, node, Event::Wake);
                }
            }
            Action::StoreRoster { ticket, .. } => self.schedule_input(DISK, node, Input::RosterStored { ticket }),
            Action::ProbeAddresses { probe, .. } => {
                self.schedule_input(PROBE, node, Input::Probed { probe, answer: None });
            }
            // Everything else stays on its host.
            _ => {}
        }
    }

    /// From here on messages, gossip and steps count.
    pub(super) fn begin_watching(&mut self) {
        self.watching_since = Some(self.now);
        self.messages.fill((0, 0));
        self.gossip.sent.fill(0);
        self.gossip.since = self.now;
    }

    pub(super) fn watched(&mut self) -> Watched {
        let seconds = self.watching_since.map_or(1.0, |since| (self.now - since).as_secs_f64());
        let rate = |count: u64| count as f64 / seconds;
        Watched {
            steps: Spread::of(std::mem::take(&mut self.steps)),
            voters: self.messages[..super::VOTERS].iter().map(|(bytes, _)| rate(*bytes)).fold(0.0, f64::max),
            messages: self.messages.iter().map(|(bytes, _)| rate(*bytes)).sum::<f64>() / self.fleet.nodes as f64,
            gossip: self.gossip.sent.iter().map(|bytes| rate(*bytes)).sum::<f64>() / self.fleet.nodes as f64,
        }
    }

    /// How many routers somebody serves, as the first director sees it.
    pub(super) fn served(&self) -> usize {
        self.owners(0).into_iter().flatten().count()
    }

    fn owners(&self, seen_by: usize) -> Vec<Option<String>> {
        let status = self.nodes[seen_by].engine.status(self.reading());
        status.routers.into_iter().map(|router| router.active).collect()
    }

    /// A director that serves and does not vote.
    pub(super) fn victim(&self) -> usize {
        let owners = self.owners(0);
        let serving = |node: &usize| owners.iter().flatten().any(|name| *name == format!("lb{}", node + 1));
        (super::VOTERS..self.fleet.nodes).find(serving).expect("a director without a vote serves")
    }

    /// The routers a node serves, as places in the map.
    pub(super) fn owned_by(&self, node: usize) -> Vec<usize> {
        let name = format!("lb{}", node + 1);
        let owners = self.owners(0).into_iter().enumerate();
        owners.filter(|(_, owner)| owner.as_deref() == Some(&name)).map(|(at, _)| at).collect()
    }

    /// Its host loses power.
    pub(super) fn kill(&mut self, victim: usize) {
        self.nodes[victim].alive = false;
        for node in (0..self.fleet.nodes).filter(|node| *node != victim) {
            let after = IDLE.0 + (IDLE.1 - IDLE.0).mul_f64(self.rng.random_range(0.0..1.0));
            self.schedule_input(after, node, Input::PeerDown { node: node_id(victim), left: false });
        }
    }

    /// When all had lost their connections to a dead node, and when all knew that nobody hears it.
    pub(super) fn run_until_known(&mut self, victim: usize, until: Time) -> Option<(Time, Time)> {
        let mut suspected = None;
        while self.now < until {
            self.run_until(self.now + ms(20));
            let seen: Vec<Liveness> = self.living().map(|node| self.liveness(node, victim)).collect();
            if suspected.is_none() && seen.iter().all(|liveness| *liveness != Liveness::Alive) {
                suspected = Some(self.now);
            }
            if seen.iter().all(|liveness| *liveness == Liveness::Dead) {
                return Some((suspected?, self.now));
            }
        }
        None
    }

    /// When everybody knew that others serve what it did.
    pub(super) fn run_until_served_by_others(&mut self, lost: &[usize], victim: usize, until: Time) -> Option<Time> {
        let name = format!("lb{}", victim + 1);
        let first = self.living().next()?;
        while self.now < until {
            let owners = self.owners(first);
            let all = |owners: &[Option<String>]| {
                lost.iter().all(|at| owners[*at].as_ref().is_some_and(|owner| *owner != name))
            };
            if all(&owners) && self.living().all(|node| all(&self.owners(node))) {
                return Some(self.now);
            }
            self.run_until(self.now + ms(50));
        }
        None
    }

    fn living(&self) -> impl Iterator<Item = usize> {
        (0..self.fleet.nodes).filter(|node| self.nodes[*node].alive)
    }

    fn liveness(&self, node: usize, of: usize) -> Liveness {
        self.nodes[node].engine.liveness(node_id(of))
    }

    /// What one map costs.
    pub(super) fn time_status(&self) -> Spread {
        let times = (0..10).map(|_| {
            let begin = self.clock.now();
            std::hint::black_box(self.nodes[0].engine.status(self.reading()));
            self.clock.now() - begin
        });
        Spread::of(times.collect())
    }
}

/// Identity of a director.
pub(super) fn node_id(index: usize) -> NodeId {
    NodeId(0x1000 + index as u64)
}

fn index_of(node: NodeId) -> usize {
    (node.0 - 0x1000) as usize
}

/// Address of a director.
pub(super) fn address(index: usize) -> IpAddr {
    let [high, low] = (index as u16 + 1).to_be_bytes();
    Ipv4Addr::new(10, 1, high, low).into()
}

fn virtual_address(router: usize) -> IpAddr {
    Ipv4Addr::new(10, 1, 200, router as u8 + 1).into()
}
