//! Started as `keepalived` (the name it was called by): its command line, PID files, log, exit codes.
//!
//! What systemd units, container images, exporters and init scripts say to keepalived they say to this
//! program through a link or a copy of that name.

mod namespace;
mod options;
mod pids;
mod ready;
mod syslog;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

pub use namespace::enter;
pub use pids::PidFiles;
pub(crate) use ready::tell as tell_systemd;
pub(crate) use syslog::Syslog;

use self::options::{Options, Parsed};
use crate::run::{self, Only, Places};
use crate::{check, guard, signals};

/// What `-v` begins with: exporters look for a version of keepalived's in it.
const VERSION: &str = concat!("Keepalived v2.2.7 (meshd ", env!("CARGO_PKG_VERSION"), ")");

/// keepalived's own configuration file.
const CONFIG: &str = "/etc/keepalived/keepalived.conf";

/// Where state and runtime directories are, for more than one daemon on a host.
const STATE_DIR: &str = "MESHD_STATE_DIR";
const RUNTIME_DIR: &str = "MESHD_RUNTIME_DIR";

/// Whether the first argument is the name of keepalived.
pub fn is_keepalived(name: &OsString) -> bool {
    Path::new(name).file_name().is_some_and(|name| name == "keepalived")
}

/// A file of this program, to be run by the name of meshd: a copy or a hard link may be called keepalived.
pub fn as_meshd(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg0("meshd");
    command
}

/// The whole program.
pub fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let options = match Options::parse(arguments) {
        Parsed::Options(options) => *options,
        Parsed::Said(text, code) => {
            eprint!("{text}");
            return ExitCode::from(code);
        }
    };
    match start(options) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("keepalived: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(options: Options) -> anyhow::Result<ExitCode> {
    if options.version {
        eprintln!("{VERSION}\n\nConfig options: LVS VRRP VRRP_AUTH JSON, as with --enable-json");
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(name) = &options.signum {
        let Some(number) = signal_number(name) else { bail!("Unknown sigfunc {name}") };
        println!("{number}");
        return Ok(ExitCode::SUCCESS);
    }
    let config = options.use_file.clone().unwrap_or_else(|| CONFIG.into());
    if let Some(log) = &options.config_test {
        return test(&config, &options, log);
    }
    let (process, config_id) = (run::process_of(&config, options.config_id.as_deref()), options.config_id.clone());
    let namespace = options.namespace.clone().or_else(|| process.net_namespace.clone());
    let pids = PidFiles::new(&options, &process, namespace.as_deref());
    pids.check()?;
    let places = Places {
        config: Some(config),
        config_id,
        name: None,
        state_dir: directory(STATE_DIR, run::DEFAULT_STATE_DIR, &[]),
        runtime_dir: directory(
            RUNTIME_DIR,
            run::DEFAULT_RUNTIME_DIR,
            &[namespace.as_deref(), process.instance.as_deref()],
        ),
        listen: None,
        net_namespace: namespace,
        only: match (options.vrrp, options.check) {
            (true, false) => Some(Only::Vrrp),
            (false, true) => Some(Only::Checks),
            _ => None,
        },
        umask: options.umask,
        syslog: (!options.dont_fork && !options.log_console && !options.no_syslog).then(|| options.facility()),
    };
    if !options.dont_fork {
        // Relative names were read from where it was started.
        nix::unistd::daemon(false, options.log_console).context("cannot go to the background")?;
    }
    guard::run(&places, Some(pids), &options.without_meaning())
}

/// `-t`: as `meshd check`, what is said in a file where one is named.
fn test(config: &Path, options: &Options, log: &str) -> anyhow::Result<ExitCode> {
    if log.is_empty() {
        return Ok(check::run_into(config, options.config_id.as_deref(), &mut std::io::stderr()));
    }
    let mut file =
        File::options().append(true).create(true).open(log).with_context(|| format!("cannot write {log}"))?;
    Ok(check::run_into(config, options.config_id.as_deref(), &mut file))
}

/// What `--signum` prints.
fn signal_number(name: &str) -> Option<i32> {
    use nix::sys::signal::Signal;
    Some(match name {
        "STOP" => Signal::SIGTERM as i32,
        "RELOAD" => Signal::SIGHUP as i32,
        "DATA" => Signal::SIGUSR1 as i32,
        "STATS" => Signal::SIGUSR2 as i32,
        "JSON" => signals::json(),
        "STATS_CLEAR" => signals::stats_clear(),
        _ => return None,
    })
}

/// The variable's, else the default, apart for each network namespace and instance.
fn directory(variable: &str, default: &str, of: &[Option<&str>]) -> PathBuf {
    let own = || of.iter().flatten().fold(default.to_owned(), |path, part| format!("{path}-{part}"));
    std::env::var_os(variable).map_or_else(|| own().into(), PathBuf::from)
}
