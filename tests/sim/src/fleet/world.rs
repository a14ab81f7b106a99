//! Engines and what passes between them, event by event.

mod events;
mod watch;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use ipnet::IpNet;
use mesh_config::model::{Config, Version, VirtualAddress, VirtualRouter};
use mesh_core::input::{Datagram, Interface};
use mesh_core::lease::memory::VoterStart;
use mesh_core::{Action, Engine, Input, Instant, Setup};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::codec;
use mesh_wire::mesh::lease::Message;
use mesh_wire::vrrp::TTL;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};

use self::events::{Event, Events};
use super::Fleet;
use super::figures::{Bytes, Clock};
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

struct Node {
    engine: Engine,
    alive: bool,
    timer: u64,
    timer_due: Option<Instant>,
    waking: bool,
    /// Nodes before it that it is not connected with yet, in the order they come in, from the last on.
    to_meet: Vec<u16>,
}

/// All of them.
pub(super) struct World {
    fleet: Fleet,
    pub(super) now: Time,
    nodes: Vec<Node>,
    pub(super) gossip: Gossip,
    events: Events,
    rng: StdRng,
    living: usize,
    /// Bytes of messages each node sent.
    sent: Vec<Bytes>,
    /// Bytes of the roster of an epoch, which is sent so often that it is not encoded each time.
    roster_bytes: (u64, u64),
    /// Real times of steps, while these are taken.
    steps: Option<Vec<Duration>>,
    since: Time,
    clock: Clock,
}

impl World {
    pub(super) fn new(fleet: Fleet) -> World {
        let mut world = World {
            fleet,
            now: Time::ZERO,
            nodes: Vec::new(),
            gossip: Gossip::new(fleet.nodes, fleet.seed),
            events: Events::default(),
            rng: StdRng::seed_from_u64(fleet.seed),
            living: fleet.nodes,
            sent: vec![Bytes::default(); fleet.nodes],
            roster_bytes: (0, 0),
            steps: None,
            since: Time::ZERO,
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
            let to_meet = Vec::new();
            world.nodes.push(Node { engine, alive: true, timer: 0, timer_due: None, waking: false, to_meet });
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
            let mut others: Vec<u16> = (0..index as u16).collect();
            others.shuffle(&mut self.rng);
            self.nodes[index].to_meet = others;
            let first = CONNECTING.mul_f64(self.rng.random_range(0.05..0.1));
            self.schedule(first, index, Event::Meet);
        }
    }

    fn config(&self, index: usize) -> Config {
        let place = |router: usize| self.fleet.sharers(router).position(|sharer| sharer == index);
        let routers = (0..self.fleet.routers).filter_map(|router| {
            let net = IpNet::new(virtual_address(router), 24).expect("24 is a prefix length");
            Some(VirtualRouter {
                priority: 200 - 20 * place(router)? as u8,
                version: Version::V3,
                addresses: vec![VirtualAddress::new(net)],
                ..VirtualRouter::new(format!("VI_{}", router + 1), watch::key(router), INTERFACE)
            })
        });
        let mut config = Config { routers: routers.collect(), ..Config::default() };
        config.mesh.placement.spread = self.fleet.spread;
        config
    }

    fn reading(&self) -> Instant {
        Instant::from_nanos((BOOTED + self.now).as_nanos() as u64)
    }

    fn schedule(&mut self, after: Duration, node: usize, event: Event) {
        self.events.push(self.now + after, node, event);
    }

    fn schedule_input(&mut self, after: Duration, node: usize, input: Input) {
        self.schedule(after, node, Event::Input(Box::new(input)));
    }

    pub(super) fn run_until(&mut self, until: Time) {
        while let Some((at, node, event)) = self.events.pop_until(until) {
            self.now = at;
            if self.nodes[node].alive {
                self.happen(node, event);
            }
        }
        self.now = until;
    }

    fn happen(&mut self, node: usize, event: Event) {
        match event {
            Event::Input(input) => self.step(node, *input),
            Event::Timer(timer) if timer == self.nodes[node].timer => {
                self.nodes[node].timer_due = None;
                self.step(node, Input::Timeout);
            }
            Event::Timer(_) => {}
            Event::Round => self.round(node),
            Event::Meet => self.meet(node),
            Event::Wake => {
                self.nodes[node].waking = false;
                for other in self.told_at_once(node) {
                    self.exchange(node, other);
                }
            }
        }
    }

    /// The next connection with one of those before it.
    fn meet(&mut self, node: usize) {
        let Some(other) = self.nodes[node].to_meet.pop().map(usize::from) else { return };
        for (one, peer) in [(node, other), (other, node)] {
            self.step(one, Input::PeerUp { node: node_id(peer), rtt: DELAY * 2 });
        }
        self.schedule(CONNECTING.mul_f64(0.9 / node as f64), node, Event::Meet);
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
        let learnt = self.gossip.exchange(self.now, one, other, self.living);
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
        if let Some(steps) = &mut self.steps {
            steps.push(self.clock.now() - begin);
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

    fn count(&mut self, node: usize, message: &Message) {
        // One byte tells messages from gossip.
        let length = |message: &Message| codec::encode(message).len() as u64 + 1;
        let sent = &mut self.sent[node];
        match message {
            Message::Roster(roster) => {
                if self.roster_bytes.0 != roster.epoch {
                    self.roster_bytes = (roster.epoch, length(message));
                }
                sent.rosters += self.roster_bytes.1;
            }
            Message::Consensus(_) => sent.rosters += length(message),
            Message::Move(_) => sent.moves += length(message),
            _ => sent.leases += length(message),
        }
    }

    fn perform(&mut self, node: usize, action: Action) {
        match action {
            Action::SendMessage { to, message } => {
                self.count(node, &message);
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
