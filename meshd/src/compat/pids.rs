//! PID files, as keepalived names them.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::bail;
use mesh_config::model::Process;

use super::options::Options;

/// The guard's own file, and those with the daemon's number in them.
#[derive(Debug, PartialEq, Eq)]
pub struct PidFiles {
    parent: PathBuf,
    vrrp: PathBuf,
    checkers: PathBuf,
    /// They are this process's; before that, perhaps another daemon's.
    written: Cell<bool>,
}

impl PidFiles {
    pub(super) fn new(options: &Options, process: &Process, namespace: Option<&str>) -> PidFiles {
        let apart = process.instance.is_some() || namespace.is_some() || process.use_pid_dir;
        let directory = if apart { "/run/keepalived" } else { "/run" };
        let parts = [namespace, process.instance.as_deref()];
        let suffix: String = parts.into_iter().flatten().map(|part| format!("_{part}")).collect();
        let file = |named: &Option<PathBuf>, name| {
            let own = || PathBuf::from(format!("{directory}/{name}{suffix}.pid"));
            // The background's directory is another one.
            named.as_ref().map_or_else(own, |named| std::path::absolute(named).unwrap_or_else(|_| named.clone()))
        };
        PidFiles {
            parent: file(&options.pid, "keepalived"),
            vrrp: file(&options.vrrp_pid, "vrrp"),
            checkers: file(&options.checkers_pid, "checkers"),
            written: Cell::new(false),
        }
    }

    /// Refuses to be the second one.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let Ok(text) = fs::read_to_string(&self.parent) else { return Ok(()) };
        let Ok(pid) = text.trim().parse::<u32>() else { return Ok(()) };
        let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if pid != std::process::id() && matches!(name.trim(), "keepalived" | "meshd") {
            bail!("daemon is already running (process {pid}, in {})", self.parent.display());
        }
        Ok(())
    }

    /// This process is the parent.
    pub(crate) fn write_parent(&self) {
        self.written.set(true);
        write(&self.parent, std::process::id());
    }

    /// The daemon has this number now; keepalived would have one process for each of the two.
    pub(crate) fn write_daemon(&self, pid: u32) {
        write(&self.vrrp, pid);
        write(&self.checkers, pid);
    }
}

impl Drop for PidFiles {
    fn drop(&mut self) {
        if !self.written.get() {
            return;
        }
        for path in [&self.parent, &self.vrrp, &self.checkers] {
            // One that was never written is not there.
            let _ = fs::remove_file(path);
        }
    }
}

/// A file that cannot be written is no reason not to serve.
fn write(path: &Path, pid: u32) {
    let written = || -> io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        crate::dump::replace_file(path, 0o644, format!("{pid}\n").as_bytes())
    };
    if let Err(error) = written() {
        tracing::error!(%error, "cannot write the PID file {}", path.display());
    }
}
