//! `SMTP_CHECK`, `DNS_CHECK`, `MISC_CHECK`, `UDP_CHECK`, `FILE_CHECK` and `BFD_CHECK`.

use std::time::Duration;

use super::super::super::global::user;
use super::super::super::keywords::{BFD_CHECK, DNS_CHECK, FILE_CHECK, MISC_CHECK, SMTP_CHECK, SMTP_HOST, UDP_CHECK};
use super::super::super::lower::Lower;
use super::super::super::script;
use super::super::super::tree::{At, Block, Statement};
use super::super::{file, words};
use super::{Common, Has, Outer, Read, all};
use crate::common::{hex, is_domain};
use crate::model::{Check, CheckKind, Script, TrackFile, UdpReply};

/// A reply may be as long as this without `max_reply_length`.
const LONGEST_REPLY: u16 = 255;

pub(super) fn smtp(
    lower: &mut Lower<'_>,
    outer: &Outer<'_>,
    statement: &Statement<'_>,
    block: &Block<'_>,
) -> Option<Check> {
    let mut common = Common::default();
    let mut helo_name = None;
    let mut blocks = Vec::new();
    common.block(lower, &SMTP_CHECK, block, |lower, statement| {
        match (statement.keyword(), &statement.block) {
            ("helo_name", _) => helo_name = words::text(lower, statement, "a name").or(helo_name.take()),
            ("host", Some(block)) => {
                let mut host = Common::default();
                host.block(lower, &SMTP_HOST, block, |_, _| Read::No);
                blocks.push((host, statement.at()));
                return Read::Block;
            }
            ("host", None) => {
                lower.warning(statement.at(), "`host` has no block; expected `{` after it; skipped".into());
            }
            _ => return Read::No,
        }
        Read::Leaf
    });
    let mut check = common.check(lower, outer, statement.at(), CheckKind::Tcp)?;
    // A host takes over what the check says of the connection, and the times of hosts are the check's.
    let mut hosts = Vec::new();
    for (host, at) in blocks {
        common.timing = host.timing.within(&common.timing);
        let mut connect = host.target.connect(lower, check.connect.to, at)?;
        connect.from = connect.from.or(check.connect.from.filter(|(a, _)| a.is_ipv4() == connect.to.is_ipv4()));
        connect.interface = connect.interface.or_else(|| check.connect.interface.clone());
        connect.fwmark = if connect.fwmark == 0 { check.connect.fwmark } else { connect.fwmark };
        connect.timeout = common.timing.within(&outer.timing).connect_timeout.unwrap_or(connect.timeout);
        hosts.push(connect);
    }
    common.timing.within(&outer.timing).apply(&mut check);
    if hosts.is_empty() {
        hosts.push(check.connect.clone());
    }
    check.kind = CheckKind::Smtp { helo_name, hosts };
    Some(check)
}

pub(super) fn dns(
    lower: &mut Lower<'_>,
    outer: &Outer<'_>,
    statement: &Statement<'_>,
    block: &Block<'_>,
) -> Option<Check> {
    const TYPES: &[&str] = &["A", "NS", "CNAME", "SOA", "MX", "TXT", "AAAA"];
    let mut common = Common::default();
    let (mut record, mut name) = ("SOA".to_string(), ".".to_string());
    common.block(lower, &DNS_CHECK, block, |lower, statement| {
        match statement.keyword() {
            "type" => {
                let read = |w: &str| Some(w.to_ascii_uppercase()).filter(|w| TYPES.contains(&w.as_str()));
                words::put(&mut record, words::value(lower, statement, "A, NS, CNAME, SOA, MX, TXT or AAAA", read));
            }
            "name" => {
                let read = |w: &str| is_domain(w).then(|| w.to_string());
                let expected = "a domain name, its parts of 1 to 63 bytes";
                words::put(&mut name, words::value(lower, statement, expected, read));
            }
            _ => return Read::No,
        }
        Read::Leaf
    });
    common.check(lower, outer, statement.at(), CheckKind::Dns { record, name })
}

pub(super) fn misc(
    lower: &mut Lower<'_>,
    outer: &Outer<'_>,
    statement: &Statement<'_>,
    block: &Block<'_>,
) -> Option<Check> {
    let mut common = Common { has: Has::Times, ..Common::default() };
    let (mut script, mut dynamic, mut timeout) = (Script { command: Vec::new(), user: None }, false, 0);
    let mut place = lower.place(statement.at());
    common.block(lower, &MISC_CHECK, block, |lower, statement| {
        match statement.keyword() {
            // keepalived goes on here, other than with most keywords without a value.
            "misc_path" if statement.parameters().is_empty() => {
                lower.warning(statement.at(), "`misc_path` has no value; expected a program and its arguments".into());
            }
            "misc_path" => {
                place = statement.parameters().first().map_or(lower.place(statement.at()), |word| lower.place(word.at));
                words::put(&mut script.command, script::command(lower, statement));
            }
            "misc_timeout" => words::put(&mut timeout, words::number(lower, statement, 0, 2_678_400)),
            "misc_dynamic" => dynamic = words::set(lower, statement),
            "user" => script.user = user(lower, statement).or(script.user.take()),
            _ => return Read::No,
        }
        Read::Leaf
    });
    if script.command.is_empty() {
        lower.warning(statement.at(), "`MISC_CHECK` has no `misc_path`; the check is left out".into());
        return None;
    }
    lower.places().programs.push((script.clone(), place));
    let kind = CheckKind::Misc { script, timeout: Duration::from_secs(timeout.into()), dynamic };
    let mut check = common.times(outer, kind);
    if let CheckKind::Misc { timeout, .. } = &mut check.kind
        && timeout.is_zero()
    {
        *timeout = check.delay_loop;
    }
    Some(check)
}

pub(super) fn udp(
    lower: &mut Lower<'_>,
    outer: &Outer<'_>,
    statement: &Statement<'_>,
    block: &Block<'_>,
) -> Option<Check> {
    let mut common = Common::default();
    let (mut payload, mut pattern) = (None, None);
    let (mut least, mut most) = ((0, None), (LONGEST_REPLY, None));
    common.block(lower, &UDP_CHECK, block, |lower, statement| {
        match statement.keyword() {
            "payload" => payload = bytes(lower, statement, false).or(payload.take()),
            "require_reply" if statement.parameters().is_empty() => pattern = Some(Vec::new()),
            "require_reply" => pattern = bytes(lower, statement, true).or(pattern.take()),
            "min_reply_length" => length(lower, &mut least, statement),
            "max_reply_length" => length(lower, &mut most, statement),
            _ => return Read::No,
        }
        Read::Leaf
    });
    if pattern.is_none() {
        for at in [least.1, most.1].into_iter().flatten() {
            lower.warning(at, "there is no `require_reply` for this; skipped".into());
        }
    }
    let reply = pattern.map(|pattern| UdpReply { pattern, least: least.0, most: most.0 });
    if let Some(UdpReply { least, most, .. }) = &reply
        && least > most
    {
        let message = format!("min_reply_length {least} is above max_reply_length {most}: the check will fail");
        lower.warning(statement.at(), message);
    }
    let payload = payload.map(|bytes| bytes.into_iter().map(|(byte, _)| byte).collect());
    common.check(lower, outer, statement.at(), CheckKind::Udp { payload, reply })
}

fn bytes(lower: &mut Lower<'_>, statement: &Statement<'_>, wildcards: bool) -> Option<Vec<(u8, u8)>> {
    let expected = if wildcards { "hexadecimal digits, X for any" } else { "hexadecimal digits" };
    let Some(first) = statement.parameters().first() else {
        let message = format!("`{}` has no value; expected {expected}; skipped", statement.keyword());
        lower.warning(statement.at(), message);
        return None;
    };
    let text = all(statement);
    let bytes = hex(&text, wildcards).filter(|bytes| !bytes.is_empty());
    if bytes.is_none() {
        let keyword = statement.keyword();
        lower.warning(first.at, format!("`{text}` is no value for `{keyword}`: expected {expected}; skipped"));
    }
    bytes
}

fn length(lower: &mut Lower<'_>, to: &mut (u16, Option<At>), statement: &Statement<'_>) {
    let length = words::number(lower, statement, 0, u16::MAX.into()).and_then(|n| u16::try_from(n).ok());
    *to = (length.unwrap_or(to.0), Some(statement.at()));
}

pub(super) fn file(
    lower: &mut Lower<'_>,
    outer: &Outer<'_>,
    statement: &Statement<'_>,
    block: &Block<'_>,
) -> Option<Check> {
    let mut common = Common { has: Has::None, ..Common::default() };
    let mut name = None;
    let (mut weight, mut reverse) = (i32::MIN, false);
    common.block(lower, &FILE_CHECK, block, |lower, statement| {
        match statement.keyword() {
            "track_file" => name = track_file(lower, outer, statement).or(name.take()),
            "weight" => file::weight(lower, statement, i32::MAX, &mut weight, &mut reverse),
            // In keepalived 2.2.7's manual only: the number is added without it, too.
            "dynamic" => _ = words::set(lower, statement),
            _ => return Read::No,
        }
        Read::Leaf
    });
    let Some(TrackFile { name, weight: default, reverse: default_reverse, .. }) = name else {
        lower.warning(statement.at(), "`FILE_CHECK` has no `track_file`; the check is left out".into());
        return None;
    };
    if weight == i32::MIN {
        (weight, reverse) = (*default, *default_reverse);
    }
    let kind = CheckKind::File { file: name.clone(), weight, reverse, dynamic: weight != 0 };
    Some(common.times(outer, kind))
}

fn track_file<'a>(lower: &mut Lower<'_>, outer: &Outer<'a>, statement: &Statement<'_>) -> Option<&'a TrackFile> {
    let word = lower.parameter(statement, "the name of a track file")?;
    words::extra(lower, statement, 1);
    let names = outer.names;
    let Some((at, index)) = names.files.get(&*word.text) else {
        lower.warning(word.at, format!("there is no `track_file {}`; skipped", word.text));
        return None;
    };
    if *at > word.at {
        let message = format!("`track_file {}` stands further down: keepalived would not find it", word.text);
        lower.warning(word.at, message);
    }
    names.config.track_files.get(*index)
}

pub(super) fn bfd(
    lower: &mut Lower<'_>,
    outer: &Outer<'_>,
    statement: &Statement<'_>,
    block: &Block<'_>,
) -> Option<Check> {
    let mut common = Common { has: Has::None, ..Common::default() };
    let mut named = false;
    let mut instance = None;
    let mut alpha = None;
    common.block(lower, &BFD_CHECK, block, |lower, statement| {
        match statement.keyword() {
            "name" => {
                named = true;
                instance = session(lower, outer, statement).or(instance.take());
            }
            "alpha" => alpha = words::switch(lower, statement).or(alpha),
            _ => return Read::No,
        }
        Read::Leaf
    });
    common.timing.alpha = alpha;
    if !named {
        lower.warning(statement.at(), "`BFD_CHECK` has no `name`; the check is left out".into());
    }
    instance.map(|instance| common.times(outer, CheckKind::Bfd { instance }))
}

fn session(lower: &mut Lower<'_>, outer: &Outer<'_>, statement: &Statement<'_>) -> Option<String> {
    let word = lower.parameter(statement, "the name of a `bfd_instance`")?;
    words::extra(lower, statement, 1);
    let Some(at) = outer.names.sessions.get(&*word.text) else {
        let message = format!("there is no `bfd_instance {}` for checks; the check is left out", word.text);
        lower.warning(word.at, message);
        return None;
    };
    if *at > word.at {
        let message = format!("`bfd_instance {}` stands further down: keepalived would not find it", word.text);
        lower.warning(word.at, message);
    }
    Some(word.text.to_string())
}
