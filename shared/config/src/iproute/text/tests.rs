use proptest::prelude::*;

use super::super::{route, rule};
use super::*;

const EXAMPLE: &str = include_str!("../../../../../deploy/examples/meshd.toml");

fn read_route(line: &str) -> Route {
    route(&line.split(' ').collect::<Vec<_>>(), &Names::none()).unwrap_or_else(|wrong| panic!("{wrong:?} in {line}"))
}

fn read_rule(line: &str) -> Rule {
    rule(&line.split(' ').collect::<Vec<_>>(), &Names::none()).unwrap_or_else(|wrong| panic!("{wrong:?} in {line}"))
}

#[test]
fn routes_are_written_in_one_order() {
    for (line, written) in [
        ("192.0.2.0/24 via 10.1.3.254", "192.0.2.0/24 via 10.1.3.254"),
        ("dev eth0 inet6 default pref high expires 5", "inet6 default pref high expires 5 dev eth0"),
        ("default via fe80::1 dev a pref medium", "inet6 default pref medium via fe80::1 dev a"),
        ("inet default via fe80::1 dev a", "inet default via inet6 fe80::1 dev a"),
        ("blackhole 10.0.0.1/8 no_track protocol bird", "blackhole 10.0.0.0/8 protocol 12 no_track"),
        ("local fd00::/8 from fd01::1/64 scope 7", "local fd00::/8 from fd01::1/64 scope 7"),
        (
            "src 10.0.0.1 to 10.20.0.7/16 via 10.0.0.9 dev eth0 onlink tos 0x04 table 6909 scope link priority 12 mtu \
             lock 1400 rtt 2s rttvar 103 rto_min lock 108ms realms 30/20 features ecn congctl lock cubic ttl-propagate disabled",
            "10.20.0.0/16 src 10.0.0.1 tos 4 table 6909 scope link metric 12 mtu lock 1400 rtt 2000ms rttvar 103ms \
             rto_min lock 108ms features ecn congctl lock cubic ttl-propagate disabled via 10.0.0.9 dev eth0 onlink realms 30/20",
        ),
        (
            "10.0.0.0/8 via 10.1.0.1 or 10.1.0.2 dev a table 9",
            "10.0.0.0/8 table 9 nexthop via 10.1.0.1 dev a nexthop via 10.1.0.2 dev a",
        ),
        (
            "10.0.0.0/8 nexthop encap ip id 5 dst 10.1.1.1 ttl 3 dev a weight 256 nexthop dev b realms 4 no_track src 10.0.0.1",
            "10.0.0.0/8 src 10.0.0.1 no_track nexthop dev a weight 256 encap ip id 5 dst 10.1.1.1 ttl 3 nexthop dev b realms 4",
        ),
        ("10.0.0.0/8 encap mpls 5/0x10 ttl 3 dev a", "10.0.0.0/8 dev a encap mpls 5/16 ttl 3"),
        ("fd00::/8 encap ip6 hoplimit 3 tc 4 dev a", "fd00::/8 dev a encap ip6 ttl 3 tos 4"),
        // As much as there can be.
        ("10.0.0.0/8 dev a rtt 4294967295", "10.0.0.0/8 rtt 536870912ms dev a"),
    ] {
        let text = route_text(&read_route(line));
        assert_eq!(text.as_deref(), Some(written), "{line}");
        assert_eq!(read_route(written), read_route(line), "{line}");
    }
}

#[test]
fn rules_are_written_in_one_order() {
    for (line, written) in [
        ("priority 900 table 7 to 192.0.2.0/24", "to 192.0.2.0/24 table 7 priority 900"),
        ("from all lookup main", "table 254"),
        ("inet6 fwmark 0x7 l3mdev", "inet6 fwmark 7 l3mdev"),
        ("goto 40 priority 3", "goto 40 priority 3"),
        ("nop", "nop"),
        ("from fd00::1 blackhole", "from fd00::1/128 blackhole"),
        ("unreachable dev a", "iif a unreachable"),
        ("prohibit realms 7", "realms 7 prohibit"),
        (
            "not from 10.0.0.0/24 to 10.1.0.0/26 table 7 iif a oif b tos 16 fwmark 24/12 preference 39 realms 30/20 uidrange 10-20 \
             ipproto UDP sport 1-2 dport 3 tun_id 4 suppress_prefixlength 0 suppress_ifgroup 3 no_track protocol 12",
            "not from 10.0.0.0/24 to 10.1.0.0/26 iif a oif b tos 16 fwmark 24/12 realms 30/20 uidrange 10-20 ipproto 17 sport 1-2 \
             dport 3-3 tun_id 4 suppress_prefixlength 0 suppress_ifgroup 3 protocol 12 table 7 priority 39 no_track",
        ),
    ] {
        assert_eq!(rule_text(&read_rule(line)).as_deref(), Some(written), "{line}");
        assert_eq!(read_rule(written), read_rule(line), "{line}");
    }
}

#[test]
fn the_lines_of_the_example_are_carried() {
    let (config, _) = crate::parse(std::path::Path::new("f"), EXAMPLE, &crate::host::Host::none());
    let config = config.expect("usable");
    let routes: Vec<&Route> =
        config.statics.routes.iter().chain(config.routers.iter().flat_map(|r| &r.routes)).collect();
    let rules: Vec<&Rule> = config.statics.rules.iter().chain(config.routers.iter().flat_map(|r| &r.rules)).collect();
    assert!(routes.len() > 1 && rules.len() > 1);
    for route in routes {
        assert_eq!(read_route(&route_text(route).expect("has words")), *route);
    }
    for rule in rules {
        assert_eq!(read_rule(&rule_text(rule).expect("has words")), *rule);
    }
}

/// keepalived.conf has names in quotes, and rules whose priority is given to them later.
#[test]
fn what_would_be_read_as_something_else_has_no_text() {
    let route = Route { congestion_control: Some("a b".to_owned()), ..read_route("10.0.0.0/8 dev a") };
    assert_eq!(route_text(&route), None);
    assert_eq!(rule_text(&Rule { priority: 16_384, ..read_rule("goto 40") }), None);
}

/// One of these words, or nothing.
fn maybe(words: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::option::of(prop::sample::select(words)).prop_map(Option::unwrap_or_default)
}

fn any_order(words: Vec<&'static str>) -> impl Strategy<Value = Vec<&'static str>> {
    Just(words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>()).prop_shuffle()
}

fn drawn_route() -> impl Strategy<Value = String> {
    let first = [
        maybe(&["inet", "inet6"]).boxed(),
        maybe(&["unicast", "local", "broadcast", "throw", "blackhole"]).boxed(),
        prop::sample::select(&["default", "10.0.0.0/8", "10.0.0.1", "fd00::/8", "0.0.0.0/0", "::/0"][..]).boxed(),
    ];
    let more = [
        maybe(&["src 10.0.0.1", "src fd00::1"]).boxed(),
        maybe(&["from fd01::/64"]).boxed(),
        maybe(&["tos 4", "table 7", "table local", "metric 0", "protocol 99"]).boxed(),
        maybe(&["scope link", "scope 7", "congctl cubic", "congctl lock lock"]).boxed(),
        maybe(&["mtu 9", "mtu lock 9", "rtt lock 7", "rttvar 9s", "rto_min 3", "quickack 1", "features ecn"]).boxed(),
        maybe(&["mtu 8", "window 8", "rtt 7s", "hoplimit lock 9", "features ecn"]).boxed(),
        maybe(&["pref low", "pref medium", "expires 9", "ttl-propagate enabled", "no_track"]).boxed(),
        maybe(&["via 10.0.0.9", "via fe80::9", "via inet6 fe80::9", "or 10.0.0.8"]).boxed(),
        maybe(&["dev a", "onlink", "realms 7/8", "weight 9", "encap ip id 4 src 10.0.0.7 tos 3"]).boxed(),
        maybe(&["dev nexthop", "realms 8", "encap ip6 dst fd00::1 hoplimit 9", "encap mpls 7/8", "or 10.0.0.7"])
            .boxed(),
    ];
    let hops = prop::collection::vec(
        prop::sample::select(
            &[
                "nexthop via 10.0.0.9",
                "nexthop dev a weight 7 realms 9",
                "nexthop via inet6 fe80::7 dev b onlink",
                "nexthop dev c encap ip tos 9",
            ][..],
        ),
        0..3,
    );
    let more = more.to_vec().prop_flat_map(any_order);
    (first.to_vec(), more, hops).prop_map(|(mut words, more, hops)| {
        words.extend(more);
        words.extend(hops);
        words.retain(|word| !word.is_empty());
        words.join(" ")
    })
}

fn drawn_rule() -> impl Strategy<Value = String> {
    let words = [
        maybe(&["inet", "inet6", "not"]).boxed(),
        maybe(&["from all", "from 10.0.0.0/8", "from fd00::1", "from 0.0.0.0/0"]).boxed(),
        maybe(&["to all", "to 10.0.0.1", "to fd00::/8", "to ::/0"]).boxed(),
        maybe(&["iif a", "oif not", "tos 9", "fwmark 7", "fwmark 0/0", "fwmark 0x10/0xff"]).boxed(),
        maybe(&["priority 9", "priority 99", "realms 7", "realms 7/0", "uidrange 0-4294967295"]).boxed(),
        maybe(&["ipproto tcp", "sport 9", "dport 1-65535", "tun_id 0", "suppress_ifgroup 0"]).boxed(),
        maybe(&["suppress_prefixlength 32", "protocol bird", "no_track"]).boxed(),
        prop::sample::select(&["table main", "l3mdev", "goto 40", "nop", "blackhole", "unreachable", "prohibit"][..])
            .boxed(),
    ];
    words.to_vec().prop_flat_map(any_order).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_a_route_is_read_again_from_its_text(line in drawn_route()) {
        if let Ok(meant) = route(&line.split(' ').collect::<Vec<_>>(), &Names::none()) {
            let text = route_text(&meant);
            prop_assert_eq!(text.as_deref().map(read_route), Some(meant), "{:?}", text);
        }
    }

    #[test]
    fn what_is_a_rule_is_read_again_from_its_text(line in drawn_rule()) {
        if let Ok(meant) = rule(&line.split(' ').collect::<Vec<_>>(), &Names::none()) {
            let text = rule_text(&meant);
            prop_assert_eq!(text.as_deref().map(read_rule), Some(meant), "{:?}", text);
        }
    }
}
