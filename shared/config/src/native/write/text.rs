//! Lines of TOML.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

/// The text so far.
#[derive(Default)]
pub(super) struct Writer {
    text: String,
    /// Head of a table that is written once it has a key.
    pending: Option<&'static str>,
    lost: Vec<String>,
}

impl Writer {
    /// A table that is left out while it has no key.
    pub(super) fn table(&mut self, head: &'static str) {
        self.pending = Some(head);
    }

    /// An item of an array of tables.
    pub(super) fn item(&mut self, head: &'static str) {
        self.pending = None;
        self.head(head);
    }

    fn head(&mut self, head: &str) {
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(head);
        self.text.push('\n');
    }

    pub(super) fn key(&mut self, key: &str, value: impl Display) {
        if let Some(head) = self.pending.take() {
            self.head(head);
        }
        self.text.push_str(&format!("{key} = {value}\n"));
    }

    pub(super) fn some(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.key(key, value);
        }
    }

    pub(super) fn unless<T: Display + PartialEq>(&mut self, value: T, default: T, key: &str) {
        if value != default {
            self.key(key, value);
        }
    }

    pub(super) fn unless_time(&mut self, value: Duration, default: Duration, key: &str) {
        if value != default {
            self.key(key, time(value));
        }
    }

    pub(super) fn path(&mut self, key: &str, path: Option<&Path>) {
        match path.map(|path| path.to_str().ok_or(path)) {
            None => {}
            Some(Ok(text)) => self.key(key, string(text)),
            Some(Err(path)) => self.lost(format!("`{key}`: {} is no text", path.display())),
        }
    }

    /// Something that the language has no words for.
    pub(super) fn lost(&mut self, what: String) {
        self.lost.push(what);
    }

    pub(super) fn finish(self) -> (String, Vec<String>) {
        (self.text, self.lost)
    }
}

/// A text in quotes, with what escapes it needs.
pub(super) fn string(text: impl Into<String>) -> String {
    toml::Value::String(text.into()).to_string()
}

pub(super) fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

/// A command: program and arguments.
pub(super) fn words(words: &[String]) -> String {
    list(words.iter().map(string))
}

/// To the microsecond, in the unit that needs no point where there is one.
pub(super) fn time(time: Duration) -> String {
    let micros = time.subsec_micros();
    match (micros, micros % 1000) {
        (0, _) => format!("\"{}s\"", time.as_secs()),
        (_, 0) => format!("\"{}ms\"", time.as_millis()),
        _ => format!("\"{}.{micros:06}s\"", time.as_secs()),
    }
}
