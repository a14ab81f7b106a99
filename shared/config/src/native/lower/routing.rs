//! Routes and rules, in the words of `ip route` and `ip rule`, and `[host]`.

use toml::Spanned;

use super::super::Source;
use super::super::schema::HostTable;
use super::router;
use crate::iproute::{self, Names, Wrong};
use crate::model::{Route, Rule, Statics};

pub(super) fn routes(source: &mut Source<'_>, lines: &[Spanned<String>]) -> Vec<Route> {
    lines.iter().filter_map(|line| one(source, line, iproute::route)).collect()
}

pub(super) fn rules(source: &mut Source<'_>, lines: &[Spanned<String>]) -> Vec<Rule> {
    lines.iter().filter_map(|line| one(source, line, iproute::rule)).collect()
}

pub(super) fn statics(source: &mut Source<'_>, table: HostTable) -> Statics {
    let mut addresses = Vec::new();
    for entry in table.addresses {
        let span = entry.span();
        let Some(address) = router::address(source, entry.into_inner(), span.clone()) else { continue };
        if address.interface.is_none() {
            source.error(span, format!("{} names no interface; expected `interface`", address.net));
        }
        addresses.push(address);
    }
    Statics { addresses, routes: routes(source, &table.routes), rules: rules(source, &table.rules) }
}

fn one<T>(
    source: &mut Source<'_>,
    line: &Spanned<String>,
    read: impl Fn(&[&str], &Names<'_>) -> Result<T, Wrong>,
) -> Option<T> {
    let words: Vec<&str> = line.get_ref().split_whitespace().collect();
    match read(&words, &source.names) {
        Ok(found) => Some(found),
        Err(Wrong { message, .. }) => {
            source.error(line.span(), message);
            None
        }
    }
}
