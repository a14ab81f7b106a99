//! Loops: `~SEQ(X, start, step, end)`, `~SEQx` in hexadecimal, `~LST(X, a, b)`, `~LST({X,Y}, {a,b}, {c,d})`.
//! The rest of the line is read once for each value.

use std::rc::Rc;

use super::text::code;
use super::variable::{Value, is_name};
use super::{Expander, Line, Stop};
use crate::report::Severity;

/// A loop's variables, and what they are set to.
#[derive(Debug, PartialEq, Eq)]
struct Loop {
    names: Vec<Rc<str>>,
    values: Values,
}

#[derive(Debug, PartialEq, Eq)]
enum Values {
    Numbers {
        start: i64,
        step: i64,
        end: i64,
        hexadecimal: bool,
    },
    /// As many in each as there are names.
    Words(Vec<Vec<Rc<str>>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Sequence { hexadecimal: bool },
    List,
}

/// Whether a line starts with a loop, right or wrong.
pub(super) fn starts(start: &str) -> bool {
    head(start).is_some()
}

/// The kind, and what follows the opening bracket.
fn head(start: &str) -> Option<(Kind, &str)> {
    let kinds = [
        ("~SEQx", Kind::Sequence { hexadecimal: true }),
        ("~SEQ", Kind::Sequence { hexadecimal: false }),
        ("~LST", Kind::List),
    ];
    let (kind, rest) = kinds.iter().find_map(|(name, kind)| Some((*kind, start.strip_prefix(name)?)))?;
    Some((kind, rest.trim_start().strip_prefix('(')?))
}

impl Expander<'_> {
    pub(super) fn repeat(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        let start = line.text.trim_start();
        let Some((kind, inside)) = head(start) else { return Ok(()) };
        let Some((parameters, _)) = code(inside).split_once(')') else {
            self.skip(line, start, "expected `)` on the same line");
            return Ok(());
        };
        let parameters_end = parameters.len() + 1;
        let parameters = self.parameters(line, parameters)?;
        let Loop { names, values } = match parse(kind, &parameters) {
            Ok(parsed) => parsed,
            Err(expected) => {
                self.skip(line, start, &expected);
                return Ok(());
            }
        };
        let rest = line.ending(&inside[parameters_end..]);
        self.nest(line, |this| match values {
            Values::Numbers { start, step, end, hexadecimal } => {
                let mut number = start;
                loop {
                    let text = if hexadecimal { format!("{number:x}") } else { number.to_string() };
                    this.set(&names[0], Value::One(text.into()));
                    this.line(rest.clone())?;
                    match number.checked_add(step) {
                        Some(next) if (step > 0 && next <= end) || (step < 0 && next >= end) => number = next,
                        _ => return Ok(()),
                    }
                }
            }
            Values::Words(rows) => rows.into_iter().try_for_each(|row| {
                for (name, word) in names.iter().zip(row) {
                    this.set(name, Value::One(word));
                }
                this.line(rest.clone())
            }),
        })
    }

    /// keepalived leaves out a line with a loop it does not understand.
    fn skip(&mut self, line: &Line<'_>, start: &str, expected: &str) {
        let message = format!("not a loop: {expected}; the line is skipped");
        self.say(Severity::Warning, line.from, line.column_of(start), message);
    }
}

fn parse(kind: Kind, parameters: &str) -> Result<Loop, String> {
    match kind {
        Kind::Sequence { hexadecimal } => sequence(parameters, hexadecimal),
        Kind::List => list(parameters),
    }
}

fn sequence(parameters: &str, hexadecimal: bool) -> Result<Loop, String> {
    let words: Vec<&str> = parameters.split(',').map(str::trim).collect();
    let expected = || {
        let name = if hexadecimal { "~SEQx" } else { "~SEQ" };
        format!("expected `{name}(VARIABLE, start, step, end)` with whole numbers; start and step may be left out")
    };
    let (name, numbers) = words.split_first().ok_or_else(expected)?;
    let numbers = numbers.iter().map(|w| number(w)).collect::<Option<Vec<i64>>>().ok_or_else(expected)?;
    let towards = |start: i64, end: i64| if end >= start { 1 } else { -1 };
    let (start, step, end) = match numbers[..] {
        [end] => {
            let start = if end < 0 { -1 } else { 1 };
            (start, towards(start, end), end)
        }
        [start, end] => (start, towards(start, end), end),
        [start, step, end] => (start, step, end),
        _ => return Err(expected()),
    };
    if !is_name(name) {
        return Err(expected());
    }
    if hexadecimal && (start < 0 || end < 0) {
        return Err("`~SEQx` counts no numbers below 0".into());
    }
    if step == 0 || (start != end && (end > start) != (step > 0)) {
        return Err(format!("steps of {step} do not lead from {start} to {end}"));
    }
    Ok(Loop { names: vec![(*name).into()], values: Values::Numbers { start, step, end, hexadecimal } })
}

/// Decimal, `0x` hexadecimal or `0` octal, as in C.
fn number(word: &str) -> Option<i64> {
    let (sign, digits) = match word.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if digits.len() > 1 && digits.starts_with('0') => (digits, 8),
        None => (digits, 10),
    };
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    i64::from_str_radix(digits, radix).ok().map(|n| sign * n)
}

fn list(parameters: &str) -> Result<Loop, String> {
    let expected = || {
        "expected `~LST(VARIABLE, word, word)` or `~LST({VARIABLE, VARIABLE}, {word, word}, {word, word})`".to_string()
    };
    let mut rows = rows(parameters).ok_or_else(expected)?.into_iter();
    let names = rows.next().filter(|names| names.iter().all(|n| is_name(n))).ok_or_else(expected)?;
    let mut words = Vec::new();
    for row in rows {
        if row.len() > names.len() {
            return Err(format!("{} words for {} variables", row.len(), names.len()));
        }
        if row.iter().any(|w| w.contains(char::is_whitespace)) {
            return Err(expected());
        }
        // Words that are missing are empty.
        let missing = std::iter::repeat_n("", names.len() - row.len());
        words.push(row.iter().copied().chain(missing).map(Rc::from).collect());
    }
    if words.is_empty() {
        return Err(expected());
    }
    Ok(Loop { names: names.into_iter().map(Rc::from).collect(), values: Values::Words(words) })
}

/// Words, or rows of words in braces, with commas between.
fn rows(parameters: &str) -> Option<Vec<Vec<&str>>> {
    let mut rows = Vec::new();
    let mut rest = parameters.trim();
    loop {
        let after = match rest.strip_prefix('{') {
            Some(inside) => {
                let (row, after) = inside.split_once('}')?;
                rows.push(row.split(',').map(str::trim).collect());
                after
            }
            None => {
                let (word, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                rows.push(vec![word.trim()]);
                after
            }
        };
        rest = match after.trim_start().strip_prefix(',') {
            Some(rest) => rest.trim_start(),
            None if after.trim().is_empty() => return Some(rows),
            None => return None,
        };
    }
}

#[cfg(test)]
mod tests;
