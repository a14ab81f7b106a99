//! The language around the keywords: includes, conditional lines, variables, loops.
//!
//! ```text
//! files -- lines --> @id? --> $X= --> ~SEQ, ~LST --> ${X} --> include --> one text without any of these,
//!           ^                             |            |         |        each line with its place
//!           +-----------------------------+------------+---------+
//! ```
//!
//! Everything goes line by line, as in keepalived, and what comes out of a loop or a variable is a
//! line again. Where keepalived 2.2.7 and its manual disagree the manual is right: `${_HASH}` and
//! `${_BANG}` are characters outside quotes, too (2.2.7 starts a comment), `${_RANDOM 1 6}` takes its
//! limits, `include_check` its first word. `${_ENV NAME}` is of keepalived 2.4.
//!
//! Bounded, so that no file can take the memory or the time of a host: the limits are below, and
//! what reaches one is an error that says so.

mod include;
mod pattern;
mod repeat;
mod source;
mod text;
mod variable;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub(super) use self::include::Checks;
pub(super) use self::source::Source;
use self::source::{From, Origin, Piece};
pub(crate) use self::text::{NO_TEXT, decode};
use self::text::{blank_before, code, word};
use self::variable::Value;
use crate::host::Host;
use crate::report::{Finding, Severity};

/// Bytes in all files together, and again in what variables and loops make of them. Ten thousand
/// real servers need 3 MiB.
pub(super) const MOST_BYTES: u64 = 64 << 20;
/// Lines, once variables and loops are replaced. The largest example of keepalived's manual makes 900,000.
const MOST_LINES: usize = 2_000_000;
/// Files that are read.
const MOST_FILES: usize = 10_000;
/// Files, variables and loops within each other.
const MOST_NESTED: usize = 32;

/// Reading cannot go on; why has been reported.
struct Stop;

/// What the language made of a text.
pub(super) struct Expansion {
    pub(super) source: Source,
    pub(super) findings: Vec<Finding>,
    /// False when a limit was reached, or something has no end.
    pub(super) complete: bool,
}

/// Reads a text and what it includes.
pub(super) fn expand(file: &Path, text: &str, host: &Host<'_>) -> Expansion {
    let mut expander = Expander {
        host,
        source: Source::default(),
        findings: Vec::new(),
        variables: BTreeMap::new(),
        active: Vec::new(),
        open: Vec::new(),
        checks: Checks::default(),
        read: text.len() as u64,
        made: 0,
        lines: 0,
        nested: 0,
        chance: host.seed,
        others: None,
        meant: false,
    };
    let complete = expander.file(file, text).is_ok();
    if complete {
        expander.nothing_is_meant();
    }
    let Expander { mut source, findings, variables, .. } = expander;
    source.defined = variables.into_keys().collect();
    Expansion { source, findings, complete }
}

struct Expander<'h> {
    host: &'h Host<'h>,
    source: Source,
    findings: Vec<Finding>,
    variables: BTreeMap<Rc<str>, Value>,
    /// Variables that are being replaced.
    active: Vec<Rc<str>>,
    /// Files that are being read.
    open: Vec<Open>,
    checks: Checks,
    /// Bytes of all files.
    read: u64,
    /// Bytes made of lines that are not as they were written.
    made: u64,
    lines: usize,
    nested: usize,
    chance: u64,
    /// The first condition that names an id, while none has named this host's.
    others: Option<(From, usize, String)>,
    /// A condition has named this host's id.
    meant: bool,
}

/// A file that is being read.
struct Open {
    /// As it was named: relative names in it start in its directory.
    file: PathBuf,
    /// Its one name.
    name: PathBuf,
}

/// A line on its way.
#[derive(Clone)]
struct Line<'t> {
    text: Cow<'t, str>,
    /// None for a text as it was written.
    pieces: Vec<Piece>,
    from: From,
}

impl<'t> Line<'t> {
    fn new(text: &'t str, from: From) -> Self {
        Line { text: Cow::Borrowed(text), pieces: Vec::new(), from }
    }

    /// The column, in the file, of a byte.
    fn column(&self, byte: usize) -> usize {
        source::column(&self.pieces, self.text[..byte].chars().count() + 1)
    }

    /// The column where the end of the line, `rest`, starts.
    fn column_of(&self, rest: &str) -> usize {
        self.column(self.text.len() - rest.len())
    }

    /// The end of the line alone, in its columns.
    fn ending(&self, rest: &str) -> Line<'static> {
        Line { text: blank_before(&self.text, rest).into(), pieces: self.pieces.clone(), from: self.from }
    }
}

impl Expander<'_> {
    fn file(&mut self, file: &Path, text: &str) -> Result<(), Stop> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let index = u32::try_from(self.source.files.len()).unwrap_or(u32::MAX);
        self.source.files.push(file.to_path_buf());
        self.open.push(Open { file: file.to_path_buf(), name: self.one_name(file) });
        let checks = self.checks;
        let mut lines = (1..).zip(text.split_terminator('\n'));
        while let Some((number, text)) = lines.next() {
            let line = Line::new(text, From { file: index, line: number, via: None });
            match variable::continues(text) {
                Some(first) => {
                    let mut body = vec![(first, line.from)];
                    // A comment alone on its line does not end it.
                    let is_comment = |text: &str| text.trim_start().starts_with(['#', '!']);
                    for (number, text) in lines.by_ref().filter(|(_, text)| !is_comment(text)) {
                        let from = From { line: number, ..line.from };
                        let more = variable::before_continuation(text);
                        body.push((more.unwrap_or(text), from));
                        if more.is_none() {
                            break;
                        }
                    }
                    self.definition_of_lines(&line, &body)?;
                }
                None => self.line(line)?,
            }
        }
        self.checks = checks;
        self.open.pop();
        Ok(())
    }

    /// A line as it was written, or as a variable or a loop made it.
    fn line(&mut self, line: Line<'_>) -> Result<(), Stop> {
        self.count(&line)?;
        let start = line.text.trim_start();
        match start.as_bytes().first() {
            Some(b'@') => match self.applies(&line, start) {
                Some(rest) => {
                    let rest = line.ending(rest);
                    if rest.text.trim_start().starts_with('@') { self.emit(rest) } else { self.line(rest) }
                }
                None => Ok(()),
            },
            Some(b'$') if variable::definition(start).is_some() => self.definition(&line),
            Some(b'~') if repeat::starts(start) => self.repeat(&line),
            _ => match split_at_brace(&line.text) {
                Some((head, rest)) => {
                    let head = Line { text: head.into(), pieces: line.pieces.clone(), from: line.from };
                    self.replaced(head)?;
                    self.line(line.ending(rest))
                }
                None => self.replaced(line),
            },
        }
    }

    /// A line in which only variables are left to replace.
    fn replaced(&mut self, line: Line<'_>) -> Result<(), Stop> {
        if !line.text.contains('$') {
            return self.plain(line);
        }
        let (changed, line, tail) = self.substitute(line)?;
        match tail {
            Some(tail) => self.tail(line, tail),
            None if changed && is_special(&line.text) => self.nest(&line, |this| this.line(line.clone())),
            None => self.plain(line),
        }
    }

    /// A line without variables.
    fn plain(&mut self, line: Line<'_>) -> Result<(), Stop> {
        match include::directive(&line.text) {
            Some((kind, pattern)) => self.include(&line, kind, pattern),
            None => {
                self.include_check(&line);
                self.chance = seed(&line.text).unwrap_or(self.chance);
                self.emit(line)
            }
        }
    }

    fn emit(&mut self, line: Line<'_>) -> Result<(), Stop> {
        if let Cow::Owned(text) = &line.text {
            self.made += text.len() as u64;
            if self.made > MOST_BYTES {
                let message = format!("variables and loops make more than {} MiB of text", MOST_BYTES >> 20);
                return self.stop(&line, message);
            }
        }
        if line.text.ends_with('\\') && code(&line.text).len() == line.text.len() {
            let at = line.column(line.text.len() - 1);
            let message = "`\\` joins lines in definitions (`$X=`) only; taken as it is";
            self.say(Severity::Warning, line.from, at, message.into());
        }
        self.source.text.push_str(&line.text);
        self.source.text.push('\n');
        let pieces = (!line.pieces.is_empty()).then(|| line.pieces.into_boxed_slice());
        self.source.lines.push(Origin { from: line.from, pieces });
        Ok(())
    }

    /// What is left of a line whose condition holds.
    fn applies<'s>(&mut self, line: &Line<'_>, start: &'s str) -> Option<&'s str> {
        let (condition, rest) = word(start);
        let id = code(condition).strip_prefix('@')?;
        // A comment right behind the id.
        let rest = if code(condition).len() < condition.len() { "" } else { rest };
        let applies = match id.strip_prefix('^') {
            Some(other) => other != self.host.config_id,
            None => {
                let (from, column) = (line.from, line.column_of(line.text.trim_start()));
                self.others.get_or_insert_with(|| (from, column, id.to_string()));
                self.meant |= id == self.host.config_id;
                id == self.host.config_id
            }
        };
        applies.then_some(rest)
    }

    /// A file with conditions for others only is right for a host that has nothing of its own, and
    /// what is seen when the id is wrong.
    fn nothing_is_meant(&mut self) {
        if let Some((from, column, id)) = self.others.take().filter(|_| !self.meant) {
            let message = format!("lines for `{id}` and others, none for this host's id, `{}`", self.host.config_id);
            self.say(Severity::Ignored, from, column, message);
        }
    }

    /// Every line counts, also one of which nothing is left: a loop must end.
    fn count(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        self.lines += 1;
        if self.lines > MOST_LINES {
            let message = format!("more than {MOST_LINES} lines, once variables and loops are replaced");
            return self.stop(line, message);
        }
        Ok(())
    }

    /// Goes one level deeper.
    fn nest(&mut self, line: &Line<'_>, inner: impl FnOnce(&mut Self) -> Result<(), Stop>) -> Result<(), Stop> {
        if self.nested == MOST_NESTED {
            let message = format!("files, variables and loops stand more than {MOST_NESTED} deep in each other");
            return self.stop(line, message);
        }
        self.nested += 1;
        let result = inner(self);
        self.nested -= 1;
        result
    }

    fn stop<T>(&mut self, line: &Line<'_>, message: String) -> Result<T, Stop> {
        let at = line.column_of(line.text.trim_start());
        self.say(Severity::Error, line.from, at, message);
        Err(Stop)
    }

    fn say(&mut self, severity: Severity, from: From, column: usize, message: String) {
        let place = self.source.place_of(from, column);
        self.findings.push(Finding { place, severity, message });
    }

    fn one_name(&self, file: &Path) -> PathBuf {
        self.host.files.one_name(file).unwrap_or_else(|_| file.to_path_buf())
    }
}

/// `random_seed N`: what is drawn from here on is the same on every host.
fn seed(text: &str) -> Option<u64> {
    let mut words = code(text).split_ascii_whitespace();
    (words.next()? == "random_seed").then_some(words.next()?.parse().ok()?)
}

/// Whether a line is more than words: a condition, a definition, a loop.
fn is_special(text: &str) -> bool {
    text.trim_start().starts_with(['@', '$', '~']) || split_at_brace(text).is_some()
}

/// What follows a brace on its line is a line again, if that matters.
fn split_at_brace(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let mut quoted = false;
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'#' | b'!' if !quoted => return None,
            b'{' if !quoted && (i == 0 || bytes[i - 1] != b'$') => {
                let (head, rest) = text.split_at(i + 1);
                let start = rest.trim_start();
                let matters = start.starts_with('@')
                    || variable::definition(start).is_some()
                    || repeat::starts(start)
                    || include::directive(start).is_some();
                if matters {
                    return Some((head, rest));
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
