//! Many routers taken over or let go in one step cost as few requests to the kernel as one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use mesh_core::{Action, Instant};

/// Puts the effects of takeovers that follow each other in another order with the same outcome: first the fence
/// for all of them, one request for all that end together, then all addresses, then what is announced. The same of
/// routers that are let go: first the fence, then routes and addresses, then the last words. Nothing is moved over
/// any other effect, nor one of these over one of the others, so that nothing is opened that was to be closed.
pub(super) fn regroup(actions: Vec<Action>) -> Vec<Action> {
    let mut all = Vec::with_capacity(actions.len());
    let (mut takeover, mut retreat) = (Takeover::default(), Retreat::default());
    for action in few_installs(actions) {
        match action {
            Action::FenceArm { addresses, until } => {
                retreat.flush(&mut all);
                takeover.arms.entry(until).or_default().extend(addresses);
            }
            Action::AddAddress { .. } => {
                retreat.flush(&mut all);
                takeover.additions.push(action);
            }
            Action::AddRoutes { .. } => {
                retreat.flush(&mut all);
                takeover.routes.push(action);
            }
            Action::FenceClose { addresses } => {
                takeover.flush(&mut all);
                retreat.closes.extend(addresses);
            }
            Action::DelRoutes { .. } => {
                takeover.flush(&mut all);
                retreat.routes.push(action);
            }
            Action::DelAddress { .. } => {
                takeover.flush(&mut all);
                retreat.removals.push(action);
            }
            Action::SendAdvertisement { .. } | Action::Announce { .. } | Action::Record(_) => {
                if retreat.is_empty() {
                    takeover.announcements.push(action);
                } else {
                    retreat.last_words.push(action);
                }
            }
            Action::MakeVmacs { .. }
            | Action::HaveStatics(_)
            | Action::SweepAddresses { .. }
            | Action::FenceAdopt { .. }
            | Action::ProbeAddresses { .. }
            | Action::Remember(_)
            | Action::KeepWill(_)
            | Action::LeaveBehind(_)
            | Action::KeepHolds(_)
            | Action::FenceInstall { .. }
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
                retreat.flush(&mut all);
                all.push(action);
            }
        }
    }
    takeover.flush(&mut all);
    retreat.flush(&mut all);
    all
}

/// A fence that is installed for each of many routers is installed twice: in the place of the first with everything
/// that any of them closes, in the place of the last as that one has it. So nothing is open sooner, and nothing is
/// closed later but what went on without its lease and was let go in the same step, which the lease's own end closes.
fn few_installs(mut actions: Vec<Action>) -> Vec<Action> {
    let installs = |action: &Action| matches!(action, Action::FenceInstall { .. });
    let (first, last) = (actions.iter().position(installs), actions.iter().rposition(installs));
    let Some(first_place) = first.filter(|_| first != last) else { return actions };
    let (mut closed, mut refused) = (BTreeSet::<IpAddr>::new(), BTreeSet::<IpAddr>::new());
    for action in &actions {
        if let Action::FenceInstall { addresses, unaccepted } = action {
            closed.extend(addresses);
            refused.extend(unaccepted);
        }
    }
    let (addresses, unaccepted) = (closed.into_iter().collect(), refused.into_iter().collect());
    actions[first_place] = Action::FenceInstall { addresses, unaccepted };
    let mut places = 0..;
    actions.retain(|action| {
        let place = places.next();
        !installs(action) || place == first || place == last
    });
    actions
}

#[derive(Default)]
struct Takeover {
    arms: BTreeMap<Instant, Vec<IpAddr>>,
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

#[derive(Default)]
struct Retreat {
    closes: Vec<IpAddr>,
    routes: Vec<Action>,
    removals: Vec<Action>,
    last_words: Vec<Action>,
}

impl Retreat {
    fn is_empty(&self) -> bool {
        self.closes.is_empty() && self.routes.is_empty() && self.removals.is_empty()
    }

    fn flush(&mut self, all: &mut Vec<Action>) {
        if !self.closes.is_empty() {
            all.push(Action::FenceClose { addresses: std::mem::take(&mut self.closes) });
        }
        all.append(&mut self.routes);
        all.append(&mut self.removals);
        all.append(&mut self.last_words);
    }
}

#[cfg(test)]
mod tests;
