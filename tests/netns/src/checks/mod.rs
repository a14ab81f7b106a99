//! Health checks and adverts at the same time, of meshd and of keepalived: the same configuration, judged by the real
//! servers and by a neighbour that hears the adverts.

mod servers;

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mesh_lab::cluster::{Cluster, Daemon};
use mesh_lab::{Host, Lab, Lifetime, Process, clock};

use crate::{NEXT, OWNER};
use servers::Servers;

/// Until each real server was checked once and adverts are sent.
const START: Duration = Duration::from_secs(20);
/// The kernel counts processor time so many times a second.
const TICKS: f64 = 100.0;
/// What keepalived is told instead of what the kernel says.
const IP_VS: &[u8] = include_bytes!("ip_vs.c");

/// How much is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Real servers checked by TCP, each once a second.
    pub tcp: u16,
    /// The same by HTTP.
    pub http: u16,
    /// How long is measured.
    pub window: Duration,
}

/// What one daemon did.
#[derive(Debug)]
pub struct Figures {
    checks: usize,
    /// Seconds.
    processor: f64,
    /// From one check of a real server to the next, less the second between them; sorted.
    late: Vec<Duration>,
    /// From advert to advert, one every 100 ms; sorted.
    gaps: Vec<Duration>,
}

impl Load {
    /// meshd, alone on a host.
    pub fn meshd(self) -> Result<Figures> {
        let lab = Lab::new(Lifetime::Lab)?;
        let (owner, hears) = (lab.host(OWNER).clone(), lab.host(NEXT).clone());
        let watch = Watch::start(&owner, &hears)?;
        let conf = self.configuration();
        let mut cluster = Cluster::launch_all(lab, &[(OWNER, Daemon::Plain)], &|_| conf.clone())?;
        watch.measure(self, &owner, "meshd", || cluster.must_run())
    }

    /// keepalived, there.
    pub fn keepalived(self) -> Result<Figures> {
        let lab = Lab::new(Lifetime::Lab)?;
        let (owner, hears) = (lab.host(OWNER).clone(), lab.host(NEXT).clone());
        let watch = Watch::start(&owner, &hears)?;
        let mut process = keepalived(&owner, &self.configuration())?;
        watch.measure(self, &owner, "keepalived", || process.must_run())
    }

    fn configuration(self) -> String {
        let mut text = "global_defs {\n vrrp_version 3\n}\nvrrp_instance VI_1 {\n state MASTER\n interface eth0\n \
                        virtual_router_id 51\n priority 200\n advert_int 0.1\n virtual_ipaddress {\n 10.1.1.80\n \
                        }\n}\n"
            .to_owned();
        let tcp = "TCP_CHECK {\n connect_timeout 1\n }";
        let http = "HTTP_GET {\n url {\n path /\n status_code 200\n }\n connect_timeout 1\n }";
        for (check, count, port) in [(tcp, self.tcp, servers::TCP), (http, self.http, servers::HTTP)] {
            let real = (0..count).map(|number| {
                let (high, low) = (1 + number / 200, 1 + number % 200);
                format!(" real_server 127.1.{high}.{low} {port} {{\n {check}\n }}\n")
            });
            let real: String = real.collect();
            let head = "delay_loop 1\n lb_algo rr\n lb_kind NAT\n protocol TCP\n";
            text += &format!("virtual_server 10.1.1.80 {port} {{\n {head}{real}}}\n");
        }
        text
    }
}

impl Figures {
    /// Processor time for so many checks.
    pub fn seconds_per_10_000(&self) -> f64 {
        self.processor * 10_000.0 / self.checks as f64
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [late, gaps] = [&self.late, &self.gaps].map(|sorted| {
            let at = |per_mille: usize| sorted[(sorted.len() - 1) * per_mille / 1000].as_secs_f64() * 1e3;
            [500, 990, 1000].map(|per_mille| format!("{:.1}", at(per_mille))).join(" / ")
        });
        let (checks, processor) = (self.checks, self.seconds_per_10_000());
        write!(
            f,
            "{checks} checks, {processor:.2} s of a processor per 10,000, late {late} ms, adverts every {gaps} ms \
             (p50 / p99 / max)"
        )
    }
}

/// Whoever sees what a daemon does.
struct Watch {
    servers: Servers,
    dump: Process,
}

impl Watch {
    fn start(owner: &Host, hears: &Host) -> Result<Watch> {
        let servers = Servers::start(owner)?;
        let dump = hears
            .spawn("tcpdump", &["tcpdump", "-Z", "root", "-i", "eth0", "-n", "-tt", "-l", "ip", "proto", "112"])?;
        Ok(Watch { servers, dump })
    }

    fn measure(
        self,
        load: Load,
        host: &Host,
        program: &str,
        mut must_run: impl FnMut() -> Result<()>,
    ) -> Result<Figures> {
        let all = usize::from(load.tcp) + usize::from(load.http);
        clock::wait_for("a check of every real server, and adverts", START, || {
            must_run()?;
            Ok((self.servers.different()? == all && !self.adverts()?.is_empty()).then_some(()))
        })?;
        // Once more everything, so that no start is in it.
        clock::pass(Duration::from_secs(2))?;
        let before = (processor(host, program)?, self.adverts()?.len());
        self.servers.forget()?;
        clock::pass(load.window)?;
        let (checks, late) = self.servers.figures(Duration::from_secs(1))?;
        let processor = processor(host, program)? - before.0;
        must_run()?;
        let gaps = gaps(&self.adverts()?[before.1..]);
        ensure!(checks > all && !gaps.is_empty(), "{program} did {checks} checks and sent {} adverts", gaps.len());
        Ok(Figures { checks, processor, late, gaps })
    }

    /// When each was heard, in seconds.
    fn adverts(&self) -> Result<Vec<f64>> {
        let text = fs::read_to_string(self.dump.log())?;
        let heard = text.lines().filter(|line| line.contains("VRRPv3, Advertisement"));
        Ok(heard.filter_map(|line| line.split(' ').next()?.parse().ok()).collect())
    }
}

fn gaps(adverts: &[f64]) -> Vec<Duration> {
    let mut gaps: Vec<_> = adverts.windows(2).map(|two| Duration::from_secs_f64((two[1] - two[0]).max(0.0))).collect();
    gaps.sort_unstable();
    gaps
}

/// With its checks and VRRP, and files of its own.
fn keepalived(host: &Host, conf: &str) -> Result<Process> {
    let file =
        |name: &str| -> Result<String> { Ok(host.dir.join(name).to_str().context("a path of text")?.to_owned()) };
    let preload = format!("LD_PRELOAD={}", ip_vs(host)?.display());
    let (main, vrrp, checkers) = (file("main.pid")?, file("vrrp.pid")?, file("checkers.pid")?);
    let path = file("keepalived.conf")?;
    fs::write(&path, conf)?;
    let command = ["env", &preload, "/usr/sbin/keepalived", "--dont-fork", "--log-console", "-f", &path];
    host.spawn("keepalived", &[&command[..], &["-p", &main, "-r", &vrrp, "-c", &checkers]].concat())
}

/// Builds what it has instead of ip_vs.
fn ip_vs(host: &Host) -> Result<PathBuf> {
    let library = host.dir.join("ip_vs.so");
    let mut compiler = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-x", "c", "-o"])
        .arg(&library)
        .args(["-", "-ldl"])
        .stdin(Stdio::piped())
        .spawn()
        .context("run cc (package gcc)")?;
    compiler.stdin.take().context("no pipe")?.write_all(IP_VS)?;
    let status = compiler.wait()?;
    if !status.success() {
        bail!("cc: {status}");
    }
    Ok(library)
}

/// Processor time of a program's processes on a host, in seconds.
fn processor(host: &Host, program: &str) -> Result<f64> {
    let listed = Command::new("ip").args(["netns", "pids", &host.netns]).output()?;
    let pids = String::from_utf8(listed.stdout)?;
    let of = |pid: &str| -> Option<f64> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // `PID (NAME) STATE`, and eleven fields later user and system time (proc_pid_stat(5)).
        let (head, rest) = stat.rsplit_once(')')?;
        let mut fields = rest.split_whitespace().skip(11).map(|field| field.parse::<f64>().ok());
        let ticks = fields.next()?? + fields.next()??;
        head.ends_with(&format!("({program}")).then_some(ticks)
    };
    let ticks: Vec<f64> = pids.split_whitespace().filter_map(of).collect();
    ensure!(!ticks.is_empty(), "no process of {program} on {}", host.name);
    Ok(ticks.iter().sum::<f64>() / TICKS)
}
