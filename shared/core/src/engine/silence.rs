//! No majority of the voters answers. Silence is no refusal: with `on_quorum_loss = "vrrp"` a router
//! then does what VRRP would, without a lease, and says that it is unprotected.
//!
//! A backup asks the voters, hears nobody, probes the addresses on the segment and serves if nobody has them.
//! An owner whose renewals get no answer goes on, and takes its addresses out of the fence before
//! the lease ends. Whoever serves without a lease goes on asking for one: the first answer decides.
//! Any voter that says who holds the lease ends all this: that is a refusal.

use std::net::IpAddr;
use std::time::Duration;

use mesh_config::model::{Policy, QuorumLoss, VirtualAddress};
use mesh_wire::mesh::roster::FIRST_VOTERS;
use mesh_wire::mesh::{NodeId, RouterKey};
use rand::RngExt;

use super::Engine;
use crate::action::Action;
use crate::decision::RouterEvent;
use crate::input::ProbeAnswer;
use crate::instance::{Instance, Probe};
use crate::lease::ballot::Lease;
use crate::time::Instant;

/// A probe takes 40 ms; one that the daemon has not answered by then has failed.
const PROBE_LIMIT: Duration = Duration::from_millis(400);

/// Between two probes that were answered, at most.
const LONGEST_PROBE_WAIT: Duration = Duration::from_secs(60);

/// An owner decides so long before its lease ends, or a tenth of the lease where that is less: time
/// for the kernel to take the addresses out of the fence.
const LEAD: Duration = Duration::from_millis(100);

/// A mesh that has just got its third voter: how long its owners may go on without a lease. New
/// voters say nothing for 3 s.
const GRACE: Duration = Duration::from_secs(5);

impl Engine {
    /// What a router does while no majority answers.
    pub(super) fn on_quorum_loss(&self, instance: &Instance) -> QuorumLoss {
        self.quorum_loss(&instance.config.policy, &self.config.mesh.policy)
    }

    /// The same, by a router's own word and the mesh's.
    pub(super) fn quorum_loss(&self, own: &Policy, mesh: &Policy) -> QuorumLoss {
        let default = if self.voters().len() < FIRST_VOTERS { QuorumLoss::Vrrp } else { QuorumLoss::Fence };
        own.on_quorum_loss.or(mesh.on_quorum_loss).unwrap_or(default)
    }

    /// The router's own word, else the mesh's.
    pub(super) fn policy<'a, T>(&'a self, instance: &'a Instance, word: impl Fn(&'a Policy) -> Option<T>) -> Option<T> {
        word(&instance.config.policy).or_else(|| word(&self.config.mesh.policy))
    }

    /// Whether there has been silence for long enough, at `at`, to do without the voters.
    fn may_do_without(&self, at: Instant, instance: &Instance) -> bool {
        let few = self.voters().len() < FIRST_VOTERS;
        let default = if few { Duration::ZERO } else { instance.vrrp.down_interval() };
        let delay = self.policy(instance, |p| p.quorum_loss_delay).unwrap_or(default);
        self.on_quorum_loss(instance) == QuorumLoss::Vrrp && at >= instance.silence.quorum_at + delay
    }

    /// Whether the voters are known to be silent, before the claim's time is over: whoever has not
    /// answered is not connected. Looked at where silence leads on; elsewhere a claim waits.
    pub(super) fn nobody_left_to_answer(&self, now: Instant, key: RouterKey) -> bool {
        let Some(instance) = self.instances.get(&key) else { return false };
        let Some(ballot) = instance.lease.ballot() else { return false };
        let mut silent = self.voters().into_iter().filter(|v| !ballot.has_heard(v));
        // Our own voter is asked at the end of this step.
        let absent = |v| v != self.setup.node && !self.membership.is_connected(v);
        self.may_do_without(now, instance) && silent.all(absent)
    }

    /// A claim came to nothing. Where that is silence, and the router may do without the voters, the
    /// claim lives on while the addresses are probed; `false` where it has failed.
    pub(super) fn probe_instead(&mut self, now: Instant, key: RouterKey) -> bool {
        let members = self.members(key);
        if members.is_empty() || !members.iter().all(|member| self.may_probe(now, member)) {
            return false;
        }
        if let Some(probe) = self.instances[&key].silence.probe {
            return now < probe.until;
        }
        self.probes += 1;
        let probe = Probe { number: self.probes, until: now + PROBE_LIMIT };
        let mut addresses: Vec<(String, IpAddr)> = Vec::new();
        // A group's in one: it serves if nobody has any of them.
        for member in members {
            let Some(instance) = self.instances.get_mut(&member) else { return false };
            instance.silence.probe = Some(probe);
            if let Some(ballot) = instance.lease.ballot_mut() {
                ballot.give_up_at = probe.until;
            }
            let on = |a: &VirtualAddress| (instance.config.segment_of(a).to_owned(), a.net.addr());
            addresses.extend(instance.moving().map(on));
        }
        self.out.push(Action::ProbeAddresses { probe: probe.number, addresses });
        true
    }

    /// Whether a claim that met silence may go on with a look at the segment.
    fn may_probe(&self, now: Instant, key: &RouterKey) -> bool {
        let instance = &self.instances[key];
        let Lease::Asking(ballot) = &instance.lease else { return false };
        let early = instance.silence.probe_after.is_some_and(|t| now < t);
        let allowed = instance.vrrp.is_backup() && !early && !self.stopping && !instance.defers_to_foreign(now);
        allowed && ballot.is_silence(now, &self.voters()) && self.may_do_without(now, instance)
    }

    /// The segment has been looked at.
    pub(super) fn probed(&mut self, now: Instant, probe: u64, answer: Option<ProbeAnswer>) {
        if self.segment_probed(now, probe, Some(answer.is_some())) {
            return;
        }
        let Some(key) = self.probing(probe) else { return };
        let voters = self.voters();
        let silent = |m: &RouterKey| self.instances[m].lease.ballot().is_some_and(|b| b.is_silence(now, &voters));
        let silent = self.members(key).iter().all(silent);
        match answer {
            None if silent => self.serve_without_lease(now, key),
            None => self.lose(now, key, None),
            Some(ProbeAnswer { address, mac: [a, b, c, d, e, f] }) => {
                let text = format!("{address} answers at {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
                self.taken(now, key, text);
            }
        }
    }

    /// The segment could not be looked at: that is no reason to believe that nobody is there.
    pub(super) fn probe_failed(&mut self, now: Instant, probe: u64, error: &str) {
        if self.segment_probed(now, probe, None) {
            return;
        }
        if let Some(key) = self.probing(probe) {
            self.taken(now, key, format!("whether its addresses are in use cannot be found out: {error}"));
        }
    }

    /// Whose probe this is, unless it has been given up.
    fn probing(&self, number: u64) -> Option<RouterKey> {
        let found = self.instances.iter().find(|(_, i)| i.silence.probe.is_some_and(|p| p.number == number));
        found.map(|(key, _)| *key)
    }

    /// Somebody has an address: the claim is vetoed, the next look is later each time. The wait is
    /// drawn, because two candidates that probe at once stop each other.
    fn taken(&mut self, now: Instant, key: RouterKey, text: String) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        let least = instance.vrrp.down_interval();
        let wait = instance.silence.probe_wait.unwrap_or(least).min(LONGEST_PROBE_WAIT.max(least));
        let at = now + wait + wait / 4 * self.rng.random_range(0..=100) / 100;
        let members = self.members(key);
        for member in &members {
            let Some(instance) = self.instances.get_mut(member) else { return };
            instance.silence.probe_wait = Some(wait * 2);
            instance.silence.probe_after = Some(at);
            if let Some(ballot) = instance.lease.ballot() {
                instance.vacancy.clone_from(&ballot.cause);
            }
        }
        self.lose(now, key, Some(text));
        for member in members {
            if let Some(instance) = self.instances.get_mut(&member) {
                instance.claim_at = Some(at);
            }
        }
    }

    /// Nobody has the addresses: serves without a lease, and goes on asking for one.
    fn serve_without_lease(&mut self, now: Instant, key: RouterKey) {
        for member in self.members(key) {
            let Some(instance) = self.instances.get_mut(&member) else { return };
            let Lease::Asking(ballot) = &mut instance.lease else { return };
            ballot.never_gives_up(now);
            let cause = ballot.cause.clone();
            instance.silence.lease_ended = Instant::default();
            self.activate(now, member, None, cause);
            self.tell_unprotected(now, member);
        }
    }

    /// The holder of a lease that nobody renews goes on without it, while it still lives: out of the
    /// fence, before the kernel closes it.
    pub(super) fn go_on_without_lease(&mut self, now: Instant, key: RouterKey) {
        let Some(instance) = self.instances.get(&key) else { return };
        let strict = self.policy(instance, |p| p.on_quorum_loss) == Some(QuorumLoss::Fence);
        let in_grace = !strict && self.grace_until.is_some_and(|t| now < t);
        let Some(end) = instance.armed_until.filter(|end| now < *end && instance.lease.is_held()) else { return };
        // Whether its interface is there is not known yet.
        if instance.adopted.is_some() {
            return;
        }
        let refused = instance.lease.ballot().is_some_and(|b| b.held_now(now).next().is_some());
        if self.stopping || refused || !(in_grace || self.may_do_without(end, instance)) {
            return;
        }
        let Some(instance) = self.instances.get_mut(&key) else { return };
        let Lease::Held(mut ballot) = std::mem::take(&mut instance.lease) else { return };
        ballot.never_gives_up(now);
        instance.lease = Lease::Asking(ballot);
        instance.armed_until = None;
        instance.silence.lease_ended = end;
        instance.silence.unprotected_since = Some(now);
        let addresses = instance.addresses();
        self.fence.keep_closed(&addresses);
        self.install_fence();
        self.tell_unprotected(now, key);
    }

    pub(super) fn tell_unprotected(&mut self, now: Instant, key: RouterKey) {
        let Some(instance) = self.instances.get(&key) else { return };
        if instance.silence.unprotected_since.is_none() {
            return;
        }
        let reachable = self.reachable_voters();
        let cause = format!("no majority answers, {reachable} of {} voters reachable", self.voters().len());
        self.record_router(now, key, RouterEvent::Unprotected, 0, cause);
    }

    /// Voters this node reaches, itself included.
    pub(super) fn reachable_voters(&self) -> usize {
        self.voters().into_iter().filter(|voter| self.reaches(*voter)).count()
    }

    pub(super) fn reaches(&self, node: NodeId) -> bool {
        node == self.setup.node || self.membership.is_connected(node)
    }

    /// Whether these are a majority.
    pub(super) fn reaches_quorum(&self) -> bool {
        self.reachable_voters() * 2 > self.voters().len()
    }

    /// When an owner has to decide whether it goes on without its lease.
    pub(super) fn decide_at(lease: Duration, end: Instant) -> Instant {
        end - LEAD.min(lease / 10)
    }

    /// What the answers come to while a router serves without a lease: a majority gives it one, and a
    /// voter that knows another holder ends it.
    pub(super) fn settle_without_lease(&mut self, now: Instant, key: RouterKey) {
        let voters = self.voters();
        let Some(instance) = self.instances.get(&key) else { return };
        let Some(ballot) = instance.lease.ballot() else { return };
        let granted = ballot.won(&voters).filter(|d| *d > now && *d > instance.silence.lease_ended);
        match granted {
            Some(deadline) => self.win(now, key, deadline),
            None => {
                if let Some(cause) = self.outvoted(now, key) {
                    self.retire(now, key, &cause, true, None);
                }
            }
        }
    }

    /// Why a router that serves without a lease has to let go. A holder that can not have a majority
    /// serves without a lease, too: of two such owners the worthier stays.
    fn outvoted(&self, now: Instant, key: RouterKey) -> Option<String> {
        let voters = self.voters();
        let ballot = self.instances.get(&key)?.lease.ballot()?;
        let held: Vec<(NodeId, NodeId)> =
            ballot.held_now(now).filter(|(v, ..)| voters.contains(v)).map(|(v, owner, _)| (v, owner)).collect();
        let ours = ballot.promised(now, &voters);
        held.iter().find_map(|(_, owner)| {
            let elsewhere = held.iter().filter(|(_, other)| other != owner).count();
            let name = self.name_of(*owner);
            if ours + elsewhere + voters.len() / 2 < voters.len() {
                return Some(format!("{name} holds the lease"));
            }
            (!self.outranks(&key, *owner)).then(|| format!("{name} serves without a lease, too, and is worthier"))
        })
    }

    /// Whether this node's priority is known to come before another's.
    fn outranks(&self, key: &RouterKey, other: NodeId) -> bool {
        let Some(theirs) = self.membership.router(other, key).map(|r| r.priority) else { return false };
        self.instances.get(key).is_some_and(|i| (i.shown_priority(), other) > (theirs, self.setup.node))
    }

    /// Three voters or more: what went on without a lease only because they were new has had its time.
    pub(super) fn grace_ends(&self, instance: &Instance) -> Option<Instant> {
        let unprotected = instance.silence.unprotected_since.is_some();
        let strict = unprotected && self.on_quorum_loss(instance) == QuorumLoss::Fence;
        strict.then(|| self.grace_until.unwrap_or_default())
    }

    /// The mesh has got its third voter.
    pub(super) fn begin_grace(&mut self, now: Instant) {
        self.grace_until = Some(now + GRACE);
    }

    /// Asks a voter that has come back at once, where a lease is wanting.
    pub(super) fn ask_again(&mut self, now: Instant) {
        let unprotected = |i: &&mut Instance| i.silence.unprotected_since.is_some() && i.adopted.is_none();
        for instance in self.instances.values_mut().filter(unprotected) {
            if let Some(ballot) = instance.lease.ballot_mut() {
                ballot.ask_at = now;
            }
        }
    }

    /// After a stall: what served without a lease may have been replaced meanwhile, and what was
    /// looked at has changed. Both begin again with listening.
    pub(super) fn distrust(&mut self, now: Instant, key: RouterKey) {
        let instance = &self.instances[&key];
        let backup = instance.vrrp.is_backup();
        if instance.silence.unprotected_since.is_some() {
            self.retire(now, key, "this daemon stood still, and served without a lease", true, None);
        } else if backup && instance.lease.ballot().is_some() && self.on_quorum_loss(instance) == QuorumLoss::Vrrp {
            self.retire(now, key, "this daemon stood still", false, None);
        }
    }

    /// The daemon stood still amid effects: nothing that was left out may stay left out.
    pub(super) fn stood_still(&mut self, now: Instant) {
        self.wake_up(now);
        self.rearm_all();
    }
}
