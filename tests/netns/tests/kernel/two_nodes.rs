//! A mesh of two directors: two votes, both needed, so that whoever is left alone has to do without. It looks at the
//! segment before it serves; only without any path between the two both serve.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon};
use mesh_lab::conf::Style;
use mesh_lab::{Fault, Judge, Lab, clock};
use mesh_netns::{NEXT, OWNER, Outcome, Scenario, settled_with, trial};
use serde_json::Value;

const MS: fn(u64) -> Duration = Duration::from_millis;
/// What a machine that is busy with other things may add.
const MARGIN: Duration = Duration::from_millis(300);

fn pair() -> Result<Cluster> {
    settled_with(&[(OWNER, Daemon::Mesh), (NEXT, Daemon::Mesh)], Style::V2)
}

fn tried(scenario: Scenario) -> Result<Outcome> {
    let _turn = scenario.turn()?;
    let mut cluster = pair()?;
    let outcome = trial(&mut cluster, scenario)?;
    println!("two nodes, {}: fault: {}", scenario.title(), outcome.faulty);
    println!("two nodes, {}: healed: {}", scenario.title(), outcome.healed);
    Ok(outcome)
}

/// The other one takes over within `limit`, and gives back; never two at once.
fn moves(scenario: Scenario, limit: Duration) -> Result<()> {
    let outcome = tried(scenario)?;
    ensure!(outcome.whole.dual().is_zero(), "two served at once: {}", outcome.whole);
    ensure!(outcome.faulty.gap() <= limit, "more than {limit:?}: {}", outcome.faulty);
    ensure!(outcome.whole.owners() == [OWNER, NEXT, OWNER], "{}", outcome.whole);
    outcome.map
}

fn protection(status: &Value) -> (&str, &str) {
    let router = &status["routers"][0]["protection"];
    (router.as_str().unwrap_or("?"), status["cluster"]["protection"].as_str().unwrap_or("?"))
}

#[test]
fn root_two_nodes_owner_killed() -> Result<()> {
    moves(Scenario::Killed, MS(1200) + MARGIN)
}

#[test]
fn root_two_nodes_owner_frozen() -> Result<()> {
    moves(Scenario::Frozen, MS(1200) + MARGIN)
}

#[test]
fn root_two_nodes_owner_s_cable_pulled() -> Result<()> {
    moves(Scenario::CablePulled, MS(1200) + MARGIN)
}

#[test]
fn root_two_nodes_orderly_stop() -> Result<()> {
    moves(Scenario::OrderlyStop, MS(100) + MARGIN)
}

#[test]
fn root_two_nodes_vrrp_filtered() -> Result<()> {
    let outcome = tried(Scenario::VrrpFiltered)?;
    ensure!(outcome.whole.owners() == [OWNER], "{}", outcome.whole);
    ensure!(outcome.whole.gap() <= MS(20), "{}", outcome.whole);
    outcome.map
}

/// Neither votes nor adverts: the owner goes on, and whoever looks at the segment finds it.
#[test]
fn root_two_nodes_mesh_filtered() -> Result<()> {
    let _turn = Lab::beside()?;
    let mut cluster = pair()?;
    let judge = Judge::start(cluster.lab_ref())?;
    cluster.lab().inject(Fault::Mesh)?;
    cluster.wait_status("the owner says that it is unprotected", MS(3000), &[OWNER], |status| {
        protection(status) == ("none", "unprotected") && status["counters"]["routers_unprotected"] == 1
    })?;
    clock::pass(MS(6000))?;
    cluster.lab().inject(Fault::Vrrp)?;
    cluster.wait_status("the other one finds the address in use", MS(8000), &[NEXT], |status| {
        let reason = status["routers"][0]["veto"]["reason"].as_str().unwrap_or_default().to_owned();
        reason.starts_with("10.1.1.80 answers at 02:00:0a:01:01:0b")
    })?;
    clock::pass(MS(6000))?;
    cluster.lab().heal(&Fault::Mesh)?;
    cluster.lab().heal(&Fault::Vrrp)?;
    cluster.wait_status("a lease again", MS(10_000), &[OWNER, NEXT], |status| protection(status).0 == "lease")?;
    clock::pass(MS(1500))?;
    let seen = judge.finish()?;
    println!("two nodes, mesh filtered, then VRRP as well: {seen}");
    ensure!(seen.owners() == [OWNER] && seen.gap() <= MS(20), "{seen}");
    Ok(())
}

#[test]
fn root_two_nodes_the_other_one_killed() -> Result<()> {
    let _turn = Lab::beside()?;
    let mut cluster = pair()?;
    let judge = Judge::start(cluster.lab_ref())?;
    cluster.kill(NEXT)?;
    cluster.wait_status("the owner serves without a lease", MS(3000), &[OWNER], |status| {
        let because = status["routers"][0]["unprotected_because"].as_str().unwrap_or_default();
        protection(status).0 == "none" && because.starts_with("no majority answers, 1 of 2 voters reachable")
    })?;
    clock::pass(MS(4000))?;
    cluster.restart(NEXT)?;
    cluster.wait_status("a lease again", MS(10_000), &[OWNER, NEXT], |status| protection(status).0 == "lease")?;
    clock::pass(MS(4000))?;
    let seen = judge.finish()?;
    println!("two nodes, the other one killed: {seen}");
    ensure!(seen.owners() == [OWNER] && seen.gap() <= MS(20), "{seen}");
    Ok(())
}

/// What two nodes cannot do: both serve, as documented, until they meet again; then the worthier.
#[test]
fn root_two_nodes_cut_from_each_other() -> Result<()> {
    let outcome = tried(Scenario::CutFromOne)?;
    ensure!(outcome.faulty.dual() > MS(2000), "the other one should serve, too: {}", outcome.faulty);
    ensure!(outcome.whole.gap() <= MS(20), "somebody serves all the time: {}", outcome.whole);
    ensure!(outcome.healed.dual() <= MS(1200), "an advert, or a vote, ends it: {}", outcome.healed);
    ensure!(outcome.healed.client_gap() <= MS(500), "clients find who stays: {}", outcome.healed);
    ensure!(outcome.healed.owners().first() == Some(&OWNER), "{}", outcome.healed);
    let kept = outcome.whole.served(OWNER);
    ensure!(kept.len() == 1, "the worthier one serves through it all: {}", outcome.whole);
    ensure!(outcome.whole.served(NEXT).len() == 1, "{}", outcome.whole);
    Ok(())
}

/// The address lives where nobody expects it, as after the death of a keepalived: not taken from there.
#[test]
fn root_two_nodes_an_address_left_behind_is_not_taken() -> Result<()> {
    let _turn = Lab::beside()?;
    let mut cluster = pair()?;
    cluster.kill(NEXT)?;
    cluster.wait_status("the owner serves alone", MS(3000), &[OWNER], |status| protection(status).0 == "none")?;
    cluster.kill(OWNER)?;
    // It served without a fence: its kernel gives the address up when its lifetime is over.
    let held = |cluster: &Cluster| Ok(cluster.holders()?.is_empty().then_some(()));
    clock::wait_for("the address goes by itself", MS(8000), || held(&cluster))?;
    cluster.lab_ref().host("lb3").run(&["ip", "addr", "add", "10.1.1.80/24", "dev", "eth0"])?;
    let judge = Judge::start(cluster.lab_ref())?;
    cluster.restart(NEXT)?;
    cluster.wait_status("it finds the address in use", MS(12_000), &[NEXT], |status| {
        let reason = status["routers"][0]["veto"]["reason"].as_str().unwrap_or_default().to_owned();
        reason.starts_with("10.1.1.80 answers at 02:00:0a:01:01:0d")
    })?;
    clock::pass(MS(2000))?;
    let seen = judge.finish()?;
    ensure!(seen.owners() == ["lb3"] && seen.dual().is_zero(), "{seen}");
    cluster.lab_ref().host("lb3").run(&["ip", "addr", "del", "10.1.1.80/24", "dev", "eth0"])?;
    cluster.wait_holder(NEXT).context("free at last")
}
