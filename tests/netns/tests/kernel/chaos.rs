//! A short chaos run of each shape with a fixed seed, and the proof that it would find something. Longer ones:
//! `cargo chaos --seconds 600`.

use std::time::Duration;

use anyhow::{Result, ensure};
use mesh_lab::cluster::Daemon;
use mesh_lab::{Lab, Turn};
use mesh_netns::chaos::{self, Save, Schedule, Shape, Violation};

const LENGTH: Duration = Duration::from_secs(12);
/// Of three directors: among others it freezes one, and later cuts another off, for longer than adverts may be missing.
const SEED: u64 = 29;

fn all_well(_turn: Turn, shape: Shape, seed: u64) -> Result<()> {
    let outcome = chaos::run(&Schedule::random(shape, seed, LENGTH), Daemon::Mesh, Save::Failures)?;
    println!("{}", outcome.verdict.summary);
    outcome.check()
}

#[test]
fn root_three_directors_under_chaos() -> Result<()> {
    all_well(Lab::beside()?, Shape::Three, SEED)
}

#[test]
fn root_two_directors_and_a_witness_under_chaos() -> Result<()> {
    all_well(Lab::beside()?, Shape::TwoAndWitness, 4)
}

#[test]
fn root_five_directors_under_chaos() -> Result<()> {
    // It keeps the processors busy as well: others would not like that.
    all_well(Lab::alone()?, Shape::Five, 5)
}

/// The judge is alive: under the same faults keepalived, which has no leases, serves one address from two hosts.
#[test]
fn root_keepalived_under_the_same_chaos_is_found_out() -> Result<()> {
    let _turn = Lab::beside()?;
    let outcome = chaos::run(&Schedule::random(Shape::Three, SEED, LENGTH), Daemon::Keepalived, Save::Failures)?;
    println!("{}", outcome.verdict.summary);
    let two = outcome.verdict.violations.iter().any(|v| matches!(v, Violation::TwoAtOnce { .. }));
    ensure!(two && outcome.verdict.dual() > Duration::from_millis(500), "{:?}", outcome.verdict);
    // What was found is saved, and the schedule that found it can be run again.
    let dir = outcome.saved.expect("violations are saved");
    let saved: Schedule = std::fs::read_to_string(dir.join("schedule"))?.parse()?;
    ensure!(saved == Schedule::random(Shape::Three, SEED, LENGTH));
    for file in ["violations", "observed", "lb1-keepalived.log", "lb1-keepalived.conf"] {
        ensure!(dir.join(file).metadata()?.len() > 0, "{file} is empty");
    }
    Ok(())
}
