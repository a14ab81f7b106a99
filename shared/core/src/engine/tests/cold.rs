//! Directors that come up together.

use mesh_wire::mesh::lease::Vacant;

use super::mesh::Mesh;
use super::*;

/// lb2 of three, where lb1 and lb3 are there; with the time at which it would claim by itself.
fn lb2() -> (Engine, Instant) {
    let mut engine = started(LB2, vec![router(150)], Some(roster(3)));
    for node in [LB1, LB3] {
        engine.step(ms(1), peer_up(node));
        engine.step(ms(1), gossip(&report(node, RouterState::Backup, 250 - 50 * node.0 as u8, 0), node));
    }
    let at = engine.instances[&KEY].vrrp.deadline().unwrap();
    (engine, at)
}

fn asks(actions: &[Action]) -> bool {
    actions.iter().any(|a| matches!(a, Action::SendMessage { message: Message::Request(_), .. }))
}

#[test]
fn a_worthier_director_goes_first_for_a_moment() {
    let (mut engine, at) = lb2();
    assert!(!asks(&engine.step(at, Input::Timeout)));
    let waits = at + Duration::from_millis(500);
    assert!(!asks(&engine.step(waits - Duration::from_nanos(1), Input::Timeout)));
    assert!(asks(&engine.step(waits, Input::Timeout)), "it does not, so somebody has to");
    let ballot = engine.instances[&KEY].lease.ballot().unwrap();
    assert_eq!(ballot.cause, "no advertisement for the whole down interval");
}

#[test]
fn no_longer_than_a_down_interval() {
    let mut quick = router(150);
    quick.advert_interval = Duration::from_millis(10);
    let mut engine = started(LB2, vec![quick], Some(roster(3)));
    engine.step(ms(1), peer_up(LB1));
    engine.step(ms(1), gossip(&report(LB1, RouterState::Backup, 200, 0), LB1));
    let (at, down) = (engine.instances[&KEY].vrrp.deadline().unwrap(), engine.instances[&KEY].vrrp.down_interval());
    assert!(!asks(&engine.step(at, Input::Timeout)));
    assert!(asks(&engine.step(at + down, Input::Timeout)));
}

/// What is waited for is a director that is about to serve, and nothing else.
#[test]
fn who_can_not_serve_or_did_so_before_is_not_waited_for() {
    let active = report(LB1, RouterState::Active, 200, 7);
    let fault = report(LB1, RouterState::Fault, 0, 0);
    let away = Input::PeerDown { node: LB1, left: false };
    for said in [gossip(&active, LB1), gossip(&fault, LB1), away, adverts::multicast(LB1, 200)] {
        let (mut engine, _) = lb2();
        let what = format!("{said:?}");
        engine.step(ms(2), said);
        let at = engine.instances[&KEY].vrrp.deadline().unwrap();
        assert!(asks(&engine.step(at, Input::Timeout)), "{what}");
    }
    // Handed over to this one.
    let (mut engine, _) = lb2();
    let vacant = Vacant { router: KEY, owner: LB1, epoch: 4, released: true, reserved_for: Some(LB2) };
    assert!(asks(&engine.step(ms(3110), message(LB3, Message::Vacant(vec![vacant])))));
}

/// It was about to serve, and can not any more.
#[test]
fn who_stands_back_comes_forward_when_there_is_nobody_to_wait_for() {
    let away = Input::PeerDown { node: LB1, left: false };
    for said in [gossip(&report(LB1, RouterState::Fault, 0, 0), LB1), away] {
        let (mut engine, at) = lb2();
        assert!(!asks(&engine.step(at, Input::Timeout)));
        assert!(!asks(&engine.step(at + Duration::from_millis(10), said.clone())), "more may come");
        assert!(asks(&engine.step(at + Duration::from_millis(30), Input::Timeout)), "{said:?}");
    }
}

/// What was served once is no cold start, whatever has become of who served it.
#[test]
fn who_served_is_remembered() {
    let (mut engine, at) = lb2();
    engine.step(ms(2), gossip(&report(LB1, RouterState::Active, 200, 7), LB1));
    engine.step(ms(3), gossip(&report(LB1, RouterState::Backup, 200, 7), LB1));
    assert!(asks(&engine.step(at, Input::Timeout)));
}

/// Who has been heard of only in part may be worthier of what it has not spoken of yet.
#[test]
fn all_of_what_is_to_be_heard_is_waited_for() {
    let mut other = Engine::new(setup(LB1, Some(roster(3))), config(vec![router(200), sibling()]), ms(0));
    let told = other.step(ms(0), Input::Interface(eth0(LB1)));
    let told = told.into_iter().filter_map(|a| match a {
        Action::Publish { key, value } => Some(Input::Gossip { node: LB1, key, value }),
        _ => None,
    });
    let (told, late): (Vec<Input>, Vec<Input>) =
        told.partition(|t| !matches!(t, Input::Gossip { key, .. } if *key == router_key(&KEY)));
    assert_eq!((told.len(), late.len()), (2, 1));

    let mut engine = started(LB2, vec![router(150)], Some(roster(3)));
    engine.step(ms(1), peer_up(LB1));
    told.into_iter().for_each(|told| drop(engine.step(ms(1), told)));
    let at = engine.instances[&KEY].vrrp.deadline().unwrap();
    let claims = |engine: &Engine| engine.instances[&KEY].lease.ballot().is_some();
    wait(&mut engine, at + Duration::from_millis(1));
    assert!(!claims(&engine));
    late.into_iter().for_each(|told| drop(engine.step(at + Duration::from_millis(2), told)));
    wait(&mut engine, at + Duration::from_millis(499));
    assert!(!claims(&engine), "it is worthier");
    wait(&mut engine, at + Duration::from_millis(500));
    assert!(claims(&engine));
}

/// A router that lb2 has not.
fn sibling() -> VirtualRouter {
    VirtualRouter { name: "VI_2".to_owned(), key: key(52), addresses: vec![vip("10.1.1.81/24")], ..router(200) }
}

/// The first ready is the least worthy, by more than its skew.
#[test]
fn directors_that_come_up_one_after_another_move_nothing() {
    for apart in [1, 100, 250] {
        let mut mesh = Mesh::empty();
        for id in [LB3, LB2, LB1] {
            mesh.run_until(mesh.now + Duration::from_millis(apart));
            mesh.start(id, roster(3));
            mesh.gossip_to(id);
        }
        mesh.settles_on(LB1, Duration::from_secs(5));
        mesh.run_until(mesh.now + Duration::from_secs(5));
        for id in [LB2, LB3] {
            let served = |e: &&RouterEvent| matches!(e, RouterEvent::Active { .. });
            assert_eq!(mesh.events(id).into_iter().find(served), None, "{id:?}, {apart} ms apart");
        }
    }
}
