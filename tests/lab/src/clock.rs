//! The only place of the lab that asks what time it is, and the only one that waits.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use nix::time::{ClockId, clock_gettime};

/// Every wait looks at this: an interrupted demonstration stops within one poll.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// How often a condition is looked at. Each look may start a process, so not much shorter.
const POLL: Duration = Duration::from_millis(20);

/// Now, on CLOCK_MONOTONIC, as a duration since an arbitrary point.
pub fn now() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).expect("CLOCK_MONOTONIC exists since Linux 2.6").into()
}

/// What to add to [`now`] for the time since 1970, in UTC, to find a moment in the logs.
pub fn wall_offset() -> Duration {
    let wall: Duration = clock_gettime(ClockId::CLOCK_REALTIME).expect("CLOCK_REALTIME always exists").into();
    wall.saturating_sub(now())
}

/// Makes every wait of this process fail from now on. Safe to call from a signal handler: one atomic store.
pub fn interrupt() {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Whether [`interrupt`] was called.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Lets `span` pass while something is being observed; never to put two things in order.
pub fn pass(span: Duration) -> Result<()> {
    let until = now() + span;
    loop {
        if interrupted() {
            bail!("interrupted");
        }
        let Some(left) = until.checked_sub(now()).filter(|left| !left.is_zero()) else { return Ok(()) };
        std::thread::park_timeout(left.min(POLL));
    }
}

/// Asks `look` again and again until it has an answer; fails with `what` after `limit`, or with its own error at once.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if now() - start > limit {
            bail!("waited {limit:?} in vain for: {what}");
        }
        pass(POLL)?;
    }
}
