//! What a daemon programs from a configuration, before any check has had a result: keepalived as the
//! reference, and meshd.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mesh_lab::clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::network::{PATIENCE, alone, sh};
use crate::{ipvsadm, meshd};

/// It has done what it does at its start once nothing has changed for so long.
const SETTLED: Duration = Duration::from_millis(500);

/// The services that keepalived makes from this configuration, as `ipvsadm -Sn` shows them, sorted; in a
/// network of its own, with interface `eth0` at 10.0.0.1/24.
pub fn keepalived_programs(configuration: &str) -> Result<Vec<String>> {
    programs(configuration, |file| {
        let mut command = Command::new("keepalived");
        command.args(["--dont-fork", "--log-console", "--check", "--use-file", file]);
        Ok(command)
    })
}

/// The same by meshd.
pub fn meshd_programs(configuration: &str) -> Result<Vec<String>> {
    programs(configuration, |file| {
        let mut command = Command::new(meshd::program()?);
        command.args(meshd::arguments(file, "/run/reference"));
        Ok(command)
    })
}

fn programs(configuration: &str, command: impl FnOnce(&str) -> Result<Command> + Send) -> Result<Vec<String>> {
    alone(|| {
        sh("ip link add eth0 type dummy; ip address add 10.0.0.1/24 dev eth0; ip link set eth0 up; \
            ip route add default dev eth0; ip -6 route add default dev eth0")?;
        let (file, log) = ("/run/reference.conf", "/run/reference.log");
        fs::write(file, configuration)?;
        let output = fs::File::create(log)?;
        let mut command = command(file)?;
        let child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn();
        let mut daemon = Stopped(child.with_context(|| format!("{command:?}"))?);
        let (mut before, mut since) = (Vec::new(), clock::now());
        let programmed = clock::wait_for("services that stay as they are", PATIENCE, || {
            if let Some(status) = daemon.0.try_wait()? {
                bail!("it ended: {status}");
            }
            let now = ipvsadm::sorted()?;
            if now != before {
                (before, since) = (now, clock::now());
            }
            let settled = !before.is_empty() && clock::now() - since >= SETTLED;
            Ok(settled.then(|| before.clone()))
        });
        programmed.with_context(|| fs::read_to_string(log).unwrap_or_default())
    })
}

/// Ended with the value.
struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        // Asked first, so that its children end with it.
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        if clock::wait_for("the end of a daemon", PATIENCE, || Ok(self.0.try_wait()?)).is_err() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
