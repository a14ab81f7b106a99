//! What this node granted as a voter, kept over a restart of the daemon.
//!
//! Two files. `voter` in the runtime directory holds every grant, with a checksum for each; it lives
//! as long as the host runs, as grants do. `boot` in the state directory says in which boot grants
//! were given last, and how far epochs went: it tells a voter that never granted from one that has
//! forgotten. A checksum that is wrong anywhere means that memory is lost; a voter that lost it is
//! silent until no grant it may have given can live.

mod layout;
mod marker;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;
use mesh_core::Instant;
use mesh_core::lease::memory::{Changes, Slot, VoterStart, ceiling_above};
use mesh_wire::mesh::{NodeId, RouterKey};
use nix::fcntl::posix_fallocate;

use crate::mesh::StateDir;
use layout::{HEADER, Header, SLOT};
use marker::Marker;

/// Name of the file in the runtime directory.
const FILE: &str = "voter";

/// Where the kernel says which boot this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Whose memory it is.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The voter.
    pub node: NodeId,
    /// Its mesh.
    pub cluster: String,
    /// The boot, as [`boot_id`] tells it.
    pub boot: String,
}

/// A voter's memory, to be written to.
pub struct Memory {
    state: StateDir,
    marker: Marker,
    path: PathBuf,
    /// `None` once it could not be written: what is granted is in RAM only, and the next run knows.
    file: Option<File>,
    places: BTreeMap<RouterKey, usize>,
}

/// The identity of this boot.
///
/// # Errors
///
/// /proc is not there.
pub fn boot_id() -> anyhow::Result<String> {
    let text = fs::read_to_string(BOOT_ID).with_context(|| format!("{BOOT_ID} cannot be read"))?;
    Ok(text.trim().to_owned())
}

impl Memory {
    /// Reads what the run before left, and makes everything ready for grants of this run: when this
    /// returns, the next run will know that this one may have granted.
    ///
    /// # Errors
    ///
    /// The state directory cannot be written. A runtime directory that cannot be is told, and done
    /// without.
    pub fn open(
        owner: &Owner,
        runtime_dir: &Path,
        state_dir: &Path,
        now: Instant,
    ) -> anyhow::Result<(Memory, VoterStart)> {
        let state = StateDir::open(state_dir);
        let path = runtime_dir.join(FILE);
        let marker = Marker::read(&state, owner)?;
        let start = recall(owner, &path, marker.as_ref(), now);
        let marker = Marker {
            boot: owner.boot.clone(),
            run: marker.map_or(0, |m| m.run) + 1,
            epoch_floor: start.epoch_floor,
            epoch_ceiling: start.epoch_ceiling,
        };
        // Before the file: whoever finds the marker and no file of the same run knows what is missing.
        marker.write(&state)?;
        let mut memory = Memory { state, marker, path, file: None, places: BTreeMap::new() };
        match memory.create(owner, &start) {
            Ok(file) => memory.file = Some(file),
            Err(error) => {
                memory.forget().with_context(|| {
                    format!("{} can neither be written ({error}) nor removed", memory.path.display())
                })?;
                memory.tell_loss(&error);
            }
        }
        Ok((memory, start))
    }

    /// Remembers; when this returns without an error, either all of it is remembered or the next
    /// run knows that memory was lost.
    ///
    /// # Errors
    ///
    /// It could not be written, and what was written earlier could not be made void.
    pub fn remember(&mut self, changes: &Changes) -> io::Result<()> {
        if let Some(ceiling) = changes.epoch_ceiling {
            self.marker.epoch_ceiling = ceiling;
            if let Err(error) = self.marker.write(&self.state) {
                // Epochs order and name takeovers; that at most one node serves does not rest on them.
                tracing::warn!("epochs may be used again after a reboot: {error:#}");
            }
        }
        let Some(file) = &self.file else { return Ok(()) };
        let Err(error) = write(file, &mut self.places, &changes.slots) else { return Ok(()) };
        self.forget()?;
        self.tell_loss(&error);
        self.file = None;
        Ok(())
    }

    /// Whether what is granted now will be known to the next run.
    pub fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// A new file in place of the old one, with all that is remembered in it.
    fn create(&mut self, owner: &Owner, start: &VoterStart) -> io::Result<File> {
        let next = self.path.with_extension("new");
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        file.set_len(layout::LENGTH as u64)?;
        // With room for all of it now, a file system that is full later does no harm. Where that is not to be had,
        // pages are taken as they are needed.
        let _ = posix_fallocate(&file, 0, layout::LENGTH as i64);
        let header = Header { owner: owner.clone(), run: self.marker.run, silent_until: start.silent_until };
        file.write_all_at(&header.bytes(), 0)?;
        self.places.clear();
        write(&file, &mut self.places, &start.slots)?;
        fs::rename(&next, &self.path)?;
        Ok(file)
    }

    /// Makes void what is in the file, by any means.
    fn forget(&self) -> io::Result<()> {
        let removed = match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        removed.or_else(|error| match &self.file {
            Some(file) => file.set_len(0).or_else(|_| file.write_all_at(&[0; HEADER], 0)).map_err(|_| error),
            None => Err(error),
        })
    }

    fn tell_loss(&self, error: &io::Error) {
        tracing::warn!(
            "{} cannot be written: {error}; after a restart this voter will be silent for three seconds",
            self.path.display()
        );
    }
}

/// What is left of the run before.
fn recall(owner: &Owner, path: &Path, marker: Option<&Marker>, now: Instant) -> VoterStart {
    let ceiling = marker.map_or(0, |m| m.epoch_ceiling);
    // What is forgotten went up to the ceiling, at most.
    let anew = |start: VoterStart| start.above(ceiling, ceiling_above(ceiling));
    let file = match fs::read(path) {
        Ok(bytes) => layout::parse(&bytes, owner, marker.map_or(0, |m| m.run)).map_err(|why| why.to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err("it is gone".to_owned()),
        Err(error) => Err(format!("it cannot be read: {error}")),
    };
    match (marker, file) {
        (Some(marker), Ok(found)) if marker.boot == owner.boot => {
            let start = VoterStart { silent_until: found.silent_until, ..VoterStart::remembered(found.slots) };
            start.above(marker.epoch_floor, ceiling)
        }
        // Every start writes the marker first: that of another boot says that this one granted nothing.
        (Some(marker), Err(_)) if marker.boot != owner.boot => anew(VoterStart::rebooted()),
        // It never granted anything.
        (None, Err(_)) if !path.exists() => anew(VoterStart::default()),
        (_, file) => {
            let why = file.err().unwrap_or_else(|| "nothing says that it is the last one".to_owned());
            tracing::warn!("{}: {why}; this voter has forgotten what it granted", path.display());
            anew(VoterStart::forgotten(now))
        }
    }
}

/// Writes slots, neighbours together.
fn write(file: &File, places: &mut BTreeMap<RouterKey, usize>, slots: &[(RouterKey, Slot)]) -> io::Result<()> {
    let mut placed = BTreeMap::new();
    for (router, slot) in slots {
        let next = places.len();
        let place = *places.entry(*router).or_insert(next);
        placed.insert(place, layout::slot_bytes(router, slot));
    }
    let mut run: Vec<u8> = Vec::new();
    let mut begin = 0;
    for (place, bytes) in placed {
        if begin + run.len() / SLOT != place || run.is_empty() {
            flush(file, begin, &run)?;
            run.clear();
            begin = place;
        }
        run.extend(bytes);
    }
    flush(file, begin, &run)
}

fn flush(file: &File, place: usize, run: &[u8]) -> io::Result<()> {
    if run.is_empty() {
        return Ok(());
    }
    let at = HEADER + place * SLOT;
    if at + run.len() > layout::LENGTH {
        return Err(io::Error::other("more virtual routers than the file has room for"));
    }
    file.write_all_at(run, at as u64)
}

#[cfg(test)]
mod tests;
