//! Sticky quorum leases: who may serve a router's addresses, and until when.
//!
//! Every voter grants for a duration on its own clock and never gives to another node what has not
//! run out. The owner counts from the moment it *sent* a request, so its own deadline always comes
//! first; the fence in its kernel closes then, whether the daemon runs or not.
//!
//! PROTOCOL.md, beside this file, says how it works, why it holds and what it does not cover.
//!
//! [`voter`] is the memory of one voter and [`memory`] what of it outlives a run; [`ballot`] is the
//! view of one owner or candidate, [`pace`] what it has learnt about the voters' speed.

pub mod ballot;
pub mod memory;
pub mod pace;
pub mod voter;

use std::time::Duration;

use mesh_config::model::LeaseTime;

/// Bound on the difference in speed of two clocks: 0.2 %, in thousandths.
const DRIFT_PER_MILLE: u32 = 2;

/// The fence closes this much before the lease would allow.
pub const GUARD: Duration = Duration::from_millis(20);

/// Shortest lease a director asks for: one that a lost message or two, and a scheduler that is late, do not end.
const MIN_LEASE: Duration = Duration::from_millis(300);

/// Longest lease a voter grants.
pub const MAX_LEASE: Duration = Duration::from_secs(3);

/// First, short grant: what a failed attempt can block at most; longer where voters are far, see
/// [`pace::Pace::first_lease`].
pub const FIRST_LEASE: Duration = Duration::from_millis(400);

/// A released lease is kept free for the named successor for this long.
pub const RESERVATION: Duration = Duration::from_millis(50);

/// A claim that a majority did not grant by then has failed; later where voters are far.
pub const CLAIM_TIMEOUT: Duration = Duration::from_millis(100);

/// Between two requests of one claim, for lost datagrams, at least.
pub const ASK_AGAIN: Duration = Duration::from_millis(30);

/// Candidates ask one after another, at least this far apart, the highest priority first.
pub const STAGGER: Duration = Duration::from_millis(15);

/// How long a candidate whose claim failed leaves alone what is given back, first and at most: it
/// doubles. Most of it was given back by candidates that failed for the same reason, itself included.
pub const BACK_OFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(1600));

/// How long a voter without memory stays silent: no grant it may have forgotten lives longer.
pub const QUARANTINE: Duration =
    Duration::from_millis(MAX_LEASE.as_millis() as u64 * (1000 + 2 * DRIFT_PER_MILLE as u64) / 1000 + 50);

/// What others say of epochs leads a claim this much further at most, for each claim that is sent. A takeover takes one:
/// so voters' epochs differ by less, and who lies would have to be asked for years before all are spent.
pub const EPOCH_STRIDE: u64 = 1 << 24;

/// A voter grants no epoch further than this above what it knows of: a stride a second would take minutes to get there,
/// takeovers a century.
pub const EPOCH_REACH: u64 = 1 << 32;

/// What a grant of `duration` is worth to the owner, on its own clock, counted from sending.
pub fn worth(duration: Duration) -> Duration {
    duration * (1000 - 2 * DRIFT_PER_MILLE) / 1000
}

/// Lease duration T of a router: what its profile gives with these adverts, or what is set.
pub fn lease_time(setting: LeaseTime, advert_interval: Duration) -> Duration {
    let at_most = match setting {
        LeaseTime::Compat => MAX_LEASE,
        LeaseTime::Fast => Duration::from_secs(1),
        LeaseTime::Aggressive => Duration::from_millis(500),
        LeaseTime::Fixed(duration) => return duration,
    };
    (advert_interval * 3).clamp(MIN_LEASE, at_most)
}

/// Renewals come four times in a lease: three may be lost.
pub fn renew_period(lease: Duration) -> Duration {
    lease / 4
}

#[cfg(test)]
mod tests;
