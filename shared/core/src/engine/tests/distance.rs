//! Voters far away, and clocks that stand still: what answers tell by when they come.

use proptest::prelude::*;

use super::*;

/// lb1 with voters that take so long to answer.
fn far(round_trip: u64, lease: u64) -> Engine {
    let mut config = config(vec![router(200)]);
    config.mesh.lease = LeaseTime::Fixed(Duration::from_millis(lease));
    let mut engine = Engine::new(setup(LB1, Some(roster(3))), config, Instant::default());
    engine.step(Instant::default(), Input::Interface(eth0(LB1)));
    for node in [LB2, LB3] {
        engine.step(ms(1), Input::PeerUp { node, rtt: Duration::from_millis(round_trip) });
    }
    engine
}

#[test]
fn a_claim_waits_for_voters_that_are_far() {
    for round_trip in [50, 150, 300] {
        let mut engine = far(round_trip, 1000);
        let first = request(&engine.step(CLAIM, Input::Timeout));
        let answered = CLAIM + Duration::from_millis(round_trip);
        wait(&mut engine, answered - Duration::from_nanos(1));
        engine.step(answered, granted(LB2, answered, &first));
        assert!(engine.instances[&KEY].vrrp.is_active(), "answers in {round_trip} ms");
        // And its renewals are granted before the first, short lease ends.
        wait(&mut engine, answered + Duration::from_millis(round_trip) - Duration::from_nanos(1));
        assert!(engine.instances[&KEY].vrrp.is_active(), "answers in {round_trip} ms");
    }
}

/// Every request is answered by both voters after a whole round trip.
#[test]
fn a_lease_is_kept_over_a_long_way() {
    let mut engine = far(300, 1000);
    let mut answers: VecDeque<(Instant, Request)> = VecDeque::new();
    let mut served = None;
    for _ in 0..2000 {
        let timer = engine.work_due().unwrap().0;
        let answer = answers.front().map(|(at, _)| *at);
        let now = answer.map_or(timer, |at| at.min(timer));
        let input = match answers.pop_front_if(|(at, _)| *at <= now) {
            Some((_, request)) => granted(LB2, now, &request),
            None => Input::Timeout,
        };
        for action in engine.step(now, input) {
            if let Action::SendMessage { to: LB2, message: Message::Request(request) } = action {
                answers.push_back((now + Duration::from_millis(300), request));
            }
        }
        if served.is_none() && engine.instances[&KEY].vrrp.is_active() {
            served = Some(now);
        }
        assert!(served.is_none() || engine.instances[&KEY].vrrp.is_active(), "lost at {now:?}");
    }
    assert!(served.is_some_and(|t| t < ms(3600)), "{served:?}");
}

#[test]
fn candidates_stand_further_apart_where_voters_are_far() {
    let rank_1 = |round_trip| {
        let mut engine = far(round_trip, 1000);
        engine.step(ms(1), gossip(&report(LB3, RouterState::Backup, 250, 0), LB3));
        let vacant =
            mesh_wire::mesh::lease::Vacant { router: KEY, owner: LB2, epoch: 4, released: false, reserved_for: None };
        engine.step(ms(100), message(LB3, Message::Vacant(vec![vacant])));
        engine.instances[&KEY].claim_at.unwrap().since(ms(100))
    };
    assert_eq!(rank_1(1), Duration::from_millis(15));
    assert!(rank_1(100) >= Duration::from_millis(100));
}

#[test]
fn leases_too_short_for_the_distance_are_told_once() {
    let mut engine = holding();
    let mut warnings = Vec::new();
    for n in 1..40 {
        let renewal = request(&engine.step(ms(3220 + 250 * n), Input::Timeout));
        for voter in [LB2, LB3] {
            let at = ms(3220 + 250 * n + 150);
            let told = engine.step(at, granted(voter, at, &renewal));
            warnings.extend(told.into_iter().filter(|a| matches!(a, Action::Record(Decision::Warning { .. }))));
        }
    }
    let [Action::Record(Decision::Warning { text })] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(text.contains("set mesh.lease to"), "{text}");
}

#[test]
fn one_answer_of_three_that_is_late_warns_of_nothing() {
    let mut engine = holding();
    for n in 1..40 {
        let renewal = request(&engine.step(ms(3220 + 250 * n), Input::Timeout));
        engine.step(ms(3221 + 250 * n), granted(LB2, ms(3221 + 250 * n), &renewal));
        let at = ms(3220 + 250 * n + 200);
        let told = engine.step(at, granted(LB3, at, &renewal));
        assert!(!told.iter().any(|a| matches!(a, Action::Record(_))), "a majority is near");
    }
}

#[test]
fn a_pause_counts_by_the_lease_it_threatens() {
    for (lease, pause, survives) in [(300, 140, true), (300, 160, false), (1000, 490, true), (3000, 1400, true)] {
        let mut engine = far(1, lease);
        let first = request(&engine.step(CLAIM, Input::Timeout));
        let renewal = request(&engine.step(ms(3219), granted(LB2, ms(3219), &first)));
        let clock = ms(3220 + pause);
        engine.step(ms(3220), granted(LB2, clock, &renewal));
        assert_eq!(engine.instances[&KEY].vrrp.is_active(), survives, "T {lease} ms, paused for {pause} ms");
    }
}

proptest! {
    /// However late answers come and in whatever order: a clock that goes as ours does (within the
    /// bound on drift) never looks as if ours had stood still.
    #[test]
    fn delay_is_no_pause(
        mut answers in proptest::collection::vec((0..40u64, 0..6000u64, 0..6000u64, 2..4u64), 1..60),
        drift in -2000..2000i64,
    ) {
        let mut engine = holding();
        engine.step(ms(3300), Input::InterfaceGone { name: "eth0".into() });
        // When the voters' clocks were last read, by `holding`; they were equal to ours.
        let equal = ms(3221).as_nanos();
        // Sent at, read by the voter after, back after.
        answers.iter_mut().for_each(|(sent, ..)| *sent = 3400 + *sent * 250);
        answers.sort_by_key(|(sent, there, back, _)| sent + there + back);
        for (sent, there, back, voter) in answers {
            let read = ms(sent + there).as_nanos();
            let clock = read.saturating_add_signed((read - equal) as i64 / 1_000_000 * drift);
            let now = ms(sent + there + back);
            let pause = engine.clock_stood_still(NodeId(voter), clock, ms(sent), now);
            // `ours / 250` covers twice the bound; the comparison starts anew with each answer.
            prop_assert_eq!(pause, Duration::ZERO);
        }
    }
}
