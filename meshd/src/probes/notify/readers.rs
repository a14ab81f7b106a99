//! Scripts that read FIFOs, as long as the daemon runs. One that ends is started again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mesh_config::model::{Fifo, Script, ScriptSecurity};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::warn;

use crate::probes::process::Programs;

/// Before one that ended is started again; it doubles up to [`LONGEST`].
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// All readers; ended when this is dropped.
#[derive(Debug, Default)]
pub(super) struct Readers {
    running: BTreeMap<PathBuf, Reader>,
}

#[derive(Debug)]
struct Reader {
    script: Script,
    security: ScriptSecurity,
    ending: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Readers {
    /// Runs the scripts of these FIFOs and no others; one that did not change is left alone.
    pub(super) fn set(&mut self, fifos: &[Fifo], security: &ScriptSecurity) {
        let mut before = std::mem::take(&mut self.running);
        for fifo in fifos {
            let Some(script) = fifo.script.clone() else { continue };
            let same = |reader: &Reader| reader.script == script && reader.security == *security;
            let reader = match before.remove(&fifo.path).filter(same) {
                Some(reader) => reader,
                None => start(script, &fifo.path, security.clone()),
            };
            self.running.insert(fifo.path.clone(), reader);
        }
    }

    /// Until all have ended by themselves; none is started again.
    pub(super) async fn end(&mut self) {
        for reader in self.running.values() {
            reader.ending.send_replace(true);
        }
        for reader in self.running.values_mut() {
            // An aborted or a dead task is an end, too.
            let _ = (&mut reader.task).await;
        }
    }
}

fn start(script: Script, path: &Path, security: ScriptSecurity) -> Reader {
    let mut command = script.clone();
    command.command.push(path.display().to_string());
    let programs = Arc::new(Programs::new(security.clone()));
    let (ending, end) = watch::channel(false);
    Reader { script, security, ending, task: tokio::spawn(run(command, programs, end)) }
}

async fn run(script: Script, programs: Arc<Programs>, mut ending: watch::Receiver<bool>) {
    let mut pause = PAUSE;
    loop {
        let name = script.command.join(" ");
        match programs.start(&script).await {
            Ok(mut group) => match group.wait().await {
                Ok(status) if !*ending.borrow() => warn!(script = name, "the reader of a FIFO ended: {status}"),
                Ok(_) => {}
                Err(error) => warn!(script = name, "the reader of a FIFO: {error}"),
            },
            Err(why) => warn!(script = name, "the reader of a FIFO cannot be started: {why}"),
        }
        tokio::select! {
            // Its sender lives as long as this task.
            _ = ending.wait_for(|ending| *ending) => return,
            () = sleep(pause) => pause = (pause * 2).min(LONGEST),
        }
    }
}
