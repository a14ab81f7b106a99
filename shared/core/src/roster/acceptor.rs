//! What one voter has promised about the next roster.

use std::time::Duration;

use mesh_wire::mesh::consensus::Objection;
use mesh_wire::mesh::roster::{Ballot, MAX_VOTERS, Roster};
use serde::{Deserialize, Serialize};

use crate::admission::MAX_MEMBERS;
use crate::time::Instant;

/// Durable: nothing of it may be told before it is on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acceptor {
    /// No lower ballot is taken part in.
    pub promised: Option<Ballot>,
    /// The roster accepted last, and under which ballot.
    pub accepted: Option<(Ballot, Roster)>,
}

impl Acceptor {
    /// Promises to take part in no lower ballot.
    ///
    /// # Errors
    /// [`Objection::Promised`]: a higher one was promised.
    pub fn prepare(&mut self, ballot: Ballot) -> Result<(), Objection> {
        match self.promised {
            Some(promised) if promised > ballot => Err(Objection::Promised(promised)),
            _ => {
                self.promised = Some(ballot);
                Ok(())
            }
        }
    }

    /// Accepts a roster as the successor of `committed`.
    ///
    /// # Errors
    /// A higher ballot was promised, the roster is no successor, or it changes the voters before
    /// `settled_at`.
    pub fn accept(
        &mut self,
        now: Instant,
        committed: &Roster,
        settled_at: Instant,
        ballot: Ballot,
        roster: Roster,
    ) -> Result<(), Objection> {
        if let Some(promised) = self.promised.filter(|promised| *promised > ballot) {
            return Err(Objection::Promised(promised));
        }
        if !is_successor(committed, &roster) {
            return Err(Objection::NotASuccessor);
        }
        if now < settled_at && committed.voters_changed(&roster) > 0 {
            return Err(Objection::Unsettled { remaining_ms: millis_up(settled_at.since(now)) });
        }
        self.promised = Some(ballot);
        self.accepted = Some((ballot, roster));
        Ok(())
    }
}

/// Whether two rosters may follow each other: at most one voter comes or goes.
pub fn is_successor(committed: &Roster, roster: &Roster) -> bool {
    let voters = roster.voters().count();
    roster.cluster == committed.cluster
        && Some(roster.epoch) == committed.epoch.checked_add(1)
        && (1..=MAX_VOTERS).contains(&voters)
        && roster.members.len() <= MAX_MEMBERS
        && committed.voters_changed(roster) <= 1
}

fn millis_up(d: Duration) -> u32 {
    u32::try_from(d.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}
