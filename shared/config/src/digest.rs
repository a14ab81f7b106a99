//! A short name for what has to be equal on all directors.

use crate::model::{Config, Version};

impl Config {
    /// Sixteen hexadecimal digits over what all directors have to agree on: for every router its
    /// key, version, advert interval, addresses (without prefix length, in any order) and whether
    /// adverts carry a password. Priority, interface, state and name may differ from host to host.
    ///
    /// The digest is the same over versions of this program and over hosts; it guards against
    /// drift, not against an attacker.
    pub fn digest(&self) -> String {
        let mut routers: Vec<String> = self.routers.iter().map(describe).collect();
        routers.sort_unstable();
        format!("{:016x}", fnv1a(routers.join("\n").as_bytes()))
    }
}

fn describe(router: &crate::model::VirtualRouter) -> String {
    let version = match router.version {
        Version::V2 => 2,
        Version::V3 => 3,
    };
    let list = |addresses: &[crate::model::VirtualAddress]| {
        let mut list: Vec<_> = addresses.iter().map(|a| a.net.addr()).collect();
        list.sort_unstable();
        list.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
    };
    format!(
        "{} v{version} {}ms auth={} {} excluded {}",
        router.key,
        router.advert_interval.as_millis(),
        router.auth_pass.is_some(),
        list(&router.addresses),
        list(&router.excluded_addresses)
    )
}

/// FNV-1a, 64 bit.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests;
