//! What a configuration asks of the host it is read on.
//!
//! This crate opens no file and asks for no name: whoever reads a configuration says what there is.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// The files that a configuration may include.
pub trait Files {
    /// What a file holds, but at most `most` bytes and one more, so that too much shows.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] when there is none; anything else when it cannot be read.
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>>;

    /// The names in a directory, in any order.
    ///
    /// # Errors
    ///
    /// It is none, or cannot be read.
    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>>;

    /// The one name of a file that has several: absolute, links followed.
    ///
    /// # Errors
    ///
    /// There is no such file.
    fn one_name(&self, path: &Path) -> io::Result<PathBuf>;
}

/// The host, as a configuration sees it.
pub struct Host<'h> {
    /// The files that can be included.
    pub files: &'h dyn Files,
    /// Conditional lines (`@id`) are compared with it; `${_INSTANCE}` is replaced by it.
    pub config_id: &'h str,
    /// Where relative names start, for `${_PWD}`; an absolute path.
    pub directory: PathBuf,
    /// The environment, for `${_ENV NAME}`.
    pub environment: &'h dyn Fn(&str) -> Option<String>,
    /// What `${_RANDOM}` is drawn from: one seed gives the same numbers every time.
    pub seed: u64,
}

/// A host without files, names and environment.
struct Nowhere;

impl Files for Nowhere {
    fn read(&self, _: &Path, _: u64) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn names(&self, _: &Path) -> io::Result<Vec<OsString>> {
        Err(io::ErrorKind::NotFound.into())
    }
    fn one_name(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.to_path_buf())
    }
}

impl Host<'static> {
    /// For a text that stands alone: nothing can be included, and no conditional line applies.
    pub fn none() -> Self {
        Host { files: &Nowhere, config_id: "", directory: "/".into(), environment: &|_| None, seed: 0 }
    }
}
