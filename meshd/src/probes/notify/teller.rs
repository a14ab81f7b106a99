//! The thread `meshd-notify`, and the handle by which the others tell it what to tell. None of them ever waits: what
//! finds no room is dropped and counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mesh_core::notify::Notice;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::{Dropped, Notifier, NotifySettings};
use crate::priority::Manner;
use crate::telemetry::Telemetry;
use crate::threads::{self, Ended};

/// Messages that may wait; each holds what one step has to tell.
const QUEUE: usize = 1024;

/// How long scripts, mail and readers of FIFOs have at the end. keepalived ends them after a second, in the middle of
/// what they do; a service manager has more patience than that.
pub const LAST_WORDS: Duration = Duration::from_secs(5);

/// For readers of FIFOs, whatever the others have left of that.
const LAST_LINES: Duration = Duration::from_millis(500);

/// Tells others, from any thread.
#[derive(Clone, Debug)]
pub struct Teller {
    queue: mpsc::Sender<Word>,
    losses: Arc<Losses>,
}

/// The running thread.
#[derive(Debug)]
pub struct NotifyThread {
    /// Resolves when it ended.
    pub ended: Ended,
    /// For the others.
    pub teller: Teller,
}

#[derive(Debug)]
enum Word {
    Tell(Vec<Notice>),
    Set(Box<NotifySettings>),
    End { keep: bool, done: oneshot::Sender<()> },
}

/// What was dropped since the start.
#[derive(Debug, Default)]
struct Losses {
    /// Notices that found the thread's queue full.
    notices: AtomicU64,
    scripts: AtomicU64,
    lines: AtomicU64,
    mail: AtomicU64,
}

/// Starts the thread. How scripts end is told by `telemetry`.
///
/// # Errors
///
/// The system has no room for another thread.
pub fn start(settings: NotifySettings, telemetry: Option<Telemetry>) -> anyhow::Result<NotifyThread> {
    let (queue, words) = mpsc::channel(QUEUE);
    let losses = Arc::new(Losses::default());
    let teller = Teller { queue, losses: Arc::clone(&losses) };
    let ended = threads::spawn("meshd-notify", Manner::default(), move || async move {
        work(Notifier::new(settings, telemetry), words, &losses).await;
        Ok(())
    })?;
    Ok(NotifyThread { ended, teller })
}

impl NotifyThread {
    /// Lets scripts, mail and readers of FIFOs end, as far as there is time. With `keep` nothing is waited for, and
    /// what runs goes on.
    pub async fn end(self, keep: bool) {
        let (done, ended) = oneshot::channel();
        let patience = LAST_WORDS + LAST_LINES + Duration::from_secs(1);
        let asked = async {
            // Where the thread is dead nobody takes this, and nobody answers.
            let _ = self.teller.queue.send(Word::End { keep, done }).await;
            let _ = ended.await;
        };
        if tokio::time::timeout(patience, asked).await.is_err() {
            tracing::warn!("notifications did not end within {patience:?}");
        }
    }
}

impl Teller {
    /// Takes what is to be told, in this order.
    pub fn tell(&self, notices: Vec<Notice>) {
        let count = notices.len() as u64;
        if self.queue.try_send(Word::Tell(notices)).is_err()
            && self.losses.notices.fetch_add(count, Ordering::Relaxed) == 0
        {
            tracing::warn!("notifications are dropped: {QUEUE} others wait; meshd counts them from now on");
        }
    }

    /// For what is told from now on; false when there was no room for a second.
    pub async fn set(&self, settings: NotifySettings) -> bool {
        self.queue.send_timeout(Word::Set(Box::new(settings)), Duration::from_secs(1)).await.is_ok()
    }

    /// What was dropped, by name.
    pub fn counters(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let Losses { notices, scripts, lines, mail } = &*self.losses;
        let all = [
            ("notify_notices_dropped", notices),
            ("notify_scripts_dropped", scripts),
            ("notify_lines_dropped", lines),
            ("notify_mail_dropped", mail),
        ];
        all.map(|(name, count)| (name, count.load(Ordering::Relaxed))).into_iter()
    }
}

async fn work(mut notifier: Notifier, mut words: mpsc::Receiver<Word>, losses: &Losses) {
    while let Some(word) = words.recv().await {
        match word {
            Word::Tell(notices) => notices.into_iter().for_each(|notice| notifier.tell(notice)),
            Word::Set(settings) => notifier.set(*settings),
            Word::End { keep, done } => {
                end(notifier, keep).await;
                // Whoever asked may have given up waiting.
                let _ = done.send(());
                return;
            }
        }
        let Dropped { scripts, lines, mail } = notifier.dropped();
        losses.scripts.store(scripts, Ordering::Relaxed);
        losses.lines.store(lines, Ordering::Relaxed);
        losses.mail.store(mail, Ordering::Relaxed);
    }
}

async fn end(mut notifier: Notifier, keep: bool) {
    if keep {
        return notifier.leave();
    }
    let deadline = Instant::now() + LAST_WORDS;
    if timeout_at(deadline, notifier.idle()).await.is_err() {
        tracing::warn!("notify scripts and mail that took more than {LAST_WORDS:?} at the end are cut off");
    }
    notifier.close_fifos();
    // Readers come to the end of what was written, and end.
    let _ = timeout_at(Instant::now() + LAST_LINES, notifier.readers_end()).await;
}

#[cfg(test)]
mod tests;
