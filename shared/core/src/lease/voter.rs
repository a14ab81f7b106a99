//! One voter's memory: at most one unexpired grant for each router.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_wire::mesh::lease::{Claim, Release, Vacant, Verdict};
use mesh_wire::mesh::{NodeId, RouterKey};

use super::{MAX_LEASE, RESERVATION};
use crate::time::Instant;

/// Grants given by this node.
#[derive(Clone, Debug)]
pub struct Voter {
    /// Memory was lost before this: silent until then.
    silent_until: Instant,
    slots: BTreeMap<RouterKey, Slot>,
}

#[derive(Clone, Debug, Default)]
struct Slot {
    /// Kept after expiry, so that a duplicate of an old request stays a duplicate.
    last: Option<Grant>,
    /// Whether `last` still binds: false after expiry or release.
    live: bool,
    max_epoch: u64,
    reserved: Option<(NodeId, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Grant {
    owner: NodeId,
    epoch: u64,
    seq: u64,
    expiry: Instant,
}

/// An unexpired grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Who holds it.
    pub owner: NodeId,
    /// Under which epoch.
    pub epoch: u64,
    /// Until when, on this host's clock.
    pub expiry: Instant,
}

impl Voter {
    /// A voter that may have forgotten grants and says nothing before `silent_until`.
    pub fn new(silent_until: Instant) -> Self {
        Voter { silent_until, slots: BTreeMap::new() }
    }

    /// Answers one claim; `None` for a duplicate or a claim no director of ours sends.
    pub fn decide(&mut self, now: Instant, from: NodeId, seq: u64, claim: &Claim) -> Option<Verdict> {
        if now < self.silent_until {
            return Some(Verdict::Quarantine { remaining_ms: millis_up(self.silent_until.since(now)) });
        }
        let duration = Duration::from_millis(u64::from(claim.duration_ms));
        if duration > MAX_LEASE || claim.epoch == u64::MAX {
            return None;
        }
        let slot = self.slots.entry(claim.router).or_default();
        if let Some(veto) = slot.veto(now, from) {
            return Some(veto);
        }
        let taken = slot.last.is_some_and(|g| g.owner != from && g.epoch == claim.epoch);
        if claim.epoch < slot.max_epoch || taken {
            return Some(Verdict::Stale { max_epoch: slot.max_epoch });
        }
        let mut expiry = now + duration;
        if let Some(last) = slot.last.filter(|g| g.owner == from && g.epoch == claim.epoch) {
            if seq <= last.seq {
                return None;
            }
            // Released, then asked for again under the same epoch: a request that was overtaken.
            if !slot.live && last.expiry > now {
                return None;
            }
        }
        if let Some(last) = slot.last.filter(|g| slot.live && g.owner == from) {
            expiry = expiry.max(last.expiry);
        }
        slot.last = Some(Grant { owner: from, epoch: claim.epoch, seq, expiry });
        slot.live = true;
        slot.max_epoch = claim.epoch;
        slot.reserved = None;
        Some(Verdict::Granted { epoch: claim.epoch })
    }

    /// Ends a grant, when owner and epoch are exactly those granted.
    pub fn release(&mut self, now: Instant, from: NodeId, release: &Release) -> Option<Vacant> {
        let slot = self.slots.get_mut(&release.router)?;
        let held = slot.live && slot.last.is_some_and(|g| g.owner == from && g.epoch == release.epoch);
        if !held {
            return None;
        }
        slot.live = false;
        slot.reserved = release.successor.map(|node| (node, now + RESERVATION));
        Some(Vacant {
            router: release.router,
            owner: from,
            epoch: release.epoch,
            released: true,
            reserved_for: release.successor,
        })
    }

    /// Ends what ran out; each is told once.
    pub fn expire(&mut self, now: Instant) -> Vec<Vacant> {
        let mut vacant = Vec::new();
        for (router, slot) in &mut self.slots {
            let Some(grant) = slot.last.filter(|g| slot.live && g.expiry <= now) else { continue };
            slot.live = false;
            vacant.push(Vacant {
                router: *router,
                owner: grant.owner,
                epoch: grant.epoch,
                released: false,
                reserved_for: None,
            });
        }
        vacant
    }

    /// When the next grant runs out.
    pub fn deadline(&self) -> Option<Instant> {
        self.slots.values().filter(|s| s.live).filter_map(|s| s.last.map(|g| g.expiry)).min()
    }

    /// When the last of the unexpired grants runs out.
    pub fn latest_expiry(&self, now: Instant) -> Option<Instant> {
        self.slots.values().filter(|s| s.live).filter_map(|s| s.last.map(|g| g.expiry)).filter(|e| *e > now).max()
    }

    /// The unexpired grant for a router.
    pub fn holder(&self, now: Instant, router: &RouterKey) -> Option<Holder> {
        let slot = self.slots.get(router)?;
        let grant = slot.last.filter(|g| slot.live && g.expiry > now)?;
        Some(Holder { owner: grant.owner, epoch: grant.epoch, expiry: grant.expiry })
    }

    /// Highest epoch granted for a router.
    pub fn max_epoch(&self, router: &RouterKey) -> u64 {
        self.slots.get(router).map_or(0, |s| s.max_epoch)
    }
}

impl Slot {
    /// Another node's unexpired grant or reservation.
    fn veto(&self, now: Instant, from: NodeId) -> Option<Verdict> {
        if let Some(grant) = self.last.filter(|g| self.live && g.expiry > now && g.owner != from) {
            let remaining_ms = millis_up(grant.expiry.since(now));
            return Some(Verdict::Held { owner: grant.owner, epoch: grant.epoch, remaining_ms });
        }
        let (successor, until) = self.reserved.filter(|(node, until)| *node != from && *until > now)?;
        Some(Verdict::Held { owner: successor, epoch: self.max_epoch, remaining_ms: millis_up(until.since(now)) })
    }
}

/// Whole milliseconds, rounded up: asking again after them is never too early.
fn millis_up(d: Duration) -> u32 {
    u32::try_from(d.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}
