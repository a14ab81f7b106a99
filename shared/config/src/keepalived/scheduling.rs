//! How threads run and what they are called: `vrrp_priority`, `checker_cpu_affinity`, `process_names`, ...

use std::time::Duration;

use super::lower::Lower;
use super::tree::{Statement, Word};
use super::values;
use crate::common::{self, LONGEST_PROCESS_NAME};
use crate::model::{LONGEST_RUN, Process, Scheduling};

/// What keepalived calls its processes with `process_names`.
const NAMES: [&str; 4] = ["keepalived", "keepalived_vrrp", "keepalived_ipvs", "keepalived_bfd"];

/// Reads a keyword; false for any other.
pub(super) fn keyword(lower: &mut Lower<'_>, process: &mut Process, statement: &Statement<'_>) -> bool {
    let threads = &mut process.threads;
    match statement.keyword() {
        "process_names" => {
            let names = [&mut process.name, &mut threads.vrrp.name, &mut threads.checker.name, &mut threads.bfd.name];
            for (name, own) in names.into_iter().zip(NAMES) {
                name.get_or_insert_with(|| own.to_owned());
            }
        }
        "process_name" => name(lower, &mut process.name, statement),
        // Its older name.
        "lvs_process_name" => name(lower, &mut threads.checker.name, statement),
        "max_auto_priority" => threads.most_automatic = most_automatic(lower, statement),
        "min_auto_priority_delay" if statement.parameters().is_empty() => no_value(lower, statement, "microseconds"),
        "min_auto_priority_delay" => {
            let read = |word: &str| values::unsigned(word).filter(|micros| (1..=10_000_000).contains(micros));
            let delay = lower.value(statement, "microseconds from 1 to 10000000", "skipped", read);
            threads.late = delay.map_or(threads.late, Duration::from_micros);
        }
        keyword => {
            let Some((kind, rest)) = keyword.split_once('_') else { return false };
            let kind = match kind {
                "vrrp" => &mut threads.vrrp,
                "checker" => &mut threads.checker,
                "bfd" => &mut threads.bfd,
                _ => return false,
            };
            return of_kind(lower, kind, rest, statement);
        }
    }
    true
}

fn of_kind(lower: &mut Lower<'_>, kind: &mut Scheduling, keyword: &str, statement: &Statement<'_>) -> bool {
    if statement.parameters().is_empty() && ["priority", "rt_priority", "cpu_affinity"].contains(&keyword) {
        // keepalived goes on here, other than with most keywords without a value.
        no_value(lower, statement, "a number");
        return true;
    }
    match keyword {
        "priority" => {
            let read = |word: &str| word.parse().ok().filter(|nice| (-20..=19).contains(nice));
            kind.nice = lower.value(statement, "a number from -20 to 19", "skipped", read).or(kind.nice);
        }
        "rt_priority" => kind.realtime = realtime(lower, statement).or(kind.realtime),
        "rlimit_rttime" | "rlimit_rtime" => {
            let read = |word: &str| values::unsigned(word).filter(|micros| (1..=u64::from(u32::MAX)).contains(micros));
            let run = lower.value(statement, "microseconds from 1 to 4294967295", "skipped", read);
            kind.longest_run = run.map(Duration::from_micros).or(kind.longest_run);
            if kind.longest_run.is_some_and(|run| run < LONGEST_RUN) {
                let message =
                    format!("`{}` below {LONGEST_RUN:?} has no effect: so long is allowed", statement.keyword());
                lower.ignored(statement.at(), message);
            }
        }
        "no_swap" => kind.no_swap = true,
        "cpu_affinity" => processors(lower, kind, statement),
        "process_name" => name(lower, &mut kind.name, statement),
        _ => return false,
    }
    true
}

fn no_value(lower: &mut Lower<'_>, statement: &Statement<'_>, expected: &str) {
    let message = format!("`{}` has no value; expected {expected}; skipped", statement.keyword());
    lower.warning(statement.at(), message);
}

/// As keepalived does, a priority out of range is the nearest one within.
fn realtime(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<u8> {
    let read = |word: &str| word.parse::<i32>().ok();
    let declared = lower.value(statement, "a number from 1 to 99", "skipped", read)?;
    let used = declared.clamp(1, 99);
    if used != declared {
        let message = format!("`{}` is out of range 1 to 99; {used} is used", statement.keyword());
        lower.warning(statement.parameters()[0].at, message);
    }
    u8::try_from(used).ok()
}

/// Without a number the highest there is; -1 is 0 that says nothing about it.
fn most_automatic(lower: &mut Lower<'_>, statement: &Statement<'_>) -> u8 {
    if statement.parameters().is_empty() {
        return 99;
    }
    let read = |word: &str| word.parse::<i8>().ok().filter(|n| (-1..=99).contains(n));
    let most = lower.value(statement, "a number from 0 to 99, or -1", "skipped", read);
    most.and_then(|most| u8::try_from(most).ok()).unwrap_or(0)
}

fn processors(lower: &mut Lower<'_>, kind: &mut Scheduling, statement: &Statement<'_>) {
    let read = |word: &Word<'_>| values::unsigned(&word.text).and_then(|n| u16::try_from(n).ok());
    let most = common::processors(lower.files);
    let mut found = std::collections::BTreeSet::new();
    for word in statement.parameters() {
        let Some(number) = read(word).filter(|number| *number < most) else {
            let message = format!(
                "`{}` is no processor: expected a number from 0 to {}; the line is skipped",
                word.text,
                most - 1
            );
            return lower.warning(word.at, message);
        };
        found.insert(number);
    }
    kind.processors = found;
}

/// Too long a name is cut, as the kernel would.
fn name(lower: &mut Lower<'_>, to: &mut Option<String>, statement: &Statement<'_>) {
    let Some(word) = lower.parameter(statement, "a name of 1 to 15 bytes") else { return };
    let end = word.text.floor_char_boundary(LONGEST_PROCESS_NAME);
    if end < word.text.len() {
        let message = format!("`{}` has more than 15 bytes; `{}` is used", word.text, &word.text[..end]);
        lower.warning(word.at, message);
    }
    *to = Some(word.text[..end].to_owned()).filter(|name| !name.is_empty());
}
