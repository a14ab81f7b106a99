//! Directors whose configurations differ say how, and what becomes of their adverts is as they foresaw.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use mesh_lab::Lab;
use mesh_lab::VIP;
use mesh_lab::cluster::{Cluster, Daemon};
use mesh_netns::{NEXT, OWNER, settled};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lines of a director's status that begin so.
fn drift<'s>(status: &'s Value, list: &str, field: &str, value: &str) -> Vec<&'s Value> {
    let all = status["drift"][list].as_array().into_iter().flatten();
    all.filter(|line| line[field] == value).collect()
}

/// Puts another word in a director's configuration, and has it read again.
fn replace(cluster: &mut Cluster, name: &str, from: &str, to: &str) -> Result<()> {
    let file = cluster.lab().host(name).dir.join("keepalived.conf");
    let text = fs::read_to_string(&file)?;
    ensure!(text.contains(from), "no {from:?} in {text}");
    fs::write(&file, text.replace(from, to))?;
    cluster.signal(name, Signal::SIGHUP)
}

#[test]
fn root_nodes_and_settings_that_differ_are_named() -> Result<()> {
    let _turn = Lab::beside()?;
    let mut cluster = settled(Daemon::Mesh)?;
    differ(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())
}

fn differ(cluster: &mut Cluster) -> Result<()> {
    ensure!(cluster.status(OWNER)?.get("drift").is_none(), "{:#}", cluster.status(OWNER)?);
    // lb2 advertises every two seconds, lb3 has another password.
    replace(cluster, NEXT, "advert_int 1", "advert_int 2")?;
    replace(cluster, "lb3", "auth_pass 1111", "auth_pass hunter2")?;
    cluster.wait_status("both are named", PATIENCE, &[OWNER], |status| {
        let (next, third) = (drift(status, "settings", "node", NEXT), drift(status, "settings", "node", "lb3"));
        let is = |of: &[&Value], setting: &str, here: &str, there: &str| {
            of.len() == 1 && of[0]["setting"] == setting && of[0]["here"] == here && of[0]["there"] == there
        };
        is(&next, "advert_int", "1 s", "2 s") && is(&third, "auth_pass", "set", "set")
    })?;
    let status = cluster.status(OWNER)?;
    let lost = drift(&status, "lost_adverts", "from", OWNER);
    ensure!(lost.len() == 2 && lost.iter().all(|lost| lost["dropped"] == true), "{status:#}");
    foreseen(cluster)?;
    told(cluster)?;
    replace(cluster, NEXT, "advert_int 2", "advert_int 1")?;
    replace(cluster, "lb3", "auth_pass hunter2", "auth_pass 1111")?;
    cluster.wait_status("nothing differs again", PATIENCE, &[OWNER, NEXT, "lb3"], |s| s.get("drift").is_none())?;
    let events = cluster.meshctl(OWNER, &["events"])?;
    ensure!(events.contains("nothing differs in how lb2 is configured any more"), "{events}");
    Ok(())
}

/// Both drop what the owner sends, for the reasons it gave.
fn foreseen(cluster: &mut Cluster) -> Result<()> {
    let drops = |status: &Value, reason: &str| {
        status["drops"].as_object().is_some_and(|drops| drops.keys().any(|drop| drop.contains(reason)))
    };
    cluster.wait_status("lb2 drops the owner's adverts", PATIENCE, &[NEXT], |status| {
        drops(status, "advertisement interval differs")
    })?;
    cluster.wait_status("lb3 drops the owner's adverts", PATIENCE, &["lb3"], |status| {
        drops(status, "authentication differs")
    })
}

/// In words, wherever one looks, and no password anywhere.
fn told(cluster: &Cluster) -> Result<()> {
    let status = cluster.meshctl(OWNER, &["status"])?;
    let lines = [
        "lb2: VI_1: advert_int 2 s, here 1 s",
        "lb3: VI_1: auth_pass set, differs",
        "VI_1: adverts of lb1 will be dropped by lb2: advert_int 1 s at lb1, 2 s at lb2",
        "VI_1: adverts of lb1 will be dropped by lb3: auth_pass differs",
    ];
    for line in lines {
        ensure!(status.contains(line), "{line:?} is missing in\n{status}");
    }
    let why = cluster.meshctl(OWNER, &["explain", &VIP.to_string()])?;
    ensure!(why.contains(lines[0]) && why.contains(lines[3]), "{why}");
    let events = cluster.meshctl("lb3", &["events"])?;
    ensure!(events.contains("lb3 is configured otherwise: lb3: VI_1: auth_pass set, differs"), "{events}");
    let json = cluster.meshctl(OWNER, &["--json", "status"])?;
    let log = fs::read_dir(&cluster.lab_ref().host(OWNER).dir)?.flatten();
    let logs: Vec<_> =
        log.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    ensure!(!logs.is_empty(), "no log of {OWNER}");
    for text in
        [status, why, events, json].into_iter().chain(logs.iter().filter_map(|log| fs::read_to_string(log).ok()))
    {
        ensure!(!text.contains("hunter2"), "the password of lb3 is shown: {text}");
    }
    Ok(())
}
