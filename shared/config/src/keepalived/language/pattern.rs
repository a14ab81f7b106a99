//! File names with `*`, `?`, `[…]` and `{a,b}`, as a shell reads them.

use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::host::Files;

/// Alternatives that a name with braces may have, and files that it may match.
const MOST: usize = 10_000;

/// As in a shell: `*` matches no file that begins with a dot.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// One alternative of a name.
pub(super) struct Alternative {
    /// What it matches. Whether a file of that name is there is not known yet.
    pub(super) paths: Vec<PathBuf>,
    /// It has no `*`, `?` or `[…]`.
    pub(super) literal: bool,
}

/// All alternatives of a name, in order; `None` when there are too many.
pub(super) fn resolve(files: &dyn Files, directory: &Path, name: &str) -> Option<Vec<Alternative>> {
    let names = braces(name)?;
    let alternatives = names.iter().map(|name| alternative(files, directory, name));
    alternatives.collect()
}

fn alternative(files: &dyn Files, directory: &Path, name: &str) -> Option<Alternative> {
    let mut paths = vec![if name.starts_with('/') { "/".into() } else { directory.to_path_buf() }];
    let mut literal = true;
    for part in name.split('/').filter(|part| !part.is_empty()) {
        if !is_wild(part) {
            let part = unescape(part);
            paths.iter_mut().for_each(|path| path.push(&part));
            continue;
        }
        literal = false;
        let Ok(pattern) = Pattern::new(part) else {
            return Some(Alternative { paths: Vec::new(), literal });
        };
        let mut found = Vec::new();
        for path in &paths {
            let names = files.names(path).unwrap_or_default();
            let mut names: Vec<String> = names.into_iter().filter_map(|name| name.into_string().ok()).collect();
            names.retain(|name| pattern.matches_with(name, OPTIONS));
            names.sort();
            found.extend(names.iter().map(|name| path.join(name)));
        }
        if found.len() > MOST {
            return None;
        }
        paths = found;
    }
    Some(Alternative { paths, literal })
}

fn is_wild(part: &str) -> bool {
    let mut escaped = false;
    part.chars().any(|c| {
        let wild = !escaped && matches!(c, '*' | '?' | '[');
        escaped = !escaped && c == '\\';
        wild
    })
}

fn unescape(part: &str) -> String {
    let mut text = String::new();
    let mut chars = part.chars();
    while let Some(c) = chars.next() {
        text.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    text
}

/// The first pair of braces is replaced by each of its parts, until there is none.
fn braces(name: &str) -> Option<Vec<String>> {
    let mut done = Vec::new();
    let mut open = vec![name.to_string()];
    while let Some(name) = open.pop() {
        match parts(&name) {
            Some((before, parts, after)) => {
                open.extend(parts.iter().rev().map(|part| format!("{before}{part}{after}")));
            }
            None => done.push(name),
        }
        if done.len() + open.len() > MOST {
            return None;
        }
    }
    Some(done)
}

/// What stands before the first pair of braces, what its commas separate, and what stands after it.
fn parts(name: &str) -> Option<(&str, Vec<&str>, &str)> {
    let open = name.find('{')?;
    let mut depth = 0;
    let mut parts = Vec::new();
    let mut start = open + 1;
    for (i, c) in name.char_indices().skip_while(|(i, _)| *i < open) {
        match c {
            '{' => depth += 1,
            ',' if depth == 1 => {
                parts.push(&name[start..i]);
                start = i + 1;
            }
            '}' if depth == 1 => {
                parts.push(&name[start..i]);
                return Some((&name[..open], parts, &name[i + 1..]));
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests;
