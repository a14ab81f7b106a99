//! The figures: every scenario several times, meshd in a mesh and keepalived one after the other in the same minutes,
//! medians in a table and their ratio. As root; five runs of both take about 15 minutes.

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, ValueEnum};
use mesh_lab::Lab;
use mesh_lab::cluster::Daemon;
use mesh_lab::judge::PERIOD;
use mesh_netns::moves::{back_and_forth, fast_mesh};
use mesh_netns::{FAULT_LASTS, Outcome, SCENARIOS, Scenario, settled, trial};
use serde_json::{Value, json};

/// Measures how long each fault leaves the VIP without an owner, or with two.
#[derive(Debug, Parser)]
struct Args {
    /// Runs of every scenario.
    #[arg(default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    runs: u16,
    /// One kind of daemon alone; without both there is no ratio.
    only: Option<Kind>,
    /// Only faults with this in their name.
    #[arg(long, value_name = "TEXT", default_value = "")]
    fault: String,
    /// So many planned moves in a mesh instead of faults.
    #[arg(long, value_name = "NUMBER")]
    moves: Option<usize>,
    /// JSON on standard output in place of the table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    Mesh,
    Keepalived,
}

impl Kind {
    fn daemon(self) -> (Daemon, &'static str) {
        match self {
            Kind::Mesh => (Daemon::Mesh, "meshd"),
            Kind::Keepalived => (Daemon::Keepalived, "keepalived"),
        }
    }
}

/// Of several runs, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Figure {
    median: u64,
    worst: u64,
}

/// What one daemon's runs of a scenario showed.
#[derive(Debug)]
struct Cell {
    name: &'static str,
    /// Time without the VIP, the client's, and with two owners; none where a run failed.
    figures: Option<[Figure; 3]>,
}

const FIGURES: [&str; 3] = ["without the VIP", "client", "two at once"];
const KEYS: [&str; 3] = ["without_vip_ms", "client_without_vip_ms", "two_at_once_ms"];

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(times) = args.moves {
        let _alone = Lab::alone()?;
        let figures = back_and_forth(&mut fast_mesh()?, times)?;
        println!("{figures}");
        return Ok(());
    }
    let kinds = args.only.map_or(vec![Kind::Mesh, Kind::Keepalived], |kind| vec![kind]);
    let scenarios = SCENARIOS.iter().filter(|scenario| scenario.title().contains(&args.fault));
    let scenarios: Vec<_> = scenarios.collect();
    ensure!(!scenarios.is_empty(), "no fault has {} in its name", args.fault);
    let _alone = Lab::alone()?;
    let measure = |scenario: &&Scenario| {
        let cells: Vec<Cell> = kinds.iter().map(|kind| cell(*kind, **scenario, args.runs)).collect();
        (**scenario, cells)
    };
    let rows: Vec<_> = scenarios.iter().map(measure).collect();
    if args.json {
        println!("{:#}", as_json(&args, &rows));
    } else {
        print_table(&args, &kinds, &rows);
    }
    Ok(())
}

fn print_table(args: &Args, kinds: &[Kind], rows: &[(Scenario, Vec<Cell>)]) {
    let (lasts, period) = (FAULT_LASTS.as_millis(), PERIOD.as_millis());
    println!("\nMilliseconds, median (worst) of {}; a fault lasts {lasts}; one question every {period}.", args.runs);
    println!("The ratio is of the median times without the VIP, meshd to keepalived.\n");
    let columns = kinds.iter().flat_map(|kind| FIGURES.map(|figure| format!(" {}: {figure} |", kind.daemon().1)));
    println!("| fault |{} ratio |", columns.collect::<String>());
    println!("|---|{}---:|", "---:|".repeat(3 * kinds.len()));
    for (scenario, cells) in rows {
        let text = |cell: &Cell| match cell.figures {
            None => " a run failed | | |".to_string(),
            Some(figures) => figures.map(|figure| format!(" {} ({}) |", figure.median, figure.worst)).concat(),
        };
        let ratio = ratio(cells).map_or("-".into(), |ratio| format!("{ratio:.2}"));
        println!("| {} |{} {ratio} |", scenario.title(), cells.iter().map(text).collect::<String>());
    }
}

fn as_json(args: &Args, rows: &[(Scenario, Vec<Cell>)]) -> Value {
    let cell = |cell: &Cell| match cell.figures {
        None => Value::Null,
        Some(figures) => {
            let pairs = KEYS.iter().zip(figures);
            pairs.map(|(key, f)| (key.to_string(), json!({"median": f.median, "worst": f.worst}))).collect()
        }
    };
    let row = |(scenario, cells): &(Scenario, Vec<Cell>)| {
        let mut row = json!({"fault": scenario.title(), "ratio": ratio(cells)});
        cells.iter().for_each(|c| row[c.name] = cell(c));
        row
    };
    json!({
        "runs": args.runs,
        "fault_lasts_ms": FAULT_LASTS.as_millis() as u64,
        "asked_every_ms": PERIOD.as_millis() as u64,
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

// None where one is missing, or where keepalived had no outage to compare with: it kept two owners instead.
fn ratio(cells: &[Cell]) -> Option<f64> {
    let median = |name| cells.iter().find(|cell| cell.name == name).and_then(|cell| cell.figures).map(|f| f[0].median);
    let (mesh, keepalived) = (median("meshd")?, median("keepalived")?);
    (keepalived > 0).then(|| mesh as f64 / keepalived as f64)
}

// One cluster for all runs of a scenario; after a failure the next run gets a new one.
fn cell(kind: Kind, scenario: Scenario, runs: u16) -> Cell {
    let (daemon, name) = kind.daemon();
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
                eprintln!("{name}, {}, run {run}: {}", scenario.title(), outcome.faulty);
                outcomes.push(outcome);
            }
            Err(error) => eprintln!("{name}, {}, run {run} failed: {error:#}", scenario.title()),
        }
    }
    let figure = |of: fn(&Outcome) -> Duration| {
        let mut sorted: Vec<_> = outcomes.iter().map(|outcome| of(outcome).as_millis() as u64).collect();
        sorted.sort_unstable();
        Figure { median: sorted[sorted.len() / 2], worst: sorted[sorted.len() - 1] }
    };
    // Two owners are looked for in all phases, the outage from the fault until it is healed.
    let complete = outcomes.len() == usize::from(runs);
    let figures =
        complete.then(|| [figure(|o| o.faulty.gap()), figure(|o| o.faulty.client_gap()), figure(|o| o.whole.dual())]);
    Cell { name, figures }
}
