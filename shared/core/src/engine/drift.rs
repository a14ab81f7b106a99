//! Directors whose configurations differ: they are asked how, and what comes of it is told.
//!
//! What has to be equal is in a digest that everybody gossips. A director whose digest is another one is
//! asked over the mesh, a moment later, since a change goes from one to the next; and so is one whose
//! keys and peers have to fit ours, which no digest shows. Nothing is decided by what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mesh_config::model::Config;
use mesh_config::settings::{Nonce, Secrets, Settings};
use mesh_control::drift::{Drift, LostAdverts};
use mesh_control::story::Unreachable;
use mesh_wire::mesh::roster::Role;
use mesh_wire::mesh::{NodeId, RouterKey};

use super::Engine;
use crate::action::Action;
use crate::decision::Decision;
use crate::drift::{Compared, Description, Loss, Sender, compare, foresee};
use crate::time::Instant;

/// A configuration has to be there for this long before its node is asked.
pub(super) const SETTLE: Duration = Duration::from_millis(500);

/// Before a director is asked again that did not answer.
const AGAIN: Duration = Duration::from_secs(10);

/// What is known of other configurations.
#[derive(Debug, Default)]
pub(super) struct Others {
    own: Arc<Settings>,
    /// When our configuration came, where others have to fit it though digests are equal; else 0.
    pub(super) fits_since: u64,
    pub(super) nodes: BTreeMap<NodeId, Other>,
    /// Who is to be asked when: all of [`Other::ask_at`], as directors are many, and few are to be asked in a step.
    turns: BTreeSet<(Instant, NodeId)>,
}

/// Of one director.
#[derive(Debug, Default)]
pub(super) struct Other {
    /// Digest and age of what is looked at.
    pub(super) of: Option<(String, u64)>,
    /// When it is to be asked.
    pub(super) ask_at: Option<Instant>,
    /// It is asked about what is looked at.
    pub(super) asked: bool,
    /// What it told, where this node has nothing of its own to compare it with at once.
    pub(super) description: Option<Box<Description>>,
    pub(super) compared: Compared,
    /// Why it does not tell.
    pub(super) silent: Option<String>,
    /// What was told of it.
    told: Vec<String>,
}

impl Others {
    /// Forgets who is no member any more.
    pub(super) fn retain(&mut self, keep: impl Fn(NodeId) -> bool) {
        self.nodes.retain(|node, _| keep(*node));
        self.find_turns();
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.turns.first().map(|(at, _)| *at)
    }

    /// A director is to be asked then, or not at all.
    fn ask(&mut self, node: NodeId, at: Option<Instant>) {
        let Some(other) = self.nodes.get_mut(&node) else { return };
        if let Some(before) = std::mem::replace(&mut other.ask_at, at) {
            self.turns.remove(&(before, node));
        }
        self.turns.extend(at.map(|at| (at, node)));
    }

    /// To be called where [`Other::ask_at`] was changed otherwise.
    pub(super) fn find_turns(&mut self) {
        self.turns = self.nodes.iter().filter_map(|(node, other)| Some((other.ask_at?, *node))).collect();
    }
}

impl Engine {
    /// Another configuration of our own: the digest of it. Everybody is looked at anew.
    pub(super) fn describe_own(&mut self, now: Instant, config: &Config) -> String {
        let own = Arc::new(config.settings());
        self.others.fits_since = if own.has_to_fit() { self.unix_ms(now) } else { 0 };
        self.others.own = Arc::clone(&own);
        self.others.nodes.values_mut().for_each(|other| other.of = None);
        own.digest()
    }

    /// How this node is configured, for another one. Tags of keys are made with `nonce`.
    pub fn described(&self, nonce: Nonce) -> (Arc<Settings>, Secrets) {
        (Arc::clone(&self.others.own), self.config.secrets(nonce))
    }

    /// Looks at what a member says of its configuration, or whether it is there again.
    pub(super) fn look_at_configuration(&mut self, now: Instant, node: NodeId) {
        if self.looks_on() {
            return self.look_on(now);
        }
        let directs =
            |node| self.roster.as_ref().and_then(|r| r.member(node)).is_some_and(|m| m.role == Role::Director);
        if !directs(node) || !directs(self.setup.node) || node == self.setup.node {
            return;
        }
        let peer = self.membership.peer(node).filter(|peer| peer.connected);
        let Some(report) = peer.and_then(|peer| peer.report.as_ref()) else { return };
        let of = (report.config_digest.clone(), report.fits_since_unix_ms);
        let agrees = of.0 == self.digest && of.1 == 0 && self.others.fits_since == 0;
        let known = self.others.nodes.contains_key(&node);
        if agrees && !known {
            return;
        }
        let other = self.others.nodes.entry(node).or_default();
        if other.of.as_ref() == Some(&of) {
            return;
        }
        other.of = Some(of);
        other.asked = false;
        self.others.ask(node, (!agrees).then_some(now + SETTLE));
        if agrees {
            let other = self.others.nodes.entry(node).or_default();
            (other.compared, other.silent) = (Compared::default(), None);
            self.tell_drift(node);
        }
    }

    /// Looks at everybody.
    pub(super) fn look_at_configurations(&mut self, now: Instant) {
        let nodes: Vec<NodeId> = self.membership.peers().map(|(node, _)| node).collect();
        nodes.into_iter().for_each(|node| self.look_at_configuration(now, node));
    }

    /// Asks who is to be asked.
    pub(super) fn ask_configurations(&mut self, now: Instant) {
        while let Some((_, node)) = self.others.turns.first().copied().filter(|(at, _)| *at <= now) {
            self.others.turns.pop_first();
            self.others.ask(node, Some(now + AGAIN));
            if self.membership.is_connected(node) {
                self.others.nodes.entry(node).or_default().asked = true;
                self.out.push(Action::AskSettings { node });
            }
        }
    }

    /// What a director tells of its configuration, or why it does not.
    pub(super) fn settings_told(&mut self, node: NodeId, answer: Result<Description, String>) {
        let (name, onlooker) = (self.name_of(node), self.looks_on());
        let Some(other) = self.others.nodes.get_mut(&node).filter(|other| other.asked) else { return };
        match answer {
            Ok(there) if onlooker => {
                // Nobody else's keys are kept.
                other.description = Some(Box::new(Description { secrets: Secrets::default(), ..there }));
                (other.silent, other.asked) = (None, false);
                self.others.ask(node, None);
                return self.compare_others();
            }
            Ok(there) => {
                let secrets = self.config.secrets(there.secrets.nonce);
                other.compared = compare(&name, (&self.others.own, &secrets), &there);
                (other.silent, other.asked) = (None, false);
                self.others.ask(node, None);
            }
            Err(why) => other.silent = Some(why),
        }
        self.tell_drift(node);
    }

    /// Tells what is new of one director: what differs now, or that nothing does any more.
    pub(super) fn tell_drift(&mut self, node: NodeId) {
        let lines: Vec<String> = self.drift_of(node).lines().collect();
        let name = self.name_of(node);
        let Some(other) = self.others.nodes.get_mut(&node) else { return };
        if other.told != lines {
            other.told.clone_from(&lines);
            self.record(Decision::Drift { node: name, differences: lines });
        }
    }

    /// How other directors are configured otherwise.
    pub(super) fn drift(&self) -> Drift {
        let mut all = Drift::default();
        let there = |node: &&NodeId| self.membership.peer(**node).is_some_and(|peer| peer.connected || peer.heard);
        for node in self.others.nodes.keys().filter(there) {
            let Drift { settings, more, lost_adverts, not_compared } = self.drift_of(*node);
            all.settings.extend(settings);
            all.more += more;
            all.lost_adverts.extend(lost_adverts);
            all.not_compared.extend(not_compared);
        }
        all.lost_adverts.extend(self.lost_outside());
        all
    }

    /// What of it is about one router.
    pub(super) fn drift_about(&self, key: RouterKey) -> Drift {
        let mut drift = self.drift();
        let subject = key.to_string();
        drift.settings.retain(|differs| differs.subject == subject);
        drift.lost_adverts.retain(|lost| lost.subject == subject);
        drift.more = 0;
        drift
    }

    fn drift_of(&self, node: NodeId) -> Drift {
        let Some(other) = self.others.nodes.get(&node) else { return Drift::default() };
        let silent = other.silent.iter().map(|why| Unreachable { node: self.name_of(node), because: why.clone() });
        Drift {
            settings: other.compared.differences.clone(),
            more: other.compared.more,
            lost_adverts: self.lost_adverts(node, &other.compared),
            not_compared: silent.collect(),
        }
    }

    /// Adverts between this node and another one that are lost, as both are configured.
    fn lost_adverts(&self, node: NodeId, compared: &Compared) -> Vec<LostAdverts> {
        let (own, theirs) = (&self.setup.name, self.name_of(node));
        let mut all = Vec::new();
        if compared.routers.is_empty() {
            return all;
        }
        for (key, instance) in self.instances.iter() {
            let subject = key.to_string();
            let here = self.others.own.subjects.get(&subject).and_then(|subject| subject.adverts.as_ref());
            let (Some(here), Some(pair)) = (here, compared.routers.get(&subject)) else { continue };
            let source = self.membership.router(node, key).and_then(|report| report.source);
            let here = Sender { name: own, adverts: here, source: instance.source };
            let there = Sender { name: &theirs, adverts: &pair.there, source };
            for (from, to) in [(here, there), (there, here)] {
                let (dropped, because) = match foresee(from, to, &pair.keys) {
                    Some(Loss::Dropped(why)) => (true, why),
                    Some(Loss::NotSent(why)) => (false, why),
                    None => continue,
                };
                all.push(LostAdverts {
                    subject: subject.clone(),
                    name: instance.config.name.clone(),
                    from: from.name.to_owned(),
                    to: to.name.to_owned(),
                    dropped,
                    provided: None,
                    because,
                });
            }
        }
        all
    }
}
