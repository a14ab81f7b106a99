//! Routes and rules, in the words of `ip route` and `ip rule`, and `[host]`.

use std::ops::Range;

use toml::Spanned;

use super::super::Source;
use super::super::schema::HostTable;
use super::super::text::AddressEntry;
use super::{filled, router};
use crate::iproute::{Line, Wrong};
use crate::model::{Config, Route, Rule, Statics, TrackGroup, VirtualAddress};

pub(super) fn routes(source: &mut Source<'_>, lines: &[Spanned<String>]) -> Vec<Route> {
    lines.iter().filter_map(|line| one(source, line)).collect()
}

pub(super) fn rules(source: &mut Source<'_>, lines: &[Spanned<String>]) -> Vec<Rule> {
    lines.iter().filter_map(|line| one(source, line)).collect()
}

/// The names of routers are looked at once these are known: [`known_members`].
pub(super) fn statics(source: &mut Source<'_>, table: HostTable) -> (Statics, Vec<Spanned<String>>) {
    let mut statics = Statics::default();
    let (addresses, routes, rules) = things(source, &statics, (table.addresses, table.routes, table.rules));
    (statics.addresses, statics.routes, statics.rules) = (addresses, routes, rules);
    let mut members = Vec::new();
    for group in table.track_group {
        let span = group.name.span();
        let name = filled(source, group.name);
        if statics.track_groups.iter().any(|known| known.name == name) {
            source.error(span, format!("a second track_group `{name}`; expected a name of its own"));
        }
        let (addresses, routes, rules) = things(source, &statics, (group.addresses, group.routes, group.rules));
        statics.track_groups.push(TrackGroup {
            name,
            routers: group.routers.iter().map(|router| router.get_ref().clone()).collect(),
            addresses,
            routes,
            rules,
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

type Written = (Vec<Spanned<AddressEntry>>, Vec<Spanned<String>>, Vec<Spanned<String>>);

/// Static things that belong together, each of which can be beside those before it.
fn things(
    source: &mut Source<'_>,
    before: &Statics,
    (addresses, routes, rules): Written,
) -> (Vec<VirtualAddress>, Vec<Route>, Vec<Rule>) {
    let mut all = before.clone();
    let mut own = TrackGroup::default();
    for entry in addresses {
        let span = entry.span();
        let Some(new) = router::address(source, entry.into_inner(), span.clone()) else { continue };
        if new.interface.is_none() {
            source.error(span.clone(), format!("{} names no interface; expected `interface`", new.net));
        }
        let place = source.place(span.clone());
        let named = new.interface.iter().map(|interface| ("static address", interface.clone(), place.clone()));
        source.report.places.routed_interfaces.extend(named);
        refuse(source, span, all.against_address(&new));
        all.addresses.push(new.clone());
        own.addresses.push(new);
    }
    for line in routes {
        let Some(new) = one::<Route>(source, &line) else { continue };
        refuse(source, line.span(), all.against_route(&new));
        all.routes.push(new.clone());
        own.routes.push(new);
    }
    for line in rules {
        let Some(new) = one::<Rule>(source, &line) else { continue };
        refuse(source, line.span(), all.against_rule(&new));
        all.rules.push(new.clone());
        own.rules.push(new);
    }
    (own.addresses, own.routes, own.rules)
}

fn refuse(source: &mut Source<'_>, span: Range<usize>, why: Option<String>) {
    if let Some(why) = why {
        source.error(span, why);
    }
}

fn one<L: Line>(source: &mut Source<'_>, line: &Spanned<String>) -> Option<L> {
    let words: Vec<&str> = line.get_ref().split_whitespace().collect();
    match L::read(&words, &source.names) {
        Ok(found) => {
            let place = source.place(line.span());
            let named = found.interfaces_in(&words).into_iter().map(|(_, name)| (L::WHAT, name, place.clone()));
            source.report.places.routed_interfaces.extend(named);
            Some(found)
        }
        Err(Wrong { message, .. }) => {
            source.error(line.span(), message);
            None
        }
    }
}
