//! What outlives the process, in the runtime directory: the last will, which the guard carries out
//! when the daemon dies, what one run leaves to the next, what fell too often, and what a real server has to put
//! back.
//!
//! A file is mode 0600, as a will may hold keys that adverts are signed with, and replaced by rename. It begins with a
//! mark and a checksum over all the rest, which names the boot, the network namespace and the node it is about:
//! anything else found there is as good as nothing. Nothing is synced to a disk: it has to survive the process only.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use mesh_core::damping::Damper;
use mesh_core::server::Memory;
use mesh_core::{Adopted, Will};
use mesh_wire::mesh::{NodeId, RouterKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A kind of file. Postcard is not self-describing, so that any change of a type in it is a new version of it, and of
/// no other: a guard that outlives an upgrade has to read the will alone.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    version: u8,
}

/// The version of a will. A guard tells its daemon which one it reads.
pub const WILL_VERSION: u8 = 3;

/// The last will.
const WILL: Kind = Kind { name: "will", version: WILL_VERSION };
/// What a real server has to put back.
const SERVER: Kind = Kind { name: "server", version: 3 };
/// What the next run may go on with.
const ADOPT: Kind = Kind { name: "adopt", version: 3 };
/// What fell, and what is held back for it.
const HOLDS: Kind = Kind { name: "holds", version: 3 };

/// The first bytes, before the version of everything that follows.
const MARK: [u8; 7] = *b"meshd\0w";
/// Bytes of the checksum, a SHA-256.
const CHECKSUM: usize = 32;
/// Larger than any will: a thousand routers of 20 addresses, each announced to 20 peers.
const LONGEST: u64 = 16 << 20;

/// The files of one node in one runtime directory.
#[derive(Clone, Debug)]
pub struct Legacy {
    dir: PathBuf,
    about: About,
}

/// What a file has to be about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct About {
    boot_id: String,
    /// Inode of the network namespace: the same directory may be used in another one later.
    network: u64,
    node: NodeId,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not what was written, or not by this version.
    #[error("it is damaged, or of another version")]
    Damaged,
    /// Another boot's, another network namespace's or another node's.
    #[error("it is about another boot, network or node")]
    Foreign,
}

impl Legacy {
    /// The files of this node, on this boot and in this network namespace.
    ///
    /// # Errors
    ///
    /// /proc does not tell which those are.
    pub fn new(runtime_dir: &Path, node: NodeId) -> io::Result<Legacy> {
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        let network = fs::metadata("/proc/self/ns/net")?.ino();
        Ok(Legacy { dir: runtime_dir.to_owned(), about: About { boot_id, network, node } })
    }

    /// Replaces the will.
    ///
    /// # Errors
    ///
    /// It cannot be written. The one before is gone, too: it would resign, and give back, what may be
    /// somebody else's by now.
    pub fn keep_will(&self, will: &Will) -> io::Result<()> {
        let kept = self.write(WILL, will);
        if kept.is_err() {
            Legacy::forget_will(&self.dir)?;
        }
        kept
    }

    /// The will kept last; `None` where there is none.
    ///
    /// # Errors
    ///
    /// There is something else.
    pub fn will(&self) -> Result<Option<Will>, Unusable> {
        self.read(WILL)
    }

    /// Leaves this to the next run.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn leave_behind(&self, left: &[Adopted]) -> io::Result<()> {
        self.write(ADOPT, &left)
    }

    /// What the run before left. It is gone afterwards, whatever it was: nothing is adopted twice.
    pub fn take_adopted(&self) -> Vec<Adopted> {
        let left = self.read(ADOPT);
        if let Err(error) = Legacy::forget_adopted(&self.dir) {
            tracing::warn!(%error, "what the run before left cannot be removed, so it is not used");
            return Vec::new();
        }
        match left {
            Ok(left) => left.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "what the run before left is not used");
                Vec::new()
            }
        }
    }

    /// Nothing is left to the next run.
    ///
    /// # Errors
    ///
    /// It may still be there.
    pub fn forget_adopted(runtime_dir: &Path) -> io::Result<()> {
        remove(&runtime_dir.join(ADOPT.name))
    }

    /// Keeps what fell, and what is held back for it, for whatever run comes next.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn keep_holds(&self, holds: &[(RouterKey, Damper)]) -> io::Result<()> {
        self.write(HOLDS, &holds)
    }

    /// What earlier runs of this boot kept of it; nothing where it cannot be read.
    pub fn holds(&self) -> Vec<(RouterKey, Damper)> {
        self.read(HOLDS).map(Option::unwrap_or_default).unwrap_or_else(|error| {
            tracing::warn!(%error, "what fell before this run is not known");
            Vec::new()
        })
    }

    /// The will is carried out.
    ///
    /// # Errors
    ///
    /// It may still be there.
    pub fn forget_will(runtime_dir: &Path) -> io::Result<()> {
        remove(&runtime_dir.join(WILL.name))
    }

    /// Keeps what a real server has to put back; nothing of it, and the file is gone.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn keep_server(&self, memory: &Memory) -> io::Result<()> {
        if *memory == Memory::default() { remove(&self.dir.join(SERVER.name)) } else { self.write(SERVER, memory) }
    }

    /// What an earlier run of this boot has left to be put back; nothing where there is nothing.
    ///
    /// # Errors
    ///
    /// There is something else.
    pub fn server(&self) -> Result<Memory, Unusable> {
        Ok(self.read(SERVER)?.unwrap_or_default())
    }

    fn write<T: Serialize>(&self, kind: Kind, value: &T) -> io::Result<()> {
        let (path, next) = (self.dir.join(kind.name), self.dir.join(format!("{}.new", kind.name)));
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        file.write_all(&seal(kind, &self.about, value))?;
        fs::rename(&next, &path)
    }

    fn read<T: DeserializeOwned>(&self, kind: Kind) -> Result<Option<T>, Unusable> {
        let path = self.dir.join(kind.name);
        match fs::metadata(&path) {
            Ok(found) if found.len() > LONGEST => return Err(Unusable::Damaged),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        unseal(kind, &self.about, &fs::read(&path)?).map(Some)
    }
}

/// A file to be gone, whether or not it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn seal<T: Serialize>(kind: Kind, about: &About, value: &T) -> Vec<u8> {
    let body = postcard::to_extend(&(about, value), Vec::new()).expect("what is kept knows its lengths");
    [&MARK[..], &[kind.version], checksum(&body).as_ref(), &body].concat()
}

fn unseal<T: DeserializeOwned>(kind: Kind, wanted: &About, bytes: &[u8]) -> Result<T, Unusable> {
    let rest = bytes.strip_prefix(&MARK).ok_or(Unusable::Damaged)?;
    let rest = rest.strip_prefix(&[kind.version]).ok_or(Unusable::Damaged)?;
    let (sum, body) = rest.split_at_checked(CHECKSUM).ok_or(Unusable::Damaged)?;
    if checksum(body).as_ref() != sum {
        return Err(Unusable::Damaged);
    }
    let (about, value) = postcard::take_from_bytes::<About>(body).map_err(|_| Unusable::Damaged)?;
    if about != *wanted {
        return Err(Unusable::Foreign);
    }
    match postcard::take_from_bytes(value) {
        Ok((value, [])) => Ok(value),
        _ => Err(Unusable::Damaged),
    }
}

fn checksum(body: &[u8]) -> ring::digest::Digest {
    ring::digest::digest(&ring::digest::SHA256, body)
}

#[cfg(test)]
mod tests;
