//! Addresses, routes and rules that a router which serves should have, and that the kernel refused: it goes on without
//! them, and they are tried again with each look after its addresses, until they are there.

use std::collections::BTreeMap;

use mesh_wire::mesh::RouterKey;

use super::Engine;
use crate::instance::Instance;

/// Of so many it is told which they are.
const NAMED: usize = 3;

/// What one router does without: what it is, and what the kernel said.
#[derive(Clone, Debug, Default)]
pub struct Lacks {
    missing: BTreeMap<String, String>,
    /// What was refused since the last look; all of it is missing.
    refused: BTreeMap<String, String>,
}

impl Lacks {
    pub(super) fn has(&self, title: &str) -> bool {
        self.missing.contains_key(title)
    }

    pub(super) fn refuse(&mut self, what: String, error: &str) {
        self.refused.insert(what.clone(), error.to_owned());
        self.missing.insert(what, error.to_owned());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }

    /// Before all of it is tried again: what was not refused since the last time is there, and returned.
    pub(super) fn look_again(&mut self) -> BTreeMap<String, String> {
        let refused = std::mem::take(&mut self.refused);
        let mut there = std::mem::replace(&mut self.missing, refused);
        there.retain(|title, _| !self.missing.contains_key(title));
        there
    }

    /// In words.
    pub(super) fn words(&self) -> Option<String> {
        let named = self.missing.iter().take(NAMED).map(|(title, error)| format!("{title}: {error}"));
        let more = self.missing.len().saturating_sub(NAMED);
        let more = (more > 0).then(|| format!("{more} more"));
        (!self.is_empty()).then(|| named.chain(more).collect::<Vec<_>>().join("; "))
    }
}

impl Engine {
    /// The kernel refused a route or rule: those that serve and should have it are without it.
    pub(super) fn note_lacks(&mut self, what: &str, error: &str) {
        let has = |i: &Instance| {
            let routes = i.config.routes.iter().map(|route| route.title());
            i.lacks.has(what) || routes.chain(i.config.rules.iter().map(|rule| rule.title())).any(|title| title == what)
        };
        let active = self.instances.values().filter(|i| i.vrrp.is_active());
        let lacking: Vec<RouterKey> = active.filter(|i| has(i)).map(|i| i.config.key).collect();
        for key in lacking {
            self.instances.get_mut(&key).expect("found above").lacks.refuse(what.to_owned(), error);
        }
    }
}
