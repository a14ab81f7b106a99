//! What a voter keeps beyond its own life, and how it starts with or without it.

use std::time::Duration;

use mesh_wire::mesh::{NodeId, RouterKey};

use super::QUARANTINE;
use crate::time::Instant;

/// What a voter knows about one router. Points in time are on this host's boot-time clock: they
/// mean nothing after a reboot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Slot {
    /// The last grant; kept after its end, so that a duplicate of an old request stays a duplicate.
    pub last: Option<Grant>,
    /// Whether `last` binds until its expiry: false once it was released.
    pub live: bool,
    /// Highest epoch granted.
    pub max_epoch: u64,
    /// Highest epoch this very node asked for, granted here or not: its next takeover is another
    /// one, also after a restart.
    pub claimed: u64,
    /// Kept free for this node until then.
    pub reserved: Option<(NodeId, Instant)>,
    /// The last release.
    pub ended: Option<Ended>,
}

/// A grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// To whom.
    pub owner: NodeId,
    /// Under which epoch.
    pub epoch: u64,
    /// The owner's number of the request granted last.
    pub seq: u64,
    /// Until when.
    pub expiry: Instant,
}

/// A release: its sender's requests up to this epoch and number are void, even where the release
/// overtook them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ended {
    /// Who released.
    pub node: NodeId,
    /// Up to which epoch.
    pub epoch: u64,
    /// Up to which request.
    pub seq: u64,
}

/// What changed in a voter's memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New contents of these routers' slots.
    pub slots: Vec<(RouterKey, Slot)>,
    /// Epochs up to this one may be granted or asked for before it is raised again. It has to survive a reboot
    /// (no grant does): a voter that starts without its slots grants no epoch up to here.
    pub epoch_ceiling: Option<u64>,
}

/// What a voter starts with. The default is a voter that never granted anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VoterStart {
    /// What an earlier run since the last boot remembered: all of it.
    pub slots: Vec<(RouterKey, Slot)>,
    /// Grants that nobody remembers may live until then: silent until then.
    pub silent_until: Instant,
    /// Epochs up to here may have been granted for any router, by runs that are forgotten.
    pub epoch_floor: u64,
    /// The highest [`Changes::epoch_ceiling`] so far.
    pub epoch_ceiling: u64,
}

impl VoterStart {
    /// With the whole memory of the run before.
    pub fn remembered(slots: Vec<(RouterKey, Slot)>) -> Self {
        VoterStart { slots, ..VoterStart::default() }
    }

    /// Without memory: silent until every grant it may have forgotten has run out.
    pub fn silent_until(silent_until: Instant) -> Self {
        VoterStart { silent_until, ..VoterStart::default() }
    }

    /// Memory was lost just now, at most.
    pub fn forgotten(now: Instant) -> Self {
        VoterStart::silent_until(now + QUARANTINE)
    }

    /// Memory was lost with the last boot, at the zero of the clock: silent for the rest of the
    /// quarantine since then, mostly none.
    pub fn rebooted() -> Self {
        VoterStart::silent_until(Instant::default() + QUARANTINE)
    }

    /// The same, above the epochs of forgotten runs.
    #[must_use]
    pub fn above(self, epoch_floor: u64, epoch_ceiling: u64) -> Self {
        VoterStart { epoch_floor, epoch_ceiling, ..self }
    }
}

/// Epochs are set apart in so large steps: one write that survives a reboot for so many takeovers
/// of one router.
pub const EPOCH_STEP: u64 = 1000;

/// The next ceiling above an epoch.
pub fn ceiling_above(epoch: u64) -> u64 {
    (epoch / EPOCH_STEP).saturating_add(1).saturating_mul(EPOCH_STEP)
}

/// A voter whose memory can neither be written nor marked as void tries again after this long.
pub const MEMORY_RETRY: Duration = Duration::from_secs(1);
