//! Routes and rules, in the words of `ip route` and `ip rule`, and `[host]`.

use toml::Spanned;

use super::super::Source;
use super::super::schema::HostTable;
use super::super::text::AddressEntry;
use super::{filled, router};
use crate::iproute::{self, Names, Wrong};
use crate::model::{Config, Route, Rule, Statics, TrackGroup, VirtualAddress};

pub(super) fn routes(source: &mut Source<'_>, lines: &[Spanned<String>]) -> Vec<Route> {
    lines.iter().filter_map(|line| one(source, line, iproute::route)).collect()
}

pub(super) fn rules(source: &mut Source<'_>, lines: &[Spanned<String>]) -> Vec<Rule> {
    lines.iter().filter_map(|line| one(source, line, iproute::rule)).collect()
}

/// The names of routers are looked at once these are known: [`known_members`].
pub(super) fn statics(source: &mut Source<'_>, table: HostTable) -> (Statics, Vec<Spanned<String>>) {
    let mut statics = Statics {
        addresses: addresses(source, table.addresses),
        routes: routes(source, &table.routes),
        rules: rules(source, &table.rules),
        track_groups: Vec::new(),
    };
    let mut members = Vec::new();
    for group in table.track_group {
        let span = group.name.span();
        let name = filled(source, group.name);
        if statics.track_groups.iter().any(|known| known.name == name) {
            source.error(span, format!("a second track_group `{name}`; expected a name of its own"));
        }
        statics.track_groups.push(TrackGroup {
            name,
            routers: group.routers.iter().map(|router| router.get_ref().clone()).collect(),
            addresses: addresses(source, group.addresses),
            routes: routes(source, &group.routes),
            rules: rules(source, &group.rules),
        });
        members.extend(group.routers);
    }
    (statics, members)
}

/// Every member of a group is a router.
pub(super) fn known_members(source: &mut Source<'_>, config: &Config, members: &[Spanned<String>]) {
    for member in members.iter().filter(|m| !config.routers.iter().any(|router| router.name == *m.get_ref())) {
        let message = format!("there is no router `{}`; expected the name of a `[[router]]`", member.get_ref());
        source.error(member.span(), message);
    }
}

fn addresses(source: &mut Source<'_>, entries: Vec<Spanned<AddressEntry>>) -> Vec<VirtualAddress> {
    let mut addresses = Vec::new();
    for entry in entries {
        let span = entry.span();
        let Some(address) = router::address(source, entry.into_inner(), span.clone()) else { continue };
        if address.interface.is_none() {
            source.error(span, format!("{} names no interface; expected `interface`", address.net));
        }
        addresses.push(address);
    }
    addresses
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
