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
    /// What it would have read at the start of the run; below zero for a host that booted later.
    base: i128,
    /// How much faster than true time it runs, in parts per million.
    ppm: i32,
}

impl HostClock {
    /// A clock that reads `reading` at `at` and runs `ppm` parts per million fast.
    pub fn new(at: Time, reading: Duration, ppm: i32) -> Self {
        let running = HostClock { base: 0, ppm };
        HostClock { base: reading.as_nanos() as i128 - running.elapsed(at), ppm }
    }

    /// The reading at a true time.
    pub fn read(&self, at: Time) -> Instant {
        Instant::from_nanos(u64::try_from(self.base + self.elapsed(at)).unwrap_or(0))
    }

    /// The first true time at which it reads this or more.
    pub fn when(&self, reading: Instant) -> Time {
        let ticks = (i128::from(reading.as_nanos()) - self.base).max(0);
        let speed = 1_000_000 + i128::from(self.ppm);
        let true_ns = (ticks * 1_000_000 + speed - 1) / speed;
        Duration::from_nanos(u64::try_from(true_ns).unwrap_or(u64::MAX))
    }

    /// Its parts per million, kept over a reboot: the crystal stays the same.
    pub fn ppm(&self) -> i32 {
        self.ppm
    }

    /// True time of the clock's zero, negative where it lies before the run.
    pub fn zero_ns(&self) -> i128 {
        -self.base
    }

    fn elapsed(&self, at: Time) -> i128 {
        at.as_nanos() as i128 * (1_000_000 + i128::from(self.ppm)) / 1_000_000
    }
}

#[cfg(test)]
mod tests;
