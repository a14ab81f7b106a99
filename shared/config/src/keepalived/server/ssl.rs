//! `SSL`: what checks use towards TLS servers.

use super::super::keywords::SSL;
use super::super::lower::Lower;
use super::super::tree::{Block, Statement};
use super::words;
use crate::model::{Config, Secret, Tls};

/// Reads the blocks; each replaces the one before it.
pub(super) fn lower(lower: &mut Lower<'_>, config: &mut Config, statements: &[Statement<'_>]) {
    let mut seen = false;
    for statement in statements.iter().filter(|s| s.keyword() == "SSL") {
        let Some(block) = &statement.block else { continue };
        if std::mem::replace(&mut seen, true) {
            lower.warning(statement.at(), "a second `SSL`; it replaces the first one".into());
        }
        config.lvs.tls = read(lower, block);
    }
}

fn read(lower: &mut Lower<'_>, block: &Block<'_>) -> Tls {
    let mut tls = Tls::default();
    for statement in &block.statements {
        if lower.language(statement) {
            continue;
        }
        match statement.keyword() {
            "password" => put(lower, &mut tls.password, statement, "a password", Secret::new),
            "ca" => put(lower, &mut tls.ca, statement, "a file", Into::into),
            "certificate" => put(lower, &mut tls.certificate, statement, "a file", Into::into),
            "key" => put(lower, &mut tls.key, statement, "a file", Into::into),
            _ => {
                lower.other(&SSL, statement);
                continue;
            }
        }
        lower.no_block(statement);
    }
    tls
}

fn put<T>(
    lower: &mut Lower<'_>,
    to: &mut Option<T>,
    statement: &Statement<'_>,
    expected: &str,
    make: impl Fn(String) -> T,
) {
    let Some(text) = words::text(lower, statement, expected) else { return };
    if to.is_some() {
        lower.warning(statement.at(), format!("a second `{}`; it replaces the first one", statement.keyword()));
    }
    *to = Some(make(text));
}
