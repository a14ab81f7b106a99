//! `[mail]`, `[tls]`, `[lvs]` and `[[track_file]]`.

use std::collections::BTreeSet;
use std::time::Duration;

use toml::Spanned;

use super::super::Source;
use super::super::services::{FlushName, Lvs, MailTable, Sync, Timeouts, TlsTable, TrackFileTable};
use super::server::whole_seconds;
use super::{filled, notify, number, time};
use crate::model::{FlushOnStop, LvsSettings, Mail, Secret, SyncDaemon, Tls, TrackFile, VirtualRouter};

pub(super) fn mail(source: &mut Source<'_>, table: MailTable) -> Mail {
    let times = Duration::from_secs(1)..=Duration::from_secs(4294);
    Mail {
        to: table.to.into_iter().map(|to| mail_address(source, to)).collect(),
        from: table.from.map(|from| mail_address(source, from)),
        server: table.server.and_then(|server| mail_server(source, &server)),
        helo_name: table.helo_name.map(|name| filled(source, name)),
        connect_timeout: time(source, table.connect_timeout.as_ref(), times, Mail::default().connect_timeout),
        alert: table.alert,
        alert_vrrp: table.alert_routers,
        alert_checker: table.alert_servers,
        no_faults: table.no_faults,
        no_checker: table.changes_only,
    }
}

fn mail_address(source: &mut Source<'_>, address: Spanned<String>) -> String {
    let place = source.place(address.span());
    source.report.places.mail.push((address.get_ref().clone(), place));
    filled(source, address)
}

/// `"HOST"`, `"HOST:PORT"` or an address in brackets with a port.
fn mail_server(source: &mut Source<'_>, server: &Spanned<String>) -> Option<(String, u16)> {
    let text = server.get_ref();
    let read = if text.parse::<std::net::IpAddr>().is_ok() {
        Some((text.clone(), 25))
    } else if let Ok(address) = text.parse::<std::net::SocketAddr>() {
        Some((address.ip().to_string(), address.port()))
    } else {
        let (host, port) = text.split_once(':').unwrap_or((text, "25"));
        let named = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        port.parse().ok().filter(|_| named).map(|port| (host.to_string(), port))
    };
    let read = read.filter(|(_, port)| *port > 0);
    if read.is_none() {
        source.error(server.span(), format!("`{text}` is no mail server; expected \"HOST\" or \"HOST:PORT\""));
    }
    read
}

pub(super) fn tls(table: TlsTable) -> Tls {
    let TlsTable { ca, certificate, key, password } = table;
    Tls { ca, certificate, key, password: password.map(Secret::new) }
}

pub(super) fn lvs(source: &mut Source<'_>, table: Lvs, tls: Tls, routers: &[VirtualRouter]) -> LvsSettings {
    LvsSettings {
        timeouts: table.timeouts.and_then(|timeouts| self::timeouts(source, &timeouts)),
        sync: table.sync.map(|sync| self::sync(source, sync, routers)),
        flush: table.flush,
        flush_on_stop: match table.flush_on_stop {
            None | Some(FlushName::Own) => FlushOnStop::Own,
            Some(FlushName::All) => FlushOnStop::All,
            Some(FlushName::VirtualServers) => FlushOnStop::VirtualServers,
        },
        notify_fifo: table.notify_fifo.map(|entry| notify::fifo(source, entry)),
        init_notifies: table.init_notifies,
        log_all_failures: table.log_all_failures,
        tls,
    }
}

fn timeouts(source: &mut Source<'_>, table: &Spanned<Timeouts>) -> Option<(u32, u32, u32)> {
    let Timeouts { tcp, tcp_fin, udp } = table.get_ref();
    if tcp.is_none() && tcp_fin.is_none() && udp.is_none() {
        source.error(table.span(), "no timeout; expected `tcp`, `tcp_fin` or `udp`".into());
        return None;
    }
    let mut seconds = |value: &Option<_>| value.as_ref().map_or(0, |value| whole_seconds(source, value, 1, 2_678_400));
    Some((seconds(tcp), seconds(tcp_fin), seconds(udp)))
}

fn sync(source: &mut Source<'_>, table: Sync, routers: &[VirtualRouter]) -> SyncDaemon {
    let router = table.router.as_ref().and_then(|name| {
        let router = routers.iter().find(|r| r.name == *name.get_ref());
        if router.is_none() {
            source.error(name.span(), format!("there is no router `{}`", name.get_ref()));
        }
        router
    });
    if let Some(group) = table.group.as_ref().filter(|group| !group.get_ref().is_multicast()) {
        source.error(group.span(), "expected a multicast address".into());
    }
    SyncDaemon {
        interface: filled(source, table.interface),
        router: router.map(|r| r.name.clone()),
        id: number(source, table.id.as_ref(), 0..=255, router.map_or(0, |r| r.key.vrid)),
        max_length: number(source, table.max_length.as_ref(), 1..=65_507, 0),
        port: number(source, table.port.as_ref(), 1..=65_535, 0),
        group: table.group.map(Spanned::into_inner),
        ttl: number(source, table.ttl.as_ref(), 1..=255, 0),
    }
}

pub(super) fn track_files(source: &mut Source<'_>, tables: Vec<TrackFileTable>) -> Vec<TrackFile> {
    let mut names = BTreeSet::new();
    let mut files = Vec::new();
    for table in tables {
        let span = table.name.span();
        let name = filled(source, table.name);
        if !names.insert(name.clone()) {
            source.error(span, format!("a second track_file `{name}`; expected a name of its own"));
        }
        files.push(TrackFile {
            name,
            path: filled(source, table.path).into(),
            weight: number(source, table.weight.as_ref(), -254..=254, 1),
            reverse: table.reverse,
            init: table.init.map(|init| (init.value, init.overwrite)),
        });
    }
    files
}
