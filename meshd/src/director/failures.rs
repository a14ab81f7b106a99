//! What an effect that failed means for those after it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mesh_core::Action;
use mesh_core::action::Effect;
use mesh_wire::mesh::lease::Message;

/// What failed among the effects of one step: later ones of the same step may rely on it.
#[derive(Default)]
pub(crate) struct Failures {
    /// By interface.
    additions: BTreeMap<String, Additions>,
    removal: bool,
    closing: bool,
    memory: bool,
    leaving: bool,
}

/// Addresses that were to be added to an interface.
#[derive(Default)]
struct Additions {
    wanted: usize,
    refused: BTreeSet<IpAddr>,
}

impl Failures {
    /// Notes an addition that is about to be tried.
    pub(crate) fn note_addition(&mut self, action: &Action) {
        if let Action::AddAddress { interface, .. } = action {
            self.additions.entry(interface.clone()).or_default().wanted += 1;
        }
    }

    /// Notes a failure; `closing`: of an effect that was to close the fence.
    pub(crate) fn note(&mut self, effect: &Effect, closing: bool) {
        match effect {
            Effect::Address { interface, address } => {
                self.additions.entry(interface.clone()).or_default().refused.insert(*address);
            }
            Effect::Removal { .. } => self.removal = true,
            Effect::Memory => self.memory = true,
            Effect::LeaveBehind => self.leaving = true,
            Effect::Fence => self.closing |= closing,
            Effect::Vmac { .. }
            | Effect::Route { .. }
            | Effect::Roster
            | Effect::Advertisement { .. }
            | Effect::Probe { .. } => {}
        }
    }

    /// Whether an effect must not come after what failed.
    pub(crate) fn forbid(&self, action: &Action) -> bool {
        match action {
            // A promise that would be forgotten is not made, to this node itself neither.
            Action::SendMessage { message: Message::Reply(_), .. }
            | Action::FenceArm { .. }
            | Action::AddAddress { .. } => self.memory,
            // Nothing is announced that is not there; of an interface that got none, no router serves what is new.
            Action::Announce { interface, address, .. } => self.memory || self.is_refused(interface, *address),
            Action::SendAdvertisement { interface, .. } => self.memory || self.has_none(interface),
            // What may still be served is not given away: the lease runs out, later than the address.
            Action::SendMessage { message: Message::Release(_), .. } => self.removal && self.closing,
            // Nor is it let out of the fence.
            Action::FenceInstall { addresses, .. } => addresses.is_empty() && self.removal,
            // What cannot be left behind is handed over first.
            Action::Stopped => self.leaving,
            _ => false,
        }
    }

    fn is_refused(&self, interface: &str, address: IpAddr) -> bool {
        self.additions.get(interface).is_some_and(|additions| additions.refused.contains(&address))
    }

    /// Whether addresses were to be added to an interface, and the kernel refused all of them.
    fn has_none(&self, interface: &str) -> bool {
        let none = |additions: &Additions| additions.wanted > 0 && additions.refused.len() >= additions.wanted;
        self.additions.get(interface).is_some_and(none)
    }
}

#[cfg(test)]
mod tests;
