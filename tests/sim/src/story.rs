//! What happened, in lines that are the same for the same seed.

use std::collections::VecDeque;
use std::fmt::Write;

use mesh_wire::fnv;

use crate::clock::Time;

/// Lines kept for a report.
const TAIL: usize = 50;

/// What is kept of a run's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recording {
    /// The last lines, without messages.
    #[default]
    Tail,
    /// A digest of everything, messages included.
    Digest,
    /// Everything, messages included.
    Whole,
}

/// The log of one run.
#[derive(Debug, Default)]
pub struct Story {
    recording: Recording,
    tail: VecDeque<String>,
    whole: String,
    digest: u64,
}

impl Story {
    /// An empty log.
    pub fn new(recording: Recording) -> Self {
        Story { recording, tail: VecDeque::new(), whole: String::new(), digest: fnv::hash(b"") }
    }

    /// Something worth telling.
    pub fn tell(&mut self, at: Time, who: &str, what: impl FnOnce() -> String) {
        let line = format!("{:10.6} {who:<5} {}", at.as_secs_f64(), what());
        self.record(&line);
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// Something only told in full.
    pub fn detail(&mut self, at: Time, who: &str, what: impl FnOnce() -> String) {
        if self.recording != Recording::Tail {
            self.record(&format!("{:10.6} {who:<5}   {}", at.as_secs_f64(), what()));
        }
    }

    fn record(&mut self, line: &str) {
        match self.recording {
            Recording::Tail => {}
            Recording::Whole => writeln!(self.whole, "{line}").expect("a String takes everything"),
            Recording::Digest => self.digest = fnv::more(fnv::more(self.digest, line.as_bytes()), b"\n"),
        }
    }

    /// The last lines.
    pub fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }

    /// Everything, where it was kept.
    pub fn whole(&self) -> &str {
        &self.whole
    }

    /// FNV-1a of everything, where that was asked for: equal for equal stories.
    pub fn digest(&self) -> u64 {
        self.digest
    }
}
