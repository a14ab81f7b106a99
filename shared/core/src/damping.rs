//! What comes and goes is held back after it recovers, so that addresses do not come and go with it.
//!
//! A fall is remembered for a while. Where there were too many, the next recovery does not count until a hold is
//! over, which is twice as long each time. All is forgotten when nothing was held back for as long as the longest
//! hold there is.

use std::collections::VecDeque;
use std::time::Duration;

use mesh_config::model::FlapDamping;
use serde::{Deserialize, Serialize};

use crate::time::Instant;

/// Falls remembered, at most; so many are flapping by any setting.
const MOST_FALLS: usize = 100;

/// A recovery that does not count yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// When it counts.
    pub until: Instant,
    /// For how long it is held back, in all.
    pub lasts: Duration,
    /// What fell, how often, in words.
    pub because: String,
}

/// One thing that may fall and recover: what it is worth, where a fault is worth less than any priority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damper {
    /// What was seen last, in this run.
    #[serde(skip)]
    seen: Option<u8>,
    /// Goes on from the run before, and nothing of this run is known yet.
    #[serde(skip)]
    resumed: bool,
    /// What counts of it: less than what was seen while a recovery is held back.
    counts: Option<u8>,
    falls: VecDeque<Instant>,
    /// The last fall, in words.
    fell: String,
    hold: Option<Hold>,
    /// The length of the last hold, and when it was to end.
    last: Option<(Duration, Instant)>,
}

impl Damper {
    /// Something is seen, in fault or worth this priority; `fall` says in words what fell, where it is a fall that
    /// counts. What may not be held back, because somebody has to serve, is not. Returns what counts now.
    pub fn see(
        &mut self,
        now: Instant,
        settings: &FlapDamping,
        seen: Option<u8>,
        fall: Option<&str>,
        free: bool,
    ) -> Option<u8> {
        if self.hold.as_ref().is_some_and(|hold| free || hold.until <= now) {
            self.hold = None;
            // At the start of a run whatever is seen first counts then.
            self.counts = if self.resumed { Some(u8::MAX) } else { self.seen };
        }
        // Interfaces become known one after another: a fault until then is no fall.
        if self.resumed && seen.is_none() {
            return self.counts;
        }
        self.resumed = false;
        let before = std::mem::replace(&mut self.seen, seen);
        if seen < before
            && let Some(fall) = fall
        {
            self.note_fall(now, fall);
        }
        if seen <= self.counts {
            if seen < before {
                self.hold = None;
            }
            // What goes on from the run before does so until it is seen how things are.
            if self.hold.is_none() {
                self.counts = seen;
            }
        } else if self.hold.is_none() {
            self.hold = if free { None } else { self.new_hold(now, settings) };
            if self.hold.is_none() {
                self.counts = seen;
            }
        }
        self.counts
    }

    /// What is held back, and until when.
    pub fn hold(&self) -> Option<&Hold> {
        self.hold.as_ref()
    }

    /// What may have to outlive the daemon changes with this: the last fall, and the end of the hold.
    pub fn mark(&self) -> (Option<Instant>, Option<Instant>) {
        (self.falls.back().copied(), self.hold.as_ref().map(|hold| hold.until))
    }

    /// Goes on from the run before, which may have had other settings.
    pub fn resume(self, now: Instant, settings: &FlapDamping) -> Damper {
        let longest = now + settings.max;
        let hold = self.hold.map(|hold| Hold { until: hold.until.min(longest), ..hold });
        Damper { seen: None, resumed: true, hold, ..self }
    }

    fn note_fall(&mut self, now: Instant, fall: &str) {
        if self.falls.len() == MOST_FALLS {
            self.falls.pop_front();
        }
        self.falls.push_back(now);
        fall.clone_into(&mut self.fell);
    }

    fn new_hold(&mut self, now: Instant, settings: &FlapDamping) -> Option<Hold> {
        let FlapDamping { falls, within, hold, max } = *settings;
        self.falls.retain(|at| now.since(*at) <= within);
        if self.falls.len() < falls as usize {
            return None;
        }
        let again = self.last.filter(|(_, ended)| now < *ended + max);
        let lasts = again.map_or(hold, |(last, _)| last.saturating_mul(2)).min(max);
        let until = now + lasts;
        self.last = Some((lasts, until));
        let because = format!("flapped {} times in {within:?} ({}): held for {lasts:?}", self.falls.len(), self.fell);
        Some(Hold { until, lasts, because })
    }
}

#[cfg(test)]
mod tests;
