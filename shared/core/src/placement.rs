//! Which director serves what, as a function of what is seen: equal views give equal answers.
//!
//! A *group* is a sync group, or a router that is in none. Who serves a group keeps it: nothing here
//! moves what is well where it is. The others follow in the [`order`] of their successors, by
//! weighted rendezvous hashing where the group is spread, by configured priorities elsewhere. What
//! has to move, and what should for balance, is one [`Move`] after another ([`next_move`]), so that a
//! plan ([`plan`]) is what happens when nothing else does.
//!
//! Balance is exact: of two directors that could serve the same groups none has two more than its
//! share compared with the other. So a director that comes gets its share and nothing else moves, and
//! what a director leaves behind goes to the others by the hash, which is nearly even.

mod hash;
mod moves;

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use mesh_wire::mesh::gossip::Drain;
use mesh_wire::mesh::{NodeId, RouterKey};

pub use self::moves::{Move, Plan, Reason, Stuck, next_move, plan};

/// Priority of whoever serves a spread router, before tracking.
pub const TOP: u8 = 200;

/// Between two places in the order. Tracked weights of more than that make the next one take over.
pub const STEP: u8 = 4;

/// Priority of all that come after the 24th place.
pub const LOWEST: u8 = 104;

/// All that placement goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Directors that are there.
    pub nodes: BTreeMap<NodeId, Director>,
    /// Groups by their first router.
    pub groups: BTreeMap<RouterKey, Group>,
}

/// A director.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Director {
    /// Its share, beside the others'.
    pub capacity: u32,
    /// What the operator wants of it; [`Drain::Draining`] also while it stops.
    pub drain: Drain,
}

/// Routers that go together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// All of them.
    pub routers: Vec<RouterKey>,
    /// Directors that have it in their configuration.
    pub seats: BTreeMap<NodeId, Seat>,
    /// Who serves it.
    pub owner: Option<NodeId>,
    /// Whether the mesh places it; otherwise configured priorities do.
    pub spread: bool,
    /// Whether it goes back to a worthier director that returns.
    pub preempt: bool,
    /// Where the operator wants it.
    pub pin: Option<NodeId>,
    /// Groups it should not share a director with.
    pub apart: BTreeSet<RouterKey>,
}

/// A group on one director.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The priority its operator wrote.
    pub configured: u8,
    /// What tracking adds to or takes from its priority; `None` in fault.
    pub tracked: Option<i16>,
    /// Nothing goes there by plan for now: it was tried and failed.
    pub refused: bool,
}

impl View {
    /// Directors that are there and have the group, in fault or not.
    fn seats<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = (NodeId, &'a Seat, &'a Director)> {
        group.seats.iter().filter_map(|(id, seat)| Some((*id, seat, self.nodes.get(id)?)))
    }

    /// Whether the group could serve on this director, and would not be taken from it at once by one that
    /// tracking likes better.
    pub fn is_fit(&self, group: &Group, node: NodeId) -> bool {
        let best = self.seats(group).filter(|(_, _, d)| d.drain != Drain::Draining).filter_map(|(_, s, _)| s.tracked);
        let best = best.max();
        group.seats.get(&node).is_some_and(|s| s.tracked.is_some() && s.tracked >= best)
    }

    /// What was refused a moment ago may go a moment later.
    pub fn forget_refusals(&mut self) {
        self.groups.values_mut().for_each(|g| g.seats.values_mut().for_each(|s| s.refused = false));
    }

    /// Directors that may get the group by plan.
    fn takers<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = NodeId> + 'a {
        let seats = self.seats(group).filter(|(_, s, d)| d.drain != Drain::Draining && !s.refused);
        seats.map(|(id, ..)| id).filter(|id| self.is_fit(group, *id))
    }

    /// Where the operator's pin or else configured priorities would have a group, of those that can take it.
    pub fn worthiest(&self, id: RouterKey) -> Option<NodeId> {
        let group = self.groups.get(&id)?;
        let place = |node: &NodeId| (group.pin == Some(*node), group.seats[node].configured, Reverse(*node));
        self.takers(group).max_by_key(place)
    }

    /// Whether serving this group there would put it together with what it is kept apart from.
    fn conflicts(&self, id: RouterKey, group: &Group, node: NodeId) -> bool {
        let there = |other: &RouterKey| self.groups.get(other).is_some_and(|g| g.owner == Some(node));
        let named = group.apart.iter().filter(|other| **other != id).any(there);
        named || self.groups.iter().any(|(key, g)| *key != id && g.apart.contains(&id) && g.owner == Some(node))
    }
}

/// All directors that have a group, the owner first, then the others as they shall follow. Who is
/// being emptied is last, unless it still serves; `homes` are those of [`homes`].
pub fn order(view: &View, id: RouterKey, homes: &BTreeMap<RouterKey, NodeId>) -> Vec<NodeId> {
    let Some(group) = view.groups.get(&id) else { return Vec::new() };
    let first = group.owner.or_else(|| homes.get(&id).copied());
    let place = |(node, seat, director): &(NodeId, &Seat, &Director)| {
        let owns = group.owner == Some(*node);
        let leaves = director.drain != Drain::No && !owns;
        let pinned = group.pin == Some(*node);
        if group.spread {
            let home = first == Some(*node);
            let conflict = view.conflicts(id, group, *node);
            let score = hash::distance(*node, id, director.capacity);
            (!owns, leaves, !pinned, !home, conflict, score, *node)
        } else {
            (false, leaves, !pinned, false, false, u128::from(u8::MAX - seat.configured), *node)
        }
    };
    let mut seats: Vec<_> = view.seats(group).collect();
    seats.sort_by_key(place);
    seats.into_iter().map(|(node, ..)| node).collect()
}

/// Whom groups without an owner should go to, each as if those before it had gone already.
pub fn homes(view: &View) -> BTreeMap<RouterKey, NodeId> {
    let vacant: Vec<RouterKey> =
        view.groups.iter().filter(|(_, g)| g.spread && g.owner.is_none()).map(|(id, _)| *id).collect();
    let mut homes = BTreeMap::new();
    if vacant.is_empty() {
        return homes;
    }
    let mut view = view.clone();
    let mut loads = moves::loads(&view);
    for id in vacant {
        if let Some(node) = moves::target(&view, &loads, id, None) {
            view.groups.get_mut(&id).expect("it is one of the view's").owner = Some(node);
            *loads.entry(node).or_default() += 1;
            homes.insert(id, node);
        }
    }
    // Of many that begin together none has to move afterwards.
    while let Some(even) = moves::balance(&view, &loads).filter(|m| homes.contains_key(&m.group)) {
        view.groups.get_mut(&even.group).expect("it is one of the view's").owner = Some(even.to);
        homes.insert(even.group, even.to);
        loads = moves::loads(&view);
    }
    homes
}

/// The priority, before tracking, of the one at this place of a spread group: the first only while
/// it serves.
pub fn ladder(place: usize, serves: bool) -> u8 {
    if serves {
        return TOP;
    }
    let below = u8::try_from(place.max(1)).ok().and_then(|place| place.checked_mul(STEP));
    below.map_or(LOWEST, |below| TOP.saturating_sub(below).max(LOWEST))
}

/// The priority, before tracking, of one director in a group where configured priorities decide: its
/// own, unless the operator moved something. Then the directors in their order have the configured
/// priorities, the highest first. Who owns the addresses (255) always serves.
pub fn permuted(view: &View, id: RouterKey, node: NodeId) -> Option<u8> {
    let group = view.groups.get(&id)?;
    let configured = group.seats.get(&node)?.configured;
    let moved = group.pin.is_some_and(|pin| view.nodes.contains_key(&pin) && group.seats.contains_key(&pin))
        || view.seats(group).any(|(_, _, d)| d.drain != Drain::No);
    let mut priorities: Vec<u8> = view.seats(group).map(|(_, s, _)| s.configured).collect();
    if !moved || priorities.contains(&crate::vrrp::OWNER_PRIORITY) {
        return Some(configured);
    }
    priorities.sort_unstable_by_key(|p| Reverse(*p));
    let place = order(view, id, &BTreeMap::new()).iter().position(|n| *n == node)?;
    priorities.get(place).copied()
}
