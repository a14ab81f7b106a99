//! `[lvs]`, `[tls]` and `[[virtual_server]]`.

use std::net::{IpAddr, SocketAddr};

use mesh_wire::mesh::Family;

use super::notify;
use super::text::{Writer, list, string, time, words};
use crate::model::{
    Check, CheckKind, CheckScope, Connect, Endpoint, FlushOnStop, Forwarding, HttpCheck, HttpProtocol, LvsSettings,
    RealServer, Regex, Script, SorryServer, SyncDaemon, Tls, TrackFile, Tunnel, TunnelChecksum, UdpReply, Url,
    VirtualRouter, VirtualServer,
};

/// What holds for all of them.
pub(super) fn settings(writer: &mut Writer, lvs: &LvsSettings, routers: &[VirtualRouter]) {
    let LvsSettings { timeouts, sync, flush, flush_on_stop, notify_fifo, init_notifies, log_all_failures, tls } = lvs;
    let Tls { ca, certificate, key, password } = tls;
    writer.table("[tls]");
    writer.path("ca", ca.as_deref());
    writer.path("certificate", certificate.as_deref());
    writer.path("key", key.as_deref());
    writer.some("password", password.as_ref().map(|password| string(password.reveal())));
    writer.table("[lvs]");
    if let Some((tcp, tcp_fin, udp)) = timeouts {
        let given = [("tcp", *tcp), ("tcp_fin", *tcp_fin), ("udp", *udp)].into_iter().filter(|(_, n)| *n > 0);
        let given: Vec<String> = given.map(|(key, seconds)| format!("{key} = \"{seconds}s\"")).collect();
        writer.key("timeouts", format!("{{ {} }}", given.join(", ")));
    }
    if let Some(sync) = sync {
        writer.key("sync", self::sync(sync, routers));
    }
    writer.unless(*flush, false, "flush");
    match flush_on_stop {
        FlushOnStop::Own => {}
        FlushOnStop::All => writer.key("flush_on_stop", "\"all\""),
        FlushOnStop::VirtualServers => writer.key("flush_on_stop", "\"virtual-servers\""),
    }
    notify::fifo(writer, "notify_fifo", notify_fifo.as_ref());
    writer.unless(*init_notifies, false, "init_notifies");
    writer.unless(*log_all_failures, false, "log_all_failures");
}

fn sync(sync: &SyncDaemon, routers: &[VirtualRouter]) -> String {
    let SyncDaemon { interface, router, id, max_length, port, group, ttl } = sync;
    let vrid = router.as_ref().and_then(|name| routers.iter().find(|r| r.name == *name)).map_or(0, |r| r.key.vrid);
    let mut keys = vec![format!("interface = {}", string(interface))];
    keys.extend(router.as_ref().map(|router| format!("router = {}", string(router))));
    keys.extend((*id != vrid).then(|| format!("id = {id}")));
    keys.extend((*max_length != 0).then(|| format!("max_length = {max_length}")));
    keys.extend((*port != 0).then(|| format!("port = {port}")));
    keys.extend(group.map(|group| format!("group = {}", string(group.to_string()))));
    keys.extend((*ttl != 0).then(|| format!("ttl = {ttl}")));
    format!("{{ {} }}", keys.join(", "))
}

/// A script, with its user where it has one of its own.
pub(super) fn script(script: &Script) -> String {
    let Script { command, user } = script;
    let command = words(command);
    let Some((user, group)) = user else { return command };
    let group = group.as_ref().map_or(String::new(), |group| format!(", group = {}", string(group)));
    format!("{{ command = {command}, user = {}{group} }}", string(user))
}

/// `forwarding` and what belongs to it.
fn forwarding(forwarding: Forwarding) -> Vec<(&'static str, String)> {
    let checksum = |sum| match sum {
        TunnelChecksum::None => None,
        TunnelChecksum::Checksum => Some(("tunnel_checksum", string("full"))),
        TunnelChecksum::Remote => Some(("tunnel_checksum", string("remote"))),
    };
    let (name, rest) = match forwarding {
        Forwarding::Nat => ("nat", Vec::new()),
        Forwarding::DirectRouting => ("dr", Vec::new()),
        Forwarding::Tunnel(Tunnel::Ipip) => ("tun", Vec::new()),
        Forwarding::Tunnel(Tunnel::Gue(port, sum)) => {
            ("gue", std::iter::once(("tunnel_port", port.to_string())).chain(checksum(sum)).collect())
        }
        Forwarding::Tunnel(Tunnel::Gre(sum)) => ("gre", checksum(sum).into_iter().collect()),
    };
    std::iter::once(("forwarding", string(name))).chain(rest).collect()
}

fn endpoint(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Address(address) => string(address.to_string()),
        Endpoint::Fwmark(mark, Family::Ipv4) => format!("{{ fwmark = {mark} }}"),
        Endpoint::Fwmark(mark, Family::Ipv6) => format!("{{ fwmark = {mark}, family = \"ipv6\" }}"),
    }
}

/// The name a server has without being given one.
fn own_name(server: &VirtualServer) -> Option<String> {
    match server.endpoints.as_slice() {
        [Endpoint::Fwmark(mark, Family::Ipv6)] => Some(format!("fwmark {mark} inet6")),
        [one] => Some(VirtualServer::new(*one, server.protocol).name),
        _ => None,
    }
}

/// One virtual server and all in it.
pub(super) fn server(writer: &mut Writer, lvs: &LvsSettings, files: &[TrackFile], server: &VirtualServer) {
    let VirtualServer {
        name,
        endpoints,
        protocol,
        family: _, // that of the endpoints
        scheduler,
        flag_1,
        flag_2,
        flag_3,
        one_packet,
        forwarding,
        persistence,
        granularity,
        persistence_engine,
        ha_suspend,
        alpha,
        omega,
        quorum,
        hysteresis,
        quorum_up,
        quorum_down,
        sorry_server,
        smtp_alert,
        check_scope,
        real_servers,
    } = server;
    writer.item("[[virtual_server]]");
    writer.some("name", (own_name(server).as_ref() != Some(name)).then(|| string(name)));
    match endpoints.as_slice() {
        [Endpoint::Address(address)] => writer.key("address", string(address.to_string())),
        [Endpoint::Fwmark(mark, family)] => {
            writer.key("fwmark", mark);
            writer.some("family", (*family == Family::Ipv6).then_some("\"ipv6\""));
        }
        several => writer.key("endpoints", list(several.iter().map(endpoint))),
    }
    let marks_only = endpoints.iter().all(|endpoint| matches!(endpoint, Endpoint::Fwmark(..)));
    writer.some("protocol", (!marks_only).then(|| string(protocol.name())));
    writer.key("scheduler", string(scheduler));
    let flags = [("flag-1", flag_1), ("flag-2", flag_2), ("flag-3", flag_3)];
    let flags: Vec<String> = flags.into_iter().filter(|(_, set)| **set).map(|(name, _)| string(name)).collect();
    writer.some("flags", (!flags.is_empty()).then(|| list(flags.into_iter())));
    writer.unless(*one_packet, false, "one_packet");
    self::forwarding(*forwarding).into_iter().for_each(|(key, value)| writer.key(key, value));
    writer.some("persistence", persistence.map(|seconds| format!("\"{seconds}s\"")));
    writer.some("granularity", *granularity);
    writer.some("persistence_engine", persistence_engine.as_ref().map(string));
    writer.unless(*ha_suspend, false, "ha_suspend");
    writer.unless(*alpha, false, "alpha");
    writer.unless(*omega, false, "omega");
    writer.unless(*quorum, 1, "quorum");
    writer.unless(*hysteresis, 0, "hysteresis");
    writer.some("quorum_up", quorum_up.as_ref().map(script));
    writer.some("quorum_down", quorum_down.as_ref().map(script));
    writer.some("sorry_server", sorry_server.as_ref().map(|sorry| self::sorry(sorry, *forwarding)));
    writer.some("alert", *smtp_alert);
    if *check_scope == CheckScope::Local {
        writer.key("check_scope", "\"local\"");
    }
    for real in real_servers {
        real_server(writer, real, server);
        for check in &real.checks {
            self::check(writer, check, &Around { real, server, lvs, files });
        }
    }
}

fn sorry(sorry: &SorryServer, default: Forwarding) -> String {
    let SorryServer { address, forwarding, inhibit } = sorry;
    let mut keys = vec![format!("address = {}", string(address.to_string()))];
    if *forwarding != default {
        keys.extend(self::forwarding(*forwarding).into_iter().map(|(key, value)| format!("{key} = {value}")));
    }
    keys.extend(inhibit.then(|| "inhibit = true".to_owned()));
    format!("{{ {} }}", keys.join(", "))
}

fn real_server(writer: &mut Writer, real: &RealServer, server: &VirtualServer) {
    let RealServer {
        address,
        weight,
        forwarding,
        upper_threshold,
        lower_threshold,
        inhibit_on_failure,
        notify_up,
        notify_down,
        smtp_alert,
        checks: _, // written after it
    } = real;
    writer.item("[[virtual_server.real_server]]");
    writer.key("address", string(address.to_string()));
    writer.unless(*weight, 1, "weight");
    if *forwarding != server.forwarding {
        self::forwarding(*forwarding).into_iter().for_each(|(key, value)| writer.key(key, value));
    }
    writer.unless(*upper_threshold, 0, "upper_threshold");
    writer.unless(*lower_threshold, 0, "lower_threshold");
    writer.unless(*inhibit_on_failure, false, "inhibit_on_failure");
    writer.some("notify_up", notify_up.as_ref().map(script));
    writer.some("notify_down", notify_down.as_ref().map(script));
    writer.some("alert", *smtp_alert);
    let alpha = alpha(real, server);
    writer.unless(alpha, server.alpha, "alpha");
    let file = |check: &&Check| matches!(check.kind, CheckKind::File { .. });
    if real.checks.iter().filter(file).any(|check| check.alpha != alpha) {
        writer.lost(format!("`{}`: real server {address} has file checks with and without `alpha`", server.name));
    }
}

/// What its checks take over: that of those which cannot say it for themselves.
fn alpha(real: &RealServer, server: &VirtualServer) -> bool {
    let file = real.checks.iter().find(|check| matches!(check.kind, CheckKind::File { .. }));
    file.map_or(server.alpha, |check| check.alpha)
}

/// What a check takes over where it says nothing.
struct Around<'a> {
    real: &'a RealServer,
    server: &'a VirtualServer,
    lvs: &'a LvsSettings,
    files: &'a [TrackFile],
}

impl Around<'_> {
    /// The real server's address, with the service's port where it has none.
    fn address(&self) -> SocketAddr {
        let mut address = self.real.address;
        let mut ports = self.server.endpoints.iter().filter_map(|endpoint| match endpoint {
            Endpoint::Address(address) => Some(address.port()),
            Endpoint::Fwmark(..) => None,
        });
        if let (0, Some(port)) = (address.port(), ports.next())
            && ports.all(|other| other == port)
        {
            address.set_port(port);
        }
        address
    }
}

fn check(writer: &mut Writer, check: &Check, around: &Around<'_>) {
    let Check { kind, connect, alpha, delay_loop, warmup, retry, delay_before_retry, log_all_failures } = check;
    writer.item("[[virtual_server.real_server.check]]");
    self::kind(writer, kind, connect, around);
    if !matches!(kind, CheckKind::Misc { .. } | CheckKind::File { .. } | CheckKind::Bfd { .. }) {
        let default = Connect::new(around.address());
        self::connect(connect, &default).into_iter().for_each(|(key, value)| writer.key(key, value));
    }
    if !matches!(kind, CheckKind::File { .. }) {
        writer.unless(*alpha, self::alpha(around.real, around.server), "alpha");
    }
    if matches!(kind, CheckKind::File { .. } | CheckKind::Bfd { .. }) {
        // They wait for news, not for a time.
        return;
    }
    let default = Check::new(kind.clone(), connect.to);
    writer.unless_time(*delay_loop, default.delay_loop, "delay_loop");
    writer.unless_time(*warmup, *delay_loop, "warmup");
    writer.unless(*retry, default.retry, "retry");
    let pause = if matches!(kind, CheckKind::Dns { .. }) { *delay_loop } else { default.delay_before_retry };
    writer.unless_time(*delay_before_retry, pause, "delay_before_retry");
    writer.unless(*log_all_failures, around.lvs.log_all_failures, "log_all_failures");
}

/// What differs from a connection that would be there anyhow.
fn connect(connect: &Connect, default: &Connect) -> Vec<(&'static str, String)> {
    let Connect { to, from, interface, fwmark, timeout } = connect;
    let mut keys = Vec::new();
    let mut add = |key, value: Option<String>| keys.extend(value.map(|value| (key, value)));
    add("address", (to.ip() != default.to.ip()).then(|| string(to.ip().to_string())));
    add("port", (to.port() != default.to.port()).then(|| to.port().to_string()));
    if from != &default.from
        && let Some((address, port)) = from
    {
        let unspecified = match address {
            IpAddr::V4(address) => address.is_unspecified(),
            IpAddr::V6(address) => address.is_unspecified(),
        };
        add("source", (!unspecified).then(|| string(address.to_string())));
        add("source_port", (*port != 0).then(|| port.to_string()));
    }
    add("interface", interface.as_ref().filter(|_| interface != &default.interface).map(string));
    add("fwmark", (*fwmark != default.fwmark).then(|| fwmark.to_string()));
    add("timeout", (*timeout != default.timeout).then(|| time(*timeout)));
    keys
}

fn kind(writer: &mut Writer, kind: &CheckKind, connection: &Connect, around: &Around<'_>) {
    let mut named = |name: &str| writer.key("type", string(name));
    match kind {
        CheckKind::Tcp => named("tcp"),
        CheckKind::Ping => named("ping"),
        CheckKind::Http(http) => {
            named(if http.tls { "https" } else { "http" });
            self::http(writer, http);
        }
        CheckKind::Smtp { helo_name, hosts } => {
            named("smtp");
            writer.some("helo_name", helo_name.as_ref().map(string));
            if hosts.as_slice() != std::slice::from_ref(connection) {
                writer.key(
                    "host",
                    list(hosts.iter().map(|host| {
                        let keys = connect(host, connection).into_iter().map(|(key, value)| format!("{key} = {value}"));
                        format!("{{ {} }}", keys.collect::<Vec<_>>().join(", "))
                    })),
                );
            }
        }
        CheckKind::Dns { record, name } => {
            named("dns");
            writer.some("record", (record != "SOA").then(|| string(record)));
            writer.some("domain", (name != ".").then(|| string(name)));
        }
        CheckKind::Misc { script, timeout, dynamic } => {
            named("script");
            writer.key("run", self::script(script));
            writer.key("run_timeout", time(*timeout));
            writer.unless(*dynamic, false, "dynamic");
        }
        CheckKind::Udp { payload, reply } => {
            named("udp");
            let bytes = |bytes: &[u8]| string(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
            writer.some("payload", payload.as_deref().map(bytes));
            reply.iter().for_each(|reply| udp_reply(writer, reply));
        }
        CheckKind::File { file, weight, reverse, dynamic } => {
            named("file");
            writer.key("file", string(file));
            let tracked = around.files.iter().find(|tracked| tracked.name == *file);
            if tracked.is_none_or(|tracked| (tracked.weight, tracked.reverse) != (*weight, *reverse)) {
                writer.key("weight", weight);
                writer.key("reverse", reverse);
            }
            writer.unless(*dynamic, *weight != 0, "dynamic");
        }
        CheckKind::Bfd { instance } => {
            named("bfd");
            writer.key("session", string(instance));
        }
    }
}

fn udp_reply(writer: &mut Writer, reply: &UdpReply) {
    let UdpReply { pattern, least, most } = reply;
    let digit = |value: u8, mask: u8| {
        if mask == 0 { 'X' } else { char::from_digit(value.into(), 16).unwrap_or('X') }
    };
    let text = pattern.iter().flat_map(|(value, mask)| [digit(value >> 4, mask >> 4), digit(value & 15, mask & 15)]);
    writer.key("reply", string(text.collect::<String>()));
    writer.unless(*least, 0, "min_reply");
    writer.unless(*most, 255, "max_reply");
}

fn http(writer: &mut Writer, http: &HttpCheck) {
    let HttpCheck { tls: _, protocol, sni, fast_recovery, urls } = http;
    match protocol {
        HttpProtocol::V10 => {}
        HttpProtocol::V10Close => writer.key("http_version", "\"1.0-close\""),
        HttpProtocol::V11 => writer.key("http_version", "\"1.1\""),
    }
    writer.some("sni_name", sni.as_ref().map(string));
    writer.unless(*fast_recovery, false, "fast_recovery");
    writer.key("url", list(urls.iter().map(url)));
}

fn url(url: &Url) -> String {
    let Url { path, virtualhost, digest, status, regex } = url;
    let mut keys = vec![format!("path = {}", string(path))];
    keys.extend(virtualhost.as_ref().map(|host| format!("virtualhost = {}", string(host))));
    keys.extend(digest.as_ref().map(|digest| format!("digest = {}", string(digest))));
    let default = if digest.is_some() { (100, 599) } else { (200, 299) };
    if status.as_slice() != [default] {
        let ranges = status.iter().map(|(first, last)| match first == last {
            true => first.to_string(),
            false => string(format!("{first}-{last}")),
        });
        keys.push(format!("status = {}", list(ranges)));
    }
    keys.extend(regex.as_ref().map(|regex| format!("regex = {}", self::regex(regex))));
    format!("{{ {} }}", keys.join(", "))
}

fn regex(regex: &Regex) -> String {
    let Regex { pattern, options, no_match, offsets: (least, most) } = regex;
    let mut keys = vec![format!("pattern = {}", string(pattern))];
    keys.extend((!options.is_empty()).then(|| format!("options = {}", words(options))));
    keys.extend(no_match.then(|| "no_match = true".to_owned()));
    keys.extend((*least != 0).then(|| format!("min_offset = {least}")));
    keys.extend(most.map(|most| format!("max_offset = {most}")));
    format!("{{ {} }}", keys.join(", "))
}
