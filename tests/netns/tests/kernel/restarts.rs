//! deploy/rolling-restart on a real kernel: every daemon is replaced in turn while clients ask, and each address takes
//! the way it should and no other.

use std::net::Ipv4Addr;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon, binary, socket_path};
use mesh_lab::judge::watch::Watch;
use mesh_lab::{DIRECTORS, Lab, Lifetime, clock};

use crate::moves::{Load, serve_http, under_load};

const VIPS: [Ipv4Addr; 3] = [Ipv4Addr::new(10, 1, 1, 80), Ipv4Addr::new(10, 1, 1, 81), Ipv4Addr::new(10, 1, 1, 82)];

/// A move, and two questions of the judge: what half of the moves stay within at least.
const GAP: Duration = Duration::from_millis(20);

/// What all stay within on a machine that lets programs wait for one another. Without a handover it would be what is
/// left of a lease of a second.
const LONGEST: Duration = Duration::from_millis(250);

/// Three routers, each of which belongs to another director.
fn conf(name: &str) -> String {
    let index = DIRECTORS.iter().position(|(known, _)| *known == name).expect("a director's name");
    let mut conf = format!("router_id = \"{name}\"\n[mesh]\nmoves_per_minute = 600\n");
    for (number, vip) in VIPS.iter().enumerate() {
        let priority = [200, 150, 100][(index + 3 - number) % 3];
        conf += &format!(
            "[[router]]\nname = \"VI_{}\"\ninterface = \"eth0\"\nvrid = {}\npriority = {priority}\naddresses = [\"{vip}/24\"]\n",
            number + 1,
            51 + number
        );
    }
    conf
}

/// The script's environment and command line, as an operator on lb3 has it.
fn command(cluster: &Cluster) -> Result<Vec<String>> {
    let host = cluster.lab_ref().host("lb3");
    let meshctl = binary("meshctl")?.to_str().context("not UTF-8")?.to_owned();
    let socket = |name: &str| socket_path(cluster.lab_ref().host(name)).display().to_string();
    let cases: Vec<String> = DIRECTORS.iter().map(|(name, _)| format!("{name}) socket={};;", socket(name))).collect();
    let restart = host.dir.join("restart");
    std::fs::write(
        &restart,
        format!("case $1 in {} esac\nexec {meshctl} --socket $socket upgrade\n", cases.join(" ")),
    )?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/rolling-restart");
    Ok(vec![
        "env".to_owned(),
        format!("MESHCTL={meshctl} --socket {}", socket("lb3")),
        format!("RESTART=sh {}", restart.display()),
        "WITHIN=30".to_owned(),
        "sh".to_owned(),
        script.display().to_string(),
    ])
}

#[test]
fn root_a_rolling_restart_moves_each_address_away_and_back_and_loses_nothing() -> Result<()> {
    let _turn = Lab::beside()?;
    let names = DIRECTORS.map(|(name, _)| name);
    let mut cluster = Cluster::launch_all(Lab::new(Lifetime::Lab)?, &names.map(|name| (name, Daemon::Mesh)), &conf)?;
    let tried = restart_all(&mut cluster, &names);
    tried.inspect_err(|_| cluster.lab_ref().save_logs())
}

fn restart_all(cluster: &mut Cluster, names: &[&'static str]) -> Result<()> {
    cluster.wait_status("each serves its own", Duration::from_secs(30), names, |status| {
        (0..VIPS.len()).all(|n| status["routers"][n]["active"] == names[n])
    })?;
    serve_http(cluster)?;
    let pids = |cluster: &Cluster| names.iter().map(|name| cluster.daemon_pid(name)).collect::<Result<Vec<u32>>>();
    let before = pids(cluster)?;
    let command = command(cluster)?;
    let host = cluster.lab_ref().host("lb3").clone();
    let watch = Watch::start(cluster.lab_ref(), &VIPS)?;
    let (mut said, begin) = (String::new(), clock::now());
    let load = under_load(cluster, &VIPS, |_| {
        said = host.run(&command.iter().map(String::as_str).collect::<Vec<_>>())?;
        Ok(())
    })?;
    let took = clock::now() - begin;
    let seen = watch.finish()?;
    ensure!(said.ends_with("all restarted: lb1 lb2 lb3\n"), "{said}");
    ensure!(before.iter().zip(pids(cluster)?).all(|(before, after)| *before != after), "not all were replaced");
    let (mut gaps, mut moves) = (Vec::new(), Vec::new());
    for (vip, own) in names.iter().enumerate() {
        let stays = seen.stays(vip);
        let path: Vec<&str> = stays.iter().map(|stay| seen.names[stay.host].as_str()).collect();
        gaps.extend(seen.outages(vip));
        moves.extend(stays.windows(2).map(|pair| (vip, pair[0].to..pair[1].from)));
        ensure!(seen.dual(vip).is_zero(), "two served VI_{} at once: {path:?}", vip + 1);
        let straight = path.len() == 3 && path[0] == *own && path[2] == *own;
        ensure!(straight, "VI_{} went {path:?}", vip + 1);
    }
    let mut lengths: Vec<Duration> = gaps.iter().map(|gap| gap.end - gap.start).collect();
    println!("rolling restart in {took:?}: {load}; {} moves, gaps {lengths:?}", moves.len());
    ensure!(lengths.iter().all(|gap| *gap <= LONGEST), "{lengths:?}");
    ensure!(gaps.len() <= moves.len(), "{} gaps by {} moves", gaps.len(), moves.len());
    // A move without a gap has one of nothing.
    lengths.resize(moves.len(), Duration::ZERO);
    lengths.sort_unstable();
    ensure!(lengths[moves.len() / 2] <= GAP, "{lengths:?}");
    only_what_was_under_way_is_lost(&load, &moves)?;
    ensure!(f64::from(load.done) >= 20.0 * took.as_secs_f64(), "no load: {load} in {took:?}");
    Ok(())
}

/// A request may be lost that was under way when its address moved, or came in the gap: one by each move.
fn only_what_was_under_way_is_lost(load: &Load, moves: &[(usize, Range<Duration>)]) -> Result<()> {
    let mut spoilt = vec![0; moves.len()];
    for lost in &load.lost {
        let by = moves
            .iter()
            .position(|(vip, at)| *vip == lost.vip && lost.begin <= at.end + GAP && lost.end + GAP >= at.start);
        let by = by.with_context(|| format!("{lost:?} is lost without a move: {moves:?}"))?;
        spoilt[by] += 1;
    }
    ensure!(spoilt.iter().all(|count| *count <= 1), "{:?} by {moves:?}", load.lost);
    Ok(())
}
