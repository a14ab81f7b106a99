//! `[[virtual_server]]`.

mod check;
mod endpoints;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use mesh_wire::mesh::Family;
use toml::Spanned;

use super::super::Source;
use super::super::services::{
    ChecksumName, EngineName, FlagName, ForwardingName, ProtocolName, RealServerTable, ScopeName, Server, Sorry,
};
use super::super::text::{ScriptEntry, Time};
use super::{number, time, user, within};
use crate::model::{
    CheckScope, Endpoint, Forwarding, Protocol, RealServer, Script, SorryServer, TrackFile, Tunnel, TunnelChecksum,
    VirtualServer,
};
use crate::timing::Timing;

/// What virtual servers refer to, and what they have taken.
pub(super) struct Names<'a> {
    pub(super) files: BTreeMap<&'a str, &'a TrackFile>,
    /// BFD sessions that checks may refer to.
    pub(super) sessions: BTreeSet<&'a str>,
    pub(super) log_all_failures: bool,
    pub(super) scope: CheckScope,
    /// Which virtual server has an endpoint; marks are the same for all protocols.
    pub(super) taken: BTreeMap<(Endpoint, Option<Protocol>), String>,
    pub(super) names: BTreeSet<String>,
}

/// Lowers one service.
pub(super) fn lower(source: &mut Source<'_>, names: &mut Names<'_>, server: Spanned<Server>) -> VirtualServer {
    let span = server.span();
    let server = server.into_inner();
    let declared = endpoints::read(source, &server, &span);
    let protocol = protocol(source, server.protocol.as_ref(), &declared, &span);
    let first = declared.first().map_or(Endpoint::Fwmark(0, Family::Ipv4), |(endpoint, _)| *endpoint);
    let mut lowered = VirtualServer::new(first, protocol);
    lowered.endpoints = declared.iter().map(|(endpoint, _)| *endpoint).collect();
    if let Some(name) = &server.name {
        lowered.name = super::filled(source, name.clone());
    } else if let Endpoint::Fwmark(mark, Family::Ipv6) = first {
        lowered.name = format!("fwmark {mark} inet6");
    }
    if declared.len() > 1 && server.name.is_none() {
        source.error(span.clone(), "a virtual server with several endpoints needs a `name`".into());
    }
    if !names.names.insert(lowered.name.clone()) {
        let at = server.name.as_ref().map_or(span.clone(), Spanned::span);
        source.error(at, format!("a second virtual server `{}`; expected a name of its own", lowered.name));
    }
    for (endpoint, at) in &declared {
        let key = (*endpoint, matches!(endpoint, Endpoint::Address(_)).then_some(protocol));
        if let Some(other) = names.taken.insert(key, lowered.name.clone()) {
            source.error(at.clone(), format!("this is already served by `{other}`; expected one pool for it"));
        }
    }
    service(source, &mut lowered, &server, &declared);
    quorum(source, &mut lowered, &server);
    lowered.check_scope = server.check_scope.map_or(names.scope, scope);
    lowered.sorry_server = server.sorry_server.as_ref().map(|sorry| sorry_server(source, &lowered, sorry));
    let outer = Outer::new(source, names, &lowered, &server);
    if server.real_server.is_empty() {
        source.error(span, "no real server; expected at least one".into());
    }
    let mut seen = BTreeSet::new();
    for table in server.real_server {
        let at = table.address.span();
        let real = real_server(source, &outer, &lowered, table);
        if !seen.insert(real.address) {
            source.error(at, format!("{} is already a real server of this one", real.address));
        }
        lowered.real_servers.push(real);
    }
    let total: u64 = lowered.real_servers.iter().map(|r| u64::from(r.weight)).sum();
    if let Some(quorum) = server.quorum.filter(|_| u64::from(lowered.quorum) > total) {
        source.error(quorum.span(), format!("more than the weight of all real servers, {total}"));
    }
    lowered
}

/// Mesh or local.
pub(super) fn scope(name: ScopeName) -> CheckScope {
    match name {
        ScopeName::Mesh => CheckScope::Mesh,
        ScopeName::Local => CheckScope::Local,
    }
}

fn protocol(
    source: &mut Source<'_>,
    name: Option<&Spanned<ProtocolName>>,
    declared: &[(Endpoint, Range<usize>)],
    span: &Range<usize>,
) -> Protocol {
    let marks_only = declared.iter().all(|(endpoint, _)| matches!(endpoint, Endpoint::Fwmark(..)));
    match name {
        None if !marks_only => source.error(span.clone(), "no `protocol`; expected tcp, udp or sctp".into()),
        Some(name) if marks_only && !declared.is_empty() => {
            source.error(name.span(), "marks are of every protocol; expected no `protocol`".into());
        }
        _ => {}
    }
    match name.map(Spanned::get_ref) {
        None | Some(ProtocolName::Tcp) => Protocol::Tcp,
        Some(ProtocolName::Udp) => Protocol::Udp,
        Some(ProtocolName::Sctp) => Protocol::Sctp,
    }
}

/// What ip_vs is told of the service.
fn service(
    source: &mut Source<'_>,
    lowered: &mut VirtualServer,
    server: &Server,
    declared: &[(Endpoint, Range<usize>)],
) {
    // The names in the file are ip_vs's own, in lower case, and so are the variants.
    lowered.scheduler = format!("{:?}", server.scheduler).to_ascii_lowercase();
    lowered.forwarding = forwarding(
        source,
        Some(&server.forwarding),
        server.tunnel_port.as_ref(),
        server.tunnel_checksum.as_ref(),
        Forwarding::Nat,
    );
    for flag in &server.flags {
        if matches!(flag.get_ref(), FlagName::Port | FlagName::Fallback)
            && !matches!(lowered.scheduler.as_str(), "sh" | "mh")
        {
            source.error(flag.span(), "this is for the schedulers sh and mh".into());
        }
        match flag.get_ref() {
            FlagName::One | FlagName::Fallback => lowered.flag_1 = true,
            FlagName::Two | FlagName::Port => lowered.flag_2 = true,
            FlagName::Three => lowered.flag_3 = true,
        }
    }
    if let Some(one_packet) = &server.one_packet {
        let tcp = server.protocol.is_some() && lowered.protocol != Protocol::Udp;
        if *one_packet.get_ref() && tcp {
            source.error(one_packet.span(), "`one_packet` is for UDP only".into());
        }
        lowered.one_packet = *one_packet.get_ref();
    }
    lowered.persistence = server.persistence.as_ref().map(|p| whole_seconds(source, p, 1, 2_678_400));
    let bits = if lowered.family == Family::Ipv4 { 32 } else { 128 };
    lowered.granularity =
        server.granularity.as_ref().and_then(|g| within(source, g, 1..=bits)).and_then(|n| u8::try_from(n).ok());
    lowered.persistence_engine = server.persistence_engine.as_ref().map(|engine| match engine.get_ref() {
        EngineName::Sip => "sip".to_owned(),
    });
    if lowered.persistence.is_none() {
        let spans =
            [server.granularity.as_ref().map(Spanned::span), server.persistence_engine.as_ref().map(Spanned::span)];
        for span in spans.into_iter().flatten() {
            source.error(span, "this needs `persistence`".into());
        }
        for (endpoint, at) in declared {
            if matches!(endpoint, Endpoint::Address(address) if address.port() == 0) {
                source.error(at.clone(), "a service of all ports needs `persistence`".into());
            }
        }
    }
}

/// Whole seconds, the unit of ip_vs.
pub(super) fn whole_seconds(source: &mut Source<'_>, value: &Spanned<Time>, least: u64, most: u64) -> u32 {
    let range = Duration::from_secs(least)..=Duration::from_secs(most);
    let time = time(source, Some(value), range, Duration::ZERO);
    if time.subsec_nanos() != 0 {
        source.error(value.span(), "expected whole seconds".into());
    }
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

fn quorum(source: &mut Source<'_>, lowered: &mut VirtualServer, server: &Server) {
    let most = i64::from(u32::MAX);
    lowered.ha_suspend = server.ha_suspend;
    lowered.alpha = server.alpha;
    lowered.omega = server.omega;
    lowered.smtp_alert = server.alert;
    lowered.quorum = number(source, server.quorum.as_ref(), 1..=most, 1);
    lowered.hysteresis = number(source, server.hysteresis.as_ref(), 0..=most, 0);
    if let Some(hysteresis) = server.hysteresis.as_ref().filter(|_| lowered.hysteresis >= lowered.quorum)
        && lowered.hysteresis > 0
    {
        source.error(hysteresis.span(), "expected less than `quorum`".into());
    }
    lowered.quorum_up = server.quorum_up.as_ref().map(|s| script(source, s));
    lowered.quorum_down = server.quorum_down.as_ref().map(|s| script(source, s));
}

/// A program, and as whom it runs.
pub(super) fn script(source: &mut Source<'_>, entry: &Spanned<ScriptEntry>) -> Script {
    let table = &entry.get_ref().0;
    if table.command.0.first().is_none_or(String::is_empty) {
        source.error(entry.span(), "an empty command; expected a program".into());
    }
    let script =
        Script { command: table.command.0.clone(), user: user(source, table.user.clone(), table.group.clone()) };
    let place = source.place(entry.span());
    source.report.places.programs.push((script.clone(), place));
    script
}

fn forwarding(
    source: &mut Source<'_>,
    name: Option<&Spanned<ForwardingName>>,
    port: Option<&Spanned<i64>>,
    checksum: Option<&Spanned<ChecksumName>>,
    default: Forwarding,
) -> Forwarding {
    let tunnel = name.map(|n| *n.get_ref());
    if let Some(port) = port.filter(|_| !matches!(tunnel, Some(ForwardingName::Gue))) {
        source.error(port.span(), "`tunnel_port` is for forwarding = \"gue\" only".into());
    }
    if let Some(checksum) = checksum.filter(|_| !matches!(tunnel, Some(ForwardingName::Gue | ForwardingName::Gre))) {
        source.error(checksum.span(), "`tunnel_checksum` is for forwarding = \"gue\" and \"gre\" only".into());
    }
    let sum = match checksum.map(Spanned::get_ref) {
        None | Some(ChecksumName::None) => TunnelChecksum::None,
        Some(ChecksumName::Full) => TunnelChecksum::Checksum,
        Some(ChecksumName::Remote) => TunnelChecksum::Remote,
    };
    let Some(name) = name else { return default };
    match name.get_ref() {
        ForwardingName::Nat => Forwarding::Nat,
        ForwardingName::Dr => Forwarding::DirectRouting,
        ForwardingName::Tun => Forwarding::Tunnel(Tunnel::Ipip),
        ForwardingName::Gue => {
            if port.is_none() {
                source.error(name.span(), "forwarding \"gue\" needs `tunnel_port`".into());
            }
            Forwarding::Tunnel(Tunnel::Gue(number(source, port, 1..=65535, 0), sum))
        }
        ForwardingName::Gre => {
            if let Some(checksum) = checksum.filter(|_| sum == TunnelChecksum::Remote) {
                source.error(checksum.span(), "forwarding \"gre\" has no remote checksum".into());
            }
            Forwarding::Tunnel(Tunnel::Gre(sum))
        }
    }
}

/// What real servers have to agree with.
struct Shape {
    /// Whether endpoints are IPv4, IPv6 or both.
    ipv4: BTreeSet<bool>,
    /// Their ports; 0 where there are only marks.
    ports: BTreeSet<u16>,
}

impl Shape {
    fn of(server: &VirtualServer) -> Shape {
        let ipv4 = server.endpoints.iter().map(|endpoint| match endpoint {
            Endpoint::Address(address) => address.is_ipv4(),
            Endpoint::Fwmark(_, family) => *family == Family::Ipv4,
        });
        let ipv4 = ipv4.collect();
        let mut ports: BTreeSet<u16> = server
            .endpoints
            .iter()
            .filter_map(|endpoint| match endpoint {
                Endpoint::Address(address) => Some(address.port()),
                Endpoint::Fwmark(..) => None,
            })
            .collect();
        if ports.is_empty() {
            ports.insert(0);
        }
        Shape { ipv4, ports }
    }
}

/// Family and port have to be the service's, where the packets are not changed.
fn fits(source: &mut Source<'_>, shape: &Shape, address: &Spanned<SocketAddr>, forwarding: Forwarding) {
    let tunnel = matches!(forwarding, Forwarding::Tunnel(_));
    let ipv4 = address.get_ref().is_ipv4();
    if !tunnel && shape.ipv4.iter().any(|other| *other != ipv4) {
        source.error(address.span(), "expected an address of the virtual server's family".into());
    }
    let port = address.get_ref().port();
    if forwarding != Forwarding::Nat && port != 0 && shape.ports.iter().any(|other| *other != port) {
        source.error(address.span(), "without NAT the port stays the service's; expected that or 0".into());
    }
}

/// Port 0 becomes the service's where that is the same anyhow.
fn ported(server: &VirtualServer, mut address: SocketAddr, forwarding: Forwarding) -> SocketAddr {
    if let [Endpoint::Address(service)] = server.endpoints[..]
        && forwarding != Forwarding::Nat
    {
        address.set_port(service.port());
    }
    address
}

fn sorry_server(source: &mut Source<'_>, server: &VirtualServer, sorry: &Sorry) -> SorryServer {
    let (port, checksum) = (sorry.tunnel_port.as_ref(), sorry.tunnel_checksum.as_ref());
    let forwarding = forwarding(source, sorry.forwarding.as_ref(), port, checksum, server.forwarding);
    fits(source, &Shape::of(server), &sorry.address, forwarding);
    let address = ported(server, *sorry.address.get_ref(), forwarding);
    SorryServer { address, forwarding, inhibit: sorry.inhibit }
}

/// What real servers and checks take over from what is around them.
struct Outer<'a> {
    names: &'a Names<'a>,
    shape: Shape,
    timing: Timing,
    virtualhost: Option<String>,
    inhibit: bool,
}

impl<'a> Outer<'a> {
    fn new(source: &mut Source<'_>, names: &'a Names<'_>, lowered: &VirtualServer, server: &Server) -> Outer<'a> {
        let timing = Timing {
            alpha: lowered.alpha.then_some(true),
            delay_loop: some_time(source, server.delay_loop.as_ref(), timers()),
            warmup: some_time(source, server.warmup.as_ref(), delays()),
            delay_before_retry: some_time(source, server.delay_before_retry.as_ref(), delays()),
            retry: retries(source, server.retry.as_ref()),
            connect_timeout: some_time(source, server.timeout.as_ref(), timeouts()),
        };
        let inhibit = server.inhibit_on_failure.unwrap_or(false);
        Outer { names, shape: Shape::of(lowered), timing, virtualhost: server.virtualhost.clone(), inhibit }
    }
}

/// From a microsecond to 31 days.
fn timers() -> RangeInclusive<Duration> {
    Duration::from_micros(1)..=Duration::from_secs(2_678_400)
}

fn delays() -> RangeInclusive<Duration> {
    Duration::ZERO..=Duration::from_secs(2_678_400)
}

fn timeouts() -> RangeInclusive<Duration> {
    Duration::from_micros(1)..=Duration::from_micros(u32::MAX.into())
}

fn some_time(
    source: &mut Source<'_>,
    value: Option<&Spanned<Time>>,
    range: RangeInclusive<Duration>,
) -> Option<Duration> {
    value.map(|value| time(source, Some(value), range, Duration::ZERO))
}

fn retries(source: &mut Source<'_>, value: Option<&Spanned<i64>>) -> Option<u32> {
    value.map(|value| number(source, Some(value), 0..=i64::from(u32::MAX), 0))
}

fn real_server(
    source: &mut Source<'_>,
    outer: &Outer<'_>,
    server: &VirtualServer,
    real: RealServerTable,
) -> RealServer {
    let (port, checksum) = (real.tunnel_port.as_ref(), real.tunnel_checksum.as_ref());
    let forwarding = forwarding(source, real.forwarding.as_ref(), port, checksum, server.forwarding);
    fits(source, &outer.shape, &real.address, forwarding);
    let most = i64::from(u32::MAX);
    let mut lowered = RealServer::new(ported(server, *real.address.get_ref(), forwarding), forwarding);
    lowered.weight = number(source, real.weight.as_ref(), 0..=i64::from(i32::MAX), 1);
    lowered.upper_threshold = number(source, real.upper_threshold.as_ref(), 0..=most, 0);
    lowered.lower_threshold = number(source, real.lower_threshold.as_ref(), 0..=most, 0);
    lowered.inhibit_on_failure = real.inhibit_on_failure.unwrap_or(outer.inhibit);
    lowered.notify_up = real.notify_up.as_ref().map(|s| script(source, s));
    lowered.notify_down = real.notify_down.as_ref().map(|s| script(source, s));
    lowered.smtp_alert = real.alert;
    let timing = Timing {
        alpha: real.alpha,
        delay_loop: some_time(source, real.delay_loop.as_ref(), timers()),
        warmup: some_time(source, real.warmup.as_ref(), delays()),
        delay_before_retry: some_time(source, real.delay_before_retry.as_ref(), delays()),
        retry: retries(source, real.retry.as_ref()),
        connect_timeout: some_time(source, real.timeout.as_ref(), timeouts()),
    };
    let mut address = lowered.address;
    let ports = &outer.shape.ports;
    if let (0, 1, Some(port)) = (address.port(), ports.len(), ports.first()) {
        address.set_port(*port);
    }
    let around = check::Around {
        names: outer.names,
        address,
        timing: timing.within(&outer.timing),
        virtualhost: real.virtualhost.or_else(|| outer.virtualhost.clone()),
    };
    for table in real.check {
        let place = source.place(table.kind.span());
        if let Some(check) = check::lower(source, &around, table) {
            lowered.checks.push(check);
            source.report.places.checks.entry((server.name.clone(), lowered.address)).or_default().push(place);
        }
    }
    lowered
}
