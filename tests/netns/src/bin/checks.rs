//! Health checks beside keepalived's: processor time, how late they are, and what becomes of adverts every 100 ms
//! meanwhile. keepalived first, then meshd, on the same host of the same lab. As root; half a minute.
//!
//! `cargo build --release -p meshd` first, and this with `--release`: a meshd that is built for tests is slower.

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use mesh_lab::Lab;
use mesh_netns::checks::Load;

/// Measures what health checks cost meshd and keepalived.
#[derive(Debug, Parser)]
struct Args {
    /// Real servers checked by TCP, each once a second.
    #[arg(long, default_value_t = 750, value_parser = clap::value_parser!(u16).range(1..=20_000))]
    tcp: u16,
    /// Real servers checked by HTTP, each once a second.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u16).range(1..=20_000))]
    http: u16,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(2..=600))]
    seconds: u64,
}

fn main() -> Result<()> {
    let Args { tcp, http, seconds } = Args::parse();
    let load = Load { tcp, http, window: Duration::from_secs(seconds) };
    let _alone = Lab::alone()?;
    let theirs = load.keepalived()?;
    println!("keepalived: {theirs}");
    let ours = load.meshd()?;
    println!("meshd: {ours}");
    println!("ratio of processor time: {:.2}", ours.seconds_per_10_000() / theirs.seconds_per_10_000());
    Ok(())
}
