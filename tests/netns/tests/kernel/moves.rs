//! Planned moves on a real kernel, judged from the client's side: how long nobody serves, and never two at once.

use std::fmt;
use std::net::Ipv4Addr;
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

/// Clients that ask again and again, each time on a new connection, one for each address, until a file is there;
/// another one says that they have begun. A request that is not answered within three seconds, or is broken off, is
/// lost: of those it says of which client they are, and from when to when, on the clock of [`clock::now`].
const LOAD: &str = r#"
import http.client, os, sys, threading, time
stop, asked = sys.argv[1], []
def ask(index, vip):
    while not os.path.exists(stop):
        begin, answered = time.monotonic(), False
        try:
            connection = http.client.HTTPConnection(vip, 80, timeout=3)
            connection.request("GET", "/")
            answered = len(connection.getresponse().read()) > 0
        except Exception:
            pass
        asked.append((answered, index, begin, time.monotonic()))
        if answered: open(stop + ".begun", "w").close()
        time.sleep(0.003)
clients = [threading.Thread(target=ask, args=client) for client in enumerate(sys.argv[2:])]
for client in clients: client.start()
for client in clients: client.join()
lost = [one[1:] for one in asked if not one[0]]
print(len(asked) - len(lost), int(max(end - begin for _, _, begin, end in asked) * 1000))
for index, begin, end in lost: print(index, int(begin * 1e6), int(end * 1e6))
"#;

/// What clients saw.
pub(crate) struct Load {
    pub(crate) done: u32,
    pub(crate) lost: Vec<Lost>,
    slowest_ms: u32,
}

/// A request that was not answered.
#[derive(Debug)]
pub(crate) struct Lost {
    /// Which of the addresses it was for.
    pub(crate) vip: usize,
    pub(crate) begin: Duration,
    pub(crate) end: Duration,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests answered, {} lost, the slowest took {} ms", self.done, self.lost.len(), self.slowest_ms)
    }
}

/// Every director answers HTTP wherever the address is.
pub(crate) fn serve_http(cluster: &mut Cluster) -> Result<()> {
    for (name, _) in DIRECTORS {
        let host = cluster.lab_ref().host(name).clone();
        std::fs::write(host.dir.join("index.html"), name)?;
        let dir = host.dir.to_str().context("not UTF-8")?;
        let server = host.spawn("http", &["python3", "-m", "http.server", "80", "--directory", dir])?;
        cluster.adopt(server);
        let listens = || Ok(host.run(&["ss", "-Hltn", "sport = :80"])?.contains(":80").then_some(()));
        clock::wait_for("a web server listens", PATIENCE, listens)?;
    }
    Ok(())
}

/// What clients of these addresses saw while this was done.
pub(crate) fn under_load(
    cluster: &mut Cluster,
    vips: &[Ipv4Addr],
    act: impl FnOnce(&mut Cluster) -> Result<()>,
) -> Result<Load> {
    let client = cluster.lab_ref().host(CLIENT).clone();
    let (stop, begun) = (client.dir.join("stop"), client.dir.join("stop.begun"));
    let mut command: Vec<String> = ["python3", "-c", LOAD].map(str::to_owned).to_vec();
    command.push(stop.display().to_string());
    command.extend(vips.iter().map(Ipv4Addr::to_string));
    let load = std::thread::spawn(move || client.run(&command.iter().map(String::as_str).collect::<Vec<_>>()));
    let began = clock::wait_for("the load has begun", PATIENCE, || Ok(begun.exists().then_some(())));
    let acted = began.and_then(|()| act(cluster));
    clock::pass(Duration::from_millis(300))?;
    std::fs::write(&stop, "")?;
    let said = load.join().map_err(|_| anyhow::anyhow!("the client panicked"))?;
    acted?;
    let said = said?;
    let mut numbers = said.split_whitespace().map(|word| word.parse::<u64>().context("no number"));
    let mut next = || numbers.next().context("too little said")?;
    let (done, slowest_ms) = (u32::try_from(next()?)?, u32::try_from(next()?)?);
    let mut lost = Vec::new();
    while let Ok(vip) = next() {
        let (begin, end) = (Duration::from_micros(next()?), Duration::from_micros(next()?));
        lost.push(Lost { vip: usize::try_from(vip)?, begin, end });
    }
    Ok(Load { done, lost, slowest_ms })
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
        // A client whose packet falls into a gap of milliseconds asks nothing for a second, or three.
        let clients = [VIP; 3];
        let load = under_load(cluster, &clients, |cluster| {
            let plan = cluster.meshctl(NEXT, &["plan", "--drain", OWNER])?;
            ensure!(plan.contains("lb1 is drained") && plan.contains("1 move,"), "{plan}");
            let said = cluster.meshctl("lb3", &["drain", OWNER])?;
            ensure!(said == "lb1 serves nothing\n", "{said}");
            cluster.wait_holder(NEXT)?;
            drained(cluster, OWNER, true)?;
            clock::pass(Duration::from_millis(500))?;
            cluster.meshctl(NEXT, &["undrain", OWNER])?;
            cluster.wait_holder(OWNER)?;
            drained(cluster, OWNER, false)
        })?;
        let seen = judge.finish()?;
        println!("drain and undrain: {load}; {seen}");
        ensure!(seen.dual().is_zero() && seen.owners() == [OWNER, NEXT, OWNER], "{seen}");
        ensure!(seen.gap() <= Duration::from_millis(150), "{seen}");
        // One of each may be under way at each of the two moves; how many are asked is the machine's affair.
        ensure!(load.done > 10 && load.lost.len() <= 2 * clients.len(), "{load}");
        // Refused, by whom, and why.
        let refusal = cluster.meshctl("lb3", &["move", "VI_1", "lb9"]).err().context("not refused")?;
        ensure!(format!("{refusal:#}").contains("no director \"lb9\"; there is lb1, lb2, lb3"), "{refusal:#}");
        Ok(())
    })
}
