//! What must hold, and what it cost: pure, from what was done and what was seen.
//!
//! | violation | says |
//! |---|---|
//! | two at once | two hosts served one address, beyond measuring error, at any time |
//! | not healed | within [`HEALED_WITHIN`] of the end of all faults an address is not served steadily by exactly one host |
//! | left behind | an address stayed on an interface of a host that does not serve it |
//! | not served | nobody served for longer than [`BUDGET`] while a majority of voters with a candidate was whole |
//! | daemon | a daemon ended by itself, or not as it was asked to |
//! | unobserved | the judge was not scheduled for more than [`MOST_BLIND`] of the time |

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use mesh_lab::Sightings;
use mesh_lab::judge::watch::LOOKS_EVERY;

use super::nemesis::Deeds;
use super::schedule::{HostTrouble, Schedule, What, WireTrouble};
use mesh_lab::Channel;

mod summary;
pub use summary::Summary;

/// All is well again so soon after the last fault.
pub(super) const HEALED_WITHIN: Duration = Duration::from_secs(10);
/// And stays so, for as long as it is looked at.
pub(super) const STEADY: Duration = Duration::from_secs(2);
/// Longest time without service that a whole majority may show.
const BUDGET: Duration = Duration::from_secs(5);
/// A daemon that was started again is whole after this: it starts, and a voter without memory is silent for 3.06 s.
const STARTED: Duration = Duration::from_millis(3600);
/// Share of the time the judge may miss.
const MOST_BLIND: f64 = 0.2;

/// What is judged.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    pub(super) schedule: &'a Schedule,
    /// Voters when it began; none without a mesh.
    pub(super) voters: Vec<usize>,
    pub(super) sightings: Sightings,
    pub(super) deeds: Deeds,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq)]
pub enum Violation {
    /// Two hosts served this address at once: for how long, who, and first when.
    TwoAtOnce {
        /// Address.
        vip: String,
        /// In all.
        dual: Duration,
        /// The first two.
        hosts: (String, String),
        /// Since the schedule began.
        first: Duration,
    },
    /// In the end this address was not served by exactly one host, steadily.
    NotHealed {
        /// Address.
        vip: String,
        /// What was seen of it.
        seen: String,
    },
    /// This address was left on hosts that do not serve it.
    LeftBehind {
        /// Address.
        vip: String,
        /// Where it is.
        hosts: Vec<String>,
    },
    /// Nobody served this address although enough hosts were whole.
    NotServed {
        /// Address.
        vip: String,
        /// Who was whole.
        whole: Vec<String>,
        /// From when, since the schedule began.
        from: Duration,
        /// How long both was so.
        lasted: Duration,
    },
    /// A daemon ended that should not have, or not as it should have.
    Daemon(String),
    /// Share of the time that the judge did not see.
    Unobserved(f64),
}

/// What a run came to.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// What must not be, and was.
    pub violations: Vec<Violation>,
    /// Figures.
    pub summary: Summary,
}

impl Verdict {
    /// For how long two hosts served an address at once, all addresses together.
    pub fn dual(&self) -> Duration {
        self.summary.dual
    }
}

pub(super) fn judge(evidence: &Evidence<'_>) -> Verdict {
    let sightings = &evidence.sightings;
    let blind = sightings.blind(LOOKS_EVERY);
    let observed = sightings.observed();
    let missed: Duration = blind.iter().map(|gap| gap.end - gap.start).sum();
    let share = missed.as_secs_f64() / (observed.end - observed.start).as_secs_f64().max(1e-9);
    let mut violations: Vec<_> = evidence.deeds.daemons.iter().cloned().map(Violation::Daemon).collect();
    if share > MOST_BLIND {
        violations.push(Violation::Unobserved(share));
    }
    for vip in 0..sightings.vips.len() {
        violations.extend(two_at_once(evidence, vip));
        violations.extend(not_served(evidence, vip, &blind));
        violations.extend(not_healed(evidence, vip));
        violations.extend(left_behind(evidence, vip));
    }
    Verdict { violations, summary: Summary::of(evidence, missed) }
}

fn two_at_once(evidence: &Evidence<'_>, vip: usize) -> Option<Violation> {
    let sightings = &evidence.sightings;
    let overlaps = sightings.overlaps(vip);
    let first = overlaps.first()?;
    let hosts = (sightings.names[first.between].clone(), sightings.names[first.host].clone());
    let first = first.at.saturating_sub(evidence.deeds.base);
    Some(Violation::TwoAtOnce { vip: name(evidence, vip), dual: sightings.dual(vip), hosts, first })
}

fn not_healed(evidence: &Evidence<'_>, vip: usize) -> Option<Violation> {
    let sightings = &evidence.sightings;
    let due = evidence.deeds.healed? + HEALED_WITHIN;
    let serve: Vec<_> = sightings.stays(vip).into_iter().filter(|stay| stay.to >= due).collect();
    let silent: Duration = sightings.outages(vip).iter().map(|outage| overlap(outage, &(due..Duration::MAX))).sum();
    let steady = matches!(serve.as_slice(), [one] if one.from <= due) && silent.is_zero();
    let seen = || {
        let names: Vec<_> = serve.iter().map(|stay| sightings.names[stay.host].as_str()).collect();
        format!("served by [{}], by nobody for {} ms", names.join(", "), silent.as_millis())
    };
    (!steady).then(|| Violation::NotHealed { vip: name(evidence, vip), seen: seen() })
}

fn left_behind(evidence: &Evidence<'_>, vip: usize) -> Option<Violation> {
    let sightings = &evidence.sightings;
    let have = evidence.deeds.left.get(vip)?;
    let serves = sightings.stays(vip).into_iter().max_by_key(|stay| stay.to).map(|stay| stay.host);
    let hosts: Vec<_> =
        have.iter().filter(|host| Some(**host) != serves).map(|h| sightings.names[*h].clone()).collect();
    (!hosts.is_empty()).then(|| Violation::LeftBehind { vip: name(evidence, vip), hosts })
}

fn not_served(evidence: &Evidence<'_>, vip: usize, blind: &[Range<Duration>]) -> Option<Violation> {
    let outages = evidence.sightings.outages(vip);
    for group in majorities(evidence.schedule.shape.directors(), &evidence.voters) {
        for whole in whole_times(evidence, &group) {
            for outage in &outages {
                let from = outage.start.max(whole.start);
                let both = from..outage.end.min(whole.end).max(from);
                let unseen: Duration = blind.iter().map(|gap| overlap(gap, &both)).sum();
                let lasted = (both.end - both.start).saturating_sub(unseen);
                if lasted > BUDGET {
                    let whole = group.iter().map(|host| evidence.sightings.names[*host].clone()).collect();
                    let from = from.saturating_sub(evidence.deeds.base);
                    return Some(Violation::NotServed { vip: name(evidence, vip), whole, from, lasted });
                }
            }
        }
    }
    None
}

// Groups of hosts that have to serve while they are whole: a bare majority of the voters, and a director.
fn majorities(directors: usize, voters: &[usize]) -> Vec<Vec<usize>> {
    let needed = voters.len() / 2 + 1;
    let subsets = (0u32..1 << voters.len()).filter(|bits| !voters.is_empty() && bits.count_ones() as usize == needed);
    let chosen = subsets.map(|bits| {
        let chosen = voters.iter().enumerate().filter(|(place, _)| bits & (1 << place) != 0);
        chosen.map(|(_, host)| *host).collect::<Vec<_>>()
    });
    // Where the votes are all witnesses', it takes any one director more.
    let with_candidate = chosen.flat_map(|group| match group.iter().any(|host| *host < directors) {
        true => vec![group],
        false => (0..directors).map(|director| [&group[..], &[director]].concat()).collect(),
    });
    with_candidate.collect()
}

// When nothing was wrong with these hosts, nor on any wire between two of them.
fn whole_times(evidence: &Evidence<'_>, group: &[usize]) -> Vec<Range<Duration>> {
    let mut broken: Vec<Range<Duration>> = Vec::new();
    for (index, began, ended) in &evidence.deeds.done {
        let what = &evidence.schedule.faults[*index].what;
        if hits(what, group) {
            broken.push(*began..*ended + recovery(what));
        }
    }
    broken.sort_by_key(|range| range.start);
    let observed = evidence.sightings.observed();
    let mut whole = Vec::new();
    let mut since = observed.start;
    for range in broken {
        if range.start > since {
            whole.push(since..range.start);
        }
        since = since.max(range.end);
    }
    if observed.end > since {
        whole.push(since..observed.end);
    }
    whole
}

// What is repaired at once, repeated, or lost of VRRP alone must not cost service, and is no excuse.
fn hits(what: &What, group: &[usize]) -> bool {
    match what {
        What::Wires { trouble: WireTrouble::Repeat(..), .. } | What::Wires { channel: Channel::Vrrp, .. } => false,
        What::Wires { .. } => what.wires().iter().any(|(a, b)| group.contains(a) && group.contains(b)),
        What::Hosts { trouble: HostTrouble::Flush, .. } | What::Unaddress { .. } => false,
        What::Hosts { hosts, .. } => hosts.iter().any(|host| group.contains(host)),
        What::Burn => true,
    }
}

fn recovery(what: &What) -> Duration {
    match what {
        What::Hosts { trouble: HostTrouble::Kill | HostTrouble::Stop | HostTrouble::Reboot, .. } => STARTED,
        _ => Duration::ZERO,
    }
}

fn overlap(a: &Range<Duration>, b: &Range<Duration>) -> Duration {
    a.end.min(b.end).saturating_sub(a.start.max(b.start))
}

fn name(evidence: &Evidence<'_>, vip: usize) -> String {
    evidence.sightings.vips[vip].to_string()
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Violation::TwoAtOnce { vip, dual, hosts: (one, other), first } => write!(
                f,
                "two at once: {vip}: {one} and {other} at {:.3} s; {} ms in all",
                first.as_secs_f64(),
                dual.as_millis()
            ),
            Violation::NotHealed { vip, seen } => write!(f, "not healed: {vip}: in the end {seen}"),
            Violation::LeftBehind { vip, hosts } => write!(f, "left behind: {vip} is on {}", hosts.join(", ")),
            Violation::NotServed { vip, whole, from, lasted } => write!(
                f,
                "not served: {vip}: from {:.3} s for {} ms, with {} whole",
                from.as_secs_f64(),
                lasted.as_millis(),
                whole.join(", ")
            ),
            Violation::Daemon(text) => write!(f, "daemon: {text}"),
            Violation::Unobserved(share) => {
                write!(f, "unobserved: the judge missed {:.0} % of the time", share * 100.0)
            }
        }
    }
}

#[cfg(test)]
mod tests;
