//! Telling others: notify scripts, lines for FIFOs, mail. None of it is ever waited for by whoever asks, and what has
//! to be dropped is dropped with a warning and counted.

use std::path::Path;

use mesh_config::model::{Mail, Script, ScriptSecurity};

mod fifo;
mod mail;
mod scripts;
#[cfg(test)]
mod tests;

/// What the ways to tell need to know.
#[derive(Clone, Debug, Default)]
pub struct NotifySettings {
    /// `script_user` and `enable_script_security`.
    pub scripts: ScriptSecurity,
    /// To whom mail goes, and by which server.
    pub mail: Mail,
}

/// Tells others. Needs a tokio runtime with time and I/O.
#[derive(Debug)]
pub struct Notifier {
    scripts: scripts::Queues,
    fifos: fifo::Fifos,
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
    /// Nothing is told yet.
    pub fn new(settings: NotifySettings) -> Notifier {
        Notifier {
            fifos: fifo::Fifos::new(&settings.scripts),
            scripts: scripts::Queues::new(settings.scripts),
            mail: mail::Mailer::new(settings.mail),
        }
    }

    /// For what is told from now on.
    pub fn set(&mut self, settings: NotifySettings) {
        self.fifos.set(&settings.scripts);
        self.scripts.set(settings.scripts);
        self.mail.set(settings.mail);
    }

    /// Runs a script after those of the same key that were asked for before it, and never beside one of them. Too many
    /// that wait push out the oldest.
    pub fn run(&self, key: String, script: Script) {
        self.scripts.run(key, script);
    }

    /// Writes a line to a FIFO, which is made where there is none, if its reader has room for it.
    pub fn write_fifo(&mut self, path: &Path, line: &str) {
        self.fifos.write(path, line);
    }

    /// Sends mail, if there is somebody to send it to.
    pub fn mail(&self, subject: String, body: String) {
        self.mail.send(subject, body);
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
}
