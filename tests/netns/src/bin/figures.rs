//! The figures: every scenario several times, meshd in a mesh and keepalived side by side, medians in a table.
//!
//! `figures [RUNS] [mesh|keepalived]`, as root; five runs of both take about 15 minutes.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use mesh_lab::Lab;
use mesh_lab::cluster::Daemon;
use mesh_netns::{Outcome, SCENARIOS, Scenario, settled, trial};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let runs: usize = args.next().map_or(Ok(5), |text| text.parse()).context("RUNS is a number")?;
    let daemons = match args.next().as_deref() {
        None => vec![Daemon::Mesh, Daemon::Keepalived],
        Some("mesh") => vec![Daemon::Mesh],
        Some("keepalived") => vec![Daemon::Keepalived],
        Some(other) => bail!("{other} is neither mesh nor keepalived"),
    };
    let _alone = Lab::alone()?;
    let mut rows = vec![String::new(); SCENARIOS.len()];
    for daemon in &daemons {
        for (scenario, row) in SCENARIOS.iter().zip(&mut rows) {
            row.push_str(&cells(*daemon, *scenario, runs));
        }
    }
    let name = |daemon: &Daemon| if *daemon == Daemon::Mesh { "meshd" } else { "keepalived" };
    let columns = daemons.iter().map(|daemon| {
        let name = name(daemon);
        format!(" {name}: without the VIP | {name}: client | {name}: two at once |")
    });
    println!("\nMilliseconds, median (worst) of {runs}; a fault lasts 5000; one question every 5.\n");
    println!("| fault |{}", columns.collect::<String>());
    println!("|---|{}", "---:|---:|---:|".repeat(daemons.len()));
    for (scenario, row) in SCENARIOS.iter().zip(rows) {
        println!("| {} |{row}", scenario.title());
    }
    Ok(())
}

// One cluster for all runs of a scenario; after a failure the next run gets a new one.
fn cells(daemon: Daemon, scenario: Scenario, runs: usize) -> String {
    let mut cluster = None;
    let mut outcomes: Vec<Outcome> = Vec::new();
    for run in 1..=runs {
        let result = match cluster.take() {
            Some(cluster) => Ok(cluster),
            None => settled(daemon),
        };
        let result = result.and_then(|mut settled| {
            let outcome = trial(&mut settled, scenario)?;
            cluster = Some(settled);
            Ok(outcome)
        });
        match result {
            Ok(outcome) => {
                eprintln!("{daemon:?}, {}, run {run}: {}", scenario.title(), outcome.faulty);
                outcomes.push(outcome);
            }
            Err(error) => eprintln!("{daemon:?}, {}, run {run} failed: {error:#}", scenario.title()),
        }
    }
    if outcomes.len() < runs {
        return format!(" {} of {runs} runs failed | | |", runs - outcomes.len());
    }
    let cell = |figure: fn(&Outcome) -> Duration| {
        let mut sorted: Vec<_> = outcomes.iter().map(|outcome| figure(outcome).as_millis()).collect();
        sorted.sort_unstable();
        format!(" {} ({}) |", sorted[sorted.len() / 2], sorted[sorted.len() - 1])
    };
    // Two owners are looked for in all phases, the outage from the fault until it is healed.
    [cell(|o| o.faulty.gap()), cell(|o| o.faulty.client_gap()), cell(|o| o.whole.dual())].concat()
}
