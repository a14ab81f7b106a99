//! Three directors in a mesh, and what the network does to them.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Daemon, active};
use mesh_lab::{DIRECTORS, Fault, Lab};
use mesh_netns::{NEXT, OWNER, Scenario, mesh_holds, settled};

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

/// The mesh hears the owner, and no other director on the segment does: the mesh may have a network of its own.
#[test]
fn root_an_owner_nobody_hears_on_the_segment_hands_over() -> Result<()> {
    let _turn = Lab::beside()?;
    let mut cluster = settled(Daemon::Mesh)?;
    // What has to be resolved by ARP here would not be on a network of the mesh's own.
    for (name, address) in DIRECTORS {
        let address = address.to_string();
        let link = cluster.lab_ref().host(name).run(&["ip", "-br", "link", "show", "eth0"])?;
        let mac = link.split_whitespace().nth(2).context("no MAC address")?.to_owned();
        for (other, _) in DIRECTORS.iter().filter(|(other, _)| *other != name) {
            let command = ["ip", "neigh", "replace", &address, "lladdr", &mac, "dev", "eth0", "nud", "permanent"];
            cluster.lab_ref().host(other).run(&command)?;
        }
    }
    cluster.lab().inject(Fault::Unheard(OWNER.to_owned()))?;
    let names = cluster.mesh();
    let moved = |status: &serde_json::Value| active(status) == Some(NEXT);
    cluster.wait_status("the next one serves", Duration::from_secs(10), &names, moved)?;
    let status = cluster.status(OWNER)?;
    let router = &status["routers"][0];
    ensure!(router["priority"][OWNER] == 1, "{router}");
    ensure!(status["nodes"].as_array().into_iter().flatten().all(|node| node["liveness"] == "alive"), "{status}");
    Ok(())
}
