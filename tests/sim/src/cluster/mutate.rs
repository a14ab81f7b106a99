//! What planted bugs do, at the places where the harness stands between engines, kernels and wires.

use std::net::IpAddr;
use std::time::Duration;

use mesh_core::lease::memory::VoterStart;
use mesh_core::lease::{FIRST_LEASE, GUARD, worth};
use mesh_core::{Action, Input, Instant};
use mesh_wire::mesh::lease::{Message, Release, Reply, Request, Verdict};
use rand::RngExt;

use super::{Cluster, Event};
use crate::clock::ms;
use crate::host::RuntimeDir;
use crate::layout::{router_of, virtual_address};
use crate::mutant::Mutant;

impl Cluster {
    /// What a voter that starts knows of its earlier grants.
    pub(super) fn remembered(&self, found: VoterStart) -> VoterStart {
        match self.mutant {
            Some(Mutant::NoQuarantine) => VoterStart { silent_until: Instant::default(), ..found },
            _ => found,
        }
    }

    /// The runtime directory is empty after a boot.
    pub(super) fn forget_boot(&mut self, host: usize) {
        if self.mutant != Some(Mutant::MemoryOfAnotherBoot) {
            self.hosts[host].memory.reboot();
            self.hosts[host].runtime = RuntimeDir::default();
        }
    }

    /// How long the kernel keeps an address that is not renewed.
    pub(super) fn lifetime(&self, lifetime_s: u32) -> Duration {
        let sticky = self.mutant == Some(Mutant::StickyAddresses);
        Duration::from_secs(if sticky { 1 << 20 } else { u64::from(lifetime_s) })
    }

    /// Until when a fence is opened that was asked to be open until `until`.
    pub(super) fn armed_until(&self, host: usize, addresses: &[IpAddr], now: Instant, until: Instant) -> Instant {
        match self.mutant {
            Some(Mutant::UserSpaceTimer) => Instant::from_nanos(u64::MAX),
            Some(Mutant::GenerousFence) => until + ms(100),
            Some(Mutant::RelativeFence) => {
                let decided = self.hosts[host].daemon.as_ref().map_or(now, |d| d.decided);
                now + until.since(decided)
            }
            Some(Mutant::CountedFromArrival) => {
                let router = (0..self.layout.routers).find(|r| addresses.contains(&virtual_address(*r))).unwrap_or(0);
                let renewed = addresses.iter().all(|a| self.hosts[host].kernel.is_armed(*a, now));
                let lease = self.layout.lease_time(router);
                until.max(now + worth(if renewed { lease } else { lease.min(FIRST_LEASE) }) - GUARD)
            }
            _ => until,
        }
    }

    /// Whether a message is not sent at all.
    pub(super) fn is_withheld(&mut self, message: &Message) -> bool {
        self.mutant == Some(Mutant::LosesRenewals)
            && matches!(message, Message::Reply(_))
            && self.rng.random_range(0..10) < 7
    }

    /// What becomes of a message that arrives: by whom, and what.
    pub(super) fn distort(&mut self, host: usize, from: usize, mut message: Message) -> Vec<(usize, Message)> {
        match (self.mutant, &mut message) {
            (Some(Mutant::ShorteningDuplicates), Message::Request(request)) => {
                self.shorten(host, from, request);
            }
            (Some(Mutant::EpochNeverRaised), Message::Reply(reply)) => {
                let serves = self.hosts[host].serves.clone();
                let served = |key: &_| router_of(key).is_some_and(|r| serves.contains(&r));
                reply.verdicts.retain(|(key, verdict)| !(served(key) && matches!(verdict, Verdict::Stale { .. })));
            }
            (Some(Mutant::OneVetoIsLoss), Message::Reply(reply)) => {
                let held = |(_, verdict): &&(_, Verdict)| matches!(verdict, Verdict::Held { .. });
                let verdicts: Vec<_> = reply.verdicts.iter().filter(held).copied().collect();
                if !verdicts.is_empty() {
                    let reply = Reply { verdicts, ..reply.clone() };
                    let others = self.voters().into_iter().filter(|voter| *voter != host);
                    return others.map(|voter| (voter, Message::Reply(reply.clone()))).collect();
                }
            }
            (Some(Mutant::PauseUnnoticed), Message::Reply(reply)) => reply.clock_ns = 0,
            _ => {}
        }
        vec![(from, message)]
    }

    /// A request that was seen before ends the grant after what it asks for, unless a new one comes.
    fn shorten(&mut self, voter: usize, owner: usize, request: &Request) {
        let run = self.hosts[voter].run;
        let Some(daemon) = &mut self.hosts[voter].daemon else { return };
        let last = daemon.requests.entry(owner).or_default();
        if request.seq > *last {
            *last = request.seq;
            return;
        }
        let seq = *last;
        for claim in &request.claims {
            let release = Release { router: claim.router, epoch: claim.epoch, seq, successor: None };
            let after = Duration::from_millis(u64::from(claim.duration_ms));
            self.schedule(after, Event::Shortened { host: voter, run, owner, seq, release });
        }
    }

    /// The end of a grant that was shortened.
    pub(super) fn shortened(&mut self, voter: usize, owner: usize, seq: u64, release: Release) {
        let last = self.hosts[voter].daemon.as_ref().and_then(|d| d.requests.get(&owner));
        if last == Some(&seq) {
            let from = self.hosts[owner].id;
            self.deliver(voter, Input::Message { from, message: Message::Release(vec![release]) });
        }
    }

    /// What becomes of a step's actions.
    pub(super) fn mutate(
        &mut self,
        mutant: Mutant,
        host: usize,
        answered: Option<&Request>,
        actions: Vec<Action>,
    ) -> Vec<Action> {
        match mutant {
            Mutant::NoStartSweep => self.without_start(host, actions),
            Mutant::StickyAddresses => actions
                .into_iter()
                .filter(|a| !matches!(a, Action::DelAddress { .. } | Action::SweepAddresses { .. }))
                .collect(),
            Mutant::ReleaseFirst => self.postpone(host, actions, ms(100), |a| {
                matches!(a, Action::FenceClose { .. } | Action::DelAddress { .. })
            }),
            Mutant::MemoryAfterReply => self.postpone(host, actions, ms(500), |a| matches!(a, Action::Remember(_))),
            Mutant::UnwrittenGrants => actions.into_iter().filter(|a| !matches!(a, Action::Remember(_))).collect(),
            Mutant::OverwriteGrants | Mutant::SessionRenewal | Mutant::EternalQuarantine | Mutant::ForgottenEpochs => {
                actions.into_iter().map(|a| forge(mutant, answered, a)).collect()
            }
            _ => actions,
        }
    }

    /// Without the first sweep and the first fence of a run.
    fn without_start(&mut self, host: usize, actions: Vec<Action>) -> Vec<Action> {
        let Some(daemon) = &mut self.hosts[host].daemon else { return actions };
        if std::mem::replace(&mut daemon.swept, true) {
            return actions;
        }
        let start = |a: &Action| matches!(a, Action::SweepAddresses { .. } | Action::FenceInstall { .. });
        actions.into_iter().filter(|a| !start(a)).collect()
    }

    /// Some effects come after all others.
    fn postpone(&mut self, host: usize, actions: Vec<Action>, by: Duration, which: fn(&Action) -> bool) -> Vec<Action> {
        let (late, now): (Vec<Action>, Vec<Action>) = actions.into_iter().partition(which);
        if !late.is_empty() {
            let run = self.hosts[host].run;
            self.schedule(by, Event::Late { host, run, actions: late });
        }
        now
    }
}

/// A voter's reply, forged.
fn forge(mutant: Mutant, answered: Option<&Request>, action: Action) -> Action {
    let Action::SendMessage { to, message: Message::Reply(mut reply) } = action else { return action };
    for (router, verdict) in &mut reply.verdicts {
        let claim = answered.and_then(|r| r.claims.iter().find(|c| c.router == *router));
        let yes = claim.map_or(*verdict, |c| Verdict::Granted { epoch: c.epoch });
        let renewal = claim.is_some_and(|c| Duration::from_millis(u64::from(c.duration_ms)) > FIRST_LEASE);
        match (mutant, *verdict) {
            (Mutant::OverwriteGrants, Verdict::Held { .. }) | (Mutant::ForgottenEpochs, Verdict::Stale { .. }) => {
                *verdict = yes;
            }
            (Mutant::SessionRenewal, _) if renewal => *verdict = yes,
            (Mutant::EternalQuarantine, _) => *verdict = Verdict::Quarantine { remaining_ms: 3000 },
            _ => {}
        }
    }
    Action::SendMessage { to, message: Message::Reply(reply) }
}
