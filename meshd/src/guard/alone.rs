//! One guard for a runtime directory. While its daemon is dead and it waits to start the next one, nobody holds the
//! control socket: a second guard would start a daemon beside it, and the first would try to start its own for ever,
//! also after that one was stopped.

use std::fs::File;
use std::path::Path;

use anyhow::bail;

use crate::control::{self, Lock};

const LOCK: &str = "guard.lock";

/// The right to guard a daemon with this directory, for as long as the file is open. None where it cannot be used at
/// all: the daemon tells so, with what else is wrong.
pub(super) fn in_directory(runtime_dir: &Path) -> anyhow::Result<Option<File>> {
    let taken = control::make_directory(runtime_dir).and_then(|()| control::try_lock(&runtime_dir.join(LOCK)));
    let holder = match taken {
        Ok(Lock::Taken(file)) => return Ok(Some(file)),
        Ok(Lock::Held(holder)) => holder,
        Err(_) => return Ok(None),
    };
    let process = holder.map(|pid| format!(" (process {pid})")).unwrap_or_default();
    let socket = runtime_dir.join("meshd.sock");
    if control::is_held(&socket) {
        bail!("another meshd{process} is running on {}; stop it or choose another --runtime-dir", socket.display());
    }
    let stop = holder.map(|pid| format!(", or `kill {pid}`")).unwrap_or_default();
    bail!(
        "a guard{process} waits to start meshd in {} again; stop that first (`systemctl stop meshd`{stop}), or choose \
         another --runtime-dir",
        runtime_dir.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_guard_is_told_of_the_first() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("run");
        let first = in_directory(&dir).unwrap();
        assert!(first.is_some());
        let own = std::process::id();
        let error = format!("{:#}", in_directory(&dir).unwrap_err());
        let waits = format!("a guard (process {own}) waits to start meshd in {} again", dir.display());
        assert!(error.starts_with(&waits) && error.contains(&format!("`kill {own}`")), "{error}");

        // Its daemon is there.
        let _socket = control::lock(&dir.join("meshd.lock"), "", "").unwrap();
        let error = format!("{:#}", in_directory(&dir).unwrap_err());
        let runs = format!("another meshd (process {own}) is running on {}", dir.join("meshd.sock").display());
        assert!(error.starts_with(&runs) && error.contains("--runtime-dir"), "{error}");
        drop(first);
        assert!(in_directory(&dir).unwrap().is_some());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_the_daemons_to_tell() {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert!(in_directory(&file.join("run")).unwrap().is_none());
    }
}
