//! `[[virtual_server]]`.

use std::net::SocketAddr;
use std::time::Duration;

use toml::Spanned;

use super::super::Source;
use super::super::schema::{CheckTable, CheckType, ForwardingName, ProtocolName, RealServerTable, Server, UrlTable};
use super::{number, time, within};
use crate::model::{
    Check, CheckKind, Endpoint, Forwarding, HttpCheck, Protocol, RealServer, Tunnel, Url, VirtualServer,
};

/// Lowers one service.
pub(super) fn lower(source: &mut Source<'_>, server: Server) -> VirtualServer {
    let persistence = server.persistence.map(|persistence| {
        // 31 days, the limit of ip_vs, which counts whole seconds.
        let range = Duration::from_secs(1)..=Duration::from_secs(2_678_400);
        let value = time(source, Some(&persistence), range, Duration::ZERO);
        if value.subsec_nanos() != 0 {
            source.error(persistence.span(), "expected whole seconds".into());
        }
        u32::try_from(value.as_secs()).unwrap_or(u32::MAX)
    });
    let delay_loop = time(source, server.delay_loop.as_ref(), timers(), Duration::from_secs(60));
    let protocol = match server.protocol {
        ProtocolName::Tcp => Protocol::Tcp,
        ProtocolName::Udp => Protocol::Udp,
        ProtocolName::Sctp => Protocol::Sctp,
    };
    let forwarding = match server.forwarding {
        ForwardingName::Nat => Forwarding::Nat,
        ForwardingName::Dr => Forwarding::DirectRouting,
        ForwardingName::Tun => Forwarding::Tunnel(Tunnel::Ipip),
    };
    let mut lowered = VirtualServer::new(Endpoint::Address(server.address), protocol);
    // The names in the file are ip_vs's own, in lower case, and so are the variants.
    lowered.scheduler = format!("{:?}", server.scheduler).to_ascii_lowercase();
    lowered.forwarding = forwarding;
    lowered.persistence = persistence;
    let ipv4 = server.address.is_ipv4();
    let reals = server.real_server.into_iter();
    lowered.real_servers = reals.map(|r| real_server(source, ipv4, forwarding, delay_loop, r)).collect();
    lowered
}

/// From a microsecond to what fits in 32 bit of microseconds.
fn timers() -> std::ops::RangeInclusive<Duration> {
    Duration::from_micros(1)..=Duration::from_micros(u32::MAX.into())
}

fn real_server(
    source: &mut Source<'_>,
    ipv4: bool,
    forwarding: Forwarding,
    delay_loop: Duration,
    real: RealServerTable,
) -> RealServer {
    if real.address.get_ref().is_ipv4() != ipv4 {
        source.error(real.address.span(), "expected an address of the virtual server's family".into());
    }
    let address = real.address.into_inner();
    let mut lowered = RealServer::new(address, forwarding);
    lowered.weight = number(source, real.weight.as_ref(), 0..=65535, 1);
    lowered.checks = real.check.into_iter().map(|c| check(source, address, delay_loop, c)).collect();
    lowered
}

fn check(source: &mut Source<'_>, to: SocketAddr, delay_loop: Duration, check: CheckTable) -> Check {
    let urls: Vec<Url> = check.url.into_iter().map(|u| url(source, u)).collect();
    let kind = *check.kind.get_ref();
    match (kind, urls.is_empty()) {
        (CheckType::Tcp, false) => source.error(check.kind.span(), "a tcp check has no `url`".into()),
        (CheckType::Http | CheckType::Https, true) => {
            source.error(check.kind.span(), "this check needs at least one `url`".into());
        }
        (CheckType::Tcp, true) | (CheckType::Http | CheckType::Https, false) => {}
    }
    let kind = match kind {
        CheckType::Tcp => CheckKind::Tcp,
        CheckType::Http => CheckKind::Http(HttpCheck::new(false, urls)),
        CheckType::Https => CheckKind::Http(HttpCheck::new(true, urls)),
    };
    let delays = Duration::ZERO..=*timers().end();
    let mut lowered = Check::new(kind, to);
    (lowered.delay_loop, lowered.warmup) = (delay_loop, delay_loop);
    lowered.connect.timeout = time(source, check.timeout.as_ref(), timers(), lowered.connect.timeout);
    if let Some(port) = check.port.and_then(|p| within(source, &p, 1..=65535)).and_then(|p| u16::try_from(p).ok()) {
        lowered.connect.to.set_port(port);
    }
    lowered.retry = number(source, check.retry.as_ref(), 0..=i64::from(u32::MAX), lowered.retry);
    lowered.delay_before_retry = time(source, check.delay_before_retry.as_ref(), delays, lowered.delay_before_retry);
    lowered
}

fn url(source: &mut Source<'_>, url: UrlTable) -> Url {
    let digest = url.digest.map(|digest| {
        if digest.get_ref().len() != 32 || !digest.get_ref().bytes().all(|b| b.is_ascii_hexdigit()) {
            source.error(digest.span(), "expected the MD5 of the body, 32 hexadecimal digits".into());
        }
        digest.into_inner().to_ascii_lowercase()
    });
    let mut lowered = Url::new(path(source, url.path));
    lowered.digest = digest;
    if let Some(status) = url.status.and_then(|s| status(source, &s)) {
        lowered.status = vec![(status, status)];
    }
    lowered
}

fn path(source: &mut Source<'_>, path: Spanned<String>) -> String {
    if !path.get_ref().starts_with('/') {
        source.error(path.span(), "expected a path that starts with `/`".into());
    }
    path.into_inner()
}

fn status(source: &mut Source<'_>, status: &Spanned<i64>) -> Option<u16> {
    within(source, status, 100..=599).and_then(|s| u16::try_from(s).ok())
}
