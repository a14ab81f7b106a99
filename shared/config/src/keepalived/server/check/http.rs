//! `HTTP_GET` and `SSL_GET`.

use super::super::super::keywords::{HTTP_CHECK, URL};
use super::super::super::lower::Lower;
use super::super::super::tree::{At, Block, Statement};
use super::super::super::values;
use super::super::words;
use super::{Common, Outer, Read, all};
use crate::common::{REGEX_OPTIONS, is_md5, status};
use crate::model::{Check, CheckKind, HttpCheck, HttpProtocol, Regex, Url};

/// What the block says besides what all checks have.
#[derive(Default)]
struct Own {
    urls: Vec<Url>,
    protocol: HttpProtocol,
    virtualhost: Option<String>,
    sni: bool,
    sni_name: Option<String>,
    fast_recovery: bool,
}

pub(super) fn lower(
    lower: &mut Lower<'_>,
    outer: &Outer<'_>,
    statement: &Statement<'_>,
    block: &Block<'_>,
) -> Option<Check> {
    let (keyword, at) = (statement.keyword(), statement.at());
    let tls = keyword == "SSL_GET";
    let mut common = Common::default();
    let mut own = Own::default();
    common.block(lower, &HTTP_CHECK, block, |lower, statement| own.read(lower, tls, statement));
    if own.urls.is_empty() {
        // keepalived 2.2.7 crashes here.
        lower.warning(at, format!("`{keyword}` has no `url` with a `path`; the check is left out"));
        return None;
    }
    let virtualhost = own.virtualhost.take().or_else(|| outer.virtualhost.clone());
    for url in &mut own.urls {
        url.virtualhost = url.virtualhost.take().or_else(|| virtualhost.clone());
    }
    let sni = own.sni_name.or_else(|| own.urls.iter().find_map(|u| u.virtualhost.clone())).filter(|_| own.sni);
    if own.sni && sni.is_none() {
        lower.warning(at, "`enable_sni` without a `virtualhost`: no name is sent".into());
    }
    let check = HttpCheck { tls, protocol: own.protocol, sni, fast_recovery: own.fast_recovery, urls: own.urls };
    common.check(lower, outer, at, CheckKind::Http(check))
}

impl Own {
    fn read(&mut self, lower: &mut Lower<'_>, tls: bool, statement: &Statement<'_>) -> Read {
        match (statement.keyword(), &statement.block) {
            ("url", Some(block)) => {
                self.urls.extend(url(lower, statement, block));
                return Read::Block;
            }
            ("url", None) => {
                lower.warning(statement.at(), "`url` has no block; expected `{` after it; skipped".into());
            }
            ("virtualhost", _) => {
                self.virtualhost = words::text(lower, statement, "a name").or(self.virtualhost.take());
            }
            ("http_protocol", _) => {
                let protocol = words::value(lower, statement, "1.0, 1.0C or 1.1", |word| match word {
                    "1.0" => Some(HttpProtocol::V10),
                    "1.0C" | "1.0c" => Some(HttpProtocol::V10Close),
                    "1.1" => Some(HttpProtocol::V11),
                    _ => None,
                });
                words::put(&mut self.protocol, protocol);
            }
            ("fast_recovery", _) => words::put(&mut self.fast_recovery, words::switch(lower, statement)),
            (keyword @ ("enable_sni" | "sni_name"), _) if !tls => {
                lower.ignored(statement.at(), format!("`{keyword}` has no effect without TLS"));
            }
            ("enable_sni", _) => words::put(&mut self.sni, words::switch(lower, statement)),
            ("sni_name", _) => {
                self.sni_name = words::text(lower, statement, "a name").or(self.sni_name.take());
                self.sni = true;
            }
            _ => return Read::No,
        }
        Read::Leaf
    }
}

/// A url before it is known to have a path.
#[derive(Default)]
struct Draft {
    path: Option<String>,
    virtualhost: Option<String>,
    digest: Option<String>,
    status: Vec<(u16, u16)>,
    regex: Option<String>,
    /// The first keyword that is about a regex.
    about_regex: Option<At>,
    options: Vec<String>,
    no_match: bool,
    offsets: (usize, Option<usize>),
}

fn url(lower: &mut Lower<'_>, outer: &Statement<'_>, block: &Block<'_>) -> Option<Url> {
    let mut draft = Draft::default();
    for statement in &block.statements {
        if lower.language(statement) {
            continue;
        }
        if draft.read(lower, statement) || draft.read_regex(lower, statement) {
            lower.no_block(statement);
        } else {
            lower.other(&URL, statement);
        }
    }
    let Some(path) = draft.path.take() else {
        lower.warning(outer.at(), "`url` has no `path`; left out".into());
        return None;
    };
    Some(draft.url(lower, path))
}

impl Draft {
    fn read(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) -> bool {
        match statement.keyword() {
            "path" => {
                if let Some(word) = lower.parameter(statement, "a path") {
                    self.path = Some(word.text.to_string());
                }
                words::extra(lower, statement, 1);
            }
            "digest" => {
                let read = |w: &str| is_md5(w).then(|| w.to_ascii_lowercase());
                self.digest = words::value(lower, statement, "32 hexadecimal digits", read).or(self.digest.take());
            }
            "virtualhost" => {
                self.virtualhost = words::text(lower, statement, "a name").or(self.virtualhost.take());
            }
            "status_code" => self.status(lower, statement),
            _ => return false,
        }
        true
    }

    fn status(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) {
        if statement.parameters().is_empty() {
            let message = "`status_code` has no value; expected codes such as 200 or 200-299; skipped";
            lower.warning(statement.at(), message.into());
        }
        for word in statement.parameters() {
            match status(&word.text) {
                Some(range) => self.status.push(range),
                None => {
                    let expected = "expected a code or a range from 100 to 599, such as 200 or 200-299";
                    lower.warning(
                        word.at,
                        format!("`{}` is no value for `status_code`: {expected}; skipped", word.text),
                    );
                }
            }
        }
    }

    fn read_regex(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) -> bool {
        let offset = |lower: &mut Lower<'_>| {
            words::value(lower, statement, "a number", |w| values::unsigned(w).and_then(|n| usize::try_from(n).ok()))
        };
        match statement.keyword() {
            "regex" => {
                if let Some(word) = lower.parameter(statement, "an expression") {
                    self.regex = Some(word.text.to_string());
                }
                words::extra(lower, statement, 1);
            }
            "regex_no_match" => self.no_match = words::set(lower, statement),
            "regex_options" => self.options(lower, statement),
            "regex_min_offset" => words::put(&mut self.offsets.0, offset(lower)),
            "regex_max_offset" => self.offsets.1 = offset(lower).or(self.offsets.1),
            _ => return false,
        }
        self.about_regex.get_or_insert(statement.at());
        true
    }

    fn options(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) {
        if statement.parameters().is_empty() {
            lower.warning(statement.at(), "`regex_options` has no value; expected some such as caseless".into());
        }
        for option in all(statement).split_whitespace() {
            if REGEX_OPTIONS.contains(&option) {
                self.options.push(option.to_string());
            } else {
                let message = format!("`{option}` is no option of a regex; skipped");
                lower.warning(statement.parameters()[0].at, message);
            }
        }
    }

    fn url(self, lower: &mut Lower<'_>, path: String) -> Url {
        if let (None, Some(at)) = (&self.regex, self.about_regex) {
            lower.warning(at, "there is no `regex` for this; skipped".into());
        }
        if let (Some(_), Some(at), (least, Some(most))) = (&self.regex, self.about_regex, self.offsets)
            && most < least
        {
            lower.warning(at, format!("no match can begin between {least} and {most}: the check will fail"));
        }
        let status = match (self.status.is_empty(), &self.digest) {
            (false, _) => self.status,
            (true, Some(_)) => vec![(100, 599)],
            (true, None) => vec![(200, 299)],
        };
        let (options, no_match, offsets) = (self.options, self.no_match, self.offsets);
        let regex = self.regex.map(|pattern| Regex { pattern, options, no_match, offsets });
        Url { path, virtualhost: self.virtualhost, digest: self.digest, status, regex }
    }
}
