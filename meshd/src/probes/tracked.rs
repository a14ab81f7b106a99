//! What virtual routers and their groups track besides scripts, told to the engine.

use mesh_config::model::{TrackFile, TrackProcess};
use mesh_core::Input;
use mesh_core::tracking::Kind;
use tokio::sync::{mpsc, watch};

use super::files::{self, Files};
use super::processes::{self, Processes};

/// Those who look at tracked files and processes.
pub struct Tracked {
    files: Files,
    processes: Processes,
}

impl Tracked {
    /// They look at nothing yet.
    ///
    /// # Errors
    ///
    /// There is no room for their threads.
    pub fn new(inputs: &mpsc::Sender<Input>) -> std::io::Result<Tracked> {
        // A file without a number is one with 0 in it, as in keepalived.
        let number = |name, value: Option<i64>| Input::Tracked { kind: Kind::File, name, value: value.unwrap_or(0) };
        let state = |name, up| Input::Tracked { kind: Kind::Process, name, value: i64::from(up) };
        Ok(Tracked {
            files: files::start(inputs.clone(), number)?,
            processes: processes::start(inputs.clone(), state)?,
        })
    }

    /// Has them look at whatever there is to look at, until nobody says so any more.
    ///
    /// # Errors
    ///
    /// One of them died.
    pub async fn follow(
        mut self,
        mut sets: watch::Receiver<(Vec<TrackFile>, Vec<TrackProcess>)>,
    ) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                changed = sets.changed() => if changed.is_err() { return Ok(()) },
                died = self.files.ended() => return died,
                died = self.processes.ended() => return died,
            }
            let (files, processes) = sets.borrow_and_update().clone();
            self.files.watch(files);
            self.processes.watch(processes);
        }
    }
}
