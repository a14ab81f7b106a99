//! What a crash of the owner costs: the lease profiles of a mesh, and keepalived beside them in the same minutes. Half
//! of the crashes are hosts that lose power, half, of meshd alone, `kill -9` of a daemon under its guard. As root;
//! build meshd and meshctl first. 100 crashes of each kind take about 26 minutes, with `--beside 2` half of that.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Parser;
use mesh_lab::judge::PERIOD;
use mesh_lab::{Lab, clock};
use mesh_netns::crashes::{Cost, Crash, Spread, Stand, Subject};
use serde_json::{Value, json};

/// Lets owners crash, and measures how long the VIP is missing.
#[derive(Debug, Parser)]
struct Args {
    /// Crashes of each kind.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    runs: u16,
    /// What crashes.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Subject::ALL)]
    of: Vec<Subject>,
    /// How it crashes; keepalived has no guard, and only hosts.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Crash::ALL)]
    by: Vec<Crash>,
    /// So many networks for each kind of daemon, all at the same time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=8))]
    beside: u16,
    /// The moments of the crashes follow from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// JSON on standard output in place of the table.
    #[arg(long)]
    json: bool,
}

/// After so many crashes on every network, tests that wait for their turn get it.
const BATCH: u16 = 4;
/// Long enough for them to begin.
const PAUSE: Duration = Duration::from_secs(1);

/// What was measured of each kind.
type Costs = BTreeMap<(Crash, Subject), Vec<Cost>>;

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let (costs, failures) = (Mutex::new(Costs::new()), Mutex::new(Vec::new()));
    let share = args.runs.div_ceil(args.beside);
    thread::scope(|scope| -> Result<()> {
        let stands = (0..args.beside).flat_map(|_| args.of.clone()).zip(args.seed..);
        // A thread of its own each, from beginning to end: what a thread starts in a lab dies with it.
        let stands: Vec<_> = stands
            .map(|(subject, seed)| {
                let ((go, turns), (done, is_done)) = (mpsc::channel::<Range<u16>>(), mpsc::channel());
                let (by, costs, failures) = (&args.by, &costs, &failures);
                scope.spawn(move || {
                    let mut stand = Stand::new(subject, seed);
                    turns.into_iter().all(|runs| {
                        batch(&mut stand, by, runs, costs, failures);
                        done.send(()).is_ok()
                    })
                });
                (go, is_done)
            })
            .collect();
        for begin in (0..share).step_by(usize::from(BATCH)) {
            clock::pass(PAUSE)?;
            let _alone = Lab::alone()?;
            let runs = begin..share.min(begin + BATCH);
            stands.iter().try_for_each(|(go, _)| go.send(runs.clone()).context("a thread ended"))?;
            stands.iter().try_for_each(|(_, is_done)| is_done.recv().context("a thread ended"))?;
            eprintln!("{} of {share} done", runs.end);
        }
        Ok(())
    })?;
    let (costs, failures) = (unlock(costs), unlock(failures));
    if args.json {
        println!("{:#}", as_json(&args, &costs, &failures));
    } else {
        print_table(&costs);
    }
    failures.iter().for_each(|failure| eprintln!("{failure}"));
    Ok(if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn unlock<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().expect("no thread panics while it writes")
}

fn batch(stand: &mut Stand, by: &[Crash], runs: Range<u16>, costs: &Mutex<Costs>, failures: &Mutex<Vec<String>>) {
    for run in runs {
        for crash in stand.subject.crashes().iter().filter(|crash| by.contains(crash)) {
            let what = format!("{}, {}, run {}", stand.subject.name(), crash.title(), run + 1);
            match stand.crash(*crash) {
                Ok(cost) => {
                    let (without, dual) = (cost.without.as_millis(), cost.dual.as_millis());
                    eprintln!("{what}: without the VIP {without} ms, two at once {dual} ms");
                    let mut costs = costs.lock().expect("no thread panics while it writes");
                    costs.entry((*crash, stand.subject)).or_default().push(cost);
                }
                Err(error) => {
                    let failure = format!("{what} failed: {error:#}");
                    eprintln!("{failure}");
                    failures.lock().expect("no thread panics while it writes").push(failure);
                }
            }
        }
    }
}

fn print_table(costs: &Costs) {
    println!("\nMilliseconds without the VIP; one question every {}.\n", PERIOD.as_millis());
    println!(
        "| the owner's | daemon | crashes | p50 | p95 | max | client: max | two hosts serve it | late questions |"
    );
    println!("|---|---|---:|---:|---:|---:|---:|---:|---:|");
    for ((crash, subject), costs) in costs {
        let (Some(without), Some(client), Some(dual)) = spreads(costs) else { continue };
        let ms = |duration: Duration| duration.as_millis();
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {:.2} % |",
            crash.title(),
            subject.name(),
            costs.len(),
            ms(without.p50),
            ms(without.p95),
            ms(without.max),
            ms(client.max),
            ms(dual.max),
            blind(costs) * 100.0
        );
    }
}

fn as_json(args: &Args, costs: &Costs, failures: &[String]) -> Value {
    let spread = |spread: Option<Spread>| {
        let ms = |duration: Duration| duration.as_millis() as u64;
        spread.map(|s| json!({"p50": ms(s.p50), "p95": ms(s.p95), "max": ms(s.max)}))
    };
    let row = |((crash, subject), costs): (&(Crash, Subject), &Vec<Cost>)| {
        let (without, client, dual) = spreads(costs);
        json!({
            "crash": crash.title(),
            "daemon": subject.name(),
            "crashes": costs.len(),
            "without_vip_ms": spread(without),
            "client_without_vip_ms": spread(client),
            "two_at_once_ms": spread(dual),
            "late_questions": blind(costs),
            "each_without_vip_ms": costs.iter().map(|cost| cost.without.as_millis() as u64).collect::<Vec<_>>(),
        })
    };
    json!({
        "seed": args.seed,
        "asked_every_ms": PERIOD.as_millis() as u64,
        "rows": costs.iter().map(row).collect::<Vec<_>>(),
        "failures": failures,
    })
}

fn spreads(costs: &[Cost]) -> (Option<Spread>, Option<Spread>, Option<Spread>) {
    let spread = |of: fn(&Cost) -> Duration| Spread::of(costs.iter().map(of));
    (spread(|c| c.without), spread(|c| c.client), spread(|c| c.dual))
}

// The judge's mean share of late questions.
fn blind(costs: &[Cost]) -> f64 {
    costs.iter().map(|cost| cost.blind).sum::<f64>() / costs.len().max(1) as f64
}
