//! What all parts of the lowering share: saying things, and reading parameters.

use std::path::Path;

use super::keywords::{Context, INCLUDES, Standing};
use super::tree::{At, Statement, Word};
use crate::report::{Finding, Place, Report, Severity};

/// The report being written.
pub(super) struct Lower<'t> {
    file: &'t Path,
    pub(super) text: &'t str,
    report: Report,
}

impl<'t> Lower<'t> {
    pub(super) fn new(file: &'t Path, text: &'t str) -> Self {
        Lower { file, text, report: Report::default() }
    }

    pub(super) fn into_report(self) -> Report {
        self.report
    }

    pub(super) fn place(&self, at: At) -> Place {
        Place { file: self.file.to_path_buf(), line: at.line, column: at.column }
    }

    pub(super) fn places(&mut self) -> &mut crate::report::Places {
        &mut self.report.places
    }

    pub(super) fn error(&mut self, at: At, message: String) {
        self.say(at, Severity::Error, message);
    }

    pub(super) fn warning(&mut self, at: At, message: String) {
        self.say(at, Severity::Warning, message);
    }

    pub(super) fn ignored(&mut self, at: At, message: String) {
        self.say(at, Severity::Ignored, message);
    }

    fn say(&mut self, at: At, severity: Severity, message: String) {
        let place = self.place(at);
        self.report.findings.push(Finding { place, severity, message });
    }

    /// The first parameter; keepalived stops at a keyword without one, and so do we.
    pub(super) fn parameter<'s>(&mut self, statement: &'s Statement<'_>, expected: &str) -> Option<&'s Word<'s>> {
        let word = statement.parameters().first();
        if word.is_none() {
            let keyword = statement.keyword();
            self.error(statement.at(), format!("`{keyword}` has no value; expected {expected}"));
        }
        word
    }

    /// A first parameter that `read` understands, otherwise a warning and the fate of the keyword (`instead`).
    pub(super) fn value<T>(
        &mut self,
        statement: &Statement<'_>,
        expected: &str,
        instead: &str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let word = self.parameter(statement, expected)?;
        let value = read(&word.text);
        if value.is_none() {
            let keyword = statement.keyword();
            self.warning(
                word.at,
                format!("`{}` is no value for `{keyword}`: expected {expected}; {instead}", word.text),
            );
        }
        value
    }

    /// A leaf keyword with a block swallows what follows it.
    pub(super) fn no_block(&mut self, statement: &Statement<'_>) {
        if let Some(block) = &statement.block {
            let keyword = statement.keyword();
            self.error(block.open, format!("`{keyword}` takes no block; expected its value and the end of the line"));
        }
    }

    /// A keyword this version does not act upon in this context.
    pub(super) fn other(&mut self, context: &Context, statement: &Statement<'_>) {
        let (keyword, at) = (statement.keyword(), statement.at());
        if self.language(statement) {
            return;
        }
        match context.standing(keyword) {
            Standing::Acted => self.warning(at, format!("`{keyword}` is not read here; skipped")),
            Standing::Harmless => self.ignored(at, format!("`{keyword}` has no effect in this version")),
            Standing::Differs(instead) => self.warning(at, format!("`{keyword}` is not supported yet: {instead}")),
            Standing::Unknown { belongs: Some(block), .. } => {
                self.warning(at, format!("`{keyword}` belongs in `{block}`, not in {}; skipped", inside(context)));
            }
            Standing::Unknown { meant: Some(meant), .. } => {
                self.warning(at, format!("unknown keyword `{keyword}`; skipped (did you mean `{meant}`?)"));
            }
            Standing::Unknown { .. } => {
                self.warning(at, format!("unknown keyword `{keyword}` in {}; skipped", inside(context)));
            }
        }
    }

    /// Reports what the language has and we do not; true when the statement is such a one.
    pub(super) fn language(&mut self, statement: &Statement<'_>) -> bool {
        let (keyword, at) = (statement.keyword(), statement.at());
        let what = if INCLUDES.contains(&keyword) {
            "`include` is not supported yet: put the file's text here"
        } else if keyword.starts_with('@') {
            "conditional lines (`@id`) are not supported yet: write one file for each host"
        } else if keyword.starts_with('$') {
            "variables are not supported yet: write the value"
        } else if keyword.starts_with("~SEQ(") || keyword.starts_with("~SEQx(") || keyword.starts_with("~LST(") {
            "loops are not supported yet: write the lines"
        } else if let Some(word) = statement.parameters().iter().find(|w| w.text.contains("${")) {
            self.error(word.at, format!("variables are not supported yet: write the value of `{}`", word.text));
            return true;
        } else {
            return false;
        };
        self.error(at, what.into());
        true
    }
}

fn inside(context: &Context) -> String {
    if context.name.contains(' ') { context.name.into() } else { format!("`{}`", context.name) }
}
