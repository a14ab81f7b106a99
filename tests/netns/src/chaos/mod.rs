//! Chaos: a random schedule of faults against real daemons, judged from the clients' side.
//!
//! ```text
//! seed -> Schedule (text, saved, replayable) -> nemesis: faults at their times --> real daemons
//!                                                                                     |
//!         Verdict <- judgement (pure) <- what was done when, and what the judge saw <-+
//! ```
//!
//! Order, times and targets of the faults follow from the seed alone. What happens then does not: the kernel, the
//! daemons and the machine have their own timing, and a schedule that failed once may pass the next time.
//!
//! Not in it: `nft flush ruleset` while the daemon is stopped or starved, as nobody is there to put the fence back (a
//! known limit); a change of the boot id and jumps of the clock, which would hit the whole machine.

mod generate;
mod judgement;
mod nemesis;
mod record;
mod schedule;
mod shape;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_lab::cluster::{Cluster, Daemon};
use mesh_lab::judge::watch::Watch;
use mesh_lab::{Lab, Lifetime, clock};

pub use judgement::{Summary, Verdict, Violation};
pub use schedule::{Fault, HostTrouble, Schedule, What, WireTrouble};
pub use shape::Shape;

use judgement::Evidence;
use nemesis::Nemesis;

/// All members of the mesh know each other within this.
const SETTLE: Duration = Duration::from_secs(30);

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// Violations and figures.
    pub verdict: Verdict,
    /// Where schedule, logs and observations are, if they were saved.
    pub saved: Option<PathBuf>,
}

impl Outcome {
    /// Fails with everything that was violated.
    pub fn check(&self) -> Result<()> {
        let list: Vec<_> = self.verdict.violations.iter().map(ToString::to_string).collect();
        let saved = self.saved.as_ref().map_or(String::new(), |dir| format!("\nsaved in {}", dir.display()));
        anyhow::ensure!(list.is_empty(), "{} violations:\n{}{saved}", list.len(), list.join("\n"));
        Ok(())
    }
}

/// What is saved of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Save {
    /// Everything, if anything was violated.
    Failures,
    /// Everything.
    Always,
}

/// Runs a schedule, waits for the cluster to heal, and judges. What is violated is in the outcome; an error is a
/// failure of the lab itself.
pub fn run(schedule: &Schedule, daemon: Daemon, save: Save) -> Result<Outcome> {
    let shape = schedule.shape;
    anyhow::ensure!(daemon == Daemon::Mesh || shape != Shape::TwoAndWitness, "a witness needs a mesh");
    let lab = Lab::with_directors(Lifetime::Lab, shape.hosts())?;
    let mut cluster = Cluster::launch_all(lab, &shape.daemons(daemon), &|name| shape.conf(name))?;
    let voters = settle(&mut cluster, shape, daemon).inspect_err(|_| cluster.lab_ref().save_logs())?;
    let watch = Watch::start(cluster.lab_ref(), &shape::VIPS)?;
    let mut nemesis = Nemesis::new(&mut cluster, schedule);
    let done = nemesis.run();
    let failed = done.is_err();
    let deeds = nemesis.deeds();
    drop(nemesis);
    let evidence = Evidence { schedule, voters, sightings: watch.finish()?, deeds };
    let verdict = judgement::judge(&evidence);
    let saved = match failed || !verdict.violations.is_empty() || save == Save::Always {
        true => Some(record::save(&evidence, &verdict, cluster.lab_ref().dir())?),
        false => None,
    };
    done.with_context(|| format!("the lab failed; saved in {saved:?}"))?;
    Ok(Outcome { verdict, saved })
}

// Waits until all of a mesh are there and every address is on one host; gives the voters.
fn settle(cluster: &mut Cluster, shape: Shape, daemon: Daemon) -> Result<Vec<usize>> {
    let hosts = shape.hosts();
    let mut voters = Vec::new();
    if daemon == Daemon::Mesh {
        let all = cluster.mesh();
        cluster.wait_status("all are in the mesh", SETTLE, &all, |status| {
            let nodes = status["nodes"].as_array().map_or(&[][..], Vec::as_slice);
            nodes.len() == hosts && nodes.iter().all(|node| node["liveness"] == "alive")
        })?;
        let status = cluster.status(all[0])?;
        let nodes = status["nodes"].as_array().context("no nodes in the status")?;
        let named = nodes.iter().filter(|node| node["voter"] == true).filter_map(|node| node["name"].as_str());
        voters = named.filter_map(|name| shape.index(name)).collect();
    }
    clock::wait_for("every address is served", SETTLE, || {
        cluster.must_run()?;
        Ok(shape::VIPS
            .iter()
            .all(|vip| holders(cluster, shape, *vip).is_ok_and(|found| found.len() == 1))
            .then_some(()))
    })?;
    Ok(voters)
}

// Hosts that have this address on an interface.
fn holders(cluster: &Cluster, shape: Shape, vip: std::net::Ipv4Addr) -> Result<Vec<usize>> {
    let mut found = Vec::new();
    for host in 0..shape.hosts() {
        if cluster.lab_ref().host(&shape.name(host)).has_address(&vip.to_string())? {
            found.push(host);
        }
    }
    Ok(found)
}
