//! What the operator declared.
//!
//! Two front ends, [`keepalived`] (keepalived.conf) and [`native`] (meshd.toml), lower what they
//! read into one [`model::Config`]; nothing half-checked goes on. Everything worth saying about the
//! text (errors, ignored keywords, values that were changed) is a [`report::Report`] with the place.
//! What a configuration needs of the host it is read on, included files above all, is a [`host::Host`].

mod common;
mod digest;
mod finish;
pub mod host;
mod iproute;
pub mod keepalived;
pub mod model;
pub mod native;
pub mod report;
pub mod settings;
mod timing;

use std::path::Path;

use host::Host;
use model::Config;
use report::{Finding, Place, Report, Severity};

/// Reads a configuration in whichever language it is written.
///
/// The content decides, not the name: a text is TOML when its first line that is neither blank nor
/// a comment (`#`, `!`) starts with `[`, or is a key followed by `=`; anything else, and a text
/// without such a line, is keepalived.conf, where neither can stand.
pub fn parse(file: &Path, text: &str, host: &Host<'_>) -> (Option<Config>, Report) {
    if is_toml(text) { native::parse(file, text, host) } else { keepalived::parse(file, text, host) }
}

/// The same from bytes. In keepalived.conf those that are no UTF-8 are Latin-1, with a warning; what is no text either
/// way, and meshd.toml in anything but UTF-8, is an error at its place.
pub fn read(file: &Path, bytes: Vec<u8>, host: &Host<'_>) -> (Option<Config>, Report) {
    let error = |(line, column, why): (usize, usize, &str)| {
        let place = Place { file: file.into(), line, column };
        let finding = Finding { place, severity: Severity::Error, message: why.to_owned() };
        (None, Report { findings: vec![finding], ..Report::default() })
    };
    let decoded = match keepalived::decode(bytes) {
        Ok(decoded) => decoded,
        Err(why) => return error(why),
    };
    match decoded.latin1 {
        Some((line, column, _)) if is_toml(&decoded.text) => error((line, column, keepalived::NO_TEXT)),
        _ => {
            let (config, mut report) = parse(file, &decoded.text, host);
            report.add(decoded.warning(file));
            (config, report)
        }
    }
}

/// Bytes to text, as [`read`] takes them.
///
/// # Errors
///
/// Where the first byte stands that is no text: its line and column.
pub fn decode(bytes: Vec<u8>) -> Result<String, (usize, usize)> {
    keepalived::decode(bytes).map(|decoded| decoded.text).map_err(|(line, column, _)| (line, column))
}

/// A mask of file modes, as `umask` and keepalived's command line have it.
pub fn umask(word: &str) -> Option<u32> {
    common::umask(word)
}

fn is_toml(text: &str) -> bool {
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let Some(line) = lines.find(|l| !l.is_empty() && !l.starts_with(['#', '!'])) else { return false };
    let key = line.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "_-.\"'".contains(c));
    line.starts_with('[') || (key.len() < line.len() && key.trim_start().starts_with('='))
}

#[cfg(test)]
mod tests;
