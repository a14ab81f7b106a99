//! `cargo sim`: simulated clusters from the command line.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use mesh_sim::mutant::Mutant;
use mesh_sim::run::{HEALING, Outcome, Plan, run};

/// Runs simulated clusters under faults and looks for violations.
#[derive(Debug, Parser)]
#[command(name = "cargo sim")]
struct Args {
    /// Seed of the first run; the others follow it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// Directors: 3 to 8. With four, three vote.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=8))]
    nodes: u8,
    /// Virtual seconds of each run, the last 22 without faults.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(23..=86_400))]
    seconds: u64,
    /// No faults at all.
    #[arg(long)]
    calm: bool,
    /// A planted bug that has to be found.
    #[arg(long, value_enum)]
    mutant: Option<Mutant>,
    /// Print everything that happens.
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut total = Total::default();
    for seed in args.seed..args.seed.saturating_add(args.runs) {
        let plan = args.plan(seed);
        let outcome = run(&plan);
        if args.verbose {
            print!("{}", outcome.story.whole());
        }
        if let Some(violation) = &outcome.violation {
            println!("seed {seed}: {} at {:?}: {}", violation.invariant, violation.at, violation.text);
            if !args.verbose {
                outcome.story.tail().iter().for_each(|line| println!("  {line}"));
            }
            println!("  again: {}\n", args.command(seed));
        }
        total.add(outcome);
    }
    println!("{}", total.summary());
    if total.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Args {
    fn plan(&self, seed: u64) -> Plan {
        let plan = Plan::new(seed, usize::from(self.nodes), Duration::from_secs(self.seconds).max(HEALING));
        Plan { faults: !self.calm, mutant: self.mutant, whole_story: self.verbose, ..plan }
    }

    /// What runs this seed again.
    fn command(&self, seed: u64) -> String {
        let mut command = format!("cargo sim --seed {seed} --nodes {} --seconds {}", self.nodes, self.seconds);
        if self.calm {
            command += " --calm";
        }
        if let Some(mutant) = self.mutant {
            let name = clap::ValueEnum::to_possible_value(&mutant).map_or(String::new(), |v| v.get_name().to_owned());
            command += &format!(" --mutant {name}");
        }
        command + " --verbose"
    }
}

/// Sums over runs.
#[derive(Debug, Default)]
struct Total {
    runs: usize,
    violations: usize,
    time: Duration,
    owned: Duration,
    takeovers: usize,
    after_crash: Vec<Duration>,
    steps: u64,
}

impl Total {
    fn add(&mut self, outcome: Outcome) {
        self.runs += 1;
        self.violations += usize::from(outcome.violation.is_some());
        self.time += outcome.time;
        self.owned += outcome.owned;
        self.takeovers += outcome.takeovers;
        self.after_crash.extend(outcome.after_crash);
        self.steps += outcome.steps;
    }

    fn summary(&mut self) -> String {
        self.after_crash.sort_unstable();
        let share = 100.0 * self.owned.as_secs_f64() / self.time.as_secs_f64().max(1e-9);
        format!(
            "{} runs, {} violations; an owner {share:.1} % of the time; {} takeovers; after {} crashes of an owner \
             served again within p50 {:.2} s, p95 {:.2} s; {} steps",
            self.runs,
            self.violations,
            self.takeovers,
            self.after_crash.len(),
            self.percentile(50).as_secs_f64(),
            self.percentile(95).as_secs_f64(),
            self.steps,
        )
    }

    fn percentile(&self, percent: usize) -> Duration {
        let at = (self.after_crash.len() * percent / 100).min(self.after_crash.len().saturating_sub(1));
        self.after_crash.get(at).copied().unwrap_or_default()
    }
}
