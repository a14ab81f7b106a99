//! Losing a lease: the fence closes first.

use mesh_wire::mesh::lease::{Preempt, Release, Vacant};

use super::actions::*;
use super::*;

const RAN_OUT: &str = "the lease ran out: renewals did not reach a majority";

fn released(epoch: u64) -> [Action; 2] {
    to_both(Message::Release(vec![Release { router: KEY, epoch, seq: 0, successor: None }]))
}

/// Retired, before the given input is looked at.
fn retired(cause: &str) -> Vec<Action> {
    let mut expected = vec![close(), del(), advert(0)];
    expected.extend(released(1));
    expected.push(told(RouterEvent::Backup, cause));
    expected
}

/// Renews every 250 ms, answered by nobody, until just before the lease's end.
fn unanswered() -> (Engine, Instant) {
    let mut engine = holding();
    let end = engine.instances[&KEY].armed_until.unwrap();
    wait(&mut engine, end - Duration::from_nanos(1));
    assert!(engine.instances[&KEY].vrrp.is_active());
    assert_eq!(engine.work_due(), Some((end, TimerKind::LeaseEnd)));
    (engine, end)
}

#[test]
fn at_its_end_the_fence_closes_first() {
    let (mut engine, end) = unanswered();
    assert_eq!(plain(engine.step(end, Input::Timeout)), retired(RAN_OUT));
}

#[test]
fn after_a_stall_the_input_is_looked_at_last() {
    let (engine, end) = unanswered();
    drop(engine);
    let inputs = [
        Input::Shutdown,
        Input::FenceGone,
        Input::AddressGone { interface: "eth0".into(), address: VIP },
        Input::InterfaceGone { name: "eth0".into() },
        message(LB2, Message::Preempt(Preempt { router: KEY, priority: 250 })),
        Input::Configure(Box::new(config(Vec::new()))),
        adverts::multicast(LB2, 250),
    ];
    for input in inputs {
        let (mut engine, _) = unanswered();
        let actions = plain(engine.step(end + Duration::from_millis(1), input.clone()));
        assert_eq!(actions[..6], retired(RAN_OUT), "{input:?}");
        assert!(!actions[6..].iter().any(|a| matches!(a, Action::FenceArm { .. })), "{input:?}");
    }
}

#[test]
fn a_grant_that_comes_with_the_end_is_too_late() {
    let mut engine = holding();
    let renewal = request(&engine.step(ms(3470), Input::Timeout));
    let end = engine.instances[&KEY].armed_until.unwrap();
    let actions = plain(engine.step(end, granted(LB2, end, &renewal)));
    assert_eq!(actions[..6], retired(RAN_OUT));
    assert!(!engine.instances[&KEY].vrrp.is_active());
}

#[test]
fn renewals_every_quarter_keep_it() {
    let mut engine = holding();
    let mut now = ms(3221);
    for _ in 0..40 {
        let (at, _) = engine.work_due().unwrap();
        now = at;
        let actions = engine.step(now, Input::Timeout);
        if actions.iter().any(|a| matches!(a, Action::SendMessage { message: Message::Request(_), .. })) {
            let renewal = request(&actions);
            assert_eq!(renewal.claims[0].duration_ms, 1000);
            let opened = plain(engine.step(now + Duration::from_millis(1), granted(LB3, now, &renewal)));
            assert_eq!(opened, [arm(now + Duration::from_millis(976))]);
        }
    }
    assert!(now > ms(6000));
    assert!(engine.instances[&KEY].vrrp.is_active());
}

#[test]
fn a_majority_that_gave_it_away_ends_it_at_once() {
    let mut engine = holding();
    let renewal = request(&engine.step(ms(3470), Input::Timeout));
    assert_eq!(plain(engine.step(ms(3471), held(LB2, ms(3471), &renewal, LB3, 900))), [], "one alone is no reason");
    let cause = "a majority of the voters gave the lease to another node";
    let actions = plain(engine.step(ms(3472), held(LB3, ms(3472), &renewal, LB3, 900)));
    assert_eq!(actions, retired(cause));
}

#[test]
fn a_refusal_that_is_over_is_no_evidence() {
    let mut engine = holding();
    let mut renewal = request(&engine.step(ms(3470), Input::Timeout));
    engine.step(ms(3471), held(LB2, ms(3471), &renewal, LB3, 300));
    for n in 1..4 {
        engine.step(ms(3472 + 250 * (n - 1)), granted(LB3, ms(3472 + 250 * (n - 1)), &renewal));
        renewal = request(&engine.step(ms(3470 + 250 * n), Input::Timeout));
    }
    engine.step(ms(4221), held(LB3, ms(4221), &renewal, LB2, 300));
    assert!(engine.instances[&KEY].vrrp.is_active(), "lb2 was silent since, and owes it to nobody");
}

#[test]
fn half_of_the_votes_elsewhere_are_enough_where_a_majority_needs_more() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(4)));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    engine.step(ms(3220), granted(LB2, ms(3220), &first));
    let renewal = request(&engine.step(ms(3220), granted(LB3, ms(3220), &first)));
    for voter in [LB2, LB3] {
        assert!(engine.instances[&KEY].vrrp.is_active());
        engine.step(ms(3222), held(voter, ms(3222), &renewal, NodeId(4), 900));
    }
    assert!(!engine.instances[&KEY].vrrp.is_active(), "two of four left, three needed");
}

#[test]
fn a_rivals_failed_attempt_costs_no_vote() {
    let mut engine = holding();
    let renewal = request(&engine.step(ms(3470), Input::Timeout));
    let again = request(&engine.step(ms(3471), reply(LB2, ms(3471), &renewal, Vote::Stale { max_epoch: 5 })));
    assert_eq!((again.claims[0].epoch, again.claims[0].duration_ms), (6, 1000));
    let opened = plain(engine.step(ms(3472), granted(LB2, ms(3472), &again)));
    assert_eq!(opened, [arm(ms(3471 + 976))]);
    assert_eq!(engine.instances[&KEY].held_epoch(), 6);

    let gone = plain(engine.step(ms(3500), Input::InterfaceGone { name: "eth0".into() }));
    let epochs = [3, 4, 5, 6].map(|epoch| Release { router: KEY, epoch, seq: 0, successor: None }).to_vec();
    assert!(gone.contains(&send(LB2, Message::Release(epochs))), "{gone:#?}");
}

#[test]
fn a_clock_that_stood_still_ends_it() {
    let mut engine = holding();
    let renewal = request(&engine.step(ms(3470), Input::Timeout));
    // lb2's clock went on for 600 ms more than ours, 2 s of which we can explain by nothing.
    let ahead = granted(LB2, ms(3471 + 2000), &renewal);
    let cause = "this host's clock stood still against lb2's";
    assert_eq!(plain(engine.step(ms(3471), ahead)), retired(cause));
}

/// What a candidate was promised before its clock stood still has run out as well.
#[test]
fn a_clock_that_stood_still_ends_a_claim_too() {
    let mut engine = holding();
    engine.step(ms(3300), Input::InterfaceGone { name: "eth0".into() });
    engine.step(ms(3301), Input::Interface(eth0(LB1)));
    let at = engine.instances[&KEY].vrrp.deadline().unwrap();
    let claim = request(&engine.step(at, Input::Timeout));
    let later = at + Duration::from_millis(2);
    engine.step(later, granted(LB2, later + Duration::from_secs(20), &claim));
    assert!(engine.instances[&KEY].lease.ballot().is_none(), "our own voter's promise is as old");
    engine.step(later, granted(LB3, later, &claim));
    assert!(!engine.instances[&KEY].vrrp.is_active());
}

/// One pause is one reason: the other voters' clocks are measured anew.
#[test]
fn a_pause_is_noticed_once() {
    let mut engine = holding();
    let pause = Duration::from_secs(20);
    let renewal = request(&engine.step(ms(3470), Input::Timeout));
    engine.step(ms(3471), granted(LB2, ms(3471) + pause, &renewal));
    assert!(!engine.instances[&KEY].vrrp.is_active());
    let at = engine.instances[&KEY].vrrp.deadline().unwrap();
    let claim = request(&engine.step(at, Input::Timeout));
    engine.step(at, granted(LB3, at + pause, &claim));
    assert!(engine.instances[&KEY].vrrp.is_active(), "lb3's clock shows the same pause, not another");
}

/// A pause lasts longer than connections: they are made anew before the first answer comes.
#[test]
fn a_connection_made_anew_hides_no_pause() {
    let mut engine = holding();
    engine.step(ms(3222), peer_up(LB2));
    let renewal = request(&engine.step(ms(3470), Input::Timeout));
    engine.step(ms(3470), Input::PeerDown { node: LB2, left: false });
    engine.step(ms(3471), peer_up(LB2));
    engine.step(ms(3472), granted(LB2, ms(3472 + 2000), &renewal));
    assert!(!engine.instances[&KEY].vrrp.is_active());
}

#[test]
fn a_voter_whose_clock_begins_anew_shows_no_pause() {
    let mut engine = holding();
    let renewal = request(&engine.step(ms(3470), Input::Timeout));
    engine.step(ms(3471), granted(LB2, ms(100), &renewal));
    let renewal = request(&engine.step(ms(3720), Input::Timeout));
    engine.step(ms(3721), granted(LB2, ms(350), &renewal));
    assert!(engine.instances[&KEY].vrrp.is_active());
}

#[test]
fn drift_is_no_pause() {
    let mut engine = holding();
    let renewal = request(&engine.step(ms(3470), Input::Timeout));
    engine.step(ms(3471), granted(LB2, ms(3471 + 490), &renewal));
    assert!(engine.instances[&KEY].vrrp.is_active());
}

#[test]
fn a_voter_in_quarantine_does_not_end_it() {
    let mut engine = holding();
    let renewal = request(&engine.step(ms(3470), Input::Timeout));
    for voter in [LB2, LB3] {
        let verdict = Vote::Quarantine { remaining_ms: 3000 };
        assert_eq!(plain(engine.step(ms(3471), reply(voter, ms(3471), &renewal, verdict))), []);
    }
}

#[test]
fn our_own_voter_tells_whose_lease_ended() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(3100), peer_up(LB2));
    let claim = Request { roster_epoch: 3, seq: 1, claims: vec![Claim { router: KEY, epoch: 4, duration_ms: 400 }] };
    let answer = plain(engine.step(ms(3100), message(LB2, Message::Request(claim))));
    let expected = Reply {
        seq: 1,
        clock_ns: ms(3100).as_nanos(),
        roster_epoch: 3,
        verdicts: vec![(KEY, Vote::Granted { epoch: 4 })],
    };
    assert_eq!(answer, [send(LB2, Message::Reply(expected))]);
    engine.step(ms(3200), adverts::multicast(LB2, 250));
    assert_eq!(engine.work_due(), Some((ms(3500), TimerKind::GrantEnd)));
    let actions = plain(engine.step(ms(3500), Input::Timeout));
    let vacant = Vacant { router: KEY, owner: LB2, epoch: 4, released: false, reserved_for: None };
    assert_eq!(actions[0], send(LB2, Message::Vacant(vec![vacant])), "to whoever is connected");
    assert_eq!(actions.len(), 1);
}
