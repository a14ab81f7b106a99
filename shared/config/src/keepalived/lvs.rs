//! What `global_defs` says of ip_vs and of checks.

use std::net::IpAddr;

use super::lower::Lower;
use super::tree::{Statement, Word};
use super::values;
use crate::model::{Config, FlushOnStop, SyncDaemon};

/// 31 days, the limit of ip_vs.
const LONGEST_TIMEOUT: u64 = 2_678_400;

/// Reads a keyword of `global_defs`; false when it is none of these. The sync daemon is read by
/// [`check`], when the instances are known.
pub(super) fn keyword(lower: &mut Lower<'_>, config: &mut Config, statement: &Statement<'_>) -> bool {
    let lvs = &mut config.lvs;
    match statement.keyword() {
        "lvs_sync_daemon" => {}
        "lvs_timeouts" => lvs.timeouts = timeouts(lower, statement).or(lvs.timeouts),
        "lvs_flush" => lvs.flush = true,
        "lvs_flush_on_stop" | "lvs_flush_onstop" => match statement.parameters().first() {
            None => lvs.flush_on_stop = FlushOnStop::All,
            Some(word) if word.text == "VS" => lvs.flush_on_stop = FlushOnStop::VirtualServers,
            Some(word) => {
                let keyword = statement.keyword();
                lower.warning(word.at, format!("`{}` is no value for `{keyword}`: expected VS; skipped", word.text));
            }
        },
        "rs_init_notifies" => lvs.init_notifies = switch(lower, statement).unwrap_or(lvs.init_notifies),
        "checker_log_all_failures" => {
            lvs.log_all_failures = switch(lower, statement).unwrap_or(lvs.log_all_failures);
        }
        _ => return false,
    }
    true
}

/// `on` or `off`; on without.
pub(super) fn switch(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<bool> {
    if statement.parameters().is_empty() {
        return Some(true);
    }
    lower.value(statement, "on or off", "skipped", values::switch)
}

/// `[tcp SECS] [tcpfin SECS] [udp SECS]`.
fn timeouts(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<(u32, u32, u32)> {
    let (mut tcp, mut tcpfin, mut udp) = (None, None, None);
    let mut words = statement.parameters().iter();
    while let Some(word) = words.next() {
        let to = match &*word.text {
            "tcp" => &mut tcp,
            "tcpfin" => &mut tcpfin,
            "udp" => &mut udp,
            other => {
                let message = format!("`{other}` is no timeout: expected tcp, tcpfin or udp and seconds; skipped");
                lower.warning(word.at, message);
                continue;
            }
        };
        *to = option(lower, "lvs_timeouts", word, words.next(), 0, LONGEST_TIMEOUT).or(*to);
    }
    if tcp.or(tcpfin).or(udp).is_none() {
        let message = "`lvs_timeouts` sets nothing; expected `tcp SECONDS`, `tcpfin SECONDS` or `udp SECONDS`";
        lower.warning(statement.at(), message.into());
        return None;
    }
    Some((tcp.unwrap_or(0), tcpfin.unwrap_or(0), udp.unwrap_or(0)))
}

/// The number behind a word.
fn option<T: TryFrom<u64>>(
    lower: &mut Lower<'_>,
    keyword: &str,
    name: &Word<'_>,
    value: Option<&Word<'_>>,
    least: u64,
    most: u64,
) -> Option<T> {
    let read = |w: &Word<'_>| values::unsigned(&w.text).filter(|n| (least..=most).contains(n));
    let number = value.and_then(read).and_then(|n| T::try_from(n).ok());
    if number.is_none() {
        let (name_text, at) = (&name.text, value.map_or(name.at, |w| w.at));
        let message = format!("`{keyword}`: expected a number from {least} to {most} after `{name_text}`; skipped");
        lower.warning(at, message);
    }
    number
}

/// Reads `lvs_sync_daemon`, and `lvs_sync_daemon_interface` in instances.
pub(super) fn check(lower: &mut Lower<'_>, config: &mut Config, statements: &[Statement<'_>]) {
    let inside = |keyword: &'static str| {
        let blocks = statements.iter().filter(move |s| s.keyword() == keyword);
        blocks
            .filter_map(|s| s.block.as_ref().map(|b| (s, b)))
            .flat_map(|(s, b)| b.statements.iter().map(move |i| (s, i)))
    };
    for (_, statement) in inside("global_defs").filter(|(_, s)| s.keyword() == "lvs_sync_daemon") {
        sync_daemon(lower, config, statement);
    }
    for (instance, statement) in inside("vrrp_instance").filter(|(_, s)| s.keyword() == "lvs_sync_daemon_interface") {
        let name = instance.parameters().first().map(|w| w.text.to_string());
        lower
            .warning(statement.at(), "this is the old form of `lvs_sync_daemon` in `global_defs`; read as that".into());
        let Some(interface) = lower.parameter(statement, "the name of an interface") else { continue };
        let router = name.and_then(|name| config.routers.iter().find(|r| r.name == name));
        let (router, id) = (router.map(|r| r.name.clone()), router.map_or(0, |r| r.key.vrid));
        put(lower, config, statement, SyncDaemon { router, id, ..new(&interface.text) });
    }
}

fn new(interface: &str) -> SyncDaemon {
    SyncDaemon { interface: interface.to_string(), router: None, id: 0, max_length: 0, port: 0, group: None, ttl: 0 }
}

fn put(lower: &mut Lower<'_>, config: &mut Config, statement: &Statement<'_>, sync: SyncDaemon) {
    if let Some(first) = &config.lvs.sync {
        let message = format!("a second sync daemon; the first one, on `{}`, stays", first.interface);
        return lower.warning(statement.at(), message);
    }
    config.lvs.sync = Some(sync);
}

/// `INTERFACE [[inst] INSTANCE] [id N] [maxlen N] [port N] [ttl N] [group ADDRESS]`.
fn sync_daemon(lower: &mut Lower<'_>, config: &mut Config, statement: &Statement<'_>) {
    const OPTIONS: &[&str] = &["inst", "id", "maxlen", "port", "ttl", "group"];
    const KEYWORD: &str = "lvs_sync_daemon";
    let [interface, rest @ ..] = statement.parameters() else {
        return lower.warning(statement.at(), "`lvs_sync_daemon` has no value; expected an interface; skipped".into());
    };
    let mut sync = new(&interface.text);
    let mut words = rest.iter().peekable();
    let instance = match words.next_if(|w| w.text == "inst") {
        Some(_) => words.next(),
        None => words.next_if(|w| !OPTIONS.contains(&&*w.text)),
    };
    if let Some(word) = instance {
        let Some(router) = config.routers.iter().find(|r| r.name == *word.text) else {
            return lower.warning(word.at, format!("there is no `vrrp_instance {}`; no sync daemon is run", word.text));
        };
        (sync.router, sync.id) = (Some(router.name.clone()), router.key.vrid);
    }
    let mut id_given = false;
    while let Some(word) = words.next() {
        match &*word.text {
            "id" => {
                let id = option(lower, KEYWORD, word, words.next(), 0, 255);
                (sync.id, id_given) = (id.unwrap_or(sync.id), id_given || id.is_some());
            }
            "maxlen" => {
                sync.max_length = option(lower, KEYWORD, word, words.next(), 1, 65_507).unwrap_or(sync.max_length);
            }
            "port" => sync.port = option(lower, KEYWORD, word, words.next(), 1, 65_535).unwrap_or(sync.port),
            "ttl" => sync.ttl = option(lower, KEYWORD, word, words.next(), 1, 255).unwrap_or(sync.ttl),
            "group" => sync.group = group(lower, word, words.next()).or(sync.group),
            number if !id_given && values::unsigned(number).is_some() => {
                lower.warning(word.at, "expected `id` before the number; read as that".into());
                let id = option(lower, KEYWORD, word, Some(word), 0, 255);
                (sync.id, id_given) = (id.unwrap_or(sync.id), id.is_some());
            }
            other => {
                let message = format!(
                    "`{other}` is no option of a sync daemon: expected inst, id, maxlen, port, ttl or group; skipped"
                );
                lower.warning(word.at, message);
            }
        }
    }
    put(lower, config, statement, sync);
}

fn group(lower: &mut Lower<'_>, name: &Word<'_>, value: Option<&Word<'_>>) -> Option<IpAddr> {
    let group = value.and_then(|w| w.text.parse::<IpAddr>().ok()).filter(IpAddr::is_multicast);
    if group.is_none() {
        let at = value.map_or(name.at, |w| w.at);
        lower.warning(at, "`lvs_sync_daemon`: expected a multicast address after `group`; skipped".into());
    }
    group
}
