//! What a next run would stumble over at its start, found while this one still serves.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::{Only, Places, config_file, leave_out, nothing_to_do, serves_nothing};
use crate::check::{self, UNUSABLE};
use crate::compat::as_meshd;
use crate::mesh;

/// How long a program may take to judge a configuration.
const JUDGED_WITHIN: Duration = Duration::from_secs(8);

/// What a next run is started with.
#[derive(Clone, Debug, Default)]
pub struct NextRun {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--config-id`.
    pub config_id: Option<String>,
    /// `--only`.
    pub only: Option<Only>,
    /// `--state-dir`.
    pub state_dir: PathBuf,
}

impl NextRun {
    pub(super) fn of(places: &Places) -> NextRun {
        let Places { config, config_id, only, state_dir, .. } = places;
        NextRun { config: config.clone(), config_id: config_id.clone(), only: *only, state_dir: state_dir.clone() }
    }

    /// Whether it could start. The program on disk may be another version, so it judges the configuration itself;
    /// without one, this one does.
    ///
    /// # Errors
    ///
    /// It could not, and why.
    pub async fn check(self, program: Option<&Path>) -> anyhow::Result<()> {
        let file = config_file(self.config.clone());
        if let (Ok(file), Some(program)) = (&file, program) {
            judge(program, file, self.config_id.as_deref()).await?;
        }
        let judged = program.is_some();
        spawn_blocking(move || self.read(file.ok().as_deref(), judged)).await.context("reading broke off")?
    }

    /// What this process can tell itself: whether there is an identity, and something to do.
    fn read(&self, file: Option<&Path>, judged: bool) -> anyhow::Result<()> {
        let unchanged = "the next run could not start, so nothing was changed";
        let member = mesh::load(&self.state_dir).context(unchanged)?;
        let Some(file) = file else {
            ensure!(member.is_some(), "{unchanged}: {}", nothing_to_do(&self.state_dir));
            return Ok(());
        };
        if !judged {
            check::load(file, self.config_id.as_deref()).context(unchanged)?;
        }
        // A keyword that only the other version knows leaves nothing to look at.
        let parsed = check::parse(file, self.config_id.as_deref()).ok().and_then(|(config, _)| config);
        if let (None, Some(mut config)) = (member, parsed) {
            leave_out(&mut config, self.only);
            ensure!(!serves_nothing(&config), "{unchanged}: {}", nothing_to_do(&self.state_dir));
        }
        Ok(())
    }
}

/// Has a program read a configuration.
async fn judge(program: &Path, file: &Path, config_id: Option<&str>) -> anyhow::Result<()> {
    let mut check = Command::from(as_meshd(program));
    check.arg("check").arg(file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    check.args(config_id.map(|id| format!("--config-id={id}")));
    let (program, file) = (program.display(), file.display());
    let judged = timeout(JUDGED_WITHIN, check.output()).await;
    let judged = judged.with_context(|| format!("{program} does not judge {file} in time, so nothing was changed"))?;
    let Output { status, stderr, .. } =
        judged.with_context(|| format!("{program} does not work, so nothing was changed"))?;
    // 4 and 5: usable, with something to say.
    if matches!(status.code(), Some(0 | 4 | 5)) {
        return Ok(());
    }
    ensure!(status.code() == Some(UNUSABLE.into()), "{program} cannot judge {file}, so nothing was changed: {status}");
    let said = String::from_utf8_lossy(&stderr);
    let errors: Vec<&str> = said.lines().filter(|line| line.contains(": error: ")).collect();
    bail!("{file} cannot be used, so nothing was changed:\n{}", errors.join("\n"))
}

#[cfg(test)]
mod tests;
