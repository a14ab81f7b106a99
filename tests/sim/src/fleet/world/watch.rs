//! What is asked of a fleet: who serves what, who knows, and what it all cost.

use std::time::Duration;

use mesh_control::Liveness;
use mesh_wire::mesh::{Family, RouterKey};
use rand::RngExt;

use super::super::figures::{Aftermath, Bytes, Rates, Spread, Watched};
use super::super::{Loss, VOTERS};
use super::{IDLE, Node, World, node_id};
use crate::clock::{Time, ms};

/// How exactly it is found out when something was known.
const LOOK: Duration = ms(20);
/// By then everybody knows of a death, or never will.
const PATIENCE: Duration = ms(20_000);
/// So long it is watched at least what moves after a death: placement has had its say, and chitchat, too.
const AFTER: Duration = ms(5_000);

impl World {
    /// From here on messages, gossip and steps count.
    pub(in crate::fleet) fn begin_watching(&mut self) {
        self.since = self.now;
        self.sent.fill(Bytes::default());
        self.gossip.sent.fill(0);
        self.gossip.since = self.now;
        self.gossip.delays.clear();
        self.steps = Some(Vec::new());
    }

    /// What passed since then.
    pub(in crate::fleet) fn watched(&mut self) -> Watched {
        let seconds = (self.now - self.since).as_secs_f64();
        let all = self.sent.iter().fold(Bytes::default(), |all, sent| all + *sent);
        let busiest = self.sent[..VOTERS].iter().copied().max_by_key(Bytes::total).unwrap_or_default();
        let gossip = self.gossip.sent.iter().sum::<u64>();
        Watched {
            time: self.now - self.since,
            steps: Spread::of(self.steps.take().unwrap_or_default()),
            voter: Rates::new(busiest, seconds),
            messages: Rates::new(all, seconds * self.fleet.nodes as f64),
            gossip: gossip as f64 / seconds / self.fleet.nodes as f64,
            news: Spread::of(std::mem::take(&mut self.gossip.delays)),
        }
    }

    /// Who serves each router, by its own word.
    pub(in crate::fleet) fn owners(&self) -> Vec<Option<usize>> {
        let serves =
            |router: usize, node: &usize| self.nodes[*node].alive && self.serving(*node, router) == Some(*node);
        (0..self.fleet.routers).map(|router| self.fleet.sharers(router).find(|node| serves(router, node))).collect()
    }

    /// Who serves a router as a node knows.
    fn serving(&self, node: usize, router: usize) -> Option<usize> {
        self.nodes[node].engine.active(self.reading(), key(router)).map(super::index_of)
    }

    /// Who dies. A director that serves and does not vote, and a rack beginning with one; the voter that speaks first.
    pub(in crate::fleet) fn victims(&self, loss: Loss) -> Vec<usize> {
        let owners = self.owners();
        let serving = |node: &usize| self.nodes[*node].alive && owners.contains(&Some(*node));
        let first = || (VOTERS..self.fleet.nodes).find(serving).into_iter();
        match loss {
            Loss::Director => first().collect(),
            Loss::Voter => (0..VOTERS).find(|node| self.nodes[*node].alive).into_iter().collect(),
            Loss::Rack => first().flat_map(|from| (from..self.fleet.nodes).take(self.fleet.rack())).collect(),
        }
    }

    /// Their hosts lose power, and what comes of it.
    pub(in crate::fleet) fn lose(&mut self, loss: Loss) -> Aftermath {
        let (victims, before) = (self.victims(loss), self.owners());
        self.begin_watching();
        let died = self.now;
        victims.iter().for_each(|victim| self.kill(*victim));
        let lives = |world: &World, router: &usize| world.fleet.sharers(*router).any(|node| world.nodes[node].alive);
        let lost = (0..self.fleet.routers).filter(|router| before[*router].is_some_and(|o| victims.contains(&o)));
        let lost: Vec<usize> = lost.filter(|router| lives(self, router)).collect();
        let mut times = Times::new(self.fleet.nodes, lost.len());
        while self.now < died + PATIENCE && !times.complete(&self.nodes) {
            self.run_until(self.now + LOOK);
            self.look(&victims, &lost, died, &mut times);
        }
        self.run_until(self.now.max(died + AFTER));
        let after = self.owners();
        let moved =
            (0..self.fleet.routers).filter(|r| !lost.contains(r) && before[*r].is_some() && after[*r] != before[*r]);
        let Times { suspected, known, told, served } = times;
        Aftermath {
            loss,
            dead: victims.len(),
            living: self.living,
            lost: lost.len(),
            suspected: Spread::of(suspected.into_iter().flatten().collect()),
            known: Spread::of(known.into_iter().flatten().collect()),
            served: Spread::of(served.into_iter().flatten().collect()),
            told: Spread::of(told.into_iter().flatten().collect()),
            moved: moved.count(),
            watched: self.watched(),
        }
    }

    fn kill(&mut self, victim: usize) {
        self.nodes[victim].alive = false;
        self.living -= 1;
        let living: Vec<usize> = (0..self.fleet.nodes).filter(|node| self.nodes[*node].alive).collect();
        for node in living {
            let after = IDLE.0 + (IDLE.1 - IDLE.0).mul_f64(self.rng.random_range(0.0..1.0));
            self.schedule_input(after, node, mesh_core::Input::PeerDown { node: node_id(victim), left: false });
        }
    }

    /// Notes who knows by now.
    fn look(&self, victims: &[usize], lost: &[usize], died: Time, times: &mut Times) {
        let took = self.now - died;
        let note = |time: &mut Option<Duration>, is: &dyn Fn() -> bool| {
            if time.is_none() && is() {
                *time = Some(took);
            }
        };
        for node in (0..self.fleet.nodes).filter(|node| self.nodes[*node].alive) {
            let seen = |liveness: fn(Liveness) -> bool| {
                victims.iter().all(|victim| liveness(self.nodes[node].engine.liveness(node_id(*victim))))
            };
            let elsewhere = |router: &usize| self.serving(node, *router).is_some_and(|o| !victims.contains(&o));
            note(&mut times.suspected[node], &|| seen(|liveness| liveness != Liveness::Alive));
            note(&mut times.known[node], &|| seen(|liveness| liveness == Liveness::Dead));
            note(&mut times.told[node], &|| lost.iter().all(elsewhere));
        }
        for (place, router) in lost.iter().enumerate() {
            let serves = |node: usize| self.nodes[node].alive && self.serving(node, *router) == Some(node);
            note(&mut times.served[place], &|| self.fleet.sharers(*router).any(serves));
        }
    }

    /// What one map of the whole costs.
    pub(in crate::fleet) fn time_status(&self) -> Spread {
        let node = &self.nodes[self.fleet.nodes - 1];
        let times = (0..10).map(|_| {
            let begin = self.clock.now();
            std::hint::black_box(node.engine.status(self.reading()));
            self.clock.now() - begin
        });
        Spread::of(times.collect())
    }
}

/// When each node, or for each router somebody, got so far.
struct Times {
    suspected: Vec<Option<Duration>>,
    known: Vec<Option<Duration>>,
    told: Vec<Option<Duration>>,
    served: Vec<Option<Duration>>,
}

impl Times {
    fn new(nodes: usize, lost: usize) -> Times {
        Times {
            suspected: vec![None; nodes],
            known: vec![None; nodes],
            told: vec![None; nodes],
            served: vec![None; lost],
        }
    }

    fn complete(&self, nodes: &[Node]) -> bool {
        let all = |times: &[Option<Duration>]| nodes.iter().zip(times).all(|(node, t)| !node.alive || t.is_some());
        all(&self.suspected) && all(&self.known) && all(&self.told) && self.served.iter().all(Option::is_some)
    }
}

/// Of the router with this number.
pub(super) fn key(router: usize) -> RouterKey {
    RouterKey { family: Family::Ipv4, vrid: router as u8 + 1, segment: 0 }
}
