//! What is to be known before any table: how many routers are served, by whom, and what is not well.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
pub(crate) use mesh_config::report::plural;
use mesh_control::drift::Drift;
use mesh_control::{Cluster, Liveness, Protection, Router, RouterState, Status};

use super::{Look, paint, services};
use crate::pick::{Picked, natural};

/// Routers named in one warning.
const NAMED: usize = 3;

/// So long a death of the daemon is told; how often it died stays in the JSON.
const DEATH_TOLD: SignedDuration = SignedDuration::from_hours(24);

/// Lines on configurations that differ.
const DRIFT: usize = 12;

/// The mesh, in a line.
pub(super) fn headline(status: &Status, look: &Look) -> String {
    let Cluster { name, protection, quorum, .. } = &status.cluster;
    if *protection == Protection::None {
        return format!("No mesh: {}\n", without_mesh(status));
    }
    let protection = match protection {
        Protection::Protected if quorum.reachable < quorum.needed => paint("NO QUORUM", "1;31", look),
        Protection::Protected => paint("protected", "1;32", look),
        _ => paint("UNPROTECTED", "1;31", look),
    };
    let votes = format!("quorum {}/{} reachable, {} needed", quorum.reachable, quorum.voters, quorum.needed);
    let votes = if quorum.reachable < quorum.needed { paint(&votes, "1;31", look) } else { votes };
    format!("Cluster {name}  {protection}  {votes}  (as seen by {})\n", status.node)
}

/// What a node in no mesh is.
pub(crate) fn without_mesh(status: &Status) -> String {
    match &status.cluster.unprotected_because {
        Some(removed) => format!("{} serves nothing: {removed}", status.node),
        None => format!("{} is a plain VRRP router", status.node),
    }
}

/// Counts: routers by state, nodes by liveness, routers by the node that serves them.
pub(super) fn counts(status: &Status, look: &Look) -> String {
    let mut text = String::new();
    for line in [router_counts(status), node_counts(status), served(status)].into_iter().flatten() {
        text += &wrapped(&line, look);
    }
    text
}

/// How many there are of each kind, those of which there are none left out.
fn counted(kinds: &[(&str, usize)], between: &str) -> String {
    let kinds = kinds.iter().filter(|(_, count)| *count > 0);
    kinds.map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(between)
}

pub(crate) fn router_counts(status: &Status) -> Option<String> {
    let count = |is: &dyn Fn(&Router) -> bool| status.routers.iter().filter(|router| is(router)).count();
    let known = |state| count(&|r| r.state == state && r.cannot_tell.is_none());
    let states = [
        ("active", known(RouterState::Active)),
        ("served by nobody", known(RouterState::Vacant)),
        ("served from outside the mesh", known(RouterState::Foreign)),
        ("in fault", known(RouterState::Fault)),
        ("not known here", count(&|r| r.cannot_tell.is_some())),
    ];
    let besides = [
        ("without a lease", count(&|r| r.unprotected_because.is_some())),
        ("refused here", count(&|r| r.veto.is_some())),
        ("contested from outside", count(&|r| r.state == RouterState::Active && r.foreign.is_some())),
        ("in fault on a director", count(&|r| r.state != RouterState::Fault && !r.faults.is_empty())),
        ("served without an address, route or rule", count(&|r| !r.lacks.is_empty())),
        ("kept on a director by an operator", count(&|r| r.pinned_to.is_some())),
    ];
    let besides = counted(&besides, ", ");
    let besides = if besides.is_empty() { besides } else { format!("; {besides}") };
    let all = plural(status.routers.len(), "virtual router");
    (!status.routers.is_empty()).then(|| format!("{all}: {}{besides}", counted(&states, ", ")))
}

pub(crate) fn node_counts(status: &Status) -> Option<String> {
    let count = |liveness| status.nodes.iter().filter(|node| node.liveness == liveness).count();
    let liveness = [
        ("alive", count(Liveness::Alive)),
        ("suspect", count(Liveness::Suspect)),
        ("dead", count(Liveness::Dead)),
        ("left", count(Liveness::Left)),
    ];
    let draining = status.nodes.iter().filter(|node| node.draining).count();
    let draining = if draining > 0 { format!("; {draining} draining") } else { String::new() };
    let all = plural(status.nodes.len(), "node");
    (!status.nodes.is_empty()).then(|| format!("{all}: {}{draining}", counted(&liveness, ", ")))
}

/// Who serves how many: all that serve any, and directors that could.
fn served(status: &Status) -> Option<String> {
    let serving = serving(status);
    let pairs: Vec<String> = serving.iter().map(|(name, count)| format!("{name}:{count}")).collect();
    (!status.nodes.is_empty() && !pairs.is_empty()).then(|| format!("Served by {}", pairs.join(" ")))
}

/// The same, in the order of names.
pub(crate) fn serving(status: &Status) -> Vec<(String, usize)> {
    let could = status.nodes.iter().filter(|node| node.role == "director" && node.liveness == Liveness::Alive);
    let mut serving: BTreeMap<&str, usize> = could.map(|node| (node.name.as_str(), 0)).collect();
    for active in status.routers.iter().filter_map(|router| router.active.as_deref()) {
        *serving.entry(active).or_default() += 1;
    }
    let mut serving: Vec<_> = serving.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    serving.sort_by_cached_key(|(name, _)| natural(name));
    serving
}

/// Broken between words where the terminal is narrow, further lines indented.
pub(super) fn wrapped(line: &str, look: &Look) -> String {
    let width = look.width.map_or(usize::MAX, usize::from);
    let (mut text, mut column) = (String::new(), 0);
    for word in line.split(' ') {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > width {
            text += "\n ";
            column = 1;
        }
        if column > 0 {
            text.push(' ');
            column += 1;
        }
        text += word;
        column += length;
    }
    text + "\n"
}

/// What should not be as it is, one line each.
pub(super) fn warnings(status: &Status, picked: &Picked, look: &Look) -> String {
    let mut lines = of_cluster(status);
    lines.extend(of_daemon(status, look));
    lines.extend(of_routers(status, picked));
    if !picked.part {
        lines.extend(services::troubles(status));
        lines.extend(services::lost_sessions(status));
    }
    lines.iter().map(|line| format!("{}\n", paint(&format!("! {line}"), "33", look))).collect()
}

fn of_cluster(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    let quorum = &status.cluster.quorum;
    if status.cluster.protection == Protection::Unprotected {
        let because = status.cluster.unprotected_because.as_deref().unwrap_or("the daemon does not say why");
        lines.push(format!("UNPROTECTED: two nodes can serve one address: {because}"));
    } else if status.cluster.protection == Protection::Protected && quorum.reachable < quorum.needed {
        lines.push(format!("NO QUORUM: {} reaches too few voters and can serve nothing", status.node));
    }
    let directors = status.nodes.iter().filter(|node| node.role == "director" && !node.config_digest.is_empty());
    let differ = directors.map(|node| &node.config_digest).collect::<BTreeSet<_>>().len() > 1;
    if differ && status.drift.is_empty() {
        lines.push("The directors' configurations differ: see CONFIG".to_owned());
    }
    lines.extend(drift(&status.drift));
    if let Some(why) = status.guard.as_ref().and_then(|guard| guard.cannot_act.as_ref()) {
        lines.push(format!("{}: a killed daemon is not acted for, its leases run out: {why}", status.node));
    }
    lines
}

/// What became of the daemon that answers.
fn of_daemon(status: &Status, look: &Look) -> Vec<String> {
    let node = &status.node;
    let refused = status.config_refused.as_ref().map(|refused| {
        let (first, more) = shortened(&refused.errors);
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        format!("{node}: the configuration read at {} is not used, the one before runs: {first}{more}", refused.at)
    });
    let died = status.guard.as_ref().filter(|guard| guard.restarts > 0).and_then(|guard| {
        let (how, at) = (guard.last_death.as_ref()?, guard.last_death_at.as_ref()?);
        let ago = look.now.duration_since(at.parse().ok()?);
        let times = plural(usize::try_from(guard.restarts).unwrap_or(usize::MAX), "time");
        (ago < DEATH_TOLD).then(|| format!("{node}: meshd died and was started again {times}, last at {at}: {how}"))
    });
    refused.into_iter().chain(died).collect()
}

/// The first line, with what follows it where it only leads there, and how many lines are left.
fn shortened(lines: &[String]) -> (String, usize) {
    let mut lines = lines.iter();
    let mut first = lines.next().cloned().unwrap_or_default();
    if first.ends_with(':')
        && let Some(next) = lines.next()
    {
        first = format!("{first} {next}");
    }
    (first, lines.count())
}

/// How other directors are configured otherwise.
fn drift(drift: &Drift) -> Vec<String> {
    let all: Vec<String> = drift.lines().collect();
    let more = all.len().saturating_sub(DRIFT);
    let more = (more > 0).then(|| format!("{more} more lines on configurations that differ: see --json"));
    all.into_iter().take(DRIFT).chain(more).collect()
}

/// Routers that have the same to say share a line.
fn of_routers(status: &Status, picked: &Picked) -> Vec<String> {
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for router in picked.routers.iter().map(|at| &status.routers[*at]) {
        for text in of_router(router, &status.node) {
            let at = *places.entry(text.clone()).or_insert(said.len());
            if at == said.len() {
                said.push((text, Vec::new()));
            }
            said[at].1.push(&router.name);
        }
    }
    said.into_iter().map(|(text, names)| format!("{}: {text}", listed(&names))).collect()
}

fn listed(names: &[&str]) -> String {
    match names.len() {
        // One other is as long as its name.
        count if count <= NAMED + 1 => names.join(", "),
        count => format!("{} and {} others", names[..NAMED].join(", "), count - NAMED),
    }
}

/// What is not well with one router, as this node sees it.
pub(crate) fn of_router(router: &Router, node: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(because) = &router.unprotected_because {
        let active = router.active.as_deref().unwrap_or("somebody");
        lines.push(format!("UNPROTECTED: {active} serves it without a lease: {because}"));
    }
    if let Some(veto) = &router.veto {
        lines.push(if veto.by.is_empty() {
            format!("{node} does not take over: {}", veto.reason)
        } else {
            format!("{node} was refused by {}: {}", veto.by.join(", "), veto.reason)
        });
    }
    for (director, held) in &router.held_on {
        lines.push(format!("{director} is held back until {}: {}", held.until, held.because));
    }
    lines.extend(router.faults.iter().map(|(director, why)| format!("{director} cannot serve it: {why}")));
    for (director, why) in &router.lowered {
        let priority = router.priority.get(director).map_or_else(String::new, |p| format!("priority {p}, "));
        lines.push(format!("{director} has {priority}{why}"));
    }
    lines.extend(router.lacks.iter().map(|(director, what)| format!("{director} serves it without {what}")));
    if let Some(why) = &router.cannot_tell {
        lines.push(format!("{node} cannot tell who serves it: {why}"));
        return lines;
    }
    match (&router.state, &router.foreign) {
        (RouterState::Foreign, Some(foreign)) => {
            lines.push(format!("served by {foreign}, a router outside the mesh"));
        }
        (RouterState::Active, Some(foreign)) => {
            lines.push(format!("{foreign}, a router outside the mesh, advertises it, too"));
        }
        (RouterState::Vacant, _) => lines.push("served by nobody".to_owned()),
        (RouterState::Fault, _) => lines.push("every director is in fault".to_owned()),
        _ => {}
    }
    lines
}
