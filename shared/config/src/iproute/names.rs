//! Names that a host has for numbers of the kernel, in the files of iproute2.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::number;
use crate::host::{Files, Host};

/// Where they are; what comes later is right where two of them name one thing.
const DIRECTORIES: [&str; 3] = ["/usr/lib/iproute2", "/usr/share/iproute2", "/etc/iproute2"];

/// Longer files are read up to here.
const LONGEST: u64 = 256 << 10;

/// What has names.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Table,
    Protocol,
    Scope,
    Realm,
    Field,
}

/// The file of each kind, in the order of [`Kind`]; `.d` behind it is a directory with more of them.
const FILES: [&str; 5] = ["rt_tables", "rt_protos", "rt_scopes", "rt_realms", "rt_dsfield"];

/// The names, each file read when it is asked for first.
pub(crate) struct Names<'f> {
    files: &'f dyn Files,
    directories: [PathBuf; 3],
    read: [OnceCell<BTreeMap<String, u32>>; 5],
}

impl<'f> Names<'f> {
    pub(crate) fn new(files: &'f dyn Files) -> Self {
        Names { files, directories: DIRECTORIES.map(PathBuf::from), read: Default::default() }
    }

    /// `iproute_usr_dir`: instead of what the distribution has.
    pub(crate) fn of_distribution(&mut self, directory: PathBuf) {
        self.directories[0] = PathBuf::new();
        self.directories[1] = directory;
    }

    /// `iproute_etc_dir`: instead of what the host's operator has.
    pub(crate) fn of_operator(&mut self, directory: PathBuf) {
        self.directories[2] = directory;
    }

    pub(super) fn find(&self, kind: Kind, name: &str) -> Option<u32> {
        self.read[kind as usize].get_or_init(|| self.all(FILES[kind as usize])).get(name).copied()
    }

    fn all(&self, file: &str) -> BTreeMap<String, u32> {
        let mut names = BTreeMap::new();
        for directory in self.directories.iter().filter(|directory| !directory.as_os_str().is_empty()) {
            self.one(&directory.join(file), &mut names);
            let more = directory.join(format!("{file}.d"));
            let mut parts = self.files.names(&more).unwrap_or_default();
            parts.retain(|part| Path::new(part).extension().is_some_and(|end| end == "conf"));
            parts.sort_unstable();
            parts.iter().for_each(|part| self.one(&more.join(part), &mut names));
        }
        names
    }

    /// Lines of a number and its name; what is no such line is for iproute2 to mind.
    fn one(&self, file: &Path, names: &mut BTreeMap<String, u32>) {
        let Ok(bytes) = self.files.read(file, LONGEST) else { return };
        let text = String::from_utf8_lossy(&bytes);
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
            if let (Some(value), Some(name), None) = (words.next(), words.next(), words.next())
                && let Some(value) = number(value).and_then(|value| u32::try_from(value).ok())
            {
                names.insert(name.to_owned(), value);
            }
        }
    }
}

impl Names<'static> {
    /// None at all.
    pub(crate) fn none() -> Self {
        Names::new(Host::none().files)
    }
}

#[cfg(test)]
mod tests;
