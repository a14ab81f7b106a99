//! What many measurements come to.

use std::time::Duration;

/// Of many durations: half are this or less, 95 of 100 are, and all are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Median.
    pub p50: Duration,
    /// 95th percentile.
    pub p95: Duration,
    /// The worst.
    pub max: Duration,
}

impl Spread {
    /// Each figure is one of the durations (nearest rank): nothing is made up between two of them. None of none.
    pub fn of(durations: impl IntoIterator<Item = Duration>) -> Option<Spread> {
        let mut sorted: Vec<_> = durations.into_iter().collect();
        sorted.sort_unstable();
        let at = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).checked_sub(1)?).copied();
        Some(Spread { p50: at(50)?, p95: at(95)?, max: at(100)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(durations: impl IntoIterator<Item = u64>) -> Option<[u128; 3]> {
        let spread = Spread::of(durations.into_iter().map(Duration::from_millis))?;
        Some([spread.p50, spread.p95, spread.max].map(|duration| duration.as_millis()))
    }

    #[test]
    fn figures_are_nearest_ranks() {
        assert_eq!(spread(1..=100), Some([50, 95, 100]));
        assert_eq!(spread((1..=100).rev()), Some([50, 95, 100]), "in any order");
        assert_eq!(spread(1..=101), Some([51, 96, 101]));
        assert_eq!(spread(1..=20), Some([10, 19, 20]));
        assert_eq!(spread([7, 7, 7, 900]), Some([7, 900, 900]));
        assert_eq!(spread([5]), Some([5, 5, 5]));
        assert_eq!(spread([]), None);
    }
}
