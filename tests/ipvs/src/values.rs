//! Services, written shortly.

use std::net::SocketAddr;

use mesh_config::model::Protocol;
use mesh_core::ipvs::{
    Change, Destination, DestinationKey, Forwarding, Pool, Service, ServiceKey, SyncDaemon, SyncRole, Table,
};
use mesh_wire::mesh::Family;

/// A TCP service at an address and port.
pub fn tcp(at: &str) -> ServiceKey {
    key(at, Protocol::Tcp)
}

/// A UDP service at an address and port.
pub fn udp(at: &str) -> ServiceKey {
    key(at, Protocol::Udp)
}

/// A service at an address and port.
pub fn key(at: &str, protocol: Protocol) -> ServiceKey {
    let at = socket(at);
    ServiceKey::Address { address: at.ip(), port: at.port(), protocol }
}

/// A service of marked packets.
pub fn mark(mark: u32, family: Family) -> ServiceKey {
    ServiceKey::Fwmark { mark, family }
}

/// With this scheduler and nothing else.
pub fn service(scheduler: &str) -> Service {
    Service { scheduler: scheduler.into(), ..Service::default() }
}

/// A destination's address and port.
pub fn to(at: &str) -> DestinationKey {
    socket(at).into()
}

/// Reached in this way, with weight 1 and no limits.
pub fn by(forwarding: Forwarding) -> Destination {
    Destination::new(1, forwarding)
}

/// A service with destinations that are all alike.
pub fn pool(scheduler: &str, destination: Destination, at: &[&str]) -> Pool {
    let destinations = at.iter().map(|at| (to(at), destination)).collect();
    Pool { service: service(scheduler), destinations }
}

/// A synchronisation daemon on an interface; the kernel chooses the rest.
pub fn sync(role: SyncRole, interface: &str) -> SyncDaemon {
    SyncDaemon { role, interface: interface.into(), id: 51, maxlen: None, group: None, port: None, ttl: None }
}

/// What makes a table out of nothing.
pub fn all_of(table: &Table) -> Vec<Change> {
    mesh_core::ipvs::reconcile::table(table, &Table::new(), &Default::default())
}

fn socket(at: &str) -> SocketAddr {
    at.parse().unwrap_or_else(|_| panic!("{at} is no address and port"))
}
