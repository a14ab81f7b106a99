//! keepalived.stats.

use mesh_core::{Counters, Dump};

/// All routers' counters.
pub(super) fn text(dump: &Dump) -> String {
    dump.routers.iter().map(|router| of_router(&router.config.name, &router.counters)).collect()
}

fn of_router(name: &str, counters: &Counters) -> String {
    let Counters {
        received,
        sent,
        became_active,
        released_active,
        length_errors,
        ttl_errors,
        invalid_types,
        interval_errors,
        address_list_errors,
        invalid_authentications,
        authentication_mismatches,
        authentication_failures,
        resignations_received,
        resignations_sent,
    } = counters;
    format!(
        "VRRP Instance: {name}
  Advertisements:
    Received: {received}
    Sent: {sent}
  Became master: {became_active}
  Released master: {released_active}
  Packet Errors:
    Length: {length_errors}
    TTL: {ttl_errors}
    Invalid Type: {invalid_types}
    Advertisement Interval: {interval_errors}
    Address List: {address_list_errors}
  Authentication Errors:
    Invalid Type: {invalid_authentications}
    Type Mismatch: {authentication_mismatches}
    Failure: {authentication_failures}
  Priority Zero:
    Received: {resignations_received}
    Sent: {resignations_sent}
"
    )
}
