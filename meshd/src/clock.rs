//! The only place that asks for the time decisions are made with. (What only waits, for a socket or a
//! child, uses the runtime's timers.)

use std::time::Duration;

use mesh_core::Instant;
use nix::time::{ClockId, clock_gettime};

/// Now, on CLOCK_BOOTTIME: it counts suspend and no operator can set it.
pub fn now() -> Instant {
    let t = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("CLOCK_BOOTTIME exists since Linux 2.6.39");
    Instant::from_nanos(Duration::from(t).as_nanos() as u64)
}

/// What the wall clock reads at the zero of [`now`], as it is set at present.
pub fn unix_at_zero() -> Duration {
    unix_time().saturating_sub(Duration::from_nanos(now().as_nanos()))
}

/// Now, on the wall clock, since 1970-01-01 UTC: for people to read, never for deadlines.
pub fn unix_time() -> Duration {
    let t = clock_gettime(ClockId::CLOCK_REALTIME).expect("CLOCK_REALTIME exists");
    Duration::from(t)
}
