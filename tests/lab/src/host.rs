//! A host of the lab: a network namespace, and the processes started in it.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::clock;
use crate::lab::Lifetime;

/// A host: a network namespace with an `eth0`, and a directory for its files.
#[derive(Debug, Clone)]
pub struct Host {
    /// Short name, also the name of its port on the bridge.
    pub name: String,
    /// Name of its namespace, for `ip netns exec`.
    pub netns: String,
    /// IPv4 address of `eth0`, a /24.
    pub address: std::net::Ipv4Addr,
    /// Hardware address of `eth0`.
    pub mac: pnet_base::MacAddr,
    /// Its files: configuration, state, logs.
    pub dir: PathBuf,
    pub(crate) lifetime: Lifetime,
}

impl Host {
    /// Runs a command to its end and gives what it wrote; an exit code other than 0 is an error with its stderr.
    pub fn run(&self, command: &[&str]) -> Result<String> {
        let output = self.output(command)?;
        if !output.status.success() {
            bail!(
                "{} on {}: {}: {}",
                command.join(" "),
                self.name,
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs a command to its end, whatever its exit code.
    pub fn output(&self, command: &[&str]) -> Result<Output> {
        self.command(command, Lifetime::Lab).output().with_context(|| format!("run {} on {}", command[0], self.name))
    }

    /// Starts a process that writes to `LOG.log` in the host's directory; it is killed when the value is dropped,
    /// except in a lab that is kept.
    pub fn spawn(&self, log: &str, command: &[&str]) -> Result<Process> {
        let path = self.dir.join(format!("{log}.log"));
        let file = File::options().create(true).append(true).open(&path).with_context(|| path.display().to_string())?;
        let child = self
            .command(command, self.lifetime)
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {} on {}", command[0], self.name))?;
        Ok(Process { child, what: format!("{} on {}", command[0], self.name), log: path, keep: self.lifetime.kept() })
    }

    /// Moves the calling thread into the host's network; it can not come back, so this is for threads made for it.
    pub fn enter(&self) -> Result<()> {
        enter(&self.netns)
    }

    /// Whether `address` is on one of its interfaces now.
    pub fn has_address(&self, address: &str) -> Result<bool> {
        let listed = self.run(&["ip", "-o", "addr", "show"])?;
        Ok(listed.split_whitespace().any(|word| word.split('/').next() == Some(address)))
    }

    // Through setpriv, so that the process dies with this one even if this one is killed; and in a process group of its
    // own, so that Ctrl-C on a terminal reaches only whoever asked for the lab.
    fn command(&self, command: &[&str], lifetime: Lifetime) -> Command {
        let mut full = if lifetime.kept() {
            Command::new("ip")
        } else {
            let mut setpriv = Command::new("setpriv");
            setpriv.args(["--pdeathsig", "KILL", "ip"]);
            setpriv
        };
        full.args(["netns", "exec", &self.netns]).args(command).stdin(Stdio::null()).process_group(0);
        full
    }
}

/// A process of a host.
#[derive(Debug)]
pub struct Process {
    child: Child,
    what: String,
    log: PathBuf,
    keep: bool,
}

impl Process {
    /// Where it writes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails with the end of its log if it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}; its last words:\n{}", self.what, self.last_words()),
        }
    }

    /// Sends a signal to the daemon alone: what an operator or a service manager does.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill(Pid::from_raw(self.child.id() as i32), signal).with_context(|| format!("{signal} to {}", self.what))
    }

    /// Sends a signal to it and all its descendants, as if to all at once: none of them sees another one die.
    /// keepalived's children send a last advert when their parent dies, and meshd's guard acts when its child does,
    /// which would turn a crash of everything into an orderly stop.
    pub fn signal_tree(&self, signal: Signal) -> Result<()> {
        let tree = self.tree()?;
        if signal == Signal::SIGKILL {
            // Parents first, so that nobody can act on what follows.
            tree.iter().try_for_each(|pid| self.send(*pid, Signal::SIGSTOP))?;
        }
        tree.into_iter().rev().try_for_each(|pid| self.send(pid, signal))
    }

    /// The process it started that has this word among its arguments, if there is one.
    pub fn child_with(&self, argument: &str) -> Result<Option<u32>> {
        let is_it = |pid: &u32| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            arguments.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())
        };
        Ok(self.tree()?.into_iter().skip(1).find(is_it))
    }

    /// It and its descendants, parents before children.
    pub fn tree(&self) -> Result<Vec<u32>> {
        let mut tree = vec![self.child.id()];
        let parents = parents()?;
        let mut next = 0;
        while let Some(&parent) = tree.get(next) {
            tree.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        Ok(tree)
    }

    fn send(&self, pid: u32, signal: Signal) -> Result<()> {
        match kill(Pid::from_raw(pid as i32), signal) {
            // A child may end by itself meanwhile; the process itself can not, before it is waited for.
            Err(nix::errno::Errno::ESRCH) if pid != self.child.id() => Ok(()),
            result => result.with_context(|| format!("{signal} to {}", self.what)),
        }
    }

    /// Waits until it has ended.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("end of {}", self.what);
        clock::wait_for(&what, limit, || self.ended())
    }

    /// The end of its log.
    pub fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Ok(None) = self.child.try_wait() {
            // It ends within moments or it is stuck in the kernel, and then nothing here can help.
            let _ = self.signal_tree(Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// Moves the calling thread into the network `netns`, for good.
pub(crate) fn enter(netns: &str) -> Result<()> {
    let path = Path::new("/run/netns").join(netns);
    let file = File::open(&path).with_context(|| path.display().to_string())?;
    setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("enter the network {netns}"))
}

/// Kills everything that lives in the network `netns`; gives how many processes that were.
pub(crate) fn kill_all_in(netns: &str) -> Result<usize> {
    let wanted = fs::metadata(Path::new("/run/netns").join(netns))?.ino();
    let mut killed = 0;
    for pid in pids()? {
        // Processes come and go while this runs; one that is gone needs no kill.
        let Ok(found) = fs::metadata(format!("/proc/{pid}/ns/net")) else { continue };
        if found.ino() == wanted && pid != std::process::id() {
            killed += usize::from(kill(Pid::from_raw(pid as i32), Signal::SIGKILL).is_ok());
        }
    }
    Ok(killed)
}

fn pids() -> Result<Vec<u32>> {
    let entries = fs::read_dir("/proc").context("list /proc")?;
    Ok(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

// (pid, parent) of every process. /proc/PID/task/TID/children would be shorter but is a kernel option.
fn parents() -> Result<Vec<(u32, u32)>> {
    let parent = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may itself hold spaces and parentheses.
        let after_name = stat.rsplit_once(')')?.1;
        Some((pid, after_name.split_whitespace().nth(1)?.parse().ok()?))
    };
    Ok(pids()?.into_iter().filter_map(parent).collect())
}
