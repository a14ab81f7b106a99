//! Many directors in network namespaces of this machine: how they settle, what they cost, and how soon a death is
//! known. As root; build meshd and meshctl first. 30 directors take about a minute and a half on two processors.

use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use mesh_lab::Lab;
use mesh_netns::fleet::Fleet;

/// Starts a fleet of real directors, kills one, and prints figures.
#[derive(Debug, Parser)]
struct Args {
    /// Directors, of which five vote.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u8).range(5..=30))]
    directors: u8,
    /// Virtual routers, each on five of them.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u8).range(1..=200))]
    routers: u8,
    /// Seconds to watch them while nothing happens.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    seconds: u64,
}

fn main() -> Result<()> {
    let Args { directors, routers, seconds } = Args::parse();
    let _alone = Lab::alone()?;
    let watch = Duration::from_secs(seconds);
    println!("{}", Fleet { directors: directors.into(), routers: routers.into(), watch }.run()?);
    Ok(())
}
