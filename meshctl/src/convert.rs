//! `meshctl convert`: keepalived.conf to a meshd.toml that means the same.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use mesh_config::host::{Files, Host};
use mesh_config::model::Config;
use mesh_config::report::{Finding, Report, Severity};

/// Larger files are refused, as by the daemon.
const LARGEST: u64 = 64 << 20;

/// Names of a directory that are looked at for an `include` with wildcards.
const MOST_NAMES: usize = 100_000;

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
    let (config, report) = read(file, config_id)?;
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

fn read(file: &Path, config_id: Option<String>) -> anyhow::Result<(Config, Report)> {
    let cannot = || format!("cannot read {}", file.display());
    let bytes = Disk.read(file, LARGEST).with_context(cannot)?;
    if bytes.len() as u64 > LARGEST {
        return Err(anyhow!("it is larger than {} MiB", LARGEST >> 20)).with_context(cannot);
    }
    let text = mesh_config::decode(bytes)
        .map_err(|(line, column)| anyhow!("{}:{line}:{column}: error: no UTF-8 text", file.display()))?;
    let host_name = || {
        let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        name.trim().split('.').next().unwrap_or_default().to_owned()
    };
    let config_id = config_id.unwrap_or_else(host_name);
    let host = Host {
        files: &Disk,
        config_id: &config_id,
        directory: std::env::current_dir().unwrap_or_default(),
        environment: &|name| std::env::var(name).ok(),
        seed: 0,
    };
    match mesh_config::parse(file, &text, &host) {
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

/// This host's files.
struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        // Opening a pipe would wait for somebody to write.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        // A relative name without a directory.
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        fs::read_dir(directory)?.take(MOST_NAMES).map(|entry| entry.map(|entry| entry.file_name())).collect()
    }

    fn one_name(&self, path: &Path) -> io::Result<PathBuf> {
        fs::canonicalize(path)
    }
}
