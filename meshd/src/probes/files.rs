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

use std::io;

use mesh_config::model::TrackFile;
use tokio::sync::mpsc;

use super::lookout::Lookout;

mod number;
#[cfg(test)]
mod tests;
mod watcher;

/// The files being watched, until this is dropped: [`Lookout::watch`] tells what is in each of the new ones.
pub type Files = Lookout<Vec<TrackFile>>;

/// None yet. What is told of a file is made by `make` of its name and its number; that waits while the channel is
/// full.
///
/// # Errors
///
/// There is no room for another thread, or for a pair of sockets.
pub fn start<T: Send + 'static>(numbers: mpsc::Sender<T>, make: fn(String, Option<i64>) -> T) -> io::Result<Files> {
    Lookout::start("files", move |wishes| watcher::Watcher::new(numbers, make, wishes).run())
}
