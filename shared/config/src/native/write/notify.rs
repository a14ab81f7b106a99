//! `[notify]`, and `notify` of routers and groups.

use super::service::script;
use super::text::{Writer, string};
use crate::model::{Fifo, Notify, NotifySettings, OnDelete};

pub(super) fn settings(writer: &mut Writer, settings: &NotifySettings) {
    let NotifySettings {
        fifo,
        router_fifo,
        priority_changes,
        states_on_reload,
        startup,
        startup_timeout,
        shutdown,
        shutdown_timeout,
    } = settings;
    let default = NotifySettings::default();
    writer.table("[notify]");
    self::fifo(writer, "fifo", fifo.as_ref());
    self::fifo(writer, "router_fifo", router_fifo.as_ref());
    writer.unless(*priority_changes, false, "priority_changes");
    writer.unless(*states_on_reload, false, "states_on_reload");
    writer.some("startup", startup.as_ref().map(script));
    writer.unless_time(*startup_timeout, default.startup_timeout, "startup_timeout");
    writer.some("shutdown", shutdown.as_ref().map(script));
    writer.unless_time(*shutdown_timeout, default.shutdown_timeout, "shutdown_timeout");
}

/// A FIFO: just its path where it has no owner and no reader of ours.
pub(super) fn fifo(writer: &mut Writer, key: &'static str, fifo: Option<&Fifo>) {
    let Some(Fifo { path, owner, script: reader }) = fifo else { return };
    let Some(text) = path.to_str() else {
        return writer.lost(format!("`{key}`: {} is no text", path.display()));
    };
    let path = string(text);
    if owner.is_none() && reader.is_none() {
        return writer.key(key, path);
    }
    let mut keys = vec![format!("path = {path}")];
    if let Some((user, group)) = owner {
        keys.push(format!("user = {}", string(user)));
        keys.extend(group.as_ref().map(|group| format!("group = {}", string(group))));
    }
    keys.extend(reader.as_ref().map(|reader| format!("script = {}", script(reader))));
    writer.key(key, format!("{{ {} }}", keys.join(", ")));
}

/// What one router or group says.
pub(super) fn one(writer: &mut Writer, notify: &Notify) {
    let Notify { active, backup, fault, stop, deleted, any, lower_priority, priority_changes, mail } = notify;
    writer.some("alert", *mail);
    let (tell_deleted, deleted) = match deleted {
        OnDelete::Fault => (false, None),
        OnDelete::Deleted(script) => (script.is_none(), script.as_ref()),
    };
    let scripts = [
        ("active", active.as_ref()),
        ("backup", backup.as_ref()),
        ("fault", fault.as_ref()),
        ("stop", stop.as_ref()),
        ("deleted", deleted),
        ("any", any.as_ref()),
        ("lower_priority", lower_priority.as_ref()),
    ];
    let said = scripts.into_iter().filter_map(|(key, value)| Some(format!("{key} = {}", script(value?))));
    let mut keys: Vec<String> = said.collect();
    keys.extend(tell_deleted.then(|| "tell_deleted = true".to_owned()));
    keys.extend(priority_changes.map(|told| format!("priority_changes = {told}")));
    if !keys.is_empty() {
        writer.key("notify", format!("{{ {} }}", keys.join(", ")));
    }
}
