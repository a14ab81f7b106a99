//! Tracked processes: whether enough of them run, and not too many.
//!
//! - The kernel tells of every process that begins, becomes another program, changes its name or ends (the proc
//!   connector, linux/cn_proc.h); each is looked at in /proc then, and all of them at the start and after
//!   the kernel had more to tell than there was room for.
//! - The proc connector speaks to the host's own network namespace and to root only. Elsewhere all are looked at
//!   twice a second, which finds what runs for longer than that.
//! - A process that has ended and was not waited for runs no more.
//! - A thread of its own does all of that: a busy host holds up nothing else.

use std::io;

use mesh_config::model::TrackProcess;
use tokio::sync::mpsc;

use super::lookout::Lookout;

mod connector;
mod table;
#[cfg(test)]
mod tests;
mod watcher;

/// The processes being watched, until this is dropped: [`Lookout::watch`] tells of each of the new ones.
pub type Processes = Lookout<Vec<TrackProcess>>;

/// None yet. What is told of one is made by `make` of its name and whether it is up; that waits while the channel is
/// full.
///
/// # Errors
///
/// There is no room for another thread, or for a pair of sockets.
pub fn start<T: Send + 'static>(states: mpsc::Sender<T>, make: fn(String, bool) -> T) -> io::Result<Processes> {
    Lookout::start("processes", move |wishes| watcher::Watcher::new(states, make, wishes).run())
}
