//! ip_vs on a thread of its own: what it is asked blocks while the kernel works.

use anyhow::Context;
use mesh_core::ipvs::Change;
use mesh_core::services::Input;
use mesh_core::services::input::Kernel as Held;
use tokio::sync::mpsc;

use crate::clock;
use crate::compat;
use crate::kernel::ipvs::{Ipvs, IpvsError};
use crate::telemetry::Telemetry;

/// What may wait for the kernel; the services ask for one thing at a time.
const QUEUE: usize = 16;

/// One thing to do.
pub(super) enum Task {
    /// Tell what ip_vs holds.
    Read,
    /// Change it.
    Apply(Vec<Change>),
}

/// Starts the thread; it ends when the sender is dropped. Each task has one answer. The ip_vs is that of a network
/// namespace, by default that of the daemon's.
///
/// # Errors
///
/// The system has no room for another thread.
pub(super) fn start(
    answers: mpsc::Sender<Input>,
    telemetry: Telemetry,
    namespace: Option<String>,
) -> anyhow::Result<mpsc::Sender<Task>> {
    let (tasks, mut queue) = mpsc::channel(QUEUE);
    let thread = std::thread::Builder::new().name("meshd-ipvs".to_owned());
    let run = move || {
        let mut kernel = Kernel { namespace, ipvs: None };
        while let Some(task) = queue.blocking_recv() {
            let answer = match task {
                Task::Read => Input::Kernel(kernel.read().map_err(|error| error.to_string())),
                Task::Apply(changes) => {
                    let (begin, count) = (clock::now(), changes.len());
                    let failed = kernel.apply(changes);
                    telemetry.ip_vs_changed(begin, count, failed.len());
                    Input::Applied { failed }
                }
            };
            if answers.blocking_send(answer).is_err() {
                break;
            }
        }
    };
    thread.spawn(run).context("cannot start the thread meshd-ipvs")?;
    Ok(tasks)
}

struct Kernel {
    /// `net_namespace_ipvs`. This thread enters it alone, and stays.
    namespace: Option<String>,
    /// Opened when it is needed first, and again after a failure.
    ipvs: Option<Ipvs>,
}

impl Kernel {
    fn with<T>(&mut self, act: impl FnOnce(&mut Ipvs) -> Result<T, IpvsError>) -> Result<T, IpvsError> {
        let ipvs = match &mut self.ipvs {
            Some(ipvs) => ipvs,
            closed => {
                if let Some(namespace) = &self.namespace {
                    compat::enter(namespace).map_err(|error| IpvsError::Namespace(format!("{error:#}")))?;
                }
                closed.insert(Ipvs::open()?)
            }
        };
        let result = act(ipvs);
        if result.is_err() {
            self.ipvs = None;
        }
        result
    }

    fn read(&mut self) -> Result<Held, IpvsError> {
        self.with(|ipvs| Ok(Held { table: ipvs.table()?, timeouts: ipvs.timeouts()?, sync: ipvs.sync_daemons()? }))
    }

    /// What failed, and why.
    fn apply(&mut self, changes: Vec<Change>) -> Vec<(Change, String)> {
        match self.with(|ipvs| ipvs.apply(&changes)) {
            Ok(results) => {
                let failed = changes.into_iter().zip(results);
                failed.filter_map(|(change, result)| Some((change, result.err()?.to_string()))).collect()
            }
            Err(error) => {
                let text = error.to_string();
                changes.into_iter().map(|change| (change, text.clone())).collect()
            }
        }
    }
}
