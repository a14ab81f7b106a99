//! The figures placement promises, and any views.

use proptest::prelude::*;

use super::*;
use crate::fixture::key;

/// Directors 1 to `n` of equal capacity.
fn directors(n: u64) -> BTreeMap<NodeId, Director> {
    (1..=n).map(|id| (NodeId(id), Director { capacity: 100, drain: Drain::No })).collect()
}

fn seat(configured: u8) -> Seat {
    Seat { configured, tracked: Some(0), refused: false }
}

/// A router that all have.
fn group(id: RouterKey, nodes: u64, spread: bool) -> Group {
    let seats = (1..=nodes).map(|n| (NodeId(n), seat((250 - 50 * n.min(4)) as u8))).collect();
    Group { routers: vec![id], seats, owner: None, spread, preempt: true, pin: None, apart: BTreeSet::new() }
}

/// `groups` of them, spread over `nodes`, that nobody serves yet.
fn spread(groups: u8, nodes: u64) -> View {
    let groups = (1..=groups).map(|n| (key(n), group(key(n), nodes, true))).collect();
    View { nodes: directors(nodes), groups }
}

/// Everything with the owner it should begin with.
fn started(mut view: View) -> View {
    for (id, node) in homes(&view) {
        view.groups.get_mut(&id).unwrap().owner = Some(node);
    }
    view
}

fn owners(view: &View) -> Vec<Option<NodeId>> {
    view.groups.values().map(|g| g.owner).collect()
}

fn moved(a: &View, b: &View) -> usize {
    owners(a).into_iter().zip(owners(b)).filter(|(a, b)| a != b).count()
}

fn carry_out(view: &View) -> (View, Vec<Move>) {
    let (mut view, moves) = (view.clone(), plan(view).moves);
    for step in &moves {
        view.groups.get_mut(&step.group).unwrap().owner = Some(step.to);
    }
    (view, moves)
}

/// What happens to the groups of a director that dies: the next in their order serve them.
fn lose(view: &View, node: NodeId) -> View {
    let mut view = view.clone();
    let orders: Vec<_> = view.groups.keys().map(|id| (*id, order(&view, *id, &BTreeMap::new()))).collect();
    view.nodes.remove(&node);
    for (id, order) in orders {
        let group = view.groups.get_mut(&id).unwrap();
        if group.owner == Some(node) {
            group.owner = order.into_iter().find(|next| *next != node);
        }
    }
    view
}

/// How much more than the mean the fullest has, in thousandths.
fn imbalance(view: &View) -> u64 {
    let most = u64::from(*moves::loads(view).values().max().unwrap());
    (most * view.nodes.len() as u64 * 1000 / view.groups.len() as u64).saturating_sub(1000)
}

#[test]
fn two_hundred_groups_on_five_directors_are_even_from_the_beginning() {
    let view = started(spread(200, 5));
    assert_eq!(moves::loads(&view).into_values().collect::<Vec<_>>(), [40; 5]);
    assert_eq!(plan(&view), Plan::default());
}

#[test]
fn a_director_that_joins_gets_its_share_and_nothing_else_moves() {
    for nodes in 1..=12 {
        let before = started(View { nodes: directors(nodes), ..spread(200, nodes + 1) });
        let joined = View { nodes: directors(nodes + 1), ..before.clone() };
        let (after, steps) = carry_out(&joined);
        assert!(steps.iter().all(|s| s.to == NodeId(nodes + 1) && s.reason == Reason::Balance), "{nodes}: {steps:?}");
        assert_eq!(moved(&before, &after), 200 / (nodes as usize + 1), "{nodes}: one of N");
        assert!(imbalance(&after) <= 100, "{nodes}: {}", imbalance(&after));
    }
}

#[test]
fn a_loss_moves_what_was_there_and_hardly_anything_else() {
    for nodes in 3..=12 {
        let before = started(spread(200, nodes));
        for lost in 1..=nodes {
            let own = moves::loads(&before)[&NodeId(lost)] as usize;
            let without = lose(&before, NodeId(lost));
            assert_eq!(moved(&before, &without), own);
            let (after, steps) = carry_out(&without);
            assert!(steps.len() <= 200 / nodes as usize, "{nodes} without {lost}: {}", steps.len());
            assert!(imbalance(&after) <= 100, "{nodes} without {lost}");
            let back = View { nodes: directors(nodes), ..after.clone() };
            let (again, steps) = carry_out(&back);
            assert!(steps.iter().all(|s| s.to == NodeId(lost)), "it gets its share again");
            assert!(steps.len() <= 200 / nodes as usize && imbalance(&again) <= 100);
        }
    }
}

#[test]
fn capacities_are_shares() {
    let mut view = spread(200, 5);
    view.nodes.get_mut(&NodeId(1)).unwrap().capacity = 200;
    view.nodes.get_mut(&NodeId(2)).unwrap().capacity = 50;
    let loads = |view: &View| moves::loads(view).into_values().collect::<Vec<_>>();
    let view = started(view);
    let (after, _) = carry_out(&view);
    for (load, share) in loads(&after).into_iter().zip([72.7, 18.2, 36.4, 36.4, 36.4]) {
        assert!((f64::from(load) - share).abs() < 1.5, "{:?}", loads(&after));
    }
}

#[test]
fn what_is_kept_apart_is_apart_where_there_is_room() {
    let mut view = spread(8, 3);
    for (a, b) in [(1, 2), (2, 3), (1, 3), (4, 5)] {
        view.groups.get_mut(&key(a)).unwrap().apart.insert(key(b));
    }
    let placed = started(view.clone());
    let on = |view: &View, n| view.groups[&key(n)].owner.unwrap();
    let apart = |view: &View, a, b| on(view, a) != on(view, b);
    assert!(apart(&placed, 1, 2) && apart(&placed, 2, 3) && apart(&placed, 1, 3) && apart(&placed, 4, 5));
    view.groups.values_mut().for_each(|g| g.owner = Some(NodeId(1)));
    let (after, steps) = carry_out(&view);
    assert!(apart(&after, 1, 2) && apart(&after, 2, 3) && apart(&after, 1, 3) && apart(&after, 4, 5));
    assert_eq!(steps[0].reason, Reason::Apart(key(4)), "{steps:?}");
    // Nowhere else to be: together rather than nowhere.
    view.nodes.retain(|id, _| *id == NodeId(1));
    assert_eq!(plan(&view), Plan::default());
}

#[test]
fn a_drain_empties_and_says_what_cannot_go() {
    let mut view = started(spread(20, 3));
    view.groups.insert(key(30), Group { owner: Some(NodeId(1)), ..group(key(30), 3, false) });
    let mut alone = Group { owner: Some(NodeId(1)), ..group(key(31), 1, false) };
    view.groups.insert(key(31), alone.clone());
    alone.seats = [(NodeId(1), seat(255)), (NodeId(2), seat(100))].into();
    view.groups.insert(key(32), alone);
    view.nodes.get_mut(&NodeId(1)).unwrap().drain = Drain::Draining;
    let (after, steps) = carry_out(&view);
    let ordered = steps.iter().take_while(|s| s.reason == Reason::Drained).count();
    assert!(ordered >= 7 && steps[..ordered].iter().all(|s| s.from == NodeId(1)), "{steps:?}");
    assert_eq!(after.groups[&key(30)].owner, Some(NodeId(2)), "the next by its priority");
    let stuck = |n, owned| Stuck { group: key(n), on: NodeId(1), owned };
    assert_eq!(plan(&view).stuck, [stuck(31, false), stuck(32, true)]);
    assert_eq!(plan(&after).moves, [], "and nothing goes on moving");
}

#[test]
fn what_a_drain_took_comes_back_where_priorities_decide() {
    let mut view = View { nodes: directors(3), ..View::default() };
    view.groups.insert(key(1), Group { owner: Some(NodeId(2)), ..group(key(1), 3, false) });
    view.groups.insert(key(2), Group { owner: Some(NodeId(2)), preempt: false, ..group(key(2), 3, false) });
    assert_eq!(plan(&view).moves, [], "VRRP does that by itself");
    view.nodes.get_mut(&NodeId(1)).unwrap().drain = Drain::Returning;
    let back = Move { group: key(1), from: NodeId(2), to: NodeId(1), reason: Reason::Returns };
    assert_eq!(plan(&view).moves, [back]);
}

#[test]
fn what_a_drain_took_comes_back_to_its_pin() {
    let mut view = View { nodes: directors(3), ..View::default() };
    view.groups.insert(key(1), Group { owner: Some(NodeId(1)), pin: Some(NodeId(3)), ..group(key(1), 3, false) });
    let returning = |node| {
        let mut view = view.clone();
        view.nodes.get_mut(&NodeId(node)).unwrap().drain = Drain::Returning;
        view
    };
    let back = Move { group: key(1), from: NodeId(1), to: NodeId(3), reason: Reason::Returns };
    assert_eq!(plan(&returning(3)).moves, [back], "whose priority is the lowest");
    let changed = |node, change: fn(&mut Group)| {
        let mut view = returning(node);
        change(view.groups.get_mut(&key(1)).unwrap());
        plan(&view).moves
    };
    assert_eq!(changed(3, |g| g.preempt = false), []);
    assert_eq!(changed(1, |g| g.owner = Some(NodeId(2))), [], "its pin is there: that gets it, by VRRP");
    assert_eq!(changed(1, |g| g.owner = Some(NodeId(3))), [], "it is where it shall be");
    // A pin that cannot serve keeps nothing away.
    let instead = Move { group: key(1), from: NodeId(2), to: NodeId(1), reason: Reason::Returns };
    let without = |g: &mut Group| {
        g.owner = Some(NodeId(2));
        g.seats.get_mut(&NodeId(3)).unwrap().tracked = None;
    };
    assert_eq!(changed(1, without), [instead]);
    // Not even for a moment from its pin, whatever was tried there before.
    let refused = |g: &mut Group| {
        g.owner = Some(NodeId(3));
        g.seats.get_mut(&NodeId(3)).unwrap().refused = true;
    };
    assert_eq!(changed(1, refused), []);
}

#[test]
fn a_pin_gives_the_highest_priority_and_moves_the_others_down() {
    let mut view = View { nodes: directors(3), ..View::default() };
    view.groups.insert(key(1), Group { owner: Some(NodeId(1)), ..group(key(1), 3, false) });
    let priorities = |view: &View| [1, 2, 3].map(|n| permuted(view, key(1), NodeId(n)).unwrap());
    assert_eq!(priorities(&view), [200, 150, 100]);
    view.groups.get_mut(&key(1)).unwrap().pin = Some(NodeId(3));
    assert_eq!(priorities(&view), [150, 100, 200]);
    view.groups.get_mut(&key(1)).unwrap().pin = Some(NodeId(9));
    assert_eq!(priorities(&view), [200, 150, 100], "nobody is there");
    // Who is being emptied has the lowest, but not as long as it serves.
    view.nodes.get_mut(&NodeId(1)).unwrap().drain = Drain::Draining;
    view.groups.get_mut(&key(1)).unwrap().pin = None;
    assert_eq!(priorities(&view), [200, 150, 100]);
    view.groups.get_mut(&key(1)).unwrap().owner = Some(NodeId(2));
    assert_eq!(priorities(&view), [100, 200, 150]);
    view.groups.get_mut(&key(1)).unwrap().seats.insert(NodeId(1), seat(255));
    assert_eq!(priorities(&view), [255, 150, 100], "the owner of the addresses stays it");
}

#[test]
fn the_band_is_as_documented() {
    assert_eq!(
        [(0, true), (3, true), (0, false), (1, false), (2, false)].map(|(p, s)| ladder(p, s)),
        [200, 200, 196, 196, 192]
    );
    assert_eq!([23, 24, 25, 64, 1000, usize::MAX].map(|p| ladder(p, false)), [108, 104, 104, 104, 104, 104]);
}

#[test]
fn a_pinned_group_stays_and_goes_back_when_its_director_does() {
    let mut view = started(spread(6, 3));
    let pinned = view.groups.get_mut(&key(1)).unwrap();
    let away = if pinned.owner == Some(NodeId(3)) { NodeId(2) } else { NodeId(3) };
    let from = pinned.owner.unwrap();
    pinned.pin = Some(away);
    let (after, steps) = carry_out(&view);
    assert_eq!(steps[0], Move { group: key(1), from, to: away, reason: Reason::Pinned });
    assert_eq!(after.groups[&key(1)].owner, Some(away), "balance takes something else");
    assert_eq!(order(&lose(&after, away), key(1), &BTreeMap::new()).len(), 2);
}

fn views() -> impl Strategy<Value = View> {
    let drain = || prop_oneof![8 => Just(Drain::No), 1 => Just(Drain::Draining), 1 => Just(Drain::Returning)];
    let node = (prop_oneof![3 => Just(100u32), 1 => 1..400u32], drain());
    let seat = (
        1..=255u8,
        prop_oneof![6 => Just(Some(0i16)), 1 => Just(None), 1 => Just(Some(-20i16))],
        prop::bool::weighted(0.05),
    );
    let one = (
        prop::collection::btree_map(1..7u64, seat, 0..6),
        prop::option::weighted(0.8, 1..7u64),
        any::<bool>(),
        any::<bool>(),
        prop::option::weighted(0.2, 1..7u64),
        prop::collection::btree_set(1..12u8, 0..2),
    );
    let groups = prop::collection::btree_map(1..12u8, one, 0..11);
    (prop::collection::btree_map(1..7u64, node, 1..6), groups).prop_map(|(nodes, groups)| {
        type Drawn = (BTreeMap<u64, (u8, Option<i16>, bool)>, Option<u64>, bool, bool, Option<u64>, BTreeSet<u8>);
        let group = |(n, (seats, owner, spread, preempt, pin, apart)): (u8, Drawn)| {
            let seat = |(id, (configured, tracked, refused))| (NodeId(id), Seat { configured, tracked, refused });
            let group = Group {
                routers: vec![key(n)],
                owner: owner.filter(|id| nodes.contains_key(id) && seats.contains_key(id)).map(NodeId),
                seats: seats.into_iter().map(seat).collect(),
                spread,
                preempt,
                pin: pin.map(NodeId),
                apart: apart.into_iter().map(key).collect(),
            };
            (key(n), group)
        };
        let groups = groups.into_iter().map(group).collect();
        let director = |(id, (capacity, drain)): (&u64, &(u32, Drain))| {
            (NodeId(*id), Director { capacity: *capacity, drain: *drain })
        };
        View { nodes: nodes.iter().map(director).collect(), groups }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 50, ..ProptestConfig::default() })]

    /// Whatever identities directors have, and whoever comes and goes in which order: a join or a loss moves at most
    /// one of N of the groups, and those of who is lost, and the fullest director has at most a tenth more than the
    /// mean.
    #[test]
    fn a_join_or_a_loss_moves_one_of_n_at_most(
        ids in prop::collection::btree_set(any::<u64>().prop_map(NodeId), 12),
        changes in prop::collection::vec(0..12usize, 1..8),
    ) {
        let ids: Vec<NodeId> = ids.into_iter().collect();
        let usual = Director { capacity: 100, drain: Drain::No };
        let seats: BTreeMap<NodeId, Seat> = ids.iter().map(|id| (*id, seat(100))).collect();
        let group = |n| (key(n), Group { seats: seats.clone(), ..group(key(n), 0, true) });
        let nodes = ids[..5].iter().map(|id| (*id, usual)).collect();
        let mut view = started(View { nodes, groups: (1..=200).map(group).collect() });
        prop_assert_eq!((imbalance(&view), plan(&view).moves.len()), (0, 0), "40 each, from the beginning");
        for node in changes.into_iter().map(|n| ids[n]) {
            let before = view.clone();
            let gone = view.nodes.contains_key(&node);
            if gone && view.nodes.len() < 3 {
                continue;
            }
            let own = moves::loads(&view).get(&node).map_or(0, |own| *own as usize);
            if gone {
                view = lose(&view, node);
            } else {
                view.nodes.insert(node, usual);
            }
            let (after, steps) = carry_out(&view);
            let most = 200 / before.nodes.len().max(view.nodes.len());
            prop_assert!(steps.len() <= most, "{} planned, with {} directors", steps.len(), view.nodes.len());
            prop_assert!(moved(&before, &after) <= most + own);
            prop_assert!(gone || steps.iter().all(|step| step.to == node), "to who came, and nowhere else");
            prop_assert!(imbalance(&after) <= 100, "{}", imbalance(&after));
            view = after;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 2000, ..ProptestConfig::default() })]

    /// A plan ends, moves to nobody unfit, and is what happens step by step; after it nothing moves.
    #[test]
    fn plans_end_and_are_what_happens(view in views()) {
        let (after, steps) = carry_out(&view);
        let mut now = view.clone();
        for step in &steps {
            prop_assert_eq!(next_move(&now), Some(*step), "the plan is what happens");
            let group = now.groups.get_mut(&step.group).unwrap();
            prop_assert_eq!(group.owner, Some(step.from));
            prop_assert!(step.from != step.to);
            let seat = group.seats[&step.to];
            prop_assert!(seat.tracked.is_some() && !seat.refused);
            prop_assert!(view.nodes[&step.to].drain != Drain::Draining);
            group.owner = Some(step.to);
        }
        prop_assert_eq!(next_move(&after), None);
        prop_assert!(steps.len() <= 3 * view.groups.len(), "{} moves", steps.len());
    }

    /// Equal views give equal orders, each of all directors that have the group; priorities fall with the
    /// place and lie in the band.
    #[test]
    fn orders_are_complete(view in views()) {
        let begin = homes(&view);
        prop_assert_eq!(&begin, &homes(&view.clone()));
        for (id, group) in &view.groups {
            let order = order(&view, *id, &begin);
            let mut sorted = order.clone();
            sorted.sort();
            let seats: Vec<NodeId> = group.seats.keys().filter(|n| view.nodes.contains_key(n)).copied().collect();
            prop_assert_eq!(sorted, seats);
            if group.owner.is_some() && group.spread {
                prop_assert_eq!(order.first().copied(), group.owner);
            }
            let mut permuted: Vec<u8> = order.iter().map(|n| permuted(&view, *id, *n).unwrap()).collect();
            permuted.sort_unstable();
            let mut configured: Vec<u8> = order.iter().map(|n| group.seats[n].configured).collect();
            configured.sort_unstable();
            prop_assert_eq!(permuted, configured, "the same priorities, on other directors");
        }
    }
}
