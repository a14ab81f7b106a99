//! Tracked files: what number is in them, told as soon as it changes.
//!
//! - A file counts when whoever writes it closes it, or moves it into place: inotify(7) on its directory. Once a second
//!   all are looked at as well, which finds what inotify does not see: directories that come and go, network file
//!   systems, writers that never close. What only such a look finds has to be found twice, so that a file being written
//!   is not taken for an empty one.
//! - The number is what strtol(3) with base 0 reads, as in keepalived: what follows it is passed over. A file that is
//!   missing, no plain file, or without a number in front tells `None`.
//! - `init_file` is written when a file is watched for the first time in this run.
//! - All of that is done by a thread of its own, which a file system that hangs holds up, and nothing else.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc as commands;
use std::thread;

use mesh_config::model::TrackFile;
use tokio::sync::mpsc;
use tracing::error;

mod number;
#[cfg(test)]
mod tests;
mod watcher;

/// The files being watched, until this is dropped.
#[derive(Debug)]
pub struct Files {
    sets: commands::Sender<Vec<TrackFile>>,
    /// A byte says that there is a new set; closing it, that there will be none.
    wake: UnixStream,
}

impl Files {
    /// None yet. What is told of a file is made by `make` of its name and its number; that waits while the
    /// channel is full.
    ///
    /// # Errors
    ///
    /// There is no room for another thread, or for a pair of sockets.
    pub fn new<T: Send + 'static>(numbers: mpsc::Sender<T>, make: fn(String, Option<i64>) -> T) -> io::Result<Files> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (sets, receive) = commands::channel();
        thread::Builder::new()
            .name("files".to_owned())
            .spawn(move || watcher::Watcher::new(numbers, make, receive, woken).run())?;
        Ok(Files { sets, wake })
    }

    /// Watches these files from now on, and tells what is in each of them.
    pub fn watch(&mut self, files: Vec<TrackFile>) {
        if self.sets.send(files).is_err() {
            error!("tracked files are not watched any more: their thread has ended");
        }
        // A full pipe wakes it as well.
        let _ = self.wake.write(&[0]);
    }
}

/// Takes all bytes there are; whether there can be more.
fn drain(woken: &mut UnixStream) -> bool {
    loop {
        match woken.read(&mut [0; 64]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
