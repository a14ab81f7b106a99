//! What a thread shows of itself, made when somebody asks: nothing is made that nobody reads, however many ask
//! it is not made more often than its maker wants, and who asks waits no longer than it wants.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

#[cfg(test)]
mod tests;

/// What was made, and how long that is good enough for whoever asks.
#[derive(Debug)]
struct Made<T> {
    what: Arc<T>,
    at: Instant,
    good_until: Instant,
}

/// The end of the thread that makes it.
#[derive(Debug)]
pub struct Maker<T> {
    made: watch::Sender<Made<T>>,
    wanted: Arc<Notify>,
    /// Somebody asked, and has no answer yet.
    asked: bool,
}

/// The end of those that ask.
#[derive(Debug)]
pub struct Asker<T> {
    made: watch::Receiver<Made<T>>,
    wanted: Arc<Notify>,
}

/// There was no answer.
#[derive(Debug)]
pub struct Silence<T> {
    /// What was made last.
    pub last: Arc<T>,
    /// How long ago.
    pub age: Duration,
}

/// Both ends. The first to ask does not get `first`, unless there is no answer.
pub fn channel<T>(first: T) -> (Maker<T>, Asker<T>) {
    let now = Instant::now();
    let (made, seen) = watch::channel(Made { what: Arc::new(first), at: now, good_until: now });
    let wanted = Arc::new(Notify::new());
    (Maker { made, wanted: Arc::clone(&wanted), asked: false }, Asker { made: seen, wanted })
}

impl<T> Maker<T> {
    /// Resolves when it is time to [`show`](Maker::show). Dropping the future loses nothing.
    pub async fn due(&mut self) {
        if !self.asked {
            self.wanted.notified().await;
            self.asked = true;
        }
        let again_at = self.made.borrow().good_until;
        // A timer takes a millisecond even where it is over.
        if Instant::now() < again_at {
            sleep_until(again_at).await;
        }
    }

    /// Answers all that asked. Who asks in the next `pause` gets the same.
    pub fn show(&mut self, what: T, pause: Duration) {
        self.asked = false;
        // Who asked meanwhile is answered with this, too.
        let _ = self.wanted.notified().now_or_never();
        let at = Instant::now();
        self.made.send_replace(Made { what: Arc::new(what), at, good_until: at + pause });
    }
}

impl<T> Asker<T> {
    /// What there is now, give or take the maker's pause.
    ///
    /// # Errors
    ///
    /// Its maker does not answer for so long, or is gone.
    pub async fn ask(&self, patience: Duration) -> Result<Arc<T>, Silence<T>> {
        let mut asker = self.clone();
        let is_there = self.made.has_changed().is_ok();
        let good = {
            let made = asker.made.borrow_and_update();
            (is_there && Instant::now() < made.good_until).then(|| Arc::clone(&made.what))
        };
        if let Some(good) = good {
            return Ok(good);
        }
        timeout(patience, asker.next()).await.ok().flatten().ok_or_else(|| {
            let made = self.made.borrow();
            Silence { last: Arc::clone(&made.what), age: made.at.elapsed() }
        })
    }

    /// What was made after what this gave last, at once or as soon as the maker likes; nothing when that is gone.
    pub async fn next(&mut self) -> Option<Arc<T>> {
        self.wanted.notify_one();
        self.made.changed().await.ok()?;
        Some(Arc::clone(&self.made.borrow_and_update().what))
    }
}

impl<T> Clone for Asker<T> {
    fn clone(&self) -> Asker<T> {
        Asker { made: self.made.clone(), wanted: Arc::clone(&self.wanted) }
    }
}
