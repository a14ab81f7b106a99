//! Mail by SMTP, one after the other.
//!
//! What goes over the wire is keepalived's, but for the greeting: EHLO, which the library knows alone.

mod letter;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::FutureExt;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::Data;
use lettre::transport::smtp::extension::{ClientId, Extension};
use mesh_config::model::Mail;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::warn;

use letter::Mailbox;

/// Why no mail can go to or come from an address.
pub(crate) fn unusable_address(text: &str) -> Option<String> {
    Mailbox::parse(text).err()
}

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

    /// Sends mail, if there is somebody to send it to.
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
        let host = mesh_files::whole_host_name().unwrap_or_else(|| "localhost".to_owned());
        // Which of them are unusable is said with their places, when the file is read.
        let usable = |text: &str| Mailbox::parse(text).ok();
        let to: Vec<Mailbox> = mail.to.iter().filter_map(|text| usable(text)).collect();
        let from = usable(mail.from.as_deref().unwrap_or(&format!("keepalived@{host}")));
        let Some(from) = from.filter(|_| !to.is_empty()) else {
            if !mail.to.is_empty() {
                warn!("no mail is sent: there is no address to send it from, or none to send it to");
            }
            return None;
        };
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
    let text = letter::text(&settings.from, &settings.to, &job.subject, &job.body);
    let hello = ClientId::Domain(settings.helo_name.clone());
    let (server, port) = &settings.server;
    let limit = Some(settings.mail.connect_timeout);
    let connected = AsyncSmtpConnection::connect_tokio1((server.as_str(), *port), limit, &hello, None, None).await;
    let mut connection = connected.map_err(|error| error.to_string())?;
    let sent = converse(&mut connection, settings, &text).await;
    // Says goodbye, unless the connection is broken; nothing is lost with it.
    connection.abort().await;
    sent
}

/// Sender, receivers and text; a receiver that the server refuses is left out.
async fn converse(connection: &mut AsyncSmtpConnection, settings: &Settings, text: &[u8]) -> Result<(), String> {
    let failed = |error: lettre::transport::smtp::Error| error.to_string();
    let mut sender = format!("MAIL FROM:<{}>", settings.from.path());
    if settings.to.iter().chain([&settings.from]).any(|mailbox| !mailbox.path().is_ascii()) {
        if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err("the server takes no addresses beyond ASCII".to_owned());
        }
        sender.push_str(" SMTPUTF8");
    }
    connection.command(sender + "\r\n").await.map_err(failed)?;
    let mut taken = 0;
    for receiver in &settings.to {
        match connection.command(format!("RCPT TO:<{}>\r\n", receiver.path())).await {
            Ok(_) => taken += 1,
            Err(error) if error.is_permanent() || error.is_transient() => {
                warn!(receiver = receiver.path(), "the mail server refuses a receiver: {error}");
            }
            Err(error) => return Err(failed(error)),
        }
    }
    if taken == 0 {
        return Err("the server refuses all receivers".to_owned());
    }
    connection.command(Data).await.map_err(failed)?;
    connection.message(text).await.map(drop).map_err(failed)
}
