//! Announcements in their order and at their pace: some switches lose what comes in a burst
//! (`vrrp_garp_interval`, `garp_group`), and forget what is not said again (`garp_extra_if`).

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use mesh_config::model::{Pace, VrrpSettings};
use mesh_wire::mesh::{Family, RouterKey};

use super::Engine;
use crate::action::Action;
use crate::instance::Instance;
use crate::time::Instant;

/// Announcements that wait. Each address waits once on an interface, so that there are no more than the
/// configuration has addresses.
#[derive(Debug, Default)]
pub(super) struct Pacer {
    settings: VrrpSettings,
    lanes: BTreeMap<Lane, Queue>,
}

/// What shares one pace: a group of interfaces, or one interface, for each family.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Lane(Result<usize, String>, Family);

#[derive(Debug, Default)]
struct Queue {
    /// Not before then.
    next: Instant,
    waiting: VecDeque<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    interface: String,
    address: IpAddr,
    count: u32,
}

impl Pacer {
    /// What waits is announced at its old place's pace no longer: there is no hurry to say it again.
    pub(super) fn configure(&mut self, settings: &VrrpSettings) {
        if self.settings != *settings {
            *self = Pacer { settings: settings.clone(), lanes: BTreeMap::new() };
        }
    }

    /// When the next one may go.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lanes.values().filter(|queue| !queue.waiting.is_empty()).map(|queue| queue.next).min()
    }

    /// What these addresses have waiting is not to be said any more.
    pub(super) fn forget(&mut self, addresses: &[IpAddr]) {
        for queue in self.lanes.values_mut() {
            queue.waiting.retain(|waiting| !addresses.contains(&waiting.address));
        }
    }

    fn lane(&self, interface: &str, family: Family) -> (Lane, Duration) {
        let group = self.settings.garp_groups.iter().position(|group| group.interfaces.iter().any(|i| i == interface));
        let Pace { garp, gna } = group.map_or(self.settings.pace, |at| self.settings.garp_groups[at].pace);
        let pause = match family {
            Family::Ipv4 => garp,
            Family::Ipv6 => gna,
        };
        (Lane(group.ok_or_else(|| interface.to_owned()), family), pause)
    }

    /// Queues packets, unless they may go at once.
    fn push(&mut self, interface: String, address: IpAddr, count: u32) -> Option<Action> {
        let (lane, pause) = self.lane(&interface, Family::of(address));
        if pause.is_zero() {
            return Some(Action::Announce { interface, address, count });
        }
        let queue = self.lanes.entry(lane).or_default();
        match queue.waiting.iter_mut().find(|w| w.address == address && w.interface == interface) {
            Some(waiting) => waiting.count = waiting.count.max(count),
            None => queue.waiting.push_back(Waiting { interface, address, count }),
        }
        None
    }

    /// The packets whose time has come, one for each address in its turn.
    fn due(&mut self, now: Instant) -> Vec<Action> {
        let mut due = Vec::new();
        let pauses: Vec<(Lane, Duration)> = self
            .lanes
            .keys()
            .map(|lane| {
                let Pace { garp, gna } = match &lane.0 {
                    Ok(group) => self.settings.garp_groups[*group].pace,
                    Err(_) => self.settings.pace,
                };
                (lane.clone(), if lane.1 == Family::Ipv4 { garp } else { gna })
            })
            .collect();
        for (lane, pause) in pauses {
            let Some(queue) = self.lanes.get_mut(&lane) else { continue };
            // Idle time is not saved up.
            if queue.next + CATCH_UP < now {
                queue.next = now;
            }
            while queue.next <= now
                && let Some(mut waiting) = queue.waiting.pop_front()
            {
                let Waiting { interface, address, .. } = &waiting;
                due.push(Action::Announce { interface: interface.clone(), address: *address, count: 1 });
                queue.next = queue.next + pause;
                waiting.count -= 1;
                if waiting.count > 0 {
                    queue.waiting.push_back(waiting);
                }
            }
        }
        due
    }
}

/// Timers fire late by a tick or two; a pace of microseconds is kept on average.
const CATCH_UP: Duration = Duration::from_millis(10);

/// Rivals are answered with announcements at most this often.
const RIVAL_PERIOD: Duration = Duration::from_secs(1);

impl Engine {
    /// Tells all hosts where the addresses are.
    pub(super) fn announce(&mut self, key: RouterKey, count: u32) {
        let Some(instance) = self.instances.get(&key) else { return };
        let config = &instance.config;
        let places: Vec<_> = config.served().map(|a| (config.interface_of(a).to_owned(), a.net.addr())).collect();
        for (interface, address) in places {
            self.announce_one(interface, address, count);
        }
    }

    /// The later bursts: one after `garp_master_delay`, then every `garp_master_refresh`.
    pub(super) fn announce_again(&mut self, now: Instant, key: RouterKey) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        let Some((_, count)) = instance.garp.filter(|(at, _)| *at <= now) else { return };
        let garp = instance.config.garp;
        instance.garp = (!garp.refresh.is_zero()).then_some((now + garp.refresh, garp.refresh_repeat));
        self.announce(key, count);
    }

    /// Somebody else advertises while we serve: hosts may have learnt the wrong MAC address.
    pub(super) fn answer_rival(&mut self, now: Instant, key: RouterKey) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        let due = instance.rival_answered + RIVAL_PERIOD;
        let (count, again) = (instance.config.garp.lower_prio_repeat, instance.config.garp.lower_prio_delay);
        if count == 0 {
            return;
        }
        if now >= due {
            instance.rival_answered = now;
            if !again.is_zero() && instance.garp.is_none_or(|(at, _)| at > now + again) {
                instance.garp = Some((now + again, count));
            }
            self.announce(key, count);
        } else if instance.garp.is_none_or(|(at, _)| at > due) {
            // The rival may have spoken last: it is answered, but later.
            instance.garp = Some((due, instance.garp.map_or(count, |(_, count)| count)));
        }
    }

    /// Says where an address is, now or in its turn.
    pub(super) fn announce_one(&mut self, interface: String, address: IpAddr, count: u32) {
        if count > 0 {
            self.out.extend(self.pacer.push(interface, address, count));
        }
    }

    /// What the pace lets go.
    pub(super) fn release_announcements(&mut self, now: Instant) {
        self.out.extend(self.pacer.due(now));
    }

    /// `garp_extra_if`: switches behind other interfaces than the router's hear nothing of it otherwise.
    pub(super) fn announce_extra(&mut self, now: Instant, key: RouterKey) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        if instance.extra_at.is_none_or(|at| at > now) {
            return;
        }
        instance.extra_at = Some(now + instance.config.garp.extra);
        for (interface, address) in elsewhere(instance) {
            self.announce_one(interface, address, 1);
        }
    }
}

/// When the first of them is due, for a router that becomes active.
pub(super) fn first_extra(instance: &Instance, now: Instant) -> Option<Instant> {
    let garp = instance.config.garp;
    let wanted = !garp.extra.is_zero() && !elsewhere(instance).is_empty();
    wanted.then(|| now + garp.extra)
}

/// Addresses on other interfaces than that of the adverts, which switches hear anyway: those with a virtual
/// MAC address, and with `all` every one.
pub(super) fn elsewhere(instance: &Instance) -> Vec<(String, IpAddr)> {
    let config = &instance.config;
    let counts = |interface: &str| config.garp.extra_all || config.vmacs().any(|vmac| vmac.name == interface);
    let places = config.served().map(|a| (config.interface_of(a), a.net.addr()));
    let others = places.filter(|(interface, _)| *interface != config.advert_interface() && counts(interface));
    others.map(|(interface, address)| (interface.to_owned(), address)).collect()
}
