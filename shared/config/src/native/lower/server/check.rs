//! `[[virtual_server.real_server.check]]`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::super::super::Source;
use super::super::super::services::{CheckTable, CheckType, HostTable, HttpVersion, RecordName, RegexTable, UrlTable};
use super::super::{filled, number, time, within};
use super::{Names, delays, retries, script, some_time, timeouts, timers};
use crate::common::{REGEX_OPTIONS, hex, is_domain, is_md5, status};
use crate::model::{Check, CheckKind, Connect, HttpCheck, HttpProtocol, Regex, UdpReply, Url};
use crate::timing::Timing;

/// What a check takes over from what is around it.
pub(super) struct Around<'a> {
    pub(super) names: &'a Names<'a>,
    /// The real server's, with the service's port where it has none.
    pub(super) address: SocketAddr,
    pub(super) timing: Timing,
    pub(super) virtualhost: Option<String>,
}

/// Lowers one check; `None` only after an error.
pub(super) fn lower(source: &mut Source<'_>, around: &Around<'_>, table: CheckTable) -> Option<Check> {
    misplaced(source, &table);
    let timing = Timing {
        alpha: table.alpha.as_ref().map(|a| *a.get_ref()),
        delay_loop: some_time(source, table.delay_loop.as_ref(), timers()),
        warmup: some_time(source, table.warmup.as_ref(), delays()),
        delay_before_retry: some_time(source, table.delay_before_retry.as_ref(), delays()),
        retry: retries(source, table.retry.as_ref()),
        connect_timeout: some_time(source, table.timeout.as_ref(), timeouts()),
    }
    .within(&around.timing);
    let mut connect = connect(source, &Target::of_check(&table), &Connect::new(around.address), table.kind.span());
    connect.timeout = timing.connect_timeout.unwrap_or(connect.timeout);
    let mut check = Check::new(kind(source, around, &table, &connect, &timing)?, around.address);
    let connects = !matches!(
        check.kind,
        CheckKind::Ping | CheckKind::Misc { .. } | CheckKind::File { .. } | CheckKind::Bfd { .. }
    );
    if connects && connect.to.port() == 0 {
        source.error(table.kind.span(), "no port to connect to; expected `port`, or one of the real server".into());
    }
    if !matches!(check.kind, CheckKind::Misc { .. } | CheckKind::File { .. } | CheckKind::Bfd { .. }) {
        check.connect = connect;
    }
    check.log_all_failures = table.log_all_failures.map_or(around.names.log_all_failures, Spanned::into_inner);
    timing.apply(&mut check);
    Some(check)
}

/// An error for each key that has no meaning for the type.
fn misplaced(source: &mut Source<'_>, table: &CheckTable) {
    use CheckType::{Bfd, Dns, File, Http, Https, Ping, Script, Smtp, Tcp, Udp};
    fn span<T>(value: &Option<Spanned<T>>) -> Option<Range<usize>> {
        value.as_ref().map(Spanned::span)
    }
    const CONNECTING: &[CheckType] = &[Tcp, Http, Https, Smtp, Dns, Ping, Udp];
    const TIMED: &[CheckType] = &[Tcp, Http, Https, Smtp, Dns, Ping, Udp, Script];
    const WEB: &[CheckType] = &[Http, Https];
    type Key = (&'static str, Option<Range<usize>>, &'static [CheckType]);
    let keys: [Key; 34] = [
        ("address", span(&table.address), CONNECTING),
        ("port", span(&table.port), CONNECTING),
        ("source", span(&table.source), CONNECTING),
        ("source_port", span(&table.source_port), CONNECTING),
        ("interface", span(&table.interface), CONNECTING),
        ("fwmark", span(&table.fwmark), CONNECTING),
        ("timeout", span(&table.timeout), CONNECTING),
        ("alpha", span(&table.alpha), &[Tcp, Http, Https, Smtp, Dns, Ping, Udp, Script, Bfd]),
        ("delay_loop", span(&table.delay_loop), TIMED),
        ("warmup", span(&table.warmup), TIMED),
        ("retry", span(&table.retry), TIMED),
        ("delay_before_retry", span(&table.delay_before_retry), TIMED),
        ("log_all_failures", span(&table.log_all_failures), TIMED),
        ("url", span(&table.url), WEB),
        ("http_version", span(&table.http_version), WEB),
        ("virtualhost", span(&table.virtualhost), WEB),
        ("fast_recovery", span(&table.fast_recovery), WEB),
        ("sni", span(&table.sni), &[Https]),
        ("sni_name", span(&table.sni_name), &[Https]),
        ("helo_name", span(&table.helo_name), &[Smtp]),
        ("host", span(&table.host), &[Smtp]),
        ("record", span(&table.record), &[Dns]),
        ("domain", span(&table.domain), &[Dns]),
        ("run", span(&table.run), &[Script]),
        ("run_timeout", span(&table.run_timeout), &[Script]),
        ("payload", span(&table.payload), &[Udp]),
        ("reply", span(&table.reply), &[Udp]),
        ("min_reply", span(&table.min_reply), &[Udp]),
        ("max_reply", span(&table.max_reply), &[Udp]),
        ("file", span(&table.file), &[File]),
        ("weight", span(&table.weight), &[File]),
        ("reverse", span(&table.reverse), &[File]),
        ("dynamic", span(&table.dynamic), &[File, Script]),
        ("session", span(&table.session), &[Bfd]),
    ];
    let kind = *table.kind.get_ref();
    for (key, span, kinds) in keys {
        if let Some(span) = span.filter(|_| !kinds.contains(&kind)) {
            let kind = format!("{kind:?}").to_ascii_lowercase();
            source.error(span, format!("a check of type {kind} has no `{key}`"));
        }
    }
}

/// The keys about a connection, of a check or of a host.
struct Target<'t> {
    address: Option<&'t Spanned<IpAddr>>,
    port: Option<&'t Spanned<i64>>,
    source: Option<&'t Spanned<IpAddr>>,
    source_port: Option<&'t Spanned<i64>>,
    interface: Option<&'t Spanned<String>>,
    fwmark: Option<&'t Spanned<i64>>,
}

impl<'t> Target<'t> {
    fn of_check(table: &'t CheckTable) -> Self {
        let CheckTable { address, port, source, source_port, interface, fwmark, .. } = table;
        Target {
            address: address.as_ref(),
            port: port.as_ref(),
            source: source.as_ref(),
            source_port: source_port.as_ref(),
            interface: interface.as_ref(),
            fwmark: fwmark.as_ref(),
        }
    }

    fn of_host(table: &'t HostTable) -> Self {
        let HostTable { address, port, source, source_port, interface, fwmark, timeout: _ } = table;
        Target {
            address: address.as_ref(),
            port: port.as_ref(),
            source: source.as_ref(),
            source_port: source_port.as_ref(),
            interface: interface.as_ref(),
            fwmark: fwmark.as_ref(),
        }
    }
}

/// The connection, with the defaults of what is around it.
fn connect(source: &mut Source<'_>, target: &Target<'_>, default: &Connect, span: Range<usize>) -> Connect {
    let ip = target.address.map_or(default.to.ip(), |a| *a.get_ref());
    let to = SocketAddr::new(ip, number(source, target.port, 1..=65535, default.to.port()));
    let interface = target.interface.map(|i| filled(source, i.clone())).or_else(|| default.interface.clone());
    if let (IpAddr::V6(address), None) = (ip, &interface)
        && address.is_unicast_link_local()
    {
        let at = target.address.map_or(span, Spanned::span);
        source.error(at, format!("{address} is link-local; expected `interface`"));
    }
    if let Some(address) = target.source.filter(|a| a.get_ref().is_ipv4() != ip.is_ipv4()) {
        source.error(address.span(), format!("expected an address of the family of {ip}"));
    }
    let unspecified: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let inherited = default.from.filter(|(address, _)| address.is_ipv4() == ip.is_ipv4());
    let from = if target.source.is_some() || target.source_port.is_some() {
        let (address, port) = inherited.unwrap_or((unspecified, 0));
        let port = number(source, target.source_port, 1..=65535, port);
        Some((target.source.map_or(address, |a| *a.get_ref()), port))
    } else {
        inherited
    };
    let fwmark = number(source, target.fwmark, 0..=i64::from(u32::MAX), default.fwmark);
    Connect { to, from, interface, fwmark, timeout: default.timeout }
}

fn kind(
    source: &mut Source<'_>,
    around: &Around<'_>,
    table: &CheckTable,
    connect: &Connect,
    timing: &Timing,
) -> Option<CheckKind> {
    Some(match table.kind.get_ref() {
        CheckType::Tcp => CheckKind::Tcp,
        CheckType::Ping => CheckKind::Ping,
        CheckType::Http => CheckKind::Http(http(source, around, table, false)),
        CheckType::Https => CheckKind::Http(http(source, around, table, true)),
        CheckType::Smtp => smtp(source, table, connect),
        CheckType::Dns => dns(source, table),
        CheckType::Script => {
            let run = required(source, table, table.run.as_ref(), "run")?;
            let delay_loop = timing.delay_loop.unwrap_or(Duration::from_secs(60));
            let timeout = time(source, table.run_timeout.as_ref(), timers(), delay_loop);
            CheckKind::Misc { script: script(source, run), timeout, dynamic: on(table.dynamic.as_ref()) }
        }
        CheckType::Udp => udp(source, table),
        CheckType::File => file(source, around, table)?,
        CheckType::Bfd => {
            let session = required(source, table, table.session.as_ref(), "session")?;
            if !around.names.sessions.contains(session.get_ref().as_str()) {
                source.error(session.span(), format!("there is no bfd session `{}` for services", session.get_ref()));
                return None;
            }
            CheckKind::Bfd { instance: session.get_ref().clone() }
        }
    })
}

/// A key without which the type means nothing.
fn required<'t, T>(
    source: &mut Source<'_>,
    table: &CheckTable,
    value: Option<&'t Spanned<T>>,
    key: &str,
) -> Option<&'t Spanned<T>> {
    if value.is_none() {
        source.error(table.kind.span(), format!("this check needs `{key}`"));
    }
    value
}

fn on(value: Option<&Spanned<bool>>) -> bool {
    value.is_some_and(|v| *v.get_ref())
}

fn http(source: &mut Source<'_>, around: &Around<'_>, table: &CheckTable, tls: bool) -> HttpCheck {
    let tables = table.url.as_ref().map_or(&[][..], |list| list.get_ref());
    if tables.is_empty() {
        source.error(table.kind.span(), "this check needs at least one `url`".into());
    }
    let virtualhost =
        table.virtualhost.as_ref().map(|v| filled(source, v.clone())).or_else(|| around.virtualhost.clone());
    let urls: Vec<Url> = tables.iter().map(|u| url(source, virtualhost.as_deref(), u)).collect();
    let protocol = match table.http_version.as_ref().map(Spanned::get_ref) {
        None | Some(HttpVersion::V10) => HttpProtocol::V10,
        Some(HttpVersion::V10Close) => HttpProtocol::V10Close,
        Some(HttpVersion::V11) => HttpProtocol::V11,
    };
    let named = table.sni_name.as_ref().map(|name| filled(source, name.clone()));
    let name = named.or_else(|| {
        let host = || urls.iter().find_map(|u| u.virtualhost.clone());
        on(table.sni.as_ref()).then(host).flatten()
    });
    if let Some(sni) = table.sni.as_ref().filter(|sni| *sni.get_ref() && name.is_none()) {
        source.error(sni.span(), "`sni` without a name; expected `virtualhost` or `sni_name`".into());
    }
    HttpCheck { tls, protocol, sni: name, fast_recovery: on(table.fast_recovery.as_ref()), urls }
}

fn url(source: &mut Source<'_>, virtualhost: Option<&str>, url: &UrlTable) -> Url {
    if !url.path.get_ref().starts_with('/') {
        source.error(url.path.span(), "expected a path that starts with `/`".into());
    }
    let digest = url.digest.as_ref().map(|digest| {
        if !is_md5(digest.get_ref()) {
            source.error(digest.span(), "expected the MD5 of the body, 32 hexadecimal digits".into());
        }
        digest.get_ref().to_ascii_lowercase()
    });
    let mut ranges = Vec::new();
    for (text, span) in url.status.iter().flat_map(|s| s.get_ref().0.iter().map(|text| (text, s.span()))) {
        match status(text) {
            Some(range) => ranges.push(range),
            None => source.error(span, format!("`{text}` is no status; expected 100 to 599 or such as \"200-299\"")),
        }
    }
    if ranges.is_empty() {
        ranges.push(if digest.is_some() { (100, 599) } else { (200, 299) });
    }
    Url {
        path: url.path.get_ref().clone(),
        virtualhost: url.virtualhost.clone().or_else(|| virtualhost.map(str::to_string)),
        digest,
        status: ranges,
        regex: url.regex.as_ref().map(|r| regex(source, r)),
    }
}

fn regex(source: &mut Source<'_>, regex: &RegexTable) -> Regex {
    for option in regex.options.iter().filter(|o| !REGEX_OPTIONS.contains(&o.get_ref().as_str())) {
        source.error(option.span(), format!("`{}` is no option; expected one such as \"caseless\"", option.get_ref()));
    }
    let least = number(source, regex.min_offset.as_ref(), 0..=i64::MAX, 0);
    let most = regex.max_offset.as_ref().and_then(|n| within(source, n, 0..=i64::MAX));
    let most = most.and_then(|n| usize::try_from(n).ok());
    if let (Some(most), Some(at)) = (most, &regex.max_offset)
        && most < least
    {
        source.error(at.span(), format!("expected at least `min_offset`, {least}"));
    }
    let options = regex.options.iter().map(|o| o.get_ref().clone()).collect();
    Regex { pattern: regex.pattern.clone(), options, no_match: regex.no_match, offsets: (least, most) }
}

fn smtp(source: &mut Source<'_>, table: &CheckTable, around: &Connect) -> CheckKind {
    let mut hosts = Vec::new();
    for host in table.host.iter().flat_map(Spanned::get_ref) {
        let mut connect = connect(source, &Target::of_host(host), around, table.kind.span());
        connect.timeout = time(source, host.timeout.as_ref(), timeouts(), around.timeout);
        hosts.push(connect);
    }
    if hosts.is_empty() {
        hosts.push(around.clone());
    }
    CheckKind::Smtp { helo_name: table.helo_name.as_ref().map(|n| filled(source, n.clone())), hosts }
}

fn dns(source: &mut Source<'_>, table: &CheckTable) -> CheckKind {
    let record = table.record.as_ref().map_or(RecordName::Soa, |r| *r.get_ref());
    let name = table.domain.as_ref().map_or(".", |d| d.get_ref());
    if let Some(domain) = table.domain.as_ref().filter(|_| !is_domain(name)) {
        source.error(domain.span(), format!("`{name}` is no domain; expected parts of 1 to 63 bytes"));
    }
    // The variants are the names, in other letters.
    CheckKind::Dns { record: format!("{record:?}").to_ascii_uppercase(), name: name.to_string() }
}

fn udp(source: &mut Source<'_>, table: &CheckTable) -> CheckKind {
    let mut bytes = |value: &Spanned<String>, wildcards, empty| {
        let read = hex(value.get_ref(), wildcards).filter(|bytes| empty || !bytes.is_empty());
        if read.is_none() {
            let expected = if wildcards { "hexadecimal digits, X for any" } else { "hexadecimal digits" };
            source.error(value.span(), format!("expected {expected}"));
        }
        read.unwrap_or_default()
    };
    let payload = table.payload.as_ref().map(|p| bytes(p, false, false).into_iter().map(|(byte, _)| byte).collect());
    let pattern = table.reply.as_ref().map(|reply| bytes(reply, true, true));
    let most = number(source, table.max_reply.as_ref(), 0..=65535, 255);
    let least = number(source, table.min_reply.as_ref(), 0..=65535, 0);
    for length in [&table.min_reply, &table.max_reply].into_iter().flatten() {
        if pattern.is_none() {
            source.error(length.span(), "this needs `reply`; \"\" is any".into());
        } else if least > most {
            source.error(length.span(), format!("no reply has {least} to {most} bytes"));
        }
    }
    CheckKind::Udp { payload, reply: pattern.map(|pattern| UdpReply { pattern, least, most }) }
}

fn file(source: &mut Source<'_>, around: &Around<'_>, table: &CheckTable) -> Option<CheckKind> {
    let file = required(source, table, table.file.as_ref(), "file")?;
    let Some(tracked) = around.names.files.get(file.get_ref().as_str()) else {
        source.error(file.span(), format!("there is no track_file `{}`", file.get_ref()));
        return None;
    };
    let most = i64::from(i32::MAX);
    let weight = number(source, table.weight.as_ref(), -most..=most, tracked.weight);
    let reverse = match (&table.reverse, &table.weight) {
        (Some(reverse), _) => *reverse.get_ref(),
        (None, Some(_)) => false,
        (None, None) => tracked.reverse,
    };
    let dynamic = table.dynamic.as_ref().map_or(weight != 0, |dynamic| *dynamic.get_ref());
    Some(CheckKind::File { file: tracked.name.clone(), weight, reverse, dynamic })
}
