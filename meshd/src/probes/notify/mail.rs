//! Mail by SMTP, one after the other.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use lettre::message::Mailbox;
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use mesh_config::model::Mail;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::warn;

/// Mail that waits.
pub(super) const MOST_WAITING: usize = 64;
/// One mail takes at most this many times `smtp_connect_timeout`: connection, greeting, HELO, sender, receivers, text.
const WHOLE: u32 = 3;

/// Sends mail, until this is dropped.
#[derive(Debug)]
pub(super) struct Mailer {
    settings: Option<Arc<Settings>>,
    queue: mpsc::Sender<Job>,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Job {
    settings: Arc<Settings>,
    subject: String,
    body: String,
}

/// What is needed to send anything.
#[derive(Debug)]
struct Settings {
    to: Vec<Mailbox>,
    from: Mailbox,
    server: (String, u16),
    helo_name: String,
    mail: Mail,
}

#[derive(Debug)]
struct Counts {
    dropped: AtomicU64,
    /// Waiting or being sent.
    open: watch::Sender<usize>,
}

impl Mailer {
    pub(super) fn new(mail: Mail) -> Mailer {
        let (queue, waiting) = mpsc::channel(MOST_WAITING);
        let counts = Arc::new(Counts { dropped: AtomicU64::new(0), open: watch::Sender::new(0) });
        tokio::spawn(work(waiting, Arc::clone(&counts)));
        Mailer { settings: Settings::new(mail).map(Arc::new), queue, counts }
    }

    pub(super) fn set(&mut self, mail: Mail) {
        self.settings = Settings::new(mail).map(Arc::new);
    }

    pub(super) fn send(&self, subject: String, body: String) {
        let Some(settings) = &self.settings else { return };
        let job = Job { settings: Arc::clone(settings), subject, body };
        self.counts.open.send_modify(|open| *open += 1);
        if let Err(error) = self.queue.try_send(job) {
            let (mpsc::error::TrySendError::Full(job) | mpsc::error::TrySendError::Closed(job)) = error;
            warn!(subject = job.subject, "mail is not sent: {MOST_WAITING} others wait for the server");
            self.counts.closed(false);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }

    pub(super) async fn idle(&self) {
        // Its sender is ours, and does not end before.
        let _ = self.counts.open.subscribe().wait_for(|open| *open == 0).await;
    }
}

impl Counts {
    fn closed(&self, sent: bool) {
        if !sent {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        self.open.send_modify(|open| *open -= 1);
    }
}

impl Settings {
    /// None where no mail is wanted, or none can be sent; the latter with a warning.
    fn new(mail: Mail) -> Option<Settings> {
        let server = mail.server.clone()?;
        let host = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
        let host = host.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned());
        let parse = |text: &String| match text.parse::<Mailbox>() {
            Ok(mailbox) => Some(mailbox),
            Err(error) => {
                warn!("`{text}` is no mail address: {error}");
                None
            }
        };
        let to: Vec<Mailbox> = mail.to.iter().filter_map(parse).collect();
        let from = parse(&mail.from.clone().unwrap_or_else(|| format!("keepalived@{host}")))?;
        if to.is_empty() {
            return None;
        }
        let helo_name = mail.helo_name.clone().unwrap_or(host);
        Some(Settings { to, from, server, helo_name, mail })
    }
}

async fn work(mut waiting: mpsc::Receiver<Job>, counts: Arc<Counts>) {
    while let Some(job) = waiting.recv().await {
        let limit = job.settings.mail.connect_timeout.saturating_mul(WHOLE);
        let sent = match timeout(limit, AssertUnwindSafe(send(&job)).catch_unwind()).await {
            Ok(Ok(sent)) => sent,
            Ok(Err(_)) => Err("sending failed".to_owned()),
            Err(_) => Err(format!("the server took more than {limit:?}")),
        };
        if let Err(why) = &sent {
            let (server, port) = &job.settings.server;
            warn!(subject = job.subject, server, port, "mail is not sent: {why}");
        }
        counts.closed(sent.is_ok());
    }
}

async fn send(job: &Job) -> Result<(), String> {
    let settings = &job.settings;
    let mut message = Message::builder().from(settings.from.clone()).subject(job.subject.clone());
    for receiver in &settings.to {
        message = message.to(receiver.clone());
    }
    let message = message.body(job.body.clone()).map_err(|error| error.to_string())?;
    let (server, port) = &settings.server;
    let transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server)
        .port(*port)
        .hello_name(ClientId::Domain(settings.helo_name.clone()))
        .timeout(Some(settings.mail.connect_timeout))
        .build();
    transport.send(message).await.map(drop).map_err(|error| error.to_string())
}
