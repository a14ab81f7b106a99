//! Parameters that several of the blocks have in common.

use super::super::lower::Lower;
use super::super::script::NO_COMMAND;
use super::super::tree::Statement;
use super::super::values;
use crate::model::Script;

/// A first parameter that `read` understands, and no further ones.
pub(in super::super) fn value<T>(
    lower: &mut Lower<'_>,
    statement: &Statement<'_>,
    expected: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    extra(lower, statement, 1);
    lower.value(statement, expected, "skipped", read)
}

/// A number in a range.
pub(in super::super) fn number(lower: &mut Lower<'_>, statement: &Statement<'_>, least: u32, most: u32) -> Option<u32> {
    value(lower, statement, &format!("a number from {least} to {most}"), |word| {
        values::unsigned(word).and_then(|n| u32::try_from(n).ok()).filter(|n| (least..=most).contains(n))
    })
}

/// A port, without 0.
pub(super) fn port(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<u16> {
    number(lower, statement, 1, u16::MAX.into()).and_then(|n| u16::try_from(n).ok())
}

/// Words after the ones that mean something: keepalived does not look at them.
pub(in super::super) fn extra(lower: &mut Lower<'_>, statement: &Statement<'_>, taken: usize) {
    if let Some(word) = statement.parameters().get(taken) {
        let keyword = statement.keyword();
        lower.warning(word.at, format!("`{}` is a word too many after `{keyword}`; skipped", word.text));
    }
}

/// A keyword that is a setting by itself.
pub(in super::super) fn set(lower: &mut Lower<'_>, statement: &Statement<'_>) -> bool {
    if let Some(word) = statement.parameters().first() {
        let keyword = statement.keyword();
        lower.warning(
            word.at,
            format!("`{keyword}` takes no value: it is on whatever follows; `{}` skipped", word.text),
        );
    }
    true
}

/// A keyword with `on` or `off` behind it; `on` without.
pub(super) fn switch(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<bool> {
    if statement.parameters().is_empty() { Some(true) } else { value(lower, statement, "on or off", values::switch) }
}

/// Text; without any, keepalived goes on, other than with most keywords.
pub(in super::super) fn text(lower: &mut Lower<'_>, statement: &Statement<'_>, expected: &str) -> Option<String> {
    let Some(word) = statement.parameters().first() else {
        let message = format!("`{}` has no value; expected {expected}; skipped", statement.keyword());
        lower.warning(statement.at(), message);
        return None;
    };
    extra(lower, statement, 1);
    Some(word.text.to_string())
}

/// `SCRIPT [USER [GROUP]]`; of several the first stays. The script is a command line in one word, in quotes of either
/// kind; what is none is left out, as keepalived does.
pub(in super::super) fn script(lower: &mut Lower<'_>, to: &mut Option<Script>, statement: &Statement<'_>) {
    let keyword = statement.keyword();
    let Some(line) = lower.parameter(statement, "a program and its arguments in one word") else { return };
    let words = values::words(statement.raw_parameters(lower.text)).unwrap_or_default();
    let Some(command) = words.first().and_then(|line| values::command(line)) else {
        return lower.warning(line.at, NO_COMMAND.into());
    };
    let mut words = words.into_iter().skip(1);
    let user = words.next().map(|user| (user, words.next()));
    if let (Some(word), Some(last)) = (words.next(), statement.parameters().last()) {
        let message = format!("`{word}` is a word too many after `{keyword}`; skipped");
        lower.warning(last.at, message);
    }
    if to.is_some() {
        return lower.warning(statement.at(), format!("a second `{keyword}`; the first one stays"));
    }
    let script = Script { command, user };
    let place = lower.place(line.at);
    lower.places().programs.push((script.clone(), place));
    *to = Some(script);
}

/// Keeps what was there where nothing could be read.
pub(in super::super) fn put<T>(to: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *to = value;
    }
}
