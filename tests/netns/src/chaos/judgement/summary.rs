//! The figures of a run, in a table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Evidence;

/// An outage is put down to the latest fault that began before it, and no longer ago than this.
const BLAMED_FOR: Duration = Duration::from_secs(15);
/// Two clocks' worth of slack between doing and seeing.
const SLACK: Duration = Duration::from_millis(50);

/// Figures of one run or, [added up](Summary::add), of many.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// For each kind of fault how often it came.
    pub faults: BTreeMap<String, usize>,
    /// For each kind of fault the times without an address that began after one.
    pub outages: BTreeMap<String, Vec<Duration>>,
    /// How often another host than before began to serve an address.
    pub takeovers: usize,
    /// For how long two hosts served an address at once.
    pub dual: Duration,
    /// Observed time, times addresses.
    pub observed: Duration,
    /// Time the judge was not scheduled.
    pub missed: Duration,
    /// Longest from the end of all faults until an address was served for good.
    pub healed_after: Duration,
}

impl Summary {
    pub(super) fn of(evidence: &Evidence<'_>, missed: Duration) -> Summary {
        let (schedule, sightings, deeds) = (evidence.schedule, &evidence.sightings, &evidence.deeds);
        let observed = sightings.observed();
        let mut summary = Summary { missed, ..Summary::default() };
        for (index, ..) in &deeds.done {
            *summary.faults.entry(schedule.faults[*index].what.kind()).or_default() += 1;
        }
        for vip in 0..sightings.vips.len() {
            summary.observed += observed.end - observed.start;
            summary.dual += sightings.dual(vip);
            let mut owners: Vec<_> = sightings.stays(vip).iter().map(|stay| stay.host).collect();
            owners.dedup();
            summary.takeovers += owners.len().saturating_sub(1);
            for outage in sightings.outages(vip) {
                let earlier = deeds
                    .done
                    .iter()
                    .filter(|(_, began, ended)| *began <= outage.start + SLACK && *ended + BLAMED_FOR >= outage.start);
                let latest = earlier.max_by_key(|(_, began, _)| *began);
                let kind = latest.map_or("no fault".into(), |(index, ..)| schedule.faults[*index].what.kind());
                summary.outages.entry(kind).or_default().push(outage.end - outage.start);
                let after = deeds.healed.map_or(Duration::ZERO, |healed| outage.end.saturating_sub(healed));
                summary.healed_after = summary.healed_after.max(after);
            }
        }
        summary
    }

    /// Takes another run's figures in.
    pub fn add(&mut self, other: &Summary) {
        for (kind, count) in &other.faults {
            *self.faults.entry(kind.clone()).or_default() += count;
        }
        for (kind, outages) in &other.outages {
            self.outages.entry(kind.clone()).or_default().extend(outages);
        }
        self.takeovers += other.takeovers;
        self.dual += other.dual;
        self.observed += other.observed;
        self.missed += other.missed;
        self.healed_after = self.healed_after.max(other.healed_after);
    }

    /// Time without an address, all together.
    pub fn unserved(&self) -> Duration {
        self.outages.values().flatten().sum()
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<20}{:>7}{:>9}{:>10}{:>10}{:>10}   seconds", "fault", "times", "outages", "p50", "p95", "max")?;
        let mut kinds: Vec<_> = self.faults.keys().chain(self.outages.keys()).collect();
        kinds.sort();
        kinds.dedup();
        for kind in kinds {
            let mut outages = self.outages.get(kind).cloned().unwrap_or_default();
            outages.sort_unstable();
            let at = |percent: usize| {
                let place = (outages.len() * percent / 100).min(outages.len().saturating_sub(1));
                outages.get(place).map_or("-".into(), |outage| format!("{:.3}", outage.as_secs_f64()))
            };
            let times = self.faults.get(kind).copied().unwrap_or_default();
            writeln!(f, "{kind:<20}{times:>7}{:>9}{:>10}{:>10}{:>10}", outages.len(), at(50), at(95), at(100))?;
        }
        let share = 100.0 * self.unserved().as_secs_f64() / self.observed.as_secs_f64().max(1e-9);
        write!(
            f,
            "{} takeovers; nobody served {share:.1} % of the time; two at once for {} ms; all served {:.1} s after the \
             last fault; the judge missed {:.1} s of {:.0} s times addresses",
            self.takeovers,
            self.dual.as_millis(),
            self.healed_after.as_secs_f64(),
            self.missed.as_secs_f64(),
            self.observed.as_secs_f64(),
        )
    }
}
