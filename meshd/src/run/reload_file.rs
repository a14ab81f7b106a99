//! `reload_file`: who changes configuration files can wait until they are not being read.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc;

/// There, and empty, until this is dropped.
pub(super) struct ReloadFile(PathBuf);

impl ReloadFile {
    /// Made, or emptied where somebody made it to be told. No link is followed.
    pub(super) fn new(path: &Path) -> Option<ReloadFile> {
        let made: io::Result<_> = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o644)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(path);
        match made {
            Ok(_) => Some(ReloadFile(path.to_owned())),
            Err(error) => {
                tracing::warn!(%error, "cannot make the reload_file {}", path.display());
                None
            }
        }
    }
}

impl Drop for ReloadFile {
    fn drop(&mut self) {
        // Somebody else may have removed it already.
        let _ = std::fs::remove_file(&self.0);
    }
}
