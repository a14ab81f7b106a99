//! The words of serde, which are for whoever writes programs, in those of the file.

use crate::common::nearest_of;

/// One error.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// What is wrong, and what was expected.
    pub(super) message: String,
    /// The key that was meant in place of a misspelt one.
    pub(super) meant: Option<String>,
    /// A key that is not there.
    pub(super) missing: Option<String>,
}

/// Reads what serde says about this piece of the file.
pub(super) fn read(message: &str, text: &str) -> Wrong {
    let (mut meant, mut missing) = (None, None);
    let message = if let Some(rest) = message.strip_prefix("unknown field ") {
        meant = near(rest);
        format!("unknown key {}", named(rest, meant.as_deref()))
    } else if let Some(rest) = message.strip_prefix("unknown variant ") {
        format!("unknown value {}", named(rest, near(rest).as_deref()))
    } else if let Some(rest) = message.strip_prefix("missing field ") {
        missing = quoted(rest).next().map(str::to_owned);
        format!("the key {rest} is missing")
    } else {
        unfit(message, text).unwrap_or_else(|| message.to_owned())
    };
    Wrong { message, meant, missing }
}

/// What stands in backquotes: the word itself first, then those there are.
pub(super) fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn near(rest: &str) -> Option<String> {
    let mut words = quoted(rest);
    let word = words.next()?;
    nearest_of(word, words).map(str::to_owned)
}

/// The word, with the one that was meant, or all there are.
fn named(rest: &str, near: Option<&str>) -> String {
    let mut words = quoted(rest);
    let word = words.next().unwrap_or_default();
    let known: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match (near, &known[..]) {
        (Some(near), _) => format!("`{word}` (did you mean `{near}`?)"),
        (None, []) => format!("`{word}`; expected none"),
        (None, [one]) => format!("`{word}`; expected {one}"),
        (None, _) => format!("`{word}`; expected one of {}", known.join(", ")),
    }
}

/// A value of another kind, or that cannot be read.
fn unfit(message: &str, text: &str) -> Option<String> {
    let example = match message {
        "invalid socket address syntax" => "an address with a port, such as \"10.0.0.1:7946\"",
        "invalid IP address syntax" => "an address such as \"10.0.0.1\"",
        "invalid IPv4 address syntax" => "an IPv4 address such as \"10.0.0.1\"",
        "wanted string or table" => "text in quotes",
        _ => {
            let rest = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "))?;
            let (found, wanted) = rest.rsplit_once(", expected ").filter(|(found, _)| !found.is_empty())?;
            return Some(format!("{}; expected {}", is(found, text), expected(wanted)));
        }
    };
    Some(format!("{text} is no value here; expected {example}"))
}

/// What there is.
fn is(found: &str, text: &str) -> String {
    let word = |kind: &str| found.strip_prefix(kind).map(|rest| rest.trim_matches('`'));
    if let Some(number) = word("integer ").or_else(|| word("floating point ")) {
        format!("the number {number}")
    } else if let Some(truth) = word("boolean ") {
        truth.to_owned()
    } else if let Some(quoted) = found.strip_prefix("string ") {
        format!("the text {quoted}")
    } else {
        match found {
            "sequence" => "a list".to_owned(),
            // What TOML calls a date comes as a table.
            "map" if text.starts_with(|c: char| c.is_ascii_digit()) => "a date".to_owned(),
            "map" => "a table".to_owned(),
            other => other.to_owned(),
        }
    }
}

fn expected(wanted: &str) -> String {
    let words = match wanted {
        "a string" | "string" => "text in quotes",
        "path string" => "a path in quotes",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a table",
        "IP address" => "an address such as \"10.0.0.1\"",
        "IPv4 address" => "an IPv4 address such as \"10.0.0.1\"",
        "socket address" => "an address with a port, such as \"10.0.0.1:7946\"",
        "u32" => "a whole number from 0 to 4294967295",
        "i64" => "a whole number",
        _ if wanted.starts_with("struct ") => "a table",
        _ => wanted,
    };
    words.to_owned()
}
