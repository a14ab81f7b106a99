//! Where meshd is, and how it is started here.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use mesh_lab::clock;

use crate::network::{Daemon, Host};

/// The kernel inside is slow, and a mesh is founded on it beside everything else.
const SOON: Duration = Duration::from_secs(30);

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

/// Starts it on a host under the host's name, with the host's `keepalived.conf` if there is one and its files there.
pub fn start(host: &Host, command: &[&str]) -> Result<Daemon> {
    let places = places(host);
    let mut arguments: Vec<&str> = command.to_vec();
    arguments.extend(["--name", &host.name]);
    arguments.extend(places.iter().map(String::as_str));
    let configuration = host.dir.join("keepalived.conf");
    let file = configuration.display().to_string();
    if configuration.exists() {
        arguments.extend(["--config", &file]);
    }
    host.start(&program()?.display().to_string(), &arguments)
}

/// Makes a mesh on a host, of it alone, and starts it there.
pub fn found(host: &Host, address: &str) -> Result<Daemon> {
    let (program, name) = (program()?, &host.name);
    host.sh(&format!("{} init --name {name} --listen {address} {}", program.display(), places(host).join(" ")))?;
    let daemon = start(host, &["run"])?;
    clock::wait_for("the first director to answer", SOON, || Ok(meshctl(host, "status").ok()))?;
    Ok(daemon)
}

/// Starts it on another host, as a member of the first one's mesh.
pub fn join(first: &Host, address: &str, host: &Host, options: &[&str]) -> Result<Daemon> {
    let said = meshctl(first, "token create")?;
    let token = said.split_whitespace().find_map(|word| word.strip_prefix("MESHD_TOKEN=")).context("no token")?;
    let file = host.dir.join("token");
    fs::write(&file, token)?;
    let file = file.display().to_string();
    start(host, &[&["join", "--seed", address, "--token-file", &file], options].concat())
}

/// What the operator's command says there.
pub fn meshctl(host: &Host, arguments: &str) -> Result<String> {
    let program = program()?.with_file_name("meshctl");
    host.sh(&format!("{} --socket {}/run/meshd.sock {arguments}", program.display(), host.dir.display()))
}

fn places(host: &Host) -> [String; 4] {
    let dir = host.dir.display();
    ["--state-dir".to_owned(), format!("{dir}/state"), "--runtime-dir".to_owned(), format!("{dir}/run")]
}
