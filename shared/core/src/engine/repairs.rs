//! What others did to this host's kernel and was repaired: counted always, told at a bounded rate.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Engine;
use crate::decision::Decision;
use crate::time::Instant;

/// The same repair is told at most this often; somebody may undo it for ever.
const TELL_PERIOD: Duration = Duration::from_secs(10);

/// What was repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repair {
    /// Tables, chains, rules or elements of the fence.
    Fence,
    /// A virtual address.
    Address,
    /// An interface with a virtual MAC address.
    Interface,
}

/// Repairs so far.
#[derive(Debug, Default)]
pub(super) struct Repairs {
    fence: u64,
    addresses: u64,
    interfaces: u64,
    /// By their words: when each was told last, and how often it happened since.
    told: BTreeMap<String, (Instant, u64)>,
}

impl Repairs {
    /// For `status`.
    pub(super) fn counters(&self) -> BTreeMap<String, u64> {
        let counts = [
            ("fence_repairs", self.fence),
            ("address_repairs", self.addresses),
            ("interface_repairs", self.interfaces),
        ];
        counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
    }

    /// Counts one, and gives the words to tell it with when it is time to.
    fn count(&mut self, now: Instant, repair: Repair, what: String) -> Option<String> {
        match repair {
            Repair::Fence => self.fence += 1,
            Repair::Address => self.addresses += 1,
            Repair::Interface => self.interfaces += 1,
        }
        // What was not seen for a while is forgotten: addresses come and go with configurations.
        self.told.retain(|known, (at, _)| *known == what || now < *at + TELL_PERIOD);
        match self.told.get_mut(&what) {
            Some((at, untold)) if now < *at + TELL_PERIOD => {
                *untold += 1;
                None
            }
            Some((at, untold)) => {
                *at = now;
                let times = std::mem::take(untold) + 1;
                Some(if times > 1 { format!("{what}, {times} times since last told") } else { what })
            }
            None => {
                self.told.insert(what.clone(), (now, 0));
                Some(what)
            }
        }
    }
}

impl Engine {
    /// Something of ours was touched by somebody else, and is being repaired.
    pub(super) fn repaired(&mut self, now: Instant, repair: Repair, what: String) {
        if let Some(what) = self.repairs.count(now, repair, what) {
            self.record(Decision::Repaired { what });
        }
    }
}
