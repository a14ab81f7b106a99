//! `real_server`.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::super::keywords::REAL_SERVER;
use super::super::lower::Lower;
use super::super::tree::{At, Statement};
use super::pool::{Pool, Target};
use super::timing::Timing;
use super::{address, check, forwarding, words};
use crate::model::{Config, Forwarding, RealServer};

/// What real servers take over from what is around them.
pub(super) struct Outer<'a> {
    pub(super) config: &'a Config,
    /// Places of the track files, and which of the model they are, by name.
    pub(super) files: &'a BTreeMap<String, (At, usize)>,
    pub(super) sessions: &'a BTreeMap<String, At>,
    /// Port of the service, for real servers that give none; 0 where it has several.
    port: u16,
    weight: u32,
    inhibit: bool,
    forwarding: Forwarding,
    virtualhost: Option<&'a str>,
    timing: &'a Timing,
    alpha: bool,
}

impl<'a> Outer<'a> {
    pub(super) fn new(
        pool: &'a Pool,
        target: &Target<'_>,
        config: &'a Config,
        files: &'a BTreeMap<String, (At, usize)>,
        sessions: &'a BTreeMap<String, At>,
    ) -> Self {
        let port = match target {
            Target::Address(address) => address.port(),
            Target::Mark(_) => 0,
            Target::Group(group, ..) if group.ports.len() == 1 => group.ports.first().copied().unwrap_or(0),
            Target::Group(..) => 0,
        };
        Outer {
            config,
            files,
            sessions,
            port,
            weight: pool.weight,
            inhibit: pool.inhibit,
            forwarding: pool.forwarding.unwrap_or(Forwarding::Nat),
            virtualhost: pool.virtualhost.as_deref(),
            timing: &pool.timing,
            alpha: pool.server.alpha,
        }
    }
}

/// A real server as it stands in the file, and where.
pub(super) struct Declared {
    pub(super) real: RealServer,
    pub(super) at: At,
}

/// Reads one real server.
pub(super) fn lower(lower: &mut Lower<'_>, outer: &Outer<'_>, statement: &Statement<'_>) -> Option<Declared> {
    let address = address::read(lower, statement)?;
    let at = statement.at();
    let mut real = RealServer {
        weight: outer.weight,
        inhibit_on_failure: outer.inhibit,
        ..RealServer::new(address, outer.forwarding)
    };
    let Some(block) = &statement.block else {
        lower.warning(at, "`real_server` has no block; expected `{` after it; defaults are used".into());
        return Some(Declared { real, at });
    };
    let mut timing = Timing::alpha(outer.alpha);
    let mut virtualhost = outer.virtualhost.map(str::to_string);
    let mut checks = Vec::new();
    for statement in &block.statements {
        if lower.language(statement) {
            continue;
        }
        match (statement.keyword(), &statement.block) {
            (keyword, Some(block)) if check::is_one(keyword) => {
                checks.push((statement, block));
                continue;
            }
            (keyword, None) if check::is_one(keyword) => {
                lower.warning(statement.at(), format!("`{keyword}` has no block; expected `{{` after it; skipped"));
                continue;
            }
            ("virtualhost", _) => virtualhost = words::text(lower, statement, "a name").or(virtualhost),
            ("alpha", _) => timing.alpha = words::switch(lower, statement).or(timing.alpha),
            _ if timing.read(lower, statement) || keyword(lower, &mut real, statement) => {}
            _ => {
                lower.other(&REAL_SERVER, statement);
                continue;
            }
        }
        lower.no_block(statement);
    }
    let port = if address.port() == 0 { outer.port } else { address.port() };
    let surroundings = check::Outer {
        names: outer,
        address: SocketAddr::new(address.ip(), port),
        timing: timing.within(outer.timing),
        virtualhost,
    };
    real.checks = checks.into_iter().filter_map(|(s, block)| check::lower(lower, &surroundings, s, block)).collect();
    Some(Declared { real, at })
}

fn keyword(lower: &mut Lower<'_>, real: &mut RealServer, statement: &Statement<'_>) -> bool {
    match statement.keyword() {
        "weight" => words::put(&mut real.weight, words::number(lower, statement, 0, i32::MAX.unsigned_abs())),
        "lvs_method" => words::put(&mut real.forwarding, forwarding::read(lower, statement)),
        "uthreshold" => words::put(&mut real.upper_threshold, words::number(lower, statement, 0, u32::MAX)),
        "lthreshold" => words::put(&mut real.lower_threshold, words::number(lower, statement, 0, u32::MAX)),
        "inhibit_on_failure" => words::put(&mut real.inhibit_on_failure, words::switch(lower, statement)),
        "smtp_alert" => real.smtp_alert = words::switch(lower, statement).or(real.smtp_alert),
        "notify_up" => words::script(lower, &mut real.notify_up, statement),
        "notify_down" => words::script(lower, &mut real.notify_down, statement),
        _ => return false,
    }
    true
}
