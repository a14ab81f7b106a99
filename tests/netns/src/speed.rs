//! What a daemon costs and how fast it is with as many virtual routers as an interface can have: the same file on two
//! directors, whoever reads it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon, binary};
use mesh_lab::{DIRECTORS, Host, Lab, Lifetime, clock};

/// Virtual routers, each with one address.
pub const ROUTERS: usize = 255;
/// Real servers of the long file.
pub const REAL_SERVERS: usize = 10_000;

/// How long processor time and adverts are looked at.
const SPAN: Duration = Duration::from_secs(20);
/// keepalived needs up to 31 s for it, and for ever where the machine has other things to do.
pub const SETTLED_WITHIN: Duration = Duration::from_secs(60);
/// So long nothing moves any more: then it has settled.
const QUIET: Duration = Duration::from_secs(8);

/// Of two directors with [`ROUTERS`] virtual routers that tell their state every 100 ms.
#[derive(Debug, Clone, Copy)]
pub struct Many {
    /// From the start of both until the worthier one had all addresses, for good; none if not within
    /// [`SETTLED_WITHIN`].
    pub cold_start: Option<Duration>,
    /// Addresses put in or taken out meanwhile, beyond each of them once.
    pub spurious: usize,
    /// Processor time of all processes, for each second: who serves.
    pub owner: Duration,
    /// The same of the other one.
    pub backup: Duration,
    /// Memory of all processes of who serves, in MiB.
    pub resident: f64,
}

/// Times between two adverts of one virtual router that tells its state every 10 ms, one processor busy otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Gaps {
    /// All but one of a thousand are no longer.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
}

/// The worthiest two of the directors.
fn pair(daemon: Daemon) -> [(&'static str, Daemon); 2] {
    [(DIRECTORS[0].0, daemon), (DIRECTORS[1].0, daemon)]
}

fn conf(name: &str, routers: usize, interval: &str) -> String {
    let priority = if name == DIRECTORS[0].0 { 200 } else { 150 };
    let mut text = format!("global_defs {{\n    router_id {name}\n    vrrp_version 3\n}}\n");
    for vrid in 1..=routers {
        write!(
            text,
            "vrrp_instance VI_{vrid} {{\n    interface eth0\n    virtual_router_id {vrid}\n    priority {priority}\n    \
             advert_int {interval}\n    virtual_ipaddress {{\n        10.7.1.{vrid}/32\n    }}\n}}\n"
        )
        .expect("writing to a String can not fail");
    }
    text
}

/// Measures [`Many`].
pub fn many(daemon: Daemon) -> Result<Many> {
    let conf = |name: &str| conf(name, ROUTERS, "0.1");
    let mut cluster = Cluster::launch_all(Lab::new(Lifetime::Lab)?, &pair(daemon), &conf)?;
    let measured = measure_many(&mut cluster);
    if measured.as_ref().is_ok_and(|many| many.cold_start.is_some()) {
        return measured;
    }
    cluster.lab_ref().save_logs();
    measured
}

fn measure_many(cluster: &mut Cluster) -> Result<Many> {
    let names = [DIRECTORS[0].0, DIRECTORS[1].0];
    if !cluster.mesh().is_empty() {
        // Members know each other already when power comes back.
        names.iter().try_for_each(|name| cluster.stop(name).and_then(|()| cluster.wait_stopped(name)))?;
    } else {
        names.iter().try_for_each(|name| cluster.kill(name))?;
        names.iter().try_for_each(|name| forget_addresses(cluster.lab_ref().host(name)))?;
    }
    let watch = |name: &&str| {
        cluster.lab_ref().host(name).spawn("addresses", &["stdbuf", "-oL", "ip", "-o", "monitor", "address"])
    };
    let watches = names.iter().map(watch).collect::<Result<Vec<_>>>()?;
    let begin = clock::now();
    names.iter().try_for_each(|name| cluster.start_again(name))?;
    let settled = settled_at(cluster, begin)?;
    let mut moved = 0;
    for process in &watches {
        moved += moves(&fs::read_to_string(process.log())?);
    }
    let before = [cluster.processor_time(names[0])?, cluster.processor_time(names[1])?];
    let from = clock::now();
    clock::pass(SPAN)?;
    let after = [cluster.processor_time(names[0])?, cluster.processor_time(names[1])?];
    let each_second = |index: usize| (after[index] - before[index]).div_f64((clock::now() - from).as_secs_f64());
    let (owner, backup) = (each_second(0), each_second(1));
    let spurious = moved.saturating_sub(ROUTERS);
    let resident = cluster.resident(names[0])? as f64 / f64::from(1 << 20);
    Ok(Many { cold_start: settled.map(|settled| settled - begin), spurious, owner, backup, resident })
}

/// How often an address came or went, in what `ip -o monitor` tells; a new lifetime is told, too.
fn moves(told: &str) -> usize {
    let (mut held, mut moves) = (BTreeSet::new(), 0);
    for line in told.lines() {
        let Some(address) = line.split_whitespace().find(|word| word.starts_with("10.7.1.")) else { continue };
        moves += usize::from(if line.starts_with("Deleted") { held.remove(address) } else { held.insert(address) });
    }
    moves
}

/// What a killed daemon leaves.
fn forget_addresses(host: &Host) -> Result<()> {
    let held = host.run(&["ip", "-4", "-o", "addr", "show", "dev", "eth0"])?;
    let ours = held.split_whitespace().filter(|word| word.starts_with("10.7.1."));
    ours.into_iter().try_for_each(|address| host.run(&["ip", "addr", "del", address, "dev", "eth0"]).map(drop))
}

/// When the first director had all addresses and the second none, with nothing moved for [`QUIET`] afterwards.
fn settled_at(cluster: &mut Cluster, begin: Duration) -> Result<Option<Duration>> {
    let held = |cluster: &Cluster, name: &str| -> Result<usize> {
        let host = cluster.lab_ref().host(name);
        Ok(host.run(&["ip", "-4", "-o", "addr", "show", "dev", "eth0"])?.matches(" 10.7.1.").count())
    };
    let mut since = None;
    loop {
        cluster.must_run()?;
        let now = clock::now();
        let good = (held(cluster, DIRECTORS[0].0)?, held(cluster, DIRECTORS[1].0)?) == (ROUTERS, 0);
        since = if good { since.or(Some(now)) } else { None };
        match since {
            Some(since) if now - since > QUIET => return Ok(Some(since)),
            None if now - begin > SETTLED_WITHIN => return Ok(None),
            _ => clock::pass(Duration::from_millis(20))?,
        }
    }
}

/// Measures [`Gaps`].
pub fn gaps(daemon: Daemon) -> Result<Gaps> {
    let conf = |name: &str| conf(name, 1, "0.01");
    let mut cluster = Cluster::launch_all(Lab::new(Lifetime::Lab)?, &pair(daemon)[..1], &conf)?;
    let host = cluster.lab_ref().host(DIRECTORS[0].0).clone();
    clock::wait_for("the address", Duration::from_secs(30), || Ok(host.has_address("10.7.1.1")?.then_some(())))?;
    cluster.must_run()?;
    let busy = host.spawn("busy", &["sh", "-c", "while :; do :; done"])?;
    // The kernel of another host says when each packet came, however late tcpdump gets to read it.
    let other = cluster.lab_ref().host(DIRECTORS[1].0);
    let mut capture = other.spawn("adverts", &["tcpdump", "-i", "eth0", "-n", "-tt", "-l", "ip proto 112"])?;
    clock::pass(SPAN + Duration::from_secs(1))?;
    capture.signal(nix::sys::signal::Signal::SIGINT)?;
    capture.wait(Duration::from_secs(5))?;
    drop(busy);
    let text = fs::read_to_string(capture.log())?;
    let times: Vec<f64> = text.lines().filter_map(|line| line.split_once(" IP ")?.0.parse().ok()).collect();
    ensure!(times.len() > 1000, "only {} adverts in {SPAN:?}", times.len());
    let mut gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_by(f64::total_cmp);
    let at = |share: f64| Duration::from_secs_f64(gaps[((gaps.len() - 1) as f64 * share) as usize].max(0.0));
    Ok(Gaps { p999: at(0.999), max: at(1.0) })
}

/// How long a daemon's own check of a file with [`REAL_SERVERS`] real servers takes, as a process from start to end.
pub fn reading(daemon: Daemon) -> Result<Duration> {
    let lab = Lab::new(Lifetime::Lab)?;
    let host = lab.host(DIRECTORS[0].0);
    let file = host.dir.join("long.conf");
    fs::write(&file, long_file()).with_context(|| file.display().to_string())?;
    let file = file.to_str().context("a path in UTF-8")?;
    let meshd = binary("meshd")?;
    let command = match daemon {
        Daemon::Keepalived => ["/usr/sbin/keepalived", "-t", "-f", file].to_vec(),
        _ => [meshd.to_str().context("a path in UTF-8")?, "check", file].to_vec(),
    };
    let begin = clock::now();
    let output = host.output(&command)?;
    let took = clock::now() - begin;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(took)
}

fn long_file() -> String {
    let mut text = String::new();
    for service in 0..REAL_SERVERS / 100 {
        write!(text, "virtual_server 10.1.{service}.1 80 {{\n  lb_algo rr\n  lb_kind DR\n  protocol TCP\n")
            .expect("writing to a String can not fail");
        for real in 1..=100 {
            write!(
                text,
                "  real_server 10.2.{service}.{real} 80 {{\n    weight 1\n    TCP_CHECK {{\n      connect_timeout 3\n    \
                 }}\n  }}\n"
            )
            .expect("writing to a String can not fail");
        }
        text.push_str("}\n");
    }
    text
}
