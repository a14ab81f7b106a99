//! What the demonstration does, in order.

use std::time::Duration;

use anyhow::{Context, Result};
use mesh_lab::cluster::{Cluster, Daemon, active, binary, socket_path};
use mesh_lab::conf::Style;
use mesh_lab::{CLIENT, DIRECTORS, Fault, Judge, Lab, Lifetime, Report, VIP, clock, web};
use nix::sys::signal::Signal;

use crate::page::{self, Row, milliseconds};

const OWNER: &str = "lb1";
const NEXT: &str = "lb2";
const ALL: [&str; 3] = ["lb1", "lb2", "lb3"];
const OTHERS: [&str; 2] = ["lb2", "lb3"];
/// Ten times what it takes; beyond it something is wrong, and the reader is told what was seen.
const PATIENCE: Duration = Duration::from_secs(15);
/// A little more of the picture after a move, so that the judge sees it settled.
const A_MOMENT: Duration = Duration::from_millis(700);

/// The whole demonstration.
pub(crate) fn tell(keep: bool) -> Result<()> {
    let mut cluster = start(keep)?;
    let rows = [pull_the_cable(&mut cluster)?, filter_vrrp(&mut cluster)?, freeze_the_daemon(&mut cluster)?];

    page::head("What was measured");
    page::say("From the client's side, a question every 5 ms to each director, and a client's plain pings beside it.");
    page::table(&rows);
    if keep {
        return leave(cluster);
    }
    drop(cluster);
    page::say("Everything is cleaned up: no daemon, namespace or file is left. Again, and to keep: --keep");
    Ok(())
}

fn start(keep: bool) -> Result<Cluster> {
    page::head("Three directors, one virtual address");
    page::say("lb1, lb2 and lb3 are network namespaces on a bridge of their own; your network is not touched.");
    page::say("Each runs meshd on a keepalived.conf as the tutorials write it: priorities 200, 150, 100.");
    page::say("lb1 founds the mesh, lb2 and lb3 join it with a token. The three vote on who holds the address.");
    let lab = Lab::new(if keep { Lifetime::Kept } else { Lifetime::Lab })?;
    let this = std::env::current_exe()?;
    let this = this.to_str().context("this program's path is not UTF-8")?;
    let mut servers = Vec::new();
    for host in lab.directors() {
        servers.push(host.spawn("web", &[this, "web", &host.name])?);
    }
    let mut cluster = Cluster::start(lab, &DIRECTORS.map(|(name, _)| (name, Daemon::Mesh)), Style::V2)?;
    for server in servers {
        cluster.adopt(server);
    }
    owner_serves(&mut cluster)?;
    show_map(&cluster, OWNER)?;
    ask(&cluster)?;
    Ok(cluster)
}

fn pull_the_cable(cluster: &mut Cluster) -> Result<Row> {
    page::head("Pull the owner's cable");
    page::say("lb1 is cut off. The others must not serve before lb1 certainly does not, and not much later.");
    let judge = Judge::start(cluster.lab_ref())?;
    let fault = Fault::Cable(OWNER.into());
    cluster.lab().inject(fault.clone())?;
    next_serves(cluster)?;
    let seen = judge.finish()?;
    tell_gap(&seen);
    show_map(cluster, NEXT)?;
    ask(cluster)?;
    cluster.lab().heal(&fault)?;
    owner_serves(cluster)?;
    page::say("The cable is back; lb1 has the higher priority and took the address over again.");
    Ok(Row { fault: "cable pulled", seen, keepalived: "2.4 to 3.4 s without the VIP" })
}

fn filter_vrrp(cluster: &mut Cluster) -> Result<Row> {
    page::head("Filter VRRP");
    page::say("A switch drops VRRP, everything else passes. The backups hear no adverts any more.");
    page::say("With keepalived all three now serve the same address. Here lb2 has to ask first:");
    let judge = Judge::start(cluster.lab_ref())?;
    cluster.lab().inject(Fault::Vrrp)?;
    cluster.wait_status("lb2 is refused", PATIENCE, &[NEXT], |status| status["routers"][0]["here"] == "vetoed")?;
    let status = cluster.status(NEXT)?;
    clock::pass(A_MOMENT)?;
    let seen = judge.finish()?;
    show_map(cluster, NEXT)?;
    let veto = &status["routers"][0]["veto"];
    let by: Vec<_> = veto["by"].as_array().into_iter().flatten().filter_map(|name| name.as_str()).collect();
    let reason = veto["reason"].as_str().unwrap_or("no reason given");
    page::measured(&format!("lb2 wanted to take over. Vetoed by {}: {reason}", by.join(" and ")));
    tell_gap(&seen);
    cluster.lab().heal(&Fault::Vrrp)?;
    owner_serves(cluster)?;
    Ok(Row { fault: "VRRP filtered", seen, keepalived: "two and more serve, as long as it lasts" })
}

fn freeze_the_daemon(cluster: &mut Cluster) -> Result<Row> {
    page::head("Freeze the owner's daemon");
    page::say("SIGSTOP to meshd on lb1: it can not let go of the address, and its kernel would answer for ever.");
    page::say("The fence in its kernel closes by itself when the lease ends; a moment later lb2 serves.");
    let judge = Judge::start(cluster.lab_ref())?;
    cluster.signal(OWNER, Signal::SIGSTOP)?;
    next_serves(cluster)?;
    let seen = judge.finish()?;
    tell_gap(&seen);
    show_map(cluster, NEXT)?;
    ask(cluster)?;
    cluster.signal(OWNER, Signal::SIGCONT)?;
    owner_serves(cluster)?;
    page::say("SIGCONT: lb1 woke up, found its lease gone, and asked for it as anybody does.");
    Ok(Row { fault: "daemon frozen", seen, keepalived: "two serve, as long as it lasts" })
}

fn leave(cluster: Cluster) -> Result<()> {
    let meshctl = binary("meshctl")?.display().to_string();
    let lab = cluster.lab_ref();
    let (id, switch) = (lab.id().to_string(), lab.switch());
    let socket = socket_path(lab.host(NEXT)).display().to_string();
    let logs = lab.dir().display().to_string();
    let pid = cluster.daemon_pid(OWNER)?;
    cluster.leave()?;
    page::head("It keeps running. Try, as root:");
    for (what, command) in [
        ("the map, live, from lb2", format!("{meshctl} --socket {socket} status --watch")),
        ("what a client gets", format!("ip netns exec {id}-{CLIENT} curl http://{VIP}/")),
        ("pull lb1's cable", format!("ip -n {switch} link set dev {OWNER} down")),
        ("and plug it in", format!("ip -n {switch} link set dev {OWNER} up")),
        ("freeze lb1's daemon (-CONT to wake it)", format!("kill -STOP {pid}")),
        ("configuration, state and logs", format!("ls {logs}/lb1")),
        ("remove all of it", "deploy/quickstart.sh --stop".to_string()),
    ] {
        page::say(&format!("  {what}:\n      {command}"));
    }
    Ok(())
}

fn owner_serves(cluster: &mut Cluster) -> Result<()> {
    cluster.wait_status("every map names lb1, nobody is refused", PATIENCE, &ALL, |status| {
        active(status) == Some(OWNER) && status["routers"][0]["here"] != "vetoed"
    })
}

fn next_serves(cluster: &mut Cluster) -> Result<()> {
    cluster.wait_status("every map names lb2", PATIENCE, &OTHERS, |status| active(status) == Some(NEXT))?;
    clock::pass(A_MOMENT)
}

fn show_map(cluster: &Cluster, from: &str) -> Result<()> {
    page::shell(&format!("meshctl status    (on {from})"), &cluster.meshctl(from, &["status"])?);
    Ok(())
}

fn ask(cluster: &Cluster) -> Result<()> {
    let client = cluster.lab_ref().host(CLIENT);
    let name = clock::wait_for("the web server behind the VIP answers", PATIENCE, || Ok(web::get(client, VIP).ok()))?;
    page::say(&format!("The client asks http://{VIP}/ and {name} answers."));
    Ok(())
}

fn tell_gap(seen: &Report) {
    let gap = seen.gap();
    let outage = if gap.is_zero() {
        "The address answered all the time".into()
    } else {
        format!("Without the address: {}", milliseconds(gap))
    };
    let dual = seen.dual();
    let both =
        if dual.is_zero() { "never two at once".into() } else { format!("two at once for {}", milliseconds(dual)) };
    page::measured(&format!("{outage}; {both}."));
}
