//! `meshctl convert`: keepalived.conf to a meshd.toml that means the same.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, bail};
use mesh_config::host::Host;
use mesh_config::model::Config;
use mesh_config::report::{Finding, Report, Severity};

/// What came of it: the text, and what there is to say to whoever asked.
pub(crate) struct Converted {
    /// meshd.toml.
    pub(crate) text: String,
    /// One line for everything that changes.
    pub(crate) changes: Vec<String>,
    /// It holds keys that never were on the wire: for nobody's eyes but its owner's.
    pub(crate) secret: bool,
}

/// Reads a file, with what it includes, and writes it in the other language.
pub(crate) fn convert(file: &Path, config_id: Option<String>) -> anyhow::Result<Converted> {
    let (config, report) = read(file, config_id.as_deref())?;
    let (body, lost) = mesh_config::native::write(&config);
    if !lost.is_empty() {
        bail!("meshd.toml has no words for all of {}:\n{}", file.display(), lost.join("\n"));
    }
    let changes: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    let mut text = format!("# Converted from {}.\n", one_line(&file.display().to_string()));
    if changes.is_empty() {
        text.push_str("# Nothing changes.\n");
    } else {
        text.push_str("# What is different here, or has no effect:\n");
        changes.iter().for_each(|change| text.push_str(&format!("# {}\n", one_line(change))));
    }
    text.push('\n');
    text.push_str(&body);
    check(&config, &text)?;
    let secret = config.routers.iter().any(|router| router.auth_header || router.auth_hmac.is_some());
    Ok(Converted { text, changes, secret })
}

/// A comment ends with its line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn read(file: &Path, config_id: Option<&str>) -> anyhow::Result<(Config, Report)> {
    let read = mesh_files::parse(file, config_id, 0).with_context(|| format!("cannot read {}", file.display()))?;
    match read {
        (Some(config), report) => Ok((config, report)),
        (None, report) => bail!("{} cannot be used:\n{}", file.display(), errors(&report.findings)),
    }
}

fn errors(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|f| f.severity == Severity::Error);
    errors.map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What is written has to be readable: some values that keepalived puts up with are errors in meshd.toml.
fn check(config: &Config, text: &str) -> anyhow::Result<()> {
    let (again, report) = mesh_config::native::parse(Path::new("meshd.toml"), text, &Host::none());
    match again {
        Some(again) if mesh_config::native::same(&again, config) => Ok(()),
        Some(_) => bail!("meshd.toml would mean something else: not converted"),
        None => bail!("meshd.toml refuses what keepalived puts up with:\n{}", errors(&report.findings)),
    }
}

/// Puts the text in a file that only its owner can read: it may hold passwords. One that is there stays.
pub(crate) fn save(path: &Path, text: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let file = match file {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => bail!("{} is there already", path.display()),
        file => file,
    };
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}
