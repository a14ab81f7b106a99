//! Routes and rules come and go with a router's addresses; what is static stays.

use mesh_config::model::{Hop, Route, Rule, RuleAction, Statics, TrackGroup};
use mesh_wire::mesh::Family;

use super::*;
use crate::action::Effect;

fn route(net: &str, track: bool) -> Route {
    Route {
        kind: 1,
        family: Family::Ipv4,
        destination: net.parse().ok(),
        source: None,
        preferred_source: None,
        tos: 0,
        table: 254,
        protocol: None,
        scope: 0,
        metric: None,
        hops: vec![Hop { interface: Some("eth0".to_owned()), ..Hop::default() }],
        metrics: Vec::new(),
        locked: 0,
        congestion_control: None,
        preference: None,
        expires: None,
        ttl_propagate: None,
        track,
    }
}

fn rule(priority: u32) -> Rule {
    Rule {
        family: Family::Ipv4,
        invert: false,
        source: None,
        destination: None,
        input: None,
        output: None,
        tos: 0,
        mark: None,
        priority,
        realms: None,
        uids: None,
        ip_protocol: None,
        source_ports: None,
        destination_ports: None,
        tunnel: None,
        suppress_prefix: None,
        suppress_group: None,
        protocol: None,
        action: RuleAction::Table(5),
        track: true,
    }
}

/// The effects on addresses, routes and rules, in order.
fn effects(actions: Vec<Action>) -> Vec<Action> {
    let wanted = |a: &Action| {
        matches!(
            a,
            Action::AddAddress { .. }
                | Action::DelAddress { .. }
                | Action::AddRoutes { .. }
                | Action::DelRoutes { .. }
                | Action::HaveStatics(_)
                | Action::SendAdvertisement { .. }
        )
    };
    actions.into_iter().filter(wanted).collect()
}

#[test]
fn they_follow_the_addresses_and_go_before_them() {
    let routes = vec![route("10.20.0.0/16", true), route("10.21.0.0/16", false)];
    let with = VirtualRouter { routes: routes.clone(), rules: vec![rule(7)], ..router(200) };
    let mut engine = started(LB1, vec![with], None);
    let active = effects(engine.step(CLAIM, Input::Timeout));
    assert!(matches!(active[0], Action::AddAddress { .. }));
    assert_eq!(active[1], Action::AddRoutes { routes: routes.clone(), rules: vec![rule(7)], again: false });
    assert!(matches!(active[2], Action::SendAdvertisement { .. }));
    // Looked after with every renewal, but for what is not tracked.
    let at = CLAIM + Duration::from_secs(1);
    let renewed = effects(engine.step(at, Input::Timeout));
    let again = Action::AddRoutes { routes: routes[..1].to_vec(), rules: vec![rule(7)], again: true };
    assert!(renewed.contains(&again), "{renewed:?}");
    // Refused: told once, and nothing else happens.
    let failed = || Input::Failed { effect: Effect::Route { what: "route A".to_owned() }, error: "no".to_owned() };
    let told = Action::Record(Decision::Warning { text: "route A: no".to_owned() });
    assert_eq!(engine.step(at, failed()), [told]);
    assert_eq!(engine.step(at, failed()), []);
    assert!(engine.instances[&KEY].vrrp.is_active());
    let stopped = effects(engine.step(at, Input::Shutdown));
    assert_eq!(stopped[0], Action::DelRoutes { routes, rules: vec![rule(7)] });
    assert!(matches!(stopped[1], Action::DelAddress { .. }));
}

#[test]
fn what_is_static_is_there_from_start_to_end_and_looked_after() {
    let statics = Statics { routes: vec![route("10.20.0.0/16", true)], rules: vec![rule(7)], ..Statics::default() };
    let with = Config { statics: statics.clone(), ..config(vec![router(100)]) };
    let mut engine = Engine::new(setup(LB1, None), with, Instant::default());
    assert_eq!(effects(engine.step(Instant::default(), Input::Timeout)), [Action::HaveStatics(statics.clone())]);
    assert!(engine.step(ms(4999), Input::Timeout).is_empty());
    assert_eq!(effects(engine.step(ms(5000), Input::Timeout)), [Action::HaveStatics(statics)]);
    let less = Statics::default();
    let reloaded = engine.step(ms(6000), Input::Configure(Box::new(config(vec![router(100)]))));
    assert_eq!(effects(reloaded), [Action::HaveStatics(less)]);
    assert_eq!(effects(engine.step(ms(20_000), Input::Shutdown)), []);
}

/// `track_group`: a router does without its addresses while what it needs cannot be put back.
#[test]
fn what_is_static_can_be_a_fault() {
    let needed = route("10.20.0.0/16", true);
    let group = TrackGroup {
        name: "G".to_owned(),
        routers: vec!["VI_1".to_owned()],
        routes: vec![needed.clone()],
        ..TrackGroup::default()
    };
    let statics =
        Statics { routes: vec![route("10.21.0.0/16", true)], track_groups: vec![group], ..Statics::default() };
    let with = Config { statics, ..config(vec![router(200)]) };
    let mut engine = Engine::new(setup(LB1, None), with.clone(), Instant::default());
    engine.step(Instant::default(), Input::Interface(eth0(LB1)));
    engine.step(CLAIM, Input::Timeout);
    assert!(engine.instances[&KEY].vrrp.is_active());
    let refused = |what: String| Input::Failed { effect: Effect::Route { what }, error: "no".to_owned() };
    engine.step(CLAIM, refused(route("10.21.0.0/16", true).title()));
    assert!(engine.instances[&KEY].vrrp.is_active(), "nobody needs that one");
    engine.step(CLAIM, refused(needed.title()));
    let fault = |engine: &Engine| engine.instances[&KEY].fault.clone();
    assert_eq!(fault(&engine).as_deref(), Some("route 10.20.0.0/16 dev eth0 of track_group G is not there"));
    assert!(!engine.instances[&KEY].vrrp.is_active());
    // Another configuration that needs it is no reason to begin.
    let actions = engine.step(CLAIM, Input::Configure(Box::new(with)));
    assert!(fault(&engine).is_some() && !actions.iter().any(|a| matches!(a, Action::Record(Decision::Router { .. }))));
    engine.step(CLAIM, refused(needed.title()));
    // Refused with each look, it stays a fault; the first look that refuses nothing ends it, at the next one.
    let mut at = CLAIM;
    let mut look = |engine: &mut Engine| {
        at = at + super::super::routing::LOOK;
        engine.step(at, Input::Timeout);
        at
    };
    let seen = look(&mut engine);
    assert!(fault(&engine).is_some());
    engine.step(seen, refused(needed.title()));
    look(&mut engine);
    assert!(fault(&engine).is_some(), "refused since the look before");
    look(&mut engine);
    assert_eq!(fault(&engine), None);
}
