//! keepalived's words for services: what FIFOs and mails say, byte for byte.

use std::net::SocketAddr;

use mesh_config::model::{Endpoint, Forwarding, RealServer, VirtualServer};

/// `[10.0.0.1]:tcp:80`, `FWM 7` or `[GROUP]:0`.
pub(super) fn virtual_server(server: &VirtualServer) -> String {
    match server.endpoints.first() {
        Some(Endpoint::Address(address)) if !is_group(server) => trio(*address, server),
        Some(Endpoint::Fwmark(mark, _)) if !is_group(server) => format!("FWM {mark}"),
        _ => format!("[{}]:0", group(server)),
    }
}

/// `[10.0.0.2]:tcp:80`; behind a mark there is no protocol: `[10.0.0.2]:none:0`.
pub(super) fn real_server(server: &VirtualServer, real: &RealServer) -> String {
    trio(shown(server, real), server)
}

/// The address by which keepalived knows a real server: without NAT the port is the service's.
fn shown(server: &VirtualServer, real: &RealServer) -> SocketAddr {
    if is_group(server) {
        return real.address;
    }
    let endpoint = server.endpoints.first().copied();
    endpoint.map_or(real.address, |endpoint| destination(real.address, real.forwarding, endpoint))
}

/// Where ip_vs sends what comes in at `endpoint`: only NAT changes the port.
pub(super) fn destination(address: SocketAddr, forwarding: Forwarding, endpoint: Endpoint) -> SocketAddr {
    let port = match (endpoint, forwarding) {
        (Endpoint::Address(service), Forwarding::Nat) if address.port() == 0 => service.port(),
        (_, Forwarding::Nat) => address.port(),
        (Endpoint::Address(service), _) => service.port(),
        (Endpoint::Fwmark(..), _) => 0,
    };
    SocketAddr::new(address.ip(), port)
}

fn trio(address: SocketAddr, server: &VirtualServer) -> String {
    let marks_only = server.endpoints.iter().all(|e| matches!(e, Endpoint::Fwmark(..)));
    let protocol = if marks_only { "none" } else { server.protocol.name() };
    format!("[{}]:{protocol}:{}", address.ip(), address.port())
}

/// Whether it is declared by a `virtual_server_group`: what is not is called by its endpoint.
fn is_group(server: &VirtualServer) -> bool {
    match server.endpoints.as_slice() {
        [only] => VirtualServer::new(*only, server.protocol).name != server.name,
        _ => true,
    }
}

/// The group's name, without the protocol that tells several users of a group apart.
fn group(server: &VirtualServer) -> &str {
    let suffix = format!("/{}", server.protocol.name());
    server.name.strip_suffix(&suffix).unwrap_or(&server.name)
}
