//! Notifications: what instances, sync groups and `global_defs` say of them.

use std::time::Duration;

use super::lower::Lower;
use super::lvs::switch;
use super::server::words;
use super::tree::Statement;
use super::values;
use crate::model::{Config, Fifo, Notify, NotifySettings, OnDelete, Script};

/// Reads a keyword of an instance or a sync group; false when it is none of these.
pub(super) fn keyword(lower: &mut Lower<'_>, notify: &mut Notify, statement: &Statement<'_>) -> bool {
    match statement.keyword() {
        "notify_master" => words::script(lower, &mut notify.active, statement),
        "notify_backup" => words::script(lower, &mut notify.backup, statement),
        "notify_fault" => words::script(lower, &mut notify.fault, statement),
        "notify_stop" => words::script(lower, &mut notify.stop, statement),
        "notify_deleted" => deleted(lower, &mut notify.deleted, statement),
        "notify" => words::script(lower, &mut notify.any, statement),
        "notify_master_rx_lower_pri" => words::script(lower, &mut notify.lower_priority, statement),
        "notify_priority_changes" => {
            notify.priority_changes = switch(lower, statement).or(notify.priority_changes);
        }
        "smtp_alert" => notify.mail = switch(lower, statement).or(notify.mail),
        _ => return false,
    }
    lower.no_block(statement);
    true
}

/// Without a script it still changes what is told.
fn deleted(lower: &mut Lower<'_>, to: &mut OnDelete, statement: &Statement<'_>) {
    let mut script = match std::mem::take(to) {
        OnDelete::Fault => None,
        OnDelete::Deleted(script) => script,
    };
    if !statement.parameters().is_empty() {
        words::script(lower, &mut script, statement);
    }
    *to = OnDelete::Deleted(script);
}

/// Scripts that read FIFOs, until the FIFOs are known.
#[derive(Debug, Default)]
pub(super) struct Readers {
    all: Option<Script>,
    routers: Option<Script>,
    services: Option<Script>,
}

/// Reads a keyword of `global_defs`; false when it is none of these.
pub(super) fn global(
    lower: &mut Lower<'_>,
    config: &mut Config,
    readers: &mut Readers,
    statement: &Statement<'_>,
) -> bool {
    let notify = &mut config.notify;
    match statement.keyword() {
        "notify_fifo" => fifo(lower, &mut notify.fifo, statement),
        "vrrp_notify_fifo" => fifo(lower, &mut notify.router_fifo, statement),
        "lvs_notify_fifo" => fifo(lower, &mut config.lvs.notify_fifo, statement),
        "notify_fifo_script" => words::script(lower, &mut readers.all, statement),
        "vrrp_notify_fifo_script" => words::script(lower, &mut readers.routers, statement),
        "lvs_notify_fifo_script" => words::script(lower, &mut readers.services, statement),
        "vrrp_notify_priority_changes" => {
            notify.priority_changes = switch(lower, statement).unwrap_or(notify.priority_changes);
        }
        "fifo_write_vrrp_states_on_reload" => notify.states_on_reload = true,
        "startup_script" => words::script(lower, &mut notify.startup, statement),
        "shutdown_script" => words::script(lower, &mut notify.shutdown, statement),
        "startup_script_timeout" => timeout(lower, &mut notify.startup_timeout, statement),
        "shutdown_script_timeout" => timeout(lower, &mut notify.shutdown_timeout, statement),
        "use_symlink_paths" => {
            config.scripts.symlink_paths = switch(lower, statement).unwrap_or(config.scripts.symlink_paths);
        }
        "set_supplementary_groups" => config.scripts.supplementary_groups = true,
        _ => return false,
    }
    true
}

/// `PATH [USER [GROUP]]`; of several the first stays.
fn fifo(lower: &mut Lower<'_>, to: &mut Option<Fifo>, statement: &Statement<'_>) {
    let keyword = statement.keyword();
    let [path, rest @ ..] = statement.parameters() else {
        return lower.warning(statement.at(), format!("`{keyword}` has no value; expected a file; skipped"));
    };
    words::extra(lower, statement, 3);
    if to.is_some() {
        return lower.warning(statement.at(), format!("a second `{keyword}`; the first one stays"));
    }
    let mut words = rest.iter().map(|word| word.text.to_string());
    let owner = words.next().map(|user| (user, words.next()));
    *to = Some(Fifo { owner, ..Fifo::new(&*path.text) });
}

fn timeout(lower: &mut Lower<'_>, to: &mut Duration, statement: &Statement<'_>) {
    let read = |word: &str| values::unsigned(word).filter(|n| (1..=1000).contains(n)).map(Duration::from_secs);
    let timeout = lower.value(statement, "whole seconds from 1 to 1000", "skipped", read);
    *to = timeout.unwrap_or(*to);
}

/// Gives each FIFO its reader, once all is read; two kinds of lines in one FIFO are refused, as its readers would
/// take them from each other.
pub(super) fn finish(lower: &mut Lower<'_>, config: &mut Config, readers: Readers, statements: &[Statement<'_>]) {
    let stand = |keyword: &str| {
        let blocks = statements.iter().filter(|s| s.keyword() == "global_defs").filter_map(|s| s.block.as_ref());
        blocks.flat_map(|block| &block.statements).find(|s| s.keyword() == keyword).map(Statement::at)
    };
    let Config { notify: NotifySettings { fifo, router_fifo, .. }, lvs, .. } = config;
    let all = [
        ("notify_fifo", fifo, readers.all),
        ("vrrp_notify_fifo", router_fifo, readers.routers),
        ("lvs_notify_fifo", &mut lvs.notify_fifo, readers.services),
    ];
    let mut seen = Vec::new();
    for (keyword, fifo, reader) in all {
        let reader_keyword = format!("{keyword}_script");
        match (fifo.as_mut(), reader) {
            (Some(fifo), reader) => fifo.script = reader,
            (None, Some(_)) => {
                if let Some(at) = stand(&reader_keyword) {
                    lower.warning(at, format!("there is no `{keyword}` for this script; it is not run"));
                }
            }
            (None, None) => {}
        }
        if let Some(path) = fifo.as_ref().map(|fifo| fifo.path.clone()) {
            if seen.contains(&path) {
                if let Some(at) = stand(keyword) {
                    let message =
                        format!("`{}` is another FIFO already; expected one of its own; skipped", path.display());
                    lower.warning(at, message);
                }
                *fifo = None;
            } else {
                seen.push(path);
            }
        }
    }
}
