//! `cargo model`: every order of events of a small cluster, from the command line.

use std::collections::BTreeSet;
use std::process::ExitCode;

use clap::Parser;
use mesh_model::lease::{self, LeaseModel, Mutant};
use mesh_model::search::{Search, exhaust, never_seen, shortest};

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
    /// Shows how a planted bug comes to light, instead.
    #[arg(long, value_enum)]
    mutant: Option<Mutant>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(mutant) = args.mutant {
        let found = shortest(LeaseModel::with(mutant));
        println!("{mutant:?}: {found}");
        return code(found.violation.is_some());
    }
    code(run(&args, if args.large { lease::large() } else { lease::small() }))
}

/// Whether all searches went well.
fn run(args: &Args, searches: Vec<Search<LeaseModel>>) -> bool {
    let (mut total, mut good, mut seen) = (0, true, BTreeSet::new());
    let complete = args.only.is_empty();
    let model = searches[0].model.clone();
    for Search { name, at_least, model } in searches.into_iter().filter(|s| s.name.contains(&args.only)) {
        let found = exhaust(model);
        println!("{name}: {found}");
        if found.violation.is_none() && found.states < at_least {
            println!("  too few: there should be more than {at_least}");
            good = false;
        }
        good &= found.violation.is_none();
        total += found.states;
        seen.extend(found.seen);
    }
    if complete && good {
        for name in never_seen(&model, &seen) {
            println!("never seen: {name}");
            good = false;
        }
    }
    println!("{total} states");
    good
}

fn code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
