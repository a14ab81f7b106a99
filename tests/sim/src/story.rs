//! What happened, in lines that are the same for the same seed.

use std::collections::VecDeque;
use std::fmt::Write;

use crate::clock::Time;

/// Lines kept for a report.
const TAIL: usize = 50;

/// The log of one run.
#[derive(Debug, Default)]
pub struct Story {
    tail: VecDeque<String>,
    /// Everything, messages included, where asked for.
    whole: Option<String>,
}

impl Story {
    /// Keeps everything when `whole` is set, else the last lines without messages.
    pub fn new(whole: bool) -> Self {
        Story { tail: VecDeque::new(), whole: whole.then(String::new) }
    }

    /// Something worth telling.
    pub fn tell(&mut self, at: Time, who: &str, what: impl FnOnce() -> String) {
        let line = format!("{:10.6} {who:<5} {}", at.as_secs_f64(), what());
        if let Some(whole) = &mut self.whole {
            writeln!(whole, "{line}").expect("a String takes everything");
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// Something only told in full.
    pub fn detail(&mut self, at: Time, who: &str, what: impl FnOnce() -> String) {
        if let Some(whole) = &mut self.whole {
            writeln!(whole, "{:10.6} {who:<5}   {}", at.as_secs_f64(), what()).expect("a String takes everything");
        }
    }

    /// The last lines.
    pub fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }

    /// Everything, where it was kept.
    pub fn whole(&self) -> &str {
        self.whole.as_deref().unwrap_or("")
    }
}
