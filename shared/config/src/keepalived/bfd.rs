//! `bfd_instance`.
//!
//! `interface` is this program's own, for link-local neighbours, and `multihop` is of newer
//! versions than 2.2.7; both would be unknown keywords to that.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use ipnet::IpNet;

use super::keywords::BFD;
use super::lower::Lower;
use super::script;
use super::server::words::{self, put};
use super::tree::{Block, Statement};
use super::values;
use crate::common::bfd_problem;
use crate::model::{BfdInstance, Config};

/// Hop limit of IPv6 where nothing is said. RFC 5881 has 255, which other routers insist on.
const HOP_LIMIT: u8 = 64;

/// What a block says.
#[derive(Default)]
struct Declared {
    neighbour: Option<IpAddr>,
    source: Option<IpAddr>,
    interface: Option<String>,
    min_rx: Option<Duration>,
    min_tx: Option<Duration>,
    idle_tx: Option<Duration>,
    multiplier: Option<u8>,
    passive: bool,
    ttl: Option<u8>,
    max_hops: Option<u8>,
    multihop: bool,
    weight: (i16, bool),
    vrrp: bool,
    checker: bool,
}

/// Reads every session, wherever it stands.
pub(super) fn lower(lower: &mut Lower<'_>, config: &mut Config, statements: &[Statement<'_>]) {
    for statement in statements.iter().filter(|s| s.keyword() == "bfd_instance") {
        if let Some(block) = &statement.block {
            one(lower, config, statement, block);
        }
    }
}

fn one(lower: &mut Lower<'_>, config: &mut Config, statement: &Statement<'_>, block: &Block<'_>) {
    let Some(name) = statement.parameters().first() else {
        return lower.error(statement.at(), "`bfd_instance` has no name; expected `bfd_instance NAME {`".into());
    };
    words::extra(lower, statement, 1);
    let mut declared = Declared::default();
    for statement in &block.statements {
        keyword(lower, &mut declared, statement);
    }
    let left_out = |why: String| format!("`bfd_instance {}`: {why}; left out", name.text);
    if name.text.len() > BfdInstance::LONGEST_NAME {
        let message = left_out(format!("the name has more than {} bytes", BfdInstance::LONGEST_NAME));
        return lower.warning(name.at, message);
    }
    if config.bfd_instances.iter().any(|other| other.name == *name.text) {
        return lower.warning(name.at, format!("a second `bfd_instance {}`; the first one stays", name.text));
    }
    let Some(neighbour) = declared.neighbour else {
        return lower.warning(name.at, left_out("there is no `neighbor_ip`".into()));
    };
    let mut session = complete(&name.text, neighbour, declared);
    if session.max_hops > session.ttl {
        let message = format!("`max_hops` is more than {}, the TTL or hop limit, which is used", session.ttl);
        lower.warning(name.at, message);
        session.max_hops = session.ttl;
    }
    match bfd_problem(&session, &config.bfd_instances) {
        Some(problem) => lower.warning(name.at, left_out(problem)),
        None => config.bfd_instances.push(session),
    }
}

fn complete(name: &str, neighbour: IpAddr, declared: Declared) -> BfdInstance {
    let default = BfdInstance::new(name, neighbour);
    let both = declared.vrrp == declared.checker;
    BfdInstance {
        source: declared.source,
        interface: declared.interface,
        min_rx: declared.min_rx.unwrap_or(default.min_rx),
        min_tx: declared.min_tx.unwrap_or(default.min_tx),
        idle_tx: declared.idle_tx.unwrap_or(default.idle_tx),
        multiplier: declared.multiplier.unwrap_or(default.multiplier),
        passive: declared.passive,
        ttl: declared.ttl.unwrap_or(if neighbour.is_ipv4() { default.ttl } else { HOP_LIMIT }),
        max_hops: declared.max_hops.unwrap_or(default.max_hops),
        multihop: declared.multihop,
        weight: declared.weight.0,
        reverse: declared.weight.1,
        for_routers: both || declared.vrrp,
        for_services: both || declared.checker,
        ..default
    }
}

fn keyword(lower: &mut Lower<'_>, to: &mut Declared, statement: &Statement<'_>) {
    if lower.language(statement) {
        return;
    }
    let short = BfdInstance::SHORTEST..=BfdInstance::LONGEST;
    match statement.keyword() {
        "neighbor_ip" | "neighbour_ip" => put(&mut to.neighbour, address(lower, statement).map(Some)),
        "source_ip" => put(&mut to.source, address(lower, statement).map(Some)),
        "interface" => put(&mut to.interface, words::text(lower, statement, "the name of an interface").map(Some)),
        "min_rx" => put(&mut to.min_rx, millis(lower, statement, short).map(Some)),
        "min_tx" => put(&mut to.min_tx, millis(lower, statement, short).map(Some)),
        "idle_tx" => {
            let range = BfdInstance::SHORTEST_IDLE..=BfdInstance::LONGEST;
            put(&mut to.idle_tx, millis(lower, statement, range).map(Some));
        }
        "multiplier" => put(&mut to.multiplier, byte(lower, statement).map(Some)),
        "ttl" | "hoplimit" => put(&mut to.ttl, byte(lower, statement).map(Some)),
        "max_hops" => put(&mut to.max_hops, hops(lower, statement).map(Some)),
        "passive" => to.passive = words::set(lower, statement),
        "multihop" => to.multihop = words::set(lower, statement),
        "vrrp" => to.vrrp = words::set(lower, statement),
        "checker" => to.checker = words::set(lower, statement),
        "weight" => weight(lower, to, statement),
        _ => return lower.other(&BFD, statement),
    }
    lower.no_block(statement);
}

/// An address; a prefix length behind it is passed over, as keepalived does.
fn address(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<IpAddr> {
    let read = |word: &str| word.parse().ok().or_else(|| word.parse::<IpNet>().ok().map(|net| net.addr()));
    words::value(lower, statement, "an IP address", read)
}

/// Milliseconds, to the microsecond.
fn millis(lower: &mut Lower<'_>, statement: &Statement<'_>, range: RangeInclusive<Duration>) -> Option<Duration> {
    let (least, most) = (range.start().as_millis(), range.end().as_millis());
    let expected = format!("milliseconds from {least} to {most}");
    let read = |word: &str| {
        let micros = values::seconds(word)?.as_micros().checked_div(1000)?;
        u64::try_from(micros).ok().map(Duration::from_micros).filter(|time| range.contains(time))
    };
    let time = words::value(lower, statement, &expected, read);
    if let Some(word) = statement.parameters().first()
        && word.text.split_once('.').is_some_and(|(_, fraction)| fraction.len() > 3)
        && time.is_some()
    {
        lower.warning(word.at, format!("`{}` has more than three decimals; the others are cut", word.text));
    }
    time
}

fn byte(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<u8> {
    words::number(lower, statement, 1, u8::MAX.into()).and_then(|n| u8::try_from(n).ok())
}

/// -1 is as many as there can be.
fn hops(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<u8> {
    words::value(lower, statement, "a number from -1 to 255", |word| match values::signed(word)? {
        -1 => Some(u8::MAX),
        hops => u8::try_from(hops).ok(),
    })
}

/// `weight NUMBER [reverse|noreverse]`.
fn weight(lower: &mut Lower<'_>, to: &mut Declared, statement: &Statement<'_>) {
    words::extra(lower, statement, 2);
    let Some(weight) = lower.value(statement, "a number from -253 to 253", "skipped", script::weight) else { return };
    to.weight = (weight, false);
    match statement.parameters().get(1).map(|w| (w.at, &*w.text)) {
        None | Some((_, "noreverse")) => {}
        Some((_, "reverse")) => to.weight.1 = true,
        Some((at, other)) => {
            lower.warning(at, format!("`{other}` is no option of a weight: expected reverse or noreverse; skipped"));
        }
    }
}
