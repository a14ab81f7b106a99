//! Process 1 in User-mode Linux: makes the place habitable, runs one program, and switches off.
//!
//! The root is the host's, read-only. What is written goes to `/run` and `/tmp`, which are in memory, and to
//! `/run/host`, the directory shared with the host: there is what to run, and there its exit status goes.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result, ensure};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::{Pid, sync};

const SHARED: &str = "/run/host";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn main() {
    if std::process::id() != 1 {
        eprintln!("this is process 1 of User-mode Linux, started by the tests of mesh-ipvs");
        std::process::exit(2);
    }
    if let Err(error) = live() {
        println!("init: {error:#}");
    }
    sync();
    let error = reboot(RebootMode::RB_POWER_OFF).expect_err("the machine is off");
    println!("init: cannot switch off: {error}");
}

fn live() -> Result<()> {
    furnish()?;
    let words = fs::read_to_string(format!("{SHARED}/program")).context("what to run")?;
    let mut words = words.lines();
    let program = words.next().context("nothing to run")?;
    let status = run(Command::new(program).args(words).env("MESH_UML", "1"))?;
    fs::write(format!("{SHARED}/status"), status.to_string()).context("write the exit status")
}

fn furnish() -> Result<()> {
    put("proc", "/proc", "proc", "")?;
    put("sysfs", "/sys", "sysfs", "")?;
    put("tmpfs", "/run", "tmpfs", "mode=755")?;
    // Programs write their logs and state there.
    put("tmpfs", "/var/log", "tmpfs", "mode=755")?;
    put("tmpfs", "/var/lib", "tmpfs", "mode=755")?;
    fs::create_dir_all(SHARED)?;
    let shared = std::env::var("shared").context("no directory is shared")?;
    put("none", SHARED, "hostfs", &shared)?;
    for (name, target) in [("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")] {
        symlink(format!("/proc/self/fd{target}"), format!("/dev/{name}")).or_else(there_already)?;
    }
    modules()
}

fn put(source: &str, target: &str, kind: &str, options: &str) -> Result<()> {
    let flags = MsFlags::empty();
    mount(Some(source), target, Some(kind), flags, Some(options)).with_context(|| format!("mount {kind} on {target}"))
}

fn there_already(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::AlreadyExists { Ok(()) } else { Err(error) }
}

/// Debian keeps the modules of this kernel where nobody looks for them.
fn modules() -> Result<()> {
    let version = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let version = version.trim();
    let modules = format!("/usr/lib/uml/modules/{version}");
    ensure!(Path::new(&modules).join("modules.dep").exists(), "{modules} has no modules.dep");
    for dir in ["/run/modules/lib/modules", "/run/modules/usr/lib/modules"] {
        fs::create_dir_all(dir)?;
        symlink(&modules, format!("{dir}/{version}"))?;
    }
    let loader = "/run/modules/modprobe";
    fs::write(loader, format!("#!/bin/sh\nPATH={PATH} exec modprobe -d /run/modules \"$@\"\n"))?;
    fs::set_permissions(loader, fs::Permissions::from_mode(0o755))?;
    // The kernel asks this program for what it misses; ipvsadm and keepalived ask the same one.
    fs::write("/proc/sys/kernel/modprobe", loader).context("name the module loader")?;
    // Hosts have IPv6 from their start.
    let status = Command::new(loader).arg("ipv6").status().context("load ipv6 (package kmod)")?;
    ensure!(status.success(), "load ipv6: {status}");
    Ok(())
}

/// Runs it to its end. Whatever else ends meanwhile was left to process 1 by its parent.
fn run(command: &mut Command) -> Result<ExitStatus> {
    // Not all that is in /tmp outside; and what is, the tests' own binary perhaps, stays reachable.
    fs::create_dir_all("/run/tmp")?;
    let child = command
        .env("PATH", PATH)
        .env("HOME", "/run/tmp")
        .env("TMPDIR", "/run/tmp")
        .env("RUST_BACKTRACE", "0")
        .env_remove("shared")
        .stdin(File::open("/dev/null")?)
        .spawn()
        .with_context(|| format!("run {command:?}"))?;
    let child = Pid::from_raw(child.id() as i32);
    loop {
        match wait().context("wait for the program")? {
            WaitStatus::Exited(pid, code) if pid == child => return Ok(ExitStatus::from_raw(code << 8)),
            WaitStatus::Signaled(pid, signal, _) if pid == child => return Ok(ExitStatus::from_raw(signal as i32)),
            _ => {}
        }
    }
}
