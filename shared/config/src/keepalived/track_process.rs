//! `vrrp_track_process`.

use std::time::Duration;

use super::keywords::PROCESS;
use super::lower::Lower;
use super::tree::{Block, Statement};
use super::{track, values};
use crate::model::{Config, ParameterMatch, TrackProcess, Weight};

/// Longest delay, as keepalived.
const LONGEST: Duration = Duration::from_secs(3600);

/// What of a process keepalived compares.
const MOST_PROCESSES: u32 = 65535;

/// Reads every `vrrp_track_process`, wherever it stands.
pub(super) fn lower(lower: &mut Lower<'_>, config: &mut Config, statements: &[Statement<'_>]) {
    for statement in statements.iter().filter(|s| s.keyword() == "vrrp_track_process") {
        if let Some(block) = &statement.block {
            one(lower, config, statement, block);
        }
    }
}

fn one(lower: &mut Lower<'_>, config: &mut Config, statement: &Statement<'_>, block: &Block<'_>) {
    let Some(name) = lower.parameter(statement, "a name") else { return };
    let mut process = TrackProcess {
        name: name.text.to_string(),
        command: Vec::new(),
        parameters: ParameterMatch::default(),
        full_command: false,
        weight: Weight::default(),
        quorum: 1,
        quorum_max: None,
        fork_delay: Duration::ZERO,
        terminate_delay: Duration::ZERO,
    };
    let mut quorum_given = false;
    for statement in &block.statements {
        quorum_given |= statement.keyword() == "quorum";
        keyword(lower, &mut process, statement);
    }
    if process.command.is_empty() {
        let message = format!("`vrrp_track_process {}` has no `process`; left out", name.text);
        return lower.warning(name.at, message);
    }
    match process.quorum_max {
        // None of them may run.
        Some(0) if !quorum_given => process.quorum = 0,
        Some(most) if most < process.quorum => {
            let message = format!("`quorum_max` {most} is less than `quorum` {}; not used", process.quorum);
            lower.warning(name.at, message);
            process.quorum_max = None;
        }
        _ => {}
    }
    if lower.defined("vrrp_track_process", &process.name).is_some() {
        return lower.warning(name.at, format!("a second `vrrp_track_process {}`; the first one stays", name.text));
    }
    lower.define("vrrp_track_process", &process.name, name.at);
    config.track_processes.push(process);
}

fn keyword(lower: &mut Lower<'_>, process: &mut TrackProcess, statement: &Statement<'_>) {
    if lower.language(statement) {
        return;
    }
    match statement.keyword() {
        "process" => {
            if lower.parameter(statement, "a program and its parameters").is_some() {
                process.command = statement.parameters().iter().map(|word| word.text.to_string()).collect();
            }
        }
        "param_match" => {
            let read = |word: &str| match word {
                "exact" => Some(ParameterMatch::Exact),
                "partial" => Some(ParameterMatch::Partial),
                "initial" => Some(ParameterMatch::Initial),
                _ => None,
            };
            match statement.parameters().first() {
                // Alone it says that there are none.
                None => process.parameters = ParameterMatch::Exact,
                Some(_) => {
                    if let Some(parameters) = lower.value(statement, "initial or partial", "skipped", read) {
                        process.parameters = parameters;
                    }
                }
            }
        }
        "weight" => {
            let read = |w: &str| values::signed(w).and_then(|n| i32::try_from(n).ok()).filter(|n| n.abs() <= 254);
            if let Some(by) = lower.value(statement, "a number from -254 to 254", "skipped", read) {
                process.weight = Weight { by, reverse: track::reverse(lower, statement, 1) };
            }
        }
        "quorum" => {
            if let Some(quorum) = count(lower, statement, 1) {
                process.quorum = quorum;
            }
        }
        "quorum_max" => process.quorum_max = count(lower, statement, 0).or(process.quorum_max),
        "fork_delay" => process.fork_delay = delay(lower, statement).unwrap_or(process.fork_delay),
        "terminate_delay" => process.terminate_delay = delay(lower, statement).unwrap_or(process.terminate_delay),
        "delay" => {
            if let Some(delay) = delay(lower, statement) {
                (process.fork_delay, process.terminate_delay) = (delay, delay);
            }
        }
        "full_command" => process.full_command = true,
        _ => return lower.other(&PROCESS, statement),
    }
    lower.no_block(statement);
}

fn count(lower: &mut Lower<'_>, statement: &Statement<'_>, least: u32) -> Option<u32> {
    let range = least..=MOST_PROCESSES;
    let read = |w: &str| values::unsigned(w).and_then(|n| u32::try_from(n).ok()).filter(|n| range.contains(n));
    lower.value(statement, &format!("a number from {least} to {MOST_PROCESSES}"), "skipped", read)
}

fn delay(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<Duration> {
    let read = |w: &str| values::seconds(w).filter(|d| !d.is_zero() && *d <= LONGEST);
    lower.value(statement, "seconds above 0, at most 3600", "skipped", read)
}
