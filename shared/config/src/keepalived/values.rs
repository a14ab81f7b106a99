//! Words to numbers, times and commands, as keepalived reads them.

use std::time::Duration;

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

/// Program and arguments out of one string: blanks separate, `'` and `"` hold together, `\` takes
/// the next character as it is (not inside `'`). `None` for an open quote or no word at all.
pub(super) fn command(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().push(chars.next()?),
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
    if quote.is_some() || words.first().is_none_or(String::is_empty) { None } else { Some(words) }
}

/// The candidate nearest to a misspelt word: at most a third of its letters differ.
pub(super) fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_ascii_lowercase();
    if word.len() > 40 {
        return None;
    }
    let limit = (word.chars().count() / 3).max(1);
    candidates.map(|c| (distance(&word, c), c)).filter(|(d, _)| *d <= limit).min().map(|(_, c)| c)
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests;
