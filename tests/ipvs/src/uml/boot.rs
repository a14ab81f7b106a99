//! Boots User-mode Linux for one run of this program inside.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mesh_lab::clock;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::report::Report;

/// Debian's name for it; it is in `user-mode-linux`.
const KERNEL: &str = "linux.uml";
/// As long as all tests of a binary may take on a busy machine, with the boot.
const DEADLINE: Duration = Duration::from_secs(180);
/// What is allocated inside becomes a file in memory outside.
const MEMORY: &str = "mem=512M";
/// Of the shared directory: what to run, a word a line, and what its exit status was.
pub(super) const PROGRAM: &str = "program";
/// See [`PROGRAM`].
pub(super) const STATUS: &str = "status";

/// Runs the tests that `selection` selects inside, one after the other.
pub(super) fn run(selection: &[String]) -> Result<Report> {
    let this = std::env::current_exe()?;
    let shared = tempfile::tempdir().context("a directory to share with User-mode Linux")?;
    let mut program = vec![this.to_str().context("the path of this program is no text")?];
    program.extend(["--nocapture", "--test-threads=1"]);
    program.extend(selection.iter().map(String::as_str));
    ensure!(!program.iter().any(|word| word.contains('\n')), "a newline in {program:?}");
    fs::write(shared.path().join(PROGRAM), program.join("\n"))?;
    let mut machine = Machine::boot(&init(&this)?, shared.path())?;
    let (console, ended) = machine.wait()?;
    let end = match (ended, fs::read_to_string(shared.path().join(STATUS))) {
        (false, _) => format!("it took longer than {DEADLINE:?}"),
        (true, Ok(status)) => format!("the tests ended with {}", status.trim()),
        (true, Err(_)) => "the kernel ended before the tests".to_owned(),
    };
    Ok(Report::read(&console, end))
}

/// The program that becomes process 1: cargo puts it beside the directory of the tests.
fn init(this: &Path) -> Result<PathBuf> {
    let init = this.parent().and_then(Path::parent).context("this program is in no directory")?.join("mesh-uml-init");
    ensure!(init.exists(), "{} is missing: cargo build -p mesh-ipvs", init.display());
    Ok(init)
}

struct Machine {
    process: Child,
    console: Option<JoinHandle<std::io::Result<Vec<u8>>>>,
}

impl Machine {
    fn boot(init: &Path, shared: &Path) -> Result<Machine> {
        let registers = registers(shared)?;
        // Through setpriv, so that it dies with this process even if this one is killed; in a process group
        // of its own, which is killed as a whole: every process inside is one outside, too.
        let mut process = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", KERNEL, MEMORY])
            .args(["root=/dev/root", "rootfstype=hostfs", "hostfs=/", "ro", "quiet", "selinux=0"])
            .args(["con=null", "con0=fd:0,fd:1"])
            .arg(format!("init={}", init.display()))
            .arg(format!("uml_dir={}", shared.display()))
            .arg(format!("shared={}", shared.display()))
            .env("LD_PRELOAD", registers)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("run setpriv (package util-linux)")?;
        let mut output = process.stdout.take().context("no pipe")?;
        let console = thread::spawn(move || {
            let mut written = Vec::new();
            output.read_to_end(&mut written).map(|_| written)
        });
        Ok(Machine { process, console: Some(console) })
    }

    /// What was written on the console, and whether the machine ended before the deadline.
    fn wait(&mut self) -> Result<(String, bool)> {
        let ended = clock::wait_for("end of User-mode Linux", DEADLINE, || Ok(self.process.try_wait()?)).is_ok();
        self.kill();
        let console = self.console.take().context("waited for twice")?.join();
        let console = console.map_err(|_| anyhow::anyhow!("reading the console panicked"))??;
        Ok((String::from_utf8_lossy(&console).into_owned(), ended))
    }

    fn kill(&mut self) {
        // Nobody is left of it after an orderly end.
        let _ = killpg(Pid::from_raw(self.process.id() as i32), Signal::SIGKILL);
        let _ = self.process.wait();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Builds the library that lets User-mode Linux run on processors with more registers than it knows.
fn registers(dir: &Path) -> Result<PathBuf> {
    ensure!(on_path(KERNEL), "`{KERNEL}` is missing: apt-get install user-mode-linux");
    let library = dir.join("registers.so");
    let mut compiler = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-x", "c", "-o"])
        .arg(&library)
        .args(["-", "-ldl"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("run cc (package gcc)")?;
    compiler.stdin.take().context("no pipe")?.write_all(include_bytes!("registers.c"))?;
    let output = compiler.wait_with_output()?;
    if !output.status.success() {
        bail!("cc: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(library)
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).exists())
}
