//! Links and scripts that come and go, in a mesh: what moves, and what does not any more.

use mesh_config::model::{FlapDamping, TrackScript, Tracked, Tracks};

use super::*;
use crate::input::ScriptOutcome;

const SECOND: Duration = Duration::from_secs(1);

const BECAUSE: &str = "flapped 3 times in 60s (interface eth0 has no link): held for 10s";

impl Mesh {
    fn link(&mut self, id: NodeId, running: bool) {
        self.step(id, Input::Interface(Interface { running, ..eth0(id) }));
    }

    /// A second without a link, and so many with one.
    fn flap(&mut self, id: NodeId, seconds: u32) {
        self.link(id, false);
        self.run_until(self.now + SECOND);
        self.link(id, true);
        self.run_until(self.now + seconds * SECOND);
    }

    /// How often a node began to serve.
    fn began(&self, id: NodeId) -> usize {
        self.events(id).iter().filter(|e| matches!(e, RouterEvent::Active { .. })).count()
    }

    fn held(&self, id: NodeId) -> Option<String> {
        let status = self.nodes[&id].engine.status(self.now);
        status.routers[0].held.as_ref().map(|held| held.because.clone())
    }
}

#[test]
fn a_link_that_flaps_is_held_back_and_then_given_another_chance() {
    let mut mesh = settled();
    mesh.flap(LB1, 9);
    mesh.flap(LB1, 9);
    assert_eq!((mesh.serving(), mesh.began(LB1), mesh.held(LB1)), (vec![LB1], 3, None), "it came back each time");
    mesh.flap(LB1, 9);
    assert_eq!((mesh.serving(), mesh.held(LB1).as_deref()), (vec![LB2], Some(BECAUSE)));
    assert_eq!(mesh.nodes[&LB1].engine.instances[&KEY].transition.cause, BECAUSE);
    let held = |(_, d): &&(Instant, Decision)| matches!(d, Decision::Held { .. });
    let decision = Decision::Held { name: "VI_1".to_owned(), key: KEY, lasts: 10 * SECOND, cause: BECAUSE.to_owned() };
    let told: Vec<&Decision> = mesh.nodes[&LB1].decisions.iter().filter(held).map(|(_, d)| d).collect();
    assert_eq!(told, [&decision], "once");
    assert_eq!(mesh.nodes[&LB1].engine.status(mesh.now).counters["router_holds"], 1);
    // Ten seconds are over, and a down interval.
    mesh.run_until(mesh.now + 5 * SECOND);
    assert_eq!((mesh.serving(), mesh.held(LB1)), (vec![LB1], None));
}

#[test]
fn the_longer_it_flaps_the_less_moves() {
    let began = |damping: Option<FlapDamping>| {
        let mut mesh = settled();
        for id in [LB1, LB2, LB3] {
            let mut config = config(vec![router((250 - 50 * id.0) as u8)]);
            config.mesh.damping = damping;
            mesh.step(id, Input::Configure(Box::new(config)));
        }
        let before = mesh.began(LB2);
        (0..60).for_each(|_| mesh.flap(LB1, 9));
        mesh.run_until(mesh.now + 330 * SECOND);
        assert_eq!(mesh.serving(), [LB1], "well in the end");
        mesh.began(LB2) - before
    };
    assert_eq!((began(None), began(Some(FlapDamping::default()))), (60, 3));
}

#[test]
fn who_alone_can_serve_is_not_held() {
    let mut mesh = settled();
    (0..3).for_each(|_| mesh.flap(LB1, 5));
    assert_eq!((mesh.serving(), mesh.held(LB1).as_deref()), (vec![LB2], Some(BECAUSE)));
    mesh.link(LB3, false);
    mesh.run_until(mesh.now + SECOND);
    assert_eq!(mesh.serving(), [LB2]);
    mesh.link(LB2, false);
    let gap = mesh.settles_on(LB1, SECOND);
    assert!(gap <= Duration::from_millis(5), "{gap:?}");
    assert_eq!(mesh.nodes[&LB1].engine.instances[&KEY].transition.cause, "no other director can serve it any more");
    // What was let go of is not taken back.
    mesh.link(LB2, true);
    mesh.run_until(mesh.now + SECOND);
    assert_eq!((mesh.serving(), mesh.held(LB1)), (vec![LB1], None));
    // Nobody else is there: it comes back each time.
    for other in [LB2, LB3] {
        mesh.link(other, false);
    }
    for _ in 0..3 {
        mesh.flap(LB1, 4);
        assert_eq!((mesh.serving(), mesh.held(LB1)), (vec![LB1], None));
    }
}

#[test]
fn of_two_that_flap_one_serves() {
    let mut mesh = settled();
    for _ in 0..20 {
        for id in [LB1, LB2, LB3] {
            mesh.flap(id, 2);
        }
        let gap = Duration::from_secs(4);
        let begin = mesh.now;
        while mesh.serving().is_empty() {
            assert!(mesh.now < begin + gap, "somebody could serve");
            mesh.run_until(mesh.now + Duration::from_millis(10));
        }
    }
}

#[test]
fn an_owner_that_dies_is_replaced_by_who_is_held_where_nobody_else_is_left() {
    let mut mesh = settled();
    (0..3).for_each(|_| mesh.flap(LB1, 5));
    mesh.link(LB3, false);
    mesh.run_until(mesh.now + SECOND / 2);
    assert_eq!((mesh.serving(), mesh.held(LB1).as_deref()), (vec![LB2], Some(BECAUSE)));
    mesh.nodes.get_mut(&LB2).unwrap().frozen = true;
    mesh.run_until(mesh.now + Duration::from_millis(300));
    for other in [LB1, LB3] {
        mesh.step(other, Input::PeerDown { node: LB2, left: false });
    }
    mesh.settles_on(LB1, Duration::from_millis(800));
}

/// A host with one interface: what flaps is also what connects it with the mesh.
#[test]
fn who_loses_the_mesh_with_its_link_is_held_all_the_same() {
    let mut mesh = settled();
    for _ in 0..3 {
        mesh.link(LB1, false);
        mesh.run_until(mesh.now + Duration::from_millis(300));
        for other in [LB2, LB3] {
            mesh.step(LB1, Input::PeerDown { node: other, left: false });
            mesh.step(other, Input::PeerDown { node: LB1, left: false });
        }
        mesh.run_until(mesh.now + 2 * SECOND);
        mesh.link(LB1, true);
        mesh.run_until(mesh.now + Duration::from_millis(400));
        for other in [LB2, LB3] {
            mesh.step(LB1, peer_up(other));
            mesh.step(other, peer_up(LB1));
        }
        mesh.run_until(mesh.now + 6 * SECOND);
    }
    assert_eq!((mesh.serving(), mesh.held(LB1).as_deref()), (vec![LB2], Some(BECAUSE)));
}

/// A script with a weight: what is held back is the priority, and the router stays a last choice.
#[test]
fn a_script_that_flaps_is_held_back_too() {
    let mut mesh = settled();
    let script = TrackScript {
        name: "check".to_owned(),
        command: vec!["/bin/true".to_owned()],
        interval: SECOND,
        timeout: SECOND,
        weight: -110,
        reverse: false,
        rise: 1,
        fall: 1,
        init_fail: false,
        user: None,
    };
    let track = Tracks { scripts: vec![Tracked::new("check")], ..Tracks::default() };
    let tracked = VirtualRouter { track, ..router(200) };
    let config = Config { track_scripts: vec![script], ..config(vec![tracked]) };
    mesh.step(LB1, Input::Configure(Box::new(config)));
    mesh.settles_on(LB1, 8 * SECOND);
    let script = |mesh: &mut Mesh, outcome| {
        mesh.step(LB1, Input::Script { name: "check".to_owned(), outcome });
        mesh.run_until(mesh.now + 5 * SECOND);
    };
    for _ in 0..3 {
        assert_eq!((mesh.serving(), mesh.held(LB1)), (vec![LB1], None));
        script(&mut mesh, ScriptOutcome::Exit(1));
        assert_eq!(mesh.serving(), [LB2]);
        script(&mut mesh, ScriptOutcome::Success);
    }
    let because = "flapped 3 times in 60s (its priority fell to 90): held for 10s";
    assert_eq!((mesh.serving(), mesh.held(LB1).as_deref()), (vec![LB2], Some(because)));
    let priority = |mesh: &Mesh| mesh.nodes[&LB1].engine.instances[&KEY].shown_priority();
    assert_eq!((priority(&mesh), mesh.nodes[&LB1].engine.instances[&KEY].state()), (90, RouterState::Backup));
    mesh.run_until(mesh.now + 9 * SECOND);
    assert_eq!((mesh.serving(), mesh.held(LB1), priority(&mesh)), (vec![LB1], None, 200));
}

#[test]
fn every_node_tells_who_is_held_until_when_and_why() {
    let mut mesh = settled();
    (0..3).for_each(|_| mesh.flap(LB1, 5));
    let held = |mesh: &Mesh, id| mesh.nodes[&id].engine.status(mesh.now).routers[0].held_on.clone();
    let own = held(&mesh, LB1);
    assert_eq!(own.keys().collect::<Vec<_>>(), ["lb1"]);
    assert_eq!((own["lb1"].because.as_str(), own["lb1"].until.as_str()), (BECAUSE, "2027-01-15T08:00:31.22Z"));
    assert_eq!([LB2, LB3].map(|id| held(&mesh, id)), [own.clone(), own.clone()]);
    assert_eq!(mesh.nodes[&LB2].engine.status(mesh.now).routers[0].held, None, "that is about the node itself");
    let explained = mesh.nodes[&LB3].engine.explain(mesh.now, "VI_1").unwrap();
    assert_eq!(explained.router.held_on, own);
    mesh.run_until(mesh.now + 6 * SECOND);
    assert!([LB1, LB2, LB3].iter().all(|id| held(&mesh, *id).is_empty()), "until it is over");
}

#[test]
fn a_restart_ends_no_hold() {
    for orderly in [true, false] {
        let mut mesh = settled();
        (0..3).for_each(|_| mesh.flap(LB1, 5));
        assert_eq!((mesh.serving(), mesh.held(LB1).as_deref()), (vec![LB2], Some(BECAUSE)));
        if orderly {
            mesh.step(LB1, Input::Keep);
            mesh.run_until(mesh.now + SECOND / 2);
        }
        mesh.start_again(LB1);
        mesh.run_until(mesh.now + SECOND / 2);
        mesh.gossip_to(LB1);
        mesh.run_until(mesh.now + 3 * SECOND);
        assert_eq!((mesh.serving(), mesh.held(LB1).as_deref()), (vec![LB2], Some(BECAUSE)), "orderly: {orderly}");
        mesh.run_until(mesh.now + 5 * SECOND);
        assert_eq!((mesh.serving(), mesh.held(LB1)), (vec![LB1], None), "orderly: {orderly}");
        // Falls of the run before count, and the next hold is twice as long.
        mesh.step(LB1, Input::Keep);
        mesh.run_until(mesh.now + SECOND / 2);
        mesh.start_again(LB1);
        mesh.gossip_to(LB1);
        mesh.run_until(mesh.now + SECOND / 2);
        assert_eq!(mesh.serving(), [LB1]);
        mesh.flap(LB1, 2);
        let longer = BECAUSE.replace("3 times", "4 times").replace("for 10s", "for 20s");
        assert_eq!(mesh.held(LB1), Some(longer), "orderly: {orderly}");
    }
}

#[test]
fn a_router_alone_does_as_keepalived() {
    let mut engine = started(LB1, vec![router(200)], None);
    let mut now = Instant::default();
    for _ in 0..10 {
        for running in [false, true] {
            now = now + SECOND;
            engine.step(now, Input::Interface(Interface { running, ..eth0(LB1) }));
        }
        assert_eq!((engine.instances[&KEY].state(), engine.instances[&KEY].damper.hold()), (RouterState::Backup, None));
    }
}

#[test]
fn a_reload_that_turns_it_off_ends_a_hold() {
    let mut mesh = settled();
    (0..3).for_each(|_| mesh.flap(LB1, 5));
    assert!(mesh.held(LB1).is_some());
    let mut config = config(vec![router(200)]);
    config.mesh.damping = None;
    mesh.step(LB1, Input::Configure(Box::new(config)));
    assert_eq!((mesh.held(LB1), mesh.nodes[&LB1].engine.instances[&KEY].state()), (None, RouterState::Backup));
}

#[test]
fn a_hold_that_goes_on_waits_for_the_end_of_a_start_delay() {
    let mut mesh = settled();
    (0..3).for_each(|_| mesh.flap(LB1, 5));
    assert!(mesh.held(LB1).is_some());
    let mut config = config(vec![router(200)]);
    config.delays.startup = 30 * SECOND;
    mesh.start_again_with(LB1, config);
    let begin = mesh.now;
    mesh.run_until(begin + 29 * SECOND);
    // No timer of the past: the end of the hold is not waited for.
    let due = mesh.nodes[&LB1].engine.deadline().map(|(at, _)| at);
    assert!(due.is_none_or(|at| at >= mesh.now), "{due:?} at {:?}", mesh.now);
    mesh.gossip_to(LB1);
    mesh.run_until(begin + 35 * SECOND);
    assert_eq!((mesh.serving(), mesh.held(LB1)), (vec![LB1], None));
}
