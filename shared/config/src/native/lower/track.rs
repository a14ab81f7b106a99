//! What routers and groups track, `[[sync_group]]`, `[[track_process]]` and `[delays]`. What
//! keepalived.conf repairs with a warning is an error here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use toml::Spanned;

use super::super::Source;
use super::super::schema::{DelayTable, ParameterName, SyncGroupTable, TrackProcessTable};
use super::super::text::TrackedEntry;
use super::{filled, notify, number, time, within};
use crate::model::{Config, Delays, LinkDelay, ParameterMatch, SyncGroup, TrackProcess, Tracked, Tracks, Weight};
use crate::report::plural;

/// The priority that owns the addresses (RFC 9568 section 5.2.4).
const OWNER: u8 = 255;

/// The lists of a router or a group.
pub(super) struct Tracking {
    pub(super) interfaces: Vec<Spanned<TrackedEntry>>,
    pub(super) scripts: Vec<Spanned<TrackedEntry>>,
    pub(super) files: Vec<Spanned<TrackedEntry>>,
    pub(super) processes: Vec<Spanned<TrackedEntry>>,
    pub(super) bfds: Vec<Spanned<TrackedEntry>>,
}

impl Tracking {
    /// A router's own interface is tracked anyway, or not at all without `track_own_interface`.
    pub(super) fn without_own(&mut self, source: &mut Source<'_>, own: &str) {
        self.interfaces.retain(|entry| {
            let is_own = entry.get_ref().0.name == own;
            if is_own {
                let message = format!("`{own}` is the router's own interface; not tracked once more");
                source.warning(entry.span(), message);
            }
            !is_own
        });
    }
}

/// What a router or a group tracks; `whose` is its name.
pub(super) fn tracks(source: &mut Source<'_>, config: &Config, tracking: Tracking, whose: &str, owner: bool) -> Tracks {
    for entry in &tracking.interfaces {
        let place = source.place(entry.span());
        let name = entry.get_ref().0.name.clone();
        source.report.places.tracked_interfaces.push((whose.to_owned(), name, place));
    }
    let scripts: BTreeSet<&str> = config.track_scripts.iter().map(|s| s.name.as_str()).collect();
    let files: BTreeSet<&str> = config.track_files.iter().map(|f| f.name.as_str()).collect();
    let processes: BTreeSet<&str> = config.track_processes.iter().map(|p| p.name.as_str()).collect();
    let sessions = config.bfd_instances.iter().filter(|b| b.for_routers);
    let sessions: BTreeSet<&str> = sessions.map(|b| b.name.as_str()).collect();
    Tracks {
        interfaces: list(source, tracking.interfaces, None, 253, owner),
        scripts: list(source, tracking.scripts, Some(("script", &scripts)), 253, owner),
        files: list(source, tracking.files, Some(("track_file", &files)), 254, owner),
        processes: list(source, tracking.processes, Some(("track_process", &processes)), 254, owner),
        bfds: list(source, tracking.bfds, Some(("bfd", &sessions)), 253, owner),
    }
}

fn list(
    source: &mut Source<'_>,
    entries: Vec<Spanned<TrackedEntry>>,
    known: Option<(&str, &BTreeSet<&str>)>,
    most: i64,
    owner: bool,
) -> Vec<Tracked> {
    let mut seen = BTreeSet::new();
    let mut tracked = Vec::new();
    for entry in entries {
        let span = entry.span();
        let TrackedEntry(entry) = entry.into_inner();
        let by = entry.weight.and_then(|w| within(source, &Spanned::new(span.clone(), w), -most..=most));
        if let Some((table, _)) = known.filter(|(_, names)| !names.contains(entry.name.as_str())) {
            let message = format!("there is no {table} `{}`; expected a `[[{table}]]` of that name", entry.name);
            source.error(span.clone(), message);
        }
        if !seen.insert(entry.name.clone()) {
            source.error(span.clone(), format!("`{}` is already tracked", entry.name));
        }
        if owner && by.is_some_and(|w| w != 0) {
            source.error(span.clone(), "a weight has no effect: an owner's priority stays 255".into());
        }
        if entry.reverse && entry.weight.is_none() {
            source.error(span, "`reverse` without `weight`; expected both".into());
        }
        let weight = by.map(|by| Weight { by: i32::try_from(by).unwrap_or_default(), reverse: entry.reverse });
        tracked.push(Tracked { name: entry.name, weight });
    }
    tracked
}

/// Every `[[sync_group]]`, once the routers are known.
pub(super) fn sync_groups(source: &mut Source<'_>, config: &Config, tables: Vec<SyncGroupTable>) -> Vec<SyncGroup> {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let mut names = BTreeSet::new();
    let mut groups = Vec::new();
    for table in tables {
        let (span, list) = (table.name.span(), table.routers.span());
        let name = filled(source, table.name);
        if !names.insert(name.clone()) {
            source.error(span, format!("a second sync_group `{name}`; expected a name of its own"));
        }
        let mut group = SyncGroup { member_weights: table.member_weights, ..SyncGroup::new(&name, Vec::new()) };
        let mut owner = false;
        for member in table.routers.into_inner() {
            let (span, member) = (member.span(), member.into_inner());
            let router = config.routers.iter().find(|r| r.name == member);
            owner |= router.is_some_and(|r| r.priority == OWNER);
            if let Some(other) = taken.insert(member.clone(), name.clone()) {
                source.error(span, format!("`{member}` is already in sync_group `{other}`; expected it in one"));
            } else if let Some(router) = router {
                if !group.member_weights && router.track.with_weights(config).next().is_some() {
                    let message = format!("`{member}` tracks with a weight: expected `member_weights = true`, or none");
                    source.error(span, message);
                }
            } else {
                source.error(span, format!("there is no router `{member}`; expected a `[[router]]` of that name"));
            }
            group.routers.push(member);
        }
        if group.routers.len() < 2 {
            source.error(
                list,
                format!("{}; expected two or more that move together", plural(group.routers.len(), "router")),
            );
        }
        let tracking = Tracking {
            interfaces: table.track_interfaces,
            scripts: table.track_scripts,
            files: table.track_files,
            processes: table.track_processes,
            bfds: table.track_bfds,
        };
        group.track = tracks(source, config, tracking, &name, owner);
        group.notify = notify::one(source, table.notify, table.alert);
        groups.push(group);
    }
    groups
}

/// Every `[[track_process]]`.
pub(super) fn processes(source: &mut Source<'_>, tables: Vec<TrackProcessTable>) -> Vec<TrackProcess> {
    let mut names = BTreeSet::new();
    let mut processes = Vec::new();
    for table in tables {
        let span = table.name.span();
        let name = filled(source, table.name);
        if !names.insert(name.clone()) {
            source.error(span, format!("a second track_process `{name}`; expected a name of its own"));
        }
        if table.command.get_ref().0.first().is_none_or(String::is_empty) {
            source.error(table.command.span(), "an empty command; expected a program".into());
        }
        let most = table.quorum_max.as_ref().and_then(|n| within(source, n, 0..=65535));
        let least = if most == Some(0) { 0 } else { 1 };
        let quorum: u32 = number(source, table.quorum.as_ref(), 0..=65535, least);
        if let Some((most, table)) = most.zip(table.quorum_max).filter(|(most, _)| *most < i64::from(quorum)) {
            source.error(table.span(), format!("at most {most} and at least {quorum}; expected a range"));
        }
        let delays = Duration::ZERO..=Duration::from_secs(3600);
        processes.push(TrackProcess {
            name,
            command: table.command.into_inner().0,
            parameters: match table.parameters {
                None => ParameterMatch::Given,
                Some(ParameterName::Exact) => ParameterMatch::Exact,
                Some(ParameterName::Partial) => ParameterMatch::Partial,
                Some(ParameterName::Initial) => ParameterMatch::Initial,
            },
            full_command: table.full_command,
            weight: Weight { by: number(source, table.weight.as_ref(), -254..=254, 0), reverse: table.reverse },
            quorum,
            quorum_max: most.and_then(|n| u32::try_from(n).ok()),
            fork_delay: time(source, table.fork_delay.as_ref(), delays.clone(), Duration::ZERO),
            terminate_delay: time(source, table.terminate_delay.as_ref(), delays, Duration::ZERO),
        });
    }
    processes
}

/// `[delays]`.
pub(super) fn delays(source: &mut Source<'_>, table: DelayTable) -> Delays {
    let start = Duration::ZERO..=Duration::from_micros(u32::MAX.into());
    let link = Duration::ZERO..=Duration::from_secs(255);
    let mut links = BTreeMap::new();
    for entry in table.links {
        let span = entry.interface.span();
        let interface = filled(source, entry.interface);
        let down = time(source, Some(&entry.down), link.clone(), Duration::ZERO);
        let up = time(source, entry.up.as_ref(), link.clone(), down);
        if links.insert(interface.clone(), LinkDelay { down, up }).is_some() {
            source.error(span, format!("`{interface}` has delays already; expected an interface once"));
        }
    }
    Delays {
        startup: time(source, table.startup.as_ref(), start.clone(), Duration::ZERO),
        after_boot: time(source, table.after_boot.as_ref(), start, Duration::ZERO),
        links,
    }
}
