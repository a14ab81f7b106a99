//! `cargo chaos`: random faults against real daemons in network namespaces, as root. Build meshd and meshctl first:
//! `cargo build -p meshd -p meshctl`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use mesh_lab::cluster::Daemon;
use mesh_lab::{Lab, clock};
use mesh_netns::chaos::{self, Save, Schedule, Shape, Summary};

/// Puts a random schedule of faults on a cluster of real daemons and looks for violations.
#[derive(Debug, Parser)]
#[command(name = "cargo chaos")]
struct Args {
    /// What the schedule is made from; the next runs take the next ones [default: by chance].
    #[arg(long)]
    seed: Option<u64>,
    /// How many runs, each with a new cluster.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Seconds of faults in each run; starting and healing take 20 more.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(2..=86_400))]
    seconds: u64,
    /// 3 or 5 directors, or 2w: two directors and a witness.
    #[arg(long, default_value = "3")]
    nodes: Shape,
    /// Runs this saved schedule instead.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seed", "seconds", "nodes"])]
    replay: Option<PathBuf>,
    /// keepalived in place of meshd, under the same faults, for comparison.
    #[arg(long)]
    keepalived: bool,
    /// Saves logs and observations of runs without violations, too.
    #[arg(long)]
    keep: bool,
    /// Prints the schedule, and does nothing.
    #[arg(long)]
    print: bool,
}

/// Long enough for a waiting lab to begin.
const BETWEEN_RUNS: Duration = Duration::from_secs(1);

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let daemon = if args.keepalived { Daemon::Keepalived } else { Daemon::Mesh };
    let first = args.seed.unwrap_or_else(|| clock::now().as_nanos() as u64 % 1_000_000);
    let save = if args.keep { Save::Always } else { Save::Failures };
    let mut total = Summary::default();
    let mut failed = 0;
    for run in 0..args.runs {
        let schedule = args.schedule(first.wrapping_add(run))?;
        if args.print {
            print!("{schedule}");
            continue;
        }
        if run > 0 {
            // Whoever else waits for the machine gets it in between.
            clock::pass(BETWEEN_RUNS)?;
        }
        let _alone = Lab::alone()?;
        let outcome = chaos::run(&schedule, daemon, save)?;
        for violation in &outcome.verdict.violations {
            println!("seed {}: {violation}", schedule.seed);
        }
        if let Some(dir) = &outcome.saved {
            println!(
                "seed {}: saved in {d}\n  again: cargo chaos --replay {d}/schedule",
                schedule.seed,
                d = dir.display()
            );
        }
        failed += u64::from(!outcome.verdict.violations.is_empty());
        eprintln!(
            "seed {}: {} faults, {} violations",
            schedule.seed,
            schedule.faults.len(),
            outcome.verdict.violations.len()
        );
        total.add(&outcome.verdict.summary);
    }
    if !args.print {
        println!("\n{total}\n{} runs from seed {first}, {failed} with violations", args.runs);
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Args {
    fn schedule(&self, seed: u64) -> Result<Schedule> {
        match &self.replay {
            None => Ok(Schedule::random(self.nodes, seed, Duration::from_secs(self.seconds))),
            Some(file) => {
                let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
                text.parse().with_context(|| file.display().to_string())
            }
        }
    }
}
