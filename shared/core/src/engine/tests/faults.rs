//! Links, addresses, scripts.

use mesh_config::model::{TrackScript, Tracked, Tracks};

use super::actions::*;
use super::*;
use crate::action::Effect;
use crate::input::ScriptOutcome;
use mesh_config::model::VirtualAddress;

fn script(weight: i16) -> TrackScript {
    TrackScript {
        name: "chk".to_owned(),
        command: vec!["/bin/chk".to_owned()],
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(1),
        weight,
        reverse: false,
        rise: 2,
        fall: 2,
        init_fail: false,
        user: None,
    }
}

/// lb1 without a mesh, Active, tracking a script.
fn tracking(weight: i16) -> Engine {
    let track = Tracks { scripts: vec![Tracked::new("chk")], ..Tracks::default() };
    let mut config = config(vec![VirtualRouter { track, ..router(200) }]);
    config.track_scripts = vec![script(weight)];
    let mut engine = Engine::new(setup(LB1, None), config, ms(0));
    let actions = plain(engine.step(ms(0), Input::Interface(eth0(LB1))));
    assert_eq!(actions[1], run(&[script(weight)]));
    engine.step(ms(0), ended(ScriptOutcome::Success));
    engine.step(CLAIM, Input::Timeout);
    engine
}

/// Until the first result it is in no state that is told, as with keepalived; that result counts alone.
#[test]
fn a_router_waits_for_the_first_result_of_its_scripts() {
    let track = Tracks { scripts: vec![Tracked::new("chk")], ..Tracks::default() };
    let mut config = config(vec![VirtualRouter { track, ..router(200) }]);
    config.track_scripts = vec![script(0)];
    let begin = || {
        let mut engine = Engine::new(setup(LB1, None), config.clone(), ms(0));
        let actions = plain(engine.step(ms(0), Input::Interface(eth0(LB1))));
        assert!(!actions.iter().any(|a| matches!(a, Action::Record(Decision::Router { .. }))), "{actions:?}");
        wait(&mut engine, ms(6000));
        assert_eq!(engine.instances[&KEY].fault.as_deref(), Some("script chk has not ended yet"));
        engine
    };
    let healthy = plain(begin().step(ms(6000), ended(ScriptOutcome::Success)));
    assert_eq!(healthy, [turned(true, "exit status 0, at its first run"), told(RouterEvent::Backup, "ready")]);
    let ill = plain(begin().step(ms(6000), ended(ScriptOutcome::Exit(1))));
    assert_eq!(
        ill,
        [turned(false, "exit status 1, at its first run"), told(RouterEvent::Fault, "script chk is down"),]
    );
}

/// A script that a new configuration adds takes nothing from who runs, before it has failed.
#[test]
fn a_script_that_is_added_is_waited_for_by_nobody_who_runs() {
    let mut engine = plain_active();
    let track = Tracks { scripts: vec![Tracked::new("chk")], ..Tracks::default() };
    let mut with_script = config(vec![VirtualRouter { track, ..router(200) }]);
    with_script.track_scripts = vec![script(0)];
    engine.step(ms(3300), Input::Configure(Box::new(with_script)));
    assert_eq!(engine.instances[&KEY].state(), RouterState::Active);
    engine.step(ms(3400), ended(ScriptOutcome::Exit(1)));
    assert_eq!(engine.instances[&KEY].state(), RouterState::Fault, "at its first failure");
}

fn ended(outcome: ScriptOutcome) -> Input {
    Input::Script { name: "chk".to_owned(), outcome }
}

fn turned(up: bool, cause: &str) -> Action {
    Action::Record(Decision::Script { name: "chk".to_owned(), up, cause: cause.to_owned() })
}

#[test]
fn a_lost_link_stops_it_and_its_return_starts_it_as_backup() {
    let mut engine = plain_active();
    let down = Interface { running: false, ..eth0(LB1) };
    let fault = "interface eth0 has no link";
    let expected = [del(), advert(0), told(RouterEvent::Backup, fault), told(RouterEvent::Fault, fault)];
    assert_eq!(plain(engine.step(ms(3300), Input::Interface(down))), expected);
    assert_eq!(engine.work_due(), None);
    assert_eq!(engine.instances[&KEY].shown_priority(), 0);
    assert_eq!(plain(engine.step(ms(4000), Input::Interface(eth0(LB1)))), [told(RouterEvent::Backup, "ready")]);
    assert_eq!(engine.work_due(), Some((us(4_000_000 + 3_218_750), TimerKind::Vrrp)));
}

#[test]
fn with_a_lease_the_fence_closes_first() {
    let mut engine = holding();
    let gone = plain(engine.step(ms(3300), Input::InterfaceGone { name: "eth0".into() }));
    assert_eq!(gone[..2], [close(), del()], "and nothing can be sent any more");
    let fault = told(RouterEvent::Fault, "interface eth0 is not there");
    assert_eq!(gone.last(), Some(&fault));
}

#[test]
fn addresses_on_other_interfaces_need_those() {
    let mut vi_1 = router(200);
    vi_1.excluded_addresses = vec![vip("10.2.0.80/24")];
    vi_1.excluded_addresses[0].interface = Some("eth1".to_owned());
    let mut engine = started(LB1, vec![vi_1], None);
    assert_eq!(engine.instances[&KEY].fault.as_deref(), Some("interface eth1 is not there"));
    let eth1 = Interface { name: "eth1".to_owned(), addresses: Vec::new(), ..eth0(LB1) };
    engine.step(ms(1), Input::Interface(eth1));
    let actions = plain(engine.step(ms(3220), Input::Timeout));
    let second = Action::AddAddress {
        interface: "eth1".to_owned(),
        address: engine.instances[&KEY].config.excluded_addresses[0].clone(),
        lifetime_s: 5,
    };
    assert_eq!(actions[..3], [add(5), second, advert(200)], "excluded addresses are not advertised");

    let mut vi_1 = router(200);
    vi_1.excluded_addresses = vec![vip("10.2.0.80/24")];
    vi_1.excluded_addresses[0] =
        VirtualAddress { interface: Some("eth1".to_owned()), track: false, ..vip("10.2.0.80/24") };
    assert_eq!(started(LB1, vec![vi_1], None).instances[&KEY].fault, None, "no_track");
}

#[test]
fn a_script_without_weight_is_a_fault_after_fall_and_over_after_rise() {
    let mut engine = tracking(0);
    let down = || ended(ScriptOutcome::Exit(2));
    let up = || ended(ScriptOutcome::Success);
    assert_eq!(plain(engine.step(ms(3300), down())), []);
    let fault = "script chk is down";
    let expected = [
        turned(false, "exit status 2, 2 in a row"),
        del(),
        advert(0),
        told(RouterEvent::Backup, fault),
        told(RouterEvent::Fault, fault),
    ];
    assert_eq!(plain(engine.step(ms(3400), down())), expected);
    assert_eq!(plain(engine.step(ms(3500), up())), []);
    let expected = [turned(true, "exit status 0, 2 in a row"), told(RouterEvent::Backup, "ready")];
    assert_eq!(plain(engine.step(ms(3600), up())), expected);
}

#[test]
fn a_weight_changes_the_priority_of_the_next_advert() {
    let mut engine = tracking(-30);
    engine.step(ms(3300), ended(ScriptOutcome::TimedOut));
    let told = turned(false, "no answer within 1s, 2 in a row");
    let weighed = |priority, because: Option<&str>| {
        let because = because.map(str::to_owned);
        Action::Record(Decision::Weighed { name: "VI_1".to_owned(), key: KEY, priority, because })
    };
    let because = "30 less: script chk is down";
    let lowered = weighed(170, Some(because));
    assert_eq!(plain(engine.step(ms(3400), ended(ScriptOutcome::TimedOut))), [told, lowered]);
    let shown = engine.status(ms(3400)).routers.remove(0);
    assert_eq!((shown.priority["lb1"], shown.lowered["lb1"].as_str()), (170, because));
    assert_eq!(plain(engine.step(us(4_218_750), Input::Timeout))[0], advert(170));
    assert_eq!(engine.instances[&KEY].shown_priority(), 170);
    engine.step(ms(4300), ended(ScriptOutcome::Success));
    let told = turned(true, "exit status 0, 2 in a row");
    assert_eq!(plain(engine.step(ms(4400), ended(ScriptOutcome::Success))), [told, weighed(200, None)]);
    assert_eq!(engine.status(ms(4400)).routers.remove(0).lowered, BTreeMap::new());
}

#[test]
fn unknown_scripts_change_nothing() {
    let mut engine = plain_active();
    assert_eq!(plain(engine.step(ms(3300), ended(ScriptOutcome::Exit(1)))), []);
}

#[test]
fn a_removed_address_is_put_back_at_once() {
    let mut engine = plain_active();
    let what = "address 10.1.1.80 on eth0 was removed by somebody else".to_owned();
    let expected = [add(5), garp(1), Action::Record(Decision::Repaired { what })];
    let gone = |interface: &str, address| Input::AddressGone { interface: interface.to_owned(), address };
    assert_eq!(plain(engine.step(ms(3300), gone("eth0", VIP))), expected);
    assert_eq!(plain(engine.step(ms(3301), gone("eth1", VIP))), [], "of another interface");
    assert_eq!(plain(engine.step(ms(3301), gone("eth0", source(LB1)))), [], "not ours");

    let mut backup = started(LB1, vec![router(200)], None);
    assert_eq!(plain(backup.step(ms(10), gone("eth0", VIP))), [], "not served");
}

#[test]
fn an_address_that_cannot_be_added_makes_room_for_others_and_is_tried_again() {
    let mut engine = holding();
    let effect = Effect::Address { interface: "eth0".to_owned(), address: VIP };
    let failed = Input::Failed { effect: effect.clone(), error: "no buffers".to_owned() };
    let actions = plain(engine.step(ms(3300), failed));
    assert_eq!(actions[..3], [close(), del(), advert(0)]);
    let fault = "address 10.1.1.80 cannot be put on eth0: no buffers";
    assert_eq!(actions.last(), Some(&told(RouterEvent::Fault, fault)));
    assert_eq!(engine.work_due(), Some((ms(8300), TimerKind::Claim)));
    let again = Input::Failed { effect, error: "no buffers".to_owned() };
    assert_eq!(plain(engine.step(ms(3301), again)), [], "the rest of the same failure");
    assert_eq!(plain(engine.step(ms(8300), Input::Timeout)), [told(RouterEvent::Backup, "ready")]);
}

/// Fourteen addresses are better than none, wherever they are.
#[test]
fn a_router_goes_on_without_an_address_that_the_kernel_refuses_but_not_without_all() {
    let second = vip("10.1.1.81/24");
    let mut engine = started(LB1, vec![VirtualRouter { excluded_addresses: vec![second], ..router(200) }], None);
    engine.step(CLAIM, Input::Timeout);
    let refused = |address: &str| Input::Failed {
        effect: Effect::Address { interface: "eth0".to_owned(), address: address.parse().unwrap() },
        error: "no".to_owned(),
    };
    let lacks = |engine: &Engine, at| engine.status(at).routers[0].lacks.get("lb1").cloned();
    let told = Action::Record(Decision::Warning { text: "address 10.1.1.81 on eth0: no".to_owned() });
    assert_eq!(plain(engine.step(CLAIM, refused("10.1.1.81"))), [told]);
    assert!(engine.instances[&KEY].vrrp.is_active());
    assert_eq!(lacks(&engine, CLAIM).as_deref(), Some("address 10.1.1.81 on eth0: no"));
    // Refused again with the next renewal, and no news; then it is there.
    let mut at = CLAIM;
    let mut renewed = |engine: &mut Engine| {
        at = engine.instances[&KEY].refresh_at.unwrap();
        wait(engine, at);
        at
    };
    let first = renewed(&mut engine);
    assert_eq!(plain(engine.step(first, refused("10.1.1.81"))), []);
    renewed(&mut engine);
    let at = renewed(&mut engine);
    assert_eq!(lacks(&engine, at), None);

    engine.step(at, refused("10.1.1.81"));
    engine.step(at, refused("10.1.1.80"));
    let fault = engine.instances[&KEY].fault.as_deref();
    assert_eq!(fault, Some("address 10.1.1.80 cannot be put on eth0: no"));
}

#[test]
fn an_advert_that_cannot_be_sent_is_counted() {
    let mut engine = plain_active();
    let effect = Effect::Advertisement { interface: "eth0".to_owned() };
    let failed = || Input::Failed { effect: effect.clone(), error: "no route".to_owned() };
    let reason = "advertisement could not be sent: no route".to_owned();
    let expected = Action::Record(Decision::Dropped { from: "eth0".to_owned(), reason, count: 1 });
    assert_eq!(plain(engine.step(ms(3300), failed())), [expected]);
    assert_eq!(plain(engine.step(ms(3301), failed())), []);
}

/// It would take the address for vacant, and nobody would hear of it.
#[test]
fn a_router_that_cannot_hear_stops_until_it_can() {
    let mut engine = plain_active();
    let hearing = |failure: Option<&str>| Input::Hearing {
        interface: "eth0".to_owned(),
        family: Family::Ipv4,
        failure: failure.map(str::to_owned),
    };
    let fault = "VRRP cannot be heard on interface eth0: too many open files";
    let expected = [del(), advert(0), told(RouterEvent::Backup, fault), told(RouterEvent::Fault, fault)];
    assert_eq!(plain(engine.step(ms(3300), hearing(Some("too many open files")))), expected);
    assert_eq!(plain(engine.step(ms(4000), hearing(None))), [told(RouterEvent::Backup, "ready")]);
    // Another interface is none of its concern, nor is the other family.
    for (interface, family) in [("eth7", Family::Ipv4), ("eth0", Family::Ipv6)] {
        let failure = Some("no buffer space".to_owned());
        let other = Input::Hearing { interface: interface.to_owned(), family, failure };
        assert_eq!(plain(engine.step(ms(4100), other)), []);
    }
}
