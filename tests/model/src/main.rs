//! `cargo model`: every order of events of a small cluster, from the command line.

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::process::ExitCode;

use clap::Parser;
use mesh_model::search::{Found, Readable, Report, Search, run_all, shortest};
use mesh_model::{lease, roster};

/// Searches every order of events of a small cluster for a violation, and says how many states
/// that are.
#[derive(Debug, Parser)]
#[command(name = "cargo model")]
struct Args {
    /// More at once: many minutes, and some gigabytes.
    #[arg(long)]
    large: bool,
    /// Only searches with this in their names.
    #[arg(long, default_value = "")]
    only: String,
    /// Instead, show how a planted bug around the lease comes to light.
    #[arg(long, value_enum, conflicts_with_all = ["large", "only"])]
    mutant: Option<lease::Mutant>,
    /// The same for the roster.
    #[arg(long, value_enum, conflicts_with_all = ["large", "only", "mutant"])]
    roster_mutant: Option<roster::Mutant>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let good = if let Some(mutant) = args.mutant {
        tell(&mutant, &shortest(lease::LeaseModel::with(mutant)))
    } else if let Some(mutant) = args.roster_mutant {
        tell(&mutant, &shortest(roster::RosterModel::with(mutant)))
    } else if args.large {
        both(&args, lease::large(), roster::large())
    } else {
        both(&args, lease::small(), roster::small())
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a planted bug was found.
fn tell(mutant: &impl Debug, found: &Found) -> bool {
    println!("{mutant:?}: {found}");
    found.violation.is_some()
}

fn both(args: &Args, leases: Vec<Search<lease::LeaseModel>>, rosters: Vec<Search<roster::RosterModel>>) -> bool {
    let leases = some(args, "lease", leases);
    let rosters = some(args, "roster", rosters);
    println!("{} states", leases.states + rosters.states);
    leases.complaints.is_empty() && rosters.complaints.is_empty()
}

fn some<M>(args: &Args, about: &str, searches: Vec<Search<M>>) -> Report
where
    M: Readable + Clone + Send + Sync + 'static,
    M::State: Clone + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Display + PartialEq,
{
    let report = run_all(searches, |name| name.contains(&args.only), |line| println!("{about}: {line}"));
    report.complaints.iter().for_each(|complaint| println!("{about}: {complaint}"));
    report
}
