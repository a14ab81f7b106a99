//! Variables: `$X=value`, replaced where `$X` (before a blank) or `${X}` stands.
//!
//! A value is looked at where it is used: what it refers to may be defined later. A name that is not
//! defined stays as it is, so that a `$` in a script needs no care.

use std::path::PathBuf;
use std::rc::Rc;

use super::source::{From, Piece, Use, column};
use super::text::{blank_before, code};
use super::{Expander, Line, MOST_BYTES, Stop};
use crate::report::Severity;

/// Names that keepalived defines.
const PREDEFINED: [&str; 6] = ["_PWD", "_INSTANCE", "_RANDOM", "_ENV", "_HASH", "_BANG"];
/// What a replacement counts at least, in bytes: nothing replaced by nothing must end, too.
const REPLACEMENT: u64 = 16;
/// Largest number of `${_RANDOM}`, as keepalived's.
const RANDOM_MAX: u64 = 32_767;

/// What a variable stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    One(Rc<str>),
    Lines(Rc<[(Box<str>, From)]>),
}

/// Lines that come after a line.
pub(super) struct Tail {
    name: Rc<str>,
    lines: Rc<[(Box<str>, From)]>,
    column: usize,
}

/// Letters, digits and `_`, no digit first.
pub(super) fn is_name(word: &str) -> bool {
    name_length(word) == word.len() && !word.is_empty()
}

fn name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

/// Name and value of a line that starts with `$NAME=`.
pub(super) fn definition(start: &str) -> Option<(&str, &str)> {
    let rest = start.strip_prefix('$')?;
    let (name, rest) = rest.split_at(name_length(rest));
    let value = rest.strip_prefix('=').filter(|_| !name.is_empty())?;
    Some((name, value))
}

/// The first line of a definition of several, without its `\`.
pub(super) fn continues(line: &str) -> Option<&str> {
    let before = before_continuation(line)?;
    let start = before.trim_start();
    // A definition may stand behind a condition.
    let start = if start.starts_with('@') { super::word(start).1.trim_start() } else { start };
    definition(start).map(|_| before)
}

/// A line without the `\` at its end.
pub(super) fn before_continuation(line: &str) -> Option<&str> {
    line.trim_end().strip_suffix('\\')
}

/// `$NAME` or `${NAME}` or `${NAME argument argument}`.
#[derive(Debug, PartialEq, Eq)]
struct Reference<'t> {
    name: &'t str,
    arguments: &'t str,
    length: usize,
}

/// The reference that a text starts with; `after` is what follows the text.
fn reference<'t>(text: &'t str, after: Option<char>, ends: &[char]) -> Option<Reference<'t>> {
    let rest = text.strip_prefix('$')?;
    if let Some(rest) = rest.strip_prefix('{') {
        let length = name_length(rest);
        let (name, rest) = rest.split_at(length);
        let end = rest.find('}')?;
        let arguments = &rest[..end];
        let fits = arguments.is_empty() || (arguments.starts_with([' ', '\t']) && ["_RANDOM", "_ENV"].contains(&name));
        return (length > 0 && fits).then_some(Reference {
            name,
            arguments: arguments.trim(),
            length: 3 + length + end,
        });
    }
    let length = name_length(rest);
    let next = rest[length..].chars().next().or(after);
    let ends = next.is_none_or(|c| c.is_whitespace() || ends.contains(&c));
    (length > 0 && ends).then(|| Reference { name: &rest[..length], arguments: "", length: 1 + length })
}

/// A line that is being put together.
struct Writer<'l> {
    line: &'l Line<'l>,
    text: String,
    /// Characters in it.
    width: usize,
    pieces: Vec<Piece>,
    quoted: bool,
    changed: bool,
    /// A comment began.
    ended: bool,
    tail: Option<Tail>,
    /// What may follow `$X` besides a blank.
    ends: &'static [char],
}

impl<'l> Writer<'l> {
    fn new(line: &'l Line<'l>, ends: &'static [char]) -> Self {
        Writer {
            line,
            text: String::new(),
            width: 0,
            pieces: Vec::new(),
            quoted: false,
            changed: false,
            ended: false,
            tail: None,
            ends,
        }
    }

    /// Copies text that stands at a column of the line, or all of which stands for one of the file.
    fn copy(&mut self, text: &str, at: Standing) {
        if text.is_empty() {
            return;
        }
        let (column, literal) = match at {
            Standing::For(column) => (column, false),
            Standing::At(at) => (column(&self.line.pieces, at), self.line.pieces.is_empty()),
        };
        if literal || self.pieces.last().is_none_or(|p| p.literal || p.column != column) {
            self.pieces.push(Piece { start: self.width + 1, column, literal });
        }
        self.width += text.chars().count();
        self.text.push_str(text);
    }
}

#[derive(Clone, Copy)]
enum Standing {
    /// At this column of the line.
    At(usize),
    /// For this column of the file.
    For(usize),
}

impl Expander<'_> {
    pub(super) fn set(&mut self, name: &Rc<str>, value: Value) {
        self.variables.insert(name.clone(), value);
    }

    /// `$NAME=value` on one line.
    pub(super) fn definition(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        let start = line.text.trim_start();
        if let Some((name, value)) = definition(start) {
            let value = Value::One(code(value).trim().into());
            self.define(line, line.column_of(start), name, value);
        }
        Ok(())
    }

    /// The same on several, perhaps behind a condition.
    pub(super) fn definition_of_lines(&mut self, line: &Line<'_>, body: &[(&str, From)]) -> Result<(), Stop> {
        self.lines += body.len();
        self.count(line)?;
        let Some(((first, from), others)) = body.split_first() else { return Ok(()) };
        let first_length = first.len();
        let mut start = first.trim_start();
        if start.starts_with('@') {
            match self.applies(line, start) {
                Some(rest) => start = rest.trim_start(),
                None => return Ok(()),
            }
        }
        let Some((name, value)) = definition(start) else { return Ok(()) };
        let first = (blank_before(first, value).into(), *from);
        let others = others.iter().map(|(text, from)| (Box::from(*text), *from));
        let mut lines: Vec<(Box<str>, From)> = std::iter::once(first).chain(others).collect();
        lines.retain(|(text, _)| !code(text).trim().is_empty());
        let value = match &lines[..] {
            [] => Value::One("".into()),
            [(text, _)] => Value::One(code(text).trim().into()),
            [_, _, ..] => Value::Lines(lines.into()),
        };
        let column = line.column(first_length - start.len());
        self.define(line, column, name, value);
        Ok(())
    }

    fn define(&mut self, line: &Line<'_>, column: usize, name: &str, value: Value) {
        if PREDEFINED.contains(&name) {
            let message = format!("`${name}` is predefined; this value replaces it");
            self.say(Severity::Warning, line.from, column, message);
        }
        self.set(&name.into(), value);
    }

    /// Replaces all variables of a line. Tells whether there was one, and what lines come after it.
    pub(super) fn substitute<'t>(&mut self, line: Line<'t>) -> Result<(bool, Line<'t>, Option<Tail>), Stop> {
        let mut writer = Writer::new(&line, &[]);
        self.write(&mut writer, &line.text, None, None)?;
        if !writer.changed {
            return Ok((false, line, None));
        }
        let Writer { text, pieces, tail, .. } = writer;
        Ok((true, Line { text: text.into(), pieces, from: line.from }, tail))
    }

    /// The same for a loop's parameters.
    pub(super) fn parameters(&mut self, line: &Line<'_>, text: &str) -> Result<String, Stop> {
        let mut writer = Writer::new(line, &[',', ')', '}']);
        let at = line.column_of(line.text.trim_start());
        self.write(&mut writer, text, Some(')'), Some(at))?;
        Ok(writer.text)
    }

    /// Writes a text with its variables replaced. It is the line itself, or the value of a variable at
    /// the column given; `after` follows it.
    fn write(
        &mut self,
        writer: &mut Writer<'_>,
        text: &str,
        after: Option<char>,
        place: Option<usize>,
    ) -> Result<(), Stop> {
        let bytes = text.as_bytes();
        // Up to `copied` all is written, and that is at this column of the line.
        let (mut copied, mut at) = (0, 1);
        let mut i = 0;
        let standing = |at| place.map_or(Standing::At(at), Standing::For);
        while i < bytes.len() && !writer.ended {
            match bytes[i] {
                b'\\'
                    if matches!((writer.quoted, bytes.get(i + 1)), (true, Some(b'"')) | (false, Some(b'#' | b'!'))) =>
                {
                    i += 1;
                }
                b'"' => writer.quoted = !writer.quoted,
                b'#' | b'!' if !writer.quoted => writer.ended = true,
                b'$' => {
                    let found = reference(&text[i..], after, writer.ends);
                    let replaced = found.and_then(|r| Some((self.value(&r, writer.quoted)?, r)));
                    if let Some((value, reference)) = replaced {
                        writer.copy(&text[copied..i], standing(at));
                        at += text[copied..i].chars().count();
                        let use_at = place.unwrap_or_else(|| column(&writer.line.pieces, at));
                        copied = i + reference.length;
                        let rest = &text[copied..];
                        let last = after.is_none() && code(rest).trim().is_empty();
                        let after = rest.chars().next().or(after);
                        self.replace(writer, reference.name, value, after, use_at, last)?;
                        at += reference.length;
                        i = copied;
                        if writer.tail.is_some() {
                            return Ok(());
                        }
                        continue;
                    }
                }
                _ => {}
            }
            i += 1;
        }
        let end = if writer.ended && i > copied { i - 1 } else { i };
        writer.copy(&text[copied..end.max(copied)], standing(at));
        Ok(())
    }

    /// Writes the value of a variable in its place.
    fn replace(
        &mut self,
        writer: &mut Writer<'_>,
        name: &str,
        value: Value,
        after: Option<char>,
        at: usize,
        last: bool,
    ) -> Result<(), Stop> {
        writer.changed = true;
        if self.active.iter().any(|active| **active == *name) {
            self.say(Severity::Error, writer.line.from, at, self.without_end(name));
            return Err(Stop);
        }
        match value {
            Value::One(text) => {
                self.made += REPLACEMENT + text.len() as u64;
                if self.made > MOST_BYTES {
                    let message = format!("variables and loops make more than {} MiB of text", MOST_BYTES >> 20);
                    return self.stop(writer.line, message);
                }
                self.active.push(name.into());
                self.nest(writer.line, |this| this.write(writer, &text, after, Some(at)))?;
                self.active.pop();
            }
            Value::Lines(lines) if last => writer.tail = Some(Tail { name: name.into(), lines, column: at }),
            Value::Lines(_) => {
                let message = format!("`${name}` has several lines; expected nothing behind it on this line");
                self.say(Severity::Error, writer.line.from, at, message);
            }
        }
        Ok(())
    }

    fn without_end(&self, name: &str) -> String {
        let first = self.active.iter().position(|active| **active == *name).unwrap_or(0);
        let mut circle: Vec<String> = self.active[first..].iter().map(|name| format!("`${name}`")).collect();
        circle.push(format!("`${name}`"));
        format!("a variable that contains itself has no end: {}", circle.join(" contains "))
    }

    /// A line that ends with a variable of several lines.
    pub(super) fn tail(&mut self, line: Line<'_>, tail: Tail) -> Result<(), Stop> {
        let Tail { name, lines, column } = tail;
        let via = u32::try_from(self.source.uses.len()).ok();
        self.source.uses.push(Use { name: name.clone(), from: line.from });
        self.active.push(name);
        self.nest(&line, |this| {
            let mut lines = lines.iter();
            if !line.text.trim().is_empty()
                && let Some((first, _)) = lines.next()
            {
                let mut pieces = line.pieces.clone();
                pieces.push(Piece { start: line.text.chars().count() + 1, column, literal: false });
                let text = format!("{}{}", line.text, first.trim_start());
                this.line(Line { text: text.into(), pieces, from: line.from })?;
            }
            lines.try_for_each(|(text, from)| this.line(Line::new(text, From { via, ..*from })))
        })?;
        self.active.pop();
        Ok(())
    }

    fn value(&mut self, reference: &Reference<'_>, quoted: bool) -> Option<Value> {
        if let Some(value) = self.variables.get(reference.name) {
            return Some(value.clone());
        }
        // Outside quotes `\` keeps them from starting a comment.
        let comment_sign = |sign: &str| if quoted { sign.to_string() } else { format!("\\{sign}") };
        let text = match reference.name {
            "_HASH" => comment_sign("#"),
            "_BANG" => comment_sign("!"),
            "_INSTANCE" => self.host.config_id.to_string(),
            // Components drop every `.` but a first one.
            "_PWD" => self
                .host
                .directory
                .join(self.open.last()?.file.parent()?)
                .components()
                .collect::<PathBuf>()
                .display()
                .to_string(),
            "_RANDOM" => self.random(reference.arguments)?.to_string(),
            "_ENV" => (self.host.environment)(reference.arguments)?,
            _ => return None,
        };
        Some(Value::One(text.into()))
    }

    /// A number from the first argument to the second.
    fn random(&mut self, arguments: &str) -> Option<u64> {
        let mut limits = arguments.split_whitespace().map(|word| word.parse::<u64>().ok());
        let least = limits.next().unwrap_or(Some(0))?;
        let most = limits.next().unwrap_or(Some(RANDOM_MAX.max(least)))?;
        let numbers = most.checked_sub(least).filter(|_| limits.next().is_none())?.checked_add(1)?;
        // SplitMix64 (Steele, Lea and Flood, 2014).
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(least + (z ^ (z >> 31)) % numbers)
    }
}

#[cfg(test)]
mod tests;
