//! What the top level and `global_defs` say of the process and of its dumps.

use std::path::PathBuf;

use super::lower::Lower;
use super::lvs::switch;
use super::tree::Statement;
use super::{scheduling, values};
use crate::common::umask;
use crate::model::Process;

/// Where `reload_file` is without a name.
const RELOAD_FILE: &str = "/run/keepalived.reload";

/// The network namespace of the host's first process.
const FIRST_NAMESPACE: &str = "/proc/1/ns/net";

/// Reads a keyword of the top level; false when it is none of these.
pub(super) fn root(lower: &mut Lower<'_>, process: &mut Process, statement: &Statement<'_>) -> bool {
    match statement.keyword() {
        "instance" => name(lower, &mut process.instance, statement),
        "net_namespace" => name(lower, &mut process.net_namespace, statement),
        "net_namespace_ipvs" if statement.parameters().is_empty() => {
            process.ipvs_namespace = Some(FIRST_NAMESPACE.to_owned());
        }
        "net_namespace_ipvs" => name(lower, &mut process.ipvs_namespace, statement),
        "use_pid_dir" => process.use_pid_dir = true,
        _ => return false,
    }
    lower.no_block(statement);
    true
}

/// Reads a keyword of `global_defs`; false when it is none of these.
pub(super) fn keyword(lower: &mut Lower<'_>, process: &mut Process, statement: &Statement<'_>) -> bool {
    let dumps = &mut process.dumps;
    match statement.keyword() {
        "umask" => {
            let expected = "an octal, decimal or hexadecimal number up to 0777, or names such as IWGRP|IWOTH";
            process.umask = lower.value(statement, expected, "skipped", umask).or(process.umask);
        }
        "state_dump_file" => file(lower, &mut dumps.state, statement),
        "stats_dump_file" => file(lower, &mut dumps.stats, statement),
        "json_dump_file" => file(lower, &mut dumps.json, statement),
        "json_version" => {
            let read =
                |word: &str| values::unsigned(word).and_then(|n| u8::try_from(n).ok()).filter(|n| matches!(n, 1 | 2));
            dumps.json_version = lower.value(statement, "1 or 2", "skipped", read).unwrap_or(dumps.json_version);
        }
        "data_use_instance" => dumps.use_instance = switch(lower, statement).unwrap_or(dumps.use_instance),
        // A file is always read as a whole before anything changes; what is left is where its faults are written.
        "reload_check_config" if statement.parameters().is_empty() => {}
        "reload_check_config" => file(lower, &mut process.reload_log, statement),
        "reload_time_file" => file(lower, &mut process.reload_time_file, statement),
        "reload_repeat" => process.reload_repeat = true,
        "config_save_dir" => file(lower, &mut process.save_directory, statement),
        "reload_file" if statement.parameters().is_empty() => process.reload_file = Some(RELOAD_FILE.into()),
        "reload_file" => file(lower, &mut process.reload_file, statement),
        // The language has drawn by it.
        "random_seed" => {
            let _ = lower.value(statement, "a number", "skipped", values::unsigned);
        }
        _ => return scheduling::keyword(lower, process, statement),
    }
    true
}

fn file(lower: &mut Lower<'_>, to: &mut Option<PathBuf>, statement: &Statement<'_>) {
    let absolute = |word: &str| Some(PathBuf::from(word)).filter(|path| path.is_absolute());
    if let Some(path) = lower.value(statement, "a file with its whole path", "skipped", absolute) {
        *to = Some(path);
    }
}

/// A name that ends up in those of files.
fn name(lower: &mut Lower<'_>, to: &mut Option<String>, statement: &Statement<'_>) {
    let plain = |word: &str| crate::common::is_file_name(word).then(|| word.to_owned());
    if let Some(name) = lower.value(statement, "a name without `/`", "skipped", plain) {
        *to = Some(name);
    }
}
