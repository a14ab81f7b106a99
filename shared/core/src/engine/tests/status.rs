//! What `meshctl status` shows.

use mesh_control as control;
use mesh_control::{Liveness, Protection};

use super::*;

fn vi_1(engine: &Engine, at: Instant) -> control::Router {
    engine.status(at).routers.into_iter().find(|r| r.name == "VI_1").expect("VI_1")
}

#[test]
fn without_a_mesh() {
    let engine = plain_active();
    let status = engine.status(CLAIM);
    assert_eq!(status.cluster.protection, Protection::None);
    assert_eq!((status.node.as_str(), status.nodes.len()), ("lb1", 0));
    let router = vi_1(&engine, CLAIM);
    assert_eq!((router.state, router.active.as_deref()), (control::RouterState::Active, Some("lb1")));
    assert_eq!((router.here.as_str(), router.lease), ("active", None));
    assert_eq!((router.interface.as_str(), router.vrid, router.family.as_str()), ("eth0", 51, "ipv4"));
    assert_eq!(router.vips, ["10.1.1.80/24"]);
    assert_eq!(router.priority.into_iter().collect::<Vec<_>>(), [("lb1".to_owned(), 200)]);
    let transition = router.last_transition.unwrap();
    assert_eq!(transition.at, "2027-01-15T08:00:03.218Z");
    assert_eq!(transition.cause, "no advertisement for the whole down interval");
}

#[test]
fn a_holder_knows_its_lease_exactly() {
    let engine = holding();
    let router = vi_1(&engine, ms(3221));
    let expected = control::Lease { owner: "lb1".into(), epoch: 1, remaining_ms: 975 };
    assert_eq!(router.lease, Some(expected));
    let cluster = engine.status(ms(3221)).cluster;
    let quorum = control::Quorum { voters: 3, needed: 2, reachable: 1, roster_epoch: 3 };
    assert_eq!((cluster.protection, cluster.quorum), (Protection::Protected, quorum));
}

#[test]
fn two_voters_are_no_protection() {
    let engine = started(LB1, vec![router(200)], Some(roster(2)));
    assert_eq!(engine.status(ms(0)).cluster.protection, Protection::Unprotected);
}

#[test]
fn nodes_come_and_go() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    let liveness = |engine: &Engine| engine.status(ms(9)).nodes.iter().map(|n| n.liveness).collect::<Vec<_>>();
    assert_eq!(liveness(&engine), [Liveness::Alive, Liveness::Dead, Liveness::Dead]);
    engine.step(ms(1), peer_up(LB2));
    engine.step(ms(1), Input::Heard { node: LB3, alive: true });
    assert_eq!(liveness(&engine), [Liveness::Alive, Liveness::Alive, Liveness::Suspect]);
    assert_eq!(engine.status(ms(9)).nodes[1].rtt_ms, Some(0.3));
    assert_eq!(engine.status(ms(9)).cluster.quorum.reachable, 2);
    engine.step(ms(2), Input::PeerDown { node: LB2, left: true });
    engine.step(ms(2), Input::Heard { node: LB3, alive: false });
    assert_eq!(liveness(&engine), [Liveness::Alive, Liveness::Left, Liveness::Dead]);
}

#[test]
fn the_others_are_seen_by_what_they_say() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(1), peer_up(LB2));
    engine.step(ms(1), gossip(&report(LB2, RouterState::Active, 150, 4), LB2));
    let router = vi_1(&engine, ms(2));
    assert_eq!((router.state, router.active.as_deref()), (control::RouterState::Active, Some("lb2")));
    assert_eq!(router.here, "backup");
    assert_eq!(router.priority.into_iter().collect::<Vec<_>>(), [("lb1".to_owned(), 200), ("lb2".to_owned(), 150)]);

    engine.step(ms(3), Input::PeerDown { node: LB2, left: false });
    let router = vi_1(&engine, ms(4));
    assert_eq!((router.state, router.active), (control::RouterState::Vacant, None), "nobody hears it any more");
}

#[test]
fn between_two_claims_the_grant_decides_then_the_epoch() {
    let mut engine = started(LB1, Vec::new(), Some(roster(3)));
    for (node, epoch) in [(LB2, 4), (LB3, 5)] {
        engine.step(ms(3100), peer_up(node));
        engine.step(ms(3100), gossip(&report(node, RouterState::Active, 150, epoch), node));
    }
    assert_eq!(vi_1(&engine, ms(3100)).active.as_deref(), Some("lb3"));
    assert_eq!(vi_1(&engine, ms(3100)).here, "none");
    let claims = vec![Claim { router: KEY, epoch: 4, duration_ms: 1000 }];
    engine.step(ms(3100), message(LB2, Message::Request(Request { roster_epoch: 3, seq: 1, claims })));
    let router = vi_1(&engine, ms(3200));
    assert_eq!(router.active.as_deref(), Some("lb2"));
    assert_eq!(router.lease, Some(control::Lease { owner: "lb2".into(), epoch: 4, remaining_ms: 900 }));
}

#[test]
fn a_router_outside_the_mesh_shows_as_long_as_it_is_heard() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    let outside = NodeId(9);
    engine.step(ms(1000), adverts::multicast(outside, 250));
    let router = vi_1(&engine, ms(1000));
    assert_eq!((router.state, router.foreign.as_deref()), (control::RouterState::Foreign, Some("10.1.1.19")));
    engine.step(ms(1500), adverts::multicast(outside, 0));
    assert_eq!(vi_1(&engine, ms(1500)).state, control::RouterState::Vacant, "it gave up");

    engine.step(ms(2000), adverts::multicast(outside, 250));
    wait(&mut engine, ms(6000));
    let router = vi_1(&engine, ms(6000));
    assert_eq!((router.state, router.foreign), (control::RouterState::Vacant, None), "silent for 4 s");
}

#[test]
fn all_in_fault() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(1), Input::InterfaceGone { name: "eth0".into() });
    let router = vi_1(&engine, ms(2));
    assert_eq!((router.state, router.here.as_str()), (control::RouterState::Fault, "fault"));
    assert_eq!(router.last_transition.unwrap().cause, "interface eth0 is not there");
}

#[test]
fn one_takeover_has_one_trace_id_everywhere() {
    let trace = |actions: &[Action]| {
        actions.iter().find_map(|a| match a {
            Action::Record(Decision::Router { event: RouterEvent::Active { .. }, trace_id, .. }) => {
                Some(trace_id.clone())
            }
            _ => None,
        })
    };
    let (mut lb1, first) = asking();
    let won = trace(&lb1.step(ms(3220), granted(LB2, ms(3220), &first))).unwrap();
    let lb3 = started(LB3, vec![router(100)], Some(roster(3)));
    assert_eq!(lb3.trace_id(ms(9999), KEY, 1), won);
    assert_ne!(lb3.trace_id(ms(9999), KEY, 2), won);
}

/// Without a majority directors that are not reached may serve: nobody is said to be at fault, or outside the mesh.
#[test]
fn who_is_cut_off_says_that_it_cannot_tell() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    let word = |engine: &Engine, at| vi_1(engine, at).cannot_tell;
    let silent = "lb2 and lb3 are not reachable by the mesh";
    assert_eq!(word(&engine, ms(1)).as_deref(), Some(silent));
    // It never heard what lb3 says, but knows the address of every member.
    engine.step(ms(1000), adverts::multicast(LB3, 250));
    let heard = format!("{silent}; adverts are heard from 10.1.1.13 (lb3): is UDP 7946 open?");
    assert_eq!(word(&engine, ms(1001)), Some(heard));
    assert_eq!(vi_1(&engine, ms(1001)).state, control::RouterState::Foreign, "as before, for whoever reads it");
    engine.step(ms(1500), adverts::multicast(LB3, 0));
    assert_eq!(word(&engine, ms(1501)).as_deref(), Some(silent), "it gave up");
    engine.step(ms(2000), adverts::multicast(NodeId(9), 250));
    assert_eq!(word(&engine, ms(2001)), Some(format!("{silent}; adverts are heard from 10.1.1.19")));
    assert_eq!(word(&engine, ms(6000)).as_deref(), Some(silent), "not heard for 4 s");

    engine.step(ms(6000), Input::InterfaceGone { name: "eth0".into() });
    assert_eq!(word(&engine, ms(6001)).as_deref(), Some(silent));
    engine.step(ms(6002), peer_up(LB2));
    assert_eq!(word(&engine, ms(6003)).as_deref(), Some("lb2 has not said yet what is served"));
    engine.step(ms(6004), gossip(&report(LB2, RouterState::Backup, 150, 0), LB2));
    assert_eq!(word(&engine, ms(6005)), None, "a majority knows");
    engine.step(ms(6006), gossip(&report(LB2, RouterState::Active, 150, 4), LB2));
    engine.step(ms(6007), peer_up(LB3));
    assert_eq!(word(&engine, ms(6008)), None, "it is known who serves");
}

#[test]
fn who_left_is_not_missed() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(2)));
    engine.step(ms(1), peer_up(LB2));
    engine.step(ms(1), gossip(&report(LB2, RouterState::Backup, 150, 0), LB2));
    engine.step(ms(2), Input::PeerDown { node: LB2, left: true });
    assert_eq!(vi_1(&engine, ms(3)).cannot_tell, None);
    engine.step(ms(4), peer_up(LB2));
    engine.step(ms(5), Input::PeerDown { node: LB2, left: false });
    assert_eq!(vi_1(&engine, ms(6)).cannot_tell.as_deref(), Some("lb2 is not reachable by the mesh"));
    assert_eq!(vi_1(&plain_active(), CLAIM).cannot_tell, None, "without a mesh there is nobody");
}

#[test]
fn what_is_not_well_anywhere_is_told_with_its_reason() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    for node in [LB2, LB3] {
        engine.step(ms(1), peer_up(node));
    }
    let because = Some("30 less: script chk is down".to_owned());
    engine.step(ms(1), gossip(&RouterReport { because, ..report(LB2, RouterState::Active, 120, 4) }, LB2));
    // As a version tells it that has no words for it.
    engine.step(ms(1), gossip(&report(LB3, RouterState::Fault, 0, 0), LB3));
    engine.step(ms(1), Input::InterfaceGone { name: "eth0".into() });
    let shown = vi_1(&engine, ms(2));
    let owned = |(name, why): (&str, &str)| (name.to_owned(), why.to_owned());
    let faults = [("lb1", "interface eth0 is not there"), ("lb3", "a test")].map(owned);
    assert_eq!(shown.faults.into_iter().collect::<Vec<_>>(), faults);
    let lowered = [("lb2", "30 less: script chk is down")].map(owned);
    assert_eq!(shown.lowered.into_iter().collect::<Vec<_>>(), lowered);

    let held = Some(mesh_wire::mesh::gossip::HoldReport { until_unix_ms: 1, because: "it flaps".to_owned() });
    let because = Some("it flaps".to_owned());
    engine.step(ms(3), gossip(&RouterReport { because, held, ..report(LB3, RouterState::Fault, 0, 0) }, LB3));
    assert_eq!(vi_1(&engine, ms(4)).faults.into_keys().collect::<Vec<_>>(), ["lb1"], "that is told by its hold");
    engine.step(ms(5), Input::PeerDown { node: LB2, left: false });
    assert_eq!(vi_1(&engine, ms(6)).lowered, BTreeMap::new(), "nobody knows any more");
}

#[test]
fn priorities_by_place_are_told_beside_the_configured_ones() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(1), peer_up(LB3));
    let place = |base| {
        let (configured, spread, preempt) = (100, false, true);
        Some(mesh_wire::mesh::gossip::PlaceReport { configured, base, spread, preempt, group: None, apart: Vec::new() })
    };
    engine.step(ms(1), gossip(&RouterReport { place: place(200), ..report(LB3, RouterState::Active, 200, 4) }, LB3));
    let configured: Vec<_> = vi_1(&engine, ms(2)).configured_priority.into_iter().collect();
    assert_eq!(configured, [("lb3".to_owned(), 100)]);
    engine.step(ms(3), gossip(&RouterReport { place: place(100), ..report(LB3, RouterState::Active, 100, 4) }, LB3));
    assert_eq!(vi_1(&engine, ms(4)).configured_priority, BTreeMap::new());
}

/// Who stops says that it is to be empty, and takes that back by coming back.
#[test]
fn who_left_is_not_draining() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    let stops = NodeReport {
        role: Role::Director,
        version: "1.0".to_owned(),
        config_digest: String::new(),
        draining: true,
        roster_epoch: 3,
        fits_since_unix_ms: 0,
        hearing: Vec::new(),
        mute: Vec::new(),
        capacity: 100,
        routers: 0,
    };
    engine.step(ms(1), peer_up(LB2));
    let value = Some(serde_json::to_string(&stops).unwrap());
    engine.step(ms(1), Input::Gossip { node: LB2, key: NODE_KEY.to_owned(), value });
    let draining = |engine: &Engine| engine.status(ms(9)).nodes[1].draining;
    assert!(draining(&engine));
    engine.step(ms(2), Input::PeerDown { node: LB2, left: true });
    assert!(!draining(&engine));
}
