//! The fence in the kernel: where it stands, how far it is open, and whether it works.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::Engine;
use super::repairs::Repair;
use crate::action::Action;
use crate::decision::Decision;
use crate::instance::{Backstop, Instance};
use crate::time::Instant;

/// The fence counts as working again when it did not fail for so long.
const TRUSTED: Duration = Duration::from_secs(5);

/// Between tries to repair it.
const RETRY: Duration = Duration::from_millis(250);

/// What is known of the fence, and what is still to be done to it.
#[derive(Debug, Default)]
pub(super) struct Fence {
    /// Addresses it is to be opened further for at the end of this step, by the end of their leases.
    rearm: BTreeMap<Instant, Vec<IpAddr>>,
    /// It could not be brought about: leases are kept, the kernel does not enforce them.
    failure: Option<String>,
    /// When that was last.
    failed: Option<Instant>,
    /// The failure told last, so that it is told once.
    told: Option<String>,
    /// When it is tried again.
    pub retry: Option<Instant>,
    /// What of it the kernel cannot do.
    gaps: Vec<String>,
}

impl Fence {
    /// Opens it further at the end of this step.
    pub(super) fn rearm(&mut self, until: Instant, addresses: Vec<IpAddr>) {
        self.rearm.entry(until).or_default().extend(addresses);
    }

    /// Does not, for these.
    pub(super) fn keep_closed(&mut self, addresses: &[IpAddr]) {
        self.rearm.values_mut().for_each(|list| list.retain(|a| !addresses.contains(a)));
    }

    /// Whether addresses may rely on it alone.
    pub(super) fn works(&self, now: Instant) -> bool {
        self.gaps.is_empty() && self.failed.is_none_or(|at| now >= at + TRUSTED)
    }

    /// Why the kernel does not enforce leases, or not all of them.
    pub(super) fn wanting(&self) -> Option<String> {
        let failure = self.failure.as_ref().map(|error| format!("the kernel does not enforce leases: {error}"));
        let gaps = || format!("the kernel enforces leases in part: {}", self.gaps.join("; "));
        failure.or_else(|| (!self.gaps.is_empty()).then(gaps))
    }
}

impl Engine {
    /// It could not be brought about.
    pub(super) fn fence_failed(&mut self, now: Instant, error: String) {
        if self.backstop(now) == Backstop::Long {
            self.shorten_lifetimes(now);
        }
        self.fence.failed = Some(now);
        if self.fence.told.as_ref() != Some(&error) {
            let what = if self.leased() { "enforce leases" } else { "drop what `no_accept` is to drop" };
            self.record(Decision::Warning { text: format!("the kernel does not {what}: {error}") });
            self.fence.told = Some(error.clone());
        }
        self.fence.failure = Some(error);
        self.note_standing(now);
        self.fence.retry.get_or_insert(now + RETRY);
    }

    /// Tries it again after a failure.
    pub(super) fn retry_fence(&mut self, now: Instant) {
        if self.fence.retry.is_some_and(|t| t <= now) {
            self.fence.retry = None;
            self.fence.failure = None;
            self.note_standing_anew(now);
            self.rearm_all();
        }
    }

    /// What the kernel cannot do is known now.
    pub(super) fn fence_lacks(&mut self, now: Instant, gaps: Vec<String>) {
        if self.many_addresses {
            self.shorten_lifetimes(now);
        }
        self.fence.gaps = gaps;
        self.note_standing(now);
    }

    /// The fence was touched by somebody else: all of it is put back, and opened where a lease lives.
    pub(super) fn fence_gone(&mut self, now: Instant) {
        if !self.leased() && self.unaccepted().is_empty() {
            return;
        }
        self.rearm_all();
        let what = "the fence's nftables rules were changed by somebody else".to_owned();
        self.repaired(now, Repair::Fence, what);
    }

    /// Installs the fence and opens it wherever a lease lives.
    pub(super) fn rearm_all(&mut self) {
        self.install_fence();
        for instance in self.instances.values().filter(|i| i.lease.is_held()) {
            if let Some(until) = instance.armed_until {
                self.out.push(Action::FenceArm { addresses: instance.addresses(), until });
            }
        }
    }

    /// Closes the fence around every address, but for those served without a lease.
    pub(super) fn install_fence(&mut self) {
        let fenced = |i: &&Instance| i.silence.unprotected_since.is_none();
        let addresses = if self.leased() && !self.stopping {
            self.instances.values().filter(fenced).flat_map(Instance::addresses).collect()
        } else {
            Vec::new()
        };
        let unaccepted = self.unaccepted();
        self.out.push(Action::FenceInstall { addresses, unaccepted });
    }

    /// Addresses that only forward (`no_accept`), as long as this node serves any.
    fn unaccepted(&self) -> Vec<IpAddr> {
        let shut = self.instances.values().filter(|i| !self.stopping && !i.config.accepts());
        shut.flat_map(Instance::addresses).collect()
    }

    /// Opens fences further, one call for all leases that end together.
    pub(super) fn flush_rearm(&mut self) {
        for (until, addresses) in std::mem::take(&mut self.fence.rearm) {
            if !addresses.is_empty() {
                self.out.push(Action::FenceArm { addresses, until });
            }
        }
    }
}
