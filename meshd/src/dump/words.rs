//! Words that several of the files share.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use mesh_config::model::{Forwarding, Protocol, Script, Tunnel, TunnelChecksum, VirtualAddress, VirtualRouter};
use mesh_core::vrrp::State;
use mesh_wire::mesh::Family;

pub(super) fn on(switch: bool, yes: &'static str, no: &'static str) -> &'static str {
    if switch { yes } else { no }
}

/// INIT is never shown by name: until its interface is there, a router is faulty.
pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Initialize => "FAULT",
        State::Backup { .. } => "BACKUP",
        State::Active { .. } => "MASTER",
    }
}

/// `1795677137.145689 (Thu Nov 26 07:12:17.145689 2026)`; the words in UTC.
pub(super) fn moment(at: Duration) -> String {
    let micros = at.subsec_micros();
    let seconds = i64::try_from(at.as_secs()).unwrap_or(i64::MAX);
    let words = jiff::Timestamp::from_second(seconds).map(|t| t.strftime("%a %b %d %H:%M:%S").to_string());
    let year = jiff::Timestamp::from_second(seconds).map(|t| t.strftime("%Y").to_string());
    format!("{}.{micros:06} ({}.{micros:06} {})", at.as_secs(), words.unwrap_or_default(), year.unwrap_or_default())
}

/// `10.0.0.1/24 brd 10.0.0.255 dev eth0 scope global label eth0:1 set`.
pub(super) fn address(router: &VirtualRouter, address: &VirtualAddress, set: bool) -> String {
    let net = address.net;
    let whole = net.prefix_len() == net.max_prefix_len();
    let mut text = if whole { net.addr().to_string() } else { net.to_string() };
    if let Some(broadcast) = address.broadcast {
        let _ = write!(text, " brd {broadcast}");
    }
    let _ = write!(text, " dev {} scope {}", router.interface_of(address), scope(address.scope));
    if let Some(label) = &address.label {
        let _ = write!(text, " label {label}");
    }
    if net.addr().is_ipv6() {
        text.push_str(on(whole, " preferred_lft 0", " preferred_lft forever"));
    }
    text + on(set, " set", "")
}

fn scope(scope: mesh_config::model::Scope) -> &'static str {
    use mesh_config::model::Scope;
    match scope {
        Scope::Global => "global",
        Scope::Site => "site",
        Scope::Link => "link",
        Scope::Host => "host",
        Scope::Nowhere => "nowhere",
    }
}

/// `'/usr/bin/true' 'a'`.
pub(super) fn command(words: &[String]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ")
}

/// A command, and who runs it where that is declared.
pub(super) fn script(script: &Script) -> String {
    let user = script.user.as_ref().map(|(user, group)| match group {
        Some(group) => format!(", user:group {user}:{group}"),
        None => format!(", user {user}"),
    });
    command(&script.command) + &user.unwrap_or_default()
}

pub(super) fn family(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "inet",
        Family::Ipv6 => "inet6",
    }
}

pub(super) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
        Protocol::Sctp => "SCTP",
    }
}

/// `[10.0.0.1]:tcp:80`.
pub(super) fn endpoint(address: SocketAddr, protocol: Protocol) -> String {
    format!("[{}]:{}:{}", address.ip(), protocol.name(), address.port())
}

pub(super) fn forwarding(forwarding: Forwarding) -> String {
    let checksum = |checksum| match checksum {
        TunnelChecksum::None => "",
        TunnelChecksum::Checksum => ", checksum",
        TunnelChecksum::Remote => ", remote checksum",
    };
    match forwarding {
        Forwarding::Nat => "NAT".to_owned(),
        Forwarding::DirectRouting => "DR".to_owned(),
        Forwarding::Tunnel(Tunnel::Ipip) => "TUN, type = IPIP".to_owned(),
        Forwarding::Tunnel(Tunnel::Gue(port, sum)) => format!("TUN, type = GUE, port = {port}{}", checksum(sum)),
        Forwarding::Tunnel(Tunnel::Gre(sum)) => format!("TUN, type = GRE{}", checksum(sum)),
    }
}
