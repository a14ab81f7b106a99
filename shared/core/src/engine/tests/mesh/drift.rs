//! Directors that are configured differently find out how.

use mesh_config::model::{Password, Version};
use mesh_control::drift::Drift;

use super::*;

/// Version 2, with a password.
fn plain(id: NodeId) -> VirtualRouter {
    let priority = (250 - 50 * id.0) as u8;
    VirtualRouter { version: Version::V2, auth_pass: Some(Password::new(b"secret")), ..router(priority) }
}

fn configure(mesh: &mut Mesh, id: NodeId, router: VirtualRouter) {
    mesh.step(id, Input::Configure(Box::new(config(vec![router]))));
}

/// Three directors with equal settings, for two seconds.
fn equal() -> Mesh {
    let mut mesh = Mesh::new(3);
    for id in [LB1, LB2, LB3] {
        configure(&mut mesh, id, plain(id));
    }
    mesh.run_until(mesh.now + Duration::from_secs(2));
    mesh
}

fn drift(mesh: &Mesh, id: NodeId) -> Drift {
    mesh.nodes[&id].engine.status(mesh.now).drift
}

fn lines(mesh: &Mesh, id: NodeId) -> Vec<String> {
    drift(mesh, id).lines().collect()
}

/// What was told of drift since a point in time: of whom, and how many lines.
fn told(mesh: &Mesh, id: NodeId, since: Instant) -> Vec<(String, usize)> {
    let decisions = mesh.nodes[&id].decisions.iter().filter(|(at, _)| *at >= since);
    let drift = decisions.filter_map(|(_, decision)| match decision {
        Decision::Drift { node, differences } => Some((node.clone(), differences.len())),
        _ => None,
    });
    drift.collect()
}

#[test]
fn nodes_and_settings_that_differ_are_named_until_they_do_not() {
    let mut mesh = equal();
    assert_eq!(lines(&mesh, LB1), Vec::<String>::new());
    let since = mesh.now;
    let other = VirtualRouter { advert_interval: Duration::from_secs(2), ..plain(LB2) };
    configure(&mut mesh, LB2, other);
    mesh.run_until(mesh.now + Duration::from_secs(2));
    assert_eq!(
        lines(&mesh, LB1),
        [
            "lb2: VI_1: advert_int 2 s, here 1 s",
            "VI_1: adverts of lb1 will be dropped by lb2: advert_int 1 s at lb1, 2 s at lb2",
            "VI_1: adverts of lb2 will be dropped by lb1: advert_int 2 s at lb2, 1 s at lb1",
        ]
    );
    assert_eq!(lines(&mesh, LB3)[0], "lb2: VI_1: advert_int 2 s, here 1 s");
    let named: Vec<String> = drift(&mesh, LB2).settings.iter().map(|differs| differs.line()).collect();
    assert_eq!(named, ["lb1: VI_1: advert_int 1 s, here 2 s", "lb3: VI_1: advert_int 1 s, here 2 s"]);
    assert_eq!(told(&mesh, LB1, since), [("lb2".to_owned(), 3)]);
    let explained = mesh.nodes[&LB1].engine.explain(mesh.now, "VI_1").unwrap().drift;
    assert_eq!(explained, drift(&mesh, LB1));
    let since = mesh.now;
    configure(&mut mesh, LB2, plain(LB2));
    mesh.run_until(mesh.now + Duration::from_secs(2));
    assert!([LB1, LB2, LB3].iter().all(|id| drift(&mesh, *id).is_empty()));
    assert_eq!(told(&mesh, LB1, since), [("lb2".to_owned(), 0)]);
}

#[test]
fn addresses_that_only_one_has_are_named_and_nothing_is_lost_between_members() {
    let mut mesh = equal();
    let lists = |own: &[&str]| {
        let addresses = own.iter().map(|address| vip(address)).collect();
        VirtualRouter { addresses, ..plain(LB2) }
    };
    configure(&mut mesh, LB2, lists(&["10.1.1.80/24", "10.1.1.81/24", "10.1.1.82/24"]));
    configure(&mut mesh, LB3, lists(&["10.1.1.90/24"]));
    mesh.run_until(mesh.now + Duration::from_secs(2));
    let without = "not served while the other one is active";
    let expected = [
        format!("lb2: VI_1: virtual_ipaddress 10.1.1.81 10.1.1.82 only there: {without}"),
        format!("lb3: VI_1: virtual_ipaddress 10.1.1.90 only there, 10.1.1.80 only here: {without}"),
    ];
    assert_eq!(lines(&mesh, LB1), expected);
    let dropped = |(_, d): &&(Instant, Decision)| matches!(d, Decision::Dropped { .. });
    assert!(mesh.nodes.values().all(|node| !node.decisions.iter().any(|d| dropped(&d))), "as is foreseen");
}

/// Three directors with equal settings, and a witness.
fn watched() -> Mesh {
    let mut mesh = Mesh::new(4);
    let mut roster = three_vote(4);
    (roster.epoch, roster.members[3].role) = (roster.epoch + 1, Role::Witness);
    for id in [LB1, LB2, LB3, WITNESS] {
        mesh.step(id, Input::Roster(roster.clone()));
        configure(&mut mesh, id, plain(if id == WITNESS { LB3 } else { id }));
    }
    mesh.run_until(mesh.now + Duration::from_secs(2));
    mesh
}

const WITNESS: NodeId = NodeId(4);

#[test]
fn a_witness_compares_directors_with_each_other() {
    let mut mesh = watched();
    assert_eq!(lines(&mesh, WITNESS), Vec::<String>::new());
    let since = mesh.now;
    let slow = |id| VirtualRouter { advert_interval: Duration::from_secs(2), ..plain(id) };
    configure(&mut mesh, LB1, slow(LB1));
    mesh.run_until(mesh.now + Duration::from_secs(2));
    assert_eq!(lines(&mesh, WITNESS), ["lb1: VI_1: advert_int 2 s, lb2 1 s"], "the most are the measure");
    assert_eq!(told(&mesh, WITNESS, since), [("lb1".to_owned(), 1)]);
    configure(&mut mesh, LB3, VirtualRouter { addresses: vec![vip("10.1.1.81/24")], ..slow(LB3) });
    mesh.run_until(mesh.now + Duration::from_secs(2));
    let lists =
        "virtual_ipaddress 10.1.1.81 only there, 10.1.1.80 only at lb1: not served while the other one is active";
    let expected = ["lb2: VI_1: advert_int 1 s, lb1 2 s".to_owned(), format!("lb3: VI_1: {lists}")];
    assert_eq!(lines(&mesh, WITNESS), expected, "of three that all differ it is the first");
    assert_eq!(lines(&mesh, LB1)[0], "lb2: VI_1: advert_int 1 s, here 2 s", "directors do as before");
    configure(&mut mesh, LB1, plain(LB1));
    configure(&mut mesh, LB3, plain(LB3));
    mesh.run_until(mesh.now + Duration::from_secs(2));
    assert_eq!(lines(&mesh, WITNESS), Vec::<String>::new());
    // Keys are in no digest, and witnesses learn nothing of them.
    configure(&mut mesh, LB2, VirtualRouter { auth_pass: Some(Password::new(b"hunter2")), ..plain(LB2) });
    mesh.run_until(mesh.now + Duration::from_secs(2));
    assert_eq!(lines(&mesh, WITNESS), Vec::<String>::new());
    assert_eq!(lines(&mesh, LB1)[0], "lb2: VI_1: auth_pass set, differs");
}

#[test]
fn a_witness_tells_a_difference_once_however_often_its_node_comes_back() {
    let mut mesh = watched();
    let since = mesh.now;
    configure(&mut mesh, LB1, VirtualRouter { advert_interval: Duration::from_secs(2), ..plain(LB1) });
    mesh.run_until(mesh.now + Duration::from_secs(2));
    let once = [("lb1".to_owned(), 1)];
    assert_eq!(told(&mesh, WITNESS, since), once);
    // The one that differs, and the one it is compared with, so that it is another one meanwhile.
    for id in [LB1, LB2, LB1] {
        mesh.step(WITNESS, Input::PeerDown { node: id, left: false });
        mesh.run_until(mesh.now + Duration::from_secs(1));
        mesh.step(WITNESS, peer_up(id));
        mesh.run_until(mesh.now + Duration::from_secs(2));
        assert_eq!(lines(&mesh, WITNESS).len(), 1);
    }
    let changed = told(&mesh, WITNESS, since);
    assert!(changed.iter().all(|(node, count)| (node.as_str(), *count) == ("lb1", 1)), "never ended: {changed:?}");
    let by_name = |name: &str| format!("lb1: VI_1: advert_int 2 s, {name} 1 s");
    assert_eq!(lines(&mesh, WITNESS), [by_name("lb2")]);
    configure(&mut mesh, LB1, plain(LB1));
    mesh.run_until(mesh.now + Duration::from_secs(2));
    assert_eq!(told(&mesh, WITNESS, since).last(), Some(&("lb1".to_owned(), 0)), "it ends");
}

#[test]
fn a_witness_says_who_does_not_tell_it() {
    let mut mesh = watched();
    let (witness, now) = (&mut mesh.nodes.get_mut(&WITNESS).unwrap().engine, mesh.now);
    let report = r#"{"role":"director","version":"1","config_digest":"other","draining":false,"roster_epoch":5}"#;
    let asked = |actions: Vec<Action>| {
        let asks = |action| if let Action::AskSettings { node } = action { Some(node) } else { None };
        actions.into_iter().filter_map(asks).collect::<Vec<_>>()
    };
    witness.step(now, Input::Gossip { node: LB2, key: NODE_KEY.to_owned(), value: Some(report.to_owned()) });
    assert_eq!(asked(witness.step(now + Duration::from_millis(500), Input::Timeout)), [LB1, LB2], "and not all");
    let refusal = "only directors are told how others are configured".to_owned();
    witness.step(now + Duration::from_secs(1), Input::Settings { node: LB2, answer: Err(refusal) });
    let lines: Vec<String> = witness.status(now).drift.lines().collect();
    assert_eq!(lines, ["lb2: how it is configured is unknown: only directors are told how others are configured"]);
    witness.step(now + Duration::from_secs(2), Input::PeerDown { node: LB2, left: false });
    witness.step(now + Duration::from_secs(2), peer_up(LB2));
    assert_eq!(asked(witness.step(now + Duration::from_millis(10_500), Input::Timeout)), [LB1, LB2], "again");
}

#[test]
fn a_password_that_differs_is_found_though_digests_are_equal() {
    let mut mesh = equal();
    let other = VirtualRouter { auth_pass: Some(Password::new(b"hunter2")), ..plain(LB3) };
    configure(&mut mesh, LB3, other);
    mesh.run_until(mesh.now + Duration::from_secs(2));
    let digests: BTreeSet<String> =
        mesh.nodes[&LB1].engine.status(mesh.now).nodes.into_iter().map(|node| node.config_digest).collect();
    assert_eq!(digests.len(), 1);
    assert_eq!(
        lines(&mesh, LB1),
        [
            "lb3: VI_1: auth_pass set, differs",
            "VI_1: adverts of lb1 will be dropped by lb3: auth_pass differs",
            "VI_1: adverts of lb3 will be dropped by lb1: auth_pass differs",
        ]
    );
    let all = format!("{:?}", mesh.nodes[&LB1].engine);
    assert!(!all.contains("hunter2") && !all.contains("secret"), "in no debug output");
}

#[test]
fn who_does_not_tell_is_asked_again_and_who_left_the_mesh_is_forgotten() {
    let mut mesh = equal();
    let (lb1, now) = (&mut mesh.nodes.get_mut(&LB1).unwrap().engine, mesh.now);
    let report = |digest: &str| {
        let value = format!(
            r#"{{"role":"director","version":"1","config_digest":"{digest}","draining":false,"roster_epoch":3}}"#
        );
        Input::Gossip { node: LB2, key: NODE_KEY.to_owned(), value: Some(value) }
    };
    let asks = |actions: Vec<Action>| actions.iter().filter(|a| **a == Action::AskSettings { node: LB2 }).count();
    assert_eq!(asks(lb1.step(now, report("other"))), 0);
    assert_eq!(asks(lb1.step(now + Duration::from_millis(500), Input::Timeout)), 1);
    let refusal = || Input::Settings { node: LB2, answer: Err("no answer within 3s".to_owned()) };
    lb1.step(now + Duration::from_secs(4), refusal());
    let silent: Vec<String> = lb1.status(now).drift.lines().collect();
    assert_eq!(silent, ["lb2: how it is configured is unknown: no answer within 3s"]);
    assert_eq!(asks(lb1.step(now + Duration::from_millis(10_499), Input::Timeout)), 0);
    assert_eq!(asks(lb1.step(now + Duration::from_millis(10_500), Input::Timeout)), 1);
    // Nobody asked lb3.
    lb1.step(now + Duration::from_secs(11), Input::Settings { node: LB3, answer: Ok(Box::default()) });
    assert_eq!(lb1.status(now).drift.settings, []);
    let mut without = roster(3);
    (without.epoch, without.members) = (9, without.members.into_iter().filter(|m| m.id != LB2).collect());
    lb1.step(now + Duration::from_secs(12), Input::Roster(without));
    assert!(lb1.status(now).drift.is_empty());
}
