//! meshd.toml.
//!
//! The same model as keepalived.conf, with one word for each thing, units in durations and no
//! guessing: an unknown key, a value out of range or a reference to nothing is an error with its
//! place. deploy/examples/meshd.toml shows and explains every key.

mod bfd;
mod conduct;
mod lower;
mod notify;
mod read;
mod schema;
mod services;
mod text;
mod write;

pub use self::write::{same, write};

use std::ops::Range;
use std::path::Path;

use crate::finish;
use crate::host::{Files, Host};
use crate::iproute::Names;
use crate::model::Config;
use crate::report::{Finding, Place, Report, Severity};

/// Reads a meshd.toml, and the files that hold its keys; `file` is for the report only. No configuration
/// when anything found is an error.
pub fn parse(file: &Path, text: &str, host: &Host<'_>) -> (Option<Config>, Report) {
    let mut source = Source {
        file,
        lines: line_starts(text),
        text,
        files: host.files,
        names: Names::new(host.files),
        report: Report::default(),
    };
    let config = read::read(&mut source);
    finish::finish(config, source.report)
}

/// The text, to turn spans into places, and what was found in it.
struct Source<'t> {
    file: &'t Path,
    text: &'t str,
    files: &'t dyn Files,
    /// The host's names for numbers of routes and rules.
    names: Names<'t>,
    /// Byte at which each line starts.
    lines: Vec<usize>,
    report: Report,
}

impl Source<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        let line = self.lines.partition_point(|start| *start <= span.start).max(1);
        let before = self.text.get(self.lines[line - 1]..span.start).unwrap_or_default();
        Place { file: self.file.to_path_buf(), line, column: before.chars().count() + 1 }
    }

    fn error(&mut self, span: Range<usize>, message: String) {
        self.find(span, Severity::Error, message);
    }

    fn warning(&mut self, span: Range<usize>, message: String) {
        self.find(span, Severity::Warning, message);
    }

    fn ignored(&mut self, span: Range<usize>, message: String) {
        self.find(span, Severity::Ignored, message);
    }

    fn find(&mut self, span: Range<usize>, severity: Severity, message: String) {
        let place = self.place(span);
        self.report.findings.push(Finding { place, severity, message });
    }
}

fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect()
}

#[cfg(test)]
mod tests;
