use std::time::Duration;

use mesh_config::model::{BfdInstance, ParameterMatch};

use super::*;
use crate::fixture::router;

fn script(name: &str, weight: i16) -> TrackScript {
    TrackScript {
        name: name.to_owned(),
        command: vec!["/bin/true".to_owned()],
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        weight,
        reverse: false,
        rise: 1,
        fall: 1,
        init_fail: false,
        user: None,
    }
}

/// Scripts that have not run yet.
fn fresh(scripts: &[TrackScript]) -> Tracking {
    let mut tracking = Tracking::default();
    tracking.configure(&Config { track_scripts: scripts.to_vec(), ..Config::default() });
    tracking
}

/// Each has run once, and was content.
fn tracking(scripts: &[TrackScript]) -> Tracking {
    let mut tracking = fresh(scripts);
    for script in scripts {
        tracking.result(&script.name, ScriptOutcome::Success).expect("its first result");
    }
    tracking
}

fn tracks(priority: u8, scripts: &[(&str, Option<i16>)]) -> VirtualRouter {
    let tracked = |(name, weight): &(&str, Option<i16>)| Tracked {
        name: (*name).to_owned(),
        weight: weight.map(|by| Weight { by: by.into(), reverse: false }),
    };
    let scripts = scripts.iter().map(tracked).collect();
    VirtualRouter { track: Tracks { scripts, ..Tracks::default() }, ..router(priority) }
}

/// Of a router in no group, all of whose interfaces are up.
fn effect(tracking: &Tracking, router: &VirtualRouter) -> Effect {
    tracking.effect(router, None, &|_| true, false)
}

#[test]
fn fall_and_rise_count_results_in_a_row() {
    let mut tracking = tracking(&[TrackScript { rise: 2, fall: 3, ..script("chk", 0) }]);
    let fail = ScriptOutcome::Exit(1);
    assert_eq!(tracking.result("chk", fail), None);
    assert_eq!(tracking.result("chk", fail), None);
    assert_eq!(tracking.result("chk", ScriptOutcome::Success), None, "starts the count again");
    assert_eq!(tracking.result("chk", fail), None);
    assert_eq!(tracking.result("chk", fail), None);
    assert_eq!(tracking.result("chk", fail), Some((false, "exit status 1, 3 in a row".to_owned())));
    assert_eq!(tracking.result("chk", fail), None, "told once");
    assert_eq!(tracking.result("chk", ScriptOutcome::Success), None);
    assert_eq!(tracking.result("chk", fail), None);
    assert_eq!(tracking.result("chk", ScriptOutcome::Success), None);
    assert_eq!(tracking.result("chk", ScriptOutcome::Success), Some((true, "exit status 0, 2 in a row".to_owned())));
}

#[test]
fn every_way_to_fail_has_its_words() {
    let table = [
        (ScriptOutcome::Exit(7), "exit status 7, 1 in a row"),
        (ScriptOutcome::Signal(9), "killed by signal 9, 1 in a row"),
        (ScriptOutcome::TimedOut, "no answer within 2s, 1 in a row"),
        (ScriptOutcome::NotStarted, "it cannot be started, 1 in a row"),
    ];
    for (outcome, words) in table {
        assert_eq!(tracking(&[script("chk", 0)]).result("chk", outcome), Some((false, words.to_owned())));
    }
}

#[test]
fn a_script_nobody_configured_changes_nothing() {
    assert_eq!(tracking(&[]).result("chk", ScriptOutcome::Exit(1)), None);
    assert_eq!(effect(&tracking(&[]), &tracks(100, &[("chk", None)])), Effect::Priority(100));
}

/// As with keepalived 2.2.7, whatever `rise` and `fall` say.
#[test]
fn the_first_result_counts_at_once_and_is_waited_for() {
    for (outcome, effect_after, words) in [
        (ScriptOutcome::Success, Effect::Priority(100), (true, "exit status 0, at its first run")),
        (
            ScriptOutcome::Exit(1),
            Effect::Fault("script chk is down".into()),
            (false, "exit status 1, at its first run"),
        ),
    ] {
        let mut tracking = fresh(&[TrackScript { rise: 5, fall: 5, ..script("chk", 0) }]);
        let router = tracks(100, &[("chk", None)]);
        let awaits = "script chk has not ended yet".to_owned();
        assert_eq!(effect(&tracking, &router), Effect::Awaits(100, awaits.clone()));
        assert_eq!(effect(&tracking, &tracks(255, &[("chk", None)])), Effect::Awaits(255, awaits));
        assert_eq!(tracking.effect(&router, None, &|_| true, true), Effect::Priority(100), "it goes on");
        assert_eq!(tracking.result("chk", outcome), Some((words.0, words.1.to_owned())));
        assert_eq!(effect(&tracking, &router), effect_after);
    }
}

#[test]
fn a_weight_counts_from_the_first_result_on() {
    let mut tracking = fresh(&[script("plus", 60), script("minus", -30)]);
    let router = tracks(100, &[("plus", None), ("minus", None)]);
    assert_eq!(effect(&tracking, &router), Effect::Priority(100));
    assert_eq!(tracking.lowers(&router, None, &|_| true, false), None);
    tracking.result("minus", ScriptOutcome::Exit(1));
    assert_eq!(effect(&tracking, &router), Effect::Priority(70));
    tracking.result("plus", ScriptOutcome::Success);
    assert_eq!(effect(&tracking, &router), Effect::Priority(130));
}

#[test]
fn init_fail_is_down_until_the_first_success() {
    let mut tracking = fresh(&[TrackScript { init_fail: true, rise: 5, ..script("chk", 0) }]);
    let router = tracks(100, &[("chk", None)]);
    assert_eq!(effect(&tracking, &router), Effect::Fault("script chk is down".to_owned()));
    assert!(tracking.result("chk", ScriptOutcome::Success).is_some());
    assert_eq!(effect(&tracking, &router), Effect::Priority(100));
}

#[test]
fn a_positive_weight_is_added_while_up_a_negative_one_while_down() {
    let mut tracking = tracking(&[script("plus", 20), script("minus", -30)]);
    let router = tracks(100, &[("plus", None), ("minus", None)]);
    assert_eq!(effect(&tracking, &router), Effect::Priority(120));
    tracking.result("plus", ScriptOutcome::Exit(1));
    assert_eq!(effect(&tracking, &router), Effect::Priority(100));
    tracking.result("minus", ScriptOutcome::Exit(1));
    assert_eq!(effect(&tracking, &router), Effect::Priority(70));
}

#[test]
fn what_lowers_a_priority_has_its_words() {
    let mut tracking = tracking(&[script("plus", 20), script("minus", -30)]);
    let lowers = |tracking: &Tracking, router: &VirtualRouter| tracking.lowers(router, None, &|_| true, false);
    let router = tracks(100, &[("plus", None), ("minus", None)]);
    assert_eq!(lowers(&tracking, &router), None);
    tracking.result("minus", ScriptOutcome::Exit(1));
    assert_eq!(lowers(&tracking, &router).as_deref(), Some("30 less: script minus is down"));
    tracking.result("plus", ScriptOutcome::Exit(1));
    let both = "20 not added: script plus is down, 30 less: script minus is down";
    assert_eq!(lowers(&tracking, &router).as_deref(), Some(both));
    assert_eq!(lowers(&tracking, &tracks(255, &[("minus", None)])), None, "the owner of the addresses");
    assert_eq!(lowers(&tracking, &tracks(100, &[("minus", Some(0))])), None, "that is a fault");

    let mut group = SyncGroup::new("G", vec!["VI_1".to_owned()]);
    group.track.scripts = vec![Tracked::new("minus")];
    let grouped = tracking.lowers(&tracks(100, &[("plus", None)]), Some(&group), &|_| true, false);
    assert_eq!(grouped.as_deref(), Some("30 less: script minus is down"), "a member's weight does not count there");
}

#[test]
fn what_lowers_a_priority_the_other_way_round() {
    let interface = |weight| {
        let tracked = Tracked { weight, ..Tracked::new("eth1") };
        VirtualRouter { track: Tracks { interfaces: vec![tracked], ..Tracks::default() }, ..router(100) }
    };
    let lowers = |weight, up: bool| tracking(&[]).lowers(&interface(weight), None, &|_| up, false);
    assert_eq!(lowers(reversed(10), true).as_deref(), Some("10 less: interface eth1 is up"));
    assert_eq!(lowers(reversed(10), false), None);
    assert_eq!(lowers(reversed(-10), true).as_deref(), Some("10 not added: interface eth1 is up"));
    assert_eq!(lowers(reversed(-10), false), None);
    assert_eq!(lowers(by(-10), false).as_deref(), Some("10 less: interface eth1 has no link"));
}

#[test]
fn a_routers_own_weight_comes_first() {
    let mut tracking = tracking(&[script("chk", -30)]);
    tracking.result("chk", ScriptOutcome::Exit(1));
    assert_eq!(effect(&tracking, &tracks(100, &[("chk", Some(-5))])), Effect::Priority(95));
    assert_eq!(effect(&tracking, &tracks(100, &[("chk", Some(0))])), Effect::Fault("script chk is down".to_owned()));
}

#[test]
fn priority_stays_within_1_to_254() {
    let mut tracking = tracking(&[script("plus", 253), script("minus", -253)]);
    assert_eq!(effect(&tracking, &tracks(254, &[("plus", None)])), Effect::Priority(254));
    tracking.result("minus", ScriptOutcome::Exit(1));
    assert_eq!(effect(&tracking, &tracks(2, &[("minus", None)])), Effect::Priority(1));
}

#[test]
fn the_address_owner_ignores_weights_but_not_faults() {
    let mut tracking = tracking(&[script("weighed", -30), script("hard", 0)]);
    tracking.result("weighed", ScriptOutcome::Exit(1));
    let router = tracks(255, &[("weighed", None), ("hard", None)]);
    assert_eq!(effect(&tracking, &router), Effect::Priority(255));
    tracking.result("hard", ScriptOutcome::Exit(1));
    assert_eq!(effect(&tracking, &router), Effect::Fault("script hard is down".to_owned()));
}

#[test]
fn a_new_configuration_keeps_the_state_of_scripts_that_run_the_same() {
    let mut tracking = tracking(&[script("same", 0), script("other", 0)]);
    tracking.result("same", ScriptOutcome::Exit(1));
    tracking.result("other", ScriptOutcome::Exit(1));
    let changed = TrackScript { interval: Duration::from_secs(5), ..script("other", 0) };
    tracking.configure(&Config { track_scripts: vec![script("same", 0), changed], ..Config::default() });
    assert_eq!(effect(&tracking, &tracks(100, &[("same", None)])), Effect::Fault("script same is down".to_owned()));
    assert_eq!(effect(&tracking, &tracks(100, &[("other", None)])), Effect::Fault("script other is down".to_owned()));
    let another = TrackScript { command: vec!["/bin/false".to_owned()], ..script("other", 0) };
    tracking.configure(&Config { track_scripts: vec![another], ..Config::default() });
    let awaits = Effect::Awaits(100, "script other has not ended yet".to_owned());
    assert_eq!(effect(&tracking, &tracks(100, &[("other", None)])), awaits, "another program has not run yet");
}

/// A router that tracks one object with this weight.
fn tracks_one(kind: &str, weight: Option<Weight>) -> VirtualRouter {
    let list = vec![Tracked { name: "x".to_owned(), weight }];
    let track = match kind {
        "interface" => Tracks { interfaces: list, ..Tracks::default() },
        "file" => Tracks { files: list, ..Tracks::default() },
        "process" => Tracks { processes: list, ..Tracks::default() },
        _ => Tracks { bfds: list, ..Tracks::default() },
    };
    VirtualRouter { track, ..router(100) }
}

fn by(by: i32) -> Option<Weight> {
    Some(Weight { by, reverse: false })
}

fn reversed(by: i32) -> Option<Weight> {
    Some(Weight { by, reverse: true })
}

fn process(name: &str) -> TrackProcess {
    TrackProcess {
        name: name.to_owned(),
        command: vec!["haproxy".to_owned()],
        parameters: ParameterMatch::Given,
        full_command: false,
        weight: Weight { by: 1, reverse: false },
        quorum: 1,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
    }
}

fn file(name: &str, weight: i32, reverse: bool) -> TrackFile {
    TrackFile { name: name.to_owned(), path: "/run/x".into(), weight, reverse, init: None }
}

#[test]
fn up_and_down_by_kind_weight_and_direction() {
    let config = Config { track_processes: vec![process("x")], ..Config::default() };
    // For a weight and a direction: while it is up, and while it is down.
    let table = [
        (by(0), Ok(100), Err("down")),
        (reversed(0), Err("up"), Ok(100)),
        (by(30), Ok(130), Ok(100)),
        (by(-30), Ok(100), Ok(70)),
        (reversed(30), Ok(70), Ok(100)),
        (reversed(-30), Ok(100), Ok(130)),
        (by(253), Ok(254), Ok(100)),
        (by(-253), Ok(100), Ok(1)),
    ];
    for (kind, thing, down) in [
        ("interface", "interface", "has no link"),
        ("process", "process", "is down"),
        ("bfd", "BFD session", "is down"),
    ] {
        for (weight, up_effect, down_effect) in &table {
            for (up, expected) in [(true, up_effect), (false, down_effect)] {
                let mut tracking = Tracking::default();
                tracking.configure(&config);
                tracking.observe(Kind::Process, "x", i64::from(up));
                tracking.observe(Kind::Bfd, "x", i64::from(up));
                let found = tracking.effect(&tracks_one(kind, *weight), None, &|_| up, false);
                let how = if up { "is up" } else { down };
                let expected = match expected {
                    Ok(priority) => Effect::Priority(*priority),
                    Err(_) => Effect::Fault(format!("{thing} x {how}")),
                };
                assert_eq!(found, expected, "{kind} {weight:?} up: {up}");
            }
        }
    }
}

#[test]
fn a_file_is_multiplied_and_bounded() {
    // Weight and direction of the file, the number in it, and what comes of it.
    let table = [
        (0, false, 0, Ok(100)),
        (0, false, -7, Err("file x holds -7")),
        (0, true, 0, Err("file x holds 0")),
        (0, true, 5, Ok(100)),
        (1, false, 20, Ok(120)),
        (2, false, -20, Ok(60)),
        (2, true, 20, Ok(60)),
        (-1, false, 20, Ok(80)),
        (1, false, -253, Ok(1)),
        (1, false, -254, Err("file x holds -254")),
        (254, false, -1, Err("file x holds -1")),
        (1, false, 1_000_000, Ok(254)),
        (-254, false, i64::MAX, Err("file x holds 9223372036854775807")),
        (254, false, i64::MIN, Err("file x holds -9223372036854775808")),
        (254, true, i64::MIN, Ok(254)),
    ];
    for (weight, reverse, number, expected) in table {
        let mut tracking = Tracking::default();
        tracking.configure(&Config { track_files: vec![file("x", weight, reverse)], ..Config::default() });
        tracking.observe(Kind::File, "x", number);
        let expected = match expected {
            Ok(priority) => Effect::Priority(priority),
            Err(fault) => Effect::Fault(fault.to_owned()),
        };
        assert_eq!(effect(&tracking, &tracks_one("file", None)), expected, "{weight} {reverse} {number}");
        let own = Some(Weight { by: weight, reverse });
        assert_eq!(effect(&tracking, &tracks_one("file", own)), expected, "the same weight by the router");
    }
}

#[test]
fn what_nobody_has_told_of() {
    let mut tracking = Tracking::default();
    let config =
        Config { track_files: vec![file("x", 0, false)], track_processes: vec![process("x")], ..Config::default() };
    tracking.configure(&config);
    let awaits = Effect::Awaits(100, "file x has not been read yet".to_owned());
    assert_eq!(effect(&tracking, &tracks_one("file", None)), awaits);
    assert_eq!(effect(&tracking, &tracks_one("file", by(3))), Effect::Priority(100));
    assert_eq!(tracking.effect(&tracks_one("file", None), None, &|_| true, true), Effect::Priority(100), "it goes on");
    let fault = Effect::Fault("process x has not been looked at yet".to_owned());
    assert_eq!(effect(&tracking, &tracks_one("process", by(0))), fault);
    assert_eq!(effect(&tracking, &tracks_one("process", None)), Effect::Priority(100), "the process's own weight is 1");
    assert_eq!(effect(&tracking, &tracks_one("bfd", None)), Effect::Fault("BFD session x is down".to_owned()));
    tracking.configure(&Config::default());
    assert_eq!(tracking.observe(Kind::File, "x", 1), None, "it is not defined any more");
    assert_eq!(tracking.observe(Kind::Process, "x", 1), None);
}

#[test]
fn changes_are_told_once_and_survive_a_reload() {
    let mut tracking = Tracking::default();
    let mut config =
        Config { track_files: vec![file("x", 1, false)], track_processes: vec![process("x")], ..Config::default() };
    config.routers = vec![tracks_one("bfd", None)];
    tracking.configure(&config);
    assert_eq!(tracking.observe(Kind::File, "x", 0), Some("holds 0".to_owned()));
    assert_eq!(tracking.observe(Kind::File, "x", 0), None);
    assert_eq!(tracking.observe(Kind::File, "x", 7), Some("holds 7".to_owned()));
    assert_eq!(tracking.observe(Kind::File, "x", 7), None);
    assert_eq!(tracking.observe(Kind::Process, "x", 0), Some("is down".to_owned()), "it was not known before");
    assert_eq!(tracking.observe(Kind::Process, "x", 0), None);
    assert_eq!(tracking.observe(Kind::Process, "x", 1), Some("is up".to_owned()));
    assert_eq!(tracking.observe(Kind::Bfd, "x", 1), Some("is up".to_owned()));
    config.track_files[0].weight = 2;
    tracking.configure(&config);
    assert_eq!(
        effect(&tracking, &tracks_one("file", None)),
        Effect::Priority(114),
        "the number stays, the weight is new"
    );
    assert_eq!(effect(&tracking, &tracks_one("bfd", None)), Effect::Priority(100));
    config.track_processes[0].quorum = 2;
    config.routers.clear();
    tracking.configure(&config);
    let fault = Effect::Fault("process x has not been looked at yet".to_owned());
    assert_eq!(effect(&tracking, &tracks_one("process", by(0))), fault, "another quorum is another question");
    assert_eq!(effect(&tracking, &tracks_one("bfd", None)), Effect::Fault("BFD session x is down".to_owned()));
}

#[test]
fn a_group_tracks_for_its_members_and_their_weights_are_not_counted() {
    let mut tracking = tracking(&[script("own", -20), script("hard", 0), script("all", -30)]);
    for name in ["own", "all"] {
        tracking.result(name, ScriptOutcome::Exit(1));
    }
    let router = tracks(100, &[("own", None), ("hard", None)]);
    let of = |names: &[&str]| Tracks { scripts: names.iter().map(|n| Tracked::new(*n)).collect(), ..Tracks::default() };
    let mut group = SyncGroup { track: of(&["all"]), ..SyncGroup::new("G", vec!["VI_1".to_owned()]) };
    let found = |tracking: &Tracking, group: Option<&SyncGroup>| tracking.effect(&router, group, &|_| true, false);
    assert_eq!(found(&tracking, None), Effect::Priority(80));
    assert_eq!(found(&tracking, Some(&group)), Effect::Priority(70));
    group.member_weights = true;
    assert_eq!(found(&tracking, Some(&group)), Effect::Priority(50));
    group.member_weights = false;
    tracking.result("hard", ScriptOutcome::Exit(1));
    let fault = Effect::Fault("script hard is down".to_owned());
    assert_eq!(found(&tracking, Some(&group)), fault, "without a weight it counts in a group, too");
}

#[test]
fn what_nobody_has_told_of_is_up_for_a_router_that_goes_on() {
    let mut tracking = Tracking::default();
    let bfd = BfdInstance { weight: -20, ..BfdInstance::new("x", "10.0.0.9".parse().unwrap()) };
    tracking.configure(&Config { bfd_instances: vec![bfd], ..Config::default() });
    let router = |weight| tracks_one("bfd", weight);
    let weighted = router(None);
    let reversed = router(Some(Weight { by: 0, reverse: true }));
    let fault = router(Some(Weight::default()));
    let effect = |tracking: &Tracking, router, goes_on| tracking.effect(router, None, &|_| true, goes_on);
    assert_eq!(effect(&tracking, &fault, true), Effect::Priority(100));
    assert_eq!(effect(&tracking, &reversed, true), Effect::Priority(100));
    assert_eq!(effect(&tracking, &fault, false), Effect::Fault("BFD session x is down".into()));
    // Its own weight, where the router says nothing.
    assert_eq!(effect(&tracking, &weighted, false), Effect::Priority(80));
    assert!(tracking.observe(Kind::Bfd, "x", 0).is_some());
    assert_eq!(effect(&tracking, &fault, true), Effect::Fault("BFD session x is down".into()));
    assert_eq!(effect(&tracking, &weighted, true), Effect::Priority(80));
}
