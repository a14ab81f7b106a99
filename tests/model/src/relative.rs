//! Instants as they matter: relative to now.

use std::hash::Hasher;
use std::time::Duration;

use mesh_core::Instant;

/// Every clock of a model starts here, so that its readings differ from any other number in a
/// state (identities, epochs, sequence numbers).
pub(crate) const START: Instant = Instant::from_nanos(1 << 62);

/// Smaller numbers are no readings of a clock.
const FIRST_READING: u64 = 1 << 61;

/// Passes on what it is given, readings of a clock as the distance from now: two states that differ
/// only in when they are reached become one, and the number of states finite.
pub(crate) struct Relative<'a, H> {
    inner: &'a mut H,
    now: u64,
    /// Older instants are alike.
    memory: i64,
}

impl<'a, H: Hasher> Relative<'a, H> {
    /// Instants before `now - memory` have to be without any consequence.
    pub(crate) fn new(inner: &'a mut H, now: Instant, memory: Duration) -> Self {
        let memory = i64::try_from(memory.as_nanos()).unwrap_or(i64::MAX);
        Relative { inner, now: now.as_nanos(), memory }
    }
}

impl<H: Hasher> Hasher for Relative<'_, H> {
    fn finish(&self) -> u64 {
        self.inner.finish()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.inner.write(bytes);
    }

    fn write_u64(&mut self, value: u64) {
        if value < FIRST_READING {
            self.inner.write_u64(value);
        } else {
            // Both are below 2^63.
            let distance = value as i64 - self.now as i64;
            self.inner.write_i64(distance.max(-self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hash};

    use super::*;

    fn print(value: impl Hash, now: Instant) -> u64 {
        let mut hasher = DefaultHasher::new();
        value.hash(&mut Relative::new(&mut hasher, now, Duration::from_secs(1)));
        hasher.finish()
    }

    #[test]
    fn only_the_distance_from_now_counts() {
        let later = START + Duration::from_secs(9);
        let second = Duration::from_secs(1);
        assert_eq!(print(START + second, START), print(later + second, later));
        assert_ne!(print(START + second, START), print(START + second, START + second));
    }

    #[test]
    fn what_is_long_past_is_all_the_same() {
        let now = START + Duration::from_secs(9);
        assert_eq!(print(START, now), print(START + Duration::from_secs(8), now));
        assert_ne!(print(START, now), print(START + Duration::from_millis(8001), now));
    }

    #[test]
    fn numbers_that_are_no_instants_stay_as_they_are() {
        assert_eq!(print(7_u64, START), print(7_u64, START + Duration::from_secs(1)));
        assert_ne!(print(7_u64, START), print(8_u64, START));
    }
}
