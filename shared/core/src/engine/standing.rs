//! What an operator hears of the mesh as a whole: that this node reaches no majority of the voters, that one address
//! can have two owners, and that either is over. Each is looked at when something changed, a moment later, so that what
//! comes and goes together is one line.

use std::time::Duration;

use super::Engine;
use crate::decision::Decision;
use crate::time::Instant;

/// From a change until it is told.
const SETTLES: Duration = Duration::from_millis(200);

/// A node that has just started is still connecting to the others.
const CONNECTS: Duration = Duration::from_secs(2);

/// Between two different reasons for being unprotected, at least.
const PAUSE: Duration = Duration::from_secs(10);

/// What was told.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// When to look whether there is something to tell.
    pub(super) look_at: Option<Instant>,
    /// Why, and since when that is known.
    unprotected: Option<(String, Instant)>,
    /// Since when no majority is reached.
    cut_off: Option<Instant>,
}

impl Engine {
    /// This node starts.
    pub(super) fn begin_standing(&mut self, now: Instant) {
        self.standing.look_at = self.leased().then(|| now + CONNECTS);
    }

    /// Something changed that may be worth telling.
    pub(super) fn note_standing(&mut self, now: Instant) {
        if self.leased() {
            self.standing.look_at.get_or_insert(now + SETTLES);
        }
    }

    /// The same, of what is not known to have come true before it has been tried.
    pub(super) fn note_standing_anew(&mut self, now: Instant) {
        self.standing.look_at = self.leased().then(|| now + SETTLES);
    }

    /// Tells what is different from what was told.
    pub(super) fn tell_standing(&mut self, now: Instant) {
        if self.standing.look_at.is_none_or(|at| at > now) {
            return;
        }
        self.standing.look_at = None;
        if self.ending() {
            return;
        }
        if self.removed_because().is_none() {
            self.tell_majority(now);
        }
        self.tell_protection(now);
    }

    fn tell_majority(&mut self, now: Instant) {
        let reaches = self.reaches_quorum();
        let (reached, all) = (self.reachable_voters(), self.voters().len());
        match self.standing.cut_off {
            None if !reaches => {
                self.standing.cut_off = Some(now);
                let missing = self.voters().into_iter().filter(|voter| !self.reaches(*voter));
                let missing = missing.map(|voter| self.name_of(voter)).collect::<Vec<_>>().join(", ");
                let text =
                    format!("NO MAJORITY: {reached} of {all} voters reached, not {missing}: no lease is granted here");
                self.record(Decision::Standing { good: false, text });
            }
            Some(since) if reaches => {
                self.standing.cut_off = None;
                let lasted = Duration::from_millis(now.since(since).as_millis() as u64);
                let text = format!("a majority of the voters is reached again, {reached} of {all}, after {lasted:?}");
                self.record(Decision::Standing { good: true, text });
            }
            None | Some(_) => {}
        }
    }

    fn tell_protection(&mut self, now: Instant) {
        match (self.unprotected_because(), &self.standing.unprotected) {
            (Some(because), None) => self.tell_unprotected_mesh(now, because),
            (Some(because), Some((told, since))) if because != *told => {
                let pause_ends = *since + PAUSE;
                if now >= pause_ends {
                    self.tell_unprotected_mesh(now, because);
                } else {
                    self.standing.look_at = Some(pause_ends);
                }
            }
            (None, Some(_)) => {
                self.standing.unprotected = None;
                let text = "protected again: at most one director serves each address".to_owned();
                self.record(Decision::Standing { good: true, text });
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }

    fn tell_unprotected_mesh(&mut self, now: Instant, because: String) {
        self.record(Decision::Standing { good: false, text: format!("UNPROTECTED: {because}") });
        self.standing.unprotected = Some((because, now));
    }
}
