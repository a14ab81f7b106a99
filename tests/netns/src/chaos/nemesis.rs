//! Does what a schedule says, to real hosts.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use mesh_lab::cluster::Cluster;
use mesh_lab::fault::bad_cable::{BadCable, Spec};
use mesh_lab::{CLIENT, Process, Wire, clock};
use nix::sys::signal::Signal;

use super::judgement::{HEALED_WITHIN, STEADY};
use super::schedule::{HostTrouble, Schedule, What, WireTrouble};
use super::{holders, shape};

/// How often it is looked whether all daemons run.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Of each 100 ms a starved daemon gets the rest.
const STARVED: (u64, u64) = (80, 100);
/// A flapping link changes this often.
const FLAP_MS: u64 = 250;
/// Busy loops for each processor.
const BURNERS: usize = 4;

/// What was done, on the lab's clock.
#[derive(Debug, Clone, Default)]
pub(super) struct Deeds {
    /// When the schedule's time began.
    pub(super) base: Duration,
    /// For each fault that came about: its index, before it began and after it ended.
    pub(super) done: Vec<(usize, Duration, Duration)>,
    /// When all was healed.
    pub(super) healed: Option<Duration>,
    /// Who had which address on an interface in the end: (address, hosts).
    pub(super) left: Vec<Vec<usize>>,
    /// Daemons that ended by themselves, or not as they were asked to.
    pub(super) daemons: Vec<String>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Begin,
    Pulse(bool),
    End,
}

/// A schedule in the course of being carried out.
pub(super) struct Nemesis<'a> {
    cluster: &'a mut Cluster,
    schedule: &'a Schedule,
    deeds: Deeds,
    began: BTreeMap<usize, Duration>,
    cables: BTreeMap<usize, Vec<BadCable>>,
    burners: BTreeMap<usize, Vec<Process>>,
}

impl<'a> Nemesis<'a> {
    pub(super) fn new(cluster: &'a mut Cluster, schedule: &'a Schedule) -> Self {
        let deeds = Deeds { base: clock::now(), ..Deeds::default() };
        let (began, cables, burners) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Nemesis { cluster, schedule, deeds, began, cables, burners }
    }

    /// What was done so far.
    pub(super) fn deeds(&self) -> Deeds {
        let mut deeds = self.deeds.clone();
        deeds.done.extend(self.began.iter().map(|(index, began)| (*index, *began, clock::now())));
        deeds
    }

    /// All faults at their times, then as long as the cluster has to heal.
    pub(super) fn run(&mut self) -> Result<()> {
        for (at, index, step) in steps(self.schedule) {
            self.watch_until(self.deeds.base + at)?;
            if !self.deeds.daemons.is_empty() {
                // Whatever comes now says nothing about a cluster that is not whole.
                return Ok(());
            }
            let fault = &self.schedule.faults[index];
            self.step(index, step).with_context(|| format!("{step:?} of `{fault}`"))?;
        }
        let healed = clock::now();
        self.deeds.healed = Some(healed);
        self.watch_until(healed + HEALED_WITHIN + STEADY)?;
        let shape = self.schedule.shape;
        self.deeds.left = shape::VIPS.iter().map(|vip| holders(self.cluster, shape, *vip)).collect::<Result<_>>()?;
        Ok(())
    }

    fn watch_until(&mut self, until: Duration) -> Result<()> {
        while clock::now() < until {
            if let Err(error) = self.cluster.must_run() {
                self.deeds.daemons.push(format!("{error:#}"));
                return Ok(());
            }
            clock::pass(LOOK_EVERY.min(until.saturating_sub(clock::now())))?;
        }
        Ok(())
    }

    fn step(&mut self, index: usize, step: Step) -> Result<()> {
        match step {
            Step::Begin => {
                self.began.insert(index, clock::now());
                self.begin(index)
            }
            Step::Pulse(on) => self.pulse(index, on),
            Step::End => {
                self.end(index)?;
                let began = self.began.remove(&index).context("it never began")?;
                self.deeds.done.push((index, began, clock::now()));
                Ok(())
            }
        }
    }

    fn begin(&mut self, index: usize) -> Result<()> {
        match &self.schedule.faults[index].what {
            What::Wires { .. } => self.break_wires(index),
            What::Hosts { trouble, hosts } => {
                let (trouble, hosts) = (*trouble, self.names(hosts));
                hosts.iter().try_for_each(|host| self.begin_on(trouble, host))
            }
            What::Unaddress { host, vip } => {
                let name = self.schedule.shape.name(*host);
                let address = format!("{}/24", shape::VIPS[*vip]);
                // It is an error where the address is not, as on every host but its owner.
                self.cluster.lab_ref().host(&name).output(&["ip", "addr", "del", &address, "dev", "eth0"])?;
                Ok(())
            }
            What::Burn => {
                let host = self.cluster.lab_ref().host(CLIENT).clone();
                let burn = |_| host.spawn("burn", &["sh", "-c", "while :; do :; done"]);
                self.burners.insert(index, (0..BURNERS).map(burn).collect::<Result<_>>()?);
                Ok(())
            }
        }
    }

    fn end(&mut self, index: usize) -> Result<()> {
        match &self.schedule.faults[index].what {
            What::Wires { .. } => self.mend_wires(index),
            What::Hosts { trouble, hosts } => {
                let (trouble, hosts) = (*trouble, self.names(hosts));
                hosts.iter().try_for_each(|host| self.end_on(trouble, host))
            }
            What::Unaddress { .. } => Ok(()),
            What::Burn => {
                self.burners.remove(&index);
                Ok(())
            }
        }
    }

    fn pulse(&mut self, index: usize, on: bool) -> Result<()> {
        let What::Hosts { trouble, hosts } = &self.schedule.faults[index].what else { return Ok(()) };
        let (trouble, hosts) = (*trouble, self.names(hosts));
        hosts.iter().try_for_each(|host| match (trouble, on) {
            (HostTrouble::Starve, true) => self.cluster.signal(host, Signal::SIGSTOP),
            (HostTrouble::Starve, false) => self.cluster.signal(host, Signal::SIGCONT),
            (_, true) => self.cluster.lab().inject(mesh_lab::Fault::Cable(host.clone())),
            (_, false) => self.cluster.lab().heal(&mesh_lab::Fault::Cable(host.clone())),
        })
    }

    fn begin_on(&mut self, trouble: HostTrouble, host: &str) -> Result<()> {
        match trouble {
            HostTrouble::Stall => self.cluster.signal(host, Signal::SIGSTOP),
            HostTrouble::Kill => self.cluster.kill(host),
            HostTrouble::Stop => self.cluster.stop(host),
            HostTrouble::Reboot => {
                self.cluster.kill(host)?;
                self.cluster.lab().power_off(host)
            }
            HostTrouble::Cable => self.cluster.lab().inject(mesh_lab::Fault::Cable(host.to_string())),
            HostTrouble::Flush => self.cluster.lab_ref().host(host).run(&["nft", "flush", "ruleset"]).map(drop),
            HostTrouble::Starve | HostTrouble::Flap => Ok(()),
        }
    }

    fn end_on(&mut self, trouble: HostTrouble, host: &str) -> Result<()> {
        match trouble {
            HostTrouble::Stall => self.cluster.signal(host, Signal::SIGCONT),
            HostTrouble::Kill => self.cluster.start_again(host),
            HostTrouble::Stop => {
                if let Err(error) = self.cluster.wait_stopped(host) {
                    self.deeds.daemons.push(format!("orderly stop: {error:#}"));
                }
                self.cluster.start_again(host)
            }
            HostTrouble::Reboot => {
                self.cluster.lab().power_on(host)?;
                self.cluster.start_again(host)
            }
            HostTrouble::Cable => self.cluster.lab().heal(&mesh_lab::Fault::Cable(host.to_string())),
            HostTrouble::Starve | HostTrouble::Flap | HostTrouble::Flush => Ok(()),
        }
    }

    fn break_wires(&mut self, index: usize) -> Result<()> {
        let fault = &self.schedule.faults[index];
        let What::Wires { trouble, channel, .. } = &fault.what else { return Ok(()) };
        if let WireTrouble::Late(least, most) | WireTrouble::Repeat(least, most) = *trouble {
            let mut cables = Vec::new();
            for from in 0..self.schedule.shape.hosts() {
                // Off the network while a host has no power: what comes from it or for it is lost then.
                let ways = fault.what.wires().into_iter().filter(|(a, b)| *a == from && self.is_powered(*b));
                let to: Vec<_> = ways.map(|(_, b)| self.schedule.shape.name(b)).collect();
                if to.is_empty() || !self.is_powered(from) {
                    continue;
                }
                let delay = (Duration::from_millis(least), Duration::from_millis(most));
                let spec = Spec { from: self.schedule.shape.name(from), to, channel: *channel, delay };
                cables.push(BadCable::start(self.cluster.lab_ref(), &spec)?);
            }
            self.cables.insert(index, cables);
        }
        let wires = self.lost_wires(index);
        self.cluster.lab().inject_all(wires)
    }

    fn mend_wires(&mut self, index: usize) -> Result<()> {
        let wires = self.lost_wires(index);
        self.cluster.lab().heal_all(&wires)?;
        let mut cables = self.cables.remove(&index).unwrap_or_default();
        cables.iter_mut().try_for_each(BadCable::end)
    }

    // What the bridge loses: late frames go another way.
    fn lost_wires(&self, index: usize) -> Vec<mesh_lab::Fault> {
        let fault = &self.schedule.faults[index];
        let What::Wires { trouble, channel, .. } = &fault.what else { return Vec::new() };
        let loss = match trouble {
            WireTrouble::Cut | WireTrouble::Late(..) => 100,
            WireTrouble::Lose(percent) => *percent,
            WireTrouble::Repeat(..) => return Vec::new(),
        };
        let name = |host| self.schedule.shape.name(host);
        let wire = |(a, b)| Wire { from: name(a), to: name(b), channel: *channel, loss, id: index };
        let mut ways = fault.what.wires();
        ways.sort_unstable();
        ways.dedup();
        ways.into_iter().map(|way| mesh_lab::Fault::Wire(wire(way))).collect()
    }

    fn is_powered(&self, host: usize) -> bool {
        !self.began.keys().any(|index| match &self.schedule.faults[*index].what {
            What::Hosts { trouble: HostTrouble::Reboot, hosts } => hosts.contains(&host),
            _ => false,
        })
    }

    fn names(&self, hosts: &[usize]) -> Vec<String> {
        hosts.iter().map(|host| self.schedule.shape.name(*host)).collect()
    }
}

// Everything that is to be done, in order of time.
fn steps(schedule: &Schedule) -> Vec<(Duration, usize, Step)> {
    let mut steps = Vec::new();
    for (index, fault) in schedule.faults.iter().enumerate() {
        steps.push((fault.at, index, Step::Begin));
        let period = match &fault.what {
            What::Hosts { trouble: HostTrouble::Starve, .. } => Some(STARVED),
            What::Hosts { trouble: HostTrouble::Flap, .. } => Some((FLAP_MS, 2 * FLAP_MS)),
            _ => None,
        };
        let (on, whole) = period.unwrap_or((0, u64::MAX));
        let mut at = 0;
        while period.is_some() && Duration::from_millis(at + whole) <= fault.lasts {
            steps.push((fault.at + Duration::from_millis(at), index, Step::Pulse(true)));
            steps.push((fault.at + Duration::from_millis(at + on), index, Step::Pulse(false)));
            at += whole;
        }
        steps.push((fault.at + fault.lasts, index, Step::End));
    }
    // Stable: what belongs to one fault stays in its order.
    steps.sort_by_key(|(at, ..)| *at);
    steps
}
