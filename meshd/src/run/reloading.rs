//! What a running daemon is told by signals, or by the clock: to read its configuration again, and to write
//! what it knows into files.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use mesh_config::model::{Config, ScriptSecurity};
use mesh_control::{ConfigRefused, ReloadReply};
use mesh_core::Input;
use tokio::sync::{mpsc, watch};

use self::at_start::AtStart;
use super::reload_file::ReloadFile;
use super::reload_time::ReloadTime;
use super::{Places, config_file, load_config, saved};
use crate::bfd::BfdThread;
use crate::dump::{Dumps, Wanted};
use crate::probes::notify::NotifySettings;
use crate::probes::notify::teller::Teller;
use crate::services::ServicesThread;
use crate::telemetry::{Life, Telemetry};

mod at_start;

/// How long a configuration read again waits for room in the queue: nothing else is noticed meanwhile.
const TAKEN_WITHIN: Duration = Duration::from_secs(1);

/// What signals other than those for the end need.
pub(super) struct Reloading<'a> {
    places: &'a Places,
    inputs: &'a mpsc::Sender<Input>,
    directs: bool,
    teller: Option<Teller>,
    /// Whom tracked scripts run as, for when the engine has them run.
    secure: watch::Sender<ScriptSecurity>,
    dumps: Dumps,
    telemetry: Telemetry,
    /// Shown until a reload succeeds.
    refused: watch::Sender<Option<ConfigRefused>>,
    /// How long is waited for room in the queue of either.
    patience: Duration,
    at_start: AtStart,
    /// What engine and services go by.
    pub(super) config: Arc<Config>,
    /// `reload_time_file`, where there is one.
    time: Option<ReloadTime>,
}

impl<'a> Reloading<'a> {
    /// `directs` tells whether there is anything to serve, and then the teller whom. What comes of reloads is told by
    /// the telemetry, and a configuration that cannot be used is shown.
    pub(super) fn new(
        places: &'a Places,
        inputs: &'a mpsc::Sender<Input>,
        (directs, teller): (bool, Option<Teller>),
        secure: watch::Sender<ScriptSecurity>,
        dumps: Dumps,
        (telemetry, refused): (Telemetry, watch::Sender<Option<ConfigRefused>>),
        config: Config,
    ) -> Self {
        Reloading {
            places,
            inputs,
            directs,
            teller,
            secure,
            dumps,
            telemetry,
            refused,
            patience: TAKEN_WITHIN,
            at_start: AtStart::of(&config),
            time: time_file(&config),
            config: Arc::new(config),
        }
    }

    pub(super) fn dump(&self, wanted: Wanted) {
        self.dumps.write(wanted, Arc::clone(&self.config));
    }

    /// Resolves when the `reload_time_file` says so.
    pub(super) async fn due(&mut self) {
        match &mut self.time {
            Some(time) => time.due().await,
            None => std::future::pending().await,
        }
    }

    /// What it says has come.
    pub(super) async fn reload_in_time(&mut self, services: Option<&ServicesThread>, bfd: Option<&BfdThread>) {
        if let Some(time) = &mut self.time {
            time.done();
        }
        let _told = self.reload(services, bfd).await;
    }

    /// SIGHUP, or `meshctl reload`: a file that cannot be used leaves everything as it is, and is told wherever one
    /// looks until another reload finds it better.
    ///
    /// # Errors
    ///
    /// Why it cannot be used.
    pub(super) async fn reload(
        &mut self,
        services: Option<&ServicesThread>,
        bfd: Option<&BfdThread>,
    ) -> Result<ReloadReply, String> {
        let read = self.read_again(services, bfd).await.map_err(|error| format!("{error:#}"));
        let refused = read.as_ref().err().map(|error| ConfigRefused {
            at: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            errors: error.lines().map(str::to_owned).collect(),
        });
        self.telemetry.record_life(match &read {
            Ok(reply) => Life::ConfigurationRead { summary: reply.summary.clone() },
            Err(error) => Life::ConfigurationRefused { error: error.clone() },
        });
        self.refused.send_replace(refused);
        read
    }

    async fn read_again(
        &mut self,
        services: Option<&ServicesThread>,
        bfd: Option<&BfdThread>,
    ) -> anyhow::Result<ReloadReply> {
        let process = &self.config.process;
        let reading = process.reload_file.as_deref().and_then(ReloadFile::new);
        let file = config_file(self.places.config.clone());
        if file.is_err() && !self.directs {
            return Ok(ReloadReply { findings: Vec::new(), summary: "there is none, and none is needed".to_owned() });
        }
        if let (Some(directory), Ok(file)) = (&process.save_directory, &file) {
            saved::keep(directory, file);
        }
        let read = file.and_then(|file| Ok((load_config(self.places, &file)?, file)));
        drop(reading);
        if let Some(log) = &process.reload_log {
            saved::tell(log, read.as_ref().map(|((_, report, _), _)| report));
        }
        let ((config, report, summary), file) = read?;
        // Witnesses and servers serve none anyway.
        let nothing = super::serves_nothing(&config) && self.directs;
        ensure!(!nothing, "nothing to serve is left in it; stop meshd to serve nothing");
        let waits = self.at_start.differs_from(&config);
        self.hand_on(services, bfd, config).await?;
        let mut findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
        if let Some(waits) = waits {
            tracing::warn!("{waits}");
            findings.push(waits);
        }
        Ok(ReloadReply { findings, summary: format!("{}: {summary}", file.display()) })
    }

    /// Engine and services take over a configuration, or neither does: nothing is sent before there is
    /// room for it in both queues.
    async fn hand_on(
        &mut self,
        services: Option<&ServicesThread>,
        bfd: Option<&BfdThread>,
        config: Config,
    ) -> anyhow::Result<()> {
        let namespaces =
            |config: &Config| (config.process.net_namespace.clone(), config.process.ipvs_namespace.clone());
        let same = namespaces(&config) == namespaces(&self.config);
        ensure!(same, "another net_namespace or net_namespace_ipvs takes a restart");
        let engine = tokio::time::timeout(self.patience, self.inputs.reserve());
        let engine = engine.await.ok().and_then(Result::ok).context("the engine takes nothing")?;
        let services = match services {
            Some(services) => Some(services.room(self.patience).await?),
            None => None,
        };
        if let Some(teller) = &self.teller {
            let taken = teller.set(NotifySettings::of(&config)).await;
            ensure!(taken, "the thread of the notifications takes nothing");
        }
        self.secure.send_replace(config.scripts.clone());
        bfd.inspect(|bfd| bfd.configure(config.bfd_instances.clone()));
        if let Some(services) = services {
            services.send(mesh_core::services::Input::Configure(Box::new(config.clone())));
        }
        engine.send(Input::Configure(Box::new(config.clone())));
        if time_of(&config) != time_of(&self.config) {
            self.time = time_file(&config);
        }
        self.config = Arc::new(config);
        Ok(())
    }
}

/// What `due` goes by.
fn time_of(config: &Config) -> (Option<&Path>, bool) {
    (config.process.reload_time_file.as_deref(), config.process.reload_repeat)
}

fn time_file(config: &Config) -> Option<ReloadTime> {
    let (path, repeat) = time_of(config);
    path.map(|path| ReloadTime::new(path, repeat))
}

#[cfg(test)]
mod tests;
