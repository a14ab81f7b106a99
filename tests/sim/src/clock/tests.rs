use super::*;

#[test]
fn when_is_the_first_instant_of_a_reading() {
    for ppm in [-1000, -1, 0, 1, 1000] {
        let clock = HostClock::new(ms(1234), ms(20_000), ppm);
        for ns in (20_000_000_000..20_000_000_100).chain(31_000_000_000..31_000_000_100) {
            let reading = Instant::from_nanos(ns);
            let at = clock.when(reading);
            assert!(clock.read(at) >= reading, "{ppm} ppm: {at:?}");
            assert!(clock.read(at - Duration::from_nanos(1)) < reading, "{ppm} ppm: {at:?}");
        }
    }
}
