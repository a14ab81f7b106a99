//! The segment all hosts share: adverts, and who else sends some.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use mesh_core::action::Effect;
use mesh_core::input::{Datagram, ProbeAnswer};
use mesh_core::vrrp::{Heard, Router, Verdict};
use mesh_core::{Input, Instant};
use mesh_wire::mesh::Family;
use mesh_wire::vrrp::{self, Advertisement, Authentication, ChecksumForm, Interval, TTL};
use rand::RngExt;

use super::{Cluster, Event};
use crate::clock::Time;
use crate::layout::{INTERFACE, router_key, virtual_address};
use crate::network::Channel;

/// Where the router outside the mesh sends from.
fn stranger(router: usize) -> IpAddr {
    match router_key(router).family {
        Family::Ipv4 => IpAddr::from([10, 1, 1, 200]),
        Family::Ipv6 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 200).into(),
    }
}

/// A router that knows VRRP and nothing of the mesh. Its clock is true time.
#[derive(Debug)]
pub(super) struct Foreign {
    number: u64,
    router: usize,
    machine: Router,
    leaves: Time,
    /// When its timer event is due.
    timer: Time,
}

impl Cluster {
    /// A host's advert, to all others.
    pub(super) fn multicast(&mut self, from: usize, datagram: Datagram) {
        if !self.hosts[from].link {
            let effect = Effect::Advertisement { interface: datagram.interface };
            self.schedule_input(Duration::ZERO, from, Input::Failed { effect, error: "network is down".to_owned() });
            return;
        }
        self.reach_foreign(from, &datagram);
        self.spread(from, &datagram);
    }

    /// A packet to all hosts but `from`, which is beyond all of them for a stranger.
    fn spread(&mut self, from: usize, datagram: &Datagram) {
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            for delay in self.network.send(&mut self.rng, Channel::Vrrp, from, to) {
                self.schedule_input(delay, to, Input::Advertisement(datagram.clone()));
            }
        }
    }

    /// A router that is no member comes to the segment, with some priority for some router.
    pub fn foreign_arrives(&mut self, router: usize, priority: u8, stays: Duration) {
        self.story.tell(self.now, "vrrp", || format!("VI_{} at {priority} from outside for {stays:?}", router + 1));
        let config = mesh_config::model::VirtualRouter { priority, ..self.layout.router(0, router) };
        let mut machine = Router::new(&config);
        machine.startup(true_instant(self.now));
        self.queued += 1;
        let (number, leaves) = (self.queued, self.now + stays);
        self.foreign = Some(Foreign { number, router, machine, leaves, timer: Time::MAX });
        self.foreign_until = self.foreign_until.max(leaves);
        self.set_foreign_timer();
    }

    /// It leaves without a word.
    pub(super) fn foreign_leaves(&mut self) {
        self.foreign = None;
        self.foreign_until = self.foreign_until.min(self.now);
    }

    /// It hears something, or its timer runs out.
    pub(super) fn foreign_event(&mut self, number: u64, heard: Option<Heard>) {
        let now = self.now;
        let Some(foreign) = self.foreign.as_mut().filter(|f| f.number == number) else { return };
        let (router, instant) = (foreign.router, true_instant(now));
        if now >= foreign.leaves {
            let active = foreign.machine.is_active();
            self.foreign_leaves();
            if active && self.rng.random_range(0..2) == 0 {
                self.stranger_advertises(router, 0);
            }
            return;
        }
        let verdict = match heard {
            Some(heard) => foreign.machine.receive(instant, heard, stranger(router)),
            None => {
                foreign.timer = Time::MAX;
                foreign.machine.timeout(instant)
            }
        };
        let priority = foreign.machine.priority();
        match verdict {
            Verdict::Stay | Verdict::Defer => {}
            Verdict::Yield(_) => foreign.machine.back_up(instant),
            Verdict::Claim(_) => {
                foreign.machine.activate(instant);
                self.stranger_advertises(router, priority);
            }
            Verdict::Advertise => self.stranger_advertises(router, priority),
        }
        self.set_foreign_timer();
    }

    fn set_foreign_timer(&mut self) {
        let now = self.now;
        let Some(foreign) = &mut self.foreign else { return };
        let due = foreign.machine.deadline().map_or(foreign.leaves, |t| Duration::from_nanos(t.as_nanos()));
        let at = due.min(foreign.leaves).max(now);
        if at < foreign.timer {
            foreign.timer = at;
            let number = foreign.number;
            self.schedule(at - now, Event::Foreign { number, heard: None });
        }
    }

    fn reach_foreign(&mut self, from: usize, datagram: &Datagram) {
        let Some(foreign) = &self.foreign else { return };
        let Ok((packet, _)) = vrrp::parse(&datagram.payload, datagram.source, datagram.destination) else { return };
        let key = router_key(foreign.router);
        if (Family::of(datagram.source), packet.vrid) != (key.family, key.vrid) {
            return;
        }
        let number = foreign.number;
        let heard = Heard { source: datagram.source, priority: packet.priority, interval: packet.advert_interval() };
        for delay in self.network.send(&mut self.rng, Channel::Vrrp, from, self.hosts.len()) {
            self.schedule(delay, Event::Foreign { number, heard: Some(heard) });
        }
    }

    fn stranger_advertises(&mut self, router: usize, priority: u8) {
        let datagram = self.advert(router, priority, stranger(router));
        self.spread(self.hosts.len(), &datagram);
    }

    /// Whoever serves one of the addresses answers, where question and answer get through.
    pub(super) fn probed(&mut self, host: usize, probe: u64, addresses: &[IpAddr]) {
        let mut answer = None;
        for other in (0..self.hosts.len()).filter(|o| *o != host) {
            let machine = &self.hosts[other];
            let linked = machine.is_reachable() && self.hosts[host].is_reachable();
            let own = |a: &IpAddr| machine.address(Family::of(*a)) == *a;
            let has = |a: &&IpAddr| own(a) || machine.kernel.serves(**a, machine.now(self.now));
            let Some(address) = addresses.iter().find(has).filter(|_| linked) else { continue };
            let mut through = |from, to| self.network.send(&mut self.rng, Channel::Arp, from, to).next().is_some();
            if through(host, other) && through(other, host) {
                answer = Some(ProbeAnswer { address: *address, mac: [2, 0, 0, 0, 0, other as u8 + 1] });
            }
        }
        self.deliver(host, Input::Probed { probe, answer });
    }

    /// Somebody sends one forged advert to all: from anybody's address, with any priority, sometimes
    /// broken, sometimes through a router.
    pub fn forge_advert(&mut self) {
        let router = self.rng.random_range(0..self.layout.routers);
        let priority = [0, 1, 150, 254, 255][self.rng.random_range(0..5)];
        let host = self.rng.random_range(0..=self.hosts.len());
        let family = router_key(router).family;
        let source = self.hosts.get(host).map_or_else(|| stranger(router), |h| h.address(family));
        let mut datagram = self.advert(router, priority, source);
        match self.rng.random_range(0..6) {
            0 => datagram.ttl = 64,
            1 => {
                let at = self.rng.random_range(0..datagram.payload.len());
                datagram.payload[at] ^= 1 << self.rng.random_range(0..8);
            }
            2 => datagram.payload.truncate(self.rng.random_range(0..8)),
            _ => {}
        }
        self.foreign_until = self.foreign_until.max(self.now);
        self.story.tell(self.now, "vrrp", || format!("forged: VI_{} at {priority} from {source}", router + 1));
        self.spread(self.hosts.len(), &datagram);
    }

    fn advert(&self, router: usize, priority: u8, source: IpAddr) -> Datagram {
        let packet = Advertisement {
            vrid: router_key(router).vrid,
            priority,
            interval: Interval::new(vrrp::Version::V3, self.layout.interval(router)).expect("intervals are valid"),
            addresses: vec![virtual_address(router)],
            auth: Authentication::None,
        };
        let destination = vrrp::group(Family::of(source));
        let payload = vrrp::emit(&packet, source, destination, ChecksumForm::PseudoHeader);
        Datagram { interface: INTERFACE.to_owned(), source, destination, ttl: TTL, payload }
    }
}

fn true_instant(at: Time) -> Instant {
    Instant::from_nanos(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX))
}
