use super::*;

#[test]
fn when_is_the_first_instant_of_a_reading() {
    for ppm in [-20_000, -2000, -1, 0, 1, 2000, 20_000] {
        let clock = HostClock::new(ms(1234), ms(20_000), ppm);
        for ns in (20_000_000_000..20_000_000_100).chain(31_000_000_000..31_000_000_100) {
            let reading = Instant::from_nanos(ns);
            let at = clock.when(reading);
            assert!(clock.read(at) >= reading, "{ppm} ppm: {at:?}");
            assert!(clock.read(at - Duration::from_nanos(1)) < reading, "{ppm} ppm: {at:?}");
        }
    }
}

#[test]
fn never_is_the_end_of_time() {
    for ppm in [-2000, 0, 2000] {
        let clock = HostClock::new(ms(1234), ms(20_000), ppm);
        assert!(clock.when(Instant::from_nanos(u64::MAX)) > ms(86_400_000));
    }
}
