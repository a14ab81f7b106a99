//! `[[bfd]]`: its keys, and what they mean in the model.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::Deserialize;
use toml::Spanned;

use super::Source;
use super::lower::{filled, number, time};
use super::text::Time;
use crate::common::bfd_problem;
use crate::model::BfdInstance;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BfdTable {
    pub(super) name: Spanned<String>,
    pub(super) neighbour: Spanned<IpAddr>,
    pub(super) source: Option<IpAddr>,
    pub(super) interface: Option<Spanned<String>>,
    pub(super) min_rx: Option<Spanned<Time>>,
    pub(super) min_tx: Option<Spanned<Time>>,
    pub(super) idle_tx: Option<Spanned<Time>>,
    pub(super) multiplier: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) passive: bool,
    pub(super) ttl: Option<Spanned<i64>>,
    pub(super) max_hops: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) multihop: bool,
    pub(super) weight: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) reverse: bool,
    pub(super) used_by: Option<UsedBy>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum UsedBy {
    Routers,
    Services,
}

/// Lowers all sessions.
pub(super) fn sessions(source: &mut Source<'_>, tables: Vec<BfdTable>) -> Vec<BfdInstance> {
    let mut names = BTreeSet::new();
    let mut sessions: Vec<BfdInstance> = Vec::new();
    for table in tables {
        let (name_at, neighbour_at) = (table.name.span(), table.neighbour.span());
        let session = session(source, table);
        if session.name.len() > BfdInstance::LONGEST_NAME {
            source.error(name_at, format!("more than {} bytes; expected a shorter name", BfdInstance::LONGEST_NAME));
        } else if !names.insert(session.name.clone()) {
            let message = format!("a second bfd session `{}`; expected a name of its own", session.name);
            source.error(name_at, message);
        }
        if let Some(problem) = bfd_problem(&session, &sessions) {
            source.error(neighbour_at, problem);
        }
        sessions.push(session);
    }
    sessions
}

fn session(source: &mut Source<'_>, table: BfdTable) -> BfdInstance {
    let default = BfdInstance::new(filled(source, table.name), table.neighbour.into_inner());
    let short = |source: &mut Source<'_>, value: Option<Spanned<Time>>, default| {
        time(source, value.as_ref(), BfdInstance::SHORTEST..=BfdInstance::LONGEST, default)
    };
    let idle = BfdInstance::SHORTEST_IDLE..=BfdInstance::LONGEST;
    let ttl = number(source, table.ttl.as_ref(), 1..=255, default.ttl);
    BfdInstance {
        source: table.source,
        interface: table.interface.map(|name| filled(source, name)),
        min_rx: short(source, table.min_rx, default.min_rx),
        min_tx: short(source, table.min_tx, default.min_tx),
        idle_tx: time(source, table.idle_tx.as_ref(), idle, default.idle_tx),
        multiplier: number(source, table.multiplier.as_ref(), 1..=255, default.multiplier),
        passive: table.passive,
        ttl,
        max_hops: number(source, table.max_hops.as_ref(), 0..=i64::from(ttl), default.max_hops),
        multihop: table.multihop,
        weight: number(source, table.weight.as_ref(), -253..=253, default.weight),
        reverse: table.reverse,
        for_routers: !matches!(table.used_by, Some(UsedBy::Services)),
        for_services: !matches!(table.used_by, Some(UsedBy::Routers)),
        ..default
    }
}
