//! The whole state machine, with a kernel that does what it is told.

use std::net::SocketAddr;
use std::time::Duration;

use mesh_config::model::{Check, Endpoint, Forwarding, Protocol, RealServer, Script, VirtualServer};

use super::action::Decision;
use super::input::{CheckRun, Kernel as Held};
use super::*;
use crate::ipvs::{self, Change, DestinationKey, SyncRole, Timeouts};
use crate::notify::Notice;

mod alone;
mod chance;
mod restart;
mod together;

pub(super) fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(super) fn script(name: &str) -> Script {
    Script { command: vec![name.to_owned()], user: None }
}

/// `10.0.0.1:80/tcp` with real servers 10.0.0.11:80 and so on, each with one TCP_CHECK every 10 s.
pub(super) fn web(reals: u8) -> VirtualServer {
    let mut server = VirtualServer::new(Endpoint::Address(address("10.0.0.1:80")), Protocol::Tcp);
    for n in 0..reals {
        let to = SocketAddr::from(([10, 0, 0, 11 + n], 80));
        let mut real = RealServer::new(to, Forwarding::Nat);
        real.checks.push(tcp(to));
        server.real_servers.push(real);
    }
    server
}

pub(super) fn tcp(to: SocketAddr) -> Check {
    let mut check = Check::new(CheckKind::Tcp, to);
    check.delay_loop = Duration::from_secs(10);
    check.warmup = check.delay_loop;
    check
}

pub(super) fn config(servers: Vec<VirtualServer>) -> Config {
    Config { virtual_servers: servers, ..Config::default() }
}

/// A node, its kernel, and checks that end at once as `health` says.
pub(super) struct Host {
    pub(super) services: Services,
    pub(super) kernel: Held,
    /// Real servers that are dead, by the address checked.
    pub(super) dead: BTreeSet<SocketAddr>,
    /// Weights that `misc_dynamic` checks find, by the address checked.
    pub(super) weights: BTreeMap<SocketAddr, u32>,
    /// Changes that the kernel refuses.
    pub(super) refuses: fn(&Change) -> Option<String>,
    /// Why there is no ip_vs.
    pub(super) absent: Option<String>,
    pub(super) now: Instant,
    /// Everything but checks and readings.
    pub(super) log: Vec<Action>,
    pub(super) checks: Vec<(Instant, SocketAddr)>,
}

impl Host {
    pub(super) fn new(config: &Config) -> Host {
        Host::with(config, Held::default())
    }

    pub(super) fn with(config: &Config, kernel: Held) -> Host {
        let setup = setup(1);
        let now = at(1000);
        let services = Services::new(setup, config, now);
        Host {
            services,
            kernel,
            dead: BTreeSet::new(),
            weights: BTreeMap::new(),
            refuses: |_| None,
            absent: None,
            now,
            log: Vec::new(),
            checks: Vec::new(),
        }
    }

    /// Steps, and does what is asked for until nothing is left to do now.
    pub(super) fn give(&mut self, input: Input) {
        let mut todo = std::collections::VecDeque::from([input]);
        while let Some(input) = todo.pop_front() {
            let actions = self.services.step(self.now, input);
            for action in actions {
                todo.extend(self.act(action));
            }
        }
    }

    fn act(&mut self, action: Action) -> Option<Input> {
        match &action {
            Action::Check { run, check, .. } => {
                self.checks.push((self.now, check.connect.to));
                let dead = self.dead.contains(&check.connect.to);
                let weight = self.weights.get(&check.connect.to);
                let alive = weight.map_or(Outcome::Success, |weight| Outcome::Weight(*weight));
                let outcome = if dead { Outcome::Failure("connection refused".to_owned()) } else { alive };
                return Some(Input::Checked { run: *run, outcome });
            }
            Action::ReadKernel => {
                let answer = self.absent.clone().map_or_else(|| Ok(self.kernel.clone()), Err);
                return Some(Input::Kernel(answer));
            }
            Action::Apply(changes) => {
                let mut failed = Vec::new();
                for change in changes {
                    let refused = (self.refuses)(change);
                    if let Err(reason) = refused.map_or_else(|| self.change(change), Err) {
                        failed.push((change.clone(), reason));
                    }
                }
                self.log.push(action);
                return Some(Input::Applied { failed });
            }
            _ => self.log.push(action),
        }
        None
    }

    fn change(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::StartSync(daemon) => drop(self.kernel.sync.insert(daemon.role, daemon.clone())),
            Change::StopSync(role) => drop(self.kernel.sync.remove(role)),
            Change::SetTimeouts(new) => {
                let keep = |new: u32, old: u32| if new == 0 { old } else { new };
                let old = self.kernel.timeouts;
                self.kernel.timeouts = Timeouts {
                    tcp: keep(new.tcp, old.tcp),
                    tcp_fin: keep(new.tcp_fin, old.tcp_fin),
                    udp: keep(new.udp, old.udp),
                };
            }
            _ => ipvs::apply::apply(&mut self.kernel.table, change).map_err(|refused| refused.to_string())?,
        }
        Ok(())
    }

    /// Lets time pass, timer by timer.
    pub(super) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(due) = self.services.deadline()
            && due <= until
        {
            self.now = self.now.max(due);
            self.give(Input::Timeout);
        }
        self.now = until;
    }

    pub(super) fn start(config: &Config) -> Host {
        let mut host = Host::new(config);
        host.give(Input::Timeout);
        host
    }

    /// What ip_vs sends where, with weights: `10.0.0.11:80 1`.
    pub(super) fn pool(&self) -> Vec<String> {
        let pools = self.kernel.table.values().flat_map(|pool| &pool.destinations);
        pools.map(|(key, destination)| format!("{key} {}", destination.weight)).collect()
    }

    /// What people and scripts were told since the last call.
    pub(super) fn told(&mut self) -> Vec<String> {
        self.log.drain(..).filter_map(|action| told(&action)).collect()
    }
}

pub(super) fn setup(node: u64) -> Setup {
    Setup { node: NodeId(node), name: format!("lb{node}"), seed: node, unix_at_zero: Duration::from_secs(1_000_000) }
}

fn told(action: &Action) -> Option<String> {
    Some(match action {
        Action::Tell(Notice::Run { script, .. }) => format!("run {}", script.command.join(" ")),
        Action::Tell(Notice::WriteFifo { line, .. }) => line.clone(),
        Action::Tell(Notice::Mail { subject, body }) => format!("mail {subject}: {body}"),
        Action::Apply(_) => "apply".to_owned(),
        Action::Record(Decision::Warning { text }) => format!("warning {text}"),
        Action::Record(Decision::Repaired { what }) => format!("repaired {what}"),
        Action::Stopped => "stopped".to_owned(),
        Action::Record(_) => return None,
        other => format!("{other:?}"),
    })
}

pub(super) fn destination(text: &str) -> DestinationKey {
    address(text).into()
}

pub(super) fn run_of(actions: &[Action]) -> Vec<CheckRun> {
    let runs = actions.iter().filter_map(|action| match action {
        Action::Check { run, .. } => Some(*run),
        _ => None,
    });
    runs.collect()
}
