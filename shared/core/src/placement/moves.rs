//! What moves next, and why.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use mesh_wire::mesh::gossip::Drain;
use mesh_wire::mesh::{NodeId, RouterKey};

use super::{Group, View, hash};

/// Moves of one plan, at most: as many as there can be routers.
const LONGEST_PLAN: usize = 4096;

/// One planned move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The group.
    pub group: RouterKey,
    /// Who serves it.
    pub from: NodeId,
    /// Who shall.
    pub to: NodeId,
    /// Why.
    pub reason: Reason,
}

/// Why something moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// Its director is to be empty.
    Drained,
    /// The operator wants it elsewhere.
    Pinned,
    /// Its director is back after a drain.
    Returns,
    /// It is with a group that it is kept apart from.
    Apart(RouterKey),
    /// Another director has less than its share.
    Balance,
}

impl Reason {
    /// Whether somebody asked for it. What does not have to be waits until the view is steady.
    pub fn is_ordered(self) -> bool {
        matches!(self, Reason::Drained | Reason::Pinned | Reason::Returns)
    }
}

/// All that would move, in order, and what cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// One after another.
    pub moves: Vec<Move>,
    /// What stays on a director that is to be empty.
    pub stuck: Vec<Stuck>,
}

/// A group that should leave its director and cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stuck {
    /// The group.
    pub group: RouterKey,
    /// Who serves it.
    pub on: NodeId,
    /// The addresses are that host's own: nobody else is ever to serve them.
    pub owned: bool,
}

/// Everything that would happen if nothing else did.
pub fn plan(view: &View) -> Plan {
    let mut view = view.clone();
    let mut moves = Vec::new();
    while let Some(next) = next_move(&view).filter(|_| moves.len() < LONGEST_PLAN) {
        view.groups.get_mut(&next.group).expect("it is one of the view's").owner = Some(next.to);
        moves.push(next);
    }
    let leaves = |node: &NodeId| view.nodes.get(node).is_some_and(|d| d.drain == Drain::Draining);
    let stuck = view.groups.iter().filter_map(|(id, group)| {
        let on = group.owner.filter(leaves)?;
        Some(Stuck { group: *id, on, owned: owns_addresses(group, on) })
    });
    Plan { moves, stuck: stuck.collect() }
}

/// The next move that is wanted.
pub fn next_move(view: &View) -> Option<Move> {
    let loads = loads(view);
    let asked = drained(view, &loads).or_else(|| pinned(view)).or_else(|| returns(view));
    asked.or_else(|| apart(view, &loads)).or_else(|| balance(view, &loads))
}

/// How many groups each director serves.
pub(super) fn loads(view: &View) -> BTreeMap<NodeId, u32> {
    let mut loads: BTreeMap<NodeId, u32> = view.nodes.keys().map(|id| (*id, 0)).collect();
    for owner in view.groups.values().filter_map(|g| g.owner) {
        *loads.entry(owner).or_default() += 1;
    }
    loads
}

/// Whom a group should go to from where it is.
pub(super) fn target(
    view: &View,
    loads: &BTreeMap<NodeId, u32>,
    id: RouterKey,
    from: Option<NodeId>,
) -> Option<NodeId> {
    let group = &view.groups[&id];
    let takers: Vec<NodeId> = view.takers(group).filter(|node| Some(*node) != from).collect();
    if let Some(pin) = group.pin.filter(|pin| takers.contains(pin)) {
        return Some(pin);
    }
    if !group.spread {
        return takers.into_iter().max_by_key(|node| (group.seats[node].configured, Reverse(*node)));
    }
    let takes = |d: &super::Director| d.drain != Drain::Draining;
    let total: u64 = view.nodes.values().filter(|d| takes(d)).map(|d| u64::from(d.capacity)).sum();
    let groups = view.groups.len() as u64;
    // Above its share only where all are.
    let full = |node: &NodeId| {
        let capacity = u64::from(view.nodes[node].capacity);
        u64::from(loads[node]) * total.max(1) >= (groups * capacity).next_multiple_of(total.max(1))
    };
    takers.into_iter().min_by_key(|node| {
        (view.conflicts(id, group, *node), full(node), hash::distance(*node, id, view.nodes[node].capacity))
    })
}

fn drained(view: &View, loads: &BTreeMap<NodeId, u32>) -> Option<Move> {
    view.groups.iter().find_map(|(id, group)| {
        let from = group.owner.filter(|o| view.nodes.get(o).is_some_and(|d| d.drain == Drain::Draining))?;
        let to = target(view, loads, *id, Some(from)).filter(|_| !owns_addresses(group, from))?;
        Some(Move { group: *id, from, to, reason: Reason::Drained })
    })
}

/// Where configured priorities decide, VRRP brings back what the operator moved.
fn pinned(view: &View) -> Option<Move> {
    view.groups.iter().filter(|(_, g)| g.spread).find_map(|(id, group)| {
        let (from, to) = (group.owner?, group.pin?);
        let fit = from != to && view.takers(group).any(|node| node == to);
        fit.then_some(Move { group: *id, from, to, reason: Reason::Pinned })
    })
}

/// VRRP would bring it back, too, once the drain is forgotten: that takes seconds, and no plan would tell.
fn returns(view: &View) -> Option<Move> {
    view.groups.iter().filter(|(_, g)| !g.spread && g.preempt && !stays(g)).find_map(|(id, group)| {
        let from = group.owner?;
        let worthiest = view.worthiest(*id)?;
        let returns = view.nodes[&worthiest].drain == Drain::Returning && worthiest != from;
        let worthier = group.seats.get(&from).is_none_or(|s| s.configured < group.seats[&worthiest].configured);
        (returns && (worthier || group.pin == Some(worthiest))).then_some(Move {
            group: *id,
            from,
            to: worthiest,
            reason: Reason::Returns,
        })
    })
}

/// Of two groups that should be apart the later one moves, if there is anywhere to go.
fn apart(view: &View, loads: &BTreeMap<NodeId, u32>) -> Option<Move> {
    view.groups.iter().rev().filter(|(_, g)| is_movable(g)).find_map(|(id, group)| {
        let from = group.owner?;
        let with = |(other, g): &(&RouterKey, &Group)| {
            *other != id && g.owner == Some(from) && (g.apart.contains(id) || group.apart.contains(other))
        };
        let (other, _) = view.groups.iter().find(with)?;
        let to = target(view, loads, *id, Some(from)).filter(|to| !view.conflicts(*id, group, *to))?;
        Some(Move { group: *id, from, to, reason: Reason::Apart(*other) })
    })
}

/// From the fullest director that can give to the emptiest that can take, if that leaves the first no
/// emptier than the second: of what can go, what belongs there most.
pub(super) fn balance(view: &View, loads: &BTreeMap<NodeId, u32>) -> Option<Move> {
    let takers = view.nodes.iter().filter(|(_, d)| d.drain != Drain::Draining);
    let mut by_load: Vec<(NodeId, u32, u32)> = takers.map(|(id, d)| (*id, loads[id], d.capacity)).collect();
    by_load.sort_by(|a, b| share(a.1, a.2, b.1, b.2).then(a.0.cmp(&b.0)));
    for (from, had, its) in by_load.iter().rev().filter(|(_, had, _)| *had > 0) {
        for (to, has, theirs) in &by_load {
            let evens = from != to && share(had - 1, *its, has + 1, *theirs) != Ordering::Less;
            if !evens {
                break;
            }
            let can_go = |(id, g): &(&RouterKey, &Group)| {
                is_movable(g)
                    && g.owner == Some(*from)
                    && view.takers(g).any(|node| node == *to)
                    && !view.conflicts(**id, g, *to)
            };
            let nearest = |(id, _): &(&RouterKey, &Group)| hash::distance(*to, **id, *theirs);
            if let Some((id, _)) = view.groups.iter().filter(can_go).min_by_key(nearest) {
                return Some(Move { group: *id, from: *from, to: *to, reason: Reason::Balance });
            }
        }
    }
    None
}

/// Compares loads by capacity.
fn share(load: u32, capacity: u32, other: u32, others: u32) -> Ordering {
    (u64::from(load) * u64::from(others)).cmp(&(u64::from(other) * u64::from(capacity)))
}

fn is_movable(group: &Group) -> bool {
    group.spread && !stays(group)
}

/// It is where the operator wants it.
fn stays(group: &Group) -> bool {
    group.pin.is_some() && group.pin == group.owner
}

/// Priority 255: the host's own addresses.
fn owns_addresses(group: &Group, node: NodeId) -> bool {
    group.seats.get(&node).is_some_and(|s| s.configured == crate::vrrp::OWNER_PRIORITY)
}
