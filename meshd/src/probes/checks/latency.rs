//! How long checks take, for metrics: a count and a sum, whose quotient over any time is the mean of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static CHECKS: AtomicU64 = AtomicU64::new(0);
static MICROSECONDS: AtomicU64 = AtomicU64::new(0);

pub(super) fn note(took: Duration) {
    CHECKS.fetch_add(1, Ordering::Relaxed);
    MICROSECONDS.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Checks of this process that ended, and how long they took together, in microseconds.
pub fn latency() -> (u64, u64) {
    (CHECKS.load(Ordering::Relaxed), MICROSECONDS.load(Ordering::Relaxed))
}
