//! Who is told of changes: what both files say of it.

use std::fmt::Write;

use mesh_config::model::{Config, Notify, OnDelete, Script};
use serde::Serialize;

use super::words::{self, on};

/// Whether it sends mail on its changes.
pub(super) fn mails(config: &Config, notify: &Notify) -> bool {
    notify.mail.or(config.mail.alert_vrrp).or(config.mail.alert).unwrap_or(false)
}

/// Whether it says on its end that it is deleted.
pub(super) fn tells_deletion(notify: &Notify) -> bool {
    matches!(notify.deleted, OnDelete::Deleted(_))
}

fn deleted(notify: &Notify) -> Option<&Script> {
    match &notify.deleted {
        OnDelete::Deleted(script) => script.as_ref(),
        OnDelete::Fault => None,
    }
}

/// The members of keepalived.json, in keepalived's order; those that there is no script for are left out.
#[derive(Serialize)]
pub(super) struct Scripts {
    #[serde(skip_serializing_if = "Option::is_none")]
    script_backup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_master: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_fault: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_stop: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_deleted: Option<String>,
    /// That of every change.
    #[serde(skip_serializing_if = "Option::is_none")]
    script: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    script_master_rx_lower_pri: Option<String>,
}

impl Scripts {
    pub(super) fn new(notify: &Notify) -> Scripts {
        let command = |script: Option<&Script>| script.map(|script| words::command(&script.command));
        Scripts {
            script_backup: command(notify.backup.as_ref()),
            script_master: command(notify.active.as_ref()),
            script_fault: command(notify.fault.as_ref()),
            script_stop: command(notify.stop.as_ref()),
            script_deleted: command(deleted(notify)),
            script: command(notify.any.as_ref()),
            script_master_rx_lower_pri: command(notify.lower_priority.as_ref()),
        }
    }
}

/// The end of a router in keepalived.data.
pub(super) fn router(text: &mut String, config: &Config, notify: &Notify) {
    mail(text, config, notify);
    let _ = writeln!(text, "   Notify deleted = {}", on(tells_deletion(notify), "Deleted", "Fault"));
    scripts(text, config, notify);
    let priority_changes = notify.priority_changes.unwrap_or(config.notify.priority_changes);
    let _ = writeln!(text, "   Notify priority changes = {priority_changes}");
}

/// The end of a sync group.
pub(super) fn group(text: &mut String, config: &Config, notify: &Notify) {
    mail(text, config, notify);
    scripts(text, config, notify);
}

fn mail(text: &mut String, config: &Config, notify: &Notify) {
    let _ = writeln!(text, "   Using smtp notification = {}", on(mails(config, notify), "yes", "no"));
}

fn scripts(text: &mut String, config: &Config, notify: &Notify) {
    for (when, script) in [
        ("Backup state transition", notify.backup.as_ref()),
        ("Master state transition", notify.active.as_ref()),
        ("Fault state transition", notify.fault.as_ref()),
        ("Stop state transition", notify.stop.as_ref()),
        ("Deleted state transition", deleted(notify)),
        ("Generic state transition", notify.any.as_ref()),
        ("Master rx lower pri state transition", notify.lower_priority.as_ref()),
    ] {
        let Some(script) = script else { continue };
        let user = script.user.clone().or_else(|| config.scripts.user.clone());
        let script = Script { command: script.command.clone(), user };
        let _ = writeln!(text, "   {when} script = {}", words::script(&script));
    }
}
