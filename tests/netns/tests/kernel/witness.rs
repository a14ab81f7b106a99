//! Two directors and a witness that runs as nobody: any one of the three may fail.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon, active};
use mesh_lab::conf::Style;
use mesh_lab::{Judge, Lab, clock};
use mesh_netns::{NEXT, OWNER, Scenario, settled_with};

const WITNESS: &str = "lb3";

/// Longer than every timer in question, the silence of a voter that restarted included.
const WATCHED: Duration = Duration::from_secs(5);

/// A cluster loses one of its three for good; who serves then, and how long was nobody?
fn loses(victim: &str, then: &[&str], gap: Duration) -> Result<()> {
    let _turn = Lab::beside()?;
    let daemons = [(OWNER, Daemon::Mesh), (NEXT, Daemon::Mesh), (WITNESS, Daemon::Witness)];
    let mut cluster = settled_with(&daemons, Style::V2)?;
    watch(&mut cluster, victim, then, gap).inspect_err(|_| cluster.lab_ref().save_logs())
}

fn watch(cluster: &mut Cluster, victim: &str, then: &[&str], gap: Duration) -> Result<()> {
    has_no_rights(cluster)?;
    let judge = Judge::start(cluster.lab_ref())?;
    clock::pass(Duration::from_millis(500))?;
    cluster.kill(victim)?;
    clock::pass(WATCHED)?;
    let report = judge.finish()?;
    println!("{victim} killed: {report}");
    ensure!(report.dual().is_zero(), "two served at once: {report}");
    ensure!(report.owners() == then, "owners should be {then:?}: {report}");
    ensure!(report.gap() <= gap, "nobody served for more than {gap:?}: {report}");
    let left: Vec<&str> = [OWNER, NEXT, WITNESS].into_iter().filter(|name| *name != victim).collect();
    cluster.wait_status("those left agree", Duration::from_secs(3), &left, |status| {
        active(status) == then.last().copied() && status["cluster"]["quorum"]["reachable"] == 2
    })
}

/// The witness votes as nobody: no capability is left, and it knows that it serves none.
fn has_no_rights(cluster: &Cluster) -> Result<()> {
    let status = fs::read_to_string(format!("/proc/{}/status", cluster.daemon_pid(WITNESS)?))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.map(str::trim).with_context(|| format!("no {name} in {status}"))
    };
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        ensure!(field(set)? == "0000000000000000", "{set} {}", field(set)?);
    }
    ensure!(field("Uid:")?.split_whitespace().all(|id| id == "65534"), "{}", field("Uid:")?);
    let log = fs::read_to_string(cluster.lab_ref().host(WITNESS).dir.join("meshd.log"))?;
    ensure!(log.contains("serves none of the virtual routers"), "it does not say so: {log}");
    let map = cluster.status(WITNESS)?;
    ensure!(map["nodes"].as_array().is_some_and(|nodes| nodes.iter().any(|n| n["role"] == "witness")), "{map}");
    ensure!(map["routers"][0]["here"] == "none", "{map}");
    Ok(())
}

#[test]
fn root_the_owner_of_two_directors_is_replaced() -> Result<()> {
    loses(OWNER, &[OWNER, NEXT], Scenario::Killed.limit() + Duration::from_millis(10))
}

#[test]
fn root_the_loss_of_the_other_director_is_not_felt() -> Result<()> {
    loses(NEXT, &[OWNER], Duration::ZERO)
}

#[test]
fn root_the_loss_of_the_witness_is_not_felt() -> Result<()> {
    loses(WITNESS, &[OWNER], Duration::ZERO)
}
