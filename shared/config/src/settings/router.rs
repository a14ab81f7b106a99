//! Those of a virtual router.

use std::time::Duration;

use super::{Adverts, List, Subject, flag, listed, put, sorted};
use crate::model::{AntiReplay, Config, Transport, Version, VirtualAddress, VirtualRouter, Vmac};

impl Config {
    /// A router, by what it is for all directors.
    pub(super) fn router_subject(&self, router: &VirtualRouter) -> Subject {
        let mut list = List::new();
        wire(router, &mut list);
        addresses(router, &mut list);
        self.place(router, &mut list);
        Subject { name: router.name.clone(), settings: list, adverts: Some(Adverts::of(router)) }
    }

    /// Where it is served, and with what.
    fn place(&self, router: &VirtualRouter, list: &mut List) {
        flag(list, "spread", self.spreads(router));
        let keys = |routers: &mut dyn Iterator<Item = &VirtualRouter>| {
            let mut keys = sorted(routers.filter(|r| r.key != router.key).map(|r| r.key.to_string()));
            keys.dedup();
            keys
        };
        let apart = keys(&mut router.keep_apart.iter().flat_map(|name| self.routers_named(name)));
        put(list, "keep_apart", listed(&apart), apart.is_empty());
        // By the members' keys: names may differ.
        let members = self.group_of(router).map(|group| &group.routers);
        let beside = keys(&mut self.routers.iter().filter(|r| members.is_some_and(|m| m.contains(&r.name))));
        put(list, "vrrp_sync_group", listed(&beside), beside.is_empty());
    }
}

/// How its adverts are.
fn wire(router: &VirtualRouter, list: &mut List) {
    let version = match router.version {
        Version::V2 => "2",
        Version::V3 => "3",
    };
    put(list, "version", version, false);
    put(list, "advert_int", seconds(router.advert_interval), false);
    let auth = match (&router.auth_pass, router.auth_header) {
        (None, _) => "none",
        (Some(_), false) => "PASS",
        (Some(_), true) => "AH",
    };
    put(list, "auth_type", auth, router.auth_pass.is_none());
    let hmac = router.auth_hmac.as_ref().map_or("none", |hmac| match hmac.anti_replay {
        AntiReplay::Time(_) => "anti_replay time",
        AntiReplay::Monotonic => "anti_replay monotonic",
    });
    put(list, "auth_hmac", hmac, router.auth_hmac.is_none());
    let (to, usual) = match router.transport {
        Transport::Multicast { .. } => (router.group().to_string(), router.conduct.group.is_none()),
        Transport::Unicast { .. } => ("unicast peers".to_owned(), false),
    };
    put(list, "adverts to", to, usual);
    let missed = router.conduct.down_timer_adverts;
    put(list, "down_timer_adverts", missed.to_string(), missed == 3);
    let mac = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    let own = router.vmac.as_ref().and_then(Vmac::own_mac);
    put(list, "use_vmac", own.map_or("no".into(), mac), own.is_none());
}

/// Without prefix length, in any order.
fn addresses(router: &VirtualRouter, list: &mut List) {
    let of = |addresses: &[VirtualAddress]| {
        let mut addresses: Vec<_> = addresses.iter().map(|a| a.net.addr()).collect();
        addresses.sort_unstable();
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    put(list, "virtual_ipaddress", listed(&of(&router.addresses)), false);
    let excluded = of(&router.excluded_addresses);
    put(list, "virtual_ipaddress_excluded", listed(&excluded), excluded.is_empty());
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}
