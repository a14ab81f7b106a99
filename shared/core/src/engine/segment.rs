//! Gray failures: an owner that the mesh hears, and nobody on the segment.
//!
//! A backup whose claim was refused, since somebody holds the lease whom it does not hear, looks at the
//! segment: it asks for one of the addresses, for the owner's own, and for those of the other directors (ARP,
//! neighbour solicitation). What it finds is in its [`NodeReport`]. When all other directors on a segment,
//! two at least, find that the owner answers nothing while they hear each other, the owner's link is broken
//! in a way it cannot see itself: it says so, hands its routers there over, and takes them again only when
//! nobody else can. While it says so the others go on asking for its address; ten seconds after the first of
//! them got an answer it counts as well again.
//!
//! Where only adverts are lost (a filter) the owner answers, and stays. Where it answers one of them it
//! stays, too, and so it does with a single backup: which of the two is cut off nobody can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mesh_wire::mesh::gossip::{Hearing, NODE_KEY, NodeReport, RouterState};
use mesh_wire::mesh::{NodeId, RouterKey};

use super::Engine;
use crate::action::Action;
use crate::decision::Decision;
use crate::time::Instant;

/// Between two looks for the same director.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A look takes 40 ms; one that is not over by then says nothing.
const LOOK_LIMIT: Duration = Duration::from_millis(400);

/// How long a director has to be heard before it counts as well again.
const HEALED: Duration = Duration::from_secs(10);

/// What a node knows of its segments. Without a gray failure there is nothing in it, and no timer runs.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// By router that stands for the segment, and by director looked for.
    looks: BTreeMap<(RouterKey, NodeId), Look>,
    /// Probes under way: for which look, and whose address.
    probes: BTreeMap<u64, ((RouterKey, NodeId), NodeId)>,
    /// Interfaces on whose segments nobody hears this node.
    mute: BTreeMap<String, Mute>,
    /// Directors whose reports say anything about segments: hardly any, of many.
    speakers: BTreeSet<NodeId>,
    /// When to look for directors that say that nobody hears them, and at whether this one is heard again.
    pub(super) look_at: Option<Instant>,
}

#[derive(Debug)]
struct Look {
    at: Instant,
    /// Whether the director answers, and which others do, as far as this look has got.
    answers: bool,
    hears: BTreeSet<NodeId>,
    /// Probes without a result.
    open: usize,
    /// The result of the last look that is over.
    found: Option<Hearing>,
}

#[derive(Debug)]
struct Mute {
    router: RouterKey,
    reason: String,
    heard_since: Option<Instant>,
}

impl Engine {
    /// Voters say that a director holds the lease of a router, and this node does not hear its adverts.
    pub(super) fn unheard(&mut self, now: Instant, key: RouterKey, owner: NodeId) {
        let Some(router) = self.stands_for(key, owner) else { return };
        self.look_for(now, router, owner);
    }

    /// A director's adverts are heard: what was found on that segment is over.
    pub(super) fn heard_on_segment(&mut self, key: RouterKey, source: IpAddr) {
        if self.segments.looks.is_empty() {
            return;
        }
        let interface = self.instances[&key].config.interface.clone();
        let sends = |node: NodeId| self.membership.router(node, &key).is_some_and(|r| r.source == Some(source));
        let there = |router: &RouterKey| self.instances.get(router).is_some_and(|i| i.config.interface == interface);
        let over: Vec<(RouterKey, NodeId)> =
            self.segments.looks.keys().filter(|(router, node)| there(router) && sends(*node)).copied().collect();
        for look in over {
            self.forget_look(look);
        }
    }

    /// A director is gone, or left: it is missed for that.
    pub(super) fn forget_segment_of(&mut self, node: NodeId) {
        let gone: Vec<(RouterKey, NodeId)> =
            self.segments.looks.keys().filter(|(_, other)| *other == node).copied().collect();
        gone.into_iter().for_each(|look| self.forget_look(look));
    }

    fn forget_look(&mut self, look: (RouterKey, NodeId)) {
        self.segments.looks.remove(&look);
        self.segments.probes.retain(|_, (of, _)| *of != look);
    }

    /// The first router on an interface that a director serves, so that many routers are looked at once.
    fn stands_for(&self, key: RouterKey, owner: NodeId) -> Option<RouterKey> {
        let interface = &self.instances.get(&key)?.config.interface;
        let serves =
            |router: &RouterKey| self.membership.router(owner, router).is_some_and(|r| r.state == RouterState::Active);
        let mut there = self.instances.iter().filter(|(_, i)| i.config.interface == *interface);
        there.find(|(router, _)| serves(router)).map(|(router, _)| *router)
    }

    /// Asks the segment of a router for a director and for all others.
    fn look_for(&mut self, now: Instant, router: RouterKey, subject: NodeId) {
        let early = self.segments.looks.get(&(router, subject)).is_some_and(|l| now < l.at + LOOK_EVERY);
        if early || !self.membership.is_connected(subject) {
            return;
        }
        let Some(instance) = self.instances.get(&router).filter(|i| i.fault.is_none()) else { return };
        let interface = instance.config.interface.clone();
        let serves = self.membership.router(subject, &router).is_some_and(|r| r.state == RouterState::Active);
        let vip = instance.moving().find(|a| instance.config.segment_of(a) == interface).map(|a| a.net.addr());
        let mut asked: Vec<(NodeId, IpAddr)> = vip.filter(|_| serves).map(|vip| (subject, vip)).into_iter().collect();
        asked.extend(self.on_segment(router).into_iter().filter_map(|(node, source)| Some((node, source?))));
        let before = self.segments.looks.remove(&(router, subject)).and_then(|l| l.found);
        self.forget_look((router, subject));
        let look = Look { at: now, answers: false, hears: BTreeSet::new(), open: asked.len(), found: before };
        self.segments.looks.insert((router, subject), look);
        for (node, address) in asked {
            self.probes += 1;
            self.segments.probes.insert(self.probes, ((router, subject), node));
            let addresses = vec![(interface.clone(), address)];
            self.out.push(Action::ProbeAddresses { probe: self.probes, addresses });
        }
    }

    /// Other directors that are there and able to serve a router, with the addresses of their adverts.
    fn on_segment(&self, router: RouterKey) -> Vec<(NodeId, Option<IpAddr>)> {
        let there = self.membership.reports(&router).filter(|(_, p, _)| p.connected && !p.left);
        there.filter(|(_, _, r)| r.state != RouterState::Fault).map(|(id, _, r)| (id, r.source)).collect()
    }

    /// The result of a probe; `false` where it was for something else. One that failed says nothing, and the
    /// look it belongs to is given up.
    pub(super) fn segment_probed(&mut self, now: Instant, probe: u64, answered: Option<bool>) -> bool {
        let Some((of, node)) = self.segments.probes.remove(&probe) else { return false };
        let Some(look) = self.segments.looks.get_mut(&of).filter(|l| now <= l.at + LOOK_LIMIT) else { return true };
        let Some(answered) = answered else {
            self.forget_look(of);
            return true;
        };
        look.open -= 1;
        if answered && node == of.1 {
            look.answers = true;
        } else if answered {
            look.hears.insert(node);
        }
        if look.open == 0 {
            let hears = look.hears.iter().copied().collect();
            look.found = Some(Hearing { router: of.0, director: of.1, answers: look.answers, hears });
        }
        true
    }

    /// For this node's report: whom it does not hear, or looked for.
    pub(super) fn hearings(&self) -> Vec<Hearing> {
        self.segments.looks.values().filter_map(|l| l.found.clone()).collect()
    }

    /// For this node's report: on which segments nobody hears it, each by a router on it.
    pub(super) fn mute_routers(&self) -> Vec<RouterKey> {
        self.segments.mute.values().map(|m| m.router).collect()
    }

    /// Why this node should not serve a router, though it can.
    pub(super) fn mute_because(&self, interface: &str) -> Option<&str> {
        self.segments.mute.get(interface).map(|m| m.reason.as_str())
    }

    /// A member said something new, perhaps about segments.
    pub(super) fn segment_gossip(&mut self, now: Instant, node: NodeId, key: &str) {
        let peer = self.membership.peer(node);
        let asks = |router: &RouterKey| {
            let mute = peer.and_then(|p| p.report.as_ref()).is_some_and(|r| r.mute.contains(router));
            let serves = peer.and_then(|p| p.routers.get(router)).is_some_and(|r| r.state == RouterState::Active);
            mute || serves
        };
        let stale = self.segments.looks.keys().filter(|(router, of)| *of == node && !asks(router));
        stale.copied().collect::<Vec<_>>().into_iter().for_each(|look| self.forget_look(look));
        if key == NODE_KEY {
            let report = self.membership.peer(node).and_then(|p| p.report.as_ref());
            if report.is_some_and(|r| !r.mute.is_empty() || !r.hearing.is_empty()) {
                self.segments.speakers.insert(node);
            } else {
                self.segments.speakers.remove(&node);
            }
            self.judge_segments(now);
        }
    }

    fn judge_segments(&mut self, now: Instant) {
        let speakers = self.segments.speakers.iter().filter_map(|node| self.membership.peer(*node));
        let reports = speakers.filter_map(|p| p.report.as_ref().filter(|_| p.connected));
        let concerns = |r: &NodeReport| !r.mute.is_empty() || r.hearing.iter().any(|h| h.director == self.setup.node);
        let concerned = { reports }.any(concerns);
        if !concerned && self.segments.mute.is_empty() {
            return;
        }
        self.segments.look_at.get_or_insert(now + LOOK_EVERY);
        let interfaces: BTreeSet<String> = self.instances.values().map(|i| i.config.interface.clone()).collect();
        for interface in interfaces {
            self.judge_segment(now, &interface);
        }
    }

    /// Looks for directors that say that nobody hears them.
    pub(super) fn look_again(&mut self, now: Instant) {
        if self.segments.look_at.take_if(|at| *at <= now).is_none() {
            return;
        }
        let reports =
            self.membership.peers().filter(|(_, p)| p.connected).filter_map(|(id, p)| Some((id, p.report.as_ref()?)));
        let asked: Vec<(NodeId, RouterKey)> =
            reports.flat_map(|(id, report)| report.mute.iter().map(move |router| (id, *router))).collect();
        for (node, router) in asked {
            self.look_for(now, router, node);
        }
        self.judge_segments(now);
    }

    fn judge_segment(&mut self, now: Instant, interface: &str) {
        let on_it = |i: &&crate::instance::Instance| i.config.interface == interface;
        let routers: BTreeSet<RouterKey> = self.instances.values().filter(on_it).map(|i| i.config.key).collect();
        let others: BTreeSet<NodeId> =
            routers.iter().flat_map(|router| self.on_segment(*router)).map(|(node, _)| node).collect();
        let words: BTreeMap<NodeId, &Hearing> = others
            .iter()
            .filter_map(|node| {
                let report = self.membership.peer(*node)?.report.as_ref()?;
                let about = |h: &&Hearing| h.director == self.setup.node && routers.contains(&h.router);
                Some((*node, report.hearing.iter().find(about)?))
            })
            .collect();
        let deaf_to_us = |node: &NodeId| {
            words.get(node).is_some_and(|h| !h.answers && h.hears.iter().any(|other| others.contains(other)))
        };
        let heard = words.values().any(|h| h.answers);
        let serves = self.instances.values().filter(on_it).any(|i| i.vrrp.is_active());
        let unheard = others.len() >= 2 && others.iter().all(deaf_to_us);
        if unheard && serves && !self.segments.mute.contains_key(interface) {
            let names: Vec<String> = others.iter().map(|node| self.name_of(*node)).collect();
            let here = &self.setup.name;
            let reason =
                format!("nobody on the segment of {interface} hears {here}; {} hear each other", names.join(" and "));
            let router = *routers.first().expect("one of them is served");
            self.segments.mute.insert(interface.to_owned(), Mute { router, reason: reason.clone(), heard_since: None });
            self.segments.look_at.get_or_insert(now + LOOK_EVERY);
            self.record(Decision::Warning { text: reason });
            self.fitness_changed(now, &routers);
            return;
        }
        let Some(mute) = self.segments.mute.get_mut(interface) else { return };
        mute.heard_since = if heard { mute.heard_since.or(Some(now)) } else { None };
        if mute.heard_since.is_some_and(|since| now >= since + HEALED) || others.len() < 2 {
            self.segments.mute.remove(interface);
            self.record(Decision::Warning { text: format!("this node is heard again on the segment of {interface}") });
            self.fitness_changed(now, &routers);
        }
    }

    fn fitness_changed(&mut self, now: Instant, routers: &BTreeSet<RouterKey>) {
        for key in routers {
            self.evaluate(now, *key);
            self.hand_over_unfit(now, *key);
        }
    }
}
