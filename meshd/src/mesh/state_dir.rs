//! The state directory: keys, certificates and the roster of one member.
//!
//! ```text
//! ca.crt  ca.key (voters only)  node.key  roster.json  node.crt  boot (voters' memory)  meshd.lock
//! ```
//!
//! Mode 0700, files 0600, each replaced by rename after an fsync: a file holds the old content or
//! the new one, also after a power failure. `node.crt` is written last when a member is made, right after
//! `ca.crt` and `roster.json`: a directory without the three holds no identity, one with some of them is
//! incomplete.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use mesh_core::roster::State;

use crate::control;

/// Certificate of the mesh's CA (PEM).
pub(super) const CA_CERT: &str = "ca.crt";
/// Private key of the CA (PEM), on voters.
pub(super) const CA_KEY: &str = "ca.key";
/// This node's certificate (PEM).
pub(super) const NODE_CERT: &str = "node.crt";
/// This node's private key (PEM).
pub(super) const NODE_KEY: &str = "node.key";
/// The roster committed last, and what was promised about the next one (JSON).
pub(super) const ROSTER: &str = "roster.json";

/// Locked by the daemon that runs with the directory.
const LOCK: &str = "meshd.lock";

/// A state directory that exists and can be written.
#[derive(Clone, Debug)]
pub(crate) struct StateDir {
    path: PathBuf,
}

impl StateDir {
    /// Makes the directory where it is missing, and makes sure that it can be written.
    pub(super) fn create(path: &Path) -> anyhow::Result<StateDir> {
        let way_out = || {
            format!(
                "the state directory {} cannot be used: run as a user who may write there, or name another one with --state-dir",
                path.display()
            )
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(way_out)?;
        fs::set_permissions(path, Permissions::from_mode(0o700)).with_context(way_out)?;
        let dir = StateDir { path: path.to_owned() };
        let probe = dir.path.join(".probe");
        File::create(&probe).and_then(|_| fs::remove_file(&probe)).with_context(way_out)?;
        Ok(dir)
    }

    /// A directory that may not exist: then every file in it is missing.
    pub(crate) fn open(path: &Path) -> StateDir {
        StateDir { path: path.to_owned() }
    }

    /// The right to run with it, for as long as the file is open: two daemons with one identity would vote twice.
    pub(crate) fn lock(&self) -> anyhow::Result<File> {
        control::lock(&self.path.join(LOCK), &format!("with {}", self.path.display()), "--state-dir")
    }

    /// Removes the directory, if nothing is in it.
    pub(super) fn remove_itself(&self) {
        let _ = fs::remove_dir(&self.path);
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The content of a file; `None` where it is missing.
    pub(crate) fn read(&self, name: &str) -> anyhow::Result<Option<String>> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| {
                format!(
                    "{} cannot be read: run as its owner, or name another directory with --state-dir",
                    path.display()
                )
            }),
        }
    }

    /// The content of a file every member has.
    pub(super) fn read_required(&self, name: &str) -> anyhow::Result<String> {
        let Some(text) = self.read(name)? else {
            bail!(self.incomplete(NODE_CERT, name));
        };
        Ok(text)
    }

    /// Of a directory without a certificate: whether one was there.
    pub(super) fn is_empty_of_identity(&self) -> anyhow::Result<()> {
        // Both are written a moment before the certificate, by who becomes a member.
        for name in [ROSTER, CA_CERT] {
            ensure!(self.read(name)?.is_none(), self.incomplete(name, NODE_CERT));
        }
        Ok(())
    }

    fn incomplete(&self, there: &str, missing: &str) -> String {
        format!(
            "the state directory {} is incomplete ({there} is there, {missing} is missing): restore the file from a backup, or empty the directory and join again with a new token",
            self.path.display()
        )
    }

    /// Takes from others what they may do with keys. A director that does not start for it would help nobody, and who
    /// may have read them is for the operator to judge.
    pub(super) fn keep_private(&self) {
        for (name, mode) in [("", 0o700), (NODE_KEY, 0o600), (CA_KEY, 0o600)] {
            let path = if name.is_empty() { self.path.clone() } else { self.path.join(name) };
            // What is missing is told elsewhere.
            let Ok(found) = fs::metadata(&path) else { continue };
            let found = found.permissions().mode() & 0o777;
            if found & 0o077 == 0 {
                continue;
            }
            let shown = path.display();
            match fs::set_permissions(&path, Permissions::from_mode(mode)) {
                Ok(()) => tracing::warn!(
                    "{shown} was open to other users (mode 0{found:o}); it is 0{mode:o} now. Who may have read a key of \
                     the mesh can enter it"
                ),
                Err(error) => tracing::warn!(%error, "{shown} is open to other users (mode 0{found:o}), and stays so"),
            }
        }
    }

    /// Replaces a file: all of the new content is on the disk, or the old content stays.
    pub(crate) fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.path.join(name);
        let next = self.path.join(format!("{name}.new"));
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
            file.set_permissions(Permissions::from_mode(0o600))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&next, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Removes a file, where there is one.
    pub(super) fn remove(&self, name: &str) -> anyhow::Result<()> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("{} cannot be removed", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Keeps a roster, and what was promised about the next one.
    pub(super) fn write_roster(&self, state: &State) -> anyhow::Result<()> {
        self.write(ROSTER, &serde_json::to_string_pretty(state).context("the roster cannot be written as JSON")?)
    }

    /// Reads the roster of a member.
    pub(super) fn read_roster(&self) -> anyhow::Result<State> {
        serde_json::from_str(&self.read_required(ROSTER)?).with_context(|| {
            format!(
                "{} is damaged, and may hold promises to other voters: remove this node from the mesh (meshctl nodes remove), and join again with an empty directory",
                self.path.join(ROSTER).display()
            )
        })
    }
}

#[cfg(test)]
mod tests;
