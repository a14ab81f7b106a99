//! Runs a search and says what it found.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::hash::Hash;

use stateright::{Checker, HasDiscoveries, Model, Path};

/// Searching threads.
const THREADS: usize = 2;

/// A model whose histories can be read.
pub trait Readable: Model {
    /// The state in a few words.
    fn describe(&self, state: &Self::State) -> String;
}

/// A model within bounds.
#[derive(Clone, Debug)]
pub struct Search<M> {
    /// What it is about.
    pub name: &'static str,
    /// It has at least so many states; fewer, and something has become trivial.
    pub at_least: usize,
    /// Where it looks.
    pub model: M,
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Different states.
    pub states: usize,
    /// Events that were tried.
    pub events: usize,
    /// Events in the longest history that was followed.
    pub depth: usize,
    /// A property that does not hold, with a history that shows it.
    pub violation: Option<(&'static str, Vec<String>)>,
    /// What is possible, and was seen.
    pub seen: BTreeSet<&'static str>,
}

/// Looks at everything within the bounds, or stops at a violation. Depth first, which takes the
/// least memory.
fn exhaust<M>(model: M) -> Found
where
    M: Readable + Clone + Send + Sync + 'static,
    M::State: Clone + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Display + PartialEq,
{
    let reader = model.clone();
    let checker = model.checker().threads(THREADS).finish_when(HasDiscoveries::AnyFailures).spawn_dfs().join();
    found(&reader, &checker)
}

/// Looks for a violation by a short history: breadth first.
pub fn shortest<M>(model: M) -> Found
where
    M: Readable + Clone + Send + Sync + 'static,
    M::State: Clone + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Display + PartialEq,
{
    let reader = model.clone();
    found(&reader, &model.checker().finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join())
}

fn found<M>(reader: &M, checker: &impl Checker<M>) -> Found
where
    M: Readable,
    M::State: Clone + PartialEq,
    M::Action: Clone + Display + PartialEq,
{
    let mut discoveries = checker.discoveries();
    let must: Vec<_> = reader.properties().into_iter().filter(|p| p.expectation.discovery_is_failure()).collect();
    let violation = must.iter().find_map(|p| Some((p.name, story(reader, discoveries.remove(p.name)?))));
    Found {
        states: checker.unique_state_count(),
        events: checker.state_count(),
        depth: checker.max_depth(),
        violation,
        seen: discoveries.into_keys().collect(),
    }
}

/// What came of several searches.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Different states, of all together.
    pub states: usize,
    /// What is not as it should be.
    pub complaints: Vec<String>,
}

/// Exhausts the searches that are wanted. Each has to hold and to be as large as it says; all of
/// them together, where none is left out, have to see whatever should be possible.
pub fn run_all<M>(searches: Vec<Search<M>>, wanted: impl Fn(&str) -> bool, mut tell: impl FnMut(String)) -> Report
where
    M: Readable + Clone + Send + Sync + 'static,
    M::State: Clone + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Display + PartialEq,
{
    let mut report = Report::default();
    let mut never_seen: Option<BTreeSet<&'static str>> = searches.iter().all(|s| wanted(s.name)).then(BTreeSet::new);
    if let (Some(never), Some(first)) = (&mut never_seen, searches.first()) {
        let may = first.model.properties().into_iter().filter(|p| !p.expectation.discovery_is_failure());
        never.extend(may.map(|p| p.name));
    }
    for Search { name, at_least, model } in searches.into_iter().filter(|s| wanted(s.name)) {
        let found = exhaust(model);
        tell(format!("{name}: {found}"));
        match &found.violation {
            Some((property, _)) => {
                report.complaints.push(format!("{name}: violated: {property}"));
                never_seen = None;
            }
            None if found.states < at_least => {
                report.complaints.push(format!("{name}: {} states, at least {at_least} are known", found.states));
            }
            None => {}
        }
        report.states += found.states;
        if let Some(never) = &mut never_seen {
            never.retain(|property| !found.seen.contains(property));
        }
    }
    let missing = never_seen.unwrap_or_default();
    report.complaints.extend(missing.iter().map(|property| format!("never seen: {property}")));
    report
}

fn story<M>(model: &M, path: Path<M::State, M::Action>) -> Vec<String>
where
    M: Readable,
    M::Action: Display,
{
    let steps: Vec<(M::State, Option<M::Action>)> = path.into();
    let mut lines = Vec::new();
    let mut event = String::from("at first");
    for (number, (state, next)) in steps.into_iter().enumerate() {
        lines.push(format!("{number:>3}. {event:<76} {}", model.describe(&state)));
        event = next.map_or_else(String::new, |n| n.to_string());
    }
    lines
}

impl Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} states, {} events, depth {}", self.states, self.events, self.depth)?;
        if let Some((property, story)) = &self.violation {
            write!(f, "\n  violated: {property}")?;
            story.iter().try_for_each(|line| write!(f, "\n  {line}"))?;
        }
        Ok(())
    }
}
