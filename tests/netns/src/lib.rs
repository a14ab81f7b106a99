//! Faults of a real network and a real machine, what each may cost, and one way to try them on any daemon.
//!
//! Every trial: all is settled and `lb1` serves; the judge starts; the fault comes at a random moment of the advert
//! interval; [`FAULT_LASTS`]; the fault is healed; `lb1` serves again.

pub mod chaos;
pub mod checks;
pub mod crashes;
pub mod fleet;
pub mod moves;
pub mod rotel;
pub mod speed;

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::{Cluster, Daemon, active};
use mesh_lab::conf::Style;
use mesh_lab::judge::PERIOD;
use mesh_lab::{Fault, Judge, Lab, Lifetime, Report, Turn, clock};
use nix::sys::signal::Signal;

/// Highest priority: serves whenever it can.
pub const OWNER: &str = "lb1";
/// Second priority: serves when the owner does not.
pub const NEXT: &str = "lb2";
/// How long a fault lasts: longer than the 3.6 s in which keepalived notices with adverts every second.
pub const FAULT_LASTS: Duration = Duration::from_secs(5);

/// Two questions of the judge: how much longer than an outage its figure may be.
const SAMPLING: Duration = PERIOD.saturating_mul(2);
/// What a client may need on top to learn the new owner's hardware address.
const CLIENT_MARGIN: Duration = Duration::from_millis(50);
/// Every member's map is right this long after the move.
const MAP_WITHIN: Duration = Duration::from_secs(1);
/// The judge asks at least this often, nearly always.
const ASKS_EVERY: Duration = Duration::from_millis(20);

/// What goes wrong, always with [`OWNER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Its cable is pulled.
    CablePulled,
    /// Its daemon is asked to stop.
    OrderlyStop,
    /// `kill -9` of its daemon and of the guard above it at once.
    Killed,
    /// SIGSTOP of its daemon, SIGCONT to heal.
    Frozen,
    /// The same of its daemon and the guard.
    AllFrozen,
    /// Nobody's VRRP gets through.
    VrrpFiltered,
    /// Nothing passes between it and the next one.
    CutFromOne,
    /// Nothing passes between it and any other director; clients reach it.
    CutFromAll,
    /// What it sends to the others is lost, what they send arrives; clients reach it.
    OneWayLoss,
}

/// All that keepalived is compared by.
pub const SCENARIOS: [Scenario; 8] = [
    Scenario::CablePulled,
    Scenario::OrderlyStop,
    Scenario::Killed,
    Scenario::Frozen,
    Scenario::VrrpFiltered,
    Scenario::CutFromOne,
    Scenario::CutFromAll,
    Scenario::OneWayLoss,
];

impl Scenario {
    /// Whether the VIP has to move to [`NEXT`].
    pub fn moves(self) -> bool {
        !matches!(self, Scenario::VrrpFiltered | Scenario::CutFromOne)
    }

    /// Longest time without the VIP that a mesh may take, adverts every second and default settings.
    pub fn limit(self) -> Duration {
        match self {
            Scenario::VrrpFiltered | Scenario::CutFromOne => Duration::ZERO,
            Scenario::OrderlyStop => Duration::from_millis(50),
            _ => Duration::from_millis(1200),
        }
    }

    /// Whether others may run meanwhile: where the limit is a lease, they do not matter.
    pub fn turn(self) -> Result<Turn> {
        if self.limit() == Scenario::OrderlyStop.limit() { Lab::alone() } else { Lab::beside() }
    }

    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Scenario::CablePulled => "cable pulled",
            Scenario::OrderlyStop => "orderly stop",
            Scenario::Killed => "kill -9",
            Scenario::Frozen => "SIGSTOP",
            Scenario::AllFrozen => "SIGSTOP of guard, too",
            Scenario::VrrpFiltered => "VRRP filtered",
            Scenario::CutFromOne => "owner cut from one peer",
            Scenario::CutFromAll => "owner cut from all peers",
            Scenario::OneWayLoss => "one-way loss",
        }
    }

    /// The network's part of it, if any.
    pub fn fault(self) -> Option<Fault> {
        let owner = OWNER.to_string();
        match self {
            Scenario::OrderlyStop | Scenario::Killed | Scenario::Frozen | Scenario::AllFrozen => None,
            Scenario::CablePulled => Some(Fault::Cable(owner)),
            Scenario::VrrpFiltered => Some(Fault::Vrrp),
            Scenario::CutFromOne => Some(Fault::Cut(owner, NEXT.to_string())),
            Scenario::CutFromAll => Some(Fault::Isolate(owner)),
            Scenario::OneWayLoss => Some(Fault::Mute(owner)),
        }
    }

    fn inject(self, cluster: &mut Cluster) -> Result<()> {
        match self {
            Scenario::OrderlyStop => cluster.stop(OWNER),
            Scenario::Killed => cluster.kill(OWNER),
            Scenario::Frozen => cluster.signal_daemon(OWNER, Signal::SIGSTOP),
            Scenario::AllFrozen => cluster.signal(OWNER, Signal::SIGSTOP),
            _ => cluster.lab().inject(self.fault().context("a fault of the network")?),
        }
    }

    fn heal(self, cluster: &mut Cluster) -> Result<()> {
        match self {
            Scenario::OrderlyStop => {
                cluster.wait_stopped(OWNER)?;
                cluster.restart(OWNER)
            }
            Scenario::Killed => cluster.restart(OWNER),
            Scenario::Frozen => cluster.signal_daemon(OWNER, Signal::SIGCONT),
            Scenario::AllFrozen => cluster.signal(OWNER, Signal::SIGCONT),
            _ => cluster.lab().heal(&self.fault().context("a fault of the network")?),
        }
    }
}

/// What a trial showed.
#[derive(Debug)]
pub struct Outcome {
    /// From the fault until it was healed.
    pub faulty: Report,
    /// From then until [`OWNER`] had been serving again for a while.
    pub healed: Report,
    /// All of it.
    pub whole: Report,
    /// Whether every map of a mesh named the right owner in time.
    pub map: Result<()>,
}

/// A cluster with one kind of daemon on all three directors, settled, [`OWNER`] serving.
pub fn settled(daemon: Daemon) -> Result<Cluster> {
    settled_with(&mesh_lab::DIRECTORS.map(|(name, _)| (name, daemon)), Style::V2)
}

/// A cluster of these, settled, [`OWNER`] serving.
pub fn settled_with(daemons: &[(&str, Daemon)], style: Style) -> Result<Cluster> {
    let mut cluster = Cluster::start(Lab::new(Lifetime::Lab)?, daemons, style)?;
    settle(&mut cluster).inspect_err(|_| cluster.lab_ref().save_logs())?;
    Ok(cluster)
}

/// A mesh goes through this scenario and keeps what it promises.
pub fn mesh_holds(scenario: Scenario) -> Result<()> {
    let _turn = scenario.turn()?;
    let mut cluster = settled(Daemon::Mesh)?;
    trial(&mut cluster, scenario)?.check(scenario).inspect_err(|_| cluster.lab_ref().save_logs())
}

/// Tries one scenario on a settled cluster; it is settled again afterwards.
pub fn trial(cluster: &mut Cluster, scenario: Scenario) -> Result<Outcome> {
    try_it(cluster, scenario).inspect_err(|_| cluster.lab_ref().save_logs())
}

fn try_it(cluster: &mut Cluster, scenario: Scenario) -> Result<Outcome> {
    let judge = Judge::start(cluster.lab_ref())?;
    clock::pass(Duration::from_millis(500) + random_phase())?;
    let begin = clock::now();
    scenario.inject(cluster)?;
    // Kept for later: what the judge sees says more about a move that did not come than a map that does not name it.
    let map = watch_map(cluster, scenario, scenario.limit() + MAP_WITHIN);
    clock::pass((begin + FAULT_LASTS).saturating_sub(clock::now()))?;
    // And it still holds at the end, when those who do not hear the owner have long asked for its place.
    let map = map.and_then(|()| watch_map(cluster, scenario, MAP_WITHIN)).and_then(|()| watch_veto(cluster, scenario));
    ensure!(!clock::interrupted(), "interrupted");
    let healing = clock::now();
    scenario.heal(cluster)?;
    settle(cluster).context("after healing")?;
    let whole = judge.finish()?;
    Ok(Outcome { faulty: whole.window(begin, healing), healed: whole.window(healing, Duration::MAX), whole, map })
}

impl Outcome {
    /// Fails where a mesh did worse than it promises. Never two owners, in no phase; the time without the VIP within
    /// the scenario's limit and the judge's sampling error.
    pub fn check(self, scenario: Scenario) -> Result<()> {
        println!("{}: fault: {}", scenario.title(), self.faulty);
        println!("{}: healed: {}", scenario.title(), self.healed);
        ensure!(self.whole.dual().is_zero(), "{}: two served at once: {}", scenario.title(), self.whole);
        let limit = scenario.limit() + SAMPLING;
        ensure!(self.faulty.gap() <= limit, "{}: more than {limit:?}: {}", scenario.title(), self.faulty);
        let client = limit + CLIENT_MARGIN;
        ensure!(
            self.faulty.client_gap() <= client,
            "{}: client: more than {client:?}: {}",
            scenario.title(),
            self.faulty
        );
        let owners: &[&str] = if scenario.moves() { &[OWNER, NEXT, OWNER] } else { &[OWNER] };
        ensure!(self.whole.owners() == owners, "{}: owners should be {owners:?}: {}", scenario.title(), self.whole);
        // The judge must have been able to see what it says was not there.
        let blind = self.whole.share_later_than(ASKS_EVERY);
        ensure!(
            blind < 0.01,
            "the machine is too busy: {:.1} % of the rounds came late: {}",
            blind * 100.0,
            self.whole
        );
        self.map
    }
}

/// Waits until [`OWNER`] serves alone, everybody's map says so, and no takeover of an earlier fault is still under way.
fn settle(cluster: &mut Cluster) -> Result<()> {
    cluster.wait_holder(OWNER)?;
    let mesh = cluster.mesh();
    cluster.wait_status("every map names the owner again", Duration::from_secs(20), &mesh, |status| {
        active(status) == Some(OWNER)
    })?;
    // A second owner that is yet to appear would do so within one more advert interval.
    clock::pass(Duration::from_millis(1500))
}

/// Whoever is not hit by the fault knows who serves.
fn watch_map(cluster: &mut Cluster, scenario: Scenario, limit: Duration) -> Result<()> {
    let others: Vec<_> = cluster.mesh().into_iter().filter(|name| *name != OWNER).collect();
    let expected = if scenario.moves() { NEXT } else { OWNER };
    let what = format!("{}: every map names {expected}", scenario.title());
    cluster.wait_status(&what, limit, &others, |status| active(status) == Some(expected))
}

/// In a mesh, a backup that hears no adverts of a living owner shows that it was refused.
fn watch_veto(cluster: &mut Cluster, scenario: Scenario) -> Result<()> {
    if scenario.moves() || cluster.mesh().is_empty() {
        return Ok(());
    }
    let what = format!("{}: {NEXT} shows who refused it", scenario.title());
    cluster.wait_status(&what, MAP_WITHIN, &[NEXT], |status| {
        let router = &status["routers"][0];
        let voters = router["veto"]["by"].as_array().map_or(0, Vec::len);
        router["here"] == "vetoed" && voters > 0 && router["veto"]["holder"] == OWNER
    })
}

/// Somewhere in an advert interval: settling ends at the same moment of it every time, so the clock alone will not do.
fn random_phase() -> Duration {
    Duration::from_micros(RandomState::new().hash_one(clock::now()) % 1_000_000)
}
