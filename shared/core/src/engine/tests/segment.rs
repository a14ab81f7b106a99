//! Gray failures: who is heard on the segment by whom.

use mesh_wire::mesh::gossip::Hearing;

use super::actions::*;
use super::*;
use crate::input::ProbeAnswer;

fn node_report(hearing: Vec<Hearing>, mute: Vec<RouterKey>) -> Option<String> {
    let report = NodeReport {
        role: Role::Director,
        version: "1.0".to_owned(),
        config_digest: String::new(),
        fits_since_unix_ms: 0,
        draining: false,
        roster_epoch: 3,
        capacity: 100,
        routers: 0,
        hearing,
        mute,
    };
    Some(serde_json::to_string(&report).unwrap())
}

fn says(node: NodeId, hearing: Vec<Hearing>, mute: Vec<RouterKey>) -> Input {
    Input::Gossip { node, key: NODE_KEY.to_owned(), value: node_report(hearing, mute) }
}

fn hearing(answers: bool, hears: &[NodeId]) -> Hearing {
    Hearing { router: KEY, director: LB1, answers, hears: hears.to_vec() }
}

/// What the last of these actions says of this node.
fn published(actions: &[Action]) -> Option<NodeReport> {
    let found = actions.iter().rev().find_map(|a| match a {
        Action::Publish { key, value: Some(value) } if key == NODE_KEY => Some(value.clone()),
        _ => None,
    });
    found.map(|value| serde_json::from_str(&value).unwrap())
}

/// lb2 whose claim was refused: lb1 holds the lease, the mesh hears it, and no advert comes. With the probes.
fn refused_backup() -> (Engine, Instant, Vec<(u64, IpAddr)>) {
    let mut engine = started(LB2, vec![router(150)], Some(roster(3)));
    for (node, state) in [(LB1, RouterState::Active), (LB3, RouterState::Backup)] {
        engine.step(ms(1), peer_up(node));
        engine.step(ms(1), gossip(&report(node, state, 200, 7), node));
    }
    let at = engine.instances[&KEY].vrrp.deadline().unwrap();
    let claim = request(&engine.step(at, Input::Timeout));
    engine.step(at, held(LB1, at, &claim, LB1, 900));
    let probes = probes(&engine.step(at, held(LB3, at, &claim, LB1, 900)));
    (engine, at, probes)
}

fn probes(actions: &[Action]) -> Vec<(u64, IpAddr)> {
    let one = |a: &Action| match a {
        Action::ProbeAddresses { probe, addresses } => Some((*probe, addresses[0].1)),
        _ => None,
    };
    actions.iter().filter_map(one).collect()
}

fn probed(probe: u64, address: IpAddr, answers: bool) -> Input {
    Input::Probed { probe, answer: answers.then_some(ProbeAnswer { address, mac: [2; 6] }) }
}

/// lb1 of three voters, Active, with two backups that are there.
fn heard_owner() -> Engine {
    let mut engine = holding();
    for node in [LB2, LB3] {
        engine.step(ms(3222), peer_up(node));
        engine.step(ms(3222), gossip(&report(node, RouterState::Backup, 100 + node.0 as u8, 0), node));
    }
    engine
}

fn warnings(actions: &[Action]) -> Vec<String> {
    let text = |a: &Action| match a {
        Action::Record(Decision::Warning { text }) => Some(text.clone()),
        _ => None,
    };
    actions.iter().filter_map(text).collect()
}

#[test]
fn a_backup_that_does_not_hear_the_owner_looks_at_the_segment_and_says_what_it_finds() {
    let (mut engine, at, probes) = refused_backup();
    let asked: Vec<IpAddr> = probes.iter().map(|(_, address)| *address).collect();
    assert_eq!(asked, [VIP, source(LB1), source(LB3)]);
    let soon = at + Duration::from_millis(60);
    for (probe, address) in &probes[..2] {
        assert_eq!(published(&engine.step(soon, probed(*probe, *address, false))), None);
    }
    let said = published(&engine.step(soon, probed(probes[2].0, source(LB3), true))).unwrap();
    assert_eq!(said.hearing, [hearing(false, &[LB3])]);
    let said = published(&engine.step(soon, adverts::multicast(LB1, 200))).unwrap();
    assert_eq!(said.hearing, [], "it is heard");
}

#[test]
fn who_answers_is_there_and_a_probe_that_failed_says_nothing() {
    let (mut engine, at, probes) = refused_backup();
    let soon = at + Duration::from_millis(60);
    engine.step(soon, probed(probes[0].0, VIP, true));
    engine.step(soon, probed(probes[1].0, source(LB1), false));
    let said = published(&engine.step(soon, probed(probes[2].0, source(LB3), true))).unwrap();
    assert_eq!(said.hearing, [hearing(true, &[LB3])], "only adverts are lost");
    engine.step(soon, Input::PeerDown { node: LB1, left: false });
    assert_eq!(engine.hearings(), []);

    let (mut engine, at, probes) = refused_backup();
    let effect = crate::action::Effect::Probe { probe: probes[2].0 };
    engine.step(at, Input::Failed { effect, error: "no such device".to_owned() });
    for (probe, address) in &probes[..2] {
        engine.step(at, probed(*probe, *address, false));
    }
    assert_eq!(engine.hearings(), []);
}

#[test]
fn an_owner_nobody_hears_hands_over_and_says_why() {
    let mut engine = heard_owner();
    let first = engine.step(ms(3300), says(LB2, vec![hearing(false, &[LB3])], Vec::new()));
    assert_eq!(plain(first), [], "one of two");
    let actions = engine.step(ms(3310), says(LB3, vec![hearing(false, &[LB2])], Vec::new()));
    let why = "nobody on the segment of eth0 hears lb1; lb2 and lb3 hear each other";
    assert_eq!(warnings(&actions), [why]);
    let released = |a: &Action| matches!(a, Action::SendMessage { message: Message::Release(r), .. } if r[0].successor == Some(LB3));
    assert!(actions.iter().any(released), "{actions:#?}");
    let instance = &engine.instances[&KEY];
    assert!(instance.vrrp.is_backup());
    assert_eq!(instance.vrrp.priority(), 1);
    assert_eq!(instance.transition.cause, format!("handed over to lb3: {why}"));
    assert_eq!(published(&actions).unwrap().mute, [KEY], "so that others go on looking");
}

#[test]
fn an_owner_stays_while_anybody_hears_it_or_nobody_hears_anybody() {
    let all = |first: Hearing, second: Hearing| {
        let mut engine = heard_owner();
        engine.step(ms(3300), says(LB2, vec![first], Vec::new()));
        engine.step(ms(3310), says(LB3, vec![second], Vec::new()));
        engine.instances[&KEY].vrrp.is_active()
    };
    assert!(all(hearing(false, &[LB3]), hearing(true, &[LB2])), "lb3 hears it");
    assert!(all(hearing(false, &[]), hearing(false, &[])), "they hear nobody");
    assert!(all(hearing(false, &[LB3]), Hearing { director: LB2, ..hearing(false, &[LB2]) }), "lb3 misses another");
    assert!(!all(hearing(false, &[LB3]), hearing(false, &[LB2])));
}

#[test]
fn with_a_single_backup_nobody_can_tell_who_is_cut_off() {
    let mut engine = heard_owner();
    engine.step(ms(3250), Input::PeerDown { node: LB3, left: false });
    engine.step(ms(3300), says(LB2, vec![hearing(false, &[LB3])], Vec::new()));
    assert!(engine.instances[&KEY].vrrp.is_active());
}

#[test]
fn it_counts_as_well_ten_seconds_after_it_is_heard_again() {
    let mut engine = heard_owner();
    engine.step(ms(3300), says(LB2, vec![hearing(false, &[LB3])], Vec::new()));
    engine.step(ms(3310), says(LB3, vec![hearing(false, &[LB2])], Vec::new()));
    wait(&mut engine, ms(20_000));
    assert_eq!(engine.instances[&KEY].vrrp.priority(), 1, "as long as nobody hears it");
    engine.step(ms(20_000), says(LB2, vec![hearing(true, &[LB3])], Vec::new()));
    wait(&mut engine, ms(29_900));
    assert_eq!(engine.instances[&KEY].vrrp.priority(), 1);
    wait(&mut engine, ms(31_500));
    assert_eq!(engine.instances[&KEY].vrrp.priority(), 200);
    assert_eq!(engine.mute_routers(), []);
}

#[test]
fn others_look_for_who_says_that_nobody_hears_it() {
    let (mut engine, at, first) = refused_backup();
    for (probe, address) in first {
        engine.step(at, probed(probe, address, false));
    }
    engine.step(at, gossip(&report(LB1, RouterState::Backup, 1, 0), LB1));
    assert_eq!(engine.hearings(), [], "it serves no more");
    engine.step(at, says(LB1, Vec::new(), vec![KEY]));
    let due = at + Duration::from_secs(1);
    let looks = probes(&engine.step(due, Input::Timeout));
    let asked: Vec<IpAddr> = looks.iter().map(|(_, address)| *address).collect();
    assert_eq!(asked, [source(LB1), source(LB3)]);
    for (probe, address) in looks {
        engine.step(due, probed(probe, address, true));
    }
    assert_eq!(engine.hearings(), [hearing(true, &[LB3])]);
    engine.step(due, says(LB1, Vec::new(), Vec::new()));
    assert_eq!(engine.hearings(), []);
}
