//! The files that keepalived writes when a signal asks for them, in its form: existing exporters
//! and scripts read them. What they are made of comes from the engine's own thread by an [`Ask`];
//! everything else happens elsewhere, so that no disk delays a lease.

mod data;
mod file;
mod global;
mod json;
mod notify;
mod services;
mod stats;
#[cfg(test)]
mod tests;
mod words;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mesh_config::model::{Config, Process};
use mesh_control::Service;
use mesh_core::Dump;
use tokio::sync::{mpsc, oneshot};

use crate::on_demand::Asker;

/// How long the engine, and the services, may take for an answer; it takes microseconds.
const ANSWER: Duration = Duration::from_secs(2);

/// Somebody wants to know all that the engine knows of its routers.
#[derive(Debug)]
pub struct Ask {
    /// The answer goes here.
    pub answer: oneshot::Sender<Dump>,
    /// Counters begin at zero afterwards.
    pub clear: bool,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// SIGUSR1: configuration and state.
    Data,
    /// SIGUSR2: counters.
    Stats,
    /// SIGRTMAX-1: the same, and counters begin at zero.
    StatsClear,
    /// SIGRTMIN+2: state and counters as JSON.
    Json,
}

/// Whom to ask.
pub struct Dumps {
    asks: mpsc::Sender<Ask>,
    services: Asker<Vec<Service>>,
}

impl Dumps {
    /// Asks the engine by `asks`.
    pub fn new(asks: mpsc::Sender<Ask>, services: Asker<Vec<Service>>) -> Dumps {
        Dumps { asks, services }
    }

    /// Writes what is wanted, on a thread where nothing else waits; how it ended is logged.
    pub fn write(&self, wanted: Wanted, config: Arc<Config>) {
        let (asks, services) = (self.asks.clone(), self.services.clone());
        tokio::spawn(async move {
            let written = async {
                let (answer, answered) = oneshot::channel();
                let ask = Ask { answer, clear: wanted == Wanted::StatsClear };
                let asked = async {
                    asks.send(ask).await.ok().context("the engine is gone")?;
                    answered.await.context("the engine is gone")
                };
                let dump = tokio::time::timeout(ANSWER, asked).await.context("the engine does not answer")??;
                let services = services.ask(ANSWER).await.unwrap_or_else(|silence| silence.last);
                tokio::task::spawn_blocking(move || write(wanted, &config, &dump, &services)).await?
            };
            match written.await {
                Ok(()) => tracing::info!(?wanted, "dumped"),
                Err(error) => tracing::error!(?wanted, "not dumped: {error:#}"),
            }
        });
    }
}

fn write(wanted: Wanted, config: &Config, dump: &Dump, services: &[Service]) -> anyhow::Result<()> {
    let names = Names(&config.process);
    let mode = 0o666 & !config.process.umask.unwrap_or(0o177);
    let put = |path: PathBuf, text: String| {
        file::replace(&path, mode, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
    };
    match wanted {
        Wanted::Data => {
            if !config.virtual_servers.is_empty() {
                put(names.state("_check"), services::text(config, services))?;
            }
            put(names.state("_parent"), global::text(config))?;
            put(names.state(""), data::text(config, dump))
        }
        Wanted::Stats | Wanted::StatsClear => put(names.stats(), stats::text(dump)),
        Wanted::Json => put(names.json(), json::text(config, dump)?),
    }
}

/// Puts a file there, whole or not at all, without following a link.
pub(crate) use file::replace as replace_file;

/// Where files are.
struct Names<'c>(&'c Process);

impl Names<'_> {
    /// Of a process of keepalived's.
    fn state(&self, of: &str) -> PathBuf {
        let (directory, stem, suffix) = match &self.0.dumps.state {
            Some(path) => (path.parent(), path.file_stem(), path.extension()),
            None => (None, None, None),
        };
        let stem = stem.map_or("keepalived".into(), |s| s.to_string_lossy());
        let suffix = suffix.map_or("data".into(), |s| s.to_string_lossy());
        let name = format!("{stem}{of}{}.{suffix}", self.instance());
        directory.unwrap_or(Path::new("/tmp")).join(name)
    }

    fn stats(&self) -> PathBuf {
        self.0.dumps.stats.clone().unwrap_or_else(|| "/tmp/keepalived.stats".into())
    }

    fn json(&self) -> PathBuf {
        self.0.dumps.json.clone().unwrap_or_else(|| "/tmp/keepalived.json".into())
    }

    /// Of several daemons on one host.
    fn instance(&self) -> String {
        let Process { instance, net_namespace, dumps, .. } = self.0;
        let parts = [net_namespace, instance].into_iter().flatten().filter(|_| dumps.use_instance);
        parts.map(|part| format!(".{part}")).collect()
    }
}
