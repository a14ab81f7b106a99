//! What a mesh does as a whole: who serves, after what, and that nobody else does.

use super::*;

#[test]
fn the_worthiest_of_three_serves_and_nothing_moves() {
    let mut mesh = settled();
    mesh.run_until(mesh.now + Duration::from_secs(60));
    assert_eq!(mesh.serving(), [LB1]);
    assert_eq!(mesh.events(LB1).iter().filter(|e| matches!(e, RouterEvent::Active { .. })).count(), 1);
    assert_eq!(mesh.events(LB2), [&RouterEvent::Backup], "ready, and nothing since");
}

#[test]
fn a_frozen_owner_is_replaced_within_a_second_and_comes_back_in_peace() {
    let mut mesh = settled();
    mesh.nodes.get_mut(&LB1).unwrap().frozen = true;
    let took = mesh.settles_on(LB2, Duration::from_millis(1100));
    assert!(took < Duration::from_millis(1050), "{took:?}");
    mesh.run_until(mesh.now + Duration::from_secs(3));
    mesh.nodes.get_mut(&LB1).unwrap().frozen = false;
    mesh.step(LB1, Input::Timeout);
    mesh.run_until(mesh.now + Duration::from_secs(10));
    assert_eq!(mesh.serving(), [LB1], "preempts by a planned move");
    let vetoed = |e: &&&RouterEvent| matches!(e, RouterEvent::Vetoed { .. });
    assert_eq!(mesh.events(LB3).iter().filter(vetoed).count(), 0, "lb3 never had a reason to claim");
}

#[test]
fn an_orderly_stop_hands_over_in_milliseconds() {
    let mut mesh = settled();
    mesh.step(LB1, Input::Shutdown);
    let took = mesh.settles_on(LB2, Duration::from_millis(50));
    assert!(took < Duration::from_millis(10), "{took:?}");
}

/// Who does not vote has no grant of its own to look at, but hears the successor.
#[test]
fn a_handover_is_no_reason_to_claim_for_the_others() {
    let mut mesh = Mesh::new(4);
    mesh.settles_on(LB1, Duration::from_secs(4));
    mesh.run_until(mesh.now + Duration::from_secs(5));
    mesh.step(LB1, Input::Shutdown);
    mesh.settles_on(LB2, Duration::from_millis(50));
    mesh.run_until(mesh.now + Duration::from_secs(5));
    for id in [LB3, NodeId(4)] {
        assert_eq!(mesh.events(id), [&RouterEvent::Backup], "{id:?}: ready, and nothing since");
    }
}

/// The owner of the addresses asks like everybody else, and is handed what it owns.
#[test]
fn an_address_owner_gets_it_by_a_planned_move() {
    let mut mesh = settled();
    let owner = config(vec![router(255)]);
    mesh.step(LB3, Input::Configure(Box::new(owner)));
    let took = mesh.settles_on(LB3, Duration::from_secs(4));
    assert!(took < Duration::from_millis(3100), "{took:?}");
    mesh.run_until(mesh.now + Duration::from_secs(10));
    assert_eq!(mesh.serving(), [LB3]);
    assert_eq!(mesh.events(LB1).last(), Some(&&RouterEvent::Backup));
}

/// Real servers are better reached from elsewhere: a planned move there, and back when that ends.
#[test]
fn an_owner_that_does_not_reach_its_real_servers_hands_over() {
    let mut mesh = settled();
    let unfit: BTreeMap<_, _> = [(VIP, "it does not reach 3 of 4 real servers".to_owned())].into();
    mesh.step(LB1, Input::Unfit(unfit.clone()));
    mesh.settles_on(LB2, Duration::from_millis(50));
    mesh.run_until(mesh.now + Duration::from_secs(20));
    assert_eq!(mesh.serving(), [LB2]);
    let cause = &mesh.nodes[&LB1].engine.instances[&KEY].transition.cause;
    assert_eq!(cause, "handed over to lb2: it does not reach 3 of 4 real servers");
    // The next one is no better off, and the third is.
    mesh.step(LB2, Input::Unfit(unfit));
    mesh.settles_on(LB3, Duration::from_millis(50));
    mesh.step(LB1, Input::Unfit(BTreeMap::new()));
    mesh.settles_on(LB1, Duration::from_secs(4));
}

#[test]
fn who_is_as_badly_off_as_all_others_goes_on_serving() {
    let mut mesh = settled();
    for id in [LB2, LB3, LB1] {
        mesh.step(id, Input::Unfit([(VIP, "none of 4 real servers answers it".to_owned())].into()));
        mesh.run_until(mesh.now + Duration::from_secs(1));
    }
    mesh.run_until(mesh.now + Duration::from_secs(20));
    assert_eq!(mesh.serving(), [LB1]);
    assert_eq!(mesh.events(LB2), [&RouterEvent::Backup], "ready, and nothing since");
}

#[test]
fn without_adverts_the_voters_still_refuse() {
    let mut mesh = settled();
    mesh.deaf = true;
    mesh.run_until(mesh.now + Duration::from_secs(20));
    assert_eq!(mesh.serving(), [LB1]);
    assert!(mesh.events(LB2).iter().any(|e| matches!(e, RouterEvent::Vetoed { by } if by.len() >= 2)));
    mesh.deaf = false;
    mesh.run_until(mesh.now + Duration::from_secs(3));
    assert_eq!(mesh.nodes[&LB2].engine.instances[&KEY].state(), RouterState::Backup);
}

#[test]
fn an_owner_whom_nobody_hears_on_the_segment_hands_over_and_comes_back_when_it_is_heard() {
    let mut mesh = settled();
    mesh.mute = Some(LB1);
    let gap = mesh.settles_on(LB2, Duration::from_secs(5));
    assert!(gap > Duration::from_secs(3), "after a down interval, not {gap:?}");
    mesh.run_until(mesh.now + Duration::from_secs(60));
    assert_eq!(mesh.serving(), [LB2]);
    let moves = mesh.events(LB2).iter().filter(|e| matches!(e, RouterEvent::Active { .. })).count();
    assert_eq!(moves, 1, "it does not go to and fro");
    mesh.mute = None;
    mesh.settles_on(LB1, Duration::from_secs(20));
}

#[test]
fn an_owner_without_a_majority_closes_before_the_others_open() {
    let mut mesh = settled();
    mesh.cut(LB1, LB2);
    mesh.cut(LB1, LB3);
    mesh.deaf = true;
    mesh.settles_on(LB2, Duration::from_millis(1100));
    mesh.cut.clear();
    mesh.deaf = false;
    mesh.run_until(mesh.now + Duration::from_secs(10));
    assert_eq!(mesh.serving(), [LB1]);
}

#[test]
fn one_way_loss_moves_it_once() {
    let mut mesh = settled();
    // lb1 hears, but nobody hears lb1.
    mesh.cut.extend([(LB1, LB2), (LB1, LB3)]);
    mesh.run_until(mesh.now + Duration::from_secs(20));
    assert_ne!(mesh.serving(), [LB1]);
    assert_eq!(mesh.serving().len(), 1);
}

#[test]
fn a_single_cut_pair_moves_nothing() {
    let mut mesh = settled();
    mesh.cut(LB1, LB2);
    mesh.run_until(mesh.now + Duration::from_secs(20));
    assert_eq!(mesh.serving(), [LB1]);
    assert_eq!(mesh.events(LB1).iter().filter(|e| matches!(e, RouterEvent::Active { .. })).count(), 1);
}

#[test]
fn a_node_that_comes_back_worthier_gets_it_by_a_planned_move() {
    let mut mesh = settled();
    mesh.step(LB1, Input::InterfaceGone { name: "eth0".into() });
    mesh.settles_on(LB2, Duration::from_millis(50));
    mesh.run_until(mesh.now + Duration::from_secs(3));
    mesh.step(LB1, Input::Interface(eth0(LB1)));
    mesh.settles_on(LB1, Duration::from_secs(8));
    let last = mesh.events(LB2).last().copied().cloned();
    assert_eq!(last, Some(RouterEvent::Backup), "handed over, not lost");
}

#[test]
fn a_mesh_grows_from_one_to_three_without_a_gap() {
    let mut mesh = Mesh::new(1);
    mesh.settles_on(LB1, Duration::from_secs(4));
    for n in [2, 3] {
        mesh.start(NodeId(n), roster(n));
        for id in 1..n {
            mesh.step(NodeId(id), Input::Roster(roster(n)));
        }
        for id in 1..n {
            mesh.step(NodeId(id), peer_up(NodeId(n)));
        }
        mesh.exclusive = n == 3;
        for _ in 0..10_000 {
            mesh.run_until(mesh.now + Duration::from_millis(1));
            assert_eq!(mesh.serving(), [LB1], "at {:?}", mesh.now);
        }
    }
    let lb1 = &mesh.nodes[&LB1];
    assert!(lb1.engine.instances[&KEY].lease.is_held());
    assert!(lb1.fenced.contains(&VIP), "enforced from now on");
}

/// One owner after another under any single cut, with the same epoch for none of them.
#[test]
fn owners_follow_each_other_under_rising_epochs() {
    let mut mesh = settled();
    for round in 0..6 {
        let owner = mesh.serving()[0];
        let others: Vec<NodeId> = mesh.nodes.keys().copied().filter(|n| *n != owner).collect();
        others.iter().for_each(|other| mesh.cut(owner, *other));
        mesh.run_until(mesh.now + Duration::from_secs(6));
        assert_eq!(mesh.serving().len(), 1, "round {round}");
        mesh.cut.clear();
        mesh.run_until(mesh.now + Duration::from_secs(1));
    }
    let mut epochs: Vec<(Instant, u64)> = Vec::new();
    for node in mesh.nodes.values() {
        epochs.extend(node.decisions.iter().filter_map(|(at, d)| match d {
            Decision::Router { event: RouterEvent::Active { epoch, .. }, .. } => Some((*at, *epoch)),
            _ => None,
        }));
    }
    epochs.sort_unstable();
    assert!(epochs.len() >= 7);
    assert!(epochs.windows(2).all(|w| w[0].1 < w[1].1), "{epochs:?}");
}

/// The lease outlasts the change, whoever serves next.
#[test]
fn a_run_that_is_replaced_in_time_goes_on_serving() {
    for away in [0, 100, 1000, 2800] {
        let mut mesh = settled();
        mesh.step(LB1, Input::Keep);
        for _ in 0..away + 10 {
            mesh.run_until(mesh.now + Duration::from_millis(1));
            assert_eq!(mesh.serving(), [LB1], "away for {away} ms, at {:?}", mesh.now);
        }
        assert!(mesh.nodes[&LB1].frozen, "it has stopped");
        mesh.start_again(LB1);
        for _ in 0..10_000 {
            mesh.run_until(mesh.now + Duration::from_millis(1));
            assert_eq!(mesh.serving(), [LB1], "away for {away} ms, at {:?}", mesh.now);
        }
        assert_eq!(mesh.nodes[&LB1].engine.instances[&KEY].held_epoch(), 1);
        assert!(!mesh.events(LB2).iter().any(|e| matches!(e, RouterEvent::Active { .. })));
    }
}

#[test]
fn a_run_that_comes_too_late_finds_another_owner() {
    let mut mesh = settled();
    mesh.step(LB1, Input::Keep);
    mesh.settles_on(LB2, Duration::from_millis(3100));
    mesh.start_again(LB1);
    assert_eq!(mesh.serving(), [LB2]);
    mesh.run_until(mesh.now + Duration::from_secs(10));
    assert_eq!(mesh.serving(), [LB1], "by a planned move");
}

/// It begins to adopt, and nobody can be asked.
#[test]
fn a_run_that_is_replaced_without_voters_lets_go_in_time() {
    let mut mesh = settled();
    mesh.step(LB1, Input::Keep);
    mesh.run_until(mesh.now + Duration::from_millis(10));
    mesh.cut(LB1, LB2);
    mesh.cut(LB1, LB3);
    mesh.deaf = true;
    mesh.start_again(LB1);
    mesh.settles_on(LB2, Duration::from_millis(3100));
}

/// It serves without a lease, or will before it has ended: the next run does as well.
#[test]
fn the_last_of_two_is_replaced_without_a_gap() {
    for (alone, away) in [(50, 10), (50, 600), (3000, 10), (3000, 1000), (860, 300)] {
        let mut mesh = Mesh::new(2);
        mesh.settles_on(LB1, Duration::from_secs(4));
        mesh.run_until(mesh.now + Duration::from_secs(5));
        mesh.exclusive = true;
        mesh.nodes.get_mut(&LB2).unwrap().frozen = true;
        mesh.run_until(mesh.now + Duration::from_millis(alone));
        mesh.step(LB1, Input::PeerDown { node: LB2, left: false });
        mesh.step(LB1, Input::Keep);
        mesh.run_until(mesh.now + Duration::from_millis(160));
        assert!(mesh.nodes[&LB1].frozen, "it has stopped");
        mesh.run_until(mesh.now + Duration::from_millis(away));
        mesh.start_again(LB1);
        mesh.step(LB1, Input::PeerDown { node: LB2, left: false });
        for _ in 0..6000 {
            mesh.run_until(mesh.now + Duration::from_millis(1));
            assert_eq!(mesh.serving(), [LB1], "alone for {alone} ms, away for {away} ms, at {:?}", mesh.now);
        }
        mesh.nodes.get_mut(&LB2).unwrap().frozen = false;
        mesh.step(LB2, Input::Timeout);
        mesh.step(LB1, peer_up(LB2));
        mesh.run_until(mesh.now + Duration::from_secs(5));
        assert_eq!(mesh.serving(), [LB1]);
        assert!(mesh.nodes[&LB1].engine.instances[&KEY].lease.is_held());
    }
}

/// The voter that was missing makes a majority again: nobody waits for VRRP's timer.
#[test]
fn a_majority_that_comes_back_has_an_owner_in_milliseconds() {
    let mut mesh = settled();
    mesh.nodes.get_mut(&LB1).unwrap().frozen = true;
    mesh.cut(LB2, LB3);
    for (a, b) in [(LB2, LB3), (LB3, LB2), (LB2, LB1), (LB3, LB1)] {
        mesh.step(a, Input::PeerDown { node: b, left: false });
    }
    mesh.run_until(mesh.now + Duration::from_millis(4600));
    assert_eq!(mesh.serving(), []);
    mesh.cut.clear();
    mesh.step(LB2, peer_up(LB3));
    mesh.step(LB3, peer_up(LB2));
    let took = mesh.settles_on(LB2, Duration::from_millis(600));
    assert!(took < Duration::from_millis(20), "{took:?}");
}

/// Two voters: what each path between them is worth, and none.
#[test]
fn two_nodes_have_two_owners_only_without_any_path_between_them() {
    for (votes, adverts, arp, both) in [
        (false, true, true, false),
        (true, false, true, false),
        (false, false, true, false),
        (false, false, false, true),
    ] {
        let mut mesh = Mesh::new(2);
        mesh.settles_on(LB1, Duration::from_secs(4));
        mesh.run_until(mesh.now + Duration::from_secs(5));
        mesh.exclusive = !both;
        (mesh.deaf, mesh.arp_lost) = (!adverts, !arp);
        if !votes {
            mesh.cut(LB1, LB2);
            mesh.step(LB1, Input::PeerDown { node: LB2, left: false });
            mesh.step(LB2, Input::PeerDown { node: LB1, left: false });
        }
        for _ in 0..20_000 {
            mesh.run_until(mesh.now + Duration::from_millis(1));
            assert!(mesh.serving().contains(&LB1), "no gap, votes {votes}, adverts {adverts}, ARP {arp}");
        }
        assert_eq!(mesh.serving().len(), if both { 2 } else { 1 });
        let unprotected = mesh.nodes[&LB1].engine.serves_without_lease();
        assert_eq!(unprotected, !votes);
        mesh.cut.clear();
        (mesh.deaf, mesh.arp_lost) = (false, false);
        mesh.step(LB1, peer_up(LB2));
        mesh.step(LB2, peer_up(LB1));
        mesh.run_until(mesh.now + Duration::from_secs(2));
        assert_eq!(mesh.serving(), [LB1]);
        assert!(mesh.nodes[&LB1].engine.instances[&KEY].lease.is_held());
    }
}

/// The death of an owner of many routers sets off one message to each member, not one for each router.
#[test]
fn what_ends_together_is_told_together() {
    let routers: Vec<_> = (1..=50)
        .map(|vrid| {
            let mut router = router(200);
            (router.key.vrid, router.name) = (vrid, format!("VI_{vrid}"));
            router
        })
        .collect();
    let keys: Vec<_> = routers.iter().map(|r| r.key).collect();
    let mut engine = started(LB1, routers, Some(roster(3)));
    engine.step(ms(1), peer_up(LB2));
    engine.step(ms(1), peer_up(LB3));
    let claims = keys.iter().map(|key| Claim { router: *key, epoch: 1, duration_ms: 400 }).collect();
    let request = Request { roster_epoch: 3, seq: 1, claims };
    engine.step(ms(3200), message(LB2, Message::Request(request)));
    let told = engine.step(ms(3200 + 400), Input::Timeout);
    let vacant = |to: NodeId| {
        let to_it = told.iter().filter_map(|action| match action {
            Action::SendMessage { to: peer, message: Message::Vacant(all) } if *peer == to => Some(all.len()),
            _ => None,
        });
        to_it.collect::<Vec<_>>()
    };
    assert_eq!((vacant(LB2), vacant(LB3)), (vec![50], vec![50]));
}
