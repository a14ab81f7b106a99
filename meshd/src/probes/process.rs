//! Scripts as processes: how they are started, as whom, and how all they started is ended.
//!
//! - A script gets a process group of its own, `/dev/null` for input and output, `/` as working directory and
//!   the daemon's environment, as with keepalived (HOME as well, whoever it runs as), but for what is for the daemon
//!   alone: see [`is_own`]. (keepalived hands on its own working directory, too.)
//! - It runs as its own `user`, else as `script_user`, else as `keepalived_script` where that user exists, else
//!   as root; without supplementary groups, unless `set_supplementary_groups` asks for them. A daemon that is not
//!   root runs scripts as itself.
//! - It has the limit of open files the daemon was started with, not the one it raised for itself; none of its
//!   descriptors (all are closed by exec), and no signal blocked.

use std::ffi::OsStr;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use mesh_config::model::ScriptSecurity;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::timeout;

pub(crate) use account::{Account, account, owner};
pub(super) use programs::Programs;

mod account;
mod child;
mod programs;
pub(crate) mod security;
#[cfg(test)]
mod tests;

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_millis(500);
/// What variables begin with that are for the daemon alone. A token and the headers of telemetry are secrets, and a
/// script runs as somebody else; with the guard's link, the sockets and the watchdog of systemd it could be taken for
/// the daemon.
const OWN: [&str; 6] = ["MESHD_", "MESHCTL_", "OTEL_", "NOTIFY_SOCKET", "LISTEN_", "WATCHDOG_"];
/// `PATH` where the daemon has none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts a program; why it cannot be, in words, where it cannot. Where security is asked for, root runs nothing that
/// others can write.
pub(super) fn start(command: &[String], account: &Account, security: &ScriptSecurity) -> Result<Group, String> {
    let (program, arguments) = command.split_first().ok_or("it has no command")?;
    let file = if security.enable && account.is_root() {
        let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
        security::only_root_writes(program, &path, security.symlink_paths)?
    } else {
        program.into()
    };
    let mut command = Command::new(file);
    command.arg0(program).env_clear().env("PATH", DEFAULT_PATH);
    command.envs(std::env::vars_os().filter(|(name, _)| !is_own(name)));
    command.args(arguments).current_dir("/").process_group(0).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    child::prepare(&mut command, account);
    Group::new(command.spawn()).map_err(|error| format!("{program}: {error}"))
}

/// Whether a variable is for the daemon alone.
fn is_own(name: &OsStr) -> bool {
    OWN.iter().any(|own| name.as_encoded_bytes().starts_with(own.as_bytes()))
}

/// A started script and what it started in turn: a process group, killed when dropped before its end.
#[derive(Debug)]
pub(super) struct Group {
    child: Child,
    /// The group's id, until the script has ended.
    id: Option<Pid>,
}

impl Group {
    fn new(child: io::Result<Child>) -> io::Result<Group> {
        let child = child?;
        let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Group { child, id })
    }

    /// Waits for the script itself. What it left in the background is its own affair.
    pub(super) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.id = None;
        status
    }

    /// Ends the script and all that is left of its group.
    pub(super) async fn end(&mut self) {
        self.signal(Signal::SIGTERM);
        // An error means that it is gone already, which is what is wanted.
        let _ = timeout(GRACE, self.child.wait()).await;
        // The number cannot belong to another group yet: that takes a whole turn of the kernel's counter.
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait().await;
        self.id = None;
    }

    /// Nobody waits for it any more, and nothing ends it.
    pub(crate) fn leave(self) {
        // What its drop would do is just what is not wanted; the process ends soon.
        std::mem::forget(self);
    }

    fn signal(&self, signal: Signal) {
        if let Some(id) = self.id {
            // ESRCH: all of them have ended.
            let _ = killpg(id, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}
