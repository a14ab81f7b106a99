//! Three directors in a mesh, and what the network does to them.

use anyhow::Result;
use mesh_netns::{Scenario, mesh_holds};

#[test]
fn root_cable_pulled() -> Result<()> {
    mesh_holds(Scenario::CablePulled)
}

#[test]
fn root_vrrp_filtered() -> Result<()> {
    mesh_holds(Scenario::VrrpFiltered)
}

#[test]
fn root_owner_cut_from_one_peer() -> Result<()> {
    mesh_holds(Scenario::CutFromOne)
}

#[test]
fn root_owner_cut_from_all_peers() -> Result<()> {
    mesh_holds(Scenario::CutFromAll)
}

#[test]
fn root_one_way_loss() -> Result<()> {
    mesh_holds(Scenario::OneWayLoss)
}
