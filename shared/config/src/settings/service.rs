//! Those of a virtual server.

use std::net::SocketAddr;

use super::{List, Subject, flag, listed, put, sorted};
use crate::model::{Endpoint, Forwarding, Tunnel, TunnelChecksum, VirtualServer};

/// A virtual server, by what it listens for.
pub(super) fn subject(server: &VirtualServer) -> (String, Subject) {
    let protocol = server.protocol.name();
    let endpoints = sorted(server.endpoints.iter().map(|endpoint| match endpoint {
        Endpoint::Address(address) => format!("{address}/{protocol}"),
        Endpoint::Fwmark(mark, family) => format!("fwmark {mark}/{family}"),
    }));
    let mut list = List::new();
    scheduling(server, &mut list);
    pool(server, &mut list);
    (endpoints.join(" "), Subject { name: server.name.clone(), settings: list, adverts: None })
}

fn scheduling(server: &VirtualServer, list: &mut List) {
    put(list, "lvs_sched", &server.scheduler, false);
    flag(list, "flag-1", server.flag_1);
    flag(list, "flag-2", server.flag_2);
    flag(list, "flag-3", server.flag_3);
    flag(list, "ops", server.one_packet);
    let number = |n: Option<u32>| n.map_or_else(|| "none".to_owned(), |n| n.to_string());
    put(list, "persistence_timeout", number(server.persistence), server.persistence.is_none());
    let granularity = server.granularity.map(u32::from);
    put(list, "persistence_granularity", number(granularity), granularity.is_none());
    let engine = server.persistence_engine.as_deref();
    put(list, "persistence_engine", engine.unwrap_or("none"), engine.is_none());
}

fn pool(server: &VirtualServer, list: &mut List) {
    put(list, "quorum", server.quorum.to_string(), server.quorum == 1);
    put(list, "hysteresis", server.hysteresis.to_string(), server.hysteresis == 0);
    let sorry = server.sorry_server.as_ref().map(|s| format!("{} {}", s.address, how(s.forwarding)));
    put(list, "sorry_server", sorry.as_deref().unwrap_or("none"), sorry.is_none());
    for real in &server.real_servers {
        let limits = match (real.lower_threshold, real.upper_threshold) {
            (0, 0) => String::new(),
            (lower, upper) => format!(" lthreshold {lower} uthreshold {upper}"),
        };
        let value = format!("{} weight {}{limits}", how(real.forwarding), real.weight);
        put(list, real_server(real.address), value, false);
    }
    if server.real_servers.is_empty() {
        put(list, "real_server", listed(&[]), false);
    }
}

fn real_server(address: SocketAddr) -> String {
    format!("real_server {address}")
}

fn how(forwarding: Forwarding) -> String {
    let checksum = |checksum: TunnelChecksum| match checksum {
        TunnelChecksum::None => "",
        TunnelChecksum::Checksum => " csum",
        TunnelChecksum::Remote => " remcsum",
    };
    match forwarding {
        Forwarding::Nat => "nat".to_owned(),
        Forwarding::DirectRouting => "dr".to_owned(),
        Forwarding::Tunnel(Tunnel::Ipip) => "tun".to_owned(),
        Forwarding::Tunnel(Tunnel::Gue(port, sum)) => format!("gue port {port}{}", checksum(sum)),
        Forwarding::Tunnel(Tunnel::Gre(sum)) => format!("gre{}", checksum(sum)),
    }
}
