//! `[[router]]`.

use super::*;

#[test]
fn router_errors_are_placed() {
    for (line, start) in [
        ("priority = 0", "6:12 0 is out of range; expected 1 to 255"),
        ("priority = 256", "6:12 256 is out of range"),
        ("version = 4", "6:11 4 is out of range; expected 2 to 3"),
        ("advert_interval = \"500ms\"", "6:19 500ms is out of range; expected 1s to 255s"),
        ("advert_interval = \"1.5s\"", "6:19 1.5s is no multiple of 1s"),
        ("version = 3\nadvert_interval = \"25ms\"", "7:19 25ms is no multiple of 10ms"),
        ("state = \"active\"\npreempt = false\npriority = 9", "7:11 `preempt = false` does not work with state"),
        ("preempt = false\npriority = 255", "6:11 `preempt = false` does not work with priority 255"),
        ("preempt = false\npreempt_delay = \"1s\"", "7:17 `preempt_delay` does not work with `preempt = false`"),
        ("preempt_delay = \"20m\"", "6:17 1200s is out of range"),
        ("auth_pass = \"123456789\"", "6:13 expected a password of 1 to 8 bytes"),
        ("auth_pass = \"\"", "6:13 expected a password"),
        ("version = 3\nauth_pass = \"1\"", "7:13 VRRP version 3 has no authentication"),
        ("strict = true\nauth_pass = \"1\"", "7:13 strict mode has no authentication"),
        ("strict = true\nstate = \"active\"\npriority = 9", "7:9 strict: state \"active\""),
        ("unicast = { peers = [] }", "6:21 no peer"),
        ("priority = 255\nspread = true", "7:10 `spread` does not work with priority 255"),
        ("spread = 1", "6:10 the number 1; expected true or false"),
        ("keep_apart = [\"B\"]", "6:15 there is no router `B`; expected the name of another `[[router]]`"),
        ("keep_apart = [\"A\"]", "6:15 `A` is this router itself"),
        ("unicast = { peers = [{ address = \"x\" }] }", "6:22 `x` is no address"),
        (
            "unicast = { peers = [{ address = \"10.0.0.9\", min_ttl = 256 }] }",
            "6:22 256 is out of range; expected 0 to 255",
        ),
        ("unicast = { peers = [{ address = \"10.0.0.9\", min_ttl = 9, max_ttl = 8 }] }", "6:22 min_ttl 9 is above"),
        ("unicast = { peers = [\"10.0.0.9\"], ttl = 0 }", "6:41 0 is out of range; expected 1 to 255"),
        ("unicast = { peers = [\"10.0.0.9\"], check_source = 1 }", "6:50 the number 1; expected true or false"),
        ("auth_type = \"ah\"", "6:13 `auth_type` without `auth_pass`"),
        ("auth_pass = \"x\"\nauth_type = \"md5\"", "7:13 unknown value `md5`"),
        ("multicast_group = \"10.0.0.1\"", "6:19 10.0.0.1 is no multicast address of IPv4"),
        ("multicast_group = \"ff02::12\"", "6:19 ff02::12 is no multicast address of IPv4"),
        ("multicast_group = \"224.0.0.20\"\nunicast = { peers = [\"10.0.0.9\"] }", "6:19 `multicast_group` together"),
        ("late_rival = 255", "6:14 255 is out of range; expected 1 to 254"),
        ("down_timer_adverts = 101", "6:22 101 is out of range; expected 1 to 100"),
        ("strict = true\ndown_timer_adverts = 4", "7:22 strict: three missed adverts"),
        ("strict = true\naccept = true", "7:10 strict: version 2 accepts nothing"),
        ("strict = true\nlower_prio_no_advert = false", "7:24 strict: less worthy adverts"),
        ("strict = true\nhigher_prio_send_advert = true", "7:27 strict: no advert before it yields"),
        ("strict = true\ngarp = { lower_prio_repeat = 1 }", "7:30 strict: less worthy adverts"),
        ("garp = { extra = \"86401s\" }", "6:18 86401s is out of range"),
        ("checksum = \"md5\"", "6:12 unknown value `md5`"),
        ("no_addresses = true", "5:13 1 address; expected none"),
        (
            "auth_hmac = { keys = { 1 = \"short\" }, active_key = 1 }",
            "6:28 key 1: the key has 5 bytes; expected 32 to 64",
        ),
        (
            "auth_hmac = { keys = { 1 = \"hex:0\" }, active_key = 1 }",
            "6:28 key 1: the key behind `hex:` is no even number",
        ),
        ("auth_hmac = { keys = { 1 = \"file:/none\" }, active_key = 1 }", "6:28 key 1: /none cannot be read"),
        ("auth_hmac = { keys = { 0 = \"x\" }, active_key = 1 }", "6:28 key `0`; expected a number from 1 to 255"),
        ("auth_hmac = { keys = {}, active_key = 2 }", "6:39 there is no key 2"),
        ("auth_hmac = { keys = {}, active_key = 256 }", "6:39 256 is out of range"),
        ("auth_hmac = { keys = {}, active_key = 1, time_window = \"301s\" }", "6:56 301s is out of range"),
        ("auth_hmac = { keys = {}, active_key = 1, time_window = \"1.5s\" }", "6:56 expected whole seconds"),
        (
            "auth_hmac = { keys = {}, active_key = 1, time_window = \"5s\", anti_replay = \"monotonic\" }",
            "6:56 `time_window` has no meaning",
        ),
        ("auth_pass = \"x\"\nauth_hmac = { keys = {}, active_key = 1 }", "6:13 `auth_pass` together with `auth_hmac`"),
        (
            "strict = true\nauth_hmac = { keys = {}, active_key = 1, mode = \"permissive\" }",
            "7:49 strict: expected \"enforce\"",
        ),
        ("unicast = { peers = [\"10.0.0.9\", \"10.0.0.9\"] }", "6:34 10.0.0.9 is already a peer"),
        ("unicast = { source = \"10.0.0.9\", peers = [\"10.0.0.9\"] }", "6:43 10.0.0.9 is this host's own"),
        (
            "unicast = { peers = [\"fe80::1\"] }",
            "6:22 fe80::1 is IPv6, and this router is IPv4; expected an address of that",
        ),
        ("multicast_source = \"fe80::1\"", "6:20 fe80::1 is IPv6"),
        ("unicast = { peers = [\"10.0.0.9\"] }\nmulticast_source = \"10.0.0.8\"", "7:20 `multicast_source` together"),
        ("excluded_addresses = [\"10.0.0.1/24\"]", "6:23 10.0.0.1 is already an address"),
        ("excluded_addresses = [\"x\"]", "6:23 `x` is no address"),
        ("excluded_addresses = [\"10.0.0.2/33\"]", "6:23 `10.0.0.2/33` is no address"),
        (
            "excluded_addresses = [{ address = \"fe80::1\", label = \"x\" }]",
            "6:23 fe80::1: an IPv6 address has no label",
        ),
        ("excluded_addresses = [\"::1\"]", "6:23 ::1 cannot be"),
        ("excluded_addresses = [\"224.0.0.1\"]", "6:23 224.0.0.1 cannot be"),
        ("excluded_addresses = [{ address = \"10.0.0.2\", label = \"0123456789abcdef\" }]", "6:23 label"),
        (
            "excluded_addresses = [{ address = \"10.0.0.2\", dev = \"x\" }]",
            "6:47 unknown key `dev`; expected one of `address`, `interface`,",
        ),
        ("excluded_addresses = [3]", "6:23 the number 3; expected an address such as"),
        ("track_scripts = [\"nope\"]", "6:18 there is no script `nope`"),
        ("garp = { repeat = 0 }", "6:19 0 is out of range"),
        ("addresss = 1", "6:1 unknown key `addresss` (did you mean `addresses`?)"),
    ] {
        refused(&format!("{ROUTER}{line}\n"), start);
    }
    refused(&ROUTER.replace("51", "300"), "4:8 300 is out of range; expected 1 to 255");
    refused(&ROUTER.replace("\"10.0.0.1\"", ""), "5:13 0 addresses; expected 1 to 255");
    refused(&ROUTER.replace("eth0", ""), "3:13 `` is no interface name");
    refused(&ROUTER.replace("\"A\"", "\" \""), "2:8 an empty name");
}

#[test]
fn an_ipvlan_is_the_same_in_both_languages() {
    let (config, found) =
        read(&format!("{ROUTER}ipvlan = {{ name = \"gw\", address = \"10.0.0.7/24\", mode = \"private\" }}\n"));
    assert!(found.is_empty(), "{found:#?}");
    let conf = "vrrp_instance A {\n interface eth0\n virtual_router_id 51\n use_ipvlan gw 10.0.0.7/24 private\n \
                virtual_ipaddress {\n 10.0.0.1\n }\n}\n";
    assert_eq!(config, crate::keepalived::parse(Path::new("f"), conf, &Host::none()).0);
    for (line, start) in [
        ("ipvlan = { mode = \"l3\" }", "6:10 `l3` is no mode; expected bridge, private or vepa"),
        ("ipvlan = { address = \"fe80::7\" }", "6:10 `fe80::7` is no address of IPv4, such as 10.0.0.7/24"),
        ("ipvlan = { name = \"a/b\" }", "6:10 `a/b` is no name of an interface"),
        ("ipvlan = {}\nvmac = true", "6:10 `ipvlan` beside `vmac`; expected one of them"),
        (
            "ipvlan = { address = \"10.0.0.7\" }\nunicast = { peers = [\"10.0.0.9\"] }",
            "6:10 unicast adverts are sent and heard by the interface itself",
        ),
    ] {
        refused(&format!("{ROUTER}{line}\n"), start);
    }
}

#[test]
fn routers_must_not_share() {
    refused(&format!("{ROUTER}{ROUTER}"), "7:8 a second router `A`");
    let other = ROUTER.replace("\"A\"", "\"B\"");
    refused(
        &format!("{ROUTER}{}", other.replace("10.0.0.1", "10.0.0.2")),
        "9:8 VRID 51 on `eth0` is already used by `A`",
    );
    refused(&format!("{ROUTER}{}", other.replace("51", "52")), "10:14 10.0.0.1 is already an address of `A`");
}

#[test]
fn an_address_can_be_in_adverts_twice() {
    let (config, found) = read(&ROUTER.replace("[\"10.0.0.1\"]", "[\"10.0.0.1/24\", \"10.0.0.2\", \"10.0.0.1\"]"));
    let said = "5:41 10.0.0.1 is already an address of this router; adverts list it twice, as it is here";
    assert_eq!(found, [said]);
    let router = &config.unwrap().routers[0];
    assert_eq!((router.addresses.len(), router.served().count()), (3, 2));
}

#[test]
fn strict_unicast_is_served_and_told_of() {
    let lines = "strict = true\nunicast = { peers = [\"10.0.0.9\"] }\n";
    let (config, found) = read(&format!("{ROUTER}{lines}"));
    assert_eq!(found, ["7:11 strict VRRP has no unicast peers; adverts go to them all the same"]);
    let router = &config.unwrap().routers[0];
    let peers = vec!["10.0.0.9".parse().unwrap()];
    assert_eq!((router.strict, &router.transport), (true, &Transport::Unicast { source: None, peers }));
}

#[test]
fn an_election_needs_no_address_and_no_peer() {
    let lines = "addresses = []\nno_addresses = true\nunicast = { peers = [], fault_without_peers = true }\n";
    let (config, found) = read(&ROUTER.replace("addresses = [\"10.0.0.1\"]\n", lines));
    assert!(found.is_empty(), "{found:#?}");
    let router = &config.unwrap().routers[0];
    assert_eq!((router.addresses.len(), &router.transport), (0, &Transport::Unicast { source: None, peers: vec![] }));
}
