use std::time::Duration;

use mesh_config::model::TrackedScript;

use super::*;
use crate::fixture::router;

fn script(name: &str, weight: i16) -> TrackScript {
    TrackScript {
        name: name.to_owned(),
        command: vec!["/bin/true".to_owned()],
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        weight,
        rise: 1,
        fall: 1,
        init_fail: false,
        user: None,
    }
}

fn tracking(scripts: &[TrackScript]) -> Tracking {
    let mut tracking = Tracking::default();
    tracking.configure(scripts);
    tracking
}

fn tracks(priority: u8, scripts: &[(&str, Option<i16>)]) -> VirtualRouter {
    let tracked = |(name, weight): &(&str, Option<i16>)| TrackedScript { name: (*name).to_owned(), weight: *weight };
    VirtualRouter { track_scripts: scripts.iter().map(tracked).collect(), ..router(priority) }
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
    assert_eq!(tracking(&[]).effect(&tracks(100, &[("chk", None)])), Effect::Priority(100));
}

#[test]
fn init_fail_is_down_until_the_first_success() {
    let mut tracking = tracking(&[TrackScript { init_fail: true, ..script("chk", 0) }]);
    let router = tracks(100, &[("chk", None)]);
    assert_eq!(tracking.effect(&router), Effect::Fault("script chk is down".to_owned()));
    assert!(tracking.result("chk", ScriptOutcome::Success).is_some());
    assert_eq!(tracking.effect(&router), Effect::Priority(100));
}

#[test]
fn a_positive_weight_is_added_while_up_a_negative_one_while_down() {
    let mut tracking = tracking(&[script("plus", 20), script("minus", -30)]);
    let router = tracks(100, &[("plus", None), ("minus", None)]);
    assert_eq!(tracking.effect(&router), Effect::Priority(120));
    tracking.result("plus", ScriptOutcome::Exit(1));
    assert_eq!(tracking.effect(&router), Effect::Priority(100));
    tracking.result("minus", ScriptOutcome::Exit(1));
    assert_eq!(tracking.effect(&router), Effect::Priority(70));
}

#[test]
fn a_routers_own_weight_comes_first() {
    let mut tracking = tracking(&[script("chk", -30)]);
    tracking.result("chk", ScriptOutcome::Exit(1));
    assert_eq!(tracking.effect(&tracks(100, &[("chk", Some(-5))])), Effect::Priority(95));
    assert_eq!(tracking.effect(&tracks(100, &[("chk", Some(0))])), Effect::Fault("script chk is down".to_owned()));
}

#[test]
fn priority_stays_within_1_to_254() {
    let mut tracking = tracking(&[script("plus", 253), script("minus", -253)]);
    assert_eq!(tracking.effect(&tracks(254, &[("plus", None)])), Effect::Priority(254));
    tracking.result("minus", ScriptOutcome::Exit(1));
    assert_eq!(tracking.effect(&tracks(2, &[("minus", None)])), Effect::Priority(1));
}

#[test]
fn the_address_owner_ignores_weights_but_not_faults() {
    let mut tracking = tracking(&[script("weighed", -30), script("hard", 0)]);
    tracking.result("weighed", ScriptOutcome::Exit(1));
    let router = tracks(255, &[("weighed", None), ("hard", None)]);
    assert_eq!(tracking.effect(&router), Effect::Priority(255));
    tracking.result("hard", ScriptOutcome::Exit(1));
    assert_eq!(tracking.effect(&router), Effect::Fault("script hard is down".to_owned()));
}

#[test]
fn a_new_configuration_keeps_the_state_of_scripts_that_did_not_change() {
    let mut tracking = tracking(&[script("same", 0), script("other", 0)]);
    tracking.result("same", ScriptOutcome::Exit(1));
    tracking.result("other", ScriptOutcome::Exit(1));
    let changed = TrackScript { interval: Duration::from_secs(5), ..script("other", 0) };
    tracking.configure(&[script("same", 0), changed]);
    assert_eq!(tracking.effect(&tracks(100, &[("same", None)])), Effect::Fault("script same is down".to_owned()));
    assert_eq!(tracking.effect(&tracks(100, &[("other", None)])), Effect::Priority(100));
}
