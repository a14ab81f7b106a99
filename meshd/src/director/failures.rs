//! What an effect that failed means for those after it.

use mesh_core::Action;
use mesh_core::action::Effect;
use mesh_wire::mesh::lease::Message;

/// What failed among the effects of one step: later ones of the same step may rely on it.
#[derive(Default)]
pub(crate) struct Failures {
    addition: bool,
    removal: bool,
    closing: bool,
    memory: bool,
    leaving: bool,
}

impl Failures {
    /// Notes a failure; `closing`: of an effect that was to close the fence.
    pub(crate) fn note(&mut self, effect: &Effect, closing: bool) {
        match effect {
            Effect::Address { .. } => self.addition = true,
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
            // Nothing is announced that is not there.
            Action::SendAdvertisement { .. } | Action::Announce { .. } => self.addition || self.memory,
            // What may still be served is not given away: the lease runs out, later than the address.
            Action::SendMessage { message: Message::Release(_), .. } => self.removal && self.closing,
            // Nor is it let out of the fence.
            Action::FenceInstall { addresses, .. } => addresses.is_empty() && self.removal,
            // What cannot be left behind is handed over first.
            Action::Stopped => self.leaving,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
