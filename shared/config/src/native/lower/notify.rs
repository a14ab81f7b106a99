//! `notify` of routers and groups, `[notify]`, and FIFOs.

use std::path::PathBuf;
use std::time::Duration;

use toml::Spanned;

use super::super::Source;
use super::super::notify::{FifoTable, Notifications, NotifyTable};
use super::super::text::{FifoEntry, ScriptEntry, Time};
use super::server::script;
use super::{time, user};
use crate::model::{Fifo, Notify, NotifySettings, OnDelete, Script};

/// `notify` and `alert` of one router or group.
pub(super) fn one(source: &mut Source<'_>, table: NotifyTable, alert: Option<bool>) -> Notify {
    let deleted = optional(source, table.deleted);
    Notify {
        active: optional(source, table.active),
        backup: optional(source, table.backup),
        fault: optional(source, table.fault),
        stop: optional(source, table.stop),
        deleted: match deleted {
            None if !table.tell_deleted => OnDelete::Fault,
            script => OnDelete::Deleted(script),
        },
        any: optional(source, table.any),
        lower_priority: optional(source, table.lower_priority),
        priority_changes: table.priority_changes,
        mail: alert,
    }
}

/// `[notify]`.
pub(super) fn settings(source: &mut Source<'_>, table: Notifications) -> NotifySettings {
    let default = NotifySettings::default();
    NotifySettings {
        fifo: table.fifo.map(|entry| fifo(source, entry)),
        router_fifo: table.router_fifo.map(|entry| fifo(source, entry)),
        priority_changes: table.priority_changes,
        states_on_reload: table.states_on_reload,
        startup: optional(source, table.startup),
        startup_timeout: patience(source, table.startup_timeout, default.startup_timeout),
        shutdown: optional(source, table.shutdown),
        shutdown_timeout: patience(source, table.shutdown_timeout, default.shutdown_timeout),
    }
}

/// A FIFO: where, whose, and who reads it.
pub(super) fn fifo(source: &mut Source<'_>, entry: FifoEntry) -> Fifo {
    let FifoTable { path, user: owner, group, script: reader } = entry.0;
    Fifo { path, owner: user(source, owner, group), script: optional(source, reader) }
}

/// Two kinds of lines in one FIFO: its readers would take them from each other.
pub(super) fn own_fifos<'f>(source: &mut Source<'_>, fifos: impl Iterator<Item = &'f Fifo>) {
    let mut seen: Vec<&PathBuf> = Vec::new();
    for fifo in fifos {
        if seen.contains(&&fifo.path) {
            let path = fifo.path.display().to_string();
            let at = source.text.rfind(&path).unwrap_or(0);
            source.error(at..at, format!("`{path}` is another FIFO already; expected one of its own"));
        }
        seen.push(&fifo.path);
    }
}

fn optional(source: &mut Source<'_>, entry: Option<Spanned<ScriptEntry>>) -> Option<Script> {
    entry.map(|entry| script(source, &entry))
}

fn patience(source: &mut Source<'_>, value: Option<Spanned<Time>>, default: Duration) -> Duration {
    time(source, value.as_ref(), Duration::from_secs(1)..=Duration::from_secs(1000), default)
}
