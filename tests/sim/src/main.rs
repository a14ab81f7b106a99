//! `cargo sim`: simulated clusters from the command line.

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use mesh_sim::fleet::Fleet;
use mesh_sim::layout::Shape;
use mesh_sim::mutant::Mutant;
use mesh_sim::report::Total;
use mesh_sim::run::{Beyond, HEALING, Outcome, Plan, run};
use mesh_sim::story::Recording;

/// What a soak is: so many runs over all shapes, so many virtual seconds each.
const SOAK: (u64, u64) = (10_000, 300);

/// Runs simulated clusters under faults and looks for violations: exit status 1 where there is one.
#[derive(Debug, Parser)]
#[command(name = "cargo sim")]
struct Args {
    /// Seed of the first run; the others follow it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many runs of each shape.
    #[arg(long, default_value_t = 1)]
    runs: u64,
    /// What the cluster is made of: 2 directors, 2 and a witness, 3, 4 (the last joins later), 5, 7.
    #[arg(long, value_enum, default_values = ["3"], value_delimiter = ',')]
    shape: Vec<Shape>,
    /// Virtual seconds of each run, the last 22 without faults.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(23..=86_400))]
    seconds: u64,
    /// 10,000 runs of 300 virtual seconds over all shapes.
    #[arg(long, conflicts_with_all = ["runs", "shape", "seconds", "calm", "mutant", "beyond", "verbose"])]
    soak: bool,
    /// No faults at all.
    #[arg(long)]
    calm: bool,
    /// A planted bug that has to be found, in a cluster it shows in.
    #[arg(long, value_enum, conflicts_with_all = ["shape", "beyond"])]
    mutant: Option<Mutant>,
    /// Faults that leases do not promise to stand.
    #[arg(long, value_enum)]
    beyond: Option<Beyond>,
    /// Runs at a time; as many as there are processors by default.
    #[arg(long)]
    jobs: Option<NonZeroUsize>,
    /// Figures of one fleet of so many directors, of which five vote, instead: up to 1,000.
    #[arg(long, value_name = "DIRECTORS", value_parser = clap::value_parser!(u16).range(10..=1000),
        conflicts_with_all = ["runs", "shape", "seconds", "soak", "calm", "mutant", "beyond", "verbose", "digest", "jobs"])]
    fleet: Option<u16>,
    /// Virtual routers of the fleet.
    #[arg(long, default_value_t = 200, requires = "fleet", value_parser = clap::value_parser!(u8).range(1..=250))]
    routers: u8,
    /// The mesh finds a director for each of them; else priorities decide.
    #[arg(long, requires = "fleet")]
    spread: bool,
    /// Print everything that happens.
    #[arg(long, conflicts_with = "digest")]
    verbose: bool,
    /// Print a digest of everything that happens in each run: equal seeds, equal digests.
    #[arg(long)]
    digest: bool,
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    if let Some(mutant) = args.mutant {
        args.shape = vec![mutant.shape()];
    }
    if let Some(nodes) = args.fleet {
        let (nodes, routers) = (nodes.into(), args.routers.into());
        let fleet = Fleet { nodes, routers, spread: args.spread, seed: args.seed };
        println!("{}", fleet.run(&mut |what, at| eprintln!("{what}: {:.0} s of its time", at.as_secs_f64())));
        return ExitCode::SUCCESS;
    }
    if args.soak {
        args.shape = Shape::ALL.to_vec();
        args.seconds = SOAK.1;
        args.runs = SOAK.0.div_ceil(args.shape.len() as u64);
    }
    let totals = args.run_all();
    println!("{}", Total::header());
    let mut all = Total::default();
    for (shape, mut total) in totals {
        println!("{}", total.line(&shape.name()));
        all.merge(total);
    }
    if args.shape.len() > 1 {
        println!("{}", all.line("all"));
    }
    if all.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Args {
    /// All runs, shape by shape in turn, on all threads.
    fn run_all(&self) -> Vec<(Shape, Total)> {
        let jobs = self.jobs.or(thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
        let count = self.runs * self.shape.len() as u64;
        let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
        let totals: Mutex<Vec<(Shape, Total)>> =
            Mutex::new(self.shape.iter().map(|s| (*s, Total::default())).collect());
        let work = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return;
                }
                let index = (number % self.shape.len() as u64) as usize;
                let (seed, shape) = (self.seed + number / self.shape.len() as u64, self.shape[index]);
                let outcome = run(&self.plan(seed, shape));
                let mut totals = totals.lock().expect("no run panics while it counts");
                self.tell(seed, shape, &outcome);
                totals[index].1.add(&outcome);
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                if self.soak && done.is_multiple_of(250) {
                    let violations: u64 = totals.iter().map(|(_, total)| total.violations).sum();
                    println!("{done} of {count} runs, {violations} violations");
                }
            }
        };
        thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
        totals.into_inner().expect("no run panics while it counts")
    }

    fn plan(&self, seed: u64, shape: Shape) -> Plan {
        let length = Duration::from_secs(self.seconds).max(HEALING);
        let plan = match self.mutant {
            Some(mutant) => Plan::with_mutant(seed, mutant, length),
            None => Plan::new(seed, shape, length),
        };
        let recording = match (self.verbose, self.digest) {
            (true, _) => Recording::Whole,
            (false, true) => Recording::Digest,
            (false, false) => Recording::Tail,
        };
        Plan { faults: !self.calm, beyond: self.beyond.or(plan.beyond), recording, ..plan }
    }

    /// Prints what is to be said of one run.
    fn tell(&self, seed: u64, shape: Shape, outcome: &Outcome) {
        if self.verbose {
            print!("{}", outcome.story.whole());
        }
        if self.digest {
            println!("seed {seed} shape {}: {:016x}", shape.name(), outcome.story.digest());
        }
        if let Some(violation) = &outcome.violation {
            println!("seed {seed}: {} at {:?}: {}", violation.invariant, violation.at, violation.text);
            if !self.verbose {
                outcome.story.tail().iter().for_each(|line| println!("  {line}"));
            }
            println!("  again: {}\n", self.command(seed, shape));
        }
    }

    /// What runs this seed again.
    fn command(&self, seed: u64, shape: Shape) -> String {
        let mut command = format!("cargo sim --seed {seed} --seconds {}", self.seconds);
        if self.calm {
            command += " --calm";
        }
        match self.mutant {
            Some(mutant) => command += &format!(" --mutant {}", value_name(&mutant)),
            None => command += &format!(" --shape {}", shape.name()),
        }
        if let Some(beyond) = self.beyond {
            command += &format!(" --beyond {}", value_name(&beyond));
        }
        command + " --verbose"
    }
}

fn value_name(value: &impl ValueEnum) -> String {
    value.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned())
}
