//! The services' own thread: results of checks, gossip and the kernel's answers in, checks, ip_vs
//! and scripts out, and no decision. Leases and adverts never wait for it.

mod kernel;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use mesh_config::model::Config;
use mesh_control::Service;
use mesh_core::bfd::Told;
use mesh_core::services::input::Surroundings;
use mesh_core::services::{Action, Input, Services, Setup};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};

use self::kernel::Task;
use crate::clock;
use crate::director::status_pause;
use crate::kernel::ip_of;
use crate::mesh::MeshHandle;
use crate::on_demand::Maker;
use crate::priority::Manner;
use crate::probes::checks::{CheckerSettings, Checkers};
use crate::probes::files::{self, Files};
use crate::probes::notify::teller::Teller;
use crate::telemetry::Telemetry;
use crate::threads::{self, Ended};

/// Facts that may wait: results of checks wait for room, gossip is offered again.
pub const QUEUE: usize = 4096;

/// Facts taken in between two looks at anything else, so that ten thousand results a second cost
/// little more than themselves.
const BATCH: usize = 256;

/// Between two looks at this host's addresses.
const ADDRESSES_EVERY: Duration = Duration::from_secs(1);

/// Before what the engine had no room for is told again.
const TELL_AGAIN: Duration = Duration::from_millis(100);

/// How long the services have to clean up at the end.
const STOP_DEADLINE: Duration = Duration::from_secs(3);

/// Where effects go.
pub struct Outputs {
    /// The engine, which hands over what is better reached from elsewhere.
    pub engine: mpsc::Sender<mesh_core::Input>,
    /// The mesh; `None` without one.
    pub mesh: Option<MeshHandle>,
    /// Where is told what happened.
    pub telemetry: Telemetry,
    /// Who runs scripts, writes to FIFOs and sends mail.
    pub teller: Teller,
    /// What `meshctl services` shows.
    pub shown: Maker<Vec<Service>>,
}

/// The running thread.
pub struct ServicesThread {
    /// Resolves when it ended.
    pub ended: Ended,
    inputs: mpsc::Sender<Input>,
    stopped: oneshot::Receiver<()>,
}

/// Starts the thread `meshd-services`.
///
/// # Errors
///
/// The system has no room for another thread.
pub fn start(
    setup: Setup,
    config: Config,
    queue: (mpsc::Sender<Input>, mpsc::Receiver<Input>),
    surroundings: watch::Receiver<Surroundings>,
    sessions: watch::Receiver<Told>,
    outputs: Outputs,
) -> anyhow::Result<ServicesThread> {
    let (inputs, received) = queue;
    let (done, stopped) = oneshot::channel();
    let namespace = config.process.ipvs_namespace.clone();
    let kernel = kernel::start(inputs.clone(), outputs.telemetry.clone(), namespace)?;
    let answers = inputs.clone();
    let suspends = suspends(&config);
    let manner = Manner::of(&config.process.threads.checker, false);
    let ended = threads::spawn("meshd-services", manner, move || async move {
        let driver = Driver {
            checkers: Checkers::new(settings(&config), answers.clone()),
            files: files::start(answers.clone(), told_number)?,
            services: Services::new(setup, &config, clock::now()),
            inputs: received,
            surroundings,
            sessions,
            sessions_told: BTreeMap::new(),
            kernel,
            outputs,
            suspends,
            addresses: BTreeSet::new(),
            unfit: None,
            stopped: false,
        };
        // What is wanted of it has been taken; thousands of servers are megabytes.
        drop(config);
        driver.run().await?;
        // Whoever asked may have given up waiting.
        let _ = done.send(());
        Ok(())
    })?;
    Ok(ServicesThread { ended, inputs, stopped })
}

impl ServicesThread {
    /// Room for one fact, such as a new configuration.
    ///
    /// # Errors
    ///
    /// There is none for so long.
    pub async fn room(&self, patience: Duration) -> anyhow::Result<mpsc::Permit<'_, Input>> {
        let room = tokio::time::timeout(patience, self.inputs.reserve()).await;
        room.ok().and_then(Result::ok).context("the thread of the services takes nothing")
    }

    /// Has the services take out of ip_vs what they have to.
    pub async fn stop(self, keep: bool) {
        let cleaned = async {
            let _ = self.inputs.send(Input::Shutdown { keep }).await;
            let _ = self.stopped.await;
        };
        if tokio::time::timeout(STOP_DEADLINE, cleaned).await.is_err() {
            tracing::error!("the services did not clean up within {STOP_DEADLINE:?}; ip_vs keeps what it has");
        }
    }
}

struct Driver {
    services: Services,
    inputs: mpsc::Receiver<Input>,
    surroundings: watch::Receiver<Surroundings>,
    /// Which BFD sessions are up, and what the services were told of that.
    sessions: watch::Receiver<Told>,
    sessions_told: BTreeMap<String, bool>,
    kernel: mpsc::Sender<Task>,
    checkers: Checkers,
    files: Files,
    outputs: Outputs,
    /// Some service has `ha_suspend`: this host's addresses matter.
    suspends: bool,
    addresses: BTreeSet<IpAddr>,
    /// What the engine has to be told once it has room.
    unfit: Option<BTreeMap<IpAddr, String>>,
    /// All is taken out of ip_vs that has to be.
    stopped: bool,
}

impl Driver {
    /// Runs until the services have stopped, or nobody talks to the kernel any more.
    async fn run(mut self) -> anyhow::Result<()> {
        self.step(Input::Timeout);
        self.look_at_sessions();
        let mut look_at = clock::now();
        while !self.stopped {
            let now = clock::now();
            if self.suspends && now >= look_at {
                self.look_at_addresses();
                look_at = now + ADDRESSES_EVERY;
            }
            self.tell_engine();
            let looks = self.suspends.then_some(look_at);
            let again = self.unfit.is_some().then(|| clock::now() + TELL_AGAIN);
            let wake = [self.services.deadline(), looks, again].into_iter().flatten().min();
            self.next(wake.map(|wake| wake.since(clock::now()))).await?;
        }
        Ok(())
    }

    /// Waits for facts, and takes in what is there. Something is due after so long.
    async fn next(&mut self, due: Option<Duration>) -> anyhow::Result<()> {
        let mut batch = Vec::new();
        tokio::select! {
            biased;
            () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => self.step(Input::Timeout),
            Ok(()) = self.surroundings.changed() => {
                let surroundings = self.surroundings.borrow_and_update().clone();
                self.step(Input::Surroundings(surroundings));
            }
            Ok(()) = self.sessions.changed() => self.look_at_sessions(),
            () = self.kernel.closed() => bail!("the thread that talks to ip_vs died"),
            () = self.outputs.shown.due() => self.show(),
            died = self.files.ended() => return died,
            _ = self.inputs.recv_many(&mut batch, BATCH) => batch.into_iter().for_each(|input| self.take(input)),
        }
        Ok(())
    }

    fn take(&mut self, input: Input) {
        if let Input::Configure(config) = &input {
            self.suspends = suspends(config);
            self.checkers.set(settings(config));
        }
        let anew = matches!(input, Input::Configure(_));
        self.step(input);
        if anew {
            // Checks that were not there before know nothing yet.
            self.sessions_told.clear();
            self.look_at_sessions();
        }
    }

    fn look_at_sessions(&mut self) {
        let now = self.sessions.borrow_and_update().services.clone();
        let before = std::mem::replace(&mut self.sessions_told, now.clone());
        for (name, up) in now.into_iter().filter(|(name, up)| before.get(name) != Some(up)) {
            self.step(Input::Bfd { name, up });
        }
    }

    fn show(&mut self) {
        let begin = clock::now();
        let services = self.services.status();
        self.outputs.shown.show(services, status_pause(clock::now().since(begin)));
    }

    fn look_at_addresses(&mut self) {
        match nix::ifaddrs::getifaddrs() {
            Ok(found) => {
                let addresses: BTreeSet<IpAddr> = found.filter_map(|f| ip_of(&f.address?)).collect();
                if addresses != self.addresses {
                    self.addresses.clone_from(&addresses);
                    self.step(Input::Addresses(addresses));
                }
            }
            Err(error) => tracing::warn!(%error, "cannot look at this host's addresses"),
        }
    }

    /// Tells the engine what is better served elsewhere, now or soon.
    fn tell_engine(&mut self) {
        if let Some(unfit) = self.unfit.take()
            && let Err(TrySendError::Full(input)) = self.outputs.engine.try_send(mesh_core::Input::Unfit(unfit))
            && let mesh_core::Input::Unfit(unfit) = input
        {
            self.unfit = Some(unfit);
        }
    }

    fn step(&mut self, input: Input) {
        for action in self.services.step(clock::now(), input) {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Check { run, check, step } => self.checkers.start(run, check, step),
            Action::ReadKernel => self.ask_kernel(Task::Read),
            Action::Apply(changes) => self.ask_kernel(Task::Apply(changes)),
            Action::Tell(notice) => self.outputs.teller.tell(vec![notice]),
            Action::WatchFiles(files) => self.files.watch(files),
            Action::Publish { key, value } => {
                if let Some(mesh) = &self.outputs.mesh {
                    mesh.publish(key, value);
                }
            }
            Action::Unfit(unfit) => self.unfit = Some(unfit),
            Action::Record(decision) => self.outputs.telemetry.record_services(decision),
            Action::Stopped => self.stopped = true,
        }
    }

    /// The services ask for one thing at a time, so that there is room unless the kernel hangs; then
    /// they ask again.
    fn ask_kernel(&mut self, task: Task) {
        if self.kernel.try_send(task).is_err() {
            tracing::error!("ip_vs does not answer");
        }
    }
}

/// What a tracked file holds.
fn told_number(name: String, value: Option<i64>) -> Input {
    Input::File { name, value }
}

fn settings(config: &Config) -> CheckerSettings {
    CheckerSettings { tls: config.lvs.tls.clone(), scripts: config.scripts.clone() }
}

/// Whether this host's addresses decide about checks.
fn suspends(config: &Config) -> bool {
    config.virtual_servers.iter().any(|server| server.ha_suspend)
}
