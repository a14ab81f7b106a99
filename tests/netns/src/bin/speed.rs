//! How fast, and at what cost: keepalived, meshd on its own and meshd in a mesh, one after the other in the same run,
//! with the same files. As root; build meshd and meshctl with `--release` first. Three runs of all take about twelve
//! minutes.

use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use mesh_lab::Lab;
use mesh_lab::cluster::Daemon;
use mesh_netns::speed::{self, REAL_SERVERS, ROUTERS, SETTLED_WITHIN};
use serde_json::{Value, json};

/// Measures what virtual routers cost, how fast they settle, how evenly they speak, and how fast a file is read.
#[derive(Debug, Parser)]
struct Args {
    /// Runs of everything.
    #[arg(default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    runs: u16,
    /// One of the measurements alone.
    #[arg(long, value_enum)]
    only: Option<What>,
    /// One of the daemons.
    #[arg(long, value_parser = ["keepalived", "alone", "mesh"])]
    daemon: Option<String>,
    /// JSON on standard output in place of the table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// A long file; first, for what follows leaves much to be cleaned up.
    Reading,
    /// 255 virtual routers on two directors.
    Many,
    /// Adverts every 10 ms while a processor is busy.
    Gaps,
}

const DAEMONS: [(Daemon, &str); 3] =
    [(Daemon::Keepalived, "keepalived"), (Daemon::Plain, "meshd alone"), (Daemon::Mesh, "meshd in a mesh")];

/// What is measured; a figure for each of [`DAEMONS`], in each run.
struct Row {
    title: String,
    unit: &'static str,
    figures: [Vec<f64>; 3],
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut rows = Vec::new();
    for run in 1..=args.runs {
        let wanted = |name: &str| args.daemon.as_ref().is_none_or(|only| name.ends_with(only));
        for (column, (daemon, name)) in DAEMONS.into_iter().enumerate().filter(|(_, (_, name))| wanted(name)) {
            let _alone = Lab::alone()?;
            for what in What::value_variants().iter().filter(|what| args.only.is_none_or(|only| only == **what)) {
                // Neither alone nor in a mesh is a file read differently.
                if *what == What::Reading && daemon == Daemon::Mesh {
                    continue;
                }
                for (title, unit, figure) in measure(*what, daemon)? {
                    eprintln!("run {run}, {name}: {title}: {figure:.1} {unit}");
                    note(&mut rows, column, title, unit, figure);
                }
            }
        }
    }
    if args.json {
        println!("{:#}", as_json(&rows))
    } else {
        print_table(&args, &rows)
    }
    Ok(())
}

fn measure(what: What, daemon: Daemon) -> Result<Vec<(String, &'static str, f64)>> {
    let ms = |duration: Duration| duration.as_secs_f64() * 1000.0;
    // Milliseconds of each second, in percent.
    let share = |duration: Duration| duration.as_secs_f64() * 100.0;
    Ok(match what {
        What::Many => {
            let many = speed::many(daemon)?;
            let routers = format!("{ROUTERS} routers, adverts every 100 ms");
            vec![
                (format!("{routers}: settled after a cold start"), "ms", many.cold_start.map_or(f64::INFINITY, ms)),
                (format!("{routers}: addresses moved needlessly"), "", many.spurious as f64),
                (format!("{routers}: processor, owner"), "%", share(many.owner)),
                (format!("{routers}: processor, backup"), "%", share(many.backup)),
                (format!("{routers}: resident memory"), "MiB", many.resident),
            ]
        }
        What::Gaps => {
            let gaps = speed::gaps(daemon)?;
            vec![
                ("adverts every 10 ms, a processor busy: gap, p99.9".to_owned(), "ms", ms(gaps.p999)),
                ("adverts every 10 ms, a processor busy: longest gap".to_owned(), "ms", ms(gaps.max)),
            ]
        }
        What::Reading => vec![(format!("a file with {REAL_SERVERS} real servers"), "ms", ms(speed::reading(daemon)?))],
    })
}

fn note(rows: &mut Vec<Row>, column: usize, title: String, unit: &'static str, figure: f64) {
    let place = rows.iter().position(|row| row.title == title).unwrap_or_else(|| {
        rows.push(Row { title, unit, figures: Default::default() });
        rows.len() - 1
    });
    rows[place].figures[column].push(figure);
}

fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// Medians to keepalived's; none where that is nothing.
fn ratio(row: &Row, column: usize) -> Option<f64> {
    let keepalived = median(&row.figures[0]).filter(|median| *median > 0.0)?;
    Some(median(&row.figures[column])? / keepalived)
}

fn print_table(args: &Args, rows: &[Row]) {
    let limit = SETTLED_WITHIN.as_secs();
    println!("\nMedians of {}, and the ratio to keepalived; inf: not settled within {limit} s.\n", args.runs);
    println!("| |{}", DAEMONS.map(|(_, name)| format!(" {name} |")).concat());
    println!("|---|{}", "---:|".repeat(DAEMONS.len()));
    for row in rows {
        let cell = |column: usize| match (median(&row.figures[column]), ratio(row, column)) {
            (None, _) => " |".to_owned(),
            (Some(figure), Some(ratio)) if column > 0 => format!(" {figure:.1} {} ({ratio:.2}) |", row.unit),
            (Some(figure), _) => format!(" {figure:.1} {} |", row.unit),
        };
        println!("| {} |{}", row.title, (0..DAEMONS.len()).map(cell).collect::<String>());
    }
}

fn as_json(rows: &[Row]) -> Value {
    let row = |row: &Row| {
        let mut json = json!({"what": row.title, "unit": row.unit});
        for (column, (_, name)) in DAEMONS.iter().enumerate() {
            let figures = &row.figures[column];
            json[*name] = json!({"median": median(figures), "each": figures, "ratio": ratio(row, column)});
        }
        json
    };
    rows.iter().map(row).collect()
}
