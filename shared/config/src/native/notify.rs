//! The keys of meshd.toml about notifications. Defaults, ranges and meaning: deploy/examples/meshd.toml.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

use super::text::{FifoEntry, ScriptEntry, Time};

/// `notify` of a router or a group.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NotifyTable {
    pub(super) active: Option<Spanned<ScriptEntry>>,
    pub(super) backup: Option<Spanned<ScriptEntry>>,
    pub(super) fault: Option<Spanned<ScriptEntry>>,
    pub(super) stop: Option<Spanned<ScriptEntry>>,
    pub(super) deleted: Option<Spanned<ScriptEntry>>,
    #[serde(default)]
    pub(super) tell_deleted: bool,
    pub(super) any: Option<Spanned<ScriptEntry>>,
    pub(super) lower_priority: Option<Spanned<ScriptEntry>>,
    pub(super) priority_changes: Option<bool>,
}

/// `[notify]`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Notifications {
    pub(super) fifo: Option<FifoEntry>,
    pub(super) router_fifo: Option<FifoEntry>,
    #[serde(default)]
    pub(super) priority_changes: bool,
    #[serde(default)]
    pub(super) states_on_reload: bool,
    pub(super) startup: Option<Spanned<ScriptEntry>>,
    pub(super) startup_timeout: Option<Spanned<Time>>,
    pub(super) shutdown: Option<Spanned<ScriptEntry>>,
    pub(super) shutdown_timeout: Option<Spanned<Time>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FifoTable {
    pub(super) path: PathBuf,
    pub(super) user: Option<String>,
    pub(super) group: Option<Spanned<String>>,
    pub(super) script: Option<Spanned<ScriptEntry>>,
}
