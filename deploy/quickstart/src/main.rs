//! Three directors on this machine: see a VIP move. `deploy/quickstart.sh` builds and runs this.

mod page;
mod story;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use mesh_lab::{Lab, clock, web};
use nix::sys::signal::{SigHandler, Signal, signal};

/// Starts three directors in network namespaces, breaks what can break, and shows what happens.
#[derive(Parser)]
#[command(name = "quickstart")]
struct Options {
    /// Leave everything running at the end, and say what to try.
    #[arg(long)]
    keep: bool,
    /// Remove what --keep left.
    #[arg(long, conflicts_with = "keep")]
    stop: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(Subcommand)]
enum Part {
    /// The web server of one director; the demonstration starts it.
    #[command(hide = true)]
    Web { name: String },
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match options.part {
        Some(Part::Web { name }) => web::serve(&name),
        None if options.stop => stop(),
        None => catch_signals().and_then(|()| story::tell(options.keep)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if clock::interrupted() => {
            println!("\nInterrupted. Everything is cleaned up.");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\nquickstart: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn stop() -> Result<()> {
    let kept = Lab::kept()?;
    if kept.is_empty() {
        println!("Nothing is running.");
    }
    for id in kept {
        Lab::remove(&id)?;
        println!("Removed {id}: its daemons, namespaces and files.");
    }
    Ok(())
}

extern "C" fn on_signal(_: i32) {
    clock::interrupt();
}

// Whoever interrupts this wants it gone, namespaces and all: every wait ends, and values clean up as they are dropped.
fn catch_signals() -> Result<()> {
    for wanted in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler does one atomic store, which is allowed in a signal handler.
        unsafe { signal(wanted, SigHandler::Handler(on_signal)) }.with_context(|| format!("catch {wanted}"))?;
    }
    Ok(())
}
