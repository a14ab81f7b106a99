//! What happened, for whoever wants to know: log lines, events, traces, an OpenTelemetry collector.
//!
//! ```text
//!  engine, services --Report--> queue --> collector --+--> journal: `meshctl events`, `trace`, `explain`
//!  (their own threads)         (bounded)  (a task)    +--> otlp: bounded queues, retried, counted
//!      +--> log lines
//! ```
//!
//! Whoever reports never waits: what finds the queue full is dropped, and counted. What is kept in
//! memory is bounded, too, the oldest goes first.

mod acts;
mod archive;
mod collector;
mod effects;
mod event;
mod journal;
mod life;
mod log;
pub mod otlp;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_core::story::Told;
use mesh_core::{Decision, Instant, services};
use tokio::sync::mpsc;

use crate::clock;

pub use self::acts::ScriptRun;
pub(crate) use self::archive::Cursors;
pub use self::archive::{Archive, Asked};
pub use self::collector::run as collect;
pub(crate) use self::effects::Effects;
pub use self::effects::Measured;
pub use self::journal::Journal;
pub use self::life::Life;
pub(crate) use self::log::record_bfd;

/// Reports that may wait; the collector takes microseconds for each, and 255 routers that change at
/// once are well below it.
const QUEUE: usize = 4096;

/// Something to be collected.
#[derive(Debug)]
pub struct Report {
    at: Instant,
    what: What,
}

#[derive(Debug)]
enum What {
    Decision(Decision),
    Services(services::action::Decision),
    Life(Life),
    Story(Vec<Told>, Vec<Measured>),
    /// A notify script ended.
    Script(ScriptRun),
    /// ip_vs was changed from then until when the report was made: so many changes, of which so many failed.
    IpVs {
        begin: Instant,
        changes: usize,
        failed: usize,
    },
}

/// Where threads report what happened, without waiting.
#[derive(Clone, Debug)]
pub struct Telemetry {
    queue: mpsc::Sender<Report>,
    lost: Arc<AtomicU64>,
}

impl Telemetry {
    /// A queue, and its other end.
    pub fn new() -> (Telemetry, mpsc::Receiver<Report>) {
        let (queue, reports) = mpsc::channel(QUEUE);
        (Telemetry { queue, lost: Arc::default() }, reports)
    }

    /// Tells a decision: a log line, and an event.
    pub fn record(&self, decision: Decision) {
        log::record(&decision);
        self.report(What::Decision(decision));
    }

    /// Tells a decision about services.
    pub fn record_services(&self, decision: services::action::Decision) {
        log::record_services(&decision);
        self.report(What::Services(decision));
    }

    /// Tells what became of this daemon itself.
    pub fn record_life(&self, life: Life) {
        life::record(&life);
        self.report(What::Life(life));
    }

    /// Tells what happened, and how long the effects of it took.
    pub(crate) fn tell(&self, effects: Effects) {
        let (told, measured) = effects.into_parts();
        if !told.is_empty() {
            self.report(What::Story(told, measured));
        }
    }

    /// Tells that a notify script ended.
    pub(crate) fn script_ended(&self, run: ScriptRun) {
        self.report(What::Script(run));
    }

    /// Tells that ip_vs was changed.
    pub(crate) fn ip_vs_changed(&self, begin: Instant, changes: usize, failed: usize) {
        self.report(What::IpVs { begin, changes, failed });
    }

    /// Reports that found no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn report(&self, what: What) {
        // A collector that is gone is noticed elsewhere.
        if let Err(mpsc::error::TrySendError::Full(_)) = self.queue.try_send(Report { at: clock::now(), what }) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
