//! A short name for what has to be equal on all directors.

use std::net::SocketAddr;

use crate::model::{
    AntiReplay, Config, Endpoint, Forwarding, SyncGroup, Tunnel, TunnelChecksum, Version, VirtualRouter, VirtualServer,
};

impl Config {
    /// Sixteen hexadecimal digits over what all directors have to agree on: for every router its
    /// key, version, advert interval, addresses (without prefix length, in any order), how adverts
    /// are authenticated (but no secret), where they go, how many may be missing, their virtual MAC address
    /// where they have one, whether it is spread and what it is kept apart from; which of them move
    /// together; for every virtual server what it listens for, how it schedules,
    /// flags, persistence, quorum, and its real servers, in any order. Priority, interface, state and
    /// name may differ from host to host, and so may checks and scripts.
    ///
    /// The digest is the same over versions of this program and over hosts; it guards against
    /// drift, not against an attacker.
    pub fn digest(&self) -> String {
        let routers = self.routers.iter().map(|router| describe(router) + &self.describe_place(router));
        let groups = self.sync_groups.iter().map(|group| self.describe_group(group));
        let servers = self.virtual_servers.iter().map(describe_server);
        let mut lines: Vec<String> = routers.chain(groups).chain(servers).collect();
        lines.sort_unstable();
        format!("{:016x}", fnv1a(lines.join("\n").as_bytes()))
    }

    /// Nothing where configured priorities decide.
    fn describe_place(&self, router: &VirtualRouter) -> String {
        let mut text = if self.spreads(router) { " spread".to_owned() } else { String::new() };
        let apart = router.keep_apart.iter().flat_map(|name| self.routers_named(name));
        let mut apart: Vec<_> = apart.map(|r| r.key.to_string()).collect();
        apart.sort_unstable();
        apart.dedup();
        if !apart.is_empty() {
            text += &format!(" apart {}", apart.join(","));
        }
        text
    }

    /// By the members' keys: names may differ.
    fn describe_group(&self, group: &SyncGroup) -> String {
        let members = self.routers.iter().filter(|r| group.routers.contains(&r.name));
        format!("group {}", sorted(members.map(|r| r.key.to_string())))
    }
}

fn describe(router: &VirtualRouter) -> String {
    let version = match router.version {
        Version::V2 => 2,
        Version::V3 => 3,
    };
    let list = |addresses: &[crate::model::VirtualAddress]| {
        let mut list: Vec<_> = addresses.iter().map(|a| a.net.addr()).collect();
        list.sort_unstable();
        list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    let vmac = router.vmac.as_ref().map_or_else(String::new, |v| format!(" vmac {:?}", v.mac));
    format!(
        "{} v{version} {}ms auth={} {} excluded {}{vmac}{}",
        router.key,
        router.advert_interval.as_millis(),
        router.auth_pass.is_some(),
        list(&router.addresses),
        list(&router.excluded_addresses),
        beyond(router)
    )
}

/// What most routers leave at its default: it is not in their digests, which stay what they were.
fn beyond(router: &VirtualRouter) -> String {
    let mut parts = String::new();
    if router.auth_header {
        parts.push_str(" header");
    }
    if let Some(hmac) = &router.auth_hmac {
        let replay = match hmac.anti_replay {
            AntiReplay::Time(_) => "time",
            AntiReplay::Monotonic => "monotonic",
        };
        parts.push_str(&format!(" signed {replay}"));
    }
    if let Some(group) = router.conduct.group {
        parts.push_str(&format!(" to {group}"));
    }
    if router.conduct.down_timer_adverts != 3 {
        parts.push_str(&format!(" down {}", router.conduct.down_timer_adverts));
    }
    parts
}

fn describe_server(server: &VirtualServer) -> String {
    let protocol = server.protocol.name();
    let endpoints = sorted(server.endpoints.iter().map(|endpoint| match endpoint {
        Endpoint::Address(address) => format!("{address}/{protocol}"),
        Endpoint::Fwmark(mark, family) => format!("fwmark {mark}/{}", *family as u8),
    }));
    let flags = [server.flag_1, server.flag_2, server.flag_3, server.one_packet].map(u8::from);
    let number = |n: Option<u32>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let sorry = server.sorry_server.as_ref().map(|s| destination(s.address, s.forwarding));
    let reals = sorted(server.real_servers.iter().map(|real| {
        let limits = format!("{}-{}", real.lower_threshold, real.upper_threshold);
        format!("{} weight {} limits {limits}", destination(real.address, real.forwarding), real.weight)
    }));
    format!(
        "service {endpoints} {} flags {flags:?} persistence {} {} {} quorum {} {} sorry {} real {reals}",
        server.scheduler,
        number(server.persistence),
        number(server.granularity.map(u32::from)),
        server.persistence_engine.as_deref().unwrap_or("-"),
        server.quorum,
        server.hysteresis,
        sorry.as_deref().unwrap_or("-"),
    )
}

/// In one order, whatever that of the file.
fn sorted(parts: impl Iterator<Item = String>) -> String {
    let mut parts: Vec<String> = parts.collect();
    parts.sort_unstable();
    parts.join(",")
}

fn destination(address: SocketAddr, forwarding: Forwarding) -> String {
    let checksum = |checksum: TunnelChecksum| match checksum {
        TunnelChecksum::None => "none",
        TunnelChecksum::Checksum => "full",
        TunnelChecksum::Remote => "remote",
    };
    let how = match forwarding {
        Forwarding::Nat => "nat".to_owned(),
        Forwarding::DirectRouting => "dr".to_owned(),
        Forwarding::Tunnel(Tunnel::Ipip) => "ipip".to_owned(),
        Forwarding::Tunnel(Tunnel::Gue(port, sum)) => format!("gue {port} {}", checksum(sum)),
        Forwarding::Tunnel(Tunnel::Gre(sum)) => format!("gre {}", checksum(sum)),
    };
    format!("{address} {how}")
}

/// FNV-1a, 64 bit.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
