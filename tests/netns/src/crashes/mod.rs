//! The owner crashes again and again: how long the VIP is missing, by the lease profile of a mesh, and with keepalived.
//!
//! Every trial: all is settled and `lb1` serves; the judge starts; the crash comes at a random moment; the judge goes
//! on until the slowest takeover is over; `lb1` comes back and serves again.

mod spread;

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use mesh_lab::cluster::{Cluster, Daemon, active};
use mesh_lab::conf::{Style, keepalived_conf, meshd_toml};
use mesh_lab::{DIRECTORS, Fault, Judge, Lab, Lifetime, Report, clock};
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::{ASKS_EVERY, OWNER};
pub use spread::Spread;

/// What crashes: a daemon with its settings, on three directors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Subject {
    /// A mesh with `profile = "compat"`.
    Compat,
    /// A mesh with `profile = "fast"`, the default.
    Fast,
    /// A mesh with `profile = "aggressive"`.
    Aggressive,
    /// keepalived.
    Keepalived,
}

impl Subject {
    /// All that are compared.
    pub const ALL: [Subject; 4] = [Subject::Compat, Subject::Fast, Subject::Aggressive, Subject::Keepalived];

    /// In a word.
    pub fn name(self) -> &'static str {
        self.profile().unwrap_or("keepalived")
    }

    fn profile(self) -> Option<&'static str> {
        match self {
            Subject::Compat => Some("compat"),
            Subject::Fast => Some("fast"),
            Subject::Aggressive => Some("aggressive"),
            Subject::Keepalived => None,
        }
    }

    /// What crashes of it are tried: keepalived has no guard, and serves on when it is killed.
    pub fn crashes(self) -> &'static [Crash] {
        match self {
            Subject::Keepalived => &[Crash::Host],
            _ => &[Crash::Host, Crash::Daemon],
        }
    }

    /// After this long its timers stand to adverts and to each other as before: a moment within is a random moment.
    fn cycle(self) -> Duration {
        match self {
            // Adverts every second, renewals every 750 ms.
            Subject::Compat => Duration::from_secs(3),
            _ => Duration::from_secs(1),
        }
    }

    fn start(self) -> Result<Cluster> {
        let daemon = if self.profile().is_some() { Daemon::Mesh } else { Daemon::Keepalived };
        let conf = |name: &str| match self.profile() {
            Some(profile) => meshd_toml(name, profile),
            None => keepalived_conf(name, Style::V2),
        };
        Cluster::launch_all(Lab::new(Lifetime::Lab)?, &DIRECTORS.map(|(name, _)| (name, daemon)), &conf)
    }
}

/// How the owner crashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Crash {
    /// Its host loses power: network, guard, daemon and addresses are gone at once.
    Host,
    /// `kill -9` of its daemon alone; the guard lives.
    Daemon,
}

impl Crash {
    /// All there are.
    pub const ALL: [Crash; 2] = [Crash::Host, Crash::Daemon];

    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Crash::Host => "host loses power",
            Crash::Daemon => "kill -9 of the daemon, its guard lives",
        }
    }

    /// The judge looks on for so long: any takeover is over, and a second owner would have appeared.
    fn watched_for(self) -> Duration {
        match self {
            Crash::Host => Duration::from_millis(4500),
            Crash::Daemon => Duration::from_millis(1500),
        }
    }

    fn inject(self, cluster: &mut Cluster) -> Result<()> {
        match self {
            Crash::Host => {
                // The network first: whatever the processes say while they are killed one after another is not heard.
                cluster.lab().inject(Fault::Cable(OWNER.to_string()))?;
                cluster.kill(OWNER)?;
                cluster.lab().power_off(OWNER)
            }
            Crash::Daemon => cluster.signal_daemon(OWNER, Signal::SIGKILL),
        }
    }

    fn heal(self, cluster: &mut Cluster) -> Result<()> {
        match self {
            Crash::Host => {
                cluster.lab().power_on(OWNER)?;
                cluster.lab().heal(&Fault::Cable(OWNER.to_string()))?;
                cluster.restart(OWNER)
            }
            // A new guard: the old one would start the next daemon ever later.
            Crash::Daemon => {
                cluster.stop(OWNER)?;
                cluster.wait_stopped(OWNER)?;
                cluster.restart(OWNER)
            }
        }
    }
}

/// What one crash cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Longest time in which nobody served the VIP.
    pub without: Duration,
    /// The same, as the client sees it.
    pub client: Duration,
    /// Time in which two served it.
    pub dual: Duration,
    /// Share of the judge's questions, from 0 to 1, that were late: the machine was too busy.
    pub blind: f64,
}

/// One subject on a network of its own, that crashes as often as it is told to.
#[derive(Debug)]
pub struct Stand {
    /// What stands here.
    pub subject: Subject,
    cluster: Option<Cluster>,
    chance: StdRng,
}

impl Stand {
    /// Nothing is started before the first crash; the moments of the crashes follow from the seed.
    pub fn new(subject: Subject, seed: u64) -> Stand {
        Stand { subject, cluster: None, chance: StdRng::seed_from_u64(seed) }
    }

    /// One crash. After a failure the next one gets a new cluster.
    pub fn crash(&mut self, crash: Crash) -> Result<Cost> {
        let mut cluster = self.settled()?;
        let moment = self.chance.random_range(Duration::ZERO..self.subject.cycle());
        let cost = try_it(&mut cluster, crash, moment).inspect_err(|_| cluster.lab_ref().save_logs())?;
        self.cluster = Some(cluster);
        Ok(cost)
    }

    fn settled(&mut self) -> Result<Cluster> {
        let mut cluster = match self.cluster.take() {
            Some(cluster) => cluster,
            None => self.subject.start()?,
        };
        settle(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())?;
        Ok(cluster)
    }
}

fn try_it(cluster: &mut Cluster, crash: Crash, moment: Duration) -> Result<Cost> {
    let judge = Judge::start(cluster.lab_ref())?;
    clock::pass(Duration::from_millis(300) + moment)?;
    let begin = clock::now();
    crash.inject(cluster)?;
    clock::pass((begin + crash.watched_for()).saturating_sub(clock::now()))?;
    let report = judge.finish()?;
    crash.heal(cluster)?;
    cost(&report, begin)
}

fn cost(report: &Report, begin: Duration) -> Result<Cost> {
    let after = report.window(begin, Duration::MAX);
    let owners = report.owners();
    ensure!(owners.first() == Some(&OWNER), "{OWNER} did not serve before it crashed: {report}");
    ensure!(owners.iter().any(|owner| *owner != OWNER), "nobody took over: {report}");
    Ok(Cost {
        without: after.gap(),
        client: after.client_gap(),
        dual: report.dual(),
        blind: report.share_later_than(ASKS_EVERY),
    })
}

/// Several clusters wait at a time, so each of them looks rarely.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const SETTLE: Duration = Duration::from_secs(40);

/// Waits until [`OWNER`] alone has the VIP, and in a mesh every map says so.
fn settle(cluster: &mut Cluster) -> Result<()> {
    let until = clock::now() + SETTLE;
    while !is_settled(cluster)? {
        ensure!(clock::now() < until, "waited {SETTLE:?} in vain for: {OWNER} serves again");
        clock::pass(LOOK_EVERY)?;
    }
    // Preferred owners are handed the VIP with a first, short lease; the next one is whole.
    clock::pass(Duration::from_millis(500))
}

fn is_settled(cluster: &mut Cluster) -> Result<bool> {
    cluster.must_run()?;
    if cluster.holders()? != [OWNER] {
        return Ok(false);
    }
    let maps = cluster.mesh().into_iter().map(|name| cluster.status(name));
    // A daemon that its guard has just started does not answer yet.
    Ok(maps.into_iter().all(|status| status.is_ok_and(|status| active(&status) == Some(OWNER))))
}
