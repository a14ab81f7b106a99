//! What all parts of the lowering share: saying things, and reading parameters.

use std::collections::{BTreeMap, BTreeSet};

use super::keywords::{Context, INCLUDES, Standing};
use super::language::Source;
use super::tree::{At, Broken, Statement, Word};
use super::values;
use crate::host::Files;
use crate::iproute::Names;
use crate::report::{Finding, Place, Report, Severity};

/// Findings of one severity that are kept; a file of nonsense has millions.
const MOST_FINDINGS: usize = 20_000;

/// The report being written.
pub(super) struct Lower<'t> {
    source: &'t Source,
    pub(super) text: &'t str,
    /// The host's files, for keys that are in files of their own.
    pub(super) files: &'t dyn Files,
    /// Its names for numbers of routes and rules.
    pub(super) names: Names<'t>,
    /// Where each `vrrp_script` stands, by its name.
    pub(super) scripts: BTreeMap<String, At>,
    /// The same for all else that is tracked, by the block and its name.
    trackable: BTreeMap<(&'static str, String), At>,
    report: Report,
    /// What was said about lines that are read more than once.
    said: BTreeSet<(Place, String)>,
    /// How many findings there are of each severity, and the last one that was not kept.
    counts: BTreeMap<Severity, usize>,
}

impl<'t> Lower<'t> {
    /// `found` is what reading the source has found.
    pub(super) fn new(source: &'t Source, files: &'t dyn Files, found: Vec<Finding>) -> Self {
        let report = Report { findings: found, ..Report::default() };
        let (scripts, trackable, said, counts) = Default::default();
        let names = Names::new(files);
        Lower { source, text: &source.text, files, names, scripts, trackable, report, said, counts }
    }

    /// Notes that this block defines an object of this name.
    pub(super) fn define(&mut self, block: &'static str, name: &str, at: At) {
        self.trackable.insert((block, name.to_owned()), at);
    }

    /// Where an object of this name is defined by this block.
    pub(super) fn defined(&self, block: &'static str, name: &str) -> Option<At> {
        let script = self.scripts.get(name).filter(|_| block == "vrrp_script");
        script.or_else(|| self.trackable.get(&(block, name.to_owned()))).copied()
    }

    pub(super) fn into_report(mut self) -> Report {
        for (severity, count) in std::mem::take(&mut self.counts) {
            if let Some(more) = count.checked_sub(MOST_FINDINGS).filter(|more| *more > 0) {
                let place = self.report.findings.iter().rev().find(|f| f.severity == severity).map(|f| f.place.clone());
                let message = format!("{more} more findings of this kind are not listed");
                self.report.findings.extend(place.map(|place| Finding { place, severity, message }));
            }
        }
        self.report
    }

    pub(super) fn place(&self, at: At) -> Place {
        self.source.place(at)
    }

    /// `line 7`, for a message at another place.
    pub(super) fn line(&self, at: At, seen_from: At) -> String {
        self.source.line(at, seen_from)
    }

    /// A structure that is broken.
    pub(super) fn broken(&mut self, broken: Broken) {
        let Broken { at, message, other } = broken;
        let message = match other {
            Some((other, rest)) => format!("{message} in {}{rest}", self.line(other, at)),
            None => message,
        };
        self.error(at, message);
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
        let count = self.counts.entry(severity).or_default();
        *count += 1;
        if *count > MOST_FINDINGS {
            return;
        }
        let place = self.place(at);
        let message = match self.source.via(at) {
            // Said where the variable is used first.
            Some(_) if !self.said.insert((place.clone(), message.clone())) => return,
            Some(via) => format!("{message} ({via})"),
            None if self.source.repeated(at) && !self.said.insert((place.clone(), message.clone())) => return,
            None => message,
        };
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
            Standing::Unknown { meant, .. } if context.holds_secrets() => {
                let hint = meant.map(|meant| format!(" (did you mean `{meant}`?)")).unwrap_or_default();
                // It may be a password without its keyword.
                self.warning(at, format!("unknown keyword in {}; skipped{hint}", inside(context)));
            }
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

    /// Reports what is left of the language where it cannot be understood; true when the statement
    /// is nothing else.
    pub(super) fn language(&mut self, statement: &Statement<'_>) -> bool {
        let (keyword, at) = (statement.keyword(), statement.at());
        if INCLUDES.contains(&keyword) {
            self.warning(at, format!("`{keyword}` has no file name; skipped"));
            return true;
        }
        if keyword.starts_with('@') {
            self.warning(at, format!("`{keyword}`: a line takes one condition; the line is skipped"));
            return true;
        }
        if keyword.starts_with('$') && keyword.contains('=') {
            self.warning(at, format!("`{keyword}` defines nothing: expected `$NAME=value`, where a name has letters, digits and `_`; skipped"));
            return true;
        }
        if let Some(word) = statement.words.iter().find(|w| !w.quoted && w.text.contains("${")) {
            // What stands around it may be a part of a password.
            let message = match self.undefined(&word.text) {
                Some((name, hint)) => {
                    format!("`${{{name}}}` is not defined; expected `$NAME=value` in an earlier line{hint}")
                }
                None => "`${` begins no variable; expected quotes around it, or `${NAME}`".to_owned(),
            };
            self.error(word.at, message);
            return true;
        }
        // A `$` is an ordinary character in files that have no variables.
        if let Some(word) = statement.parameters().iter().find(|w| !w.quoted && w.text.starts_with('$'))
            && !self.source.defined.is_empty()
            && let Some((name, hint)) = self.undefined(&word.text)
        {
            self.warning(word.at, format!("`${name}` is not defined{hint}; taken as it is"));
        }
        false
    }

    /// For a word that ought to be a variable: its name, and the one it is near to, or an empty hint.
    fn undefined<'w>(&self, word: &'w str) -> Option<(&'w str, String)> {
        let (_, rest) = word.split_once('$')?;
        let name = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once('}')?.0,
            None => rest,
        };
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) || !name.chars().all(letters) {
            return None;
        }
        let nearest = values::nearest_of(name, self.source.defined.iter().map(|name| &**name));
        Some((name, nearest.map(|near| format!(" (did you mean `${near}`?)")).unwrap_or_default()))
    }
}

fn inside(context: &Context) -> String {
    if context.name.contains(' ') { context.name.into() } else { format!("`{}`", context.name) }
}
