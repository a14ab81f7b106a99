use super::*;

fn ms(n: u64) -> Instant {
    Instant::from_nanos(n * 1_000_000)
}

#[test]
fn beats_that_come_are_no_stop() {
    let beats = Beats::new(ms(1000));
    for n in 1..=20 {
        // On a busy host some are late.
        beats.beat(ms(1000 + 500 * n));
        assert!(!beats.stopped_since(ms(1000), ms(1000 + 500 * n + 500)), "{n}");
    }
}

#[test]
fn a_stop_is_seen_by_whoever_runs_first_and_belongs_to_what_began_before_its_end() {
    let beats = Beats::new(ms(1000));
    assert!(!beats.stopped_since(ms(900), ms(1500)));
    assert!(beats.stopped_since(ms(900), ms(1501)), "the thread has not run yet");
    beats.beat(ms(1501));
    assert!(beats.stopped_since(ms(900), ms(1502)));
    assert!(beats.stopped_since(ms(1500), ms(1502)), "it began amid the stop");
    assert!(!beats.stopped_since(ms(1501), ms(1502)), "it began after the stop");
    beats.beat(ms(1601));
    assert!(beats.stopped_since(ms(900), ms(1602)), "what was decided before stays old");
}

#[test]
fn the_thread_beats_and_ends_with_who_asks() {
    let started = clock::now();
    let pulse = Pulse::start(Manner::default()).unwrap();
    let (beats, first) = (Arc::downgrade(&pulse.0), pulse.0.last.load(Ordering::Acquire));
    assert!(first >= started.as_nanos());
    while pulse.0.last.load(Ordering::Acquire) == first {
        thread::yield_now();
    }
    drop(pulse);
    // The thread may be amid a beat.
    let ended = |_| {
        thread::yield_now();
        !beat(&beats)
    };
    assert!((0..100_000).any(ended), "something keeps it");
}
