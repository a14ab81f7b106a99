//! The daemon's side of the guard: who its parent is, and what happened before.

use std::path::PathBuf;

use anyhow::{Context, bail};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use serde::{Deserialize, Serialize};

/// Where a guard tells its daemon about itself. It holds no secret.
pub(super) const VARIABLE: &str = "MESHD_GUARD";

/// What a guard tells its daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The guard's process id.
    pub pid: u32,
    /// How often it started the daemon again after it had died.
    pub restarts: u64,
    /// How the daemon died last, in words.
    pub last_death: Option<String>,
    /// What it starts.
    pub program: PathBuf,
}

impl Link {
    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).expect("paths of programs are text")
    }
}

/// For the daemon, before it starts any thread: binds its life to the guard's, and takes signals
/// again. `None` where it has no guard.
///
/// # Errors
///
/// The guard died meanwhile: nothing has begun that could be handed over.
pub fn attach() -> anyhow::Result<Option<Link>> {
    let Some(text) = std::env::var_os(VARIABLE) else { return Ok(None) };
    let text = text.to_str().with_context(|| format!("{VARIABLE} is no text"))?;
    let link: Link = serde_json::from_str(text).with_context(|| format!("{VARIABLE} is not what a guard sets"))?;
    // An orderly stop, should the guard die.
    prctl::set_pdeathsig(Signal::SIGTERM).context("cannot ask to be told of the guard's death")?;
    // It may have died before that.
    if getppid().as_raw() != link.pid as i32 {
        bail!("the guard (process {}) that was to watch over this daemon is not its parent", link.pid);
    }
    super::watched().thread_unblock().context("cannot take signals")?;
    Ok(Some(link))
}

/// For the daemon: from now on it serves, and its death is the guard's business.
pub fn tell_ready() {
    // The other end of standard input is the guard's. It is not there only when the guard died, and
    // that is noticed elsewhere.
    let _ = nix::unistd::write(std::io::stdin(), b"R");
}
