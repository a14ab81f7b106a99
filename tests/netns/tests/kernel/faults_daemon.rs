//! Three directors in a mesh, and what happens to the owner's daemon.

use anyhow::Result;
use mesh_netns::{Scenario, mesh_holds};

#[test]
fn root_orderly_stop() -> Result<()> {
    mesh_holds(Scenario::OrderlyStop)
}

#[test]
fn root_killed() -> Result<()> {
    mesh_holds(Scenario::Killed)
}

#[test]
fn root_frozen() -> Result<()> {
    mesh_holds(Scenario::Frozen)
}

#[test]
fn root_frozen_with_its_guard() -> Result<()> {
    mesh_holds(Scenario::AllFrozen)
}
