//! Why a check failed, in few words.

use std::io::{self, ErrorKind};
use std::time::Duration;

/// An error of the system, without its number.
pub(super) fn error(error: &io::Error) -> String {
    let known = match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused",
        ErrorKind::ConnectionReset => "connection reset",
        ErrorKind::HostUnreachable => "no route to host",
        ErrorKind::NetworkUnreachable => "network unreachable",
        ErrorKind::BrokenPipe => "connection closed",
        // The kernel's own patience ended before ours.
        ErrorKind::TimedOut => "no answer",
        _ => {
            let words = error.to_string();
            return text(words.split(" (os error").next().unwrap_or_default());
        }
    };
    known.to_owned()
}

/// `3 s`, `0.5 s`.
pub(super) fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

/// To go on a sentence with.
pub(super) fn text(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(char::to_lowercase);
    first.into_iter().flatten().chain(letters).collect()
}
