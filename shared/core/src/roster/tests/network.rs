//! Several replicas, a network that loses, delays, repeats and reorders, and hosts that die with
//! what was not on disk yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mesh_wire::mesh::consensus::{Consensus, Step};
use mesh_wire::mesh::lease::Message;
use proptest::prelude::*;

use super::*;
use crate::lease::QUARANTINE;
use crate::roster::acceptor::is_successor;
use crate::roster::replica::{Effect, Event};

struct Host {
    replica: Replica,
    disk: State,
    /// What the disk has been asked for and has not confirmed.
    writing: Option<(u64, State)>,
    run: u32,
    /// The lease it has granted: to whom, and until when.
    grant: Option<(NodeId, Instant)>,
    silent_until: Instant,
}

impl Host {
    fn new(id: NodeId, disk: State) -> Host {
        let replica = Replica::new(id, disk.clone(), ms(0), None);
        Host { replica, disk, writing: None, run: 0, grant: None, silent_until: ms(0) }
    }

    /// The latest end of what it granted or may have, as the engine's voter tells it.
    fn grants_until(&self, now: Instant) -> Option<Instant> {
        let granted = self.grant.map(|(_, until)| until);
        granted.into_iter().chain([self.silent_until]).filter(|until| *until > now).max()
    }
}

/// How long a lease lives.
const LEASE: Duration = Duration::from_millis(1000);

struct World {
    now: Instant,
    hosts: BTreeMap<NodeId, Host>,
    wire: Vec<(NodeId, NodeId, u32, Event)>,
    /// The roster of each epoch that anybody held for committed.
    committed: BTreeMap<u64, Roster>,
    answered: Vec<(u64, Result<Roster, ChangeRefusal>)>,
    tickets: u64,
    /// Owners that counted a majority, and until when.
    owners: Vec<(NodeId, Instant)>,
}

impl World {
    fn new(members: u64, voters: &[u64]) -> World {
        let first = mesh(members, voters);
        let host = |n: u64| {
            let disk = State::from(first.clone());
            (id(n), Host::new(id(n), disk))
        };
        World {
            now: ms(0),
            hosts: (1..=members).map(host).collect(),
            wire: Vec::new(),
            committed: BTreeMap::from([(10, first)]),
            answered: Vec::new(),
            tickets: 0,
            owners: Vec::new(),
        }
    }

    fn handle(&mut self, node: NodeId, event: Event) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&node) else { return };
        let grants_until = host.grants_until(now);
        let moment = Moment { grants_until, ..at(now) };
        for effect in host.replica.handle(&moment, event) {
            match effect {
                Effect::Send(to, Message::Consensus(message)) => {
                    self.wire.push((node, to, host.run, Event::Message { from: node, message }));
                }
                Effect::Send(to, Message::Roster(roster)) => {
                    self.wire.push((node, to, host.run, Event::Committed(Arc::unwrap_or_clone(roster))));
                }
                Effect::Send(_, other) => panic!("{other:?}"),
                Effect::Store { ticket, state } => host.writing = Some((ticket, state)),
                Effect::Adopt(roster) => {
                    let known = self.committed.entry(roster.epoch).or_insert_with(|| roster.clone());
                    assert_eq!(*known, roster, "two committed rosters of one epoch");
                    for to in roster.members.iter().filter(|m| m.id != node) {
                        self.wire.push((node, to.id, host.run, Event::Committed(roster.clone())));
                    }
                }
                Effect::Answer { ticket, result } => self.answered.push((ticket, result)),
            }
        }
    }

    fn write(&mut self, node: NodeId) {
        let Some(host) = self.hosts.get_mut(&node) else { return };
        if let Some((ticket, state)) = host.writing.take() {
            host.disk = state;
            self.handle(node, Event::Stored { ticket });
        }
    }

    fn restart(&mut self, node: NodeId, written: bool) {
        let now = self.now;
        let Some(host) = self.hosts.get_mut(&node) else { return };
        // The power may have gone right after the rename, or right before it.
        if let Some((_, state)) = host.writing.take().filter(|_| written) {
            host.disk = state;
        }
        host.run += 1;
        (host.grant, host.silent_until) = (None, now + QUARANTINE);
        host.replica = Replica::new(node, host.disk.clone(), now, host.grants_until(now));
    }

    /// Somebody asks some of the voters it knows for the lease, and counts by the roster it knows.
    fn lease(&mut self, owner: NodeId, reached: u8) {
        let (now, roster) = (self.now, self.hosts[&owner].replica.roster().clone());
        let mut votes = 0;
        for (_, voter) in roster.voters().enumerate().filter(|(n, _)| reached & (1 << n) != 0) {
            let Some(host) = self.hosts.get_mut(&voter.id) else { continue };
            let same = host.replica.roster().epoch == roster.epoch && now >= host.silent_until;
            if same && host.grant.is_none_or(|(holder, until)| holder == owner || until <= now) {
                host.grant = Some((owner, now + LEASE));
                votes += 1;
            }
        }
        if votes >= roster.quorum() {
            self.owners.retain(|(_, until)| *until > now);
            let other = self.owners.iter().find(|(holder, _)| *holder != owner);
            assert_eq!(other, None, "{owner} counts {votes} votes under epoch {}", roster.epoch);
            self.owners.push((owner, now + LEASE));
        }
    }

    fn want(&mut self, node: NodeId, change: Change) -> u64 {
        self.tickets += 1;
        self.handle(node, Event::Change { ticket: Some(self.tickets), change });
        self.tickets
    }

    fn deliver(&mut self, at: usize, keep: bool) {
        if self.wire.is_empty() {
            return;
        }
        let at = at % self.wire.len();
        let (_, to, _, event) = if keep { self.wire[at].clone() } else { self.wire.swap_remove(at) };
        self.handle(to, event);
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        for node in self.nodes() {
            if self.hosts[&node].replica.deadline().is_some_and(|t| t <= self.now) {
                self.handle(node, Event::Timeout);
            }
        }
    }

    fn nodes(&self) -> Vec<NodeId> {
        self.hosts.keys().copied().collect()
    }

    /// From now on everything works, in order.
    fn settle(&mut self, steps: usize) {
        for _ in 0..steps {
            let idle = |h: &Host| h.writing.is_none() && h.replica.deadline().is_none();
            if self.wire.is_empty() && self.hosts.values().all(idle) {
                return;
            }
            for node in self.nodes() {
                self.write(node);
            }
            for (_, to, _, event) in std::mem::take(&mut self.wire) {
                self.handle(to, event);
            }
            self.pass(Duration::from_millis(10));
        }
    }

    fn result(&self, ticket: u64) -> Option<&Result<Roster, ChangeRefusal>> {
        self.answered.iter().find(|(t, _)| *t == ticket).map(|(_, result)| result)
    }

    fn check_chain(&self) {
        let rosters: Vec<&Roster> = self.committed.values().collect();
        for pair in rosters.windows(2) {
            assert!(pair[1].epoch > pair[0].epoch + 1 || is_successor(pair[0], pair[1]), "{pair:#?}");
        }
    }
}

#[test]
fn a_change_reaches_everybody() {
    let mut world = World::new(4, &[1, 2, 3]);
    world.now = ms(10_000);
    let ticket = world.want(id(4), Change::RemoveVoter(id(3)));
    world.settle(20);
    assert!(matches!(world.result(ticket), Some(Ok(roster)) if voters(roster) == [1, 2]));
    assert!(world.hosts.values().all(|h| h.replica.roster().epoch == 11 && h.disk.roster.epoch == 11));
}

#[test]
fn two_proposers_at_once_both_get_their_way() {
    let mut world = World::new(5, &[1, 2, 3]);
    world.now = ms(10_000);
    let first = world.want(id(1), Change::RevokeToken { nonce: 1, expires_unix: UNIX + 60 });
    let second = world.want(id(2), Change::RevokeToken { nonce: 2, expires_unix: UNIX + 60 });
    world.settle(100);
    assert!(matches!(world.result(first), Some(Ok(_))), "{:?}", world.answered);
    assert!(matches!(world.result(second), Some(Ok(_))), "{:?}", world.answered);
    assert_eq!(world.hosts[&id(3)].replica.roster().epoch, 12);
    assert_eq!(world.hosts[&id(3)].replica.roster().used_tokens.len(), 2);
}

/// A proposer dies after one voter has accepted: another one finishes it before its own change.
#[test]
fn what_a_dead_proposer_began_another_finishes() {
    let mut world = World::new(5, &[1, 2, 3]);
    world.now = ms(10_000);
    let dead = world.want(id(4), Change::RevokeToken { nonce: 1, expires_unix: UNIX + 60 });
    // lb4 does not vote; only lb2 hears that it should accept.
    for _ in 0..10 {
        world.nodes().into_iter().for_each(|n| world.write(n));
        let wire = std::mem::take(&mut world.wire);
        for (_, to, _, event) in wire {
            let accept = matches!(&event, Event::Message { message: Consensus { step: Step::Accept { .. }, .. }, .. });
            let answer = matches!(&event, Event::Message { message: Consensus { step: Step::Accepted, .. }, .. });
            if !(accept && to != id(2) || answer) {
                world.handle(to, event);
            }
        }
    }
    assert!(world.hosts[&id(2)].disk.successor.accepted.is_some());
    assert_eq!(world.result(dead), None);
    world.hosts.remove(&id(4));
    world.wire.clear();
    let ticket = world.want(id(3), Change::RevokeToken { nonce: 2, expires_unix: UNIX + 60 });
    // lb1 is not reached: the majority that decides is the one that knows.
    for _ in 0..30 {
        world.wire.retain(|(from, to, ..)| *from != id(1) && *to != id(1));
        world.settle(1);
    }
    let Some(Ok(roster)) = world.result(ticket) else { panic!("{:?}", world.answered) };
    let nonces: Vec<u64> = roster.used_tokens.iter().map(|t| t.nonce).collect();
    assert_eq!((roster.epoch, nonces), (12, vec![1, 2]), "first the one it found, then its own");
}

/// The same without anybody who wants anything: it is finished all the same.
#[test]
fn finishing_changes_nothing_else() {
    let mut world = World::new(3, &[1, 2, 3]);
    world.now = ms(10_000);
    let mut next = mesh(3, &[1, 2, 3]);
    (next.epoch, next.members[0].name) = (11, "found".to_owned());
    let message = Consensus { epoch: 11, ballot: ballot(5, 3), step: Step::Accept { roster: next.clone() } };
    world.handle(id(1), Event::Message { from: id(3), message });
    world.write(id(1));
    assert!(world.hosts[&id(1)].replica.has_unfinished());
    let ticket = world.want(id(1), Change::Finish);
    world.settle(20);
    assert_eq!(world.result(ticket), Some(&Ok(next.clone())));
    assert!(world.hosts.values().all(|h| *h.replica.roster() == next));
    let nothing = world.want(id(2), Change::Finish);
    assert_eq!(world.result(nothing), Some(&Ok(next)));
}

#[derive(Clone, Debug)]
enum Op {
    Deliver(usize),
    Repeat(usize),
    Lose(usize),
    Write(u64),
    Restart(u64, bool),
    Pass(u64),
    Want(u64, Change),
    /// So many steps in which everything works.
    Settle(usize),
    Lease(u64, u8),
}

fn op(members: u64) -> impl Strategy<Value = Op> {
    let node = 1..=members;
    let change = prop_oneof![
        node.clone().prop_map(|n| Change::Promote(NodeId(n))),
        node.clone().prop_map(|n| Change::Demote(NodeId(n))),
        node.clone().prop_map(|n| Change::AddVoter(NodeId(n))),
        node.clone().prop_map(|n| Change::RemoveVoter(NodeId(n))),
        node.clone().prop_map(|n| Change::RemoveMember(NodeId(n))),
        (0..5u64).prop_map(|nonce| Change::RevokeToken { nonce, expires_unix: UNIX + 60 }),
        Just(Change::Finish),
    ];
    prop_oneof![
        16 => any::<usize>().prop_map(Op::Deliver),
        2 => any::<usize>().prop_map(Op::Repeat),
        2 => any::<usize>().prop_map(Op::Lose),
        12 => node.clone().prop_map(Op::Write),
        1 => (node.clone(), any::<bool>()).prop_map(|(n, written)| Op::Restart(n, written)),
        3 => (1..400u64).prop_map(Op::Pass),
        2 => (node, change).prop_map(|(n, change)| Op::Want(n, change)),
    ]
}

/// Leases, and voters that change as fast as they may.
fn voting(members: u64) -> impl Strategy<Value = Op> {
    let node = 1..=members;
    prop_oneof![
        4 => op(members),
        3 => (node.clone(), any::<bool>()).prop_map(|(n, add)| {
            Op::Want(n, if add { Change::AddVoter(NodeId(n)) } else { Change::RemoveVoter(NodeId(n)) })
        }),
        4 => (1..8usize).prop_map(Op::Settle),
        8 => (node, any::<u8>()).prop_map(|(n, reached)| Op::Lease(n, reached)),
    ]
}

fn run(world: &mut World, ops: Vec<Op>) {
    for op in ops {
        match op {
            Op::Deliver(at) => world.deliver(at, false),
            Op::Repeat(at) => world.deliver(at, true),
            Op::Lose(at) => {
                if !world.wire.is_empty() {
                    let at = at % world.wire.len();
                    world.wire.swap_remove(at);
                }
            }
            Op::Write(n) => world.write(NodeId(n)),
            Op::Restart(n, written) => world.restart(NodeId(n), written),
            Op::Pass(time) => world.pass(Duration::from_millis(time)),
            Op::Want(n, change) => drop(world.want(NodeId(n), change)),
            Op::Settle(steps) => world.settle(steps),
            Op::Lease(n, reached) => world.lease(NodeId(n), reached),
        }
    }
}

proptest! {
    /// Never two committed rosters of one epoch (asserted where one is adopted), each the successor
    /// of the one before; and when all is well again a change goes through.
    #[test]
    fn one_roster_for_each_epoch(
        (members, first, ops) in (2..=6u64).prop_flat_map(|members| {
            (Just(members), 1..=members, prop::collection::vec(op(members), 1..400))
        }),
    ) {
        let voters: Vec<u64> = (1..=first).collect();
        let mut world = World::new(members, &voters);
        run(&mut world, ops);
        world.check_chain();
        // Everybody's queue runs empty, and everybody learns what is decided.
        world.settle(1000);
        for node in world.nodes() {
            world.want(node, Change::Finish);
        }
        world.settle(500);
        let newest = world.committed.values().last().unwrap().clone();
        let asker = newest.members[0].id;
        let change = Change::RevokeToken { nonce: 77, expires_unix: UNIX + 60 };
        let ticket = world.want(asker, change);
        world.settle(100);
        prop_assert!(matches!(world.result(ticket), Some(Ok(_))), "{:?}", world.result(ticket));
        world.check_chain();
    }

    /// No two owners, whatever becomes of the voters: asserted where a majority is counted.
    #[test]
    fn leases_exclude_each_other_across_changes_of_the_voters(
        (members, first, ops) in (4..=7u64).prop_flat_map(|members| {
            (Just(members), 3..=4u64, prop::collection::vec(voting(members), 1..200))
        }),
    ) {
        let voters: Vec<u64> = (1..=first).collect();
        let mut world = World::new(members, &voters);
        world.now = ms(10_000);
        run(&mut world, ops);
        world.check_chain();
    }
}
