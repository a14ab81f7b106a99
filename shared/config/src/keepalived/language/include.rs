//! `include` and its stricter variants.

use std::io;
use std::path::Path;

use super::pattern::{self, Alternative};
use super::text::{code, decode, word};
use super::{Expander, Line, MOST_BYTES, MOST_FILES, Stop};
use crate::report::{Finding, Place, Severity};

/// What makes an include an error. The default is lenient.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Checks {
    /// A file is there and cannot be read.
    readable: bool,
    /// A name without wildcards matches nothing.
    matches: bool,
    /// The same with wildcards.
    wildcard: bool,
    /// One of several in braces matches nothing.
    brace: bool,
}

impl Checks {
    const ALL: Checks = Checks { readable: true, matches: true, wildcard: true, brace: true };

    /// After the words of `include_check`: a `+` (the default) or `-` holds for its own word and those
    /// behind it. Without a word, all.
    fn changed<'w>(self, words: impl Iterator<Item = &'w str>) -> Checks {
        let mut words = words.peekable();
        if words.peek().is_none() {
            return Checks::ALL;
        }
        let (mut checks, mut on) = (self, true);
        for word in words {
            if word.starts_with(['+', '-']) {
                on = word.starts_with('+');
            }
            if let Some(check) = checks.named(word) {
                *check = on;
            }
        }
        checks
    }

    fn named(&mut self, word: &str) -> Option<&mut bool> {
        match word.strip_prefix(['+', '-']).unwrap_or(word) {
            "readable" => Some(&mut self.readable),
            "match" => Some(&mut self.matches),
            "wildcard_match" => Some(&mut self.wildcard),
            "brace_match" => Some(&mut self.brace),
            _ => None,
        }
    }

    /// Whether a word of `include_check` is one.
    pub(in super::super) fn knows(word: &str) -> bool {
        ["+", "-"].contains(&word) || Checks::default().named(word).is_some()
    }

    fn and(self, keyword: &str) -> Checks {
        match keyword {
            "includer" => Checks { readable: true, ..self },
            "includem" => Checks { readable: true, matches: true, ..self },
            // As keepalived does it: a name without wildcards must match, too.
            "includew" => Checks { readable: true, matches: true, wildcard: true, ..self },
            "includeb" => Checks { readable: true, brace: true, ..self },
            "includea" => Checks::ALL,
            _ => self,
        }
    }
}

/// Keyword and file name of a line that includes.
pub(super) fn directive(text: &str) -> Option<(&str, &str)> {
    let (keyword, rest) = word(text);
    let variant = keyword.strip_prefix("include")?;
    let name = code(rest).trim();
    (["", "r", "m", "w", "b", "a"].contains(&variant) && !name.is_empty()).then_some((keyword, name))
}

impl Expander<'_> {
    /// `include_check` holds from its line on, to the end of its file.
    pub(super) fn include_check(&mut self, line: &Line<'_>) {
        if let Some(words) = line.text.trim_start().strip_prefix("include_check")
            && (words.is_empty() || words.starts_with(char::is_whitespace))
        {
            self.checks = self.checks.changed(code(words).split_whitespace());
        }
    }

    pub(super) fn include(&mut self, line: &Line<'_>, keyword: &str, name: &str) -> Result<(), Stop> {
        let checks = self.checks.and(keyword);
        let column = line.column_of(word(&line.text).1.trim_start());
        let directory = self.open.last().and_then(|open| open.file.parent()).unwrap_or(Path::new("")).to_path_buf();
        let Some(alternatives) = pattern::resolve(self.host.files, &directory, name) else {
            self.say(Severity::Error, line.from, column, format!("`{name}` matches too many files"));
            return Err(Stop);
        };
        let mut any = false;
        let wild = alternatives.iter().any(|a| !a.literal);
        let several = alternatives.len() > 1;
        let mut missing = Vec::new();
        for Alternative { paths, literal } in alternatives {
            let mut found = false;
            for path in &paths {
                found |= self.include_one(line, column, checks, path)?;
            }
            any |= found;
            if !found && (literal || checks.brace) {
                missing.extend(paths.first().map(|path| path.display().to_string()));
            }
        }
        let severity = match () {
            () if any && missing.is_empty() => return Ok(()),
            () if several && checks.brace && !missing.is_empty() => Severity::Error,
            () if any => Severity::Ignored,
            () if wild && checks.wildcard || !wild && checks.matches => Severity::Error,
            // A directory of parts may be empty.
            () if wild => return Ok(()),
            () => Severity::Ignored,
        };
        let what = if missing.is_empty() { name.to_string() } else { missing.join("`, `") };
        let hint = if name.starts_with('"') { " (quotes are taken as part of the name)" } else { "" };
        let message = format!("there is no file `{what}`{hint}; nothing is included");
        self.say(severity, line.from, column, message);
        Ok(())
    }

    /// False when there is no such file.
    fn include_one(&mut self, line: &Line<'_>, column: usize, checks: Checks, path: &Path) -> Result<bool, Stop> {
        let bytes = match self.host.files.read(path, MOST_BYTES - self.read) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => {
                let severity = if checks.readable { Severity::Error } else { Severity::Warning };
                let message = format!("cannot read {}: {error}; it is not included", path.display());
                self.say(severity, line.from, column, message);
                return Ok(true);
            }
        };
        self.read += bytes.len() as u64;
        let name = self.one_name(path);
        let trouble = if self.read > MOST_BYTES {
            Some(format!("all files together are larger than {} MiB", MOST_BYTES >> 20))
        } else if self.source.files.len() >= MOST_FILES {
            Some(format!("more than {MOST_FILES} files are included"))
        } else if let Some(first) = self.open.iter().position(|open| open.name == name) {
            let circle: Vec<String> = self.open[first..].iter().map(|open| open.file.display().to_string()).collect();
            Some(format!(
                "a file that includes itself has no end: {} includes {}",
                circle.join(" includes "),
                path.display()
            ))
        } else {
            None
        };
        if let Some(message) = trouble {
            self.say(Severity::Error, line.from, column, message);
            return Err(Stop);
        }
        match decode(bytes) {
            Ok(decoded) => {
                self.findings.extend(decoded.warning(path));
                self.nest(line, |this| this.file(path, &decoded.text))?;
            }
            Err((line, column, why)) => {
                let place = Place { file: path.to_path_buf(), line, column };
                self.findings.push(Finding { place, severity: Severity::Error, message: why.to_owned() });
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
