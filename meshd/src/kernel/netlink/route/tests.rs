use std::path::Path;

use mesh_config::host::Host;
use mesh_config::model::Config;

use super::*;
use crate::kernel::testing::{runtime, sh, with_neighbour};

fn with_netlink(test: impl AsyncFnOnce(&Netlink) + Send) {
    with_neighbour(|_| {
        runtime().block_on(async {
            let (netlink, _events) = Netlink::open().await.unwrap();
            sh("ip address add fd77::1/64 dev veth0 nodad");
            test(&netlink).await;
        });
    });
}

fn config(text: &str) -> Config {
    let (config, report) = mesh_config::parse(Path::new("f"), text, &Host::none());
    config.unwrap_or_else(|| panic!("{report:?}"))
}

fn router(blocks: &str) -> mesh_config::model::VirtualRouter {
    let text = format!(
        "vrrp_instance A {{\n interface veth0\n virtual_router_id 51\n virtual_ipaddress {{\n 10.77.0.80\n }}\n{blocks}\n}}\n"
    );
    config(&text).routers.remove(0)
}

/// Routes of every kind, and rules, by what `ip` shows; those of the kernel and of tables it fills left out.
fn shown() -> Vec<String> {
    let routes =
        sh("for f in 4 6; do ip -o -$f route show table all proto 109; done; for f in 4 6; do ip -$f rule show; done");
    let own = |line: &&str| !["lookup local", "lookup main", "lookup default"].iter().any(|t| line.ends_with(t));
    routes
        .lines()
        .filter(own)
        .map(|line| line.replace('\\', " ").split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

const BLOCKS: &str = "
 virtual_routes {
  src 10.77.0.1 to 10.20.1.0/24 via 10.77.0.9 dev veth0
  10.20.4.0/24 via 10.77.0.9 table 100 metric 5
  blackhole 10.20.6.0/24
  throw 10.20.9.0/24 table 1000
  10.20.10.0/24 nexthop via 10.77.0.8 dev veth0 weight 1 nexthop via 10.77.0.9 dev veth0 onlink weight 2
  10.20.12.0/24 dev veth0 scope link mtu lock 1400 realms 20
  10.20.14.0/24 via inet6 fe80::1 dev veth0
  10.20.15.0/24 encap ip id 5 dst 10.1.1.1 ttl 3 dev veth0
  fd20::/64 via fd77::9 dev veth0 pref high
  default via fd77::9 table 101
 }
 virtual_rules {
  from 10.9.3.0/24 to 10.9.4.0/26 table 7 iif veth0 oif lo tos 16 fwmark 24/12 priority 39
  not from 10.9.9.0/24 goto 90 priority 84
  from 10.9.7.0/24 prohibit priority 91
  to fd01::/64 table 6908 uidrange 10-19 ipproto udp dport 20-30 priority 92
  from 10.9.8.0/24 table 254 suppress_prefixlength 0 priority 93
 }";

#[test]
fn root_routes_and_rules_come_are_repaired_and_go() {
    with_netlink(async |netlink| {
        let router = router(BLOCKS);
        assert_eq!(netlink.add_routes(&router.routes, &router.rules, false).await, []);
        let expected = [
            "10.20.1.0/24 via 10.77.0.9 dev veth0 src 10.77.0.1",
            "10.20.4.0/24 via 10.77.0.9 dev veth0 table 100 metric 5",
            "blackhole 10.20.6.0/24",
            "throw 10.20.9.0/24 table 1000",
            "10.20.10.0/24 nexthop via 10.77.0.8 dev veth0 weight 1 nexthop via 10.77.0.9 dev veth0 weight 2 onlink",
            "10.20.12.0/24 dev veth0 scope link realm 20 mtu lock 1400",
            "10.20.14.0/24 via inet6 fe80::1 dev veth0",
            "10.20.15.0/24 encap ip id 5 src 0.0.0.0 dst 10.1.1.1 ttl 3 tos 0 dev veth0",
            "fd20::/64 via fd77::9 dev veth0 metric 1024 pref high",
            "default via fd77::9 dev veth0 table 101 metric 1024 pref medium",
            "39: from 10.9.3.0/24 to 10.9.4.0/26 tos 0x10 fwmark 0x18/0xc iif veth0 oif lo lookup 7 proto 109",
            "84: not from 10.9.9.0/24 goto 90 [unresolved] proto 109",
            "91: from 10.9.7.0/24 prohibit proto 109",
            "92: from all to fd01::/64 uidrange 10-19 ipproto udp dport 20-30 lookup 6908 proto 109",
            "93: from 10.9.8.0/24 lookup main suppress_prefixlength 0 proto 109",
        ];
        let found = shown();
        let missing: Vec<_> = expected.iter().filter(|line| !found.iter().any(|f| f == *line)).collect();
        assert!(missing.is_empty() && found.len() == expected.len(), "missing {missing:#?} in {found:#?}");

        sh("ip route del 10.20.1.0/24; ip rule del priority 91");
        assert_eq!(netlink.add_routes(&router.routes, &router.rules, true).await, []);
        assert_eq!(shown().len(), expected.len(), "each is there once: {:#?}", shown());
        assert_eq!(netlink.del_routes(&router.routes, &router.rules).await, []);
        assert_eq!(shown(), Vec::<String>::new());
        assert_eq!(netlink.del_routes(&router.routes, &router.rules).await, [], "what is not there is no failure");
    });
}

#[test]
fn root_what_an_earlier_run_left_is_swept_and_nothing_else() {
    with_netlink(async |netlink| {
        let router = router(BLOCKS);
        sh("ip route add 10.99.0.0/24 dev veth0 proto 77; ip rule add from 10.99.0.1 table 5 priority 3 protocol 77");
        netlink.add_routes(&router.routes, &router.rules, false).await;
        let all = shown().len();
        netlink.sweep(&[], &[], (&router.routes[..2], &router.rules[..1])).await;
        let kept = shown();
        assert_eq!((all, kept.len()), (16, 4), "{kept:#?}");
        assert!(kept[0].starts_with("10.20.1.0/24") || kept[1].starts_with("10.20.1.0/24"), "{kept:#?}");
        netlink.sweep(&[], &[], (&[], &[])).await;
        assert_eq!(shown(), ["3: from 10.99.0.1 lookup 5 proto 77"]);
        assert!(sh("ip route").contains("10.99.0.0/24"));
    });
}

/// As RFC 3032 section 2.1 has labels: 20 bits, then the mark of the last one, then a TTL of their own.
#[test]
fn labels_are_stacked() {
    use rtnetlink::packet_core::Emitable;
    use rtnetlink::packet_route::route::{RouteAttribute, RouteLwEnCapType};

    let blocks = " virtual_routes {\n  10.20.15.0/24 encap mpls 100/16 ttl 9 via 10.77.0.9\n }";
    let message = messages::route(&router(blocks).routes[0], MOVING).unwrap();
    assert!(message.attributes.contains(&RouteAttribute::EncapType(RouteLwEnCapType::Mpls)));
    let parts = message.attributes.iter().find_map(|a| match a {
        RouteAttribute::Encap(parts) => Some(parts),
        _ => None,
    });
    let mut bytes = vec![0; 20];
    parts.expect("it is put into something").as_slice().emit(&mut bytes);
    let stack = [12, 0, 1, 0, 0, 0x06, 0x40, 0, 0, 0x01, 0x01, 0];
    assert_eq!(bytes, [&stack[..], &[5, 0, 2, 0, 9, 0, 0, 0]].concat());
}

#[test]
fn root_what_is_static_is_exactly_what_is_wanted() {
    with_netlink(async |netlink| {
        let statics = |text: &str| config(text).statics;
        let all = statics(
            "static_ipaddress {\n 10.44.0.1/24 dev veth0\n fd44::1/64 dev veth0\n 10.45.0.1 peer 10.45.0.2/32 dev veth0\n}\n\
             static_routes {\n 10.46.0.0/24 via 10.44.0.9\n}\nstatic_rules {\n from 10.46.0.0/24 table 46 priority 4600\n}\n",
        );
        assert_eq!(netlink.have_statics(&all).await, []);
        let places = || sh("ip -o address show dev veth0; ip route; ip rule");
        for part in
            ["10.44.0.1/24", "fd44::1/64", "inet 10.45.0.1 peer 10.45.0.2/32", "10.46.0.0/24 via 10.44.0.9", "4600:"]
        {
            assert!(places().contains(part), "{part} is missing in {}", places());
        }
        // Removed by somebody, and not touched by a sweep.
        sh("ip address del 10.44.0.1/24 dev veth0");
        netlink.sweep(&[], &[], (&[], &[])).await;
        assert_eq!(netlink.have_statics(&all).await, []);
        assert!(places().contains("10.44.0.1/24") && places().contains("10.46.0.0/24 via 10.44.0.9"), "{}", places());
        let less = statics("static_ipaddress {\n 10.44.0.1/24 dev veth0\n}\n");
        assert_eq!(netlink.have_statics(&less).await, []);
        assert!(places().contains("10.44.0.1/24"));
        for part in ["fd44::1", "10.45.0.1", "10.46.0.0", "4600:"] {
            assert!(!places().contains(part), "{part} is left in {}", places());
        }
        let nowhere = statics("static_routes {\n 10.46.0.0/24 dev nowhere0\n}\n");
        let failed = netlink.have_statics(&nowhere).await;
        let what = "route 10.46.0.0/24 dev nowhere0".to_owned();
        assert_eq!(failed, [(what, "there is no interface nowhere0".to_owned())]);
        assert!(!places().contains("10.44.0.1/24"));
    });
}

#[test]
fn root_options_of_addresses_reach_the_kernel() {
    with_netlink(async |netlink| {
        let text = "vrrp_instance A {\n interface veth0\n virtual_router_id 51\n virtual_ipaddress {\n\
                    10.77.0.80/24 noprefixroute preferred_lft 5\n 10.78.0.1 peer 10.78.0.2/32\n }\n\
                    virtual_ipaddress_excluded {\n fd77::80/64 mngtmpaddr home -nodad\n fd77::81/64 noprefixroute\n }\n}\n";
        let router = config(text).routers.remove(0);
        for address in router.served() {
            netlink.add_address("veth0", address, 60).await.unwrap();
        }
        let shown = |address: &str| sh(&format!("ip -o address show dev veth0 to {address}"));
        for (address, parts) in [
            ("10.77.0.80", &["noprefixroute", "valid_lft 60sec preferred_lft 5sec"][..]),
            ("fd77::80", &["mngtmpaddr", "home"]),
            ("fd77::81", &["noprefixroute", "nodad"]),
        ] {
            parts.iter().for_each(|part| assert!(shown(address).contains(part), "{part}: {}", shown(address)));
        }
        assert!(!shown("fd77::80").contains("nodad"));
        assert!(sh("ip -o address show dev veth0").contains("10.78.0.1 peer 10.78.0.2/32"));
        for address in router.served() {
            netlink.del_address("veth0", address).await.unwrap();
        }
        let left = sh("ip -o address show dev veth0");
        assert!(!["10.77.0.80", "10.78.0.1", "fd77::8"].iter().any(|a| left.contains(a)), "{left}");
    });
}
