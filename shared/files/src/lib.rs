//! Configurations on this host's disk: what `mesh-config` asks of a host, answered. The daemon and `meshctl convert`
//! read the same way.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use mesh_config::host::{Files, Host};
use mesh_config::model::Config;
use mesh_config::report::Report;

/// Larger files are refused: ten thousand real servers need 3 MiB.
const LARGEST: u64 = 64 << 20;

/// Names of a directory that are looked at for an `include` with wildcards.
const MOST_NAMES: usize = 100_000;

/// Reads a configuration and what it includes. Conditional lines are compared with `config_id`, or else with the
/// host's name; `seed` is what `${_RANDOM}` is drawn from.
///
/// # Errors
///
/// The file cannot be read.
pub fn parse(file: &Path, config_id: Option<&str>, seed: u64) -> anyhow::Result<(Option<Config>, Report)> {
    let bytes = Disk.read(file, LARGEST)?;
    ensure!(bytes.len() as u64 <= LARGEST, "it is larger than {} MiB", LARGEST >> 20);
    let config_id = config_id.map_or_else(host_name, |id| Ok(id.to_owned()))?;
    let host = Host {
        files: &Disk,
        config_id: &config_id,
        directory: std::env::current_dir().unwrap_or_default(),
        environment: &|name| std::env::var(name).ok(),
        seed,
    };
    Ok(mesh_config::read(file, bytes, &host))
}

/// The host name up to its first dot.
///
/// # Errors
///
/// The kernel does not say.
pub fn host_name() -> anyhow::Result<String> {
    let host = told_name().context("cannot read the host name")?;
    Ok(host.split('.').next().unwrap_or(&host).to_owned())
}

/// The host name with all its dots; none where it has none.
pub fn whole_host_name() -> Option<String> {
    told_name().ok().filter(|name| !name.is_empty())
}

fn told_name() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/hostname")?.trim_end().to_owned())
}

/// This host's files.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Files for Disk {
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory; expected a file"));
        }
        // Opening a pipe would wait for somebody to write.
        if !metadata.is_file() {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_a_limit_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f");
        fs::write(&file, "12345").unwrap();
        assert_eq!(Disk.read(&file, 3).unwrap(), b"1234", "one more, so that too much shows");
        assert_eq!(Disk.read(&file, u64::MAX).unwrap(), b"12345");
        let refused = |path: &Path| Disk.read(path, 9).unwrap_err();
        assert_eq!(refused(directory.path()).kind(), io::ErrorKind::IsADirectory);
        assert_eq!(refused(Path::new("/dev/zero")).to_string(), "it is no regular file");
        assert_eq!(refused(&directory.path().join("g")).kind(), io::ErrorKind::NotFound);
        assert_eq!(Disk.names(directory.path()).unwrap(), ["f"]);
        assert_eq!(Disk.one_name(&directory.path().join(".").join("f")).unwrap(), fs::canonicalize(&file).unwrap());
    }

    #[test]
    fn a_configuration_is_read_with_what_it_includes() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f.conf");
        fs::write(&file, "include g.conf\n@here router_id x\n").unwrap();
        fs::write(directory.path().join("g.conf"), "global_defs {\n router_id one\n}\n").unwrap();
        let (config, _) = parse(&file, Some("there"), 0).unwrap();
        assert_eq!(config.unwrap().router_id.as_deref(), Some("one"));
        assert!(!host_name().unwrap().contains('.'));
        assert_eq!(whole_host_name().unwrap().split('.').next(), host_name().ok().as_deref());
    }

    #[test]
    fn old_files_are_latin1_and_what_is_no_text_is_refused_at_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("f.conf");
        let read = |bytes: &[u8]| {
            fs::write(&file, bytes).unwrap();
            let (config, report) = parse(&file, Some("x"), 0).unwrap();
            let said: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
            let place = format!("{}:", file.display());
            (config, said.iter().map(|line| line.strip_prefix(&place).unwrap().to_owned()).collect::<Vec<_>>())
        };
        let (config, said) = read(b"# f\xfcr\nglobal_defs {\n router_id b\xfcro\n}\n");
        assert_eq!(config.unwrap().router_id.as_deref(), Some("b\u{fc}ro"));
        assert_eq!(said, ["3:13: warning: this is no UTF-8; it is read as Latin-1"]);
        let (config, said) = read(b"global_defs {\n router_id \x81\n}\n");
        assert_eq!(
            (config, &*said),
            (None, &["2:12: error: this is no text; expected a configuration in UTF-8".to_owned()][..])
        );
    }
}
