//! One voter's memory: at most one unexpired grant for each router.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_wire::mesh::lease::{Claim, Release, Vacant, Verdict};
use mesh_wire::mesh::{NodeId, RouterKey};

use super::memory::{Changes, Ended, Grant, Slot, VoterStart, ceiling_above};
use super::{EPOCH_REACH, MAX_LEASE, RESERVATION};
use crate::time::Instant;

/// Routers one voter votes on, at most: 16 interfaces with every identifier. What a member asks for
/// beyond is not answered, so that no member can fill a voter's memory.
pub const MAX_ROUTERS: usize = 4096;

/// Grants given by this node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Voter {
    /// Memory was lost before this: silent until then.
    silent_until: Instant,
    /// Highest epoch that may have been granted for any router and is forgotten.
    epoch_floor: u64,
    /// Highest epoch that may be granted without raising it.
    epoch_ceiling: u64,
    slots: BTreeMap<RouterKey, Slot>,
    /// Changed since [`Voter::take_changes`].
    changed: BTreeSet<RouterKey>,
    ceiling_raised: bool,
    /// What was taken last did not arrive: the next changes are everything.
    unwritten: bool,
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
        Voter::start(Instant::default(), VoterStart::silent_until(silent_until))
    }

    /// A voter with the memory of the run before, or without it. What ran out meanwhile is not told
    /// any more.
    pub fn start(now: Instant, start: VoterStart) -> Self {
        let lives = |slot: Slot| Slot { live: slot.live && slot.last.is_some_and(|g| g.expiry > now), ..slot };
        Voter {
            silent_until: start.silent_until,
            epoch_floor: start.epoch_floor,
            epoch_ceiling: start.epoch_ceiling,
            slots: start.slots.into_iter().map(|(router, slot)| (router, lives(slot))).collect(),
            changed: BTreeSet::new(),
            ceiling_raised: false,
            unwritten: false,
        }
    }

    /// Ends the grants this very node holds, but for routers in `kept`: of these alone it still
    /// serves what an earlier run did.
    pub fn release_own(&mut self, node: NodeId, kept: &BTreeSet<RouterKey>) {
        for (router, slot) in self.slots.iter_mut().filter(|(router, _)| !kept.contains(router)) {
            if slot.live && slot.last.is_some_and(|g| g.owner == node) {
                slot.live = false;
                self.changed.insert(*router);
            }
        }
    }

    /// Answers one claim; `None` for a duplicate or a claim no director of ours sends.
    pub fn decide(&mut self, now: Instant, from: NodeId, seq: u64, claim: &Claim) -> Option<Verdict> {
        if now < self.silent_until {
            return Some(Verdict::Quarantine { remaining_ms: millis_up(self.silent_until.since(now)) });
        }
        let duration = Duration::from_millis(u64::from(claim.duration_ms));
        if duration > MAX_LEASE || claim.epoch == u64::MAX || !self.has_room(&claim.router) {
            return None;
        }
        let slot = self.slots.get(&claim.router).copied().unwrap_or_default();
        // Sent before a release that has been here already.
        if slot.ended.is_some_and(|e| e.node == from && claim.epoch <= e.epoch && seq <= e.seq) {
            return None;
        }
        if let Some(veto) = slot.veto(now, from) {
            return Some(veto);
        }
        let taken = slot.last.is_some_and(|g| g.owner != from && g.epoch == claim.epoch);
        let max_epoch = slot.max_epoch.max(self.epoch_floor);
        let beyond = claim.epoch > max_epoch.saturating_add(EPOCH_REACH);
        if claim.epoch < slot.max_epoch || claim.epoch <= self.epoch_floor || taken || beyond {
            return Some(Verdict::Stale { max_epoch });
        }
        if slot.last.is_some_and(|g| g.owner == from && g.epoch == claim.epoch && seq <= g.seq) {
            return None;
        }
        let kept = slot.last.filter(|g| slot.live && g.owner == from).map_or(now, |g| g.expiry);
        let expiry = kept.max(now + duration);
        let grant = Grant { owner: from, epoch: claim.epoch, seq, expiry };
        let max_epoch = claim.epoch;
        self.store(claim.router, Slot { last: Some(grant), live: true, max_epoch, reserved: None, ..slot });
        Some(Verdict::Granted { epoch: claim.epoch })
    }

    /// Ends a grant, when owner and epoch are exactly those granted and no later request was. What
    /// the sender had asked for before it released is void, also where that comes only now.
    pub fn release(&mut self, now: Instant, from: NodeId, release: &Release) -> Option<Vacant> {
        if !self.has_room(&release.router) {
            return None;
        }
        let mut slot = self.slots.get(&release.router).copied().unwrap_or_default();
        let known = |e: Ended| e.node == from && (e.epoch, e.seq) >= (release.epoch, release.seq);
        if !slot.ended.is_some_and(known) {
            slot.ended = Some(Ended { node: from, epoch: release.epoch, seq: release.seq });
        }
        let same = |g: Grant| g.owner == from && g.epoch == release.epoch;
        let ended = |g: Grant| same(g) && g.seq <= release.seq && g.expiry > now;
        let held = slot.live && slot.last.is_some_and(ended);
        if held {
            slot.live = false;
            slot.reserved = release.successor.map(|node| (node, now + RESERVATION));
        }
        self.store(release.router, slot);
        held.then_some(Vacant {
            router: release.router,
            owner: from,
            epoch: release.epoch,
            released: true,
            reserved_for: release.successor,
        })
    }

    /// Notes that this very node asks for a lease under this epoch.
    pub fn note_claim(&mut self, router: RouterKey, epoch: u64) {
        let slot = self.slots.get(&router).copied().unwrap_or_default();
        if epoch > slot.claimed && self.has_room(&router) {
            self.store(router, Slot { claimed: epoch, ..slot });
        }
    }

    fn store(&mut self, router: RouterKey, slot: Slot) {
        let highest = slot.max_epoch.max(slot.claimed);
        if highest > self.epoch_ceiling {
            self.epoch_ceiling = ceiling_above(highest);
            self.ceiling_raised = true;
        }
        if self.slots.insert(router, slot) != Some(slot) {
            self.changed.insert(router);
        }
    }

    /// Ends what ran out; each is told once. Memory need not know: it holds the time.
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

    /// What has to be remembered before anything is done that relies on it. Asked once for each
    /// change.
    pub fn take_changes(&mut self) -> Option<Changes> {
        if self.changed.is_empty() {
            return None;
        }
        let changed = std::mem::take(&mut self.changed);
        let everything = std::mem::take(&mut self.unwritten);
        let raised = std::mem::take(&mut self.ceiling_raised) || everything;
        let taken = self.slots.iter().filter(|(router, _)| everything || changed.contains(router));
        let slots = taken.map(|(router, slot)| (*router, *slot)).collect();
        Some(Changes { slots, epoch_ceiling: raised.then_some(self.epoch_ceiling) })
    }

    /// What was taken last is not remembered: the next changes will be everything.
    pub fn changes_lost(&mut self) {
        self.unwritten = true;
    }

    /// Everything is to be remembered again, whether it changed or not.
    pub fn remember_all(&mut self) {
        self.changed.extend(self.slots.keys());
        self.unwritten = true;
    }

    /// Whether there is a slot for this router, or room for one.
    pub fn has_room(&self, router: &RouterKey) -> bool {
        self.slots.len() < MAX_ROUTERS || self.slots.contains_key(router)
    }

    /// When the next grant runs out.
    pub fn deadline(&self) -> Option<Instant> {
        self.slots.values().filter(|s| s.live).filter_map(|s| s.last.map(|g| g.expiry)).min()
    }

    /// When the last of the unexpired grants ends, as far as known now; while silent, the end of
    /// those it may have forgotten. `None` when nothing is granted.
    pub fn latest_expiry(&self, now: Instant) -> Option<Instant> {
        let live = self.slots.values().filter(|s| s.live).filter_map(|s| s.last);
        live.map(|g| g.expiry).chain([self.silent_until]).filter(|expiry| *expiry > now).max()
    }

    /// The unexpired grant for a router.
    pub fn holder(&self, now: Instant, router: &RouterKey) -> Option<Holder> {
        let slot = self.slots.get(router)?;
        let grant = slot.last.filter(|g| slot.live && g.expiry > now)?;
        Some(Holder { owner: grant.owner, epoch: grant.epoch, expiry: grant.expiry })
    }

    /// Highest epoch that was granted for a router or asked for by this node, or may have been.
    pub fn max_epoch(&self, router: &RouterKey) -> u64 {
        self.slots.get(router).map_or(0, |s| s.max_epoch.max(s.claimed)).max(self.epoch_floor)
    }

    /// Highest number of a request by this node that was granted or released.
    pub fn latest_seq(&self, node: NodeId) -> Option<u64> {
        let granted = self.slots.values().filter_map(|s| s.last).filter(|g| g.owner == node).map(|g| g.seq);
        let ended = self.slots.values().filter_map(|s| s.ended).filter(|e| e.node == node).map(|e| e.seq);
        granted.chain(ended).max()
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
