//! Faults by chance: one every 2.5 s or so, alone or on top of each other.

use std::time::Duration;

use mesh_core::orders::Wish;
use mesh_core::roster::Change;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::clock::{Time, ms};
use crate::cluster::Cluster;
use crate::mutant::Mutant;
use crate::network::{Channel, Hosts, Rule, Trouble};
use crate::run::{Beyond, HEALING, Plan};

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
    /// When an operator last changed the roster.
    commanded: Time,
    /// Virtual machines may stand still.
    pauses: bool,
    /// The voters are to be changed in a way that is wrong.
    imposes: bool,
}

impl Nemesis {
    /// Strikes from a second after the start until there is just time to heal.
    pub fn new(plan: &Plan) -> Self {
        Nemesis {
            rng: StdRng::seed_from_u64(plan.seed ^ 0x6e65_6d65_7369_7300),
            next: ms(1000),
            ends: plan.length.saturating_sub(HEALING),
            commanded: Time::ZERO,
            pauses: plan.beyond == Some(Beyond::Pause),
            imposes: plan.mutant == Some(Mutant::VotersAtOnce),
        }
    }

    /// Sets the stage: rare failures, and late duplicates all along, more in some runs.
    pub fn prepare(&mut self, cluster: &mut Cluster) {
        cluster.quiet_since = None;
        cluster.failures = 2;
        cluster.strays = self.rng.random_range(0..3) == 0;
        let repeat = if self.rng.random_range(0..4) == 0 { 200 } else { 20 };
        let rule = Rule { channel: None, from: Hosts::ALL, to: Hosts::ALL, trouble: Trouble::Repeat(repeat, ms(4000)) };
        cluster.disturb(rule, Duration::MAX);
    }

    /// One fault; the next is due at `self.next`.
    pub fn strike(&mut self, cluster: &mut Cluster) {
        let wait = -MEAN_MS * (1.0 - self.rng.random_range(0.0..1.0f64)).ln();
        self.next = cluster.now + ms(wait.min(15_000.0) as u64 + 1);
        match self.rng.random_range(0..28) {
            0..=7 => self.trouble_wires(cluster),
            8 => self.trouble_memory(cluster),
            9 => self.trouble_segment(cluster),
            16 => self.slow_answers(cluster),
            17 => self.early_duplicates(cluster),
            10..=11 => self.operate(cluster),
            18..=21 if self.pauses => {
                let host = self.victim(cluster);
                let duration = self.duration(300, 12_000);
                cluster.pause(host, duration);
            }
            22..=23 if self.imposes => self.impose(cluster),
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

    /// More often than not an owner, where it hurts most.
    fn victim(&mut self, cluster: &Cluster) -> usize {
        let router = self.rng.random_range(0..cluster.layout.routers);
        let owner = cluster.serving(router).first().copied().filter(|_| self.rng.random_range(0..3) > 0);
        owner.unwrap_or_else(|| self.rng.random_range(0..cluster.hosts.len()))
    }

    fn trouble_host(&mut self, cluster: &mut Cluster) {
        let host = self.victim(cluster);
        let fault = self.rng.random_range(0..15);
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
            4..=6 if !exposed && cluster.hosts[host].paused.is_none() => {
                self.end_daemon(cluster, host);
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
            9 if running && self.rng.random_range(0..2) == 0 => {
                let pause = self.duration(10, 3000);
                cluster.replace(host, pause);
            }
            9 if running => {
                cluster.stop(host);
                let duration = self.duration(100, 4000);
                cluster.start_after(host, duration);
            }
            10 if running && !amid(cluster, host) => cluster.flush_fence(host),
            11 => cluster.delete_address(host, self.rng.random_range(0..cluster.layout.routers)),
            12 => {
                let success = self.rng.random_range(0..2) == 0;
                cluster.script(host, success);
            }
            13 => {
                let (delay, duration) = (self.duration(10, 2000), self.duration(1000, 20_000));
                cluster.slow_disk(host, delay, duration);
            }
            // All at once: the machine that all these virtual machines are on hiccups.
            14 if !cluster.hosts.iter().any(|h| h.exposed_until > cluster.now) => {
                let duration = self.duration(50, 3000);
                (0..cluster.hosts.len()).for_each(|host| cluster.stall(host, duration));
            }
            _ => {}
        }
    }

    /// The daemon is killed, alone or with its guard, and starts again.
    fn end_daemon(&mut self, cluster: &mut Cluster, host: usize) {
        match self.rng.random_range(0..6) {
            0..=2 => cluster.kill(host),
            3..=4 => cluster.crash(host, ms(self.rng.random_range(1..30))),
            _ => {
                let late = self.duration(30, 4000);
                cluster.crash(host, late);
            }
        }
        if self.rng.random_range(0..3) == 0 {
            cluster.forget(host);
        }
        let duration = self.duration(50, 4000);
        cluster.start_after(host, duration);
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

    /// An owner hears its voters late, and is then stopped: its lease began when it asked.
    fn slow_answers(&mut self, cluster: &mut Cluster) {
        let owner = self.victim(cluster);
        let (one, late) = (Hosts::one(owner), Trouble::Late(ms(280)));
        let rule = Rule { channel: Some(Channel::Mesh), from: one.others(), to: one, trouble: late };
        cluster.disturb(rule, ms(3000));
        if cluster.hosts[owner].exposed_until <= cluster.now {
            cluster.stall_after(owner, ms(self.rng.random_range(500..3000)), ms(3000));
        }
    }

    /// An owner lets go, and what its successor says comes twice; then nothing more of it does: an old
    /// request must not end what newer ones were granted.
    fn early_duplicates(&mut self, cluster: &mut Cluster) {
        let router = self.rng.random_range(0..cluster.layout.routers);
        let Some(owner) = cluster.serving(router).first().copied() else { return };
        let others = Hosts::one(owner).others();
        let twice = Trouble::Repeat(1000, ms(1500));
        cluster.disturb(Rule { channel: Some(Channel::Mesh), from: others, to: Hosts::ALL, trouble: twice }, ms(200));
        cluster.script(owner, false);
        let nodes = cluster.hosts.len();
        let successor = Hosts::one((owner + self.rng.random_range(1..nodes)) % nodes);
        let after = ms(self.rng.random_range(200..1500));
        for (from, to) in [(successor, successor.others()), (successor.others(), successor)] {
            let cut = Rule { channel: Some(Channel::Mesh), from, to, trouble: Trouble::Cut };
            cluster.disturb_after(cut, after, ms(3000));
        }
    }

    /// Somebody on the segment who is no member: a router, worthier or not, or forged adverts.
    fn trouble_segment(&mut self, cluster: &mut Cluster) {
        if self.rng.random_range(0..2) == 0 {
            (0..self.rng.random_range(1..5)).for_each(|_| cluster.forge_advert());
            return;
        }
        let router = self.rng.random_range(0..cluster.layout.routers);
        let priority = [1, 150, 254][self.rng.random_range(0..3)];
        let stays = self.duration(1000, 15_000);
        cluster.foreign_arrives(router, priority, stays);
    }

    /// An operator adds a member, changes who votes, edits a priority, or takes a router out and puts it back.
    fn operate(&mut self, cluster: &mut Cluster) {
        if let Some(host) = cluster.outsiders().first() {
            return cluster.join_after(*host, Duration::ZERO);
        }
        if self.rng.random_range(0..3) == 0 && cluster.hosts.len() > 3 {
            return self.change_roster(cluster);
        }
        if self.rng.random_range(0..2) == 0 {
            return self.order(cluster);
        }
        let host = self.rng.random_range(0..cluster.layout.directors);
        let mut config = cluster.layout.config(host);
        match self.rng.random_range(0..3) {
            0 => config.routers.truncate(self.rng.random_range(0..3)),
            1 => {
                let router = self.rng.random_range(0..config.routers.len());
                config.routers[router].priority = self.rng.random_range(1..255);
            }
            _ => {}
        }
        // A reload replaces the fence, open ones included; an exposed one stays a known hole.
        if cluster.hosts[host].exposed_until <= cluster.now {
            cluster.reload(host, config);
        }
    }

    /// An operator moves something, or has a director emptied.
    fn order(&mut self, cluster: &mut Cluster) {
        let node = crate::layout::name(self.rng.random_range(0..cluster.layout.directors));
        let what = format!("VI_{}", self.rng.random_range(1..=cluster.layout.routers));
        let wish = match self.rng.random_range(0..6) {
            0 => Wish::Drain { node },
            1 => Wish::Undrain { node },
            2 => Wish::Back { what },
            _ => Wish::Move { what, node },
        };
        cluster.order(self.rng.random_range(0..cluster.hosts.len()), wish);
    }

    /// An operator gives a vote or takes one; rarely, who came last goes for good. Three voters stay,
    /// for with fewer nothing is promised.
    fn change_roster(&mut self, cluster: &mut Cluster) {
        let hosts = cluster.hosts.len();
        let who = cluster.hosts[self.rng.random_range(0..hosts)].id;
        let enough = cluster.voters().len() > 3;
        let change = match self.rng.random_range(0..9) {
            0 if enough => Change::RemoveMember(cluster.hosts[hosts - 1].id),
            1..=4 if enough => Change::RemoveVoter(who),
            _ => Change::AddVoter(who),
        };
        // One at a time: an earlier command may still be on its way.
        if cluster.now > self.commanded + ms(10_000) {
            self.commanded = cluster.now;
            cluster.command(self.rng.random_range(0..hosts), change);
        }
    }

    /// Two hosts count votes by themselves alone while two others still count by the voters before.
    fn impose(&mut self, cluster: &mut Cluster) {
        let old = Hosts::one(0).and(Hosts::one(1));
        for (from, to) in [(old, old.others()), (old.others(), old)] {
            cluster.disturb(Rule { channel: None, from, to, trouble: Trouble::Cut }, ms(10_000));
        }
        cluster.impose_voters(&[2, 3], &[2, 3]);
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
