//! A thread that looks at something of its own, for as long as somebody wants it to: files, processes.
//!
//! It waits in poll(2) for whatever it looks at, and besides for what it shall look at from now on. That it has ended
//! by itself is noticed at once, by [`Lookout::ended`].

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::mpsc as commands;
use std::thread;

use anyhow::bail;
use tokio::sync::oneshot;

#[cfg(test)]
mod tests;

/// The thread, as whoever started it has it: it ends when this is dropped.
#[derive(Debug)]
pub struct Lookout<S> {
    name: &'static str,
    sets: commands::Sender<S>,
    /// A byte says that there is a new set; closing it, that there will be none.
    wake: UnixStream,
    /// Closed when the thread is at its end, however it came there; nothing is ever sent.
    ended: oneshot::Receiver<()>,
}

/// The same, as the thread has it.
pub(super) struct Wishes<S> {
    sets: commands::Receiver<S>,
    woken: UnixStream,
}

/// Nobody wants the thread any more.
#[derive(Debug)]
pub(super) struct Unwanted;

impl<S: Send + 'static> Lookout<S> {
    /// Starts a thread of this name that runs `look` to its end.
    ///
    /// # Errors
    ///
    /// There is no room for another thread, or for a pair of sockets.
    pub(super) fn start(name: &'static str, look: impl FnOnce(Wishes<S>) + Send + 'static) -> io::Result<Lookout<S>> {
        let (wake, woken) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        let (sets, receive) = commands::channel();
        let (alive, ended) = oneshot::channel::<()>();
        thread::Builder::new().name(name.to_owned()).spawn(move || {
            let _alive = alive;
            look(Wishes { sets: receive, woken });
        })?;
        Ok(Lookout { name, sets, wake, ended })
    }

    /// Has it look at these from now on, and at nothing else.
    pub fn watch(&mut self, set: S) {
        // Whoever waits for its end hears of that.
        let _ = self.sets.send(set);
        // A full pipe wakes it as well.
        let _ = self.wake.write(&[0]);
    }

    /// Waits for the end of the thread, which comes only when it dies.
    ///
    /// # Errors
    ///
    /// It died; nothing else is ever returned.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        let _ = (&mut self.ended).await;
        bail!("the thread that looks at {} died", self.name)
    }
}

impl<S> Wishes<S> {
    /// Readable when there is another set, or none any more.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.woken.as_fd()
    }

    /// The newest set that was not taken yet.
    pub(super) fn take(&mut self) -> Result<Option<S>, Unwanted> {
        loop {
            match self.woken.read(&mut [0; 64]) {
                Ok(0) => return Err(Unwanted),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(self.sets.try_iter().last()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(Unwanted),
            }
        }
    }
}
