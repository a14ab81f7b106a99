//! What `[mesh]` and `[[router]]` say about which director serves what, and about what comes and goes.

use std::time::Duration;

use toml::Spanned;

use super::super::Source;
use super::super::schema::{FlapEntry, Mesh};
use super::super::text::Time;
use super::{number, time};
use crate::model::{Config, FlapDamping, Placement};

pub(super) fn lower(source: &mut Source<'_>, mesh: &Mesh) -> Placement {
    let usual = Placement::default();
    let times = Duration::from_secs(1)..=Duration::from_secs(3600);
    Placement {
        spread: mesh.spread.unwrap_or(usual.spread),
        capacity: number(source, mesh.capacity.as_ref(), 1..=10_000, usual.capacity),
        moves_per_minute: number(source, mesh.moves_per_minute.as_ref(), 1..=6000, usual.moves_per_minute),
        rebalance_after: time(source, mesh.rebalance_after.as_ref(), times, usual.rebalance_after),
    }
}

/// Where a value is out of range the whole table is pointed at.
pub(super) fn damping(source: &mut Source<'_>, entry: Option<Spanned<FlapEntry>>) -> Option<FlapDamping> {
    let usual = FlapDamping::default();
    let Some(entry) = entry else { return Some(usual) };
    let span = entry.span();
    let table = match entry.into_inner() {
        FlapEntry::Switch(on) => return on.then_some(usual),
        FlapEntry::Table(table) => table,
    };
    let falls = table.falls.map(|falls| Spanned::new(span.clone(), falls));
    let mut take = |value: Option<Time>, at_least, default| {
        let value = value.map(|value| Spanned::new(span.clone(), value));
        time(source, value.as_ref(), at_least..=Duration::from_secs(3600), default)
    };
    let second = Duration::from_secs(1);
    let within = take(table.within, second, usual.within);
    let hold = take(table.hold, second, usual.hold);
    let max = take(table.max, hold, usual.max.max(hold));
    Some(FlapDamping { falls: number(source, falls.as_ref(), 2..=100, usual.falls), within, hold, max })
}

/// Names of other routers, looked up when all of them are known.
pub(super) fn keep_apart(source: &mut Source<'_>, config: &mut Config, wanted: Vec<(String, Vec<Spanned<String>>)>) {
    for (router, names) in wanted {
        let mut list = Vec::new();
        for name in names {
            let span = name.span();
            let name = name.into_inner();
            let own = config.routers_named(&name).any(|r| r.name == router);
            if own {
                source.error(span, format!("`{name}` is this router itself, or has it; expected another one"));
            } else if config.routers_named(&name).next().is_none() {
                source.error(span, format!("there is no router `{name}`; expected the name of another `[[router]]`"));
            } else if list.contains(&name) {
                source.error(span, format!("`{name}` is in the list already"));
            } else {
                list.push(name);
            }
        }
        if let Some(router) = config.routers.iter_mut().find(|r| r.name == router) {
            router.keep_apart = list;
        }
    }
}
