//! The wires between hosts: what gets lost, late, or through twice.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::clock::{Time, ms};

/// Which traffic: mesh and VRRP fail apart, as a firewall rule or a multicast snooping switch does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// QUIC between two nodes.
    Mesh,
    /// Multicast adverts.
    Vrrp,
    /// ARP: fails only with everything else.
    Arp,
}

/// A set of hosts by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hosts(u32);

impl Hosts {
    /// All of them.
    pub const ALL: Hosts = Hosts(u32::MAX);

    /// One host.
    pub const fn one(index: usize) -> Hosts {
        Hosts(1 << index)
    }

    /// All others.
    pub const fn others(self) -> Hosts {
        Hosts(!self.0)
    }

    /// From bits.
    pub const fn from_bits(bits: u32) -> Hosts {
        Hosts(bits)
    }

    /// These and those.
    pub const fn and(self, more: Hosts) -> Hosts {
        Hosts(self.0 | more.0)
    }

    const fn has(self, index: usize) -> bool {
        self.0 & (1 << index) != 0
    }
}

/// What goes wrong on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing gets through.
    Cut,
    /// So many in a thousand are lost.
    Lose(u32),
    /// Everything is late by up to this, each packet on its own: order is lost as well.
    Late(Duration),
    /// So many in a thousand come a second time, later by up to this.
    Repeat(u32, Duration),
}

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// Only this traffic; `None` is all.
    pub channel: Option<Channel>,
    /// Senders.
    pub from: Hosts,
    /// Receivers.
    pub to: Hosts,
    /// What happens.
    pub trouble: Trouble,
}

impl Rule {
    fn hits(&self, channel: Channel, from: usize, to: usize) -> bool {
        self.channel.is_none_or(|c| c == channel) && self.from.has(from) && self.to.has(to)
    }
}

/// All rules in force.
#[derive(Debug, Default)]
pub struct Network {
    rules: Vec<(u64, Rule)>,
    next: u64,
    /// Rules that ended, for [`Network::in_order_since`].
    ended: Vec<(Time, Rule)>,
}

impl Network {
    /// Puts a rule in force; returns its number.
    pub fn add(&mut self, rule: Rule) -> u64 {
        self.next += 1;
        self.rules.push((self.next, rule));
        self.next
    }

    /// Ends a rule.
    pub fn remove(&mut self, now: Time, number: u64) {
        if let Some(at) = self.rules.iter().position(|(n, _)| *n == number) {
            self.ended.push((now, self.rules.remove(at).1));
        }
        self.ended.retain(|(at, _)| *at + ms(20_000) > now);
    }

    /// Ends all rules.
    pub fn heal(&mut self, now: Time) {
        for number in self.rules.iter().map(|(n, _)| *n).collect::<Vec<_>>() {
            self.remove(now, number);
        }
    }

    /// When copies of a packet arrive, counted from now: none, one, or two.
    pub fn send(
        &self,
        rng: &mut StdRng,
        channel: Channel,
        from: usize,
        to: usize,
    ) -> impl Iterator<Item = Duration> + use<> {
        let usual = Duration::from_micros(rng.random_range(100..2000));
        let mut arrivals = [Some(usual), None];
        for (_, rule) in self.rules.iter().filter(|(_, r)| r.hits(channel, from, to)) {
            match rule.trouble {
                Trouble::Cut => arrivals = [None; 2],
                Trouble::Lose(per_mille) if rng.random_range(0..1000) < per_mille => arrivals[0] = None,
                Trouble::Late(most) => {
                    let more = most.mul_f64(rng.random_range(0.0..1.0));
                    arrivals[0] = arrivals[0].map(|at| at + more);
                }
                Trouble::Repeat(per_mille, most) if rng.random_range(0..1000) < per_mille => {
                    arrivals[1] = arrivals[0].map(|at| at + most.mul_f64(rng.random_range(0.0..1.0)));
                }
                Trouble::Lose(_) | Trouble::Repeat(..) => {}
            }
            if arrivals == [None; 2] {
                break;
            }
        }
        arrivals.into_iter().flatten()
    }

    /// Whether a connection would hold: nothing is cut, or later than its idle timeout.
    pub fn connects(&self, a: usize, b: usize) -> bool {
        let breaks = |r: &Rule| match r.trouble {
            Trouble::Cut => true,
            Trouble::Late(most) => most > ms(300),
            Trouble::Lose(per_mille) => per_mille >= 900,
            Trouble::Repeat(..) => false,
        };
        let hit = |r: &Rule| r.hits(Channel::Mesh, a, b) || r.hits(Channel::Mesh, b, a);
        !self.rules.iter().any(|(_, r)| hit(r) && breaks(r))
    }

    /// Whether mesh traffic between two hosts was undisturbed since then (at most 20 s back).
    pub fn in_order_since(&self, since: Time, a: usize, b: usize) -> bool {
        let hit = |r: &Rule| {
            let bad = !matches!(r.trouble, Trouble::Repeat(..));
            bad && (r.hits(Channel::Mesh, a, b) || r.hits(Channel::Mesh, b, a))
        };
        !self.rules.iter().any(|(_, r)| hit(r)) && !self.ended.iter().any(|(at, r)| *at >= since && hit(r))
    }
}
