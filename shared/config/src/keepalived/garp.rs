//! When addresses are announced, and how fast: `garp_*` and `garp_group`.

use std::time::Duration;

use super::global::set;
use super::keywords::GARP_GROUP;
use super::lower::Lower;
use super::tree::{Block, Statement};
use super::values;
use crate::model::{Config, GarpGroup, GratuitousArp, Pace};

/// `garp_*` of an instance, and those of `global_defs` without their `vrrp_`; false for any other keyword.
pub(super) fn keyword(
    lower: &mut Lower<'_>,
    garp: &mut GratuitousArp,
    keyword: &str,
    statement: &Statement<'_>,
) -> bool {
    let whole = |word: &str| values::unsigned(word).filter(|n| *n <= 4294).map(Duration::from_secs);
    let seconds = "whole seconds, at most 4294";
    match keyword {
        "garp_master_delay" => set(&mut garp.delay, lower.value(statement, seconds, "skipped", whole)),
        "garp_master_refresh" => set(&mut garp.refresh, lower.value(statement, seconds, "skipped", whole)),
        "garp_master_repeat" => set(&mut garp.repeat, packets(lower, statement, 1)),
        "garp_master_refresh_repeat" => set(&mut garp.refresh_repeat, packets(lower, statement, 1)),
        "garp_lower_prio_delay" => set(&mut garp.lower_prio_delay, lower.value(statement, seconds, "skipped", whole)),
        "garp_lower_prio_repeat" => set(&mut garp.lower_prio_repeat, packets(lower, statement, 0)),
        "garp_extra_if" | "vmac_garp_intvl" => extra(lower, garp, statement),
        _ => return false,
    }
    true
}

/// `vrrp_min_garp`: one announcement, never repeated, unless another number was asked for.
pub(super) fn minimal(garp: &mut GratuitousArp) {
    let default = GratuitousArp::default();
    if garp.repeat == default.repeat {
        garp.repeat = 1;
    }
    if garp.delay == default.delay {
        garp.delay = Duration::ZERO;
    }
}

/// What less worthy adverts are answered with, where only the bursts of a new active router were set: as many
/// of those. Instances take it over as it is, whatever they say of their own bursts.
pub(super) fn less_worthy(garp: &mut GratuitousArp, [repeat, delay]: [bool; 2]) {
    if !repeat {
        garp.lower_prio_repeat = garp.repeat;
    }
    if !delay {
        garp.lower_prio_delay = garp.delay;
    }
}

/// `garp_extra_if [all] SECONDS`.
fn extra(lower: &mut Lower<'_>, garp: &mut GratuitousArp, statement: &Statement<'_>) {
    const DAY: u64 = 86_400;
    let keyword = statement.keyword();
    let mut seconds = None;
    for word in statement.parameters() {
        match values::unsigned(&word.text).filter(|n| *n <= DAY) {
            _ if word.text == "all" => garp.extra_all = true,
            Some(n) => seconds = Some(Duration::from_secs(n)),
            None => {
                let expected = "expected seconds from 0 to 86400, perhaps behind `all`";
                return lower
                    .warning(word.at, format!("`{}` is no value for `{keyword}`: {expected}; skipped", word.text));
            }
        }
    }
    match seconds {
        Some(seconds) => garp.extra = seconds,
        None => {
            lower.warning(statement.at(), format!("`{keyword}` has no time; expected seconds from 0 to 86400; skipped"))
        }
    }
}

/// A burst is bounded here: keepalived takes any 32 bit number, which would keep a host sending for ever.
fn packets(lower: &mut Lower<'_>, statement: &Statement<'_>, least: u32) -> Option<u32> {
    const MOST: u32 = 1000;
    let n = lower.value(statement, "a number of packets", "skipped", values::unsigned)?;
    let bounded = u32::try_from(n).unwrap_or(MOST).clamp(least, MOST);
    if u64::from(bounded) != n {
        let message = format!("`{}` is out of range {least} to {MOST}; {bounded} is used", statement.keyword());
        lower.warning(statement.parameters()[0].at, message);
    }
    Some(bounded)
}

/// Seconds with decimals between two packets. Global ones have to be above zero, as in keepalived,
/// whose samples have a zero that only warns. A slow pace is bounded: a burst has to end before the
/// next one.
pub(super) fn pause(lower: &mut Lower<'_>, statement: &Statement<'_>, above_zero: bool) -> Option<Duration> {
    const MOST: Duration = Duration::from_secs(10);
    let expected = if above_zero { "seconds above 0, at most 10" } else { "seconds from 0 to 10" };
    lower.value(statement, expected, "skipped", |word| {
        values::seconds(word).filter(|d| (!above_zero || !d.is_zero()) && *d <= MOST)
    })
}

/// Every `garp_group`.
pub(super) fn groups(lower: &mut Lower<'_>, config: &mut Config, statements: &[Statement<'_>]) {
    for statement in statements.iter().filter(|s| s.keyword() == "garp_group") {
        if let Some(block) = &statement.block {
            group(lower, config, statement, block);
        }
    }
}

fn group(lower: &mut Lower<'_>, config: &mut Config, outer: &Statement<'_>, block: &Block<'_>) {
    let (mut pace, mut paced) = (Pace::default(), false);
    let mut named = Vec::new();
    for statement in &block.statements {
        if lower.language(statement) {
            continue;
        }
        match (statement.keyword(), &statement.block) {
            ("garp_interval", _) => {
                paced = true;
                set(&mut pace.garp, pause(lower, statement, false));
            }
            ("gna_interval", _) => {
                paced = true;
                set(&mut pace.gna, pause(lower, statement, false));
            }
            ("interface", _) => named.extend(lower.parameter(statement, "the name of an interface")),
            ("interfaces", Some(block)) => {
                named.extend(block.statements.iter().flat_map(|s| &s.words));
                continue;
            }
            _ => {
                lower.other(&GARP_GROUP, statement);
                continue;
            }
        }
        lower.no_block(statement);
    }
    let mut interfaces: Vec<String> = Vec::new();
    for word in named {
        let taken = config.vrrp.garp_groups.iter().flat_map(|group| &group.interfaces).chain(&interfaces);
        if taken.clone().any(|name| *name == word.text) {
            lower.warning(word.at, format!("`{}` is already in a `garp_group`; left out", word.text));
        } else {
            interfaces.push(word.text.to_string());
        }
    }
    match (paced, interfaces.is_empty()) {
        (false, _) => lower.warning(
            outer.at(),
            "`garp_group` has no interval; expected `garp_interval` or `gna_interval`; left out".into(),
        ),
        (true, true) => lower.warning(outer.at(), "`garp_group` has no interface; left out".into()),
        (true, false) => config.vrrp.garp_groups.push(GarpGroup { interfaces, pace }),
    }
}
