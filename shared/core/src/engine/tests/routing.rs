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

/// As in keepalived: an uplink's route takes its director out when the uplink has no link.
#[test]
fn the_interface_of_a_tracked_route_or_rule_is_tracked() {
    let eth1 = |running| Input::Interface(Interface { name: "eth1".to_owned(), running, ..eth0(LB1) });
    let over = |route: Route, interface: &str| {
        let hop = Hop { interface: Some(interface.to_owned()), ..Hop::default() };
        Route { hops: vec![hop], ..route }
    };
    let fault_of = |routes: Vec<Route>, rules: Vec<Rule>, running| {
        let with = VirtualRouter { routes, rules, dont_track_primary: true, ..router(200) };
        let mut engine = started(LB1, vec![with], None);
        engine.step(ms(1), eth1(true));
        wait(&mut engine, ms(3300));
        assert!(engine.instances[&KEY].vrrp.is_active());
        engine.step(ms(3300), eth1(running));
        engine.instances[&KEY].fault.clone()
    };
    let uplink = || over(route("10.20.0.0/16", true), "eth1");
    let lost = "interface eth1 of route 10.20.0.0/16 dev eth1 has no link";
    assert_eq!(fault_of(vec![uplink()], vec![], true), None);
    assert_eq!(fault_of(vec![uplink()], vec![], false).as_deref(), Some(lost));
    assert_eq!(fault_of(vec![Route { track: false, ..uplink() }], vec![], false), None, "no_track");
    let [first, second] = ["eth0", "eth1"].map(|name| over(route("10.20.0.0/16", true), name).hops.remove(0));
    let spread = Route { hops: vec![first, second], ..uplink() };
    assert_eq!(fault_of(vec![spread], vec![], false), None, "which one?");
    let input = Rule { input: Some("eth1".to_owned()), ..rule(7) };
    let fault = fault_of(vec![], vec![input.clone()], false).unwrap();
    assert!(fault.starts_with("interface eth1 of rule ") && fault.ends_with(" has no link"), "{fault}");
    assert_eq!(fault_of(vec![], vec![Rule { track: false, ..input }], false), None);

    // Not even `dont_track_primary` is a word on it.
    let with = VirtualRouter { routes: vec![route("10.20.0.0/16", true)], dont_track_primary: true, ..router(200) };
    let mut engine = started(LB1, vec![with], None);
    engine.step(ms(1), Input::Interface(Interface { running: false, ..eth0(LB1) }));
    let fault = engine.instances[&KEY].fault.as_deref();
    assert_eq!(fault, Some("interface eth0 of route 10.20.0.0/16 dev eth0 has no link"));
}

/// What the kernel refuses is in the status until it is there, and is tried until then, tracked or not.
#[test]
fn what_was_refused_is_told_while_it_is_missing() {
    let routes = vec![route("10.20.0.0/16", true), route("10.21.0.0/16", false)];
    let with = VirtualRouter { routes: routes.clone(), rules: vec![rule(7)], ..router(200) };
    let mut engine = started(LB1, vec![with], Some(roster(1)));
    let refused = |what: String| Input::Failed { effect: Effect::Route { what }, error: "no".to_owned() };
    engine.step(ms(1), refused(routes[0].title()));
    let lacks = |engine: &Engine, at| engine.status(at).routers[0].lacks.clone().into_iter().collect::<Vec<_>>();
    assert_eq!(lacks(&engine, ms(1)), [], "it serves nothing yet");
    let mut at = ms(1);
    while !engine.instances[&KEY].vrrp.is_active() {
        at = engine.deadline().expect("it begins").0;
        engine.step(at, Input::Timeout);
    }
    let told = engine.step(at, refused(routes[0].title()));
    engine.step(at, refused(routes[1].title()));
    engine.step(at, refused(rule(7).title()));
    engine.step(at, refused("route of somebody else".to_owned()));
    let all = "route 10.20.0.0/16 dev eth0: no; route 10.21.0.0/16 no_track dev eth0: no; rule table 5 priority 7: no";
    assert_eq!(lacks(&engine, at), [("lb1".to_owned(), all.to_owned())]);
    let published = |actions: &[Action]| {
        actions.iter().find_map(|action| match action {
            Action::Publish { key, value: Some(value) } if key.starts_with("router/") => {
                serde_json::from_str::<RouterReport>(value).unwrap().lacks
            }
            _ => None,
        })
    };
    assert_eq!(published(&told).as_deref(), Some("route 10.20.0.0/16 dev eth0: no"));

    // One of them is refused with the next look, too: what is missing is asked for, though it is not tracked.
    let mut look = |engine: &mut Engine| {
        let (end, mut all) = (at + Duration::from_secs(1), Vec::new());
        while let Some((next, _)) = engine.deadline().filter(|(next, _)| *next <= end) {
            at = next;
            all.extend(engine.step(at, Input::Timeout));
        }
        (at, effects(all))
    };
    let every = Action::AddRoutes { routes: routes.clone(), rules: vec![rule(7)], again: true };
    let (at, asked) = look(&mut engine);
    assert!(asked.contains(&every), "{asked:?}");
    engine.step(at, refused(routes[0].title()));
    look(&mut engine);
    let (at, asked) = look(&mut engine);
    let tracked = Action::AddRoutes { routes: routes[..1].to_vec(), rules: vec![rule(7)], again: true };
    assert!(asked.contains(&tracked), "{asked:?}");
    assert_eq!(lacks(&engine, at), [], "both looks found it there");
    let told = Action::Record(Decision::Warning { text: "route 10.20.0.0/16 dev eth0: no".to_owned() });
    assert!(engine.step(at, refused(routes[0].title())).contains(&told), "news once more");
    assert_eq!(lacks(&engine, at).len(), 1);
    engine.step(at, Input::InterfaceGone { name: "eth0".to_owned() });
    assert_eq!(lacks(&engine, at), [], "it serves no longer");
}

#[test]
fn of_much_that_was_refused_a_part_is_named() {
    let routes: Vec<_> = (20..25).map(|net| route(&format!("10.{net}.0.0/16"), true)).collect();
    let with = VirtualRouter { routes: routes.clone(), ..router(200) };
    let mut engine = started(LB1, vec![with], None);
    engine.step(CLAIM, Input::Timeout);
    for route in routes {
        let effect = Effect::Route { what: route.title() };
        engine.step(CLAIM, Input::Failed { effect, error: "no".to_owned() });
    }
    let lacks = engine.status(CLAIM).routers[0].lacks["lb1"].clone();
    let named = [20, 21, 22].map(|net| format!("route 10.{net}.0.0/16 dev eth0: no; ")).concat();
    assert_eq!(lacks, format!("{named}2 more"));
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
