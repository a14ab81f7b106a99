//! A daemon that is late because it was busy has heard all there was; one that stood still has not.

use mesh_wire::vrrp::{Advertisement, Authentication, ChecksumForm, GROUP, Interval, Version, emit};

use super::actions::*;
use super::*;
use crate::input::Datagram;

/// When routers of priority 199 claim if nothing is heard: 3 s and a skew of 57/256 s.
const LATER: Instant = Instant::from_nanos(3_222_656_250);
/// What taking over the first router took, on a busy machine.
const EFFECTS: Duration = Duration::from_millis(576);

/// Four routers without a mesh whose owner fell silent: the first has been taken over, the others come due
/// while the daemon brings that about.
fn taking_over() -> Engine {
    let other = |vrid: u8| VirtualRouter { name: format!("VI_{vrid}"), key: key(vrid), ..router(199) };
    let mut engine = started(LB1, vec![router(200), other(52), other(53), other(54)], None);
    engine.step(CLAIM, Input::Timeout);
    assert_eq!(served(&engine), [51]);
    engine
}

fn served(engine: &Engine) -> Vec<u8> {
    engine.instances.iter().filter(|(_, i)| i.vrrp.is_active()).map(|(key, _)| key.vrid).collect()
}

fn heard(vrid: u8, priority: u8) -> Input {
    let packet = Advertisement {
        vrid,
        priority,
        interval: Interval::new(Version::V3, Duration::from_secs(1)).unwrap(),
        addresses: vec![VIP],
        auth: Authentication::None,
    };
    Input::Advertisement(Datagram {
        interface: "eth0".to_owned(),
        source: source(LB2),
        destination: GROUP.into(),
        ttl: 255,
        payload: emit(&packet, source(LB2), GROUP, ChecksumForm::PseudoHeader),
    })
}

#[test]
fn one_router_s_takeover_delays_others_by_its_own_time_only() {
    let now = CLAIM + EFFECTS;
    let mut engine = taking_over();
    assert_eq!(engine.work_due(), Some((LATER, TimerKind::Vrrp)));
    assert!(now > LATER + STALL);
    engine.step_all(now, [Input::Listened, Input::Timeout]);
    assert_eq!(served(&engine), [51, 52, 53, 54]);

    // Whoever stood still for as long knows nothing.
    let mut engine = taking_over();
    engine.step(now, Input::Timeout);
    assert_eq!(served(&engine), [51]);
    let again = now + engine.instances[&key(52)].vrrp.down_interval();
    wait(&mut engine, again - Duration::from_nanos(1));
    assert_eq!(served(&engine), [51]);
    engine.step(again, Input::Timeout);
    assert_eq!(served(&engine), [51, 52, 53, 54]);
}

#[test]
fn what_was_heard_meanwhile_goes_before_the_timers() {
    let now = CLAIM + EFFECTS;
    let mut engine = taking_over();
    engine.step_all(now, [Input::Listened, heard(53, 250), Input::Timeout]);
    assert_eq!(served(&engine), [51, 52, 54], "53's owner lives");
    let listens = now + engine.instances[&key(53)].vrrp.down_interval();
    assert_eq!(engine.instances[&key(53)].vrrp.deadline(), Some(listens));

    // Also where the step is not late enough to be a stall.
    let mut engine = taking_over();
    engine.step_all(LATER + Duration::from_millis(400), [heard(53, 250), Input::Timeout]);
    assert_eq!(served(&engine), [51, 52, 54]);
}

#[test]
fn it_has_to_be_said_first_and_of_each_late_step() {
    let now = CLAIM + EFFECTS;
    let mut engine = taking_over();
    engine.step_all(now, [Input::Timeout, Input::Listened]);
    assert_eq!(served(&engine), [51]);

    let mut engine = taking_over();
    engine.step_all(LATER - Duration::from_millis(1), [Input::Listened]);
    engine.step(now, Input::Timeout);
    assert_eq!(served(&engine), [51], "that was before");
}

#[test]
fn a_busy_daemon_goes_on_without_a_lease_but_never_with_one_that_ended() {
    let mut engine = silence::unprotected();
    let actions = plain(engine.step_all(ms(5000), [Input::Listened, Input::Timeout]));
    assert!(actions.contains(&advert(200)) && !actions.contains(&del()), "{actions:#?}");
    assert!(engine.instances[&KEY].vrrp.is_active());

    let mut engine = holding();
    let end = engine.instances[&KEY].armed_until.unwrap();
    let actions = plain(engine.step_all(end + EFFECTS, [Input::Listened, Input::Timeout]));
    assert_eq!(actions[..3], [close(), del(), advert(0)]);
}
