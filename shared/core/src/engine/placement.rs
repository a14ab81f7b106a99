//! Placement as the engine uses it: the view it is made from, and the priorities it makes.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_wire::mesh::gossip::{Drain, PlaceReport, RouterReport, RouterState};
use mesh_wire::mesh::roster::Role;
use mesh_wire::mesh::{NodeId, RouterKey};

use super::Engine;
use crate::instance::Instance;
use crate::placement::{self, Director, Group, LOWEST, Move, Reason, STEP, Seat, TOP, View};
use crate::time::Instant;
use crate::vrrp::OWNER_PRIORITY;

/// Changes within this time are looked at together: many routers may move at once.
const LOOK_PAUSE: Duration = Duration::from_millis(100);

/// What is known about who should serve what.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// When to look again.
    pub(super) look_at: Option<Instant>,
    /// One of our routers is spread.
    pub(super) spread_here: bool,
    /// Somebody says that one of its routers is.
    spread_elsewhere: bool,
    /// Priorities may be other than configured.
    followed: bool,
    /// Our routers' priorities before tracking, by their place among the directors; those that serve
    /// a spread router have [`TOP`] whatever this says.
    bases: BTreeMap<RouterKey, u8>,
    /// Whom groups that nobody serves are meant for.
    pub(super) homes: BTreeMap<RouterKey, NodeId>,
    /// Directors that take groups, and their capacities.
    takers: BTreeMap<NodeId, u32>,
    /// Since when these are the same.
    pub(super) steady_since: Instant,
    /// What changed then.
    change: String,
}

impl Engine {
    /// Whether anything but configured priorities decides, anywhere.
    pub(super) fn places_anything(&self) -> bool {
        let spread = self.places.spread_here || self.places.spread_elsewhere;
        self.roster.is_some() && (spread || self.moves.marks.any())
    }

    /// Something changed that placement may go by.
    pub(super) fn note_places(&mut self, now: Instant) {
        if self.places.look_at.is_none() && (self.places_anything() || !self.places.bases.is_empty()) {
            self.places.look_at = Some(now + LOOK_PAUSE);
        }
    }

    /// A member says something about a router.
    pub(super) fn note_place_of(&mut self, node: NodeId, key: &str) {
        let said = self.membership.peer(node).into_iter().flat_map(|p| p.routers.values()).map(Box::as_ref);
        let spread = |r: &RouterReport| r.place.as_ref().is_some_and(|p| p.spread);
        if !self.places.spread_elsewhere && key.starts_with(mesh_wire::mesh::gossip::ROUTER_PREFIX) {
            self.places.spread_elsewhere = said.into_iter().any(spread);
        }
    }

    /// Finds our routers' places anew, where something may have changed.
    pub(super) fn look_at_places(&mut self, now: Instant) {
        if self.places.look_at.is_none_or(|at| at > now) {
            return;
        }
        self.places.look_at = None;
        if !self.places_anything() {
            self.places.homes.clear();
            return self.places.bases.clear();
        }
        let view = self.view(now);
        self.note_takers(now, &view);
        let homes = placement::homes(&view);
        let me = self.setup.node;
        let base = |(id, group): (&RouterKey, &Group)| {
            let base = if group.spread {
                let place = placement::order(&view, *id, &homes).iter().position(|node| *node == me);
                placement::ladder(place.map_or(usize::MAX, |p| p.max(usize::from(group.owner.is_none()))), false)
            } else {
                placement::permuted(&view, *id, me)?
            };
            Some(group.routers.iter().map(move |key| (*key, base)).collect::<Vec<_>>())
        };
        let own = view.groups.iter().filter(|(_, g)| g.seats.contains_key(&me));
        self.places.bases = own.filter_map(base).flatten().collect();
        self.places.homes = homes;
        self.come_forward(now);
        self.moves.dispatch.plan_again(now);
    }

    /// Notes since when the same directors are there, and what changed.
    fn note_takers(&mut self, now: Instant, view: &View) {
        let takes = view.nodes.iter().filter(|(_, d)| d.drain != Drain::Draining);
        let takers: BTreeMap<NodeId, u32> = takes.map(|(id, d)| (*id, d.capacity)).collect();
        if takers == self.places.takers {
            return;
        }
        let before = std::mem::replace(&mut self.places.takers, takers);
        let takers = &self.places.takers;
        let came = takers.keys().find(|id| !before.contains_key(id)).map(|id| format!("{} joined", self.name_of(*id)));
        let left = before.keys().find(|id| !takers.contains_key(id)).map(|id| format!("{} left", self.name_of(*id)));
        let first = before.is_empty();
        self.places.change =
            if first { String::new() } else { came.or(left).unwrap_or("capacities changed".to_owned()) };
        self.places.steady_since = now;
    }

    /// Gives our routers the priorities of their places.
    pub(super) fn follow_places(&mut self, now: Instant) {
        let active = self.places_anything() || !self.places.bases.is_empty();
        if !std::mem::replace(&mut self.places.followed, active) && !active {
            return;
        }
        for key in self.keys() {
            let instance = &self.instances[&key];
            let base = self.base_of(instance);
            if instance.base != base {
                let rises = base > instance.base && instance.vrrp.is_active();
                self.instances.get_mut(&key).expect("keys are those of instances").base = base;
                self.evaluate(now, key);
                if rises {
                    // Whoever heard the first advert, with the lower priority, would wait no longer.
                    self.advertise(key, None);
                }
            }
        }
    }

    fn base_of(&self, instance: &Instance) -> u8 {
        let configured = instance.config.priority;
        if configured == OWNER_PRIORITY || self.roster.is_none() {
            return configured;
        }
        let base = self.places.bases.get(&instance.config.key).copied();
        if !self.config.spreads(&instance.config) {
            return base.unwrap_or(configured);
        }
        if instance.vrrp.is_active() { TOP } else { base.unwrap_or(TOP - STEP) }
    }

    /// The priority that tracking gives, from where the place begins and not from what is configured.
    pub(super) fn placed_priority(instance: &Instance, priority: u8) -> u8 {
        let configured = instance.config.priority;
        // 1 is as low as tracking goes, wherever it began.
        if instance.base == configured || priority == 1 || priority == OWNER_PRIORITY {
            return priority;
        }
        let placed = i16::from(instance.base) + i16::from(priority) - i16::from(configured);
        u8::try_from(placed.clamp(1, 254)).unwrap_or(LOWEST)
    }

    /// What this node tells of a router's place.
    pub(super) fn place_report(&self, instance: &Instance) -> PlaceReport {
        let config = &instance.config;
        let keys = |name: &str| self.config.routers_named(name).map(|r| r.key).collect::<Vec<_>>();
        let group = self.config.group_of(config);
        let members = |g: &mesh_config::model::SyncGroup| keys(&g.name).into_iter().min();
        PlaceReport {
            configured: config.priority,
            base: instance.base,
            spread: self.config.spreads(config) && config.priority != OWNER_PRIORITY,
            preempt: config.preempt,
            group: group.and_then(members),
            apart: config.keep_apart.iter().flat_map(|name| keys(name)).collect(),
        }
    }

    /// Whether this director is to be empty, or stops.
    pub(super) fn drains_here(&self) -> bool {
        self.stopping || self.moves.marks.drain(self.setup.node) == Drain::Draining
    }

    /// Who is there, and what they say.
    pub(super) fn view(&self, now: Instant) -> View {
        let nodes: BTreeMap<NodeId, Director> = self.directors().collect();
        let mut said: BTreeMap<RouterKey, Vec<Said>> = BTreeMap::new();
        for (key, instance) in self.instances.iter() {
            said.entry(*key).or_default().push(self.own_word(instance));
        }
        for (node, peer) in self.membership.peers().filter(|(id, _)| nodes.contains_key(id)) {
            for (key, report) in &peer.routers {
                said.entry(*key).or_default().push(Said::from(node, report));
            }
        }
        let group_of = |key: RouterKey, words: &[Said]| words.iter().find_map(|s| s.place.group).unwrap_or(key);
        let ids: BTreeMap<RouterKey, RouterKey> =
            said.iter().map(|(key, words)| (*key, group_of(*key, words))).collect();
        let mut groups: BTreeMap<RouterKey, Vec<(RouterKey, Vec<Said>)>> = BTreeMap::new();
        for (key, words) in said {
            groups.entry(ids[&key]).or_default().push((key, words));
        }
        let build = |(id, routers): (RouterKey, Vec<(RouterKey, Vec<Said>)>)| (id, self.group(now, id, &routers, &ids));
        View { groups: groups.into_iter().map(build).collect(), nodes }
    }

    fn directors(&self) -> impl Iterator<Item = (NodeId, Director)> + '_ {
        let members = self.roster.iter().flat_map(|r| &r.members).filter(|m| m.role == Role::Director);
        members.filter_map(|member| {
            let mark = self.moves.marks.drain(member.id);
            let stops = |stops: bool| if stops && mark != Drain::Draining { Drain::Draining } else { mark };
            if member.id == self.setup.node {
                let capacity = self.config.mesh.placement.capacity;
                return Some((member.id, Director { capacity, drain: stops(self.stopping) }));
            }
            let peer = self.membership.peer(member.id).filter(|p| p.connected)?;
            let report = peer.report.as_ref()?;
            Some((
                member.id,
                Director { capacity: report.capacity, drain: stops(report.draining && mark == Drain::No) },
            ))
        })
    }

    fn group(
        &self,
        now: Instant,
        id: RouterKey,
        routers: &[(RouterKey, Vec<Said>)],
        ids: &BTreeMap<RouterKey, RouterKey>,
    ) -> Group {
        let words = || routers.iter().flat_map(|(_, words)| words);
        let seat = |node: NodeId| {
            let mut own: Vec<&Said> = words().filter(|s| s.node == node).collect();
            own.sort_by_key(|s| s.tracked);
            let worst = own.first().filter(|_| own.len() == routers.len())?;
            let refused = self.moves.dispatch.is_refused(now, id, node);
            Some((node, Seat { configured: worst.place.configured, tracked: worst.tracked, refused }))
        };
        let nodes: std::collections::BTreeSet<NodeId> = words().map(|s| s.node).collect();
        let first = routers.first();
        Group {
            routers: routers.iter().map(|(key, _)| *key).collect(),
            seats: nodes.into_iter().filter_map(seat).collect(),
            owner: first.and_then(|(key, words)| self.owner(now, *key, words)),
            spread: words().any(|s| s.place.spread),
            preempt: words().all(|s| s.place.preempt),
            pin: self.moves.marks.pin(&id),
            apart: words().flat_map(|s| &s.place.apart).map(|key| ids.get(key).copied().unwrap_or(*key)).collect(),
        }
    }

    /// Who serves a router: this node, or the holder of our own grant that says so, or the highest epoch.
    fn owner(&self, now: Instant, key: RouterKey, words: &[Said]) -> Option<NodeId> {
        let serving = || words.iter().filter(|s| s.active);
        let me = self.setup.node;
        let holder = self.voter.holder(now, &key).map(|h| h.owner);
        let certain = serving().map(|s| s.node).find(|node| *node == me || Some(*node) == holder);
        certain.or_else(|| serving().max_by_key(|s| (s.epoch, s.node)).map(|s| s.node))
    }

    fn own_word(&self, instance: &Instance) -> Said {
        let place = self.place_report(instance);
        Said {
            node: self.setup.node,
            tracked: tracked(instance.shown_priority(), place.base),
            place,
            active: instance.vrrp.is_active(),
            epoch: instance.held_epoch(),
        }
    }

    /// Names of routers, as this node or another one calls them.
    pub(super) fn router_names(&self, keys: &[RouterKey]) -> Vec<String> {
        let name = |key: &RouterKey| {
            let own = self.instances.get(key).map(|i| i.config.name.clone());
            let said = || self.membership.reports(key).next().map(|(_, _, r)| r.name.clone());
            own.or_else(said).unwrap_or_else(|| key.to_string())
        };
        keys.iter().map(name).collect()
    }

    /// Why something moves, in words.
    pub(super) fn because(&self, wanted: &Move) -> String {
        match wanted.reason {
            Reason::Drained => format!("{} is drained", self.name_of(wanted.from)),
            Reason::Pinned => "moved by operator".to_owned(),
            Reason::Returns => format!("{} is back from its drain", self.name_of(wanted.to)),
            Reason::Apart(other) => format!("kept apart from {}", self.router_names(&[other]).join("")),
            Reason::Balance if self.places.change.is_empty() => "rebalanced".to_owned(),
            Reason::Balance => format!("rebalanced after {}", self.places.change),
        }
    }
}

/// What one director says about one router.
struct Said {
    node: NodeId,
    place: PlaceReport,
    tracked: Option<i16>,
    active: bool,
    epoch: u64,
}

impl Said {
    fn from(node: NodeId, report: &RouterReport) -> Said {
        // Of an earlier version: as it is configured, as far as anybody can tell.
        let plain = || PlaceReport {
            configured: report.priority,
            base: report.priority,
            spread: false,
            preempt: true,
            group: None,
            apart: Vec::new(),
        };
        let place = report.place.clone().unwrap_or_else(plain);
        let priority = if report.state == RouterState::Fault { 0 } else { report.priority };
        Said {
            node,
            tracked: tracked(priority, place.base),
            place,
            active: report.state == RouterState::Active,
            epoch: report.epoch,
        }
    }
}

/// What tracking adds to a priority; `None` in fault.
fn tracked(priority: u8, base: u8) -> Option<i16> {
    (priority > 0).then(|| i16::from(priority) - i16::from(base))
}
