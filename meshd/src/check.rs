//! `meshd check`, and reading the configuration for the daemon.
//!
//! What the text alone shows is found by `mesh-config`; here come the file itself, the interfaces of
//! this host, checks that can never succeed, and the scripts with the users they run as. As in keepalived, a tracked
//! script that cannot run (not found, no such user, insecure where security is asked for) is not tracked.

mod mail;
mod scripts;
mod services;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::LazyLock;

use anyhow::{Context, bail};
use mesh_config::model::Config;
use mesh_config::report::{Report, Severity, plural};

/// Exit codes of `check`, as keepalived's manual has them for `-t`. (keepalived 2.2.7 itself exits
/// with one more: 4 for unusable, 5 after changes, 6 for script security.)
/// Exit code for a configuration that cannot be used.
pub const UNUSABLE: u8 = 3;
const CHANGED: u8 = 4;
const SECURITY_OFF: u8 = 5;

/// Reads a configuration, prints every finding on standard error (`file:line:column: severity:
/// message`) and a summary on standard output. Exit code 0: usable as it is; 3: unusable; 4: usable
/// after changes; 5: usable, and scripts run without `enable_script_security`.
pub fn run(file: &Path, config_id: Option<&str>) -> ExitCode {
    run_into(file, config_id, &mut io::stderr())
}

/// The same, with the findings written there.
pub fn run_into(file: &Path, config_id: Option<&str>, findings: &mut dyn Write) -> ExitCode {
    let examined = match examine(file, &interfaces(), config_id) {
        Ok(examined) => examined,
        Err(error) => {
            // A closed pipe is no reason to fail.
            let _ = writeln!(findings, "{}: error: {error:#}", file.display());
            return ExitCode::from(UNUSABLE);
        }
    };
    for finding in &examined.report.findings {
        let _ = writeln!(findings, "{finding}");
    }
    let _ = writeln!(io::stdout(), "{}: {}", file.display(), examined.summary());
    ExitCode::from(examined.exit_code())
}

/// Reads a configuration for the daemon; what there is to say about it comes with it, and in a line. The error holds
/// every error-level finding, one in a line.
///
/// # Errors
///
/// A file cannot be read, or something in it is an error.
pub fn load(file: &Path, config_id: Option<&str>) -> anyhow::Result<(Config, Report, String)> {
    let examined =
        examine(file, &interfaces(), config_id).with_context(|| format!("cannot read {}", file.display()))?;
    let summary = examined.summary();
    let report = examined.report;
    match examined.config {
        Some(config) if report.worst() != Some(Severity::Error) => Ok((config, report, summary)),
        _ => {
            let errors = report.findings.iter().filter(|f| f.severity == Severity::Error);
            let lines: Vec<String> = errors.map(ToString::to_string).collect();
            bail!("{} cannot be used:\n{}", file.display(), lines.join("\n"))
        }
    }
}

/// A configuration with all there is to say about it on this host.
struct Examined {
    config: Option<Config>,
    report: Report,
    security_off: bool,
}

impl Examined {
    fn exit_code(&self) -> u8 {
        match (self.report.worst(), self.security_off) {
            (Some(Severity::Error), _) => UNUSABLE,
            (_, true) => SECURITY_OFF,
            (Some(Severity::Warning), false) => CHANGED,
            (Some(Severity::Ignored) | None, false) => 0,
        }
    }

    fn summary(&self) -> String {
        let count = |severity| self.report.findings.iter().filter(|f| f.severity == severity).count();
        let verdict = match self.exit_code() {
            UNUSABLE => "unusable",
            CHANGED => "usable after changes",
            SECURITY_OFF => "usable, script security is off",
            _ => "usable",
        };
        let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
        let contents = self.config.as_ref().map(|c| {
            let addresses: usize = c.routers.iter().map(|r| r.served().count()).sum();
            let reals: usize = c.virtual_servers.iter().map(|server| server.real_servers.len()).sum();
            let routers = format!(
                "{} with {} in {}",
                plural(c.routers.len(), "virtual router"),
                plural(addresses, "address"),
                plural(c.sync_groups.len(), "sync group")
            );
            let servers = plural(c.virtual_servers.len(), "virtual server");
            let reals = plural(reals, "real server");
            format!(
                "; {routers}, {servers} with {reals}, {}, digest {}",
                plural(c.track_scripts.len(), "script"),
                c.digest()
            )
        });
        let ignored = count(Severity::Ignored);
        let (errors, warnings) = (plural(errors, "error"), plural(warnings, "warning"));
        format!("{verdict}: {errors}, {warnings}, {ignored} ignored{}", contents.unwrap_or_default())
    }
}

/// What the text alone says.
///
/// # Errors
///
/// The file cannot be read.
pub(crate) fn parse(file: &Path, config_id: Option<&str>) -> anyhow::Result<(Option<Config>, Report)> {
    mesh_files::parse(file, config_id, seed())
}

fn examine(file: &Path, interfaces: &[String], config_id: Option<&str>) -> anyhow::Result<Examined> {
    let (mut config, mut report) = parse(file, config_id)?;
    // Without a configuration nobody has said that they may come later.
    let dynamic = config.as_ref().is_some_and(|config| config.dynamic_interfaces);
    let missing = report.places.missing_interfaces(interfaces, dynamic);
    report.add(missing);
    let security_off = match &mut config {
        Some(config) => {
            services::judge(config, &mut report);
            mail::judge(&mut report);
            scripts::apply(config, &mut report)
        }
        None => false,
    };
    Ok(Examined { config, report, security_off })
}

/// One for this process: what is read again stays as it is.
fn seed() -> u64 {
    static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
    *SEED
}

/// Names of this host's interfaces; empty where the kernel does not say, so that every one is
/// reported as missing rather than none.
fn interfaces() -> Vec<String> {
    let Ok(list) = nix::net::if_::if_nameindex() else { return Vec::new() };
    list.iter().map(|i| i.name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests;
