//! From one run of the daemon to the next without letting go: what the old one leaves behind
//! ([`Input::Keep`](crate::Input::Keep)), and what the new one goes on with.
//!
//! The old run renews its leases for as long as voters grant, so that they and the fence outlast
//! the change, and removes nothing. The new run holds them from its beginning. It does not know
//! what each voter promised, only when the majority's promise ends, and renews as soon as voters
//! are connected. Whatever it does not go on with is closed and removed before anything else, then
//! given back.

pub(super) mod digest;

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use mesh_config::model::{Config, QuorumLoss, Version, VirtualRouter};
use mesh_wire::fnv;
use mesh_wire::mesh::lease::{Message, Release};
use mesh_wire::mesh::roster::Role;
use mesh_wire::mesh::{NodeId, RouterKey};
use serde::{Deserialize, Serialize};

use self::digest::digest;
use super::Engine;
use super::routing::add_routes;
use super::upkeep::add_addresses;
use crate::action::Action;
use crate::decision::{Decision, RouterEvent};
use crate::instance::{Backstop, Instance};
use crate::lease::ballot::{Ballot, Lease};
use crate::lease::{GUARD, MAX_LEASE, worth};
use crate::time::Instant;
use crate::vrrp;

/// What one run leaves to the next about one virtual router it serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// Which one.
    pub router: RouterKey,
    /// First and last epoch its lease was asked for under; `None` where it is served without one.
    pub epochs: Option<(u64, u64)>,
    /// Until when it may be served: the fence's deadline, or without a lease the end of what backups
    /// wait for the next advertisement.
    pub until: Instant,
    /// Addresses in the kernel, each with its interface.
    pub addresses: Vec<(String, IpAddr)>,
    /// Tells whether it is configured as it was.
    pub digest: u64,
}

/// Waiting for the last renewal of this run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keeping {
    began: Instant,
    /// Not waited for longer than this.
    pub(super) until: Instant,
    done: bool,
}

/// How long voters are waited for: a lease that is not renewed by then has what was left of it.
const KEEP_WAIT: Duration = Duration::from_millis(150);

/// What ends sooner than this is not gone on with.
const MARGIN: Duration = Duration::from_millis(50);

/// Addresses outlive the fence's deadline by this many seconds: the fence decides.
const SPARE_LIFETIME_S: u64 = 2;

const CAUSE: &str = "goes on with what the run before left";

impl Engine {
    /// Whether this run takes nothing over any more.
    pub(super) fn ending(&self) -> bool {
        self.stopping || self.keeping.is_some()
    }

    /// Stops, and leaves what is served to the next run.
    pub(super) fn keep(&mut self, now: Instant) {
        if self.ending() {
            return;
        }
        let leased = self.leased();
        self.keeping = Some(Keeping { began: now, until: now + KEEP_WAIT, done: false });
        for key in self.keys() {
            let Some(instance) = self.instances.get_mut(&key) else { continue };
            match &mut instance.lease {
                Lease::Held(ballot) => {
                    ballot.ask_at = now;
                    instance.lease_time = MAX_LEASE;
                }
                Lease::Idle if !leased || !instance.vrrp.is_active() => {}
                // Without a lease, for want of voters: the next run may do without it as well.
                Lease::Asking(_) if instance.vrrp.is_active() => {}
                // Without a lease yet: there is nothing the next run could go on with.
                Lease::Idle | Lease::Asking(_) => self.retire(now, key, "this director is restarting", true, None),
            }
        }
    }

    /// Leaves everything behind once voters renewed, or had time enough to.
    pub(super) fn finish_keeping(&mut self, now: Instant) {
        let Some(keeping) = self.keeping.filter(|k| !k.done) else { return };
        let longest = keeping.began + worth(MAX_LEASE) - GUARD;
        let renewed = |i: &Instance| !i.lease.is_held() || i.armed_until.is_some_and(|t| t >= longest);
        if now < keeping.until && !self.instances.values().all(renewed) {
            return;
        }
        self.keeping = Some(Keeping { done: true, until: Instant::from_nanos(u64::MAX), ..keeping });
        let mut left = Vec::new();
        for key in self.keys() {
            let Some(adopted) = self.left_behind(now, key) else { continue };
            let instance = &self.instances[&key];
            let lifetime_s = match adopted.epochs {
                Some(_) => (adopted.until.since(now).as_secs() + SPARE_LIFETIME_S) as u32,
                None => instance.lifetime_s(Backstop::NoLease),
            };
            add_addresses(&mut self.out, instance, lifetime_s);
            self.advertise(key, None);
            left.push(adopted);
        }
        self.out.extend([Action::LeaveBehind(left), Action::Stopped]);
    }

    fn left_behind(&self, now: Instant, key: RouterKey) -> Option<Adopted> {
        let instance = self.instances.get(&key).filter(|i| i.vrrp.is_active())?;
        let (epochs, until) = match &instance.lease {
            Lease::Held(ballot) => {
                let epochs = ballot.epochs();
                (Some((*epochs.start(), *epochs.end())), instance.armed_until?)
            }
            // Every backup waits three intervals and a skew after the advertisement sent now.
            Lease::Idle | Lease::Asking(_) => (None, now + instance.config.advert_interval * 3),
        };
        let addresses = instance.moving().map(|a| (instance.config.interface_of(a).to_owned(), a.net.addr())).collect();
        Some(Adopted { router: key, epochs, until, addresses, digest: digest(&instance.config) })
    }

    /// What was to be left behind cannot be: it is handed over instead.
    pub(super) fn keeping_failed(&mut self, now: Instant, error: &str) {
        let text = format!("cannot leave anything to the next run, so it is handed over: {error}");
        self.record(Decision::Warning { text });
        self.shut_down(now);
        self.out.push(Action::Stopped);
    }

    /// At the start: decides what to go on with, and has the kernel keep exactly that.
    pub(super) fn take_over_kernel(&mut self, now: Instant, left: Vec<Adopted>, config: &Config) -> Vec<Adopted> {
        let (mut adopted, mut orphans): (Vec<Adopted>, Vec<Adopted>) =
            left.into_iter().partition(|left| self.is_adoptable(now, left, config));
        // Of a group all or none.
        let torn = super::groups::torn(config, &|key| adopted.iter().any(|a| a.router == key));
        orphans.extend(adopted.extract_if(.., |a| torn.contains(&a.router)));
        self.orphans = orphans;
        let except = adopted.iter().flat_map(|a| a.addresses.clone()).collect();
        let configured = if self.role() == Role::Director { configured(config) } else { Vec::new() };
        self.out.push(Action::SweepAddresses { except, configured });
        for (adopted, router) in adopted.iter().filter_map(|a| Some((a, router(config, a.router)?))) {
            if adopted.epochs.is_some() {
                let addresses = Instance::new(router.clone(), config.mesh.lease, now).addresses();
                self.out.push(Action::FenceAdopt { addresses, until: adopted.until });
            }
        }
        adopted
    }

    fn is_adoptable(&self, now: Instant, left: &Adopted, config: &Config) -> bool {
        let same = |r: &&VirtualRouter| [digest(r), former_digest(r)].contains(&left.digest);
        let Some(router) = router(config, left.router).filter(same) else { return false };
        let may_do_without = self.quorum_loss(&router.policy, &config.mesh.policy) == QuorumLoss::Vrrp;
        let lease = if left.epochs.is_some() { self.leased() } else { !self.leased() || may_do_without };
        lease && self.role() == Role::Director && left.until > now + MARGIN
    }

    /// At the start: serves, though its interface is not known yet.
    pub(super) fn adopt(&mut self, now: Instant, adopted: Adopted) {
        let (leased, seen) = (self.leased(), self.voter.max_epoch(&adopted.router));
        let Some(instance) = self.instances.get_mut(&adopted.router) else { return };
        instance.vrrp.activate(now);
        instance.stands_back = Some(now);
        instance.adopted = Some(adopted.until);
        instance.goes_on = true;
        if let Some((first, last)) = adopted.epochs {
            instance.epoch_seen = last;
            instance.armed_until = Some(adopted.until);
            instance.silence.decide_at = Some(Self::decide_at(instance.lease_time, adopted.until));
            instance.lease = Lease::Held(Ballot::resumed(now, first..=last, adopted.until, CAUSE.to_owned()));
        } else if leased {
            instance.epoch_seen = instance.epoch_seen.max(seen);
            let mut ballot = Ballot::new(now, instance.epoch_seen.saturating_add(1), CAUSE.to_owned());
            ballot.never_gives_up(adopted.until);
            instance.lease = Lease::Asking(ballot);
            instance.silence.unprotected_since = Some(now);
        }
    }

    /// Its interface is there, and nothing is wrong with it: serves as the run before did. Nobody
    /// learnt another MAC address meanwhile, so that none is announced.
    pub(super) fn resume(&mut self, now: Instant, key: RouterKey) {
        let backstop = self.backstop(now);
        let Some(instance) = self.instances.get_mut(&key) else { return };
        instance.adopted = None;
        instance.vrrp.activate(now);
        instance.counters.became_active += 1;
        instance.refresh_at = Some(now + backstop.refresh());
        if let Some(ballot) = instance.lease.ballot_mut() {
            ballot.ask_at = now;
        }
        let (lifetime_s, epoch) = (instance.lifetime_s(backstop), instance.held_epoch());
        add_addresses(&mut self.out, instance, lifetime_s);
        add_routes(&mut self.out, instance, true);
        self.advertise(key, None);
        self.note_resumed(key);
        self.record_router(now, key, RouterEvent::Active { epoch, voters: Vec::new() }, epoch, CAUSE.to_owned());
        self.tell_unprotected(now, key);
    }

    /// A voter is connected: whatever no majority renewed yet in this run is asked for now, and
    /// what is left of the run before is given back.
    pub(super) fn greet_voter(&mut self, now: Instant, node: NodeId) {
        let voters = self.voters();
        if !voters.contains(&node) {
            return;
        }
        for instance in self.instances.values_mut().filter(|i| i.adopted.is_none() && i.lease.is_held()) {
            if let Some(ballot) = instance.lease.ballot_mut().filter(|b| b.deadline(&voters).is_none()) {
                ballot.ask_at = ballot.ask_at.min(now);
            }
        }
        // What is claimed anew replaces it at every voter that hears of that.
        let claimed = |key: &RouterKey| self.instances.get(key).is_some_and(|i| i.lease.ballot().is_some());
        self.orphans.retain(|orphan| orphan.until + MARGIN > now && !claimed(&orphan.router));
        let release = |o: &Adopted| {
            let (router, (first, last)) = (o.router, o.epochs?);
            Some((first..=last).map(move |epoch| Release { router, epoch, seq: Release::LAST, successor: None }))
        };
        let releases: Vec<Release> = self.orphans.iter().filter_map(release).flatten().collect();
        if !releases.is_empty() {
            self.out.push(Action::SendMessage { to: node, message: Message::Release(releases) });
        }
    }

    /// Epochs of the run before that this one may not use again: a late release must not end them.
    pub(super) fn orphaned_epoch(&self, key: RouterKey) -> u64 {
        let epochs = self.orphans.iter().filter(|o| o.router == key).filter_map(|o| o.epochs);
        epochs.map(|(_, last)| last).max().unwrap_or(0)
    }
}

/// Addresses that are there while their router serves only, each on its interface. The owner of the addresses has them
/// anyway.
fn configured(config: &Config) -> Vec<(String, IpNet)> {
    let moving = config.routers.iter().filter(|router| router.priority != vrrp::OWNER_PRIORITY);
    moving.flat_map(|r| r.served().map(|a| (r.interface_of(a).to_owned(), a.net))).collect()
}

fn router(config: &Config, key: RouterKey) -> Option<&VirtualRouter> {
    config.routers.iter().find(|r| r.key == key)
}

/// As earlier versions made it, of what a debugger shows: what a run of theirs left is gone on with.
pub(super) fn former_digest(router: &VirtualRouter) -> u64 {
    let version = match router.version {
        Version::V2 => 2,
        Version::V3 => 3,
    };
    let served: Vec<String> =
        router.served().map(|a| format!("{}%{} {:?}", a.net, router.interface_of(a), (&a.label, a.scope))).collect();
    let text = format!(
        "{} {} v{version} {}ms {} auth={} {:?} {} {} {:?} {:?}",
        router.key,
        router.interface,
        router.advert_interval.as_millis(),
        router.priority,
        router.auth_pass.is_some(),
        router.transport,
        router.addresses.len(),
        served.join(" "),
        router.vmacs().map(|v| (&v.name, v.mac)).collect::<Vec<_>>(),
        (&router.routes, &router.rules)
    );
    fnv::hash(text.as_bytes())
}
