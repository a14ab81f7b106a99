//! What services are told of the mesh.

use std::collections::BTreeMap;

use mesh_config::model::{Endpoint, Protocol, SyncDaemon, VirtualServer};

use super::*;
use crate::services::input::{Member, Surroundings};

fn with_service() -> Config {
    let service = VirtualServer::new(Endpoint::Address((VIP, 80).into()), Protocol::Tcp);
    Config { virtual_servers: vec![service], ..config(vec![router(200)]) }
}

fn told(actions: &[Action]) -> Option<Surroundings> {
    let mut told = actions.iter().filter_map(|action| match action {
        Action::TellServices(surroundings) => Some(surroundings.clone()),
        _ => None,
    });
    let first = told.next();
    assert!(told.next().is_none(), "told once in a step");
    first
}

/// What is told from here until then.
fn until(engine: &mut Engine, then: Instant) -> Vec<Surroundings> {
    let mut all = Vec::new();
    while let Some((due, _)) = engine.work_due().filter(|(due, _)| *due <= then) {
        all.extend(told(&engine.step(due, Input::Timeout)));
    }
    all
}

#[test]
fn without_a_mesh_there_is_this_node() {
    let mut engine = Engine::new(setup(LB1, None), with_service(), ms(0));
    engine.step(ms(0), Input::Interface(eth0(LB1)));
    let alone = Member { name: "lb1".to_owned(), role: Role::Director, alive: true };
    let backup = Surroundings { members: [(LB1, alone)].into(), ..Surroundings::default() };
    let active = Surroundings {
        owners: BTreeMap::from([(VIP, LB1)]),
        active_here: ["VI_1".to_owned()].into(),
        ..backup.clone()
    };
    assert_eq!(until(&mut engine, ms(10_000)), [backup, active], "each change once");
}

#[test]
fn members_are_told_as_they_come_and_go() {
    let mut engine = Engine::new(setup(LB1, Some(roster(3))), with_service(), ms(0));
    let alive = |s: &Surroundings| s.members.values().filter(|m| m.alive).count();
    assert_eq!(until(&mut engine, ms(500)).iter().map(alive).collect::<Vec<_>>(), [1]);
    engine.step(ms(600), peer_up(LB2));
    engine.step(ms(610), peer_up(LB3));
    assert_eq!(until(&mut engine, ms(700)).iter().map(alive).collect::<Vec<_>>(), [3], "together");
    engine.step(ms(1600), peer_up(LB2));
    assert_eq!(until(&mut engine, ms(1700)), [], "nothing new");
    engine.step(ms(1800), Input::PeerDown { node: LB2, left: false });
    assert_eq!(until(&mut engine, ms(1900)).iter().map(alive).collect::<Vec<_>>(), [2]);
}

#[test]
fn connection_synchronisation_hears_where_its_router_is_active() {
    let mut config = config(vec![router(200)]);
    config.lvs.sync = Some(SyncDaemon {
        interface: "eth0".to_owned(),
        router: Some("VI_1".to_owned()),
        id: 51,
        max_length: 0,
        port: 0,
        group: None,
        ttl: 0,
    });
    let mut engine = Engine::new(setup(LB1, None), config, ms(0));
    engine.step(ms(0), Input::Interface(eth0(LB1)));
    let told = until(&mut engine, ms(10_000));
    let active: Vec<bool> = told.iter().map(|s| s.active_here.contains("VI_1")).collect();
    assert_eq!(active, [false, true], "without a virtual server, too");
}

#[test]
fn without_services_nothing_is_told() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(600), peer_up(LB2));
    assert_eq!(until(&mut engine, ms(700)), []);
}
