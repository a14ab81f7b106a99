use super::*;
use crate::model::{Encapsulation, Hop, Outer, Route, Rule, RuleAction};

fn read_route(line: &str) -> Result<Route, Wrong> {
    route(&line.split(' ').collect::<Vec<_>>(), &Names::none())
}

fn read_rule(line: &str) -> Result<Rule, Wrong> {
    rule(&line.split(' ').collect::<Vec<_>>(), &Names::none())
}

fn hop(via: Option<&str>, dev: Option<&str>) -> Hop {
    Hop { via: via.map(|a| a.parse().unwrap()), interface: dev.map(str::to_owned), ..Hop::default() }
}

#[test]
fn every_word_of_a_route() {
    let route = read_route(
        "src 10.0.0.1 to 10.20.0.7/16 via 10.0.0.9 dev eth0 onlink tos 0x04 table 6909 protocol bird scope link \
         priority 12 mtu lock 1400 rtt 2s rttvar 103 rto_min 108ms realms 30/20 features ecn congctl lock cubic \
         ttl-propagate disabled no_track",
    )
    .unwrap();
    assert_eq!(route.destination, Some("10.20.0.0/16".parse().unwrap()));
    assert_eq!(route.preferred_source, Some("10.0.0.1".parse().unwrap()));
    assert_eq!((route.tos, route.table, route.protocol, route.scope, route.metric), (4, 6909, Some(12), 253, Some(12)));
    assert_eq!(route.metrics, [(2, 1400), (4, 16_000), (5, 412), (13, 108), (12, 1)]);
    assert_eq!(route.locked, 1 << 2 | 1 << 16);
    assert_eq!(
        (route.congestion_control.as_deref(), route.ttl_propagate, route.track),
        (Some("cubic"), Some(false), false)
    );
    let expected = Hop { onlink: true, realms: Some((30, 20)), ..hop(Some("10.0.0.9"), Some("eth0")) };
    assert_eq!(route.hops, [expected]);
}

#[test]
fn kinds_families_and_hops() {
    let blackhole = read_route("blackhole 10.0.0.0/8").unwrap();
    assert_eq!((blackhole.kind, blackhole.hops.len(), blackhole.family), (6, 0, Family::Ipv4));
    assert_eq!(read_route("throw fd00::/8 table 5").unwrap().family, Family::Ipv6);
    assert_eq!(read_route("append 10.0.0.0/8 dev a"), read_route("10.0.0.0/8 dev a"));
    let default = read_route("default via fe80::1 dev eth0").unwrap();
    assert_eq!((default.destination, default.family), (None, Family::Ipv6));
    assert_eq!(read_route("inet6 default dev eth0 pref high expires 5").unwrap().preference, Some(1));
    let several =
        read_route("10.0.0.0/8 table 9 nexthop via 10.1.0.1 dev a weight 2 nexthop via 10.1.0.2 dev b onlink no_track");
    let several = several.unwrap();
    let second = Hop { onlink: true, ..hop(Some("10.1.0.2"), Some("b")) };
    assert_eq!(several.hops, [Hop { hops: 1, ..hop(Some("10.1.0.1"), Some("a")) }, second]);
    assert!(!several.track);
    let either = read_route("10.0.0.0/8 via 10.1.0.1 or 10.1.0.2 dev a").unwrap();
    assert_eq!(either.hops, [hop(Some("10.1.0.1"), Some("a")), hop(Some("10.1.0.2"), Some("a"))]);
    // IPv4 behind an IPv6 gateway (RFC 5549).
    assert_eq!(read_route("10.0.0.0/8 via inet6 fe80::1 dev a").unwrap().hops, [hop(Some("fe80::1"), Some("a"))]);
    let encap = read_route("10.0.0.0/8 encap ip id 5 dst 10.1.1.1 ttl 3 dev a").unwrap();
    let outer = Outer {
        family: Family::Ipv4,
        id: 5,
        destination: Some("10.1.1.1".parse().unwrap()),
        source: None,
        ttl: 3,
        tos: 0,
    };
    assert_eq!(encap.hops, [Hop { encapsulation: Some(Encapsulation::Ip(outer)), ..hop(None, Some("a")) }]);
    let labelled = read_route("10.0.0.0/8 encap mpls 100/0x10 ttl 9 via 10.1.1.1").unwrap();
    let mpls = Encapsulation::Mpls { labels: vec![100, 16], ttl: Some(9) };
    assert_eq!(labelled.hops, [Hop { encapsulation: Some(mpls), ..hop(Some("10.1.1.1"), None) }]);
}

#[test]
fn what_is_wrong_with_a_route_is_told_at_its_word() {
    for (line, word, message) in [
        ("via 10.0.0.1", 1, "no destination; expected a network, an address or default"),
        ("10.0.0.0/8", 0, "the route leads nowhere; expected `via ADDRESS` or `dev INTERFACE`"),
        ("10.0.0.0/33 dev a", 0, "`10.0.0.0/33` is no destination: expected a network, an address or default"),
        ("10.0.0.0/8 dev a mtu", 3, "`mtu` has no value; expected a number"),
        ("10.0.0.0/8 dev a mtu lock x", 5, "`x` is no value for `lock`: expected a number"),
        ("10.0.0.0/8 dev a tos 256", 4, "`256` is no value for `tos`: expected a number, or a name from /etc/iproute2"),
        ("10.0.0.0/8 dev a foo", 3, "`foo` is no word of a route"),
        ("10.0.0.0/8 src fd00::1 dev a", 2, "IPv6 beside an address of the other family; expected one of them"),
        ("fd00::/8 via 10.0.0.1 dev a", 4, "an IPv6 route has no IPv4 gateway"),
        ("blackhole 10.0.0.0/8 dev a", 3, "a route that leads nowhere has no `via` and no `dev`"),
        ("10.0.0.0/8 nexthop weight 1", 3, "`nexthop` without `via` and without `dev`"),
        (
            "10.0.0.0/8 dev a encap seg6 mode inline",
            4,
            "`seg6` is no value for `encap`: expected ip, ip6 or mpls (others are not supported)",
        ),
        (
            "10.0.0.0/8 dev a encap mpls 5/1048576",
            5,
            "`5/1048576` is no value for `mpls`: expected labels from 0 to 1048575 with `/` between them",
        ),
        (
            "10.0.0.0/8 dev a table big",
            4,
            "`big` is no value for `table`: expected a number above 0, main, local, default, or a name from /etc/iproute2",
        ),
        (
            "10.0.0.0/8 dev a nexthop dev b weight 257",
            7,
            "`257` is no value for `weight`: expected a number from 1 to 256",
        ),
        ("10.0.0.0/8 dev a pref low", 4, "`pref` and `expires` are of IPv6 alone"),
    ] {
        assert_eq!(read_route(line), Err(Wrong { word, message: message.to_owned() }), "{line}");
    }
}

#[test]
fn every_word_of_a_rule() {
    let rule = read_rule(
        "not from 10.0.0.0/24 to 10.1.0.0/26 table 7 iif a oif b tos 16 fwmark 24/12 preference 39 realms 30/20 \
         uidrange 10-20 ipproto UDP sport 1-2 dport 3 tun_id 4 suppress_prefixlength 0 suppress_ifgroup 3 no_track protocol 12",
    )
    .unwrap();
    assert_eq!((rule.invert, rule.track, rule.priority, rule.action), (true, false, 39, RuleAction::Table(7)));
    assert_eq!((rule.source, rule.destination), ("10.0.0.0/24".parse().ok(), "10.1.0.0/26".parse().ok()));
    assert_eq!((rule.input.as_deref(), rule.output.as_deref(), rule.tos), (Some("a"), Some("b"), 16));
    assert_eq!((rule.mark, rule.realms, rule.uids), (Some((24, Some(12))), Some((30, 20)), Some((10, 20))));
    assert_eq!((rule.ip_protocol, rule.source_ports, rule.destination_ports), (Some(17), Some((1, 2)), Some((3, 3))));
    assert_eq!(
        (rule.tunnel, rule.suppress_prefix, rule.suppress_group, rule.protocol),
        (Some(4), Some(0), Some(3), Some(12))
    );
    for (line, action) in [
        ("from all lookup main", RuleAction::Table(254)),
        ("inet6 fwmark 7 l3mdev", RuleAction::Vrf),
        ("goto 40 priority 3", RuleAction::Goto(40)),
        ("nop", RuleAction::Nothing),
        ("blackhole", RuleAction::Blackhole),
        ("unreachable", RuleAction::Unreachable),
        ("prohibit", RuleAction::Prohibit),
    ] {
        assert_eq!(read_rule(line).unwrap().action, action, "{line}");
    }
}

#[test]
fn what_is_wrong_with_a_rule_is_told_at_its_word() {
    for (line, word, message) in [
        ("from 10.0.0.0/24", 1, "the rule does nothing; expected `table NUMBER`, for one"),
        ("table 5 blackhole", 2, "a rule does one thing: table, goto, nop, blackhole, unreachable or prohibit"),
        ("table 5 uidrange 20-10", 3, "`20-10` is no value for `uidrange`: expected two numbers such as 10-20"),
        ("table 5 bogus", 2, "`bogus` is no word of a rule"),
        ("table 5 pref 7", 2, "`pref` is no word of a rule; expected `priority`"),
        ("goto 40 priority 41", 3, "`goto 40` leads backwards; expected a larger number than its own"),
        ("from 10.0.0.1 to fd00::1 table 5", 3, "IPv6 beside an address of the other family; expected one of them"),
        ("table 5 priority 0", 3, "`0` is no value for `priority`: expected a number from 1 on"),
    ] {
        assert_eq!(read_rule(line), Err(Wrong { word, message: message.to_owned() }), "{line}");
    }
}

/// As keepalived gives them.
#[test]
fn rules_without_a_priority_get_one_from_above() {
    let lines = ["table 5", "inet6 table 5", "table 6 priority 9", "table 7", "inet6 table 8"];
    let mut rules: Vec<Rule> = lines.iter().map(|line| read_rule(line).unwrap()).collect();
    assert_eq!(assign_priorities(rules.iter_mut()), [true, true, false, true, true]);
    assert_eq!(rules.iter().map(|r| r.priority).collect::<Vec<_>>(), [16_384, 16_384, 9, 16_383, 16_383]);
}
