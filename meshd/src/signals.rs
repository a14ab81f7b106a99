//! What the daemon is told by signals, from before it has a runtime.

pub(crate) mod realtime;

use anyhow::Context;
use nix::libc;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Number of the signal that has keepalived write its JSON: SIGRTMIN+2 of the C library.
pub fn json() -> i32 {
    libc::SIGRTMIN() + 2
}

/// Number of the one that has it write its counters and clear them.
pub fn stats_clear() -> i32 {
    libc::SIGRTMAX() - 1
}

/// What is told by signals.
pub struct Signals {
    pub(crate) terminate: Signal,
    pub(crate) interrupt: Signal,
    pub(crate) hangup: Signal,
    pub(crate) dump_data: Signal,
    pub(crate) dump_stats: Signal,
    pub(crate) dump_json: Signal,
    pub(crate) clear_stats: Signal,
}

impl Signals {
    /// From now on they are kept until somebody looks, instead of ending the process.
    ///
    /// # Errors
    ///
    /// The system refuses.
    pub fn take() -> anyhow::Result<Signals> {
        // Only for the sake of it: what comes is told by any runtime, also by one that is started later.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        let runtime = runtime.context("cannot start a runtime")?;
        let _within = runtime.enter();
        let take = |kind, name: &str| signal(kind).with_context(|| format!("cannot listen for {name}"));
        Ok(Signals {
            terminate: take(SignalKind::terminate(), "SIGTERM")?,
            interrupt: take(SignalKind::interrupt(), "SIGINT")?,
            hangup: take(SignalKind::hangup(), "SIGHUP")?,
            dump_data: take(SignalKind::user_defined1(), "SIGUSR1")?,
            dump_stats: take(SignalKind::user_defined2(), "SIGUSR2")?,
            dump_json: take(SignalKind::from_raw(json()), "SIGRTMIN+2")?,
            clear_stats: take(SignalKind::from_raw(stats_clear()), "SIGRTMAX-1")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Of the time between the guard's first signal and the runtime that serves.
    #[test]
    fn a_signal_that_comes_before_the_runtime_is_not_lost() {
        let mut signals = Signals::take().unwrap();
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGUSR2).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let told = runtime.block_on(async {
            let patience = Duration::from_secs(5);
            tokio::time::timeout(patience, signals.dump_stats.recv()).await
        });
        assert_eq!(told.ok(), Some(Some(())));
    }
}
