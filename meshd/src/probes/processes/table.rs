//! Which processes are whose, how many that makes, and for how long.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_config::model::{ParameterMatch, TrackProcess};
use mesh_core::Instant;

/// What /proc says of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    /// Its name in the kernel, at most 15 bytes.
    pub(super) comm: String,
    /// What it was called by; empty for threads of the kernel.
    pub(super) arguments: Vec<String>,
}

/// So many bytes of a name the kernel keeps.
const COMM: usize = 15;

/// One tracked process.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) config: TrackProcess,
    /// Those that are it.
    matching: BTreeSet<u32>,
    /// What was told last.
    told: Option<bool>,
    /// The number has said otherwise since then.
    since: Option<Instant>,
}

impl Entry {
    pub(super) fn new(config: TrackProcess) -> Entry {
        Entry { config, matching: BTreeSet::new(), told: None, since: None }
    }

    /// Whether what it was called by has to be known.
    pub(super) fn needs_arguments(&self) -> bool {
        self.config.full_command || self.config.command.len() > 1 || self.config.parameters != ParameterMatch::Given
    }

    /// Everything there is.
    pub(super) fn replace(&mut self, processes: &BTreeMap<u32, Process>) {
        self.matching =
            processes.iter().filter(|(_, process)| matches(&self.config, process)).map(|(pid, _)| *pid).collect();
    }

    /// One process as it is now; `None` is gone.
    pub(super) fn note(&mut self, pid: u32, process: Option<&Process>) {
        if process.is_some_and(|process| matches(&self.config, process)) {
            self.matching.insert(pid);
        } else {
            self.matching.remove(&pid);
        }
    }

    fn is_up(&self) -> bool {
        let count = u32::try_from(self.matching.len()).unwrap_or(u32::MAX);
        count >= self.config.quorum && self.config.quorum_max.is_none_or(|most| count <= most)
    }

    /// What there is to tell: at first at once, later when it has lasted.
    pub(super) fn tell(&mut self, now: Instant) -> Option<bool> {
        let up = self.is_up();
        match self.told {
            Some(told) if told == up => {
                self.since = None;
                return None;
            }
            Some(_) if now < *self.since.get_or_insert(now) + self.delay(up) => return None,
            Some(_) | None => {}
        }
        self.since = None;
        self.told = Some(up);
        Some(up)
    }

    /// When there is something to tell, if nothing else happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + self.delay(self.is_up()))
    }

    fn delay(&self, up: bool) -> Duration {
        if up { self.config.fork_delay } else { self.config.terminate_delay }
    }
}

/// Whether a process is this one. The program is compared with its name in the kernel, which is cut off after 15
/// bytes and has no directory; with what it was called by where parameters count or the configuration says so.
pub(super) fn matches(config: &TrackProcess, process: &Process) -> bool {
    let (program, wanted) = config.command.split_first().expect("the model holds a program");
    let by_call = config.full_command || config.command.len() > 1 || config.parameters != ParameterMatch::Given;
    let Some((called, given)) = process.arguments.split_first().filter(|_| by_call) else {
        let name = program.rsplit('/').next().unwrap_or(program);
        return !by_call && process.comm.as_bytes() == &name.as_bytes()[..name.len().min(COMM)];
    };
    called == program
        && match config.parameters {
            ParameterMatch::Given if wanted.is_empty() => true,
            ParameterMatch::Given | ParameterMatch::Exact => given == wanted,
            ParameterMatch::Partial => given.starts_with(wanted),
            ParameterMatch::Initial => match wanted.split_last() {
                None => true,
                Some((last, before)) => {
                    given.starts_with(before)
                        && given.get(before.len()).is_some_and(|word| word.starts_with(last.as_str()))
                }
            },
        }
}
