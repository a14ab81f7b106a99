//! Skew, down interval, grid of adverts, preempt delay.

use super::*;

#[test]
fn exact_skew_and_down_interval() {
    let ns = Duration::from_nanos;
    let ms = Duration::from_millis;
    let table = [
        (Version::V3, 254, ms(10), ns(78_125)),
        (Version::V3, 255, ms(10), ns(39_062)),
        (Version::V3, 1, ms(10), ns(9_960_937)),
        (Version::V3, 254, ms(1000), ns(7_812_500)),
        (Version::V3, 100, ms(1000), ns(609_375_000)),
        (Version::V3, 1, ms(40_950), ns(40_790_039_062)),
        // RFC 3768: a fraction of one second, whatever the interval.
        (Version::V2, 254, ms(1000), ns(7_812_500)),
        (Version::V2, 255, ms(5000), ns(3_906_250)),
        (Version::V2, 100, ms(5000), ns(609_375_000)),
        (Version::V2, 1, ms(255_000), ns(996_093_750)),
    ];
    for (version, priority, interval, skew) in table {
        assert_eq!(skew_time(version, priority, interval), skew, "{version:?} {priority} {interval:?}");
        assert_eq!(down_interval(version, priority, interval, 3), interval * 3 + skew);
        assert_eq!(down_interval(version, priority, interval, 100), interval * 100 + skew);
    }
}

#[test]
fn the_higher_priority_always_waits_less() {
    for version in [Version::V2, Version::V3] {
        for priority in 1..=254 {
            let wait = |p| down_interval(version, p, Duration::from_millis(10), 3);
            assert!(wait(priority) > wait(priority + 1), "{version:?} {priority}");
        }
    }
}

#[test]
fn version_3_backups_follow_the_active_routers_interval() {
    let mut machine = backup(Version::V3, ms(0));
    machine.receive(ms(0), Heard { interval: Duration::from_millis(100), ..heard(200, LOWER) }, OWN);
    assert_eq!(machine.down_interval(), Duration::from_micros(300_000 + 60_937) + Duration::from_nanos(500));
    assert_eq!(down_at(&machine), Instant::default() + machine.down_interval());

    machine.receive(ms(10), heard(0, LOWER), OWN);
    assert_eq!(down_at(&machine), ms(10) + Duration::from_nanos(60_937_500), "the skew, too");

    machine.startup(ms(20));
    assert_eq!(machine.down_interval(), Duration::from_micros(3_609_375), "forgotten with a restart");
}

#[test]
fn another_interval_begins_with_the_next_advert_and_a_backup_waits_anew() {
    let slower = VirtualRouter { advert_interval: Duration::from_secs(5), ..config(Version::V3) };
    let mut machine = backup(Version::V3, ms(0));
    machine.reconfigure(ms(500), &slower);
    assert_eq!(down_at(&machine), ms(500) + machine.down_interval());
    assert_eq!(machine.down_interval(), Duration::from_millis(15_000) + Duration::from_micros(3_046_875));

    machine.activate(ms(1000));
    machine.reconfigure(ms(1500), &config(Version::V3));
    assert_eq!(machine.deadline(), Some(ms(2500)), "sooner, as it is asked for");
    machine.reconfigure(ms(1600), &slower);
    assert_eq!(machine.deadline(), Some(ms(2500)), "as those expect it that heard the last one");
    assert_eq!(machine.timeout(ms(2500)), Verdict::Advertise);
    assert_eq!(machine.deadline(), Some(ms(7500)));
}

#[test]
fn another_priority_moves_no_timer() {
    let mut machine = backup(Version::V3, ms(0));
    machine.receive(ms(10), Heard { interval: Duration::from_millis(100), ..heard(200, LOWER) }, OWN);
    let before = machine.deadline();
    machine.reconfigure(ms(20), &VirtualRouter { priority: 50, preempt: false, ..config(Version::V3) });
    assert_eq!((machine.deadline(), machine.priority()), (before, 100), "tracking says what it comes to");
}

#[test]
fn version_3_ignores_the_interval_of_routers_it_does_not_follow() {
    let mut machine = backup(Version::V3, ms(0));
    let odd = Duration::from_secs(40);
    machine.receive(ms(1), Heard { interval: odd, ..heard(99, LOWER) }, OWN);
    machine.receive(ms(1), Heard { interval: odd, ..heard(0, LOWER) }, OWN);
    assert_eq!(machine.down_interval(), Duration::from_micros(3_609_375));
}

#[test]
fn version_2_keeps_its_own_interval() {
    let mut machine = backup(Version::V2, ms(0));
    machine.receive(ms(0), Heard { interval: Duration::from_secs(9), ..heard(200, LOWER) }, OWN);
    assert_eq!(machine.down_interval(), Duration::from_micros(3_609_375));
}

#[test]
fn adverts_stay_on_their_grid() {
    let mut machine = active(Version::V3, ms(0));
    assert_eq!(machine.timeout(ms(1003)), Verdict::Advertise);
    assert_eq!(advert_at(&machine), ms(2000));
    assert_eq!(machine.timeout(ms(1003)), Verdict::Stay);
    assert_eq!(machine.timeout(ms(2999)), Verdict::Advertise);
    assert_eq!(advert_at(&machine), ms(3000));
}

#[test]
fn a_late_timer_sends_one_advert_not_a_burst() {
    for late in [ms(2000), ms(7300)] {
        let mut machine = active(Version::V3, ms(0));
        assert_eq!(machine.timeout(late), Verdict::Advertise);
        assert_eq!(advert_at(&machine), late + Duration::from_secs(1));
        assert_eq!(machine.timeout(late), Verdict::Stay);
    }
}

#[test]
fn a_refused_claim_is_repeated_after_a_whole_interval() {
    let mut machine = backup(Version::V3, ms(0));
    assert!(matches!(machine.timeout(ms(3610)), Verdict::Claim(_)));
    assert_eq!(machine.timeout(ms(3610)), Verdict::Stay);
    assert_eq!(machine.timeout(ms(7219)), Verdict::Stay);
    assert!(matches!(machine.timeout(ms(7220)), Verdict::Claim(_)));
}

#[test]
fn a_changed_priority_counts_from_the_next_advert_on() {
    let mut machine = backup(Version::V3, ms(0));
    machine.set_priority(50);
    assert_eq!(down_at(&machine), Instant::default() + Duration::from_micros(3_609_375));
    assert_eq!(machine.receive(ms(100), heard(60, LOWER), OWN), Verdict::Defer);
    assert_eq!(down_at(&machine), ms(100) + Duration::from_nanos(3_804_687_500));
}

#[test]
fn preempt_delay_counts_from_the_start_and_is_not_begun_again_by_what_is_heard() {
    let delay = Duration::from_secs(10);
    let mut machine = Router::new(&VirtualRouter { preempt_delay: delay, ..router(100) });
    machine.startup(ms(0));
    for second in 1..10 {
        assert_eq!(machine.receive(ms(second * 1000), heard(50, LOWER), OWN), Verdict::Defer, "at {second} s");
    }
    let due = down_at(&machine);
    assert_eq!(machine.receive(ms(10_000), heard(50, LOWER), OWN), Verdict::Stay);
    assert_eq!(down_at(&machine), due, "runs on towards preemption");
}

#[test]
fn a_refused_claim_does_not_begin_the_preempt_delay_again() {
    let delay = Duration::from_secs(10);
    let mut machine = Router::new(&VirtualRouter { preempt_delay: delay, ..router(100) });
    machine.startup(ms(0));
    machine.back_up(ms(9_000));
    assert_eq!(machine.receive(ms(10_000), heard(50, LOWER), OWN), Verdict::Stay);

    machine.activate(ms(11_000));
    machine.back_up(ms(12_000));
    assert_eq!(machine.receive(ms(21_999), heard(50, LOWER), OWN), Verdict::Defer, "having served does");
}

#[test]
fn deadlines_are_those_of_the_state() {
    let mut machine = machine(Version::V3);
    assert_eq!(machine.deadline(), None);
    machine.startup(ms(0));
    assert_eq!(machine.deadline(), Some(Instant::default() + Duration::from_micros(3_609_375)));
    machine.activate(ms(5));
    assert_eq!(machine.deadline(), Some(ms(1005)));
    machine.shutdown();
    assert_eq!(machine.deadline(), None);
}

/// `timer_expired_backup`.
#[test]
fn a_late_active_router_becomes_a_backup_where_another_may_have_taken_over() {
    let mut config = router(100);
    config.conduct.late_rival = Some(100);
    let yields = |config: &VirtualRouter, late: u64| {
        let mut machine = Router::new(config);
        machine.startup(ms(0));
        machine.activate(ms(0));
        // The advert of 1 s is due; a router of priority 100 waits until 3.609 s.
        matches!(machine.timeout(ms(late)), Verdict::Yield(_))
    };
    assert!(!yields(&config, 4000), "one that preempts claims again anyway");
    config.preempt = false;
    assert!(!yields(&config, 3609));
    assert!(yields(&config, 3610));
    config.conduct.late_rival = None;
    assert!(!yields(&config, 9000), "not asked for");
}
