//! Telling others: notify scripts, lines for FIFOs, mail. None of it is ever waited for by whoever asks, and what has
//! to be dropped is dropped with a warning and counted.
//!
//! ```text
//! teller   the thread all this runs on, and how others reach it
//! scripts  one after the other for each router, group or service
//! fifo     lines, and readers the scripts that read them
//! mail     by SMTP
//! once     the scripts of the start and the end
//! ```

use mesh_config::model::{Config, Fifo, Mail, ScriptSecurity};
use mesh_core::notify::Notice;

use crate::telemetry::Telemetry;

mod fifo;
mod mail;
pub(crate) use mail::unusable_address;
pub mod once;
mod readers;
mod scripts;
pub mod teller;
#[cfg(test)]
mod tests;

/// What the ways to tell need to know.
#[derive(Clone, Debug, Default)]
pub struct NotifySettings {
    /// `script_user` and `enable_script_security`.
    pub scripts: ScriptSecurity,
    /// To whom mail goes, and by which server.
    pub mail: Mail,
    /// The FIFOs there are.
    pub fifos: Vec<Fifo>,
}

impl NotifySettings {
    /// What a configuration says.
    pub fn of(config: &Config) -> NotifySettings {
        let fifos = [&config.notify.fifo, &config.notify.router_fifo, &config.lvs.notify_fifo];
        let fifos = fifos.into_iter().flatten().cloned().collect();
        NotifySettings { scripts: config.scripts.clone(), mail: config.mail.clone(), fifos }
    }
}

/// Tells others. Needs a tokio runtime with time and I/O.
#[derive(Debug)]
pub struct Notifier {
    scripts: scripts::Queues,
    fifos: fifo::Fifos,
    readers: readers::Readers,
    mail: mail::Mailer,
}

/// What was dropped since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Scripts that waited behind too many others of their key.
    pub scripts: u64,
    /// Lines no reader had room for.
    pub lines: u64,
    /// Mail that waited behind too much other mail, or no server took.
    pub mail: u64,
}

impl Notifier {
    /// Nothing is told yet; FIFOs are there, and their readers run. How scripts end is told by `telemetry`.
    pub fn new(settings: NotifySettings, telemetry: Option<Telemetry>) -> Notifier {
        let mut readers = readers::Readers::default();
        let fifos = fifo::Fifos::new(&settings.fifos, &settings.scripts);
        readers.set(&settings.fifos, &settings.scripts);
        Notifier {
            fifos,
            readers,
            scripts: scripts::Queues::new(settings.scripts, telemetry),
            mail: mail::Mailer::new(settings.mail),
        }
    }

    /// For what is told from now on.
    pub fn set(&mut self, settings: NotifySettings) {
        self.fifos.set(&settings.fifos, &settings.scripts);
        self.readers.set(&settings.fifos, &settings.scripts);
        self.scripts.set(settings.scripts);
        self.mail.set(settings.mail);
    }

    /// Tells one thing.
    pub fn tell(&mut self, notice: Notice) {
        match notice {
            Notice::Run { key, script, vips } => self.scripts.run(key, script, vips),
            Notice::WriteFifo { path, line } => self.fifos.write(&path, &line),
            Notice::Mail { subject, body } => self.mail.send(subject, body),
        }
    }

    /// What was dropped since the start.
    pub fn dropped(&self) -> Dropped {
        Dropped { scripts: self.scripts.dropped(), lines: self.fifos.dropped(), mail: self.mail.dropped() }
    }

    /// Until all scripts have ended and all mail is on its way: for the end of the daemon, with a deadline of the
    /// caller's. Dropping the notifier ends scripts that still run.
    pub async fn idle(&self) {
        self.scripts.idle().await;
        self.mail.idle().await;
    }

    /// Readers of FIFOs come to the end of what was written.
    pub fn close_fifos(&mut self) {
        self.fifos.close();
    }

    /// Until the readers of FIFOs have ended.
    pub async fn readers_end(&mut self) {
        self.readers.end().await;
    }

    /// Scripts that tell something go on, and FIFOs stay where they are. Their readers end: the next run has its own.
    pub fn leave(mut self) {
        self.fifos.leave();
        self.scripts.leave();
    }
}
