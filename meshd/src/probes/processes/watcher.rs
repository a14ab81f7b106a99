//! The thread that looks.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use mesh_config::model::TrackProcess;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::connector::{Connector, Event};
use super::table::{Entry, Process};
use crate::clock;
use crate::probes::lookout::Wishes;

/// Between two looks at everything where the kernel does not tell.
const LOOK: Duration = Duration::from_millis(500);

/// What it knows.
pub(super) struct Watcher<T> {
    states: mpsc::Sender<T>,
    make: fn(String, bool) -> T,
    wishes: Wishes<Vec<TrackProcess>>,
    entries: Vec<Entry>,
    connector: Option<Connector>,
    /// That there is none was told.
    told: bool,
}

impl<T: Send + 'static> Watcher<T> {
    pub(super) fn new(
        states: mpsc::Sender<T>,
        make: fn(String, bool) -> T,
        wishes: Wishes<Vec<TrackProcess>>,
    ) -> Watcher<T> {
        Watcher { states, make, wishes, entries: Vec::new(), connector: None, told: false }
    }

    /// Until nobody asks or nobody listens any more.
    pub(super) fn run(mut self) {
        loop {
            self.wait();
            let Ok(processes) = self.wishes.take() else { return };
            if self.states.is_closed() {
                return;
            }
            match processes {
                Some(processes) => self.replace(processes),
                None => self.follow(),
            }
            let now = clock::now();
            for index in 0..self.entries.len() {
                let entry = &mut self.entries[index];
                if let Some(up) = entry.tell(now) {
                    let state = (self.make)(entry.config.name.clone(), up);
                    if self.states.blocking_send(state).is_err() {
                        return;
                    }
                }
            }
        }
    }

    /// Waits for a cause to look.
    fn wait(&self) {
        let now = clock::now();
        let look = (self.connector.is_none() && !self.entries.is_empty()).then_some(LOOK);
        let due = self.entries.iter().filter_map(Entry::deadline).map(|at| at.since(now)).min();
        // Rounded up: a millisecond too early would be one look too many.
        let wait = look.into_iter().chain(due).min().map(|wait| wait + Duration::from_millis(1));
        let timeout = wait.map_or(PollTimeout::NONE, |w| PollTimeout::try_from(w).unwrap_or(PollTimeout::MAX));
        let mut sources = vec![PollFd::new(self.wishes.fd(), PollFlags::POLLIN)];
        sources.extend(self.connector.as_ref().map(|connector| PollFd::new(connector.fd(), PollFlags::POLLIN)));
        // A signal is as good a cause as any.
        let _ = poll(&mut sources, timeout);
    }

    /// Another set; each of it is told of.
    fn replace(&mut self, processes: Vec<TrackProcess>) {
        self.entries = processes.into_iter().map(Entry::new).collect();
        // Before the look: what happens between is told of.
        self.connector = if self.entries.is_empty() { None } else { self.subscribe() };
        self.look_at_all();
    }

    fn subscribe(&mut self) -> Option<Connector> {
        match Connector::open() {
            Ok(connector) => Some(connector),
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    info!("tracked processes are looked for every {LOOK:?}: the kernel does not tell of them: {error}");
                }
                None
            }
        }
    }

    /// What has happened since.
    fn follow(&mut self) {
        let Some(connector) = &self.connector else { return self.look_at_all() };
        let Some(events) = connector.read() else {
            warn!("events of processes were lost; all are looked at again");
            return self.look_at_all();
        };
        for event in events {
            let (pid, process) = match event {
                Event::Changed(pid) => (pid, read(pid, self.needs_arguments())),
                Event::Ended(pid) => (pid, None),
            };
            self.entries.iter_mut().for_each(|entry| entry.note(pid, process.as_ref()));
        }
    }

    fn needs_arguments(&self) -> bool {
        self.entries.iter().any(Entry::needs_arguments)
    }

    fn look_at_all(&mut self) {
        if self.entries.is_empty() {
            return;
        }
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let arguments = self.needs_arguments();
        let all: BTreeMap<u32, Process> = pids.filter_map(|pid| Some((pid, read(pid, arguments)?))).collect();
        self.entries.iter_mut().for_each(|entry| entry.replace(&all));
    }
}

/// What /proc says of a process; `None` where there is none, or none that runs.
pub(super) fn read(pid: u32, arguments: bool) -> Option<Process> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // `PID (NAME) STATE`, where a name may have brackets and blanks.
    let (head, rest) = stat.rsplit_once(')')?;
    let (_, comm) = head.split_once('(')?;
    if matches!(rest.trim_start().chars().next()?, 'Z' | 'X' | 'x') {
        return None;
    }
    let arguments = if arguments { fs::read(format!("/proc/{pid}/cmdline")).ok()? } else { Vec::new() };
    let words = arguments.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let mut arguments: Vec<String> = words.collect();
    // Every argument ends with a NUL.
    arguments.pop();
    Some(Process { comm: comm.to_owned(), arguments })
}
