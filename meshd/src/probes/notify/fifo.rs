//! Lines for FIFOs. A FIFO is opened for reading as well, as keepalived does: then opening needs no reader, and lines
//! wait for one as long as the kernel has room.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mesh_config::model::{self, ScriptSecurity};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK, PIPE_BUF};
use nix::sys::stat::Mode;
use nix::unistd::{chown, mkfifo};
use tracing::{info, warn};

use crate::probes::process;

/// All FIFOs written to, until this is dropped. What was made here goes then.
#[derive(Debug)]
pub(super) struct Fifos {
    open: BTreeMap<PathBuf, Fifo>,
    dropped: u64,
}

/// One of them.
#[derive(Debug, Default)]
struct Fifo {
    /// Whose it is when it is made.
    owner: Option<(String, Option<String>)>,
    security: ScriptSecurity,
    file: Option<File>,
    /// Made by this daemon.
    made: bool,
    /// Lines dropped since the last that was written.
    dropped: u64,
}

impl Fifos {
    pub(super) fn new(fifos: &[model::Fifo], security: &ScriptSecurity) -> Fifos {
        let mut new = Fifos { open: BTreeMap::new(), dropped: 0 };
        new.set(fifos, security);
        new
    }

    /// There are these from now on; what was made for others goes.
    pub(super) fn set(&mut self, fifos: &[model::Fifo], security: &ScriptSecurity) {
        let mut before = std::mem::take(&mut self.open);
        for fifo in fifos {
            let mut entry = before.remove(&fifo.path).unwrap_or_default();
            entry.owner.clone_from(&fifo.owner);
            entry.security = security.clone();
            // Now, so that readers find it; why it cannot be had is said with the first line, too.
            if let Err(error) = entry.file(&fifo.path) {
                warn!(fifo = %fifo.path.display(), "no FIFO: {error}");
            }
            self.open.insert(fifo.path.clone(), entry);
        }
        before.into_iter().for_each(|(path, fifo)| fifo.remove(&path));
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Nothing more is written.
    pub(super) fn close(&mut self) {
        self.open.values_mut().for_each(|fifo| fifo.file = None);
    }

    /// What was made stays for the next run.
    pub(super) fn leave(&mut self) {
        self.open.values_mut().for_each(|fifo| fifo.made = false);
    }

    /// Writes a line to a FIFO, which is made where there is none, if its reader has room for it.
    pub(super) fn write(&mut self, path: &Path, line: &str) {
        let fifo = self.open.entry(path.to_owned()).or_default();
        match fifo.write(path, line) {
            Ok(()) if fifo.dropped > 0 => {
                info!(fifo = %path.display(), dropped = fifo.dropped, "the FIFO takes lines again");
                fifo.dropped = 0;
            }
            Ok(()) => {}
            Err(why) => {
                if fifo.dropped == 0 {
                    warn!(fifo = %path.display(), line, "line for the FIFO is dropped: {why}");
                }
                fifo.dropped += 1;
                self.dropped += 1;
            }
        }
    }
}

impl Fifo {
    /// Whoever reads what is left in it comes to its end.
    fn remove(self, path: &Path) {
        if self.made {
            // Somebody else removed it: all the better.
            let _ = fs::remove_file(path);
        }
    }

    fn write(&mut self, path: &Path, line: &str) -> Result<(), String> {
        let line = format!("{line}\n");
        // Longer ones could be written in part, and somebody else's line into their middle.
        if line.len() > PIPE_BUF {
            return Err(format!("it has more than {PIPE_BUF} bytes"));
        }
        let mut file = self.file(path).map_err(|error| error.to_string())?;
        file.write_all(line.as_bytes()).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => "nobody reads it, and it is full".to_owned(),
            _ => error.to_string(),
        })
    }

    /// The FIFO that has this name now.
    fn file(&mut self, path: &Path) -> io::Result<&File> {
        let same = |file: &File| {
            let (ours, there) = (file.metadata()?, fs::symlink_metadata(path)?);
            io::Result::Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
        };
        if !self.file.as_ref().is_some_and(|file| same(file).unwrap_or(false)) {
            self.file = None;
        }
        if self.file.is_none() {
            self.made |= make(path, self.owner.as_ref(), &self.security)?;
        }
        match &mut self.file {
            Some(file) => Ok(file),
            none => Ok(none.insert(open(path)?)),
        }
    }
}

/// Makes a FIFO for its owner alone, who is `script_user` unless it says otherwise; whether there was none before.
fn make(path: &Path, owner: Option<&(String, Option<String>)>, security: &ScriptSecurity) -> io::Result<bool> {
    match mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR) {
        Ok(()) => {}
        Err(nix::Error::EEXIST) => return Ok(false),
        Err(error) => return Err(error.into()),
    }
    match process::owner(owner, security) {
        Ok((user, group)) => chown(path, user, group)?,
        // It stays the daemon's own.
        Err(why) => warn!(fifo = %path.display(), "the FIFO's owner: {why}"),
    }
    Ok(true)
}

fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK | O_NOFOLLOW).open(path)?;
    if !file.metadata()?.file_type().is_fifo() {
        return Err(io::Error::other("it is no FIFO"));
    }
    Ok(file)
}

impl Drop for Fifos {
    fn drop(&mut self) {
        std::mem::take(&mut self.open).into_iter().for_each(|(path, fifo)| fifo.remove(&path));
    }
}
