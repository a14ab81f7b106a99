//! A cable that is pulled and put back again and again, on a real kernel.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon, active};
use mesh_lab::{DIRECTORS, Fault, Judge, Lab, Lifetime, clock};
use mesh_netns::{NEXT, OWNER};

const PATIENCE: Duration = Duration::from_secs(20);

/// How long the second fall holds it back.
const HOLD: Duration = Duration::from_secs(4);

fn conf(name: &str) -> String {
    let index = DIRECTORS.iter().position(|(known, _)| *known == name).expect("a director's name");
    format!(
        "router_id = \"{name}\"\n[mesh]\nflap_damping = {{ falls = 2, hold = \"{}s\" }}\n[[router]]\nname = \"VI_1\"\n\
         interface = \"eth0\"\nvrid = 51\nversion = 3\nadvert_interval = \"300ms\"\npriority = {}\n\
         addresses = [\"{}/24\"]\n",
        HOLD.as_secs(),
        [200, 150, 100][index],
        mesh_lab::VIP
    )
}

fn flap(cluster: &mut Cluster) -> Result<()> {
    let cable = Fault::Cable(OWNER.into());
    cluster.lab().inject(cable.clone())?;
    cluster.wait_holder(NEXT)?;
    cluster.lab().heal(&cable)
}

#[test]
fn root_a_cable_that_flaps_is_left_alone_for_a_while() -> Result<()> {
    let _turn = Lab::beside()?;
    let names = DIRECTORS.map(|(name, _)| name);
    let mut cluster = Cluster::launch_all(Lab::new(Lifetime::Lab)?, &names.map(|name| (name, Daemon::Mesh)), &conf)?;
    let tried = flaps(&mut cluster, &names);
    tried.inspect_err(|_| cluster.lab_ref().save_logs())
}

fn flaps(cluster: &mut Cluster, names: &[&str]) -> Result<()> {
    cluster.wait_status("the worthiest serves", PATIENCE, names, |status| active(status) == Some(OWNER))?;
    let judge = Judge::start(cluster.lab_ref())?;
    flap(cluster)?;
    cluster.wait_holder(OWNER)?;
    flap(cluster)?;
    let begin = clock::now();
    cluster.wait_status("it says that it is held back", PATIENCE, &[OWNER], |s| s["routers"][0]["held"].is_object())?;
    let status = cluster.status(OWNER)?;
    let because = status["routers"][0]["held"]["because"].as_str().context("no cause")?.to_owned();
    let expected = "flapped 2 times in 60s (interface eth0 has no link): held for 4s";
    ensure!(because == expected, "{because}");
    let said = cluster.meshctl(OWNER, &["status"])?;
    ensure!(said.contains("lb1 is held back until") && said.contains(expected), "{said}");
    let events = cluster.meshctl(OWNER, &["events"])?;
    ensure!(events.contains("VI_1: held back for 4s: flapped 2 times"), "{events}");
    cluster.wait_holder(OWNER)?;
    let held = clock::now() - begin;
    ensure!(held >= HOLD - Duration::from_millis(200), "back after {held:?}");
    let seen = judge.finish()?;
    ensure!(seen.dual().is_zero() && seen.owners() == [OWNER, NEXT, OWNER, NEXT, OWNER], "{seen}");
    Ok(())
}
