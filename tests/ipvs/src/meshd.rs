//! Where meshd is, and how it is started here.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// The daemon: cargo puts it beside the directory of the tests.
pub fn program() -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let meshd = this.parent().and_then(|dir| dir.parent()).context("this program is in no directory")?.join("meshd");
    ensure!(meshd.exists(), "{} is missing: cargo build -p meshd", meshd.display());
    Ok(meshd)
}

/// What to start it with: without a mesh, with this configuration and its files in this directory.
pub fn arguments(configuration: &str, dir: &str) -> Vec<String> {
    let (state, runtime) = (format!("{dir}/state"), format!("{dir}/run"));
    let arguments = ["run", "--config", configuration, "--state-dir", &state, "--runtime-dir", &runtime];
    arguments.map(str::to_owned).into()
}
