//! What a host keeps of its voter: grants as long as it runs, and how far epochs went for ever.

use std::collections::BTreeMap;

use mesh_core::Instant;
use mesh_core::lease::memory::{Changes, Slot, VoterStart, ceiling_above};
use mesh_wire::mesh::RouterKey;

/// What the next run of the daemon will find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// No run ever granted anything here.
    #[default]
    Fresh,
    /// All that was granted.
    Kept,
    /// Nothing, and the host has run all the time.
    Lost,
    /// Nothing, as after any boot.
    Rebooted,
}

/// A voter's memory outside its process.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    state: State,
    slots: BTreeMap<RouterKey, Slot>,
    silent_until: Instant,
    epoch_floor: u64,
    epoch_ceiling: u64,
}

impl Memory {
    /// A daemon starts, and what it grants is kept from now on.
    pub fn start(&mut self, now: Instant) -> VoterStart {
        let anew = |start: VoterStart| start.above(self.epoch_ceiling, ceiling_above(self.epoch_ceiling));
        let start = match self.state {
            State::Fresh => anew(VoterStart::default()),
            State::Lost => anew(VoterStart::forgotten(now)),
            State::Rebooted => anew(VoterStart::rebooted()),
            State::Kept => {
                let slots = self.slots.iter().map(|(router, slot)| (*router, *slot)).collect();
                VoterStart { silent_until: self.silent_until, ..VoterStart::remembered(slots) }
                    .above(self.epoch_floor, self.epoch_ceiling)
            }
        };
        self.state = State::Kept;
        self.silent_until = start.silent_until;
        (self.epoch_floor, self.epoch_ceiling) = (start.epoch_floor, start.epoch_ceiling);
        start
    }

    /// The daemon's wish to remember is brought about.
    pub fn remember(&mut self, changes: &Changes) {
        self.slots.extend(changes.slots.iter().copied());
        self.epoch_ceiling = changes.epoch_ceiling.unwrap_or(self.epoch_ceiling);
    }

    /// Somebody removed the file.
    pub fn lose(&mut self) {
        self.forget(State::Lost);
    }

    /// The host boots.
    pub fn reboot(&mut self) {
        self.forget(State::Rebooted);
    }

    fn forget(&mut self, state: State) {
        self.slots.clear();
        if self.state != State::Fresh {
            self.state = state;
        }
    }
}
