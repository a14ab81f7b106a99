//! Whether this process stood still, or was only busy: after both, timers are late.
//!
//! Stopped (SIGSTOP, a freezer), or on a host that was suspended or a virtual machine that was paused, it
//! knows nothing of what went on meanwhile. Busy, it finds in its sockets what came. A thread that does
//! nothing else notes the time every [`BEAT`]: it misses beats only where no thread of the process ran.
//! A host that is too busy even for that looks like one that stood still, which is the safe mistake.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use anyhow::Context;
use mesh_core::Instant;
use mesh_core::engine::STALL;

use crate::clock;
use crate::priority::Manner;

/// Between two looks at the clock: a few of them within a stall.
const BEAT: Duration = Duration::from_millis(100);

/// The thread ends with it.
#[derive(Debug)]
pub(crate) struct Pulse(Arc<Beats>);

/// In nanoseconds of the clock.
#[derive(Debug)]
struct Beats {
    last: AtomicU64,
    /// When the last stop was over that was longer than [`STALL`]; 0 before there was any.
    stopped: AtomicU64,
}

impl Pulse {
    /// Starts the thread `meshd-pulse`. It has to run whenever the one that asks could.
    ///
    /// # Errors
    ///
    /// The system has no room for another thread.
    pub(crate) fn start(manner: Manner) -> anyhow::Result<Pulse> {
        let beats = Arc::new(Beats::new(clock::now()));
        let weak = Arc::downgrade(&beats);
        let thread = thread::Builder::new().name("meshd-pulse".to_owned());
        let run = move || {
            manner.take();
            while beat(&weak) {
                thread::park_timeout(BEAT);
            }
        };
        thread.spawn(run).context("cannot start the thread meshd-pulse")?;
        Ok(Pulse(beats))
    }

    /// Whether the process stood still for longer than [`STALL`], at least in part after `since`. If the
    /// thread died, it always did.
    pub(crate) fn stopped_since(&self, since: Instant, now: Instant) -> bool {
        self.0.stopped_since(since, now)
    }
}

/// `false` once nobody asks any more.
fn beat(beats: &Weak<Beats>) -> bool {
    let beats = beats.upgrade();
    beats.iter().for_each(|beats| beats.beat(clock::now()));
    beats.is_some()
}

impl Beats {
    fn new(now: Instant) -> Beats {
        Beats { last: AtomicU64::new(now.as_nanos()), stopped: AtomicU64::new(0) }
    }

    fn beat(&self, now: Instant) {
        let last = Instant::from_nanos(self.last.load(Ordering::Relaxed));
        if now.since(last) > STALL {
            self.stopped.store(now.as_nanos(), Ordering::Relaxed);
        }
        // After it: whoever sees this beat sees the stop before it, too.
        self.last.store(now.as_nanos(), Ordering::Release);
    }

    fn stopped_since(&self, since: Instant, now: Instant) -> bool {
        // A stop that has just ended: this thread may be the first to run.
        let last = Instant::from_nanos(self.last.load(Ordering::Acquire));
        now.since(last) > STALL || self.stopped.load(Ordering::Relaxed) > since.as_nanos()
    }
}

#[cfg(test)]
mod tests;
