//! One run from its seed to its outcome.

use std::time::Duration;

use clap::ValueEnum;
use mesh_core::Decision;

use crate::clock::{Time, ms};
use crate::cluster::{Cluster, Fact, Layout};
use crate::invariants::{self, Invariant};
use crate::layout::Shape;
use crate::mutant::Mutant;
use crate::nemesis::Nemesis;
use crate::story::{Recording, Story};

/// How long a run lasts after all faults have ended.
pub const HEALING: Duration = ms(22_000);

/// How much two clocks may differ in speed from true time, in parts per million, and ten times that.
const DRIFT: (i32, i32) = (2000, 20_000);

/// What leases do not promise to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Beyond {
    /// Virtual machines that stand still and do not know: two owners for a moment only.
    Pause,
    /// Clocks that run ten times faster or slower than allowed: two owners are possible.
    Drift,
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Everything follows from it.
    pub seed: u64,
    /// Hosts, voters, routers.
    pub layout: Layout,
    /// Of virtual time, healing included.
    pub length: Duration,
    /// Whether there are faults.
    pub faults: bool,
    /// A planted bug.
    pub mutant: Option<Mutant>,
    /// Faults outside the promise.
    pub beyond: Option<Beyond>,
    /// What to keep of the log.
    pub recording: Recording,
}

impl Plan {
    /// A run with faults.
    pub fn new(seed: u64, shape: Shape, length: Duration) -> Self {
        let layout = shape.layout(seed);
        Plan { seed, layout, length, faults: true, mutant: None, beyond: None, recording: Recording::Tail }
    }

    /// The run in which a planted bug is looked for.
    pub fn with_mutant(seed: u64, mutant: Mutant, length: Duration) -> Self {
        let mut plan = Plan::new(seed, mutant.shape(), length);
        if mutant == Mutant::VotersAtOnce {
            plan.layout.late = 0;
        }
        Plan { mutant: Some(mutant), beyond: mutant.beyond(), ..plan }
    }
}

/// Something that must not be.
#[derive(Clone, Debug)]
pub struct Violation {
    /// When.
    pub at: Time,
    /// Of what.
    pub invariant: &'static str,
    /// In words.
    pub text: String,
}

/// How a run went.
#[derive(Debug)]
pub struct Outcome {
    /// The first violation; the run ended there.
    pub violation: Option<Violation>,
    /// Virtual time that passed, times routers.
    pub time: Duration,
    /// Of that, with an owner.
    pub owned: Duration,
    /// How often another host than before began to serve.
    pub takeovers: usize,
    /// From a crash of an owner to the next service, by whomever.
    pub after_crash: Vec<Duration>,
    /// Steps of all engines.
    pub steps: u64,
    /// The log.
    pub story: Story,
}

/// Runs a plan.
pub fn run(plan: &Plan) -> Outcome {
    let drift = if plan.beyond == Some(Beyond::Drift) { DRIFT.1 } else { DRIFT.0 };
    let story = Story::new(plan.recording);
    let mut cluster = Cluster::with_drift(plan.layout, plan.seed, plan.mutant, story, drift);
    let mut nemesis = plan.faults.then(|| Nemesis::new(plan));
    if let Some(nemesis) = &mut nemesis {
        nemesis.prepare(&mut cluster);
    }
    cluster.start_all();
    let invariants = invariants::all(&cluster, plan.beyond);
    let mut sim = Sim::with(cluster, invariants);
    while sim.violation.is_none() {
        match &mut nemesis {
            Some(chaos) if chaos.next.min(chaos.ends) <= sim.cluster.next_event() => {
                sim.pass_until(chaos.next.min(chaos.ends));
                if chaos.next < chaos.ends {
                    chaos.strike(&mut sim.cluster);
                } else {
                    sim.cluster.heal();
                    nemesis = None;
                }
                sim.judge();
            }
            _ if sim.cluster.next_event() > plan.length => break,
            _ => sim.advance(),
        }
    }
    sim.finish(plan.length)
}

/// A cluster under observation.
#[derive(Debug)]
pub struct Sim {
    /// The world.
    pub cluster: Cluster,
    /// What went wrong first.
    pub violation: Option<Violation>,
    /// When service of each router changed, and who has served since.
    pub history: Vec<Vec<(Time, Vec<usize>)>>,
    /// What was decided about routers and moves.
    pub decisions: Vec<(Time, Decision)>,
    invariants: Vec<Box<dyn Invariant>>,
    crashes: Vec<(Time, usize)>,
    /// The cluster's changes of service that `history` knows.
    judged: u64,
}

impl Sim {
    /// Watches a cluster with all invariants.
    pub fn new(cluster: Cluster) -> Self {
        let invariants = invariants::all(&cluster, None);
        Sim::with(cluster, invariants)
    }

    /// Watches a cluster with these invariants only.
    pub fn with(cluster: Cluster, invariants: Vec<Box<dyn Invariant>>) -> Self {
        let history = vec![vec![(Time::ZERO, Vec::new())]; cluster.layout.routers];
        Sim { cluster, violation: None, history, decisions: Vec::new(), invariants, crashes: Vec::new(), judged: 0 }
    }

    /// The next event, and its judgement.
    pub fn advance(&mut self) {
        let tick = self.cluster.advance();
        // Nothing else happened that a judge could see.
        if tick || self.cluster.has_facts() || self.cluster.service_changes() != self.judged {
            self.judge();
        }
    }

    /// Everything until then.
    pub fn pass_until(&mut self, until: Time) {
        self.cluster.look_at(until);
        while self.cluster.now < until {
            self.advance();
        }
    }

    /// So much time.
    pub fn pass(&mut self, duration: Duration) {
        self.pass_until(self.cluster.now + duration);
    }

    /// Writes down who serves, and looks at all invariants.
    pub fn judge(&mut self) {
        let now = self.cluster.now;
        let facts = self.cluster.take_facts();
        for fact in &facts {
            if let Fact::Decision(_, decision @ (Decision::Move { .. } | Decision::Router { .. })) = fact {
                self.decisions.push((now, decision.clone()));
            }
            if let Fact::Crashed(host) = fact {
                let routers = (0..self.history.len()).filter(|r| self.serving_before(*r).contains(host));
                self.crashes.extend(routers.map(|r| (now, r)).collect::<Vec<_>>());
            }
        }
        let changes = self.cluster.service_changes();
        if std::mem::replace(&mut self.judged, changes) != changes {
            self.note_service();
        }
        for invariant in &mut self.invariants {
            let Err(text) = invariant.check(&self.cluster, &facts) else { continue };
            self.cluster.story.tell(now, "!!", || format!("{}: {text}", invariant.name()));
            self.violation.get_or_insert(Violation { at: now, invariant: invariant.name(), text });
        }
    }

    fn note_service(&mut self) {
        let now = self.cluster.now;
        for router in 0..self.history.len() {
            let serving = self.cluster.serving(router);
            if serving != self.serving_before(router) {
                let names: Vec<&str> = serving.iter().map(|h| self.cluster.hosts[*h].name.as_str()).collect();
                let line = format!("VI_{} served by {names:?}", router + 1);
                self.cluster.story.tell(now, "**", || line);
                self.history[router].push((now, serving));
            }
        }
    }

    fn serving_before(&self, router: usize) -> &[usize] {
        self.history[router].last().map_or(&[], |(_, serving)| serving)
    }

    /// The longest time without service of a router that began at `since` or later and ended.
    pub fn longest_gap(&self, router: usize, since: Time) -> Duration {
        let pairs = self.history[router].windows(2);
        let gaps = pairs.filter(|p| p[0].1.is_empty() && p[0].0 >= since).map(|p| p[1].0 - p[0].0);
        gaps.max().unwrap_or_default()
    }

    fn finish(self, length: Duration) -> Outcome {
        let mut outcome = Outcome {
            violation: self.violation,
            time: Duration::ZERO,
            owned: Duration::ZERO,
            takeovers: 0,
            after_crash: Vec::new(),
            steps: self.cluster.steps(),
            story: self.cluster.story,
        };
        for history in &self.history {
            outcome.time += length;
            let ends = history.iter().skip(1).map(|(at, _)| *at).chain([length]);
            let served = history.iter().zip(ends).filter(|((_, serving), _)| !serving.is_empty());
            outcome.owned += served.map(|((at, _), end)| end.saturating_sub(*at)).sum::<Duration>();
            let mut owners: Vec<&Vec<usize>> = history.iter().map(|(_, s)| s).filter(|s| !s.is_empty()).collect();
            owners.dedup();
            outcome.takeovers += owners.len().saturating_sub(1);
        }
        for (at, router) in self.crashes {
            // A killed daemon's kernel serves on until the fence closes: the next one is what counts.
            let next = self.history[router].iter().find(|(t, serving)| *t > at && !serving.is_empty());
            outcome.after_crash.extend(next.map(|(t, _)| *t - at));
        }
        outcome
    }
}
