//! More directors than elsewhere, of which five vote. With `--nocapture` the figures are told.

use std::time::Duration;

use anyhow::{Result, ensure};
use mesh_lab::Lab;
use mesh_netns::fleet::Fleet;

/// Everything unoptimised, and others on the same processors: an order of magnitude is what these limits see.
#[test]
fn root_ten_directors_settle_know_of_a_death_and_cost_little() -> Result<()> {
    let _beside = Lab::beside()?;
    let figures = Fleet { directors: 10, routers: 20, watch: Duration::from_secs(2) }.run()?;
    println!("{figures}");
    ensure!(figures.lost > 0, "{figures}");
    ensure!(figures.known < Duration::from_secs(5), "{figures}");
    ensure!(figures.served < Duration::from_secs(10), "{figures}");
    let [(bytes, packets), _] = figures.sent;
    ensure!(bytes < 500_000.0 && packets < 2_000.0, "{figures}");
    ensure!(figures.memory[1] < 200_000_000, "{figures}");
    Ok(())
}
