//! True time, which only the simulator knows, and each host's clock, which is all an engine sees.

use std::time::Duration;

use mesh_core::Instant;

/// True time since the start of the run.
pub type Time = Duration;

/// Milliseconds, for the many literals of a simulation.
pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A host's boot-time clock: its own zero, and its own speed.
#[derive(Clone, Copy, Debug)]
pub struct HostClock {
    /// What it would have read at the start of the run, in nanoseconds; below zero for a host that
    /// booted later.
    base: i64,
    /// How much faster than true time it runs, in parts per million.
    ppm: i32,
}

impl HostClock {
    /// A clock that reads `reading` at `at` and runs `ppm` parts per million fast.
    pub fn new(at: Time, reading: Duration, ppm: i32) -> Self {
        let running = HostClock { base: 0, ppm };
        HostClock { base: nanos(reading) - running.elapsed(at), ppm }
    }

    /// The reading at a true time.
    pub fn read(&self, at: Time) -> Instant {
        Instant::from_nanos(u64::try_from(self.base + self.elapsed(at)).unwrap_or(0))
    }

    /// The first true time at which it reads this or more; the end of time for a reading that lies
    /// days ahead.
    pub fn when(&self, reading: Instant) -> Time {
        let ticks = i64::try_from(reading.as_nanos()).map_or(i64::MAX, |n| n.saturating_sub(self.base)).max(0);
        let Some(product) = ticks.checked_mul(i64::from(self.ppm)) else { return Time::MAX };
        let true_ns = ticks - product.div_euclid(1_000_000 + i64::from(self.ppm));
        Duration::from_nanos(u64::try_from(true_ns).unwrap_or(0))
    }

    /// Its parts per million, kept over a reboot: the crystal stays the same.
    pub fn ppm(&self) -> i32 {
        self.ppm
    }

    /// True time of the clock's zero in nanoseconds, negative where it lies before the run.
    pub fn zero_ns(&self) -> i64 {
        -self.base
    }

    fn elapsed(&self, at: Time) -> i64 {
        let at = nanos(at);
        at + (at * i64::from(self.ppm)).div_euclid(1_000_000)
    }
}

/// Whole nanoseconds; a run lasts a day at most.
fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests;
