//! deploy/rolling-restart in whole clusters: what it moves, and that it moves nothing else.

use std::time::Duration;

use mesh_core::orders::{Answer, Wish};
use mesh_sim::clock::{Time, ms};
use mesh_sim::cluster::{Cluster, Layout};
use mesh_sim::run::Sim;
use mesh_sim::story::{Recording, Story};

/// How a daemon is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// `meshctl upgrade`, `systemctl restart`.
    Replaced,
    /// Stopped, and started some time later.
    Stopped,
    /// `kill -9`, and started some time later.
    Killed,
}

fn started(layout: Layout, seed: u64) -> Sim {
    let mut cluster = Cluster::new(layout, seed, None, Story::new(Recording::Tail));
    cluster.quiet_since = None;
    cluster.start_all();
    let mut sim = Sim::new(cluster);
    sim.pass_until(ms(30_000));
    sim
}

/// Waits until this is so, with all eyes open, and says how long that was.
fn wait(sim: &mut Sim, what: &str, good: impl Fn(&Cluster) -> bool) {
    let until = sim.cluster.now + ms(30_000);
    while !good(&sim.cluster) {
        assert!(sim.cluster.now < until, "{what}: {:#?}", sim.cluster.story.tail());
        sim.pass(ms(1));
    }
}

/// The node's own word, or another's, on whether a director is being emptied.
fn drains(cluster: &Cluster, host: usize, by: usize) -> bool {
    let now = cluster.hosts[by].now(cluster.now);
    let status = cluster.engine(by).map(|e| e.status(now));
    status.is_some_and(|s| s.nodes.iter().any(|n| n.name == cluster.hosts[host].name && n.draining))
}

fn alive(cluster: &Cluster, host: usize, by: usize) -> bool {
    let now = cluster.hosts[by].now(cluster.now);
    let status = cluster.engine(by).map(|e| e.status(now));
    status.is_some_and(|s| {
        s.nodes.iter().any(|n| n.name == cluster.hosts[host].name && n.liveness == mesh_control::Liveness::Alive)
    })
}

/// As `meshctl undrain --within` does.
fn wait_for_its_own(sim: &mut Sim, host: usize, by: usize) {
    let until = sim.cluster.now + ms(30_000);
    let name = sim.cluster.hosts[host].name.clone();
    loop {
        sim.pass(ms(200));
        sim.cluster.answers.clear();
        sim.cluster.order(by, Wish::Plan { drain: None });
        wait(sim, "there is a plan", |c| !c.answers.is_empty());
        let Some(Ok(Answer::Plan(plan))) = sim.cluster.answers.pop() else { panic!("no plan") };
        if !drains(&sim.cluster, host, by) && plan.moves.iter().all(|m| m.to != name) {
            return;
        }
        assert!(sim.cluster.now < until, "{plan:?}: {:#?}", sim.cluster.story.tail());
    }
}

fn owners(sim: &Sim) -> Vec<Option<usize>> {
    (0..sim.cluster.layout.routers).map(|r| sim.cluster.serving(r).first().copied()).collect()
}

/// Who served a router one after another since then, whoever served then first.
fn since(sim: &Sim, router: usize, since: Time) -> Vec<usize> {
    let before = sim.history[router].iter().rev().find(|(at, _)| *at <= since);
    let after = sim.history[router].iter().filter(|(at, _)| *at > since);
    let mut owners: Vec<usize> = before.into_iter().chain(after).flat_map(|(_, s)| s).copied().collect();
    owners.dedup();
    owners
}

/// Whatever went another way than straight.
fn detours(sim: &Sim, from: Time, what: &str, at_most: usize) -> Vec<String> {
    let paths = (0..sim.cluster.layout.routers).map(|r| (r, since(sim, r, from)));
    let long = paths.filter(|(_, path)| path.len() > at_most + 1);
    long.map(|(r, path)| format!("{what}: VI_{} went {path:?}", r + 1)).collect()
}

fn rolling(layout: Layout, seed: u64, how: How, patience: Duration) -> Vec<String> {
    let mut sim = started(layout, seed);
    let mut found = Vec::new();
    let before = owners(&sim);
    for host in 0..layout.directors {
        let name = sim.cluster.hosts[host].name.clone();
        let other = (host + 1) % layout.directors;
        let begin = sim.cluster.now;
        sim.cluster.order(other, Wish::Drain { node: name.clone() });
        wait(&mut sim, "it is empty", |c| {
            (0..layout.routers).all(|r| c.serving(r).first().is_some_and(|h| *h != host))
        });
        found.extend(detours(&sim, begin, &format!("drain {name}"), 1));
        let begin = sim.cluster.now;
        match how {
            How::Replaced => sim.cluster.replace(host, ms(60 + seed % 7 * 50)),
            How::Stopped => {
                sim.cluster.stop(host);
                sim.cluster.start_after(host, ms(20 + seed % 11 * 250));
            }
            How::Killed => {
                sim.cluster.kill(host);
                sim.cluster.start_after(host, ms(20 + seed % 11 * 250));
            }
        }
        // The command comes back once there is a daemon that answers.
        wait(&mut sim, "it runs", |c| c.engine(host).is_some());
        sim.pass(ms(30));
        wait(&mut sim, "it is back", |c| c.engine(host).is_some() && alive(c, host, other));
        sim.pass(patience);
        found.extend(detours(&sim, begin, &format!("restart {name}"), 0));
        let begin = sim.cluster.now;
        sim.cluster.order(other, Wish::Undrain { node: name.clone() });
        wait_for_its_own(&mut sim, host, other);
        found.extend(detours(&sim, begin, &format!("undrain {name}"), 1));
    }
    if sim.violation.is_some() {
        found.push(format!("{:?}", sim.violation));
    }
    sim.pass(ms(10_000));
    if !layout.spread && owners(&sim) != before {
        found.push(format!("in the end {:?} instead of {before:?}", owners(&sim)));
    }
    found
}

#[track_caller]
fn nothing_takes_a_detour(how: How) {
    let mut all = Vec::new();
    for seed in 0..24 {
        let layout = Layout { routers: 6, spread: seed % 2 == 0, grouped: seed % 3 == 0, ..Layout::of(3) };
        let patience = ms([0, 300, 3000][(seed % 5 % 3) as usize]);
        let found = rolling(layout, seed, how, patience);
        all.extend(found.into_iter().map(|what| format!("seed {seed}, {patience:?} after the start: {what}")));
    }
    assert!(all.is_empty(), "{how:?}:\n{}", all.join("\n"));
}

#[test]
fn nothing_takes_a_detour_where_daemons_are_replaced() {
    nothing_takes_a_detour(How::Replaced);
}

#[test]
fn nothing_takes_a_detour_where_daemons_are_stopped_and_started() {
    nothing_takes_a_detour(How::Stopped);
}

#[test]
fn nothing_takes_a_detour_where_daemons_are_killed() {
    nothing_takes_a_detour(How::Killed);
}
