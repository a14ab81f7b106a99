//! `vrrp_script`.

use std::time::Duration;

use super::global::user;
use super::keywords::SCRIPT;
use super::lower::Lower;
use super::track;
use super::tree::{Block, Statement};
use super::values;
use crate::model::{Config, TrackScript};

/// Longest `interval` and `timeout`: 4294 s, as keepalived.
const LONGEST: Duration = Duration::from_secs(4294);

/// Reads every `vrrp_script`, wherever it stands.
pub(super) fn lower(lower: &mut Lower<'_>, config: &mut Config, statements: &[Statement<'_>]) {
    for statement in statements.iter().filter(|s| s.keyword() == "vrrp_script") {
        if let Some(block) = &statement.block {
            one(lower, config, statement, block);
        }
    }
}

fn one(lower: &mut Lower<'_>, config: &mut Config, statement: &Statement<'_>, block: &Block<'_>) {
    let Some(name) = statement.parameters().first() else {
        return lower.error(statement.at(), "`vrrp_script` has no name; expected `vrrp_script NAME {`".into());
    };
    let mut script = TrackScript {
        name: name.text.to_string(),
        command: Vec::new(),
        interval: Duration::from_secs(1),
        timeout: Duration::ZERO,
        weight: 0,
        reverse: false,
        rise: 1,
        fall: 1,
        init_fail: false,
        user: None,
    };
    let mut place = name.at;
    for statement in &block.statements {
        if statement.keyword() == "script" {
            place = statement.parameters().first().map_or(place, |w| w.at);
        }
        keyword(lower, &mut script, statement);
    }
    if script.timeout.is_zero() {
        script.timeout = script.interval;
    }
    if script.command.is_empty() {
        return lower.warning(name.at, format!("`vrrp_script {}` has no `script`; left out", name.text));
    }
    lower.scripts.entry(script.name.clone()).or_insert(name.at);
    let place = lower.place(place);
    if lower.places().scripts.contains_key(&script.name) {
        return lower.warning(name.at, format!("a second `vrrp_script {}`; the first one stays", name.text));
    }
    lower.places().scripts.insert(script.name.clone(), place);
    config.track_scripts.push(script);
}

fn keyword(lower: &mut Lower<'_>, script: &mut TrackScript, statement: &Statement<'_>) {
    if lower.language(statement) {
        return;
    }
    match statement.keyword() {
        "script" => {
            if let Some(command) = command(lower, statement) {
                script.command = command;
            }
        }
        "interval" => {
            if let Some(interval) = period(lower, statement) {
                script.interval = interval;
            }
        }
        "timeout" => {
            if let Some(timeout) = period(lower, statement) {
                script.timeout = timeout;
            }
        }
        "weight" => {
            let expected = "a number from -253 to 253";
            if let Some(weight) = lower.value(statement, expected, "skipped", weight) {
                script.weight = weight;
            }
            script.reverse = track::reverse(lower, statement, 1);
        }
        "rise" => script.rise = count(lower, statement),
        "fall" => script.fall = count(lower, statement),
        "user" => script.user = user(lower, statement),
        "init_fail" => script.init_fail = true,
        _ => return lower.other(&SCRIPT, statement),
    }
    lower.no_block(statement);
}

/// Program and arguments behind a keyword. What is none is left out, as keepalived does.
pub(super) fn command(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<Vec<String>> {
    let first = lower.parameter(statement, "a program and its arguments")?;
    // One word is a whole command line (`"/bin/check -v"`, `'/bin/check -v'`), several are its parts.
    let command = values::words(statement.raw_parameters(lower.text)).and_then(|words| match &words[..] {
        [only] => values::command(only),
        _ => Some(words).filter(|words| !words[0].is_empty()),
    });
    if command.is_none() {
        lower.warning(first.at, NO_COMMAND.into());
    }
    command
}

/// Of a command line that cannot be read.
pub(super) const NO_COMMAND: &str = "this command is empty or has an open quote; expected a program; left out";

fn period(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<Duration> {
    let expected = "seconds, at most 4294";
    let period = lower.value(statement, expected, "skipped", |w| values::seconds(w).filter(|d| *d <= LONGEST))?;
    if period.is_zero() {
        lower.warning(statement.parameters()[0].at, format!("`{}` must be above 0; 1 is used", statement.keyword()));
        return Some(Duration::from_secs(1));
    }
    Some(period)
}

fn count(lower: &mut Lower<'_>, statement: &Statement<'_>) -> u32 {
    let read = |w: &str| values::unsigned(w).filter(|n| (1..=i32::MAX as u64).contains(n)).map(|n| n as u32);
    lower.value(statement, "a number from 1", "1 is used", read).unwrap_or(1)
}

/// -253 to 253.
pub(super) fn weight(word: &str) -> Option<i16> {
    values::signed(word).filter(|n| (-253..=253).contains(n)).and_then(|n| i16::try_from(n).ok())
}
