//! Sums over runs, and the table of a soak.

use std::fmt;
use std::time::Duration;

use crate::run::Outcome;

/// Sums over the runs of one shape.
#[derive(Debug, Default)]
pub struct Total {
    /// Runs.
    pub runs: u64,
    /// Runs with a violation.
    pub violations: u64,
    time: Duration,
    owned: Duration,
    takeovers: usize,
    /// Sorted when shown.
    after_crash: Vec<Duration>,
    steps: u64,
}

impl Total {
    /// Adds a run.
    pub fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.violations += u64::from(outcome.violation.is_some());
        self.time += outcome.time;
        self.owned += outcome.owned;
        self.takeovers += outcome.takeovers;
        self.after_crash.extend(&outcome.after_crash);
        self.steps += outcome.steps;
    }

    /// Adds all runs of another sum.
    pub fn merge(&mut self, other: Total) {
        self.runs += other.runs;
        self.violations += other.violations;
        self.time += other.time;
        self.owned += other.owned;
        self.takeovers += other.takeovers;
        self.after_crash.extend(other.after_crash);
        self.steps += other.steps;
    }

    /// What the columns of a sum mean.
    pub fn header() -> String {
        format!(
            "{:>6} {:>7} {:>10} {:>10} {:>10} {:>8}  after a crash of the owner: p50, p95, max; engine steps",
            "shape", "runs", "violations", "takeovers", "no owner", "crashes"
        )
    }

    /// One line of the table.
    pub fn line(&mut self, shape: &str) -> String {
        self.after_crash.sort_unstable();
        let unowned = 100.0 * (1.0 - self.owned.as_secs_f64() / self.time.as_secs_f64().max(1e-9));
        let [p50, p95, max] = [50, 95, 100].map(|p| Seconds(self.percentile(p)));
        format!(
            "{shape:>6} {:>7} {:>10} {:>10} {:>8.1} % {:>8}  {p50} {p95} {max}; {}",
            self.runs,
            self.violations,
            self.takeovers,
            unowned,
            self.after_crash.len(),
            self.steps,
        )
    }

    fn percentile(&self, percent: usize) -> Duration {
        let at = (self.after_crash.len() * percent / 100).min(self.after_crash.len().saturating_sub(1));
        self.after_crash.get(at).copied().unwrap_or_default()
    }
}

/// A duration in a column.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:6.2} s", self.0.as_secs_f64())
    }
}
