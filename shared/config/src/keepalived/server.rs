//! `virtual_server`: read into the model, not acted upon by this version.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::keywords::{Context, HTTP_CHECK, REAL_SERVER, TCP_CHECK, URL, VIRTUAL_SERVER};
use super::lower::Lower;
use super::tree::{Block, Statement};
use super::values;
use crate::model::{
    Check, CheckKind, Config, Endpoint, Forwarding, HttpCheck, Protocol, RealServer, Tunnel, Url, VirtualServer,
};

/// The schedulers of ip_vs.
const SCHEDULERS: &[&str] =
    &["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh", "mh", "dh", "fo", "ovf", "sed", "nq", "twos"];
/// `persistence_timeout` without a value.
const DEFAULT_PERSISTENCE: u32 = 360;

/// Says once that no service is set up.
pub(super) fn not_served(lower: &mut Lower<'_>, statements: &[Statement<'_>]) {
    let mut services = statements.iter().filter(|s| s.keyword() == "virtual_server" && s.block.is_some());
    if let Some(first) = services.next() {
        let count = services.count() + 1;
        let message = format!("virtual servers ({count}) are read and checked, but not set up by this version");
        lower.warning(first.at(), message);
    }
}

pub(super) fn lower(lower: &mut Lower<'_>, config: &mut Config, statement: &Statement<'_>, block: &Block<'_>) {
    if let Some(word @ ("fwmark" | "group")) = statement.parameters().first().map(|w| &*w.text) {
        let message = format!("`virtual_server {word}` is not supported yet; left out");
        return lower.warning(statement.parameters()[0].at, message);
    }
    let Some(address) = address(lower, statement) else { return };
    let mut protocol = None;
    let mut scheduler = None;
    let mut forwarding = None;
    let mut delay_loop = Duration::from_secs(60);
    let mut server = VirtualServer::new(Endpoint::Address(address), Protocol::Udp);
    for statement in &block.statements {
        if lower.language(statement) {
            continue;
        }
        match (statement.keyword(), &statement.block) {
            ("real_server", _) => {
                real_server(lower, &mut server, statement);
                continue;
            }
            ("delay_loop", _) => set(&mut delay_loop, timer(lower, statement)),
            ("lb_algo" | "lvs_sched", _) => scheduler = scheduler_of(lower, statement).or(scheduler),
            ("lb_kind" | "lvs_method", _) => forwarding = forwarding_of(lower, statement).or(forwarding),
            ("protocol", _) => protocol = protocol_of(lower, statement).or(protocol),
            ("persistence_timeout", _) => persistence(lower, &mut server, statement),
            ("nat_mask", _) => {
                lower.warning(statement.at(), "`nat_mask` is obsolete and without effect; skipped".into());
            }
            _ => {
                lower.other(&VIRTUAL_SERVER, statement);
                continue;
            }
        }
        lower.no_block(statement);
    }
    if server.real_servers.is_empty() {
        return lower.warning(statement.at(), format!("virtual server {address} has no real server; left out"));
    }
    let missing = [
        ("`protocol`: UDP", protocol.is_none()),
        ("`lb_algo`: wlc", scheduler.is_none()),
        ("`lb_kind`: NAT", forwarding.is_none()),
    ];
    for (what, _) in missing.iter().filter(|(_, missing)| *missing) {
        lower.warning(statement.at(), format!("virtual server {address} has no {what} is used"));
    }
    set(&mut server.protocol, protocol);
    set(&mut server.scheduler, scheduler);
    set(&mut server.forwarding, forwarding);
    server.name = format!("{address}/{}", server.protocol.name());
    for real in &mut server.real_servers {
        real.forwarding = server.forwarding;
        for check in &mut real.checks {
            (check.delay_loop, check.warmup) = (delay_loop, delay_loop);
        }
    }
    config.virtual_servers.push(server);
}

fn set<T>(to: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *to = value;
    }
}

/// `ADDRESS PORT` behind the keyword; without a port, port 0.
fn address(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<SocketAddr> {
    let host = lower.parameter(statement, "an IP address and a port")?;
    let port = match statement.parameters().get(1) {
        None => Some(0),
        Some(word) => values::unsigned(&word.text).and_then(|n| u16::try_from(n).ok()),
    };
    let address = host.text.parse::<IpAddr>().ok().zip(port).map(SocketAddr::from);
    if address.is_none() {
        let keyword = statement.keyword();
        lower.warning(host.at, format!("`{keyword}` needs an IP address and a port from 1 to 65535; left out"));
    }
    address
}

fn scheduler_of(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<String> {
    let read = |w: &str| SCHEDULERS.contains(&w).then(|| w.to_string());
    lower.value(statement, "a scheduler such as rr, wrr, lc, wlc or sh", "skipped", read)
}

fn forwarding_of(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<Forwarding> {
    lower.value(statement, "NAT, DR or TUN", "skipped", |w| match w {
        "NAT" => Some(Forwarding::Nat),
        "DR" => Some(Forwarding::DirectRouting),
        "TUN" => Some(Forwarding::Tunnel(Tunnel::Ipip)),
        _ => None,
    })
}

fn protocol_of(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<Protocol> {
    lower.value(statement, "TCP, UDP or SCTP", "skipped", |w| match w.to_ascii_uppercase().as_str() {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    })
}

fn persistence(lower: &mut Lower<'_>, server: &mut VirtualServer, statement: &Statement<'_>) {
    if statement.parameters().is_empty() {
        server.persistence = Some(DEFAULT_PERSISTENCE);
        return;
    }
    // 31 days, the limit of ip_vs.
    let read =
        |w: &str| values::unsigned(w).filter(|n| (1..=2_678_400).contains(n)).and_then(|n| u32::try_from(n).ok());
    if let Some(seconds) = lower.value(statement, "whole seconds from 1 to 2678400", "skipped", read) {
        server.persistence = Some(seconds);
    }
}

/// A time above zero.
fn timer(lower: &mut Lower<'_>, statement: &Statement<'_>) -> Option<Duration> {
    let longest = Duration::from_micros(u32::MAX.into());
    lower.value(statement, "seconds above 0, at most 4294.967295", "skipped", |w| {
        values::seconds(w).filter(|d| !d.is_zero() && *d <= longest)
    })
}

fn real_server(lower: &mut Lower<'_>, server: &mut VirtualServer, statement: &Statement<'_>) {
    let Some(address) = address(lower, statement) else { return };
    if !server.addresses().all(|vip| vip.is_ipv4() == address.is_ipv4()) {
        let message = format!("{} and {} are of two families; the real server is left out", address.ip(), server.name);
        return lower.warning(statement.at(), message);
    }
    let mut real = RealServer::new(address, Forwarding::Nat);
    let Some(block) = &statement.block else {
        lower.warning(statement.at(), "`real_server` has no block; expected `{` after it; defaults are used".into());
        server.real_servers.push(real);
        return;
    };
    for statement in &block.statements {
        if lower.language(statement) {
            continue;
        }
        match (statement.keyword(), &statement.block) {
            ("TCP_CHECK", Some(block)) => real.checks.push(tcp_check(lower, address, block)),
            ("HTTP_GET", Some(block)) => real.checks.extend(http_check(lower, address, statement, block, false)),
            ("SSL_GET", Some(block)) => real.checks.extend(http_check(lower, address, statement, block, true)),
            (keyword @ ("TCP_CHECK" | "HTTP_GET" | "SSL_GET"), None) => {
                lower.warning(statement.at(), format!("`{keyword}` has no block; expected `{{` after it; skipped"));
            }
            ("weight", _) => {
                let read = |w: &str| values::unsigned(w).filter(|n| *n <= 65535).and_then(|n| u32::try_from(n).ok());
                set(&mut real.weight, lower.value(statement, "a number from 0 to 65535", "skipped", read));
                lower.no_block(statement);
            }
            _ => lower.other(&REAL_SERVER, statement),
        }
    }
    server.real_servers.push(real);
}

fn tcp_check(lower: &mut Lower<'_>, to: SocketAddr, block: &Block<'_>) -> Check {
    let mut check = Check::new(CheckKind::Tcp, to);
    for statement in &block.statements {
        check_keyword(lower, &TCP_CHECK, &mut check, statement);
    }
    check
}

fn http_check(
    lower: &mut Lower<'_>,
    to: SocketAddr,
    outer: &Statement<'_>,
    block: &Block<'_>,
    tls: bool,
) -> Option<Check> {
    let mut check = Check::new(CheckKind::Http(HttpCheck::new(tls, Vec::new())), to);
    let mut urls = Vec::new();
    for statement in &block.statements {
        match (statement.keyword(), &statement.block) {
            ("url", Some(block)) => urls.extend(url(lower, statement, block)),
            ("url", None) => lower.warning(statement.at(), "`url` has no block; expected `{` after it; skipped".into()),
            _ => check_keyword(lower, &HTTP_CHECK, &mut check, statement),
        }
    }
    if urls.is_empty() {
        // keepalived 2.2.7 crashes here.
        let message = format!("`{}` has no `url` with a `path`; the check is left out", outer.keyword());
        lower.warning(outer.at(), message);
        return None;
    }
    check.kind = CheckKind::Http(HttpCheck::new(tls, urls));
    Some(check)
}

fn check_keyword(lower: &mut Lower<'_>, context: &Context, check: &mut Check, statement: &Statement<'_>) {
    if lower.language(statement) {
        return;
    }
    match statement.keyword() {
        "connect_timeout" => set(&mut check.connect.timeout, timer(lower, statement)),
        "connect_port" => {
            let read = |w: &str| values::unsigned(w).and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
            if let Some(port) = lower.value(statement, "a port from 1 to 65535", "skipped", read) {
                check.connect.to.set_port(port);
            }
        }
        keyword @ ("retry" | "nb_get_retry") => {
            if keyword == "nb_get_retry" {
                lower.warning(statement.at(), "`nb_get_retry` is the old name of `retry`; read as that".into());
            }
            let read = |w: &str| values::unsigned(w).and_then(|n| u32::try_from(n).ok());
            set(&mut check.retry, lower.value(statement, "a number", "skipped", read));
        }
        "delay_before_retry" => {
            let read = |w: &str| values::seconds(w).filter(|d| *d <= Duration::from_micros(u32::MAX.into()));
            set(&mut check.delay_before_retry, lower.value(statement, "seconds, at most 4294.967295", "skipped", read));
        }
        _ => return lower.other(context, statement),
    }
    lower.no_block(statement);
}

fn url(lower: &mut Lower<'_>, outer: &Statement<'_>, block: &Block<'_>) -> Option<Url> {
    let mut path = None;
    let mut url = Url::new(String::new());
    for statement in &block.statements {
        if lower.language(statement) {
            continue;
        }
        match statement.keyword() {
            "path" => path = lower.parameter(statement, "a path").map(|w| w.text.to_string()).or(path),
            "digest" => {
                let read = |w: &str| is_md5(w).then(|| w.to_ascii_lowercase());
                url.digest = lower.value(statement, "32 hexadecimal digits", "skipped", read).or(url.digest);
            }
            "status_code" => status(lower, &mut url, statement),
            _ => {
                lower.other(&URL, statement);
                continue;
            }
        }
        lower.no_block(statement);
    }
    if path.is_none() {
        lower.warning(outer.at(), "`url` has no `path`; left out".into());
    }
    path.map(|path| Url { path, ..url })
}

fn is_md5(word: &str) -> bool {
    word.len() == 32 && word.bytes().all(|b| b.is_ascii_hexdigit())
}

/// One code; keepalived also takes ranges and lists.
fn status(lower: &mut Lower<'_>, url: &mut Url, statement: &Statement<'_>) {
    let read = |w: &str| values::unsigned(w).filter(|n| (100..=599).contains(n)).and_then(|n| u16::try_from(n).ok());
    if let Some(status) = lower.value(statement, "one code from 100 to 599", "skipped", read) {
        url.status = vec![(status, status)];
    }
    if let Some(word) = statement.parameters().get(1) {
        lower.warning(word.at, "only one status code is supported yet; the first is used".into());
    }
}
