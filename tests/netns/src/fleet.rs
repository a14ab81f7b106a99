//! Many real directors on one machine: what they cost each other while nothing happens, and how soon all know of a
//! death.

use std::fmt::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon, voters};
use mesh_lab::{Lab, Lifetime, MAX_DIRECTORS, clock};
use serde_json::Value;

use mesh_lab::process::{processor_time, resident};

/// Directors that vote, where there are so many.
const VOTERS: usize = 5;
/// Directors that have one router in their configuration.
const SHARERS: usize = 5;
/// Until all agree, on a machine that is too small for them.
const SETTLE: Duration = Duration::from_secs(180);
/// Until everybody knows of a death and its routers are served.
const KNOWN: Duration = Duration::from_secs(30);
/// What came with the start is over.
const QUIET: Duration = Duration::from_secs(2);
/// Maps that are timed.
const MAPS: usize = 9;

/// Bytes and packets a second.
pub type Rate = (f64, f64);

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Fleet {
    /// Directors.
    pub directors: usize,
    /// Virtual routers with one address each, every one of them on five directors.
    pub routers: usize,
    /// How long they are watched while nothing happens.
    pub watch: Duration,
}

/// How it went.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Of which fleet.
    pub fleet: Fleet,
    /// From the first start until all were members and all routers served.
    pub settled: Duration,
    /// From the kill until three others said that it is dead.
    pub known: Duration,
    /// From the kill until these said that others serve its routers.
    pub served: Duration,
    /// Routers it had.
    pub lost: usize,
    /// What a director sends, on average, and the busiest of them.
    pub sent: [Rate; 2],
    /// Share of a processor that a daemon takes, on average and at most, its guard included.
    pub processor: [f64; 2],
    /// Resident memory of a daemon without its guard, on average and at most, in bytes.
    pub memory: [u64; 2],
    /// What `meshctl status` takes, the process included: the middle one of some.
    pub status: Duration,
}

/// What a director has used up so far.
#[derive(Clone, Copy)]
struct Used {
    bytes: u64,
    packets: u64,
    processor: Duration,
}

impl Fleet {
    /// Starts them, watches them, kills one, and takes everything away.
    pub fn run(self) -> Result<Figures> {
        ensure!((SHARERS..=MAX_DIRECTORS).contains(&self.directors), "{SHARERS} to {MAX_DIRECTORS} directors");
        ensure!((1..=200).contains(&self.routers), "1 to 200 virtual routers");
        let lab = Lab::with_directors(Lifetime::Lab, self.directors)?;
        let names: Vec<String> = lab.directors().iter().map(|host| host.name.clone()).collect();
        let daemons: Vec<(&str, Daemon)> = names.iter().map(|name| (name.as_str(), Daemon::Mesh)).collect();
        let begun = clock::now();
        let mut cluster = Cluster::launch_all(lab, &daemons, &|name| self.conf(name, &names))?;
        let run = |cluster: &mut Cluster| self.measure(cluster, &names, begun);
        run(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())
    }

    fn measure(self, cluster: &mut Cluster, names: &[String], begun: Duration) -> Result<Figures> {
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        cluster.wait_status("all are members and all routers are served", SETTLE, &all, |status| {
            voters(status) == VOTERS.min(self.directors)
                && alive(status).count() == self.directors
                && owners(status).flatten().count() == self.routers
        })?;
        let settled = clock::now() - begun;
        clock::pass(QUIET)?;
        let (sent, processor) = self.watch(cluster, names)?;
        let memory = names.iter().map(|name| resident(cluster.daemon_pid(name)?)).collect::<Result<Vec<_>>>()?;
        let status = time_status(cluster, &all)?;
        let victim = victim(&cluster.status(all[0])?).context("a director without a vote serves")?;
        let witnesses: Vec<&str> = all.iter().copied().filter(|name| *name != victim).step_by(3).take(3).collect();
        let lost = owners(&cluster.status(all[0])?).flatten().filter(|owner| *owner == victim).count();
        cluster.kill(&victim)?;
        let killed = clock::now();
        cluster.wait_status("all know of the death", KNOWN, &witnesses, |status| {
            alive(status).count() == self.directors - 1 && liveness(status, &victim) == "dead"
        })?;
        let known = clock::now() - killed;
        cluster.wait_status("others serve its routers", KNOWN, &witnesses, |status| {
            let owners: Vec<&str> = owners(status).flatten().collect();
            owners.len() == self.routers && !owners.contains(&victim.as_str())
        })?;
        let served = clock::now() - killed;
        let memory = [memory.iter().sum::<u64>() / memory.len() as u64, *memory.iter().max().context("some")?];
        Ok(Figures { fleet: self, settled, known, served, lost, sent, processor, memory, status })
    }

    /// What is sent and computed while nothing happens, on average and at most.
    fn watch(self, cluster: &Cluster, names: &[String]) -> Result<([Rate; 2], [f64; 2])> {
        let look = || names.iter().map(|name| used(cluster, name)).collect::<Result<Vec<_>>>();
        let (before, begun) = (look()?, clock::now());
        clock::pass(self.watch)?;
        let (after, seconds) = (look()?, (clock::now() - begun).as_secs_f64());
        let pairs = || before.iter().zip(&after);
        let spread = |of: &dyn Fn(&Used) -> f64| {
            let each = pairs().map(|(before, after)| (of(after) - of(before)) / seconds);
            let most = each.clone().fold(0.0, f64::max);
            (each.sum::<f64>() / names.len() as f64, most)
        };
        let (bytes, packets) = (spread(&|used| used.bytes as f64), spread(&|used| used.packets as f64));
        let processor = spread(&|used| used.processor.as_secs_f64());
        Ok(([(bytes.0, packets.0), (bytes.1, packets.1)], [processor.0, processor.1]))
    }

    /// The directors that have a router, the first with the highest priority.
    fn sharers(self, router: usize) -> impl Iterator<Item = usize> {
        let step = (self.directors / SHARERS).max(1);
        (0..SHARERS).map(move |place| (VOTERS + router * 7 + place * step) % self.directors)
    }

    /// `keepalived.conf` of a director.
    fn conf(self, name: &str, names: &[String]) -> String {
        let index = names.iter().position(|known| known == name).expect("a director's name");
        let mut text = format!("global_defs {{\n    router_id {name}\n    vrrp_version 3\n}}\n");
        for router in 0..self.routers {
            let Some(place) = self.sharers(router).position(|sharer| sharer == index) else { continue };
            let (vrid, priority) = (router + 1, 200 - 20 * place);
            write!(
                text,
                "vrrp_instance VI_{vrid} {{\n    interface eth0\n    virtual_router_id {vrid}\n    priority {priority}\n    \
                 advert_int 1\n    virtual_ipaddress {{\n        10.7.0.{vrid}/32\n    }}\n}}\n"
            )
            .expect("writing to a String can not fail");
        }
        text
    }
}

fn nodes(status: &Value) -> impl Iterator<Item = &Value> {
    status["nodes"].as_array().into_iter().flatten()
}

fn alive(status: &Value) -> impl Iterator<Item = &Value> {
    nodes(status).filter(|node| node["liveness"] == "alive")
}

fn liveness<'a>(status: &'a Value, name: &str) -> &'a str {
    nodes(status).find(|node| node["name"] == name).and_then(|node| node["liveness"].as_str()).unwrap_or_default()
}

fn owners(status: &Value) -> impl Iterator<Item = Option<&str>> {
    status["routers"].as_array().into_iter().flatten().map(|router| router["active"].as_str())
}

/// A director that serves most and does not vote.
fn victim(status: &Value) -> Option<String> {
    let served = |name: &str| owners(status).flatten().filter(|owner| *owner == name).count();
    let voteless = nodes(status).filter(|node| node["voter"] == false).filter_map(|node| node["name"].as_str());
    voteless.max_by_key(|name| served(name)).filter(|name| served(name) > 0).map(str::to_owned)
}

fn used(cluster: &Cluster, name: &str) -> Result<Used> {
    let text = cluster.lab_ref().host(name).run(&["ip", "-s", "-j", "link", "show", "dev", "eth0"])?;
    let links: Value = serde_json::from_str(&text).with_context(|| format!("no JSON: {text}"))?;
    let sent = &links[0]["stats64"]["tx"];
    let count = |what: &str| sent[what].as_u64().with_context(|| format!("no {what} in {text}"));
    let mut processor = Duration::ZERO;
    for pid in [cluster.daemon_pid(name)?, cluster.guard_pid(name)?] {
        let (user, kernel) = processor_time(pid)?;
        processor += user + kernel;
    }
    Ok(Used { bytes: count("bytes")?, packets: count("packets")?, processor })
}

fn time_status(cluster: &Cluster, names: &[&str]) -> Result<Duration> {
    let one = |name: &&str| {
        let begun = clock::now();
        cluster.meshctl(name, &["status"])?;
        Ok(clock::now() - begun)
    };
    let mut times = names.iter().cycle().take(MAPS).map(one).collect::<Result<Vec<_>>>()?;
    times.sort_unstable();
    Ok(times[MAPS / 2])
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Figures { fleet, sent: [sent, most], processor, memory, .. } = self;
        let kb = |(bytes, packets): Rate| format!("{:.1} kB/s in {packets:.0} packets/s", bytes / 1e3);
        let mb = |bytes: u64| bytes as f64 / 1e6;
        writeln!(f, "{} directors, {} routers, each on {SHARERS} of them", fleet.directors, fleet.routers)?;
        writeln!(f, "  all members, all routers served  {:.1} s", self.settled.as_secs_f64())?;
        writeln!(f, "  death: three others know         {} ms", self.known.as_millis())?;
        writeln!(f, "  death: {:>2} routers served again   {} ms", self.lost, self.served.as_millis())?;
        writeln!(f, "  sent by a director               {}, at most {}", kb(*sent), kb(*most))?;
        let [usual, at_most] = processor.map(|share| share * 100.0);
        writeln!(f, "  processor of a director          {usual:.1} %, at most {at_most:.1} %")?;
        let [usual, at_most] = memory.map(mb);
        writeln!(f, "  memory of a daemon               {usual:.1} MB, at most {at_most:.1} MB")?;
        write!(f, "  meshctl status                   {} ms", self.status.as_millis())
    }
}
