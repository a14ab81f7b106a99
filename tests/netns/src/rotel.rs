//! A real OpenTelemetry collector, from Python's package index: what meshd sends is read by somebody else's program.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use mesh_lab::cluster::binary;
use mesh_lab::{JUDGE, Lab, Process};

const PACKAGE: &str = "rotel==0.0.1a15";
/// Where it listens, on the judge's host.
pub const ENDPOINT: &str = "10.1.1.51:4317";

/// Starts it; the spans it takes are in its log, which this returns, too.
pub fn start(lab: &Lab) -> Result<(Process, PathBuf)> {
    let host = lab.host(JUDGE);
    let (program, pid_file) = (install()?, host.dir.join("rotel.pid"));
    let args = [
        path(&program)?,
        "start",
        "--pid-file",
        path(&pid_file)?,
        "--otlp-grpc-endpoint",
        ENDPOINT,
        "--otlp-http-endpoint",
        "127.0.0.1:4318",
        "--exporter",
        "blackhole",
        "--debug-log",
        "traces",
        "--debug-log-verbosity",
        "detailed",
    ];
    Ok((host.spawn("rotel", &args)?, host.dir.join("rotel.log")))
}

/// The program, under the target directory. What is not to be had is an error, never a test that did not run.
fn install() -> Result<PathBuf> {
    let target = binary("meshd")?;
    let dir = target.parent().and_then(Path::parent).context("no target directory")?.join("rotel");
    let agent = dir.join("rotel/rotel-agent");
    if !agent.exists() {
        let mut pip = Command::new("python3");
        // A program that needs no Python: which version's package it comes from does not matter.
        pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--python-version=3.11", "--only-binary=:all:"]);
        let installed = pip.arg("--target").arg(&dir).arg(PACKAGE).output();
        let installed = installed.context("python3 is needed to install the collector of this test")?;
        let why = String::from_utf8_lossy(&installed.stderr);
        ensure!(installed.status.success() && agent.exists(), "{PACKAGE} cannot be installed by pip: {why}");
    }
    Ok(agent)
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is no UTF-8", path.display()))
}
