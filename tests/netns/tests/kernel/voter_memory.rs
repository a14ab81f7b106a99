//! Voters whose daemons start again: they remember what they granted, and nothing moves.

use std::time::Duration;

use anyhow::{Result, ensure};
use mesh_lab::cluster::Daemon;
use mesh_lab::{Judge, Lab, clock};
use mesh_netns::{OWNER, settled};

/// Without memory both voters would be silent for three seconds, of which the owner's lease covers
/// one. With it, only the time the daemons take to start and connect counts; most of it is covered.
const LIMIT: Duration = Duration::from_millis(1200);

#[test]
fn root_two_voters_killed_and_started_again_cost_next_to_nothing() -> Result<()> {
    let _turn = Lab::beside()?;
    let mut cluster = settled(Daemon::Mesh)?;
    let report = restarted(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())?;
    println!("two of three voters killed and started again: {report}");
    Ok(())
}

fn restarted(cluster: &mut mesh_lab::cluster::Cluster) -> Result<mesh_lab::Report> {
    let judge = Judge::start(cluster.lab_ref())?;
    clock::pass(Duration::from_millis(500))?;
    for backup in ["lb2", "lb3"] {
        cluster.kill(backup)?;
        cluster.restart(backup)?;
    }
    clock::pass(Duration::from_secs(6))?;
    let report = judge.finish()?;
    ensure!(report.dual().is_zero(), "two served at once: {report}");
    ensure!(report.gap() <= LIMIT, "more than {LIMIT:?} without the VIP: {report}");
    ensure!(report.owners() == [OWNER], "it moved: {report}");
    Ok(report)
}
