//! Times that follow the voters' answers.

use super::*;
use crate::fixture::ms;
use crate::lease::pace::{Pace, ReplyTimes, pause_limit, shortest_lease};

const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

#[test]
fn near_voters_leave_the_shortest_times() {
    for reply in [0, 1, 10, 15] {
        let pace = Pace::new(millis(reply));
        assert_eq!(pace.ask_again(), ASK_AGAIN);
        assert_eq!(pace.stagger(), STAGGER);
        assert_eq!(pace.claim_timeout(millis(1000)), CLAIM_TIMEOUT);
        assert_eq!(pace.first_lease(millis(1000)), FIRST_LEASE);
    }
}

#[test]
fn distant_voters_are_waited_for() {
    let times = |reply| {
        let pace = Pace::new(millis(reply));
        [pace.ask_again(), pace.stagger(), pace.claim_timeout(millis(3000)), pace.first_lease(millis(3000))]
            .map(|t| t.as_millis())
    };
    assert_eq!(times(60), [60, 60, 120, 400]);
    assert_eq!(times(150), [150, 150, 300, 750]);
    assert_eq!(times(300), [300, 300, 600, 1500]);
    assert_eq!(times(5000), [1000, 1000, 1000, 3000], "a second at most");
}

#[test]
fn a_first_lease_is_half_a_lease_at_most_except_where_voters_are_far() {
    assert_eq!(Pace::default().first_lease(millis(300)), millis(150));
    assert_eq!(Pace::default().first_lease(millis(500)), millis(250));
    assert_eq!(Pace::new(millis(300)).first_lease(millis(1000)), millis(1000), "five answers' time, or all of it");
}

#[test]
fn what_is_granted_at_the_last_moment_of_a_claim_still_serves() {
    for lease in [300, 500, 1000, 3000] {
        for reply in (0..1500).step_by(7) {
            let pace = Pace::new(millis(reply));
            let (timeout, first) = (pace.claim_timeout(millis(lease)), pace.first_lease(millis(lease)));
            assert!(worth(first) > timeout + GUARD, "{lease} ms, answers in {reply} ms");
            assert!(timeout >= CLAIM_TIMEOUT && timeout <= Duration::from_secs(1));
            assert!(first <= millis(lease));
        }
    }
}

/// Owners that renew have three quarters of a lease left, half after a lost renewal.
#[test]
fn an_owner_s_grant_is_no_collision() {
    for lease in [300, 400, 500, 1000, 3000] {
        for reply in [0, 20, 100, 400] {
            assert!(Pace::new(millis(reply)).collision(millis(lease)) <= millis(lease / 2));
        }
    }
}

#[test]
fn answers_are_smoothed() {
    let mut times = ReplyTimes::default();
    assert_eq!((times.mean(ms(0)), times.slow(ms(0))), (None, None));
    times.note(ms(0), millis(200));
    assert_eq!((times.mean(ms(0)), times.slow(ms(0))), (Some(millis(200)), Some(millis(400))));
    for n in 1..60 {
        times.note(ms(n * 100), millis(200));
    }
    let slow = times.slow(ms(6000)).unwrap();
    assert!(slow >= millis(200) && slow < millis(205), "{slow:?}");
    times.note(ms(6000), Duration::from_secs(60));
    assert_eq!(times.mean(ms(6000)), Some(millis(300)), "one that got stuck counts as a second");
}

#[test]
fn what_was_measured_long_ago_is_forgotten() {
    let mut times = ReplyTimes::default();
    times.note(ms(0), millis(900));
    assert!(times.slow(ms(10_000)).is_some());
    assert_eq!(times.slow(ms(10_001)), None);
    times.note(ms(20_000), millis(2));
    assert_eq!(times.mean(ms(20_000)), Some(millis(2)), "and does not weigh on what comes after");
}

#[test]
fn a_lease_has_room_for_three_periods_two_round_trips_and_the_guard() {
    for round_trip in [0, 10, 50, 100, 300] {
        let lease = shortest_lease(millis(round_trip));
        assert!(lease >= renew_period(lease) * 3 + millis(round_trip) * 2 + GUARD, "{round_trip}");
        let less = lease - millis(4);
        assert!(less < renew_period(less) * 3 + millis(round_trip) * 2 + GUARD, "{round_trip}: no longer than needed");
    }
}

#[test]
fn pauses_are_measured_in_renew_periods() {
    assert_eq!(pause_limit(millis(1000), true), millis(500));
    assert_eq!(pause_limit(millis(300), true), millis(150));
    assert_eq!(pause_limit(millis(3000), true), millis(1500));
    assert_eq!(pause_limit(millis(1000), false), millis(250), "shorter than a first grant");
}
