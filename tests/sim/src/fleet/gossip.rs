//! Gossip as chitchat 0.11 does it: rounds with three others that are alive, and a fourth while anybody is missing, in
//! which both sides learn what the other has; heartbeats of all nodes in two of three messages, and a detector for each
//! pair. Sizes are those of its messages, but that nothing is compressed: chitchat compresses news, not digests, and in
//! a fleet at rest there are only digests. `tests/chitchat.rs` holds this against chitchat itself.
//!
//! A digest has to fit in one message of chitchat's, whatever carries it: [`MOST_NODES`].

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use self::sizes::{ACK, DELTA, DIGEST, SYN, SYN_ACK, VALUE};
use crate::clock::{Time, ms};

/// Between two rounds of a node.
pub(super) const INTERVAL: Duration = ms(100);
/// Others in one round.
const FAN_OUT: usize = 3;
/// Elapsed time without a heartbeat, in usual ones, after which a node is dead.
const PHI: f32 = 8.0;
/// Heartbeats the usual time is made of, and a longer pause that does not count.
const WINDOW: f32 = 200.0;
const LONGEST: Duration = ms(400);
/// So many intervals are taken for granted.
const PRIOR: f32 = 5.0;
/// A message of chitchat's is not longer: what has no room waits for the next.
const LONGEST_MESSAGE: usize = 65_507;
/// With more, chitchat finds less than no room beside its digest (with IPv6 addresses, 12 bytes longer, from 950 on).
pub const MOST_NODES: usize = (LONGEST_MESSAGE - 1 - 2) / DIGEST;

/// Bytes of chitchat's messages in a mesh of meshd's, over IPv4.
pub mod sizes {
    /// Of a node in a digest: identity, generation and address (33), heartbeat and two versions.
    pub const DIGEST: usize = 57;
    /// Of a node in news: the same identity, two versions and a tag.
    pub const DELTA: usize = 50;
    /// Of a value in news, beside key and value.
    pub const VALUE: usize = 14;
    /// The first message of an exchange without its digest: meshd's kind of frame; magic number, version and kind; how
    /// many nodes, and which cluster.
    pub const SYN: usize = 1 + 4 + 2 + 18;
    /// The second one without digest and news, which end with a byte.
    pub const SYN_ACK: usize = 1 + 4 + 2 + 1;
    /// The third one without news.
    pub const ACK: usize = 1 + 4 + 1;
}

/// What one node knows of another.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    heartbeat: u32,
    version: u32,
    /// When the last heartbeat came, in microseconds; 0 is never.
    last_us: u32,
    sum_us: f32,
    count: f32,
    alive: bool,
}

/// A value that a node has told.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) key: String,
    pub(super) value: Option<String>,
    at: Time,
    /// Nodes that have it.
    reached: usize,
    /// The version that took its place: whoever has that does not pass this on.
    replaced_by: Option<u32>,
}

/// What a round came to for one node.
#[derive(Debug, Default)]
pub(super) struct Learnt {
    /// Values: whose, and which version.
    pub(super) values: Vec<(usize, u32)>,
}

/// All that nodes tell each other.
#[derive(Debug)]
pub(super) struct Gossip {
    nodes: usize,
    known: Vec<Known>,
    told: Vec<Vec<Told>>,
    heartbeats: Vec<u32>,
    /// How many others each node believes to be alive.
    alive: Vec<usize>,
    rng: StdRng,
    /// Bytes sent by each node.
    pub(super) sent: Vec<u64>,
    /// How long values took to everybody that lives.
    pub(super) delays: Vec<Duration>,
    /// Only these are counted.
    pub(super) since: Time,
}

impl Gossip {
    pub(super) fn new(nodes: usize, seed: u64) -> Gossip {
        Gossip {
            nodes,
            known: vec![Known::default(); nodes * nodes],
            told: vec![Vec::new(); nodes],
            heartbeats: vec![1; nodes],
            alive: vec![0; nodes],
            rng: StdRng::seed_from_u64(seed),
            sent: vec![0; nodes],
            delays: Vec::new(),
            since: Time::MAX,
        }
    }

    /// What this simulation of it takes, in bytes.
    pub(super) fn bytes_of_model(&self) -> u64 {
        (self.known.len() * size_of::<Known>()) as u64
    }

    pub(super) fn publish(&mut self, node: usize, now: Time, key: String, value: Option<String>) {
        let version = self.told[node].len() as u32 + 1;
        if let Some(before) = self.told[node].iter_mut().rfind(|told| told.key == key) {
            before.replaced_by = Some(version);
        }
        self.told[node].push(Told { key, value, at: now, reached: 1, replaced_by: None });
    }

    /// The value of that version.
    pub(super) fn value(&self, node: usize, version: u32) -> &Told {
        &self.told[node][version as usize - 1]
    }

    /// Whom a node gossips with in this round: some that it believes to be alive, and while not everybody is one more
    /// of all, since all are chitchat's seeds here.
    pub(super) fn partners(&mut self, node: usize) -> Vec<usize> {
        let all = self.nodes;
        let mut chosen = Vec::with_capacity(FAN_OUT);
        for _ in 0..FAN_OUT * 8 {
            let other = self.rng.random_range(0..all);
            let heard = &self.known[node * all + other];
            if other != node && (heard.alive || heard.last_us == 0) && !chosen.contains(&other) {
                chosen.push(other);
            }
            if chosen.len() == FAN_OUT.min(all - 1) {
                break;
            }
        }
        if self.alive[node] < all - 1 {
            let other = self.rng.random_range(0..all - 1);
            chosen.push(other + usize::from(other >= node));
        }
        chosen
    }

    /// Digest there, digest and news back, news there. `living` is how many nodes there are to be reached.
    pub(super) fn exchange(&mut self, now: Time, one: usize, other: usize, living: usize) -> [Learnt; 2] {
        self.heartbeats[one] += 1;
        self.heartbeats[other] += 1;
        let digest = DIGEST * self.nodes;
        let back = self.pass(now, other, one, SYN_ACK + digest, living);
        let there = self.pass(now, one, other, ACK, living);
        self.sent[one] += (SYN + digest + there.1) as u64;
        self.sent[other] += back.1 as u64;
        [back.0, there.0]
    }

    /// What `from` knows and `to` does not, as far as one message has room beside `head` bytes; and its length.
    fn pass(&mut self, now: Time, from: usize, to: usize, head: usize, living: usize) -> (Learnt, usize) {
        let (mut learnt, mut length) = (Learnt::default(), head);
        for of in (0..self.nodes).filter(|of| *of != to) {
            let (heartbeat, version) = if of == from {
                (self.heartbeats[of], self.told[of].len() as u32)
            } else {
                let known = &self.known[from * self.nodes + of];
                (known.heartbeat, known.version)
            };
            let known = &mut self.known[to * self.nodes + of];
            if heartbeat > known.heartbeat {
                known.beat(now, heartbeat);
            }
            if version <= known.version {
                continue;
            }
            length += DELTA;
            while known.version < version {
                let told = &mut self.told[of][known.version as usize];
                if told.replaced_by.is_some_and(|by| by <= version) {
                    known.version += 1;
                    continue;
                }
                let bytes = VALUE + told.key.len() + told.value.as_ref().map_or(0, String::len);
                if length + bytes > LONGEST_MESSAGE {
                    break;
                }
                length += bytes;
                known.version += 1;
                told.reached += 1;
                if told.reached == living && told.at >= self.since {
                    self.delays.push(now - told.at);
                }
                learnt.values.push((of, known.version));
            }
        }
        (learnt, length)
    }

    /// Whose liveness changed in the eyes of a node.
    pub(super) fn judge(&mut self, now: Time, node: usize) -> Vec<(usize, bool)> {
        let all = self.nodes;
        let mut changed = Vec::new();
        for of in (0..all).filter(|of| *of != node) {
            let known = &mut self.known[node * all + of];
            let alive = known.is_alive(now);
            if alive != known.alive {
                known.alive = alive;
                if alive {
                    self.alive[node] += 1;
                } else {
                    self.alive[node] -= 1;
                    // As chitchat does: it has to be heard twice again.
                    (known.sum_us, known.count) = (0.0, 0.0);
                }
                changed.push((of, alive));
            }
        }
        changed
    }
}

impl Known {
    fn beat(&mut self, now: Time, heartbeat: u32) {
        let now_us = now.as_micros() as u32;
        self.heartbeat = heartbeat;
        if self.last_us > 0 {
            let interval = now_us - self.last_us;
            if u128::from(interval) <= LONGEST.as_micros() {
                if self.count >= WINDOW {
                    self.sum_us -= self.sum_us / self.count;
                    self.count -= 1.0;
                }
                self.sum_us += interval as f32;
                self.count += 1.0;
            }
        }
        self.last_us = now_us;
    }

    fn is_alive(&self, now: Time) -> bool {
        let usual = (self.sum_us + PRIOR * INTERVAL.as_micros() as f32) / (self.count + PRIOR);
        self.count > 0.0 && (now.as_micros() as u32 - self.last_us) as f32 <= PHI * usual
    }
}
