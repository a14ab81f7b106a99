//! Faults by chance: one every 2.5 s or so, alone or on top of each other.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::clock::{Time, ms};
use crate::cluster::Cluster;
use crate::network::{Channel, Hosts, Rule, Trouble};

/// Mean time between two faults, in milliseconds.
const MEAN_MS: f64 = 2500.0;

/// A source of faults.
#[derive(Debug)]
pub struct Nemesis {
    rng: StdRng,
    /// When the next fault is due.
    pub next: Time,
    /// When all is to be healed.
    pub ends: Time,
}

impl Nemesis {
    /// Strikes from a second after the start until `ends`.
    pub fn new(seed: u64, ends: Time) -> Self {
        Nemesis { rng: StdRng::seed_from_u64(seed ^ 0x6e65_6d65_7369_7300), next: ms(1000), ends }
    }

    /// Sets the stage: rare failures, and late duplicates all along.
    pub fn prepare(&mut self, cluster: &mut Cluster) {
        cluster.quiet_since = None;
        cluster.failures = 2;
        cluster.strays = self.rng.random_range(0..3) == 0;
        let rule = Rule { channel: None, from: Hosts::ALL, to: Hosts::ALL, trouble: Trouble::Repeat(20) };
        cluster.disturb(rule, Duration::MAX);
    }

    /// One fault; the next is due at `self.next`.
    pub fn strike(&mut self, cluster: &mut Cluster) {
        let wait = -MEAN_MS * (1.0 - self.rng.random_range(0.0..1.0f64)).ln();
        self.next = cluster.now + ms(wait.min(15_000.0) as u64 + 1);
        match self.rng.random_range(0..20) {
            0..=6 => self.trouble_wires(cluster),
            7 => self.trouble_memory(cluster),
            _ => self.trouble_host(cluster),
        }
    }

    fn trouble_wires(&mut self, cluster: &mut Cluster) {
        let nodes = cluster.hosts.len();
        let channel = match self.rng.random_range(0..4) {
            0 => Some(Channel::Vrrp),
            1 | 2 => Some(Channel::Mesh),
            _ => None,
        };
        let trouble = match self.rng.random_range(0..6) {
            0..=2 => Trouble::Cut,
            3 => Trouble::Lose(self.rng.random_range(50..300)),
            4 => Trouble::Late(ms(self.rng.random_range(5..500))),
            _ => Trouble::Late(ms(self.rng.random_range(500..6000))),
        };
        let one = Hosts::one(self.rng.random_range(0..nodes));
        let other = Hosts::one(self.rng.random_range(0..nodes));
        let group = Hosts::from_bits(self.rng.random_range(1..1 << nodes));
        let (from, to, both) = match self.rng.random_range(0..6) {
            0 => (one, other, false),
            1 => (one, other, true),
            2 => (one, one.others(), false),
            3 => (one.others(), one, false),
            4 => (one, one.others(), true),
            _ => (group, group.others(), true),
        };
        let duration = self.duration(300, 8000);
        cluster.disturb(Rule { channel, from, to, trouble }, duration);
        if both {
            cluster.disturb(Rule { channel, from: to, to: from, trouble }, duration);
        }
    }

    fn trouble_host(&mut self, cluster: &mut Cluster) {
        let nodes = cluster.hosts.len();
        let router = self.rng.random_range(0..cluster.layout.routers);
        // More often than not it hits an owner, where it hurts most.
        let owner = cluster.serving(router).first().copied().filter(|_| self.rng.random_range(0..3) > 0);
        let host = owner.unwrap_or_else(|| self.rng.random_range(0..nodes));
        let fault = self.rng.random_range(0..14);
        // A fence that somebody else removed while the daemon cannot put it back protects nothing:
        // that hole is known, and not what is looked for here.
        let exposed = cluster.hosts[host].exposed_until > cluster.now;
        let running = cluster.hosts[host].running().is_some();
        match fault {
            0..=2 if !exposed => {
                let duration = self.duration(50, 12_000);
                cluster.stall(host, duration);
            }
            3 if !exposed => {
                let duration = self.duration(50, 6000);
                cluster.stall_amid_actions(host, duration);
            }
            4..=6 if !exposed => {
                cluster.kill(host);
                if self.rng.random_range(0..3) == 0 {
                    cluster.forget(host);
                }
                let duration = self.duration(50, 4000);
                cluster.start_after(host, duration);
            }
            7 => {
                let duration = self.duration(1000, 10_000);
                cluster.reboot(host, duration);
            }
            8 => {
                cluster.set_link(host, false);
                let duration = self.duration(300, 6000);
                cluster.plug_in_after(host, duration);
            }
            9 if running => {
                cluster.stop(host);
                let duration = self.duration(100, 4000);
                cluster.start_after(host, duration);
            }
            10 if running && !amid(cluster, host) => cluster.flush_fence(host),
            11 => cluster.delete_address(host, router),
            12 => {
                let success = self.rng.random_range(0..2) == 0;
                cluster.script(host, success);
            }
            // A stall shorter than a lease, of everybody at once: a host of virtual machines hiccups.
            13 if !cluster.hosts.iter().any(|h| h.exposed_until > cluster.now) => {
                let duration = self.duration(50, 3000);
                (0..nodes).for_each(|host| cluster.stall(host, duration));
            }
            _ => {}
        }
    }

    /// A candidate that does not hear the owner, and the voter that stands between them forgets, again
    /// and again: what quarantine is for.
    fn trouble_memory(&mut self, cluster: &mut Cluster) {
        let nodes = cluster.hosts.len();
        let router = self.rng.random_range(0..cluster.layout.routers);
        let Some(owner) = cluster.serving(router).first().copied() else { return };
        let candidate = (owner + self.rng.random_range(1..nodes)) % nodes;
        let (one, other) = (Hosts::one(owner), Hosts::one(candidate));
        for (from, to) in [(one, other), (other, one)] {
            cluster.disturb(Rule { channel: None, from, to, trouble: Trouble::Cut }, ms(8000));
        }
        for voter in (0..nodes).filter(|v| ![owner, candidate].contains(v)) {
            if cluster.hosts[voter].exposed_until <= cluster.now {
                cluster.restart_often(voter, 12, ms(600));
            }
        }
    }

    /// Between the two, short ones as likely as long ones.
    fn duration(&mut self, least_ms: u64, most_ms: u64) -> Duration {
        let (least, most) = ((least_ms as f64).ln(), (most_ms as f64).ln());
        ms(self.rng.random_range(least..most).exp() as u64)
    }
}

/// Whether the daemon is going to be stopped amid its next actions.
fn amid(cluster: &Cluster, host: usize) -> bool {
    cluster.hosts[host].daemon.as_ref().is_some_and(|d| d.stall_next.is_some())
}
