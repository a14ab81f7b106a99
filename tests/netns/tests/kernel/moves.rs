//! Planned moves on a real kernel, judged from the client's side: how long nobody serves, and never two at once.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::Cluster;
use mesh_lab::{CLIENT, DIRECTORS, Judge, Lab, VIP, clock};
use mesh_netns::moves::{back_and_forth, fast_mesh};
use mesh_netns::{NEXT, OWNER};

const PATIENCE: Duration = Duration::from_secs(20);

fn in_cluster(test: impl FnOnce(&mut Cluster) -> Result<()>) -> Result<()> {
    let mut cluster = fast_mesh()?;
    test(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())
}

#[test]
fn root_twenty_moves_take_milliseconds_each() -> Result<()> {
    let _alone = Lab::alone()?;
    in_cluster(|cluster| {
        let figures = back_and_forth(cluster, 20)?;
        println!("{figures}");
        ensure!(figures.dual.is_zero(), "two served at once: {figures}");
        // Ten milliseconds, and two questions of the judge; a busy machine may spoil one of them.
        ensure!(figures.median() <= Duration::from_millis(20), "{figures}");
        ensure!(figures.worst() <= Duration::from_millis(250), "{figures}");
        Ok(())
    })
}

/// A client that asks again and again, each time on a new connection; a request that is not answered
/// within three seconds, or is broken off, is lost.
const LOAD: &str = r#"
import http.client, sys, time
end, done, lost, slowest = time.monotonic() + float(sys.argv[2]), 0, 0, 0.0
while time.monotonic() < end:
    begin = time.monotonic()
    try:
        connection = http.client.HTTPConnection(sys.argv[1], 80, timeout=3)
        connection.request("GET", "/")
        assert connection.getresponse().read()
        done += 1
    except Exception:
        lost += 1
    slowest = max(slowest, time.monotonic() - begin)
    time.sleep(0.002)
print(done, lost, int(slowest * 1000))
"#;

/// Every director answers HTTP wherever the address is.
fn serve_http(cluster: &mut Cluster) -> Result<()> {
    for (name, _) in DIRECTORS {
        let host = cluster.lab_ref().host(name).clone();
        std::fs::write(host.dir.join("index.html"), name)?;
        let dir = host.dir.to_str().context("not UTF-8")?;
        let server = host.spawn("http", &["python3", "-m", "http.server", "80", "--directory", dir])?;
        cluster.adopt(server);
    }
    clock::pass(Duration::from_millis(1000))
}

/// What the client saw in so many seconds, while this was done.
fn under_load(
    cluster: &mut Cluster,
    seconds: u32,
    act: impl FnOnce(&mut Cluster) -> Result<()>,
) -> Result<(u32, u32, u32)> {
    let client = cluster.lab_ref().host(CLIENT).clone();
    let (vip, seconds) = (VIP.to_string(), seconds.to_string());
    let load = std::thread::spawn(move || client.run(&["python3", "-c", LOAD, &vip, &seconds]));
    let acted = act(cluster);
    let said = load.join().map_err(|_| anyhow::anyhow!("the client panicked"))?;
    acted?;
    let said = said?;
    let mut numbers = said.split_whitespace().map(str::parse::<u32>);
    let mut next = || numbers.next().context("too little said")?.context("no number");
    Ok((next()?, next()?, next()?))
}

fn drained(cluster: &mut Cluster, node: &str, drained: bool) -> Result<()> {
    let names = DIRECTORS.map(|(name, _)| name);
    cluster.wait_status("everybody knows of the drain", PATIENCE, &names, |status| {
        let nodes = status["nodes"].as_array().into_iter().flatten();
        nodes.filter(|n| n["name"] == node).all(|n| n["draining"] == drained)
    })
}

#[test]
fn root_a_drain_under_load_loses_nothing_and_is_undone() -> Result<()> {
    let _turn = Lab::beside()?;
    in_cluster(|cluster| {
        serve_http(cluster)?;
        let judge = Judge::start(cluster.lab_ref())?;
        let (done, lost, slowest) = under_load(cluster, 10, |cluster| {
            clock::pass(Duration::from_millis(1000))?;
            let plan = cluster.meshctl(NEXT, &["plan", "--drain", OWNER])?;
            ensure!(plan.contains("lb1 is drained") && plan.contains("1 moves"), "{plan}");
            let said = cluster.meshctl("lb3", &["drain", OWNER])?;
            ensure!(said == "lb1 serves nothing\n", "{said}");
            cluster.wait_holder(NEXT)?;
            drained(cluster, OWNER, true)?;
            clock::pass(Duration::from_millis(1000))?;
            cluster.meshctl(NEXT, &["undrain", OWNER])?;
            cluster.wait_holder(OWNER)?;
            drained(cluster, OWNER, false)
        })?;
        let seen = judge.finish()?;
        println!("drain and undrain: {done} requests, {lost} lost, the slowest {slowest} ms; {seen}");
        ensure!(seen.dual().is_zero() && seen.owners() == [OWNER, NEXT, OWNER], "{seen}");
        ensure!(seen.gap() <= Duration::from_millis(150), "{seen}");
        // One may be under way at each of the two moves.
        ensure!(done > 500 && lost <= 2, "{done} requests, {lost} lost, the slowest {slowest} ms");
        // Refused, by whom, and why.
        let refusal = cluster.meshctl("lb3", &["move", "VI_1", "lb9"]).err().context("not refused")?;
        ensure!(format!("{refusal:#}").contains("no director \"lb9\"; there is lb1, lb2, lb3"), "{refusal:#}");
        Ok(())
    })
}
