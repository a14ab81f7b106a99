//! Members and voters that come, die and go while the mesh serves.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon, binary, voters};

use mesh_lab::{CLIENT, Host, Process, VIP};
use mesh_lab::{Judge, Lab};
use mesh_netns::{NEXT, OWNER, settled};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Long enough for a busy machine; everything here takes a few seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// The configuration the lab wrote, as meshd.toml, and a voter that is gone replaced soon.
fn reload(cluster: &mut Cluster) -> Result<()> {
    for (name, priority) in [("lb1", 200), ("lb2", 150), ("lb3", 100)] {
        let file = cluster.lab().host(name).dir.join("keepalived.conf");
        let state = if name == OWNER { "active" } else { "backup" };
        fs::write(
            file,
            format!(
                "[mesh]\nreplace_after = \"2s\"\n\n[[router]]\nname = \"VI_1\"\ninterface = \"eth0\"\nvrid = 51\n\
                 state = \"{state}\"\npriority = {priority}\nversion = 2\nauth_pass = \"1111\"\n\
                 addresses = [\"{VIP}/24\"]\n"
            ),
        )?;
        cluster.signal(name, Signal::SIGHUP)?;
    }
    Ok(())
}

/// `meshd ARGS` of a host, as a command.
fn meshd(host: &Host, args: &[&str]) -> Result<Vec<String>> {
    let config = host.dir.join("mesh.toml");
    fs::write(&config, "[mesh]\nreplace_after = \"2s\"\n")?;
    let text = |path: std::path::PathBuf| path.to_str().map(str::to_owned).context("not UTF-8");
    let mut command = vec![text(binary("meshd")?)?];
    command.extend(args.iter().map(|arg| (*arg).to_owned()));
    for (option, path) in
        [("--config", config), ("--state-dir", host.dir.join("state")), ("--runtime-dir", host.dir.join("run"))]
    {
        command.extend([option.to_owned(), text(path)?]);
    }
    Ok(command)
}

/// A fourth member, that votes where it may and serves nothing.
fn witness(cluster: &mut Cluster) -> Result<Process> {
    let reply: Value = serde_json::from_str(&cluster.meshctl(OWNER, &["--json", "token", "create"])?)?;
    let host = cluster.lab().host(CLIENT).clone();
    let token = host.dir.join("token");
    fs::write(&token, reply["token"].as_str().context("no token")?)?;
    let (seed, listen) = (cluster.lab().host(OWNER).address.to_string(), format!("{}:7946", host.address));
    let token = token.to_str().context("not UTF-8")?;
    let args = ["join", "--witness", "--name", "w1", "--seed", &seed, "--listen", &listen, "--token-file", token];
    let command = meshd(&host, &args)?;
    host.spawn("meshd", &command.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Names of the voters in a status.
fn names(status: &Value) -> Vec<&str> {
    let nodes = status["nodes"].as_array().into_iter().flatten();
    nodes.filter(|n| n["voter"] == true).filter_map(|n| n["name"].as_str()).collect()
}

fn wait_voters(cluster: &mut Cluster, on: &[&str], expected: &[&str]) -> Result<()> {
    cluster.wait_status(&format!("{expected:?} vote"), PATIENCE, on, |status| names(status) == expected)
}

/// What a command that has to be refused says.
fn refused(cluster: &Cluster, name: &str, args: &[&str]) -> Result<String> {
    match cluster.meshctl(name, args) {
        Ok(said) => anyhow::bail!("{args:?} was not refused: {said}"),
        Err(error) => Ok(format!("{error:#}")),
    }
}

#[test]
fn root_voters_are_replaced_named_and_removed_while_the_mesh_serves() -> Result<()> {
    let _turn = Lab::beside()?;
    let mut cluster = settled(Daemon::Mesh)?;
    scenario(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())
}

fn scenario(cluster: &mut Cluster) -> Result<()> {
    reload(cluster)?;
    cluster.wait_holder(OWNER)?;
    let judge = Judge::start(cluster.lab_ref())?;
    let fourth = witness(cluster)?;
    cluster.adopt(fourth);
    let all = ["lb1", "lb2", "lb3"];
    cluster.wait_status("a fourth member, without a vote", PATIENCE, &all, |status| {
        status["nodes"].as_array().is_some_and(|nodes| nodes.len() == 4) && names(status) == all
    })?;

    // A voter dies, and does not come back for long: the spare takes its place.
    cluster.kill("lb3")?;
    wait_voters(cluster, &[OWNER, NEXT], &["lb1", "lb2", "w1"])?;
    cluster.restart("lb3")?;
    wait_voters(cluster, &all, &["lb1", "lb2", "w1"])?;

    // The operator's word.
    cluster.meshctl("lb3", &["voters", "add", "lb3"])?;
    wait_voters(cluster, &all, &["lb1", "lb2", "lb3", "w1"])?;
    cluster.meshctl(OWNER, &["voters", "remove", "w1"])?;
    wait_voters(cluster, &all, &all)?;
    let error = refused(cluster, NEXT, &["voters", "remove", "lb9"])?;
    ensure!(error.contains("no node \"lb9\""), "{error}");
    let listed = cluster.meshctl(NEXT, &["voters"])?;
    ensure!(listed.contains("2 of 3 voters decide") && listed.contains("No vote, by the operator: w1"), "{listed}");
    let before = judge.finish()?;
    ensure!(before.dual().is_zero() && before.owners() == [OWNER], "{before}");

    // The owner itself is removed: it hands over before it goes, and is told why.
    let judge = Judge::start(cluster.lab_ref())?;
    cluster.meshctl(NEXT, &["nodes", "remove", OWNER])?;
    cluster.wait_holder(NEXT)?;
    cluster.wait_status("it was handed over", PATIENCE, &[NEXT], |status| {
        status["routers"][0]["last_transition"]["cause"] == "taken over from lb1: lb1 is drained"
    })?;
    let removed = "removed from the mesh by roster epoch";
    cluster.wait_status("it knows that it was removed", PATIENCE, &[OWNER], |status| {
        let why = status["cluster"]["unprotected_because"].as_str();
        status["routers"][0]["here"] == "fault" && why.is_some_and(|why| why.contains(removed))
    })?;
    cluster.wait_status("two voters are left", PATIENCE, &[NEXT, "lb3"], |status| voters(status) == 2)?;
    let report = judge.finish()?;
    ensure!(report.dual().is_zero() && report.owners() == [OWNER, NEXT], "{report}");

    // It does not come back with what it has.
    cluster.stop(OWNER)?;
    cluster.wait_stopped(OWNER)?;
    let host = cluster.lab().host(OWNER).clone();
    for args in [&["run"][..], &["join", "--seed", "10.1.1.12", "--token", "x"]] {
        let command = meshd(&host, args)?;
        let Err(error) = host.run(&command.iter().map(String::as_str).collect::<Vec<_>>()) else {
            anyhow::bail!("{args:?} of a removed node succeeded");
        };
        let error = format!("{error:#}");
        ensure!(error.contains(removed), "{args:?}: {error}");
    }
    Ok(())
}
