//! Tracked processes: whether enough of them run, and not too many.
//!
//! - The kernel tells of every process that begins, becomes another program, changes its name or ends (the proc
//!   connector, linux/cn_proc.h); each is looked at in /proc then, and all of them at the start and after
//!   the kernel had more to tell than there was room for.
//! - The proc connector speaks to the host's own network namespace and to root only. Elsewhere all are looked at
//!   twice a second, which finds what runs for longer than that.
//! - A process that has ended and was not waited for runs no more.
//! - A thread of its own does all of that: a busy host holds up nothing else.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc as commands;
use std::thread;

use mesh_config::model::TrackProcess;
use tokio::sync::mpsc;
use tracing::error;

mod connector;
mod table;
#[cfg(test)]
mod tests;
mod watcher;

/// The processes being watched, until this is dropped.
#[derive(Debug)]
pub struct Processes {
    sets: commands::Sender<Vec<TrackProcess>>,
    /// A byte says that there is a new set; closing it, that there will be none.
    wake: UnixStream,
}

impl Processes {
    /// None yet. What is told of one is made by `make` of its name and whether it is up; that waits while the
    /// channel is full.
    ///
    /// # Errors
    ///
    /// There is no room for another thread, or for a pair of sockets.
    pub fn new<T: Send + 'static>(states: mpsc::Sender<T>, make: fn(String, bool) -> T) -> io::Result<Processes> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (sets, receive) = commands::channel();
        thread::Builder::new()
            .name("processes".to_owned())
            .spawn(move || watcher::Watcher::new(states, make, receive, woken).run())?;
        Ok(Processes { sets, wake })
    }

    /// Watches these from now on, and tells of each of them.
    pub fn watch(&mut self, processes: Vec<TrackProcess>) {
        if self.sets.send(processes).is_err() {
            error!("tracked processes are not watched any more: their thread has ended");
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
