use super::*;

const SETTINGS: FlapDamping = FlapDamping {
    falls: 3,
    within: Duration::from_secs(60),
    hold: Duration::from_secs(10),
    max: Duration::from_secs(300),
};

fn at(seconds: u64) -> Instant {
    Instant::default() + Duration::from_secs(seconds)
}

/// A link of a router with priority 200.
struct Link(Damper);

impl Link {
    /// It is up, and has been all along.
    fn up() -> Link {
        let mut link = Link(Damper::default());
        assert_eq!(link.rises(0), Some(200), "it begins as it is");
        link
    }

    fn falls(&mut self, second: u64) -> Option<u8> {
        self.0.see(at(second), &SETTINGS, None, Some("eth1 has no link"), false)
    }

    fn rises(&mut self, second: u64) -> Option<u8> {
        self.0.see(at(second), &SETTINGS, Some(200), None, false)
    }

    /// Down and up again; for how long it is held.
    fn flaps(&mut self, second: u64) -> Option<u64> {
        assert_eq!(self.falls(second), None);
        let counts = self.rises(second + 1);
        let held = self.0.hold().map(|hold| hold.lasts.as_secs());
        assert_eq!(counts, if held.is_some() { None } else { Some(200) });
        held
    }
}

#[test]
fn the_third_fall_within_a_minute_is_held_for_ten_seconds() {
    let mut link = Link::up();
    assert_eq!([10, 20].map(|second| link.flaps(second)), [None, None]);
    assert_eq!(link.flaps(30), Some(10));
    let because = "flapped 3 times in 60s (eth1 has no link): held for 10s".to_owned();
    assert_eq!(link.0.hold(), Some(&Hold { until: at(41), lasts: Duration::from_secs(10), because }));
    assert_eq!(link.rises(40), None, "not yet");
    assert_eq!((link.rises(41), link.0.hold()), (Some(200), None));
}

#[test]
fn falls_that_are_far_apart_are_no_flapping() {
    let mut link = Link::up();
    assert_eq!([10, 41, 72, 103, 134].map(|second| link.flaps(second)), [None; 5]);
}

#[test]
fn a_hold_is_twice_as_long_each_time_up_to_a_limit_and_forgotten_after_a_quiet_time() {
    let mut link = Link::up();
    let (mut second, mut held) = (0, Vec::new());
    for _ in 0..10 {
        second += 10;
        held.extend(link.flaps(second));
    }
    assert_eq!(held, [10, 20, 40, 80, 160, 300, 300, 300]);
    // The last began at 101: it ends at 401, and is forgotten at 701.
    assert_eq!(link.rises(401), Some(200));
    assert_eq!([680, 685, 690].map(|second| link.flaps(second)), [None, None, Some(300)]);
    assert_eq!([1300, 1305, 1310].map(|second| link.flaps(second)), [None, None, Some(10)]);
}

#[test]
fn a_fall_ends_a_hold_and_the_next_one_is_longer() {
    let mut link = Link::up();
    assert_eq!([10, 20, 30].map(|second| link.flaps(second)), [None, None, Some(10)]);
    assert_eq!((link.falls(35), link.0.hold()), (None, None));
    assert_eq!(link.rises(42), None);
    assert_eq!(link.0.hold().map(|hold| hold.until), Some(at(62)), "20 s from when it was well again");
}

#[test]
fn who_has_to_serve_is_not_held() {
    let mut link = Link::up();
    assert_eq!([10, 20].map(|second| link.flaps(second)), [None, None]);
    assert_eq!(link.falls(30), None);
    assert_eq!(link.0.see(at(31), &SETTINGS, Some(200), None, true), Some(200), "nobody else is there");
    assert_eq!(link.flaps(40), Some(10));
    assert_eq!(link.0.see(at(42), &SETTINGS, Some(200), None, true), Some(200), "nobody else is there any more");
    assert_eq!((link.rises(43), link.0.hold()), (Some(200), None), "what was let go of is not taken back");
}

#[test]
fn a_weight_that_falls_and_rises_holds_the_lower_priority() {
    let mut damper = Damper::default();
    let mut see = |second, priority, fall| damper.see(at(second), &SETTINGS, Some(priority), fall, false);
    assert_eq!(see(0, 200, None), Some(200));
    for second in [10, 20] {
        assert_eq!(see(second, 90, Some("script check is down")), Some(90));
        assert_eq!(see(second + 1, 200, None), Some(200));
    }
    // One that moves nothing is none.
    assert_eq!((see(25, 190, None), see(26, 200, None)), (Some(190), Some(200)));
    assert_eq!(see(30, 90, Some("script check is down")), Some(90));
    assert_eq!((see(31, 200, None), see(32, 150, None)), (Some(90), Some(90)));
    assert_eq!((see(40, 150, None), see(41, 150, None)), (Some(90), Some(150)));
}

#[test]
fn a_hold_goes_on_in_the_next_run() {
    let mut link = Link::up();
    assert_eq!([10, 20, 30].map(|second| link.flaps(second)), [None, None, Some(10)]);
    let again = |at_second| Link(link.0.clone().resume(at(at_second), &SETTINGS));
    let mut next = again(33);
    // Its interface is not known yet, which is no fall.
    assert_eq!((next.0.see(at(33), &SETTINGS, None, Some("not known"), false), next.0.falls.len()), (None, 3));
    assert_eq!(next.rises(34), None);
    assert_eq!((next.rises(41), next.0.hold()), (Some(200), None));
    // What falls in this run ends it.
    let mut next = again(33);
    assert_eq!((next.rises(34), next.falls(35), next.0.hold()), (None, None, None));
    assert_eq!(next.rises(36), None);
    assert_eq!(next.0.hold().map(|hold| hold.lasts.as_secs()), Some(20));
    // Settings may be others now.
    let shorter = FlapDamping { max: Duration::from_secs(5), ..SETTINGS };
    let next = link.0.clone().resume(at(33), &shorter);
    assert_eq!(next.hold().map(|hold| hold.until), Some(at(38)));
}

#[test]
fn many_falls_take_little_memory() {
    let mut link = Link::up();
    for _ in 0..1000 {
        link.falls(5);
        link.rises(5);
    }
    assert_eq!(link.0.falls.len(), MOST_FALLS);
    assert_eq!(link.0.hold().map(|hold| hold.lasts), Some(SETTINGS.max));
}

#[test]
fn a_start_is_no_fall_and_what_was_held_before_is_not_held_again() {
    let mut link = Link::up();
    let held = [10, 20, 30].map(|second| link.flaps(second));
    assert_eq!(held, [None, None, Some(10)]);
    let later = |link: &Link, second| Link(link.0.clone().resume(at(second), &SETTINGS));
    // The hold ends while interfaces are not known yet, or was over before.
    let mut during = later(&link, 35);
    during.falls(41);
    assert_eq!((during.rises(42), during.0.hold()), (Some(200), None));
    assert_eq!(link.rises(45), Some(200));
    let mut after = later(&link, 47);
    after.falls(47);
    assert_eq!((after.rises(48), after.0.hold()), (Some(200), None));
    // Falls of this run count on top of those before.
    assert_eq!(after.flaps(50), Some(20));
}

#[test]
fn a_restart_in_the_middle_of_a_fall_is_no_way_round_a_hold() {
    let mut link = Link::up();
    assert_eq!([10, 20].map(|second| link.flaps(second)), [None, None]);
    link.falls(30);
    let mut next = Link(link.0.resume(at(31), &SETTINGS));
    next.falls(31);
    assert_eq!((next.rises(32), next.0.hold().map(|hold| hold.lasts.as_secs())), (None, Some(10)));
}
