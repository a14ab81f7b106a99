//! Routes and rules: those of a router come and go with its addresses, static ones stay.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_config::model::{Config, Route, Rule};

use super::Engine;
use crate::action::Action;
use crate::decision::Decision;
use crate::instance::Instance;
use crate::time::Instant;

/// How often what is static is looked at.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// The same while a router waits for some of it.
const LOOK_FOR_MISSING: Duration = Duration::from_millis(500);

/// What is known of static things.
#[derive(Debug, Default)]
pub(super) struct Statics {
    pub(super) look_at: Option<Instant>,
    /// Refusals that were told, so that each is told once.
    told: Vec<String>,
    /// What of a `track_group` was refused since the last look.
    refused: BTreeSet<String>,
    /// What of it is not there: refused since the look before.
    missing: BTreeSet<String>,
}

/// Most refusals remembered.
const MOST_TOLD: usize = 256;

impl Engine {
    /// Has the kernel hold what is static in a new configuration.
    pub(super) fn configure_statics(&mut self, now: Instant, config: &Config) {
        self.statics.told.clear();
        self.statics.refused.clear();
        // What is still needed stays missing until a look finds it there.
        let needed = |title: &String| config.statics.track_groups.iter().any(|g| g.titles().any(|name| name == *title));
        self.statics.missing.retain(needed);
        if !config.statics.is_empty() || !self.config.statics.is_empty() {
            self.out.push(Action::HaveStatics(config.statics.clone()));
        }
        self.statics.look_at = (!config.statics.is_empty()).then_some(now + LOOK);
    }

    /// What somebody removed is put back, what could not be put there is tried again.
    pub(super) fn look_at_statics(&mut self, now: Instant) {
        if self.statics.look_at.is_some_and(|t| t <= now) && !self.stopping {
            self.out.push(Action::HaveStatics(self.config.statics.clone()));
            let refused = std::mem::take(&mut self.statics.refused);
            let pause = if refused.is_empty() { LOOK } else { LOOK_FOR_MISSING };
            self.statics.look_at = Some(now + pause);
            if refused != self.statics.missing {
                self.statics.missing = refused;
                self.evaluate_all(now);
            }
        }
    }

    /// `track_group`: what a router needs of what is static, and is not there.
    pub(super) fn static_fault(&self, router: &str) -> Option<String> {
        let groups = self.config.statics.track_groups.iter();
        let mut needed = groups.filter(|group| group.routers.iter().any(|name| name == router));
        needed.find_map(|group| {
            let missing = group.titles().find(|title| self.statics.missing.contains(title))?;
            Some(format!("{missing} of track_group {} is not there", group.name))
        })
    }

    /// At the end nothing of it is left.
    pub(super) fn remove_statics(&mut self) {
        self.statics.look_at = None;
        if !self.config.statics.is_empty() {
            self.out.push(Action::HaveStatics(Default::default()));
        }
    }

    /// The kernel refused one; whatever it is for goes on without, as in keepalived, unless it is of a
    /// `track_group`.
    pub(super) fn route_failed(&mut self, now: Instant, what: &str, error: &str) {
        if self.config.statics.track_groups.iter().any(|group| group.titles().any(|title| title == what)) {
            self.statics.refused.insert(what.to_owned());
            self.statics.look_at = self.statics.look_at.map(|at| at.min(now + LOOK_FOR_MISSING));
            if self.statics.missing.insert(what.to_owned()) {
                self.evaluate_all(now);
            }
        }
        self.note_lacks(what, error);
        self.tell_refusal(refusal(what, error));
    }

    /// Once, until it is there.
    pub(super) fn tell_refusal(&mut self, text: String) {
        if !self.statics.told.contains(&text) && self.statics.told.len() < MOST_TOLD {
            self.statics.told.push(text.clone());
            self.record(Decision::Warning { text });
        }
    }

    /// These are there: were they refused once more, that would be news.
    pub(super) fn forget_refusals(&mut self, there: &BTreeMap<String, String>) {
        if !there.is_empty() {
            let again: BTreeSet<String> = there.iter().map(|(what, error)| refusal(what, error)).collect();
            self.statics.told.retain(|text| !again.contains(text));
        }
    }
}

pub(super) fn refusal(what: &str, error: &str) -> String {
    format!("{what}: {error}")
}

/// A router's routes and rules, after its addresses: routes may name one as their source.
pub(super) fn add_routes(out: &mut Vec<Action>, instance: &Instance, again: bool) {
    // What is not tracked is left to others once it was there.
    let lacks = |title: &dyn Fn() -> String| !instance.lacks.is_empty() && instance.lacks.has(&title());
    let wanted = |track: bool, title: &dyn Fn() -> String| track || !again || lacks(title);
    let routes = instance.config.routes.iter().filter(|r| wanted(r.track, &|| r.title())).cloned().collect();
    let rules = instance.config.rules.iter().filter(|r| wanted(r.track, &|| r.title())).cloned().collect();
    add_routes_of(out, routes, rules, again);
}

/// These of them.
pub(super) fn add_routes_of(out: &mut Vec<Action>, routes: Vec<Route>, rules: Vec<Rule>, again: bool) {
    if !(routes.is_empty() && rules.is_empty()) {
        out.push(Action::AddRoutes { routes, rules, again });
    }
}

/// Before its addresses go.
pub(super) fn del_routes(out: &mut Vec<Action>, instance: &Instance) {
    del_routes_of(out, instance.config.routes.clone(), instance.config.rules.clone());
}

/// These of them.
pub(super) fn del_routes_of(out: &mut Vec<Action>, routes: Vec<Route>, rules: Vec<Rule>) {
    if !(routes.is_empty() && rules.is_empty()) {
        out.push(Action::DelRoutes { routes, rules });
    }
}
