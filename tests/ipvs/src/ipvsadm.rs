//! What `ipvsadm` sees and does: the outside judge.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The services of this network namespace as commands that would make them, `ipvsadm -Sn`, in its order.
pub fn save() -> Result<Vec<String>> {
    Ok(ipvsadm(&["-S", "-n"])?.lines().map(|line| line.trim_end().to_owned()).collect())
}

/// The same, sorted: ipvsadm shows services in the order of the kernel's hash table.
pub fn sorted() -> Result<Vec<String>> {
    let mut lines = save()?;
    lines.sort();
    Ok(lines)
}

/// Makes services from such commands, `ipvsadm -R`.
pub fn restore(commands: &str) -> Result<()> {
    let mut child = Command::new("ipvsadm").arg("-R").stdin(Stdio::piped()).spawn().context("run ipvsadm")?;
    child.stdin.take().context("no pipe")?.write_all(commands.as_bytes())?;
    let status = child.wait()?;
    if !status.success() {
        bail!("ipvsadm -R: {status}");
    }
    Ok(())
}

/// Runs ipvsadm and gives what it wrote.
pub fn ipvsadm(arguments: &[&str]) -> Result<String> {
    let output = Command::new("ipvsadm").args(arguments).output().context("run ipvsadm (package ipvsadm)")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("ipvsadm {}: {}: {}", arguments.join(" "), output.status, text.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
