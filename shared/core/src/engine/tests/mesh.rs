//! Several engines that talk to each other on a virtual clock.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::damping::Damper;
use crate::drift::Description;
use crate::input::{Datagram, ProbeAnswer};
use crate::orders::{Answer, Refused};

mod damping;
mod drift;
mod moves;

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

struct Mesh {
    now: Instant,
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
        let mut mesh = Mesh {
            now: Instant::default(),
            nodes: BTreeMap::new(),
            wire: BTreeMap::new(),
            serial: 0,
            cut: BTreeSet::new(),
            mute: None,
            deaf: false,
            arp_lost: false,
            exclusive: n >= 3,
        };
        for id in 1..=n {
            mesh.start(NodeId(id), three_vote(n));
        }
        mesh
    }

    fn start(&mut self, id: NodeId, roster: Roster) {
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
            Action::SweepAddresses { except } => {
                node.present.retain(|a| except.iter().any(|(_, kept)| kept == a));
            }
            Action::LeaveBehind(left) => node.left = left,
            Action::KeepHolds(holds) => node.holds = holds,
            Action::Stopped => node.frozen = true,
            Action::Ordered { result, .. } => node.answers.push(result),
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
            | Action::RosterChanged { .. }
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

    fn run_until(&mut self, end: Instant) {
        // Far more than any test needs in one go: a timer that spins fails the test.
        for budget in (0..200_000).rev() {
            assert!(budget > 0, "time stands still at {:?}", self.now);
            let due = |n: &Node| n.engine.deadline().filter(|_| !n.frozen).map(|(at, _)| at);
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
    fn settles_on(&mut self, id: NodeId, limit: Duration) -> Duration {
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
    fn gossip_to(&mut self, id: NodeId) {
        let others = self.nodes.iter().filter(|(other, _)| **other != id);
        let told = others.flat_map(|(other, node)| node.engine.published.clone().into_iter().map(|kv| (*other, kv)));
        for (from, (key, value)) in told.collect::<Vec<_>>() {
            self.post(Delivery::Gossip { from, to: id, key, value: Some(value) });
        }
    }

    fn events(&self, id: NodeId) -> Vec<&RouterEvent> {
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

#[test]
fn the_worthiest_of_three_serves_and_nothing_moves() {
    let mut mesh = settled();
    mesh.run_until(mesh.now + Duration::from_secs(60));
    assert_eq!(mesh.serving(), [LB1]);
    assert_eq!(mesh.events(LB1).iter().filter(|e| matches!(e, RouterEvent::Active { .. })).count(), 1);
    assert_eq!(mesh.events(LB2), [&RouterEvent::Backup], "ready, and nothing since");
}

#[test]
fn a_frozen_owner_is_replaced_within_a_second_and_comes_back_in_peace() {
    let mut mesh = settled();
    mesh.nodes.get_mut(&LB1).unwrap().frozen = true;
    let took = mesh.settles_on(LB2, Duration::from_millis(1100));
    assert!(took < Duration::from_millis(1050), "{took:?}");
    mesh.run_until(mesh.now + Duration::from_secs(3));
    mesh.nodes.get_mut(&LB1).unwrap().frozen = false;
    mesh.step(LB1, Input::Timeout);
    mesh.run_until(mesh.now + Duration::from_secs(10));
    assert_eq!(mesh.serving(), [LB1], "preempts by a planned move");
    let vetoed = |e: &&&RouterEvent| matches!(e, RouterEvent::Vetoed { .. });
    assert_eq!(mesh.events(LB3).iter().filter(vetoed).count(), 0, "lb3 never had a reason to claim");
}

#[test]
fn an_orderly_stop_hands_over_in_milliseconds() {
    let mut mesh = settled();
    mesh.step(LB1, Input::Shutdown);
    let took = mesh.settles_on(LB2, Duration::from_millis(50));
    assert!(took < Duration::from_millis(10), "{took:?}");
}

/// Who does not vote has no grant of its own to look at, but hears the successor.
#[test]
fn a_handover_is_no_reason_to_claim_for_the_others() {
    let mut mesh = Mesh::new(4);
    mesh.settles_on(LB1, Duration::from_secs(4));
    mesh.run_until(mesh.now + Duration::from_secs(5));
    mesh.step(LB1, Input::Shutdown);
    mesh.settles_on(LB2, Duration::from_millis(50));
    mesh.run_until(mesh.now + Duration::from_secs(5));
    for id in [LB3, NodeId(4)] {
        assert_eq!(mesh.events(id), [&RouterEvent::Backup], "{id:?}: ready, and nothing since");
    }
}

/// The owner of the addresses asks like everybody else, and is handed what it owns.
#[test]
fn an_address_owner_gets_it_by_a_planned_move() {
    let mut mesh = settled();
    let owner = config(vec![router(255)]);
    mesh.step(LB3, Input::Configure(Box::new(owner)));
    let took = mesh.settles_on(LB3, Duration::from_secs(4));
    assert!(took < Duration::from_millis(3100), "{took:?}");
    mesh.run_until(mesh.now + Duration::from_secs(10));
    assert_eq!(mesh.serving(), [LB3]);
    assert_eq!(mesh.events(LB1).last(), Some(&&RouterEvent::Backup));
}

/// Real servers are better reached from elsewhere: a planned move there, and back when that ends.
#[test]
fn an_owner_that_does_not_reach_its_real_servers_hands_over() {
    let mut mesh = settled();
    let unfit: BTreeMap<_, _> = [(VIP, "it does not reach 3 of 4 real servers".to_owned())].into();
    mesh.step(LB1, Input::Unfit(unfit.clone()));
    mesh.settles_on(LB2, Duration::from_millis(50));
    mesh.run_until(mesh.now + Duration::from_secs(20));
    assert_eq!(mesh.serving(), [LB2]);
    let cause = &mesh.nodes[&LB1].engine.instances[&KEY].transition.cause;
    assert_eq!(cause, "handed over to lb2: it does not reach 3 of 4 real servers");
    // The next one is no better off, and the third is.
    mesh.step(LB2, Input::Unfit(unfit));
    mesh.settles_on(LB3, Duration::from_millis(50));
    mesh.step(LB1, Input::Unfit(BTreeMap::new()));
    mesh.settles_on(LB1, Duration::from_secs(4));
}

#[test]
fn who_is_as_badly_off_as_all_others_goes_on_serving() {
    let mut mesh = settled();
    for id in [LB2, LB3, LB1] {
        mesh.step(id, Input::Unfit([(VIP, "none of 4 real servers answers it".to_owned())].into()));
        mesh.run_until(mesh.now + Duration::from_secs(1));
    }
    mesh.run_until(mesh.now + Duration::from_secs(20));
    assert_eq!(mesh.serving(), [LB1]);
    assert_eq!(mesh.events(LB2), [&RouterEvent::Backup], "ready, and nothing since");
}

#[test]
fn without_adverts_the_voters_still_refuse() {
    let mut mesh = settled();
    mesh.deaf = true;
    mesh.run_until(mesh.now + Duration::from_secs(20));
    assert_eq!(mesh.serving(), [LB1]);
    assert!(mesh.events(LB2).iter().any(|e| matches!(e, RouterEvent::Vetoed { by } if by.len() >= 2)));
    mesh.deaf = false;
    mesh.run_until(mesh.now + Duration::from_secs(3));
    assert_eq!(mesh.nodes[&LB2].engine.instances[&KEY].state(), RouterState::Backup);
}

#[test]
fn an_owner_whom_nobody_hears_on_the_segment_hands_over_and_comes_back_when_it_is_heard() {
    let mut mesh = settled();
    mesh.mute = Some(LB1);
    let gap = mesh.settles_on(LB2, Duration::from_secs(5));
    assert!(gap > Duration::from_secs(3), "after a down interval, not {gap:?}");
    mesh.run_until(mesh.now + Duration::from_secs(60));
    assert_eq!(mesh.serving(), [LB2]);
    let moves = mesh.events(LB2).iter().filter(|e| matches!(e, RouterEvent::Active { .. })).count();
    assert_eq!(moves, 1, "it does not go to and fro");
    mesh.mute = None;
    mesh.settles_on(LB1, Duration::from_secs(20));
}

#[test]
fn an_owner_without_a_majority_closes_before_the_others_open() {
    let mut mesh = settled();
    mesh.cut(LB1, LB2);
    mesh.cut(LB1, LB3);
    mesh.deaf = true;
    mesh.settles_on(LB2, Duration::from_millis(1100));
    mesh.cut.clear();
    mesh.deaf = false;
    mesh.run_until(mesh.now + Duration::from_secs(10));
    assert_eq!(mesh.serving(), [LB1]);
}

#[test]
fn one_way_loss_moves_it_once() {
    let mut mesh = settled();
    // lb1 hears, but nobody hears lb1.
    mesh.cut.extend([(LB1, LB2), (LB1, LB3)]);
    mesh.run_until(mesh.now + Duration::from_secs(20));
    assert_ne!(mesh.serving(), [LB1]);
    assert_eq!(mesh.serving().len(), 1);
}

#[test]
fn a_single_cut_pair_moves_nothing() {
    let mut mesh = settled();
    mesh.cut(LB1, LB2);
    mesh.run_until(mesh.now + Duration::from_secs(20));
    assert_eq!(mesh.serving(), [LB1]);
    assert_eq!(mesh.events(LB1).iter().filter(|e| matches!(e, RouterEvent::Active { .. })).count(), 1);
}

#[test]
fn a_node_that_comes_back_worthier_gets_it_by_a_planned_move() {
    let mut mesh = settled();
    mesh.step(LB1, Input::InterfaceGone { name: "eth0".into() });
    mesh.settles_on(LB2, Duration::from_millis(50));
    mesh.run_until(mesh.now + Duration::from_secs(3));
    mesh.step(LB1, Input::Interface(eth0(LB1)));
    mesh.settles_on(LB1, Duration::from_secs(8));
    let last = mesh.events(LB2).last().copied().cloned();
    assert_eq!(last, Some(RouterEvent::Backup), "handed over, not lost");
}

#[test]
fn a_mesh_grows_from_one_to_three_without_a_gap() {
    let mut mesh = Mesh::new(1);
    mesh.settles_on(LB1, Duration::from_secs(4));
    for n in [2, 3] {
        mesh.start(NodeId(n), roster(n));
        for id in 1..n {
            mesh.step(NodeId(id), Input::Roster(roster(n)));
        }
        for id in 1..n {
            mesh.step(NodeId(id), peer_up(NodeId(n)));
        }
        mesh.exclusive = n == 3;
        for _ in 0..10_000 {
            mesh.run_until(mesh.now + Duration::from_millis(1));
            assert_eq!(mesh.serving(), [LB1], "at {:?}", mesh.now);
        }
    }
    let lb1 = &mesh.nodes[&LB1];
    assert!(lb1.engine.instances[&KEY].lease.is_held());
    assert!(lb1.fenced.contains(&VIP), "enforced from now on");
}

/// One owner after another under any single cut, with the same epoch for none of them.
#[test]
fn owners_follow_each_other_under_rising_epochs() {
    let mut mesh = settled();
    for round in 0..6 {
        let owner = mesh.serving()[0];
        let others: Vec<NodeId> = mesh.nodes.keys().copied().filter(|n| *n != owner).collect();
        others.iter().for_each(|other| mesh.cut(owner, *other));
        mesh.run_until(mesh.now + Duration::from_secs(6));
        assert_eq!(mesh.serving().len(), 1, "round {round}");
        mesh.cut.clear();
        mesh.run_until(mesh.now + Duration::from_secs(1));
    }
    let mut epochs: Vec<(Instant, u64)> = Vec::new();
    for node in mesh.nodes.values() {
        epochs.extend(node.decisions.iter().filter_map(|(at, d)| match d {
            Decision::Router { event: RouterEvent::Active { epoch, .. }, .. } => Some((*at, *epoch)),
            _ => None,
        }));
    }
    epochs.sort_unstable();
    assert!(epochs.len() >= 7);
    assert!(epochs.windows(2).all(|w| w[0].1 < w[1].1), "{epochs:?}");
}

/// The lease outlasts the change, whoever serves next.
#[test]
fn a_run_that_is_replaced_in_time_goes_on_serving() {
    for away in [0, 100, 1000, 2800] {
        let mut mesh = settled();
        mesh.step(LB1, Input::Keep);
        for _ in 0..away + 10 {
            mesh.run_until(mesh.now + Duration::from_millis(1));
            assert_eq!(mesh.serving(), [LB1], "away for {away} ms, at {:?}", mesh.now);
        }
        assert!(mesh.nodes[&LB1].frozen, "it has stopped");
        mesh.start_again(LB1);
        for _ in 0..10_000 {
            mesh.run_until(mesh.now + Duration::from_millis(1));
            assert_eq!(mesh.serving(), [LB1], "away for {away} ms, at {:?}", mesh.now);
        }
        assert_eq!(mesh.nodes[&LB1].engine.instances[&KEY].held_epoch(), 1);
        assert!(!mesh.events(LB2).iter().any(|e| matches!(e, RouterEvent::Active { .. })));
    }
}

#[test]
fn a_run_that_comes_too_late_finds_another_owner() {
    let mut mesh = settled();
    mesh.step(LB1, Input::Keep);
    mesh.settles_on(LB2, Duration::from_millis(3100));
    mesh.start_again(LB1);
    assert_eq!(mesh.serving(), [LB2]);
    mesh.run_until(mesh.now + Duration::from_secs(10));
    assert_eq!(mesh.serving(), [LB1], "by a planned move");
}

/// It begins to adopt, and nobody can be asked.
#[test]
fn a_run_that_is_replaced_without_voters_lets_go_in_time() {
    let mut mesh = settled();
    mesh.step(LB1, Input::Keep);
    mesh.run_until(mesh.now + Duration::from_millis(10));
    mesh.cut(LB1, LB2);
    mesh.cut(LB1, LB3);
    mesh.deaf = true;
    mesh.start_again(LB1);
    mesh.settles_on(LB2, Duration::from_millis(3100));
}

/// It serves without a lease, or will before it has ended: the next run does as well.
#[test]
fn the_last_of_two_is_replaced_without_a_gap() {
    for (alone, away) in [(50, 10), (50, 600), (3000, 10), (3000, 1000), (860, 300)] {
        let mut mesh = Mesh::new(2);
        mesh.settles_on(LB1, Duration::from_secs(4));
        mesh.run_until(mesh.now + Duration::from_secs(5));
        mesh.exclusive = true;
        mesh.nodes.get_mut(&LB2).unwrap().frozen = true;
        mesh.run_until(mesh.now + Duration::from_millis(alone));
        mesh.step(LB1, Input::PeerDown { node: LB2, left: false });
        mesh.step(LB1, Input::Keep);
        mesh.run_until(mesh.now + Duration::from_millis(160));
        assert!(mesh.nodes[&LB1].frozen, "it has stopped");
        mesh.run_until(mesh.now + Duration::from_millis(away));
        mesh.start_again(LB1);
        mesh.step(LB1, Input::PeerDown { node: LB2, left: false });
        for _ in 0..6000 {
            mesh.run_until(mesh.now + Duration::from_millis(1));
            assert_eq!(mesh.serving(), [LB1], "alone for {alone} ms, away for {away} ms, at {:?}", mesh.now);
        }
        mesh.nodes.get_mut(&LB2).unwrap().frozen = false;
        mesh.step(LB2, Input::Timeout);
        mesh.step(LB1, peer_up(LB2));
        mesh.run_until(mesh.now + Duration::from_secs(5));
        assert_eq!(mesh.serving(), [LB1]);
        assert!(mesh.nodes[&LB1].engine.instances[&KEY].lease.is_held());
    }
}

/// The voter that was missing makes a majority again: nobody waits for VRRP's timer.
#[test]
fn a_majority_that_comes_back_has_an_owner_in_milliseconds() {
    let mut mesh = settled();
    mesh.nodes.get_mut(&LB1).unwrap().frozen = true;
    mesh.cut(LB2, LB3);
    for (a, b) in [(LB2, LB3), (LB3, LB2), (LB2, LB1), (LB3, LB1)] {
        mesh.step(a, Input::PeerDown { node: b, left: false });
    }
    mesh.run_until(mesh.now + Duration::from_millis(4600));
    assert_eq!(mesh.serving(), []);
    mesh.cut.clear();
    mesh.step(LB2, peer_up(LB3));
    mesh.step(LB3, peer_up(LB2));
    let took = mesh.settles_on(LB2, Duration::from_millis(600));
    assert!(took < Duration::from_millis(20), "{took:?}");
}

/// Two voters: what each path between them is worth, and none.
#[test]
fn two_nodes_have_two_owners_only_without_any_path_between_them() {
    for (votes, adverts, arp, both) in [
        (false, true, true, false),
        (true, false, true, false),
        (false, false, true, false),
        (false, false, false, true),
    ] {
        let mut mesh = Mesh::new(2);
        mesh.settles_on(LB1, Duration::from_secs(4));
        mesh.run_until(mesh.now + Duration::from_secs(5));
        mesh.exclusive = !both;
        (mesh.deaf, mesh.arp_lost) = (!adverts, !arp);
        if !votes {
            mesh.cut(LB1, LB2);
            mesh.step(LB1, Input::PeerDown { node: LB2, left: false });
            mesh.step(LB2, Input::PeerDown { node: LB1, left: false });
        }
        for _ in 0..20_000 {
            mesh.run_until(mesh.now + Duration::from_millis(1));
            assert!(mesh.serving().contains(&LB1), "no gap, votes {votes}, adverts {adverts}, ARP {arp}");
        }
        assert_eq!(mesh.serving().len(), if both { 2 } else { 1 });
        let unprotected = mesh.nodes[&LB1].engine.serves_without_lease();
        assert_eq!(unprotected, !votes);
        mesh.cut.clear();
        (mesh.deaf, mesh.arp_lost) = (false, false);
        mesh.step(LB1, peer_up(LB2));
        mesh.step(LB2, peer_up(LB1));
        mesh.run_until(mesh.now + Duration::from_secs(2));
        assert_eq!(mesh.serving(), [LB1]);
        assert!(mesh.nodes[&LB1].engine.instances[&KEY].lease.is_held());
    }
}

/// The death of an owner of many routers sets off one message to each member, not one for each router.
#[test]
fn what_ends_together_is_told_together() {
    let routers: Vec<_> = (1..=50)
        .map(|vrid| {
            let mut router = router(200);
            (router.key.vrid, router.name) = (vrid, format!("VI_{vrid}"));
            router
        })
        .collect();
    let keys: Vec<_> = routers.iter().map(|r| r.key).collect();
    let mut engine = started(LB1, routers, Some(roster(3)));
    engine.step(ms(1), peer_up(LB2));
    engine.step(ms(1), peer_up(LB3));
    let claims = keys.iter().map(|key| Claim { router: *key, epoch: 1, duration_ms: 400 }).collect();
    let request = Request { roster_epoch: 3, seq: 1, claims };
    engine.step(ms(3200), message(LB2, Message::Request(request)));
    let told = engine.step(ms(3200 + 400), Input::Timeout);
    let vacant = |to: NodeId| {
        let to_it = told.iter().filter_map(|action| match action {
            Action::SendMessage { to: peer, message: Message::Vacant(all) } if *peer == to => Some(all.len()),
            _ => None,
        });
        to_it.collect::<Vec<_>>()
    };
    assert_eq!((vacant(LB2), vacant(LB3)), (vec![50], vec![50]));
}
