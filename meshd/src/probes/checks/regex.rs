//! `regex`: what a body has to contain, in PCRE2's language.
//!
//! Bytes are searched, not text, unless the option `utf` is set. A search that backtracks for ever is ended by a limit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use mesh_config::model;
use pcre2::bytes::{Regex, RegexBuilder};

/// Steps of one search; PCRE2's own default is ten times that and can take seconds.
const MOST_STEPS: u32 = 1_000_000;
/// Expressions kept; then all are compiled again.
const KEPT: usize = 4096;

/// Compiled expressions.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<BTreeMap<String, Arc<Pattern>>>);

impl Cache {
    /// Compiles it the first time.
    pub(super) fn get(&self, regex: &model::Regex) -> Result<Arc<Pattern>, String> {
        let key = format!("{regex:?}");
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pattern) = kept.get(&key) {
            return Ok(Arc::clone(pattern));
        }
        let pattern = Arc::new(Pattern::new(regex)?);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&pattern));
        Ok(pattern)
    }
}

/// A compiled expression and where it may match.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    no_match: bool,
    from: usize,
    until: Option<usize>,
    first_line: bool,
}

impl Pattern {
    /// Fails for an expression that is none, and for options that cannot be honoured.
    pub(super) fn new(regex: &model::Regex) -> Result<Pattern, String> {
        let mut builder = RegexBuilder::new();
        let mut flags = String::new();
        let mut verbs = format!("(*LIMIT_MATCH={MOST_STEPS})");
        let mut first_line = false;
        for option in &regex.options {
            match option.to_ascii_lowercase().as_str() {
                "caseless" => flags.push('i'),
                "dotall" => flags.push('s'),
                "dupnames" => flags.push('J'),
                "extended" => flags.push('x'),
                "extended_more" => flags.push_str("xx"),
                "multiline" => flags.push('m'),
                "no_auto_capture" => flags.push('n'),
                "ungreedy" => flags.push('U'),
                "no_auto_possess" => verbs.push_str("(*NO_AUTO_POSSESS)"),
                "no_dotstar_anchor" => verbs.push_str("(*NO_DOTSTAR_ANCHOR)"),
                "no_start_optimize" => verbs.push_str("(*NO_START_OPT)"),
                "ucp" => drop(builder.ucp(true)),
                "utf" => drop(builder.utf(true)),
                "firstline" => first_line = true,
                // They forbid some expressions and change none, or only matter to callers of PCRE2.
                "never_ucp" | "never_utf" | "never_backslash_c" | "auto_callout" | "use_offset_limit" => {}
                other => return Err(format!("regex option `{other}` cannot be honoured")),
            }
        }
        let (own, rest) = regex.pattern.split_at(verbs_of(&regex.pattern));
        let flags = if flags.is_empty() { flags } else { format!("(?{flags})") };
        let compiled = builder.build(&format!("{verbs}{own}{flags}{rest}"));
        let compiled = compiled.map_err(|error| format!("regex `{}`: {error}", regex.pattern))?;
        let (from, until) = regex.offsets;
        Ok(Pattern { regex: compiled, no_match: regex.no_match, from, until, first_line })
    }

    /// Whether this body is as wanted; `cut` where it goes on.
    pub(super) fn check(&self, body: &[u8], cut: bool) -> Result<(), String> {
        match (self.found(body)?, self.no_match) {
            (true, false) | (false, true) => Ok(()),
            (true, true) => Err("the body matches the regex".to_owned()),
            (false, false) if cut => Err(format!("no match of the regex in the first {} bytes", body.len())),
            (false, false) => Err("the body does not match the regex".to_owned()),
        }
    }

    /// The first match from the least offset on has the least offset: none later can fit where it does not.
    fn found(&self, body: &[u8]) -> Result<bool, String> {
        if self.from > body.len() {
            return Ok(false);
        }
        let found = self.regex.find_at(body, self.from).map_err(|error| format!("regex: {error}"))?;
        let Some(at) = found.map(|found| found.start()) else { return Ok(false) };
        let line = body[self.from..].iter().position(|byte| *byte == b'\n').map(|end| self.from + end);
        let in_line = !self.first_line || line.is_none_or(|end| at <= end);
        Ok(in_line && self.until.is_none_or(|until| at <= until))
    }
}

/// Length of the verbs an expression begins with, such as `(*UTF)`: nothing may come before them.
fn verbs_of(pattern: &str) -> usize {
    let mut length = 0;
    while let Some(verb) = pattern[length..].strip_prefix("(*") {
        let name = verb.split([')', '=']).next().unwrap_or_default();
        let start = ["UTF", "UCP", "CR", "LF", "CRLF", "ANYCRLF", "ANY", "NUL", "NOTEMPTY", "NOTEMPTY_ATSTART"];
        let known = start.contains(&name) || ["LIMIT_", "NO_", "BSR_"].iter().any(|prefix| name.starts_with(prefix));
        match verb.find(')').filter(|_| known) {
            Some(end) => length += 2 + end + 1,
            None => break,
        }
    }
    length
}
