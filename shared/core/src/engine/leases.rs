//! Lease messages in both roles: asking and being asked.

use std::collections::BTreeSet;
use std::time::Duration;

use mesh_wire::mesh::lease::{Claim, Message, Preempt, Release, Reply, Request, Vacant, Verdict};
use mesh_wire::mesh::{NodeId, RouterKey};
use rand::RngExt;

use super::trust::plausible;
use super::{Engine, Sent};
use crate::action::Action;
use crate::decision::Decision;
use crate::instance::{Instance, Veto};
use crate::lease::ballot::{Ballot, Lease};
use crate::lease::pace::{pause_limit, shortest_lease};
use crate::lease::{ASK_AGAIN, BACK_OFF, EPOCH_STRIDE, MAX_LEASE, RESERVATION, renew_period};
use crate::roster::replica::Event;
use crate::time::Instant;

/// Requests remembered for their answers, at most.
const SENT_LIMIT: usize = 256;

/// For how long: what is granted later is worth nothing any more.
const SENT_FOR: Duration = MAX_LEASE;

impl Engine {
    /// Asks voters for whatever is due, in one message to each. Our own voter answers at once,
    /// which may bring about a majority, which renews: hence the loop, which ends because a lease
    /// just renewed is not due.
    pub(super) fn ask_voters(&mut self, now: Instant) {
        while let Some(claims) = self.due_claims(now) {
            self.seq += 1;
            let epoch = self.roster.as_ref().map_or(0, |r| r.epoch);
            let request = Request { roster_epoch: epoch, seq: self.seq, claims: claims.clone() };
            while self.sent.front().is_some_and(|s| now > s.at + SENT_FOR || self.sent.len() >= SENT_LIMIT) {
                self.sent.pop_front();
            }
            self.sent.push_back(Sent { seq: self.seq, at: now, claims, answered: BTreeSet::new() });
            let voters = self.voters();
            for to in voters.iter().filter(|v| **v != self.setup.node) {
                self.out.push(Action::SendMessage { to: *to, message: Message::Request(request.clone()) });
            }
            if voters.contains(&self.setup.node) {
                let reply = self.answer(now, self.setup.node, &request);
                self.receive_reply(now, self.setup.node, &reply);
            }
        }
    }

    /// The claims due now. Renewals that are nearly due come along, so that all leases of a node
    /// are soon renewed in one message.
    fn due_claims(&mut self, now: Instant) -> Option<Vec<Claim>> {
        let due = |i: &Instance| {
            i.lease.ballot().is_some_and(|b| b.ask_at <= now && (i.lease.is_held() || now < b.give_up_at))
        };
        let is_due = |key: &RouterKey| self.instances.get(key).is_some_and(due);
        if !self.instances.due(now).any(|key| is_due(&key)) && !self.instances.changed().iter().any(is_due) {
            return None;
        }
        let mut claims = Vec::new();
        let keeping = self.keeping.is_some();
        for instance in self.instances.values_mut() {
            let period = if keeping { ASK_AGAIN } else { renew_period(instance.lease_time) };
            let lease_time = instance.lease_time;
            let unprotected = instance.silence.unprotected_since.is_some();
            let (router, duration, epoch) = match &mut instance.lease {
                Lease::Held(ballot) if ballot.ask_at <= now + period / 4 => {
                    ballot.renewed(now, period);
                    (instance.config.key, lease_time, ballot.epoch)
                }
                Lease::Asking(ballot) if ballot.ask_at <= now && now < ballot.give_up_at => {
                    // Who serves without a lease needs a whole one, and has time.
                    if unprotected {
                        ballot.renewed(now, period);
                    } else {
                        ballot.asked(now);
                    }
                    let duration = if unprotected { lease_time } else { ballot.first_duration(lease_time) };
                    (instance.config.key, duration, ballot.epoch)
                }
                Lease::Idle | Lease::Asking(_) | Lease::Held(_) => continue,
            };
            instance.epoch_seen = instance.epoch_seen.max(epoch);
            self.voter.note_claim(router, epoch);
            claims.push(Claim { router, epoch, duration_ms: duration.as_millis() as u32 });
        }
        Some(claims)
    }

    /// A message from a member.
    pub(super) fn receive_message(&mut self, now: Instant, from: NodeId, message: Message) {
        if !self.heeds(now, from, &message) {
            return;
        }
        match message {
            Message::Request(request) => {
                let reply = self.answer(now, from, &request);
                self.out.push(Action::SendMessage { to: from, message: Message::Reply(reply) });
            }
            Message::Reply(reply) => self.receive_reply(now, from, &reply),
            Message::Release(releases) => self.receive_releases(now, from, &releases),
            Message::Vacant(vacant) => vacant.iter().for_each(|v| self.hear_vacant(now, from, v)),
            Message::Preempt(preempt) => self.receive_preempt(now, from, preempt),
            Message::Roster(roster) => self.hear_roster(now, roster),
            Message::Consensus(message) => self.consult(now, Event::Message { from, message }),
            Message::Move(message) => self.receive_move(now, from, message),
            Message::Parting(parting) => self.hear_parting(from, parting),
        }
    }

    /// As a candidate or owner: takes in a voter's answer.
    fn receive_reply(&mut self, now: Instant, from: NodeId, reply: &Reply) {
        if reply.roster_epoch < self.roster.as_ref().map_or(0, |r| r.epoch) {
            self.send_roster(from);
        }
        let Some(sent) = self.sent.iter_mut().find(|s| s.seq == reply.seq) else { return };
        let first = sent.answered.insert(from);
        let (at, claims) = (sent.at, sent.claims.clone());
        if first && from != self.setup.node {
            self.membership.peer_mut(from).replies.note(now, now.since(at));
            self.check_lease_times(now);
        }
        // One vote of many is what a web host has: its clock alone must not end all leases of this node.
        if !self.is_server(from) {
            self.check_clock(now, from, reply.clock_ns, at);
        }
        // Claims are in the order of their routers.
        let claim_of = |router: &RouterKey| claims.binary_search_by_key(router, |c| c.router).ok().map(|at| claims[at]);
        for (router, verdict) in &reply.verdicts {
            let Some(claim) = claim_of(router) else { continue };
            let verdict = plausible(*verdict, claim.epoch);
            self.note_answer(now, *router, (from, at, verdict));
            let Some(instance) = self.instances.get_mut(router) else { continue };
            instance.note_epoch(&verdict);
            if let Some(ballot) = instance.lease.ballot_mut() {
                let duration = Duration::from_millis(u64::from(claim.duration_ms));
                ballot.vote(now, from, at, duration, verdict);
            }
        }
        // Once all of it is known: a group is decided by all of its verdicts.
        for (router, _) in &reply.verdicts {
            if claim_of(router).is_some() {
                self.settle(now, *router);
            }
        }
    }

    /// Rule D6, before anything a voter said is believed: whatever rests on a clock that stood still
    /// for too long is given up, claims as well: what was promised before the pause has run out.
    fn check_clock(&mut self, now: Instant, voter: NodeId, clock_ns: u64, sent: Instant) {
        let pause = self.clock_stood_still(voter, clock_ns, sent, now);
        let too_long =
            |i: &Instance| i.lease.ballot().is_some() && pause > pause_limit(i.lease_time, i.lease.is_held());
        let keys: Vec<RouterKey> = self.instances.iter().filter(|(_, i)| too_long(i)).map(|(key, _)| *key).collect();
        if keys.is_empty() {
            return;
        }
        self.membership.forget_clocks();
        let cause = format!("this host's clock stood still against {}'s", self.name_of(voter));
        for key in keys {
            self.retire(now, key, &cause, true, None);
        }
    }

    /// For how long our clock stood still (a paused virtual machine), at least: between our sending
    /// of an earlier request and now, a voter's clock cannot have advanced by more than ours. A
    /// late answer, or one out of order, only makes that time longer, and shows no pause.
    pub(super) fn clock_stood_still(&mut self, voter: NodeId, clock_ns: u64, sent: Instant, now: Instant) -> Duration {
        if voter == self.setup.node {
            return Duration::ZERO;
        }
        let peer = self.membership.peer_mut(voter);
        let Some((clock_before, sent_before)) = peer.clock else {
            peer.clock = Some((clock_ns, sent));
            return Duration::ZERO;
        };
        if clock_ns < clock_before && sent <= sent_before {
            return Duration::ZERO; // Overtaken by an answer to a later request.
        }
        peer.clock = Some((clock_ns, sent));
        let theirs = Duration::from_nanos(clock_ns.saturating_sub(clock_before));
        let ours = now.since(sent_before);
        theirs.saturating_sub(ours + ours / 250)
    }

    /// Tells once when leases are too short for the voters' distance.
    fn check_lease_times(&mut self, now: Instant) {
        let mean = |voter: &NodeId| self.membership.peer(*voter).and_then(|p| p.replies.mean(now));
        let own = |voter: &NodeId| (*voter == self.setup.node).then_some(Duration::ZERO);
        let mut answers: Vec<Duration> = self.voters().iter().filter_map(|v| own(v).or_else(|| mean(v))).collect();
        answers.sort_unstable();
        // What a majority needs to answer.
        let Some(round_trip) = answers.get(self.voters().len() / 2) else { return };
        let needed = shortest_lease(*round_trip);
        let shortest = self.instances.values().filter(|i| i.lease.is_held()).map(|i| i.lease_time).min();
        if shortest.is_none_or(|lease| needed <= lease / 2) {
            self.strain_told = false;
        } else if let Some(lease) = shortest.filter(|lease| needed > *lease && !self.strain_told) {
            self.strain_told = true;
            let text = format!(
                "leases of {lease:?} are short for voters that take {round_trip:?} to answer: \
                 two lost messages in a row may end one; set mesh.lease to {needed:?} or more (at most {MAX_LEASE:?})"
            );
            self.record(Decision::Warning { text });
        }
    }

    /// Draws the consequence of the votes so far.
    pub(super) fn settle(&mut self, now: Instant, key: RouterKey) {
        let voters = self.voters();
        let Some(instance) = self.instances.get_mut(&key) else { return };
        if let Some(heard) = instance.lease.ballot().and_then(|b| b.quorum_heard(&voters)) {
            instance.silence.quorum_at = instance.silence.quorum_at.max(heard);
        }
        match &mut instance.lease {
            Lease::Idle => {}
            Lease::Asking(_) if instance.silence.unprotected_since.is_some() => self.settle_without_lease(now, key),
            Lease::Asking(_) => self.settle_claim(now, key),
            Lease::Held(ballot) => {
                let stands = |(voter, until): &(NodeId, Instant)| *until > now && voters.contains(voter);
                let held_elsewhere = ballot.vetoes().into_iter().filter(stands).count();
                let quorum = voters.len() / 2 + 1;
                if let Some(deadline) = ballot.deadline(&voters)
                    && instance.armed_until.is_none_or(|armed| deadline > armed)
                {
                    instance.armed_until = Some(deadline);
                    instance.silence.decide_at = Some(Self::decide_at(instance.lease_time, deadline));
                    self.fence.rearm(deadline, instance.addresses());
                }
                if held_elsewhere + quorum > voters.len() {
                    self.retire(now, key, "a majority of the voters gave the lease to another node", true, None);
                }
            }
        }
    }

    /// A majority granted.
    pub(super) fn win(&mut self, now: Instant, key: RouterKey, deadline: Instant) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        let Lease::Asking(mut ballot) = std::mem::take(&mut instance.lease) else { return };
        ballot.ask_at = now;
        let cause = ballot.cause.clone();
        instance.lease = Lease::Held(ballot);
        self.activate(now, key, Some(deadline), cause);
    }

    /// A majority did not grant, for one of a group at least: gives back what was granted, and says why.
    /// `taken` is who has the addresses, where nobody voted and they were probed.
    pub(super) fn lose(&mut self, now: Instant, key: RouterKey, taken: Option<String>) {
        let members = self.members(key);
        let lost = members.iter().filter_map(|m| Some((*m, self.lose_one(now, *m, taken.as_deref())?)));
        let mut losses: Vec<(RouterKey, Veto, Ballot)> = Vec::new();
        losses.extend(lost.map(|(member, (veto, ballot))| (member, veto, ballot)));
        // What was refused for others only is their refusal.
        if let Some((refused, veto)) =
            losses.iter().find(|(_, v, _)| v.holder.is_some()).map(|(m, v, _)| (*m, v.clone()))
        {
            let reason = self.shared(refused, &veto.reason);
            let others = losses.iter_mut().filter(|(_, v, _)| v.holder.is_none());
            others.for_each(|(_, v, _)| (v.by, v.reason) = (veto.by.clone(), reason.clone()));
        }
        if !losses.is_empty() {
            self.refused(now, losses);
        }
    }

    fn lose_one(&mut self, now: Instant, key: RouterKey, taken: Option<&str>) -> Option<(Veto, Ballot)> {
        // A late release of the run before must not end what is asked for next.
        let orphaned = self.orphaned_epoch(key);
        let instance = self.instances.get_mut(&key)?;
        let Lease::Asking(ballot) = &instance.lease else { return None };
        let ballot = ballot.clone();
        instance.lease = Lease::Idle;
        instance.begin_above = ballot.beyond().map(|known| known.max(orphaned));
        let held: Vec<(NodeId, NodeId, u64)> = ballot.held_by_other().collect();
        instance.silence.probe = None;
        let waits = instance.silence.probe_after.is_some_and(|t| now < t);
        let known = instance.veto.as_ref().filter(|v| waits && v.holder.is_none()).map(|v| v.reason.clone());
        instance.vetoes = ballot.vetoes();
        instance.failures = instance.failures.saturating_add(1);
        let lease_time = instance.lease_time;
        instance.vacancy.clone_from(&ballot.cause);
        let retry = ballot.quarantine_ends().or_else(|| ballot.collision_ends(ballot.collision(lease_time)));
        // Voters that are reached but silent say nothing when they speak again.
        let silent = retry.is_none() && held.is_empty() && taken.is_none() && self.reaches_quorum();
        let retry = retry.or_else(|| silent.then(|| now + self.back_off(&key) + self.turn(now, &key)));
        self.release(now, key, &ballot, None);
        if let Some(at) = retry {
            let jitter = Duration::from_micros(self.rng.random_range(0..4000));
            self.schedule_claim(now, key, at + jitter);
        }
        let holder = held.iter().max_by_key(|(_, _, epoch)| *epoch).map(|(_, owner, _)| *owner);
        let by: Vec<NodeId> = held.iter().map(|(voter, _, _)| *voter).collect();
        let reason = match (taken, holder) {
            (Some(taken), _) => taken.to_owned(),
            (None, Some(holder)) => format!("{} holds the lease", self.name_of(holder)),
            // Not looked at again yet: nothing new.
            (None, None) if known.is_some() => known.unwrap_or_default(),
            (None, None) => format!("no majority: {} of {} voters answered", ballot.answered(), self.voters().len()),
        };
        Some((Veto { by, holder, reason }, ballot))
    }

    /// Tells all voters that a ballot of ours is over; the fence is closed.
    pub(super) fn release(&mut self, now: Instant, key: RouterKey, ballot: &Ballot, successor: Option<NodeId>) {
        // Never asked for again: a release that comes late must not end a later ballot.
        if let Some(instance) = self.instances.get_mut(&key) {
            instance.epoch_seen = instance.epoch_seen.max(ballot.epoch);
        }
        let releases = Self::releases(key, ballot, self.seq, successor).collect();
        self.give_back(now, releases);
    }

    /// What ends a ballot of ours at any voter, under whichever of its epochs that voter granted.
    pub(super) fn releases(
        router: RouterKey,
        ballot: &Ballot,
        seq: u64,
        successor: Option<NodeId>,
    ) -> impl Iterator<Item = Release> + use<> {
        ballot.epochs().map(move |epoch| Release { router, epoch, seq, successor })
    }

    /// A voter says that a lease ended there. Whoever stands by asks, the highest priority first,
    /// unless other voters' refusals still stand.
    pub(super) fn hear_vacant(&mut self, now: Instant, voter: NodeId, vacant: &Vacant) {
        let planned = self.expected_because(&vacant.router).filter(|_| vacant.released);
        let ended = planned.or_else(|| self.ended_because(vacant.router, vacant));
        let Some(instance) = self.instances.get_mut(&vacant.router) else { return };
        if let Some(because) = ended {
            instance.vacancy = because;
            self.chronicle.vacant(now, self.setup.node, vacant);
        }
        let most = self.voter.max_epoch(&vacant.router).saturating_add(EPOCH_STRIDE);
        let Some(instance) = self.instances.get_mut(&vacant.router) else { return };
        if instance.vacancy.is_empty() {
            "nobody serves it".clone_into(&mut instance.vacancy);
        }
        instance.epoch_seen = instance.epoch_seen.max(vacant.epoch.min(most));
        instance.silence.probe_after = None;
        instance.vetoes.remove(&voter);
        instance.vetoes.retain(|_, until| *until > now);
        if let Lease::Asking(ballot) = &mut instance.lease {
            // It answered before the release reached it.
            ballot.ask_at = now;
            return;
        }
        if !instance.vetoes.is_empty() || !instance.vrrp.is_backup() || self.gives(&vacant.router) {
            return;
        }
        let wait = if vacant.reserved_for == Some(self.setup.node) {
            // Whoever had it means it for us, cold start or not.
            self.note_served(now, vacant.router);
            Duration::ZERO
        } else {
            let back_off = if vacant.released { self.back_off(&vacant.router) } else { Duration::ZERO };
            // Nobody else is granted anything before the reservation is over.
            let reserved = vacant.reserved_for.map_or(Duration::ZERO, |_| RESERVATION);
            reserved + back_off + self.turn(now, &vacant.router)
        };
        self.schedule_claim(now, vacant.router, now + wait);
    }

    /// A majority of the voters may have come about: claims that found none, with nobody heard since,
    /// are made again, and those under way have time for who has just come.
    pub(super) fn claim_again(&mut self, now: Instant) {
        if !self.reaches_quorum() {
            return;
        }
        let pace = self.pace(now);
        for key in self.keys() {
            let Some(instance) = self.instances.get_mut(&key) else { return };
            let unheard = instance.veto.as_ref().is_some_and(|v| v.holder.is_none());
            match &mut instance.lease {
                Lease::Asking(ballot) => ballot.prolong(now, pace.claim_timeout(instance.lease_time)),
                Lease::Idle if unheard && instance.vrrp.is_backup() => {
                    self.schedule_claim(now, key, now + self.turn(now, &key));
                }
                Lease::Idle | Lease::Held(_) => {}
            }
        }
    }

    /// How long a candidate whose claims failed leaves alone what others give back.
    fn back_off(&self, key: &RouterKey) -> Duration {
        let doublings = self.instances.get(key).and_then(|i| i.failures.checked_sub(1));
        doublings.map_or(Duration::ZERO, |n| (BACK_OFF.0 * (1 << n.min(8))).min(BACK_OFF.1))
    }

    /// How long the candidates that come before this node have the field to themselves.
    fn turn(&self, now: Instant, key: &RouterKey) -> Duration {
        self.pace(now).stagger() * self.rank(key)
    }

    /// How many connected candidates come before this node.
    pub(super) fn rank(&self, key: &RouterKey) -> u32 {
        let Some(instance) = self.instances.get(key) else { return 0 };
        let (mine, me) = (self.group_priority(instance.config.key), self.setup.node);
        let before = |(node, priority): &(NodeId, u8)| (*priority, me) > (mine, *node);
        self.group_candidates(*key).iter().filter(|candidate| before(candidate)).count() as u32
    }

    pub(super) fn schedule_claim(&mut self, now: Instant, key: RouterKey, at: Instant) {
        let Some(instance) = self.instances.get_mut(&key) else { return };
        let earliest = instance.claim_at.filter(|t| *t > now).map_or(at, |t| t.min(at));
        instance.claim_at = Some(earliest);
    }

    /// A backup with a higher priority asks for the addresses.
    fn receive_preempt(&mut self, now: Instant, from: NodeId, preempt: Preempt) {
        let Some(instance) = self.instances.get(&preempt.router) else { return };
        let mine = instance.vrrp.priority();
        let worthier = preempt.priority > mine && self.comes_first_elsewhere(from, preempt.router);
        let worthier = worthier && !self.is_kept_from(from, preempt.router);
        if instance.lease.is_held() && worthier && self.membership.is_connected(from) {
            let cause = format!(
                "handed over to {}, whose priority {} is higher than {mine}",
                self.name_of(from),
                preempt.priority
            );
            self.retire(now, preempt.router, &cause, true, Some(from));
        }
    }
}

impl Instance {
    /// Remembers the highest epoch a voter spoke of.
    fn note_epoch(&mut self, verdict: &Verdict) {
        let epoch = match verdict {
            Verdict::Granted { epoch } | Verdict::Held { epoch, .. } => *epoch,
            Verdict::Stale { max_epoch } => *max_epoch,
            Verdict::WrongRoster | Verdict::Quarantine { .. } => 0,
        };
        self.epoch_seen = self.epoch_seen.max(epoch);
    }
}
