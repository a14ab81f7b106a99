//! Words to numbers, times and commands, as keepalived reads them.

use std::iter::Peekable;
use std::str::Chars;
use std::time::Duration;

use crate::common::distance;
pub(super) use crate::common::nearest_of;

/// An unsigned decimal number; a leading `+` is allowed, nothing else.
pub(super) fn unsigned(word: &str) -> Option<u64> {
    let digits = word.strip_prefix('+').unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// A signed decimal number.
pub(super) fn signed(word: &str) -> Option<i64> {
    match word.strip_prefix('-') {
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<i64>().ok().map(|n| -n),
        Some(_) => None,
        None => unsigned(word).and_then(|n| i64::try_from(n).ok()),
    }
}

/// Seconds with up to six decimals (`2`, `0.5`, `.25`); further decimals are cut.
pub(super) fn seconds(word: &str) -> Option<Duration> {
    let word = word.strip_prefix('+').unwrap_or(word);
    let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = if whole.is_empty() { 0 } else { unsigned(whole).filter(|_| !whole.starts_with('+'))? };
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let micros = fraction.bytes().chain(std::iter::repeat(b'0')).take(6).fold(0, |n, b| n * 10 + u32::from(b - b'0'));
    Some(Duration::new(whole, micros * 1000))
}

/// `true`, `on`, `yes` and their opposites.
pub(super) fn switch(word: &str) -> Option<bool> {
    match word {
        "true" | "on" | "yes" => Some(true),
        "false" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// Program and arguments out of one string. `None` for an open quote or no program at all.
pub(super) fn command(text: &str) -> Option<Vec<String>> {
    words(text).filter(|words| !words[0].is_empty())
}

/// What keepalived makes of a line with commands, and again of a command in it: blanks separate, `'` and `"` hold
/// together, `\` escapes (not inside `'`). At least one word; `None` for an open quote or none at all.
pub(super) fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().push(escaped(&mut chars)?),
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    if quote.is_some() || words.is_empty() { None } else { Some(words) }
}

/// What `\` makes of the characters behind it: `\n`, `\t`, `\101`, `\x41`, `\cA` and their like; any other
/// stands for itself. No NUL: a command cannot have one.
fn escaped(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    // The lowest byte of a number counts.
    let text = |number: u32| char::from_u32(number).filter(|c| *c != '\0');
    match chars.next()? {
        'a' => Some('\x07'),
        'b' => Some('\x08'),
        'E' => Some('\x1b'),
        'f' => Some('\x0c'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'v' => Some('\x0b'),
        'x' if !chars.peek().is_some_and(char::is_ascii_hexdigit) => Some('x'),
        'x' => {
            let digits = std::iter::from_fn(|| chars.next_if(char::is_ascii_hexdigit));
            text(digits.fold(0, |number, c| (number * 16 + c.to_digit(16).unwrap_or(0)) & 0xff))
        }
        'c' => chars.next_if(char::is_ascii).map_or(Some('c'), |c| text(u32::from(c) & 0x1f)),
        first @ '0'..='7' => {
            let digits = std::iter::once(first).chain((0..2).map_while(|_| chars.next_if(|c| c.is_digit(8))));
            text(digits.fold(0, |number, c| (number * 8 + c.to_digit(8).unwrap_or(0)) & 0xff))
        }
        other => Some(other),
    }
}

/// [`nearest_of`] for keywords, in which capitals do not count.
pub(super) fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_ascii_lowercase();
    if word.len() > 40 {
        return None;
    }
    let limit = (word.chars().count() / 3).max(1);
    candidates.map(|c| (distance(&word, c), c)).filter(|(d, _)| *d <= limit).min().map(|(_, c)| c)
}

#[cfg(test)]
mod tests;
