//! Several engines that talk to each other on a virtual clock.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::damping::Damper;
use crate::drift::Description;
use crate::input::{Datagram, ProbeAnswer};
use crate::orders::{Answer, Refused};
use crate::roster::ChangeRefusal;

mod damping;
mod drift;
mod moves;
mod whole;

#[derive(Clone, Debug)]
enum Delivery {
    Message {
        from: NodeId,
        to: NodeId,
        message: Message,
    },
    Advert {
        to: NodeId,
        datagram: Datagram,
    },
    Gossip {
        from: NodeId,
        to: NodeId,
        key: String,
        value: Option<String>,
    },
    /// The segment has been looked at.
    Probed {
        by: NodeId,
        probe: u64,
        address: IpAddr,
    },
    /// One node tells another how it is configured.
    Settings {
        from: NodeId,
        to: NodeId,
    },
    Stored {
        to: NodeId,
        ticket: u64,
    },
}

/// A node with a kernel that does what it is told and closes the fence by itself.
struct Node {
    engine: Engine,
    frozen: bool,
    fenced: BTreeSet<IpAddr>,
    open: BTreeMap<IpAddr, Instant>,
    present: BTreeSet<IpAddr>,
    decisions: Vec<(Instant, Decision)>,
    /// What came of orders.
    answers: Vec<Result<Answer, Refused>>,
    /// What came of changes of the roster.
    changes: Vec<Result<Roster, ChangeRefusal>>,
    /// What the run before left behind.
    left: Vec<Adopted>,
    /// What the runs before wrote down of what fell.
    holds: Vec<(RouterKey, Damper)>,
}

impl Node {
    fn serves(&self, now: Instant) -> bool {
        let open = !self.fenced.contains(&VIP) || self.open.get(&VIP).is_some_and(|until| *until > now);
        self.present.contains(&VIP) && open
    }
}

pub(super) struct Mesh {
    pub(super) now: Instant,
    nodes: BTreeMap<NodeId, Node>,
    wire: BTreeMap<(Instant, u64), Delivery>,
    serial: u64,
    /// Pairs whose first cannot reach its second by mesh messages.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// What it sends on the segment is lost, but for the mesh's own packets.
    mute: Option<NodeId>,
    /// Nobody hears adverts.
    deaf: bool,
    /// Nobody hears ARP.
    arp_lost: bool,
    /// Fewer than two may serve, from now on.
    exclusive: bool,
}

/// lb1 to lbN, of which the first three vote.
fn three_vote(n: u64) -> Roster {
    let mut roster = roster(n);
    roster.members.iter_mut().skip(3).for_each(|m| m.voter = false);
    roster
}

const LATENCY: Duration = Duration::from_micros(300);

impl Mesh {
    /// lb1 to lbN with priorities 200, 150, 100 and so on, connected.
    fn new(n: u64) -> Mesh {
        let mut mesh = Mesh { exclusive: n >= 3, ..Mesh::empty() };
        for id in 1..=n {
            mesh.start(NodeId(id), three_vote(n));
        }
        mesh
    }

    /// No director runs yet, of three.
    pub(super) fn empty() -> Mesh {
        Mesh {
            now: Instant::default(),
            nodes: BTreeMap::new(),
            wire: BTreeMap::new(),
            serial: 0,
            cut: BTreeSet::new(),
            mute: None,
            deaf: false,
            arp_lost: false,
            exclusive: true,
        }
    }

    pub(super) fn start(&mut self, id: NodeId, roster: Roster) {
        let vi_1 = router((250 - 50 * id.0) as u8);
        let engine = Engine::new(setup(id, Some(roster.clone())), config(vec![vi_1]), self.now);
        let node = Node {
            engine,
            frozen: false,
            fenced: BTreeSet::new(),
            open: BTreeMap::new(),
            present: BTreeSet::new(),
            decisions: Vec::new(),
            answers: Vec::new(),
            changes: Vec::new(),
            left: Vec::new(),
            holds: Vec::new(),
        };
        self.nodes.insert(id, node);
        self.step(id, Input::Interface(eth0(id)));
        for other in roster.members.iter().map(|m| m.id).filter(|o| *o != id) {
            if self.nodes.contains_key(&other) {
                self.step(id, peer_up(other));
                self.step(other, peer_up(id));
            }
        }
    }

    fn step(&mut self, id: NodeId, input: Input) {
        let node = self.nodes.get_mut(&id).unwrap();
        if node.frozen {
            return;
        }
        for action in node.engine.step(self.now, input) {
            self.perform(id, action);
            self.check();
        }
    }

    fn perform(&mut self, id: NodeId, action: Action) {
        let others: Vec<NodeId> = self.nodes.keys().copied().filter(|o| *o != id).collect();
        let node = self.nodes.get_mut(&id).unwrap();
        match action {
            Action::FenceInstall { addresses, .. } => {
                node.fenced = addresses.into_iter().collect();
                node.open.retain(|a, _| node.fenced.contains(a));
            }
            Action::FenceArm { addresses, until } => addresses.into_iter().for_each(|a| {
                node.open.insert(a, until);
            }),
            Action::FenceClose { addresses } => addresses.iter().for_each(|a| {
                node.open.remove(a);
            }),
            Action::AddAddress { address, .. } => {
                node.present.insert(address.net.addr());
            }
            Action::DelAddress { address, .. } => {
                node.present.remove(&address.net.addr());
            }
            Action::SweepAddresses { except, .. } => {
                node.present.retain(|a| except.iter().any(|(_, kept)| kept == a));
            }
            Action::LeaveBehind(left) => node.left = left,
            Action::KeepHolds(holds) => node.holds = holds,
            Action::Stopped => node.frozen = true,
            Action::Ordered { result, .. } => node.answers.push(result),
            Action::RosterChanged { result, .. } => node.changes.push(result),
            Action::Record(decision) => node.decisions.push((self.now, decision)),
            Action::SendMessage { to, message } => self.post(Delivery::Message { from: id, to, message }),
            Action::SendAdvertisement { interface, source, destination, payload, .. } => {
                for to in others {
                    let (interface, payload) = (interface.clone(), payload.clone());
                    let datagram = Datagram { interface, source, destination, ttl: 255, payload };
                    self.post(Delivery::Advert { to, datagram });
                }
            }
            Action::Publish { key, value } => {
                for to in others {
                    self.post(Delivery::Gossip { from: id, to, key: key.clone(), value: value.clone() });
                }
            }
            Action::ProbeAddresses { probe, addresses } => {
                assert_eq!(addresses.len(), 1);
                self.serial += 1;
                let at = self.now + Duration::from_millis(40);
                self.wire.insert((at, self.serial), Delivery::Probed { by: id, probe, address: addresses[0].1 });
            }
            Action::AskSettings { node } => self.post(Delivery::Settings { from: node, to: id }),
            Action::StoreRoster { ticket, .. } => self.post(Delivery::Stored { to: id, ticket }),
            Action::Announce { .. }
            | Action::MakeVmacs { .. }
            | Action::AddRoutes { .. }
            | Action::DelRoutes { .. }
            | Action::HaveStatics(_)
            | Action::AdoptRoster(_)
            | Action::Remember(_)
            | Action::RunScripts(_)
            | Action::WatchTracked { .. }
            | Action::TellServices(_)
            | Action::Tell(_)
            | Action::FenceAdopt { .. }
            | Action::KeepWill(_) => {}
        }
    }

    fn post(&mut self, delivery: Delivery) {
        self.serial += 1;
        self.wire.insert((self.now + LATENCY, self.serial), delivery);
    }

    fn check(&self) {
        let serving: Vec<NodeId> = self.serving();
        assert!(!self.exclusive || serving.len() <= 1, "{serving:?} serve at {:?}", self.now);
    }

    fn serving(&self) -> Vec<NodeId> {
        self.nodes.iter().filter(|(_, n)| n.serves(self.now)).map(|(id, _)| *id).collect()
    }

    pub(super) fn run_until(&mut self, end: Instant) {
        // Far more than any test needs in one go: a timer that spins fails the test.
        for budget in (0..200_000).rev() {
            assert!(budget > 0, "time stands still at {:?}", self.now);
            let due = |n: &Node| n.engine.work_due().filter(|_| !n.frozen).map(|(at, _)| at);
            let timer = self.nodes.iter().filter_map(|(id, n)| Some((due(n)?, *id))).min();
            let parcel = self.wire.first_key_value().map(|(at, _)| *at);
            let next = timer.map(|(at, _)| at).into_iter().chain(parcel.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|at| *at <= end) else { break };
            self.now = self.now.max(next);
            if let Some(parcel) = parcel.filter(|(at, _)| *at == next) {
                let delivery = self.wire.remove(&parcel).unwrap();
                self.deliver(delivery);
            } else if let Some((_, id)) = timer {
                self.step(id, Input::Timeout);
            }
            self.check();
        }
        self.now = end;
        self.check();
    }

    fn deliver(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Message { from, to, message } if !self.cut.contains(&(from, to)) => {
                if self.nodes.contains_key(&to) {
                    self.step(to, Input::Message { from, message });
                }
            }
            Delivery::Gossip { from, to, key, value } if !self.cut.contains(&(from, to)) => {
                self.step(to, Input::Gossip { node: from, key, value });
            }
            Delivery::Advert { to, datagram } if !self.deaf && !self.is_mute(datagram.source) => {
                self.step(to, Input::Advertisement(datagram))
            }
            Delivery::Probed { by, probe, address } => {
                let own =
                    || self.nodes.iter().filter(|(id, n)| source(**id) == address && !n.frozen).map(|(id, _)| *id);
                let have = if address == VIP { self.serving() } else { own().collect() };
                let heard = |id: &NodeId| *id != by && !self.arp_lost && !self.is_mute(source(*id));
                let answer = have.into_iter().find(heard);
                let answer = answer.map(|id| ProbeAnswer { address, mac: [2, 0, 0, 0, 0, id.0 as u8] });
                self.step(by, Input::Probed { probe, answer });
            }
            Delivery::Settings { from, to } => {
                let (settings, secrets) = self.nodes[&from].engine.described([7; 32]);
                let told = Description { settings: (*settings).clone(), secrets };
                self.step(to, Input::Settings { node: from, answer: Ok(Box::new(told)) });
            }
            Delivery::Stored { to, ticket } => self.step(to, Input::RosterStored { ticket }),
            Delivery::Message { .. } | Delivery::Gossip { .. } | Delivery::Advert { .. } => {}
        }
    }

    fn is_mute(&self, address: IpAddr) -> bool {
        self.mute.is_some_and(|id| source(id) == address)
    }

    /// Runs until exactly this node serves.
    pub(super) fn settles_on(&mut self, id: NodeId, limit: Duration) -> Duration {
        let begin = self.now;
        while self.serving() != [id] {
            assert!(self.now < begin + limit, "{:?} instead of {id:?} after {limit:?}", self.serving());
            self.run_until(self.now + Duration::from_millis(1));
        }
        self.now.since(begin)
    }

    /// Starts another run of a node that stopped, with the kernel as it is and whatever was left.
    fn start_again(&mut self, id: NodeId) {
        self.start_again_with(id, config(vec![router((250 - 50 * id.0) as u8)]));
    }

    fn start_again_with(&mut self, id: NodeId, config: Config) {
        let (now, roster) = (self.now, three_vote(self.nodes.len() as u64));
        let node = self.nodes.get_mut(&id).unwrap();
        let (adopted, holds) = (std::mem::take(&mut node.left), node.holds.clone());
        let setup = Setup { adopted, holds, ..setup(id, Some(roster.clone())) };
        node.engine = Engine::new(setup, config, now);
        node.frozen = false;
        self.step(id, Input::Interface(eth0(id)));
        for other in roster.members.iter().map(|m| m.id).filter(|o| *o != id) {
            self.step(id, peer_up(other));
        }
    }

    /// Has gossip tell a node what all others say, as a new run learns it.
    pub(super) fn gossip_to(&mut self, id: NodeId) {
        let others = self.nodes.iter().filter(|(other, _)| **other != id);
        let told = others.flat_map(|(other, node)| node.engine.published.clone().into_iter().map(|kv| (*other, kv)));
        for (from, (key, value)) in told.collect::<Vec<_>>() {
            self.post(Delivery::Gossip { from, to: id, key, value: Some(value) });
        }
    }

    pub(super) fn events(&self, id: NodeId) -> Vec<&RouterEvent> {
        let decisions = self.nodes[&id].decisions.iter();
        decisions.filter_map(|(_, d)| if let Decision::Router { event, .. } = d { Some(event) } else { None }).collect()
    }

    fn cut(&mut self, a: NodeId, b: NodeId) {
        self.cut.extend([(a, b), (b, a)]);
    }
}

fn settled() -> Mesh {
    let mut mesh = Mesh::new(3);
    mesh.settles_on(LB1, Duration::from_secs(4));
    mesh.run_until(mesh.now + Duration::from_secs(5));
    assert_eq!(mesh.serving(), [LB1]);
    mesh
}
