//! Schedules by chance, from a seed.

use std::time::Duration;

use mesh_lab::Channel;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::schedule::{Fault, HostTrouble, Schedule, What, WireTrouble};
use super::shape::{Shape, VIPS};

/// Mean time between two faults, in milliseconds.
const MEAN_MS: f64 = 1500.0;
/// Nothing happens before.
const BEGIN_MS: u64 = 1000;
/// What a host went through is over this long before its next trouble.
const APART_MS: u64 = 300;

impl Schedule {
    /// Faults for a while; the same for the same arguments.
    pub fn random(shape: Shape, seed: u64, length: Duration) -> Schedule {
        let rng = StdRng::seed_from_u64(seed ^ 0x6368_616f_7300_0000);
        let busy_until = vec![0; shape.hosts()];
        Chance { rng, shape, ends: length.as_millis() as u64, busy_until }.schedule(seed)
    }
}

struct Chance {
    rng: StdRng,
    shape: Shape,
    ends: u64,
    // A host has one trouble at a time; those of wires come on top of each other.
    busy_until: Vec<u64>,
}

impl Chance {
    fn schedule(mut self, seed: u64) -> Schedule {
        let mut faults = Vec::new();
        let mut now = BEGIN_MS;
        while now + 500 < self.ends {
            if let Some((lasts, what)) = self.fault(now) {
                faults.push(Fault { at: Duration::from_millis(now), lasts: Duration::from_millis(lasts), what });
            }
            let wait = -MEAN_MS * (1.0 - self.rng.random_range(0.0..1.0f64)).ln();
            now += (wait as u64).clamp(50, 8000);
        }
        Schedule { shape: self.shape, seed, length: Duration::from_millis(self.ends), faults }
    }

    fn fault(&mut self, now: u64) -> Option<(u64, What)> {
        match self.rng.random_range(0..40) {
            0..=15 => Some(self.wires(now)),
            16 => Some((self.duration(now, 500, 4000), What::Burn)),
            17 => self.everybody(now),
            18..=19 => self.unaddress(now),
            _ => self.host(now),
        }
    }

    fn wires(&mut self, now: u64) -> (u64, What) {
        let channel = match self.rng.random_range(0..4) {
            0 => Channel::Vrrp,
            1 | 2 => Channel::Mesh,
            _ => Channel::All,
        };
        let trouble = match self.rng.random_range(0..10) {
            0..=4 => WireTrouble::Cut,
            5 | 6 => WireTrouble::Lose(self.rng.random_range(5..60)),
            7 => WireTrouble::Late(5, self.rng.random_range(20..500)),
            8 => WireTrouble::Late(5, self.rng.random_range(500..6000)),
            _ => WireTrouble::Repeat(5, self.rng.random_range(100..4000)),
        };
        let hosts = self.shape.hosts();
        let one = self.rng.random_range(0..hosts);
        let other = (one + self.rng.random_range(1..hosts)) % hosts;
        let others = |of: &[usize]| (0..hosts).filter(|host| !of.contains(host)).collect::<Vec<_>>();
        let (from, to, both) = match self.rng.random_range(0..6) {
            0 => (vec![one], vec![other], false),
            1 => (vec![one], vec![other], true),
            2 => (vec![one], others(&[one]), false),
            3 => (others(&[one]), vec![one], false),
            4 => (vec![one], others(&[one]), true),
            _ => {
                let part: Vec<_> = (0..hosts).filter(|_| self.rng.random_range(0..2) == 0).collect();
                let part = if part.is_empty() || part.len() == hosts { vec![one] } else { part };
                let rest = others(&part);
                (part, rest, true)
            }
        };
        (self.duration(now, 300, 8000), What::Wires { trouble, channel, from, to, both })
    }

    fn host(&mut self, now: u64) -> Option<(u64, What)> {
        let (trouble, least, most) = match self.rng.random_range(0..16) {
            0..=3 => (HostTrouble::Stall, 200, 12_000),
            4 => (HostTrouble::Starve, 500, 4000),
            5..=8 => (HostTrouble::Kill, 50, 5000),
            9 | 10 => (HostTrouble::Stop, 500, 5000),
            11 | 12 => (HostTrouble::Reboot, 800, 6000),
            13 => (HostTrouble::Cable, 300, 6000),
            14 => (HostTrouble::Flap, 1000, 4000),
            // Until the daemon has put its fence back.
            _ => (HostTrouble::Flush, 1000, 1000),
        };
        let host = self.free_host(now)?;
        let lasts = self.duration(now, least, most);
        self.busy_until[host] = now + lasts + APART_MS;
        Some((lasts, What::Hosts { trouble, hosts: vec![host] }))
    }

    // A host of virtual machines hiccups: all of them at once, shorter than a lease or longer.
    fn everybody(&mut self, now: u64) -> Option<(u64, What)> {
        let trouble = if self.rng.random_range(0..3) == 0 { HostTrouble::Kill } else { HostTrouble::Stall };
        let lasts = self.duration(now, 100, 3000);
        if self.busy_until.iter().any(|until| *until > now) {
            return None;
        }
        self.busy_until.fill(now + lasts + APART_MS);
        Some((lasts, What::Hosts { trouble, hosts: (0..self.shape.hosts()).collect() }))
    }

    fn unaddress(&mut self, now: u64) -> Option<(u64, What)> {
        let host = self.free_host(now).filter(|host| *host < self.shape.directors())?;
        // Mostly the one that this host has when all is well: elsewhere there is nothing to delete.
        let vip = if self.rng.random_range(0..3) > 0 { host } else { self.rng.random_range(0..VIPS.len()) };
        let vip = vip % VIPS.len();
        self.busy_until[host] = now + 1000;
        Some((0, What::Unaddress { host, vip }))
    }

    fn free_host(&mut self, now: u64) -> Option<usize> {
        let free: Vec<_> = (0..self.shape.hosts()).filter(|host| self.busy_until[*host] <= now).collect();
        let choice = self.rng.random_range(0..self.shape.hosts());
        (!free.is_empty()).then(|| free[choice % free.len()])
    }

    // Between the two, short ones as likely as long ones, and over before the schedule is.
    fn duration(&mut self, now: u64, least: u64, most: u64) -> u64 {
        let (low, high) = ((least as f64).ln(), (most as f64 + 1.0).ln());
        let chosen = self.rng.random_range(low..high).exp() as u64;
        chosen.min(self.ends - now)
    }
}
