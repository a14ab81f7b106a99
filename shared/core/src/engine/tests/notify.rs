//! What others are told of routers, and when.

use mesh_config::model::{Fifo, Notify, Script};

use super::*;
use crate::fixture::vip;
use crate::notify::Notice;

/// VI_1 with a script for the end, and lines for all it does.
fn loud(priority: u8) -> Config {
    let stop = Some(Script { command: vec!["/stop".to_owned()], user: None });
    let mut config = config(vec![VirtualRouter {
        notify: Notify { stop, priority_changes: Some(true), ..Notify::default() },
        ..router(priority)
    }]);
    config.notify.router_fifo = Some(Fifo::new("/fifo"));
    config
}

/// What these actions tell, one thing in a line; it comes after all they do, but for the end.
fn told(actions: &[Action]) -> Vec<String> {
    let place = actions.iter().position(|a| matches!(a, Action::Tell(_)));
    let Some(Action::Tell(notices)) = place.map(|place| &actions[place]) else { return Vec::new() };
    assert!(actions[place.unwrap() + 1..].iter().all(|a| *a == Action::Stopped), "{actions:#?}");
    let one = |notice: &Notice| match notice {
        Notice::Run { script, .. } => script.command.join(" "),
        Notice::WriteFifo { line, .. } => line.clone(),
        Notice::Mail { subject, .. } => subject.clone(),
    };
    notices.iter().map(one).collect()
}

fn start(config: &Config) -> Engine {
    Engine::new(setup(LB1, None), config.clone(), Instant::default())
}

fn link(running: bool) -> Input {
    Input::Interface(Interface { running, ..eth0(LB1) })
}

#[test]
fn a_life_from_start_to_stop() {
    let mut engine = start(&loud(200));
    let mut step = |at, input| told(&engine.step(at, input));
    assert_eq!(step(Instant::default(), Input::Timeout), [""; 0], "its interface is not known yet");
    assert_eq!(step(Instant::default(), link(true)), ["INSTANCE \"VI_1\" BACKUP 200"]);
    assert_eq!(step(CLAIM, Input::Timeout), ["INSTANCE \"VI_1\" MASTER 200"]);
    assert_eq!(step(ms(3300), link(true)), [""; 0]);
    assert_eq!(step(ms(3400), link(false)), ["INSTANCE \"VI_1\" FAULT 200"], "without a word of BACKUP before");
    assert_eq!(step(ms(5000), link(true)), ["INSTANCE \"VI_1\" BACKUP 200"]);
    let again = ms(5000) + (CLAIM.since(Instant::default()));
    assert_eq!(step(again, Input::Timeout), ["INSTANCE \"VI_1\" MASTER 200"]);
    assert_eq!(step(ms(9000), Input::Shutdown), ["/stop", "INSTANCE \"VI_1\" STOP 200"]);
}

#[test]
fn a_reload_of_who_is_told_leaves_the_router_alone() {
    let mut engine = start(&loud(200));
    engine.step(Instant::default(), link(true));
    engine.step(CLAIM, Input::Timeout);
    let mut quiet = loud(200);
    quiet.routers[0].notify = Notify::default();
    let actions = engine.step(ms(3300), Input::Configure(Box::new(quiet.clone())));
    assert_eq!(told(&actions), [""; 0]);
    assert!(engine.instances[&KEY].vrrp.is_active());
    assert_eq!(engine.instances[&KEY].config.notify, Notify::default());
    let mut other = quiet;
    let second =
        VirtualRouter { name: "VI_2".into(), key: key(52), addresses: vec![vip("10.1.1.81/24")], ..router(100) };
    other.routers = vec![second];
    let actions = engine.step(ms(3400), Input::Configure(Box::new(other)));
    assert_eq!(told(&actions), ["INSTANCE \"VI_1\" FAULT 200", "INSTANCE \"VI_2\" BACKUP 100"]);
}

#[test]
fn a_lower_advert_and_a_changed_priority_are_told_once() {
    let mut engine = start(&loud(200));
    engine.step(Instant::default(), link(true));
    engine.step(CLAIM, Input::Timeout);
    let lower = adverts::multicast(LB2, 100);
    assert_eq!(told(&engine.step(ms(3300), lower.clone())), ["INSTANCE \"VI_1\" MASTER_RX_LOWER_PRI 200"]);
    assert_eq!(told(&engine.step(ms(3400), lower)), [""; 0]);
    let actions = engine.step(ms(3500), Input::Configure(Box::new(loud(150))));
    assert_eq!(told(&actions), ["INSTANCE \"VI_1\" MASTER_PRIORITY 150"]);
}

#[test]
fn in_a_mesh_a_refusal_is_no_change_and_a_lease_is() {
    let mut loud = loud(200);
    loud.assign_keys();
    let mut engine = Engine::new(setup(LB1, Some(roster(3))), loud, Instant::default());
    assert_eq!(told(&engine.step(Instant::default(), Input::Interface(eth0(LB1)))), ["INSTANCE \"VI_1\" BACKUP 200"]);
    let first = request(&engine.step(CLAIM, Input::Timeout));
    let refused = engine.step(ms(3220), held(LB2, ms(3220), &first, LB3, 900));
    let again = engine.step(ms(3221), held(LB3, ms(3221), &first, LB3, 900));
    assert_eq!((told(&refused), told(&again)), (vec![], vec![]));
    assert_eq!(engine.instances[&KEY].state(), RouterState::Vetoed);
}

/// An upgrade is no change of state: what the run before told is not told again.
#[test]
fn who_goes_on_with_what_the_run_before_left_says_nothing_new() {
    let mut before = start(&loud(200));
    before.step(Instant::default(), link(true));
    before.step(CLAIM, Input::Timeout);
    let actions = before.step(ms(3300), Input::Keep);
    assert_eq!(told(&actions), [""; 0], "nobody stops");
    let left = actions.into_iter().find_map(|a| if let Action::LeaveBehind(left) = a { Some(left) } else { None });
    let setup = Setup { adopted: left.expect("something is left"), ..setup(LB1, None) };
    // The new program may tell other people than the old one.
    let mut config = loud(200);
    config.routers[0].notify.active = Some(Script { command: vec!["/active".to_owned()], user: None });
    let mut engine = Engine::new(setup, config, ms(3400));
    assert_eq!(told(&engine.step(ms(3400), link(true))), [""; 0]);
    assert!(engine.instances[&KEY].vrrp.is_active());
    assert_eq!(told(&engine.step(ms(3500), link(false))), ["INSTANCE \"VI_1\" FAULT 200"]);
}
