//! Three directors in a mesh, and what the network does to them.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Daemon, active};
use mesh_lab::{DIRECTORS, Fault, Lab, clock};
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

/// A firewall of this host drops what the mesh sends (EPERM for who sends): each address is told of once, every packet
/// is counted, and the mesh is whole again as soon as it lets them pass.
#[test]
fn root_packets_that_a_firewall_refuses_are_counted_and_told_of_once_for_each_address() -> Result<()> {
    let _turn = Lab::beside()?;
    let mut cluster = settled(Daemon::Mesh)?;
    let owner = cluster.lab_ref().host(OWNER).clone();
    let refused = |cluster: &mesh_lab::cluster::Cluster| {
        cluster.status(OWNER)?["counters"]["mesh_sends_refused"].as_u64().context("no such counter")
    };
    ensure!(refused(&cluster)? == 0, "refused before there was a firewall");
    owner.run(&["nft", "add table inet wall; add chain inet wall output { type filter hook output priority 0; }"])?;
    let peers = DIRECTORS.iter().filter(|(name, _)| *name != OWNER);
    for (number, (_, address)) in peers.enumerate() {
        owner.run(&["nft", &format!("add rule inet wall output ip daddr {address} udp dport 7946 drop")])?;
        let told = format!("this host does not send to {address}:7946: Operation not permitted");
        let before = refused(&cluster)?;
        clock::wait_for("many packets are refused", Duration::from_secs(10), || {
            Ok((refused(&cluster)? >= before + 20).then_some(()))
        })?;
        let log = fs::read_to_string(owner.dir.join("meshd.log"))?;
        ensure!(log.matches(&told).count() == 1, "{told}: not told once:\n{log}");
        ensure!(log.matches("this host does not send to").count() == number + 1, "{log}");
    }
    owner.run(&["nft", "delete table inet wall"])?;
    let names = cluster.mesh();
    cluster.wait_status("all are heard again", Duration::from_secs(20), &names, |status| {
        let mut nodes = status["nodes"].as_array().into_iter().flatten();
        nodes.all(|node| node["liveness"] == "alive") && active(status) == Some(OWNER)
    })?;
    let after = refused(&cluster)?;
    clock::pass(Duration::from_millis(500))?;
    ensure!(refused(&cluster)? == after, "still refused");
    Ok(())
}
