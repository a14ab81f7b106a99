//! Many routers taken over in one step cost as few requests to the kernel as one.

use std::collections::BTreeMap;

use mesh_core::Action;

/// Puts the effects of a takeover that follow each other in another order with the same outcome: first
/// the fence for all of them, one request for all that end together, then all addresses, then what is
/// announced. Nothing is moved over any other effect, so that nothing is opened that was to be closed.
pub(super) fn regroup(actions: Vec<Action>) -> Vec<Action> {
    let mut all = Vec::with_capacity(actions.len());
    let mut takeover = Takeover::default();
    for action in actions {
        match action {
            Action::FenceArm { addresses, until } => takeover.arms.entry(until).or_default().extend(addresses),
            Action::AddAddress { .. } => takeover.additions.push(action),
            Action::AddRoutes { .. } => takeover.routes.push(action),
            Action::SendAdvertisement { .. } | Action::Announce { .. } | Action::Record(_) => {
                takeover.announcements.push(action);
            }
            Action::DelAddress { .. }
            | Action::MakeVmacs { .. }
            | Action::DelRoutes { .. }
            | Action::HaveStatics(_)
            | Action::SweepAddresses { .. }
            | Action::FenceAdopt { .. }
            | Action::ProbeAddresses { .. }
            | Action::Remember(_)
            | Action::KeepWill(_)
            | Action::LeaveBehind(_)
            | Action::KeepHolds(_)
            | Action::FenceInstall { .. }
            | Action::FenceClose { .. }
            | Action::SendMessage { .. }
            | Action::Publish { .. }
            | Action::AdoptRoster(_)
            | Action::StoreRoster { .. }
            | Action::RosterChanged { .. }
            | Action::AskSettings { .. }
            | Action::Ordered { .. }
            | Action::RunScripts(_)
            | Action::WatchTracked { .. }
            | Action::TellServices(_)
            | Action::Tell(_)
            | Action::Stopped => {
                takeover.flush(&mut all);
                all.push(action);
            }
        }
    }
    takeover.flush(&mut all);
    all
}

#[derive(Default)]
struct Takeover {
    arms: BTreeMap<mesh_core::Instant, Vec<std::net::IpAddr>>,
    additions: Vec<Action>,
    routes: Vec<Action>,
    announcements: Vec<Action>,
}

impl Takeover {
    fn flush(&mut self, all: &mut Vec<Action>) {
        let arms = std::mem::take(&mut self.arms).into_iter();
        all.extend(arms.map(|(until, addresses)| Action::FenceArm { addresses, until }));
        all.append(&mut self.additions);
        all.append(&mut self.routes);
        all.append(&mut self.announcements);
    }
}

#[cfg(test)]
mod tests;
