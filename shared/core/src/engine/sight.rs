//! What this node cannot see, and what is not well with routers it does see: for `meshctl status` and `explain`.

use std::collections::BTreeMap;

use mesh_wire::mesh::RouterKey;
use mesh_wire::mesh::gossip::RouterState;
use mesh_wire::mesh::roster::{Member, Role};

use super::Engine;
use super::status::Word;
use crate::time::Instant;

/// Directors by name, and what there is to say of each.
type Words = BTreeMap<String, String>;

impl Engine {
    /// Why nobody here knows who serves a router that no report says is served. With a majority of the voters directors
    /// that nobody hears do not matter: they keep no lease.
    pub(super) fn cannot_tell(&self, now: Instant, key: RouterKey) -> Option<String> {
        let quorum = self.reaches_quorum();
        let members = self.roster.iter().flat_map(|r| &r.members);
        let directors = members.filter(|m| m.role == Role::Director && m.id != self.setup.node);
        let (mut silent, mut unread) = (Vec::new(), Vec::new());
        for member in directors {
            match self.liveness(member.id) {
                mesh_control::Liveness::Dead if !quorum => silent.push(member),
                mesh_control::Liveness::Alive if self.says_nothing(member) => unread.push(member.name.as_str()),
                _ => {}
            }
        }
        let names: Vec<&str> = silent.iter().map(|m| m.name.as_str()).collect();
        let mut parts = Vec::new();
        if !names.is_empty() {
            parts.push(format!("{} not reachable by the mesh", are(&names)));
        }
        if !unread.is_empty() {
            let verb = if unread.len() == 1 { "has" } else { "have" };
            parts.push(format!("{} {verb} not said yet what is served", listed(&unread)));
        }
        if !names.is_empty() {
            parts.extend(self.heard_from(now, key, &silent));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// Its connection stands, and its gossip has not come.
    fn says_nothing(&self, member: &Member) -> bool {
        self.membership.peer(member.id).is_none_or(|p| p.report.is_none() && p.routers.is_empty())
    }

    /// Adverts come on the segment, from whom as far as known, and what an operator should look at.
    fn heard_from(&self, now: Instant, key: RouterKey, silent: &[&Member]) -> Option<String> {
        let source = self.instances.get(&key)?.heard_now(now)?;
        let is_it = |m: &&&Member| {
            let said = self.membership.router(m.id, &key).and_then(|r| r.source);
            said == Some(source) || m.address.ip() == source
        };
        let Some(sender) = silent.iter().find(is_it) else { return Some(format!("adverts are heard from {source}")) };
        Some(format!("adverts are heard from {source} ({}): is UDP {} open?", sender.name, sender.address.port()))
    }

    /// Directors that cannot serve a router, and those whose priority is lower than it could be, each with the
    /// reason. Who is held back is told elsewhere.
    pub(super) fn not_well(&self, reports: &[Word<'_>]) -> (Words, Words) {
        let (mut faults, mut lowered) = (Words::new(), Words::new());
        for (id, _, report) in reports.iter().filter(|(_, alive, _)| *alive) {
            let fault = report.state == RouterState::Fault;
            // Versions that say nothing else say so in the cause of the change.
            let because = report.because.clone().or_else(|| fault.then(|| report.transition.cause.clone()));
            let held = report.held.as_ref().map(|held| &held.because);
            let Some(because) = because.filter(|because| held != Some(because)) else { continue };
            if fault { &mut faults } else { &mut lowered }.insert(self.node_name(*id), because);
        }
        (faults, lowered)
    }

    /// Configured priorities of the directors that have another one by their place.
    pub(super) fn displaced(&self, reports: &[Word<'_>]) -> BTreeMap<String, u8> {
        let live = reports.iter().filter(|(_, alive, _)| *alive);
        let places = live.filter_map(|(id, _, r)| Some((*id, r.place.as_ref()?)));
        let others = places.filter(|(_, place)| place.base != place.configured);
        others.map(|(id, place)| (self.node_name(id), place.configured)).collect()
    }
}

/// One name, or several as in a sentence.
fn listed(names: &[&str]) -> String {
    match names {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => names.concat(),
    }
}

fn are(names: &[&str]) -> String {
    format!("{} {}", listed(names), if names.len() == 1 { "is" } else { "are" })
}
