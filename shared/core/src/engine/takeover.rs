//! VRRP's claim and the lease's verdict come together here, and nowhere else: who serves from
//! when, and in which order fence, addresses, announcements and messages follow.
//!
//! Taking over: fence opened until the lease's end, addresses, advertisement, announcements.
//! Letting go: fence closed, addresses removed, advertisement with priority 0, lease released.

use std::net::IpAddr;

use mesh_config::model::{QuorumLoss, Transport};
use mesh_wire::mesh::lease::{Message, Preempt};
use mesh_wire::mesh::{NodeId, RouterKey};

use super::lacks::Lacks;
use super::routing::{add_routes, del_routes};
use super::upkeep::add_addresses;
use super::{Engine, announce};
use crate::action::Action;
use crate::decision::RouterEvent;
use crate::instance::Veto;
use crate::lease::EPOCH_STRIDE;
use crate::lease::ballot::{Ballot, Lease};
use crate::time::Instant;
use crate::vrrp::{self, Verdict};
use crate::will::Advert;

impl Engine {
    /// Retires every router whose lease ran out: before anything else is looked at.
    pub(super) fn expire(&mut self, now: Instant) {
        for key in self.instances.due(now).collect::<Vec<_>>() {
            let instance = &self.instances[&key];
            if instance.adopted.is_some_and(|t| t <= now) {
                self.retire(now, key, "its interface did not appear in time to go on", false, None);
                self.instances.get_mut(&key).expect("keys are those of instances").vrrp.shutdown();
            } else if instance.lease.is_held() && instance.armed_until.is_some_and(|t| t <= now) {
                self.retire(now, key, "the lease ran out: renewals did not reach a majority", true, None);
            } else if self.grace_ends(instance).is_some_and(|t| now >= t) {
                self.retire(now, key, "no majority of the voters granted a lease", true, None);
            }
        }
    }

    /// After a stall a backup has not listened: what it did not hear says nothing, and it waits for
    /// a whole interval again. So does who served without a lease. A daemon that was only busy has
    /// heard all there was ([`Input::Listened`]), and its timers are right.
    pub(super) fn wake_up(&mut self, now: Instant) {
        self.keys().into_iter().for_each(|key| self.distrust(now, key));
        for instance in self.instances.values_mut().filter(|i| i.vrrp.is_backup()) {
            instance.vrrp.back_up(now);
            instance.claim_at = None;
        }
    }

    /// Does what VRRP wants, as far as the lease allows.
    pub(super) fn follow(&mut self, now: Instant, key: RouterKey, verdict: Verdict) {
        match verdict {
            Verdict::Stay => {}
            Verdict::Defer => self.defer(now, key),
            Verdict::Claim(cause) => {
                self.instances.get_mut(&key).expect("a verdict is an instance's").wants = Some(cause);
                self.claim(now, key, cause.to_owned());
            }
            Verdict::Yield(cause) => {
                if self.instances[&key].config.conduct.higher_prio_send_advert {
                    self.advertise(key, None);
                }
                // Two served: the one that stays hears of it, and tells hosts where the address is.
                let unprotected = self.instances[&key].silence.unprotected_since.is_some();
                self.retire(now, key, cause, unprotected, None);
            }
            Verdict::Advertise => self.advertise(key, None),
        }
    }

    /// A worthier router is heard: whatever was refused before is settled, and nothing is vacant.
    fn defer(&mut self, now: Instant, key: RouterKey) {
        let Some(instance) = self.instances.get(&key) else { return };
        if instance.lease.ballot().is_some() && self.on_quorum_loss(instance) == QuorumLoss::Vrrp {
            // Silence of the voters would not mean that nobody serves.
            self.retire(now, key, "a worthier router is active", false, None);
        }
        let Some(instance) = self.instances.get_mut(&key) else { return };
        instance.claim_at = None;
        instance.wants = None;
        instance.failures = 0;
        instance.silence.probe_after = None;
        instance.silence.probe_wait = None;
        if instance.veto.take().is_some() {
            let cause = "the active router is heard again".to_owned();
            self.record_router(now, key, RouterEvent::Backup, 0, cause);
        }
    }

    /// Wants to become active.
    pub(super) fn claim(&mut self, now: Instant, key: RouterKey, cause: String) {
        if self.ending() {
            return;
        }
        let members = self.members(key);
        if !self.may_claim(now, key, &members) {
            return;
        }
        if let Some(until) = self.stands_back(now, key) {
            self.instances.get_mut(&key).expect("it stands back").vacancy = cause;
            return self.schedule_claim(now, key, until);
        }
        let leased = self.leased();
        let pace = self.pace(now);
        for member in members {
            let own = self.voter.max_epoch(&member);
            let seen = own.max(self.membership.max_epoch(&member).min(own.saturating_add(EPOCH_STRIDE)));
            let Some(instance) = self.instances.get_mut(&member) else { return };
            instance.wants = None;
            if leased {
                instance.epoch_seen = instance.epoch_seen.max(seen);
                let above = instance.begin_above.take().unwrap_or(instance.epoch_seen);
                let ballot = Ballot::new(now, above.saturating_add(1), cause.clone());
                instance.lease = Lease::Asking(ballot.paced(pace, instance.lease_time));
            } else {
                self.activate(now, member, None, cause.clone());
            }
        }
    }

    /// Claims after voters said it is vacant, or when addresses that somebody had may be free.
    pub(super) fn claim_vacant(&mut self, now: Instant, key: RouterKey) {
        let other = |member: &RouterKey| self.voter.holder(now, member).is_some_and(|h| h.owner != self.setup.node);
        let held_by_other = self.members(key).iter().any(other);
        let Some(instance) = self.instances.get(&key) else { return };
        if instance.vrrp.is_backup() && !held_by_other && !instance.defers_to_foreign(now) && self.leased() {
            let cause = instance.vacancy.clone();
            self.claim(now, key, cause);
        }
    }

    /// Serves from now on.
    pub(super) fn activate(&mut self, now: Instant, key: RouterKey, deadline: Option<Instant>, cause: String) {
        let backstop = self.backstop(now);
        let unprotected = self.leased() && deadline.is_none();
        let Some(instance) = self.instances.get_mut(&key) else { return };
        let was_active = instance.vrrp.is_active();
        let lease_time = instance.lease_time;
        instance.armed_until = deadline;
        instance.silence.unprotected_since = unprotected.then_some(now);
        instance.silence.decide_at = deadline.map(|end| Self::decide_at(lease_time, end));
        instance.silence.probe = None;
        instance.silence.probe_after = None;
        instance.silence.probe_wait = None;
        instance.veto = None;
        instance.claim_at = None;
        instance.stands_back.get_or_insert(now);
        instance.wants = None;
        instance.vetoes.clear();
        instance.failures = 0;
        if was_active || unprotected {
            self.install_fence();
        }
        let Some(instance) = self.instances.get_mut(&key) else { return };
        if let Some(until) = deadline {
            self.out.push(Action::FenceArm { addresses: instance.addresses(), until });
        }
        if !was_active {
            self.look_for_own_addresses(now, key);
            let Some(instance) = self.instances.get_mut(&key) else { return };
            instance.vrrp.activate(now);
            instance.counters.became_active += 1;
            instance.refresh_at = Some(now + backstop.refresh());
            let garp = instance.config.garp;
            instance.garp = (!garp.delay.is_zero()).then_some((now + garp.delay, garp.repeat));
            instance.extra_at = announce::first_extra(instance, now);
            let lifetime_s = instance.lifetime_s(backstop);
            add_addresses(&mut self.out, instance, lifetime_s);
            add_routes(&mut self.out, &self.instances[&key], false);
            self.advertise(key, None);
            self.announce(key, self.instances[&key].config.garp.repeat);
        }
        let ballot = self.instances[&key].lease.ballot().filter(|_| !unprotected);
        let epoch = ballot.map_or(0, |b| b.epoch);
        let granted: Vec<NodeId> = ballot.map(|b| b.granted_by().collect()).unwrap_or_default();
        let voters = granted.iter().map(|v| self.name_of(*v)).collect();
        let (event, cause) = if was_active {
            // Another may have served as well; hosts have to find this one.
            self.announce(key, self.instances[&key].config.garp.repeat);
            (RouterEvent::Protected { epoch, voters }, "a majority of the voters answers again".to_owned())
        } else {
            (RouterEvent::Active { epoch, voters }, cause)
        };
        self.record_router(now, key, event, epoch, cause);
        if was_active {
            // It served all the time: no takeover, and nobody waited.
            return self.forget_answers(key);
        }
        let began = self.instances[&key].lease.ballot().map(Ballot::began);
        self.note_active(now, key, epoch, began);
    }

    /// A claim was refused by the voters, or by their silence: for all of a group, or for one router.
    pub(super) fn refused(&mut self, now: Instant, losses: Vec<(RouterKey, Veto, Ballot)>) {
        for (key, ..) in &losses {
            let Some(instance) = self.instances.get_mut(key) else { return };
            instance.vrrp.back_up(now);
            instance.wants = None;
        }
        // Members that were granted have nobody to ask.
        let held = losses.iter().filter(|(_, veto, _)| veto.holder.is_some());
        let preempts: Vec<_> = held.map(|(key, veto, ballot)| self.may_preempt(now, *key, veto, ballot)).collect();
        if !preempts.is_empty() && preempts.iter().all(Option::is_some) {
            for (to, preempt) in preempts.into_iter().flatten() {
                self.out.push(Action::SendMessage { to, message: Message::Preempt(preempt) });
            }
            for (key, veto, ballot) in &losses {
                self.note_refused(now, *key, veto, ballot);
            }
            return;
        }
        for (key, veto, ballot) in losses {
            if let Some(holder) = veto.holder.filter(|_| self.heard_enough(&veto, &ballot)) {
                self.unheard(now, key, holder);
            }
            self.show_veto(now, key, veto, &ballot);
        }
    }

    /// Whom to ask for a router that this node is worthier of, as far as it knows all that decides that.
    fn may_preempt(&self, now: Instant, key: RouterKey, veto: &Veto, ballot: &Ballot) -> Option<(NodeId, Preempt)> {
        let instance = self.instances.get(&key).filter(|_| self.is_informed(now))?;
        let holder = veto.holder.filter(|_| instance.vrrp.preempts() && self.heard_enough(veto, ballot))?;
        let priority = instance.vrrp.priority();
        let worthier = self.membership.router(holder, &key).is_some_and(|theirs| theirs.priority < priority);
        worthier.then_some((holder, Preempt { router: key, priority }))
    }

    /// Whether a refusal is that of voters, and not of their silence.
    fn heard_enough(&self, veto: &Veto, ballot: &Ballot) -> bool {
        let voters = self.voters();
        // Of two voters our own may have refused before the other could say anything.
        let there = |v: &&NodeId| ballot.has_heard(v) || veto.holder == Some(**v) && self.membership.is_connected(**v);
        // As many as can keep a majority from us, half of them where their number is even; not our own alone.
        let there = voters.iter().filter(there).count();
        there > 1 && there >= voters.len().div_ceil(2)
    }

    /// Tells a refusal once, and again only when it is another one.
    fn show_veto(&mut self, now: Instant, key: RouterKey, veto: Veto, ballot: &Ballot) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        let known = instance.veto.as_ref().is_some_and(|v| v.holder == veto.holder && v.reason == veto.reason);
        instance.veto = Some(veto.clone());
        if known {
            return self.forget_answers(key);
        }
        self.note_refused(now, key, &veto, ballot);
        let by: Vec<String> = veto.by.iter().map(|v| self.name_of(*v)).collect();
        let cause = if by.is_empty() { veto.reason } else { format!("{}, say {}", veto.reason, by.join(" and ")) };
        self.record_router(now, key, RouterEvent::Vetoed { by }, ballot.epoch, cause);
    }

    /// [`Engine::retire`], of this router alone.
    pub(super) fn retire_one(
        &mut self,
        now: Instant,
        key: RouterKey,
        cause: &str,
        resign: bool,
        successor: Option<NodeId>,
    ) {
        let fenced = self.leased();
        let Some(instance) = self.instances.get_mut(&key) else { return };
        let was_active = instance.vrrp.is_active();
        let lease = std::mem::take(&mut instance.lease);
        let armed = instance.armed_until.take().is_some();
        instance.silence.unprotected_since = None;
        instance.silence.decide_at = None;
        instance.silence.probe = None;
        instance.adopted = None;
        instance.goes_on = false;
        instance.garp = None;
        instance.extra_at = None;
        instance.refresh_at = None;
        instance.lacks = Lacks::default();
        instance.claim_at = None;
        instance.wants = None;
        if instance.vrrp.state() != vrrp::State::Initialize {
            instance.vrrp.back_up(now);
        }
        if was_active {
            instance.counters.released_active += 1;
            let addresses = instance.addresses();
            self.pacer.forget(&addresses);
            self.fence.keep_closed(&addresses);
            if fenced && armed {
                self.out.push(Action::FenceClose { addresses });
            } else if fenced && !self.stopping {
                // It served without a lease and was left out of the fence until now.
                self.install_fence();
            }
            let instance = &self.instances[&key];
            del_routes(&mut self.out, instance);
            for address in instance.moving() {
                let interface = instance.config.interface_of(address).to_owned();
                self.out.push(Action::DelAddress { interface, address: address.clone() });
            }
            if resign {
                self.advertise(key, Some(0));
            }
        }
        if let Some(ballot) = lease.ballot() {
            if was_active {
                self.explain_release(key, ballot.epoch, cause);
            }
            self.release(now, key, ballot, successor);
        }
        if was_active {
            let epoch = lease.ballot().map_or(0, |b| b.epoch);
            self.record_router(now, key, RouterEvent::Backup, epoch, cause.to_owned());
            self.note_retired(now, key, epoch, cause);
        }
    }

    /// Sends an advertisement to the group, or to each peer.
    pub(super) fn advertise(&mut self, key: RouterKey, priority: Option<u8>) {
        let clock = self.wall_clock();
        let number = self.instances.get_mut(&key).and_then(|i| i.guard.next(&i.config, clock));
        let adverts = self.advertisements(key, priority, number);
        if let Some(instance) = self.instances.get_mut(&key) {
            instance.counters.sent(adverts.len(), priority == Some(0));
        }
        for Advert { interface, source, destination, envelope, payload } in adverts {
            self.out.push(Action::SendAdvertisement { interface, source, destination, envelope, payload });
        }
    }

    /// The packets of one advertisement.
    pub(super) fn advertisements(&self, key: RouterKey, priority: Option<u8>, number: Option<u64>) -> Vec<Advert> {
        let Some(instance) = self.instances.get(&key) else { return Vec::new() };
        let Some(source) = instance.source else { return Vec::new() };
        let destinations: Vec<IpAddr> = match &instance.config.transport {
            Transport::Multicast { .. } => vec![instance.config.group()],
            Transport::Unicast { peers, .. } => peers.clone(),
        };
        let config = &instance.config;
        // In a mesh the fence is closed by then, and holds back what a virtual MAC address sends: the last word leaves
        // with the interface's own, as it does where that of the virtual one is gone.
        let made = self.interfaces.get(config.advert_interface()).is_some_and(|interface| interface.running);
        let below = priority == Some(0) && (self.leased() || !made);
        let interface = if below { &config.interface } else { config.advert_interface() };
        let packet = |destination| {
            let (envelope, payload) = instance.advertisement(source, destination, priority, number);
            Advert { interface: interface.to_owned(), source, destination, envelope, payload }
        };
        destinations.into_iter().map(packet).collect()
    }

    /// Hands over everything, to the worthiest candidate that is connected.
    pub(super) fn shut_down(&mut self, now: Instant) {
        self.stopping = true;
        for key in self.keys() {
            let successor = self.group_candidates(key).into_iter().max_by_key(|(id, p)| (*p, *id)).map(|(id, _)| id);
            self.retire(now, key, "this director is stopping", true, successor);
            self.instances.get_mut(&key).expect("keys are those of instances").vrrp.shutdown();
        }
        self.install_fence();
        self.remove_statics();
        self.remove_vmacs();
        self.tell_stop();
    }
}
