mod bfd;

use super::*;
use crate::model::{
    CheckKind, FlapDamping, HttpCheck, LeaseTime, Placement, Policy, QuorumLoss, TelemetrySettings, Transport,
    UdpReply, Url, Version,
};
use mesh_wire::mesh::Family;
use std::time::Duration;

const ROUTER: &str = "[[router]]\nname = \"A\"\ninterface = \"eth0\"\nvrid = 51\naddresses = [\"10.0.0.1\"]\n";

fn read(text: &str) -> (Option<Config>, Vec<String>) {
    let (config, report) = parse(Path::new("f"), text, &Host::none());
    let short = |f: &Finding| format!("{}:{} {}", f.place.line, f.place.column, f.message);
    (config, report.findings.iter().map(short).collect())
}

#[track_caller]
fn refused(text: &str, start: &str) {
    let (config, found) = read(text);
    assert!(config.is_none(), "usable:\n{text}");
    assert!(found.iter().any(|f| f.starts_with(start)), "{found:#?}\nin\n{text}");
}

#[test]
fn defaults_are_those_of_keepalived() {
    let (config, found) = read(ROUTER);
    assert!(found.is_empty(), "{found:#?}");
    let conf = "vrrp_instance A {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n 10.0.0.1\n }\n}\n";
    assert_eq!(config, crate::keepalived::parse(Path::new("f"), conf, &Host::none()).0);
    assert!(config.is_some());
}

#[test]
fn errors_of_the_language_are_placed() {
    refused("# é\na = = 1\n", "2:5 ");
    refused("[mesh]\nnam = \"x\"\n", "2:1 unknown key `nam` (did you mean `name`?)");
    refused("[mesh]\nname = 3\n", "2:8 the number 3; expected text in quotes");
    refused("[mesh]\nlease = \"1\"\n", "2:9 `1` is no duration; expected");
    refused("[mesh]\nlisten = \"x\"\n", "2:10 ");
    refused("[[router]]\nname = \"A\"\n", "1:1 the key `interface` is missing");
    refused("[[router]]\nname = \"é\", x = 1\n", "2:11 ");
}

#[test]
fn process_errors_are_placed() {
    for (text, start) in [
        (
            "[[host.track_group]]\nname = \"G\"\nrouters = [\"none\"]",
            "3:12 there is no router `none`; expected the name of a `[[router]]`",
        ),
        (
            "[[host.track_group]]\nname = \"G\"\nrouters = []\n[[host.track_group]]\nname = \"G\"\nrouters = []",
            "5:8 a second track_group `G`",
        ),
        (
            "[host]\nroutes = [\"10.8.0.0/16 dev eth0\"]\n[[host.track_group]]\nname = \"G\"\nrouters = []\n\
             routes = [\"10.8.0.0/16 via 10.0.0.9\"]",
            "6:11 the kernel keeps one of this and `route 10.8.0.0/16 dev eth0`: expected another metric or table",
        ),
        (
            "[host]\nrules = [\"from 10.9.0.0/24 table 7 priority 9\", \"from 10.9.0.0/24 table 7 priority 9\"]",
            "2:49 a second `rule from 10.9.0.0/24 table 7 priority 9`",
        ),
        ("[process]\numask = \"01000\"", "2:9 `01000` is no mask; expected"),
        ("[process]\ninstance = \"a/b\"", "2:12 `a/b` is no name; expected one without `/`"),
        ("[process]\nnet_namespace_ipvs = \"a/b\"", "2:22 `a/b` is no network namespace; expected a name, or a whole"),
        ("[process]\nnet_namespace = \"\"", "2:17 `` is no name"),
        ("[process]\nreload_log = \"x\"", "2:14 `x` is no whole path"),
        ("[process]\nname = \"longer than fifteen\"", "2:8 a name of 19 bytes; expected 1 to 15"),
        ("[process]\nmost_automatic = 100", "2:18 100 is out of range; expected 0 to 99"),
        ("[process]\nlate = \"11s\"", "2:8 11s is out of range"),
        ("[process.vrrp]\nnice = 20", "2:8 20 is out of range; expected -20 to 19"),
        ("[process.bfd]\nrealtime = 0", "2:12 0 is out of range; expected 1 to 99"),
        ("[process.checker]\nprocessors = [0, 1024]", "2:18 1024 is out of range; expected 0 to 1023"),
        ("[process]\nreload_file = \"x\"", "2:15 `x` is no whole path; expected"),
        ("[dumps]\njson_version = 3", "2:16 3 is out of range; expected 1 to 2"),
        ("[dumps]\nstate = \"x\"", "2:9 `x` is no whole path"),
        ("[dumps]\nuse_instance = 1", "2:16 the number 1; expected true or false"),
    ] {
        refused(text, start);
    }
}

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
        ("strict = true\nunicast = { peers = [\"10.0.0.9\"] }", "7:11 strict: adverts are multicast"),
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
fn script_errors_are_placed() {
    let script = "[[script]]\nname = \"s\"\ncommand = \"/bin/true\"\n";
    for (line, start) in [
        ("weight = 254", "4:10 254 is out of range; expected -253 to 253"),
        ("interval = \"1ms\"", "4:12 1ms is out of range"),
        ("rise = 0", "4:8 0 is out of range"),
        ("group = \"x\"", "4:9 `group` without `user`"),
        ("[[script]]\nname = \"s\"\ncommand = \"/bin/x\"", "5:8 a second script `s`"),
    ] {
        refused(&format!("{script}{line}\n"), start);
    }
    refused(&script.replace("\"/bin/true\"", "[]"), "3:11 an empty command");
    refused(&script.replace("\"/bin/true\"", "\"\""), "3:11 an empty command");
}

#[test]
fn mesh_settings() {
    let (config, found) =
        read("[mesh]\nname = \"lb1\"\nlisten = \"10.0.0.1:7946\"\nlease = \"300ms\"\nrealtime = false\n");
    assert!(found.is_empty(), "{found:#?}");
    let mesh = config.unwrap().mesh;
    assert_eq!((mesh.name.as_deref(), mesh.listen), (Some("lb1"), Some("10.0.0.1:7946".parse().unwrap())));
    assert_eq!(mesh.lease, LeaseTime::Fixed(Duration::from_millis(300)));
    assert!(!mesh.realtime && crate::model::MeshSettings::default().realtime);
    let (config, found) = read("[mesh]\nreplace_after = \"90s\"\n");
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(config.unwrap().mesh.replace_after, Some(Duration::from_secs(90)));
    refused("[mesh]\nreplace_after = \"500ms\"\n", "2:17 500ms is out of range; expected 1s to 86400s");
    refused("[mesh]\nlease = \"4s\"\n", "2:9 4s is out of range; expected 300ms to 3s");
    refused("[mesh]\nname = \"\"\n", "2:8 an empty name");
}

#[test]
fn a_lease_is_a_profile_or_a_duration() {
    for (line, lease) in [
        ("", LeaseTime::Fast),
        ("profile = \"compat\"\n", LeaseTime::Compat),
        ("profile = \"fast\"\n", LeaseTime::Fast),
        ("profile = \"aggressive\"\n", LeaseTime::Aggressive),
        ("lease = \"3s\"\n", LeaseTime::Fixed(Duration::from_secs(3))),
    ] {
        let (config, found) = read(&format!("[mesh]\n{line}"));
        assert!(found.is_empty(), "{line}: {found:#?}");
        assert_eq!(config.unwrap().mesh.lease, lease, "{line}");
    }
    let both = "3:9 `lease` beside `profile`; expected one of the two";
    refused("[mesh]\nprofile = \"fast\"\nlease = \"1s\"\n", both);
    refused(
        "[mesh]\nprofile = \"slow\"\n",
        "2:11 unknown value `slow`; expected one of `compat`, `fast`, `aggressive`",
    );
    refused("[mesh]\nprofile = 1\n", "2:11 ");
}

#[test]
fn server_errors_are_placed() {
    let server =
        "[[virtual_server]]\naddress = \"10.0.0.1:80\"\nprotocol = \"tcp\"\nscheduler = \"rr\"\nforwarding = \"dr\"\n";
    let real = "[[virtual_server.real_server]]\naddress = \"10.0.0.2:80\"\n";
    for (lines, start) in [
        (format!("persistence = \"0s\"\n{real}"), "6:15 0ns is out of range"),
        (format!("persistence = \"1.5s\"\n{real}"), "6:15 expected whole seconds"),
        (format!("{real}weight = -1"), "8:10 -1 is out of range"),
        (real.replace("10.0.0.2", "[fe80::1]"), "7:11 expected an address of the virtual server's family"),
        (format!("{real}check = [{{ type = \"http\" }}]"), "8:19 this check needs at least one `url`"),
        (
            format!("{real}check = [{{ type = \"tcp\", url = [{{ path = \"/\" }}] }}]"),
            "8:32 a check of type tcp has no `url`",
        ),
        (format!("{real}check = [{{ type = \"http\", url = [{{ path = \"x\" }}] }}]"), "8:43 expected a path"),
        (format!("{real}check = [{{ type = \"tcp\", port = 0 }}]"), "8:33 0 is out of range"),
        (format!("{real}check = [{{ type = \"ftp\" }}]"), "8:19 unknown value `ftp`"),
    ] {
        refused(&format!("{server}{lines}\n"), start);
    }
}

#[test]
fn checks_have_what_they_decide_by() {
    let kinds = |track_file: &str, checks: &str| {
        let (config, found) = read(&format!(
            "[[track_file]]\nname = \"f\"\npath = \"/run/f\"\n{track_file}\n[[virtual_server]]\naddress = \"10.0.0.1:80\"\n\
             protocol = \"tcp\"\nscheduler = \"rr\"\nforwarding = \"dr\"\n[[virtual_server.real_server]]\n\
             address = \"10.0.0.2:80\"\ncheck = [{checks}]\n"
        ));
        let mut config = config.unwrap_or_else(|| panic!("{found:#?}"));
        let checks = config.virtual_servers.remove(0).real_servers.remove(0).checks;
        checks.into_iter().map(|check| check.kind).collect::<Vec<_>>()
    };
    let file = |weight, dynamic| CheckKind::File { file: "f".into(), weight, reverse: false, dynamic };
    let own = "{ type = \"file\", file = \"f\", weight = 0 }";
    let off = "{ type = \"file\", file = \"f\", dynamic = false }";
    let expected = [file(3, true), file(0, false), file(3, false)];
    assert_eq!(kinds("weight = 3", &format!("{{ type = \"file\", file = \"f\" }}, {own}, {off}")), expected);

    let reply = UdpReply { pattern: vec![(0x00, 0x0f), (0xff, 0xff), (0x00, 0x00)], least: 0, most: 255 };
    let udp = CheckKind::Udp { payload: None, reply: Some(reply) };
    assert_eq!(kinds("", "{ type = \"udp\", reply = \"x0 ff XX\" }"), [udp]);

    let http = HttpCheck::new(false, vec![Url::new("/"), Url { status: vec![(200, 299)], ..Url::new("/a") }]);
    let url = "[{ path = \"/\" }, { path = \"/a\", status = [] }]";
    assert_eq!(kinds("", &format!("{{ type = \"http\", url = {url} }}")), [CheckKind::Http(http)]);
    assert_eq!(Url::new("/").status, [(200, 299)]);
}

#[test]
fn what_happens_without_a_quorum_is_said_for_all_and_for_one() {
    let (config, found) = read(&format!(
        "[mesh]\non_quorum_loss = \"vrrp\"\nquorum_loss_delay = \"2s\"\ntrusted_neighbours = [\"10.0.0.9\"]\n\
         {ROUTER}on_quorum_loss = \"fence\"\ntrusted_neighbours = [\"10.0.1.0/24\", \"10.0.0.8\"]\n"
    ));
    assert!(found.is_empty(), "{found:#?}");
    let config = config.unwrap();
    let net = |text: &str| text.parse().unwrap();
    let all = Policy {
        on_quorum_loss: Some(QuorumLoss::Vrrp),
        quorum_loss_delay: Some(Duration::from_secs(2)),
        trusted_neighbours: Some(vec![net("10.0.0.9/32")]),
    };
    assert_eq!(config.mesh.policy, all);
    let one = Policy {
        on_quorum_loss: Some(QuorumLoss::Fence),
        quorum_loss_delay: None,
        trusted_neighbours: Some(vec![net("10.0.1.0/24"), net("10.0.0.8/32")]),
    };
    assert_eq!(config.routers[0].policy, one);
    let silent = read(ROUTER).0.unwrap();
    assert_eq!((&silent.mesh.policy, &silent.routers[0].policy), (&Policy::default(), &Policy::default()));
}

#[test]
fn errors_about_lost_quorums_and_neighbours_are_placed() {
    refused("[mesh]\non_quorum_loss = \"stop\"\n", "2:18 unknown value `stop`; expected one of `fence`, `vrrp`");
    refused("[mesh]\nquorum_loss_delay = \"301s\"\n", "2:21 301s is out of range; expected 0ns to 300s");
    refused("[mesh]\ntrusted_neighbours = [\"10.0.0.1\", \"lb9\"]\n", "2:35 `lb9` is no address");
    let router = |line: &str| format!("{ROUTER}{line}\n");
    refused(&router("trusted_neighbours = [\"10.0.0.0/33\"]"), "6:23 `10.0.0.0/33` is no address");
    refused(&router("quorum_loss_delay = \"1\""), "6:21 `1` is no duration");
}

#[test]
fn ipv6_routers() {
    let six = ROUTER.replace("\"10.0.0.1\"", "\"2001:db8::80/64\", \"fe80::80\"");
    let read = |text: &str| match read(text) {
        (Some(mut config), _) => config.routers.remove(0),
        (None, found) => panic!("{found:#?}\nin\n{text}"),
    };
    let router = read(&format!("{six}excluded_addresses = [\"10.0.0.9/24\"]\nadvert_interval = \"50ms\"\n"));
    assert_eq!((router.key.family, router.version, router.key.vrid), (Family::Ipv6, Version::V3, 51));
    assert_eq!(router.excluded_addresses[0].net, "10.0.0.9/24".parse().unwrap());
    let router = read(&format!("{six}unicast = {{ source = \"fe80::1\", peers = [\"fe80::2\"] }}\n"));
    let (source, peers) = (Some("fe80::1".parse().unwrap()), vec!["fe80::2".parse().unwrap()]);
    assert_eq!(router.transport, Transport::Unicast { source, peers });

    refused(&format!("{six}version = 2\n"), "6:11 VRRP version 2 has no IPv6; expected 3");
    refused(&format!("{six}auth_pass = \"1\"\n"), "6:13 VRRP version 3 has no authentication");
    refused(
        &format!("{six}unicast = {{ peers = [\"10.0.0.9\"] }}\n"),
        "6:22 10.0.0.9 is IPv4, and this router is IPv6",
    );
    refused(&six.replace("fe80::80", "10.0.0.9"), "5:33 10.0.0.9 is IPv4, and this router is IPv6; expected one in");
    let global = six.replace(", \"fe80::80\"", "");
    assert_eq!(read(&global).addresses.len(), 1);
    refused(&format!("{global}strict = true\n"), "5:14 strict: adverts would begin with 2001:db8::80; expected a link");
    let many: Vec<String> = (1..=90).map(|i| format!("\"2001:db8::{i:x}\"")).collect();
    refused(&ROUTER.replace("\"10.0.0.1\"", &many.join(", ")), "5:13 90 addresses; expected 1 to 89");
}

const TRACKED: &str = "
[[script]]
name = \"s\"
command = \"/bin/true\"
[[track_file]]
name = \"f\"
path = \"/run/f\"
[[bfd]]
name = \"b\"
neighbour = \"10.0.0.9\"
[[track_process]]
name = \"p\"
command = [\"/bin/a\", \"x\"]
parameters = \"initial\"
full_command = true
weight = -7
reverse = true
quorum = 2
quorum_max = 3
fork_delay = \"1.5s\"
terminate_delay = \"3s\"
[delays]
startup = \"5.5s\"
after_boot = \"30s\"
links = [{ interface = \"eth0\", down = \"1s\", up = \"2s\" }, { interface = \"eth1\", down = \"500ms\" }]
";

fn two_routers() -> String {
    format!("{ROUTER}{}", ROUTER.replace("\"A\"", "\"B\"").replace("51", "52").replace("10.0.0.1", "10.0.0.2"))
}

/// The same as keepalived.conf makes of the same.
#[test]
fn groups_and_trackers_are_those_of_keepalived() {
    let tracks = "track_interfaces = [{ name = \"eth9\", weight = -20, reverse = true }]\ntrack_scripts = [\"s\"]\n\
                  track_files = [{ name = \"f\", weight = 2 }]\ntrack_processes = [\"p\"]\ntrack_bfds = [\"b\"]\n";
    let group = format!(
        "[[sync_group]]\nname = \"G\"\nrouters = [\"A\", \"B\"]\nmember_weights = true\nalert = true\n{tracks}[sync_group.notify]\nactive = \"/m\"\nany = \"/n\"\n"
    );
    let routers = two_routers().replacen("addresses", &format!("{tracks}track_own_interface = false\naddresses"), 1);
    let (config, found) = read(&format!("dynamic_interfaces = true\n{routers}{group}{TRACKED}"));
    assert!(found.is_empty(), "{found:#?}");
    let blocks = " track_interface {\n  eth9 weight -20 reverse\n }\n track_script {\n  s\n }\n track_file {\n  f weight 2\n }\n \
                  track_process {\n  p\n }\n track_bfd {\n  b\n }\n";
    let instance = |name: &str, vrid: u8, more: &str| {
        format!(
            "vrrp_instance {name} {{\n interface eth0\n virtual_router_id {vrid}\n virtual_ipaddress {{\n  10.0.0.{}\n }}\n{more}}}\n",
            vrid - 50
        )
    };
    let text = format!(
        "global_defs {{\n vrrp_startup_delay 5.5\n vrrp_delay_after_boot 30\n dynamic_interfaces\n}}\n\
         interface_up_down_delays {{\n eth0 1 2\n eth1 0.5\n}}\nvrrp_script s {{\n script /bin/true\n}}\n\
         track_file f {{\n file /run/f\n}}\nbfd_instance b {{\n neighbor_ip 10.0.0.9\n}}\nvrrp_track_process p {{\n \
         process /bin/a x\n param_match initial\n full_command\n weight -7 reverse\n quorum 2\n quorum_max 3\n \
         fork_delay 1.5\n terminate_delay 3\n}}\n{}{}vrrp_sync_group G {{\n group {{\n  A\n  B\n }}\n \
         sync_group_tracking_weight\n notify_master /m\n notify /n\n smtp_alert\n{blocks}}}\n",
        instance("A", 51, &format!(" dont_track_primary\n{blocks}")),
        instance("B", 52, "")
    );
    let (same, _) = crate::keepalived::parse(Path::new("f"), &text, &Host::none());
    assert_eq!(config.unwrap(), same.unwrap());
}

#[test]
fn group_and_tracker_errors_are_placed() {
    let routers = two_routers();
    let end = routers.lines().count();
    let group = |lines: &str| format!("{routers}[[sync_group]]\nname = \"G\"\n{lines}\n");
    for (lines, line, start) in [
        ("routers = [\"A\"]", 3, "11 1 router; expected two or more that move together"),
        ("routers = [\"A\", \"Z\"]", 3, "17 there is no router `Z`; expected a `[[router]]` of that name"),
        ("routers = [\"A\", \"A\"]", 3, "17 `A` is already in sync_group `G`"),
        ("routers = [\"A\", \"B\"]\ntrack_files = [\"f\"]", 4, "16 there is no track_file `f`"),
        ("routers = [\"A\", \"B\"]\ntrack_processes = [\"p\"]", 4, "20 there is no track_process `p`"),
        ("routers = [\"A\", \"B\"]\ntrack_interfaces = [{ name = \"b\", weight = 254 }]", 4, "21 254 is out of range"),
        (
            "routers = [\"A\", \"B\"]\ntrack_bfds = [\"b\"]",
            4,
            "15 there is no bfd `b`; expected a `[[bfd]]` of that name",
        ),
        (
            "routers = [\"A\", \"B\"]\ntrack_interfaces = [{ name = \"b\", reverse = true }]",
            4,
            "21 `reverse` without `weight`",
        ),
        ("routers = [\"A\", \"B\"]\ntrack_interfaces = [\"e\", \"e\"]", 4, "26 `e` is already tracked"),
    ] {
        refused(&group(lines), &format!("{}:{start}", end + line));
    }
    let weighted = routers.replacen("addresses", "track_interfaces = [{ name = \"eth9\", weight = 5 }]\naddresses", 1);
    let member = format!("{weighted}[[sync_group]]\nname = \"G\"\nrouters = [\"A\", \"B\"]\n");
    refused(&member, &format!("{}:12 `A` tracks with a weight: expected `member_weights = true`, or none", end + 4));
    let process = "[[track_process]]\nname = \"p\"\ncommand = \"/bin/a\"\n";
    for (lines, start) in [
        ("weight = 255", "4:10 255 is out of range; expected -254 to 254"),
        ("quorum = 3\nquorum_max = 2", "5:14 at most 2 and at least 3"),
        ("fork_delay = \"2h\"", "4:14 `2h` is no duration"),
        ("terminate_delay = \"3601s\"", "4:19 3601s is out of range"),
        ("parameters = \"some\"", "4:14 unknown value `some`"),
    ] {
        refused(&format!("{process}{lines}\n"), start);
    }
    refused("[delays]\nlinks = [{ interface = \"a\", down = \"256s\" }]\n", "2:36 256s is out of range");
    let twice = "[delays]\nlinks = [{ interface = \"a\", down = \"1s\" }, { interface = \"a\", down = \"1s\" }]\n";
    refused(twice, "2:58 `a` has delays already");
}

#[test]
fn telemetry_is_read_and_its_errors_are_placed() {
    let all = "[telemetry]\nlisten = \"127.0.0.1:9110\"\nendpoint = \"http://10.1.1.5:4317\"\nheaders_file = \"/etc/h\"\n\
               service_name = \"edge\"\nsampling = false\n";
    let (config, found) = read(all);
    assert!(found.is_empty(), "{found:#?}");
    let expected = TelemetrySettings {
        listen: Some("127.0.0.1:9110".parse().unwrap()),
        endpoint: Some("http://10.1.1.5:4317".to_owned()),
        headers_file: Some("/etc/h".into()),
        service_name: Some("edge".to_owned()),
        sampling: false,
    };
    assert_eq!(config.unwrap().telemetry, expected);
    assert_eq!(read("").0.unwrap().telemetry, TelemetrySettings::default());
    for (line, start) in [
        ("listen = \"127.0.0.1:0\"", "2:10 127.0.0.1:0 has no port; expected"),
        ("listen = 9110", "2:10 the number 9110; expected an address with a port, such as"),
        ("endpoint = \"collector:4317\"", "2:12 `collector:4317` is no collector; expected \"http://"),
        ("endpoint = \"http://\"", "2:12 `http://` is no collector"),
        ("headers_file = \"\"", "2:16 an empty name"),
        ("service_name = \" \"", "2:16 an empty name"),
        ("sampling = \"off\"", "2:12 the text \"off\"; expected true or false"),
        ("sample = true", "2:1 unknown key `sample`"),
    ] {
        refused(&format!("[telemetry]\n{line}\n"), start);
    }
}

#[test]
fn placement_is_read() {
    let other = ROUTER.replace("\"A\"", "\"B\"").replace("51", "52").replace("0.1", "0.2");
    let (config, found) = read(&format!("{ROUTER}keep_apart = [\"B\"]\n{other}spread = true\n"));
    assert!(found.is_empty(), "{found:#?}");
    let config = config.unwrap();
    assert_eq!(config.mesh.placement, Placement::default());
    assert_eq!(config.routers[0].keep_apart, ["B"]);
    assert_eq!([0, 1].map(|n| config.spreads(&config.routers[n])), [false, true]);
    let keys = "[mesh]\nspread = true\ncapacity = 50\nmoves_per_minute = 6\nrebalance_after = \"3s\"\n";
    let (config, found) = read(&format!("{keys}{ROUTER}spread = false\n{other}"));
    assert!(found.is_empty(), "{found:#?}");
    let config = config.unwrap();
    let placement =
        Placement { spread: true, capacity: 50, moves_per_minute: 6, rebalance_after: Duration::from_secs(3) };
    assert_eq!(config.mesh.placement, placement);
    assert_eq!([0, 1].map(|n| config.spreads(&config.routers[n])), [false, true]);
    refused("[mesh]\ncapacity = 0\n", "2:12 0 is out of range; expected 1 to 10000");
    refused("[mesh]\ncapacity = 10001\n", "2:12 10001 is out of range");
    refused("[mesh]\nmoves_per_minute = 0\n", "2:20 0 is out of range; expected 1 to 6000");
    refused("[mesh]\nrebalance_after = \"120m\"\n", "2:19 7200s is out of range; expected 1s to 3600s");
    refused("[mesh]\nspread = \"yes\"\n", "2:10 the text \"yes\"; expected true or false");
    refused(&format!("{ROUTER}keep_apart = [\"B\", \"B\"]\n{other}"), "6:20 `B` is in the list already");
}

#[test]
fn damping_is_read() {
    let damping = |text: &str| {
        let (config, found) = read(&format!("[mesh]\nname = \"lb1\"\n{text}\n{ROUTER}"));
        assert!(found.is_empty(), "{text}: {found:#?}");
        config.unwrap().mesh.damping
    };
    let seconds = Duration::from_secs;
    let usual = FlapDamping { falls: 3, within: seconds(60), hold: seconds(10), max: seconds(300) };
    assert_eq!(damping(""), Some(usual));
    assert_eq!(damping("flap_damping = true"), Some(usual));
    assert_eq!(damping("flap_damping = false"), None);
    assert_eq!(damping("flap_damping = { falls = 5 }"), Some(FlapDamping { falls: 5, ..usual }));
    assert_eq!(damping("flap_damping = { hold = \"10m\" }").map(|d| d.max), Some(seconds(600)), "never below hold");
    let all = "flap_damping = { falls = 2, within = \"1s\", hold = \"1s\", max = \"1s\" }";
    let least = FlapDamping { falls: 2, within: seconds(1), hold: seconds(1), max: seconds(1) };
    assert_eq!(damping(all), Some(least));
    for setting in [all, "flap_damping = false", "flap_damping = { falls = 5 }"] {
        let (config, _) = read(&format!("[mesh]\n{setting}\n{ROUTER}"));
        let (text, lost) = write(config.as_ref().unwrap());
        assert_eq!((read(&text).0, lost), (config, Vec::new()), "{text}");
    }
    let expected = "expected false, or a table with falls, within, hold, max";
    for (value, start) in [
        ("{ falls = 1 }", "2:16 1 is out of range; expected 2 to 100"),
        ("{ falls = 101 }", "2:16 101 is out of range"),
        ("{ within = \"0s\" }", "2:16 0ns is out of range; expected 1s to 3600s"),
        ("{ hold = \"2h\" }", expected),
        ("{ hold = \"61m\" }", "2:16 3660s is out of range"),
        ("{ hold = \"20s\", max = \"19s\" }", "2:16 19s is out of range; expected 20s to 3600s"),
        ("{ fall = 3 }", expected),
        ("\"off\"", expected),
    ] {
        let start = if start == expected { format!("2:16 {expected}") } else { start.to_owned() };
        refused(&format!("[mesh]\nflap_damping = {value}\n"), &start);
    }
}

#[test]
fn notifications_are_the_same_in_both_languages() {
    let conf = "global_defs {\n notify_fifo /run/all ops staff\n notify_fifo_script \"/follow all\" ops\n vrrp_notify_fifo /run/vrrp\n \
                lvs_notify_fifo /run/lvs\n vrrp_notify_priority_changes\n fifo_write_vrrp_states_on_reload\n startup_script /up\n \
                startup_script_timeout 3\n shutdown_script /down\n shutdown_script_timeout 4\n use_symlink_paths\n \
                set_supplementary_groups\n}\nvrrp_instance A {\n interface eth0\n virtual_router_id 51\n virtual_ipaddress {\n  \
                10.0.0.1\n }\n notify_master \"/m x\"\n notify_backup /b ops\n notify_fault /f\n notify_stop /s\n \
                notify_deleted\n notify /n\n notify_master_rx_lower_pri /l\n notify_priority_changes off\n smtp_alert\n}\n";
    let toml = "[scripts]\nsymlink_paths = true\nsupplementary_groups = true\n[notify]\nfifo = { path = \"/run/all\", user = \"ops\", \
                group = \"staff\", script = { command = [\"/follow\", \"all\"], user = \"ops\" } }\nrouter_fifo = \"/run/vrrp\"\n\
                priority_changes = true\nstates_on_reload = true\nstartup = \"/up\"\nstartup_timeout = \"3s\"\nshutdown = \"/down\"\n\
                shutdown_timeout = \"4s\"\n[lvs]\nnotify_fifo = \"/run/lvs\"\n[[router]]\nname = \"A\"\ninterface = \"eth0\"\nvrid = 51\n\
                addresses = [\"10.0.0.1\"]\nalert = true\n[router.notify]\nactive = [\"/m\", \"x\"]\nbackup = { command = \"/b\", \
                user = \"ops\" }\nfault = \"/f\"\nstop = \"/s\"\ntell_deleted = true\nany = \"/n\"\nlower_priority = \"/l\"\n\
                priority_changes = false\n";
    let read = |text| crate::parse(Path::new("f"), text, &Host::none());
    let ((conf, conf_report), (toml, toml_report)) = (read(conf), read(toml));
    assert_eq!((conf_report.findings, toml_report.findings), (vec![], vec![]));
    assert!(conf.is_some());
    assert_eq!(conf, toml);
    let programs = |report: crate::report::Places| report.programs.len();
    assert_eq!((programs(conf_report.places), programs(toml_report.places)), (9, 9));
}

#[test]
fn notifications_out_of_range_are_placed() {
    for (text, start) in [
        ("[notify]\nstartup_timeout = \"0s\"\n", "2:19 0ns is out of range; expected 1s to 1000s"),
        ("[notify]\nshutdown_timeout = \"1001s\"\n", "2:20 1001s is out of range"),
        ("[notify]\nfifo = { path = \"/a\", group = \"g\" }\n", "2:31 `group` without `user`"),
        ("[notify]\nfifo = 3\n", "2:8 the number 3; expected a file such as"),
        ("[notify]\nfifo = \"/a\"\nrouter_fifo = \"/a\"\n", "3:16 `/a` is another FIFO already"),
        ("[notify]\nstartup = []\n", "2:11 an empty command"),
    ] {
        let (config, report) = parse(Path::new("f"), text, &Host::none());
        let found: Vec<String> =
            report.findings.iter().map(|f| format!("{}:{} {}", f.place.line, f.place.column, f.message)).collect();
        assert!(config.is_none() && found.len() == 1 && found[0].starts_with(start), "{text}: {found:?}");
    }
}

#[test]
fn paces_and_groups_are_placed() {
    for (text, start) in [
        ("[vrrp]\ngarp_interval = \"11s\"\n", "2:17 11s is out of range; expected 0ns to 10s"),
        ("[[vrrp.garp_group]]\ninterfaces = []\ngarp_interval = \"1ms\"\n", "1:1 no interface"),
        ("[[vrrp.garp_group]]\ninterfaces = [\"a\"]\n", "1:1 no interval"),
        (
            "[[vrrp.garp_group]]\ninterfaces = [\"a\", \"a\"]\ngna_interval = \"1ms\"\n",
            "2:20 `a` is already in a group",
        ),
    ] {
        refused(text, start);
    }
}

#[test]
fn an_election_needs_no_address_and_no_peer() {
    let lines = "addresses = []\nno_addresses = true\nunicast = { peers = [], fault_without_peers = true }\n";
    let (config, found) = read(&ROUTER.replace("addresses = [\"10.0.0.1\"]\n", lines));
    assert!(found.is_empty(), "{found:#?}");
    let router = &config.unwrap().routers[0];
    assert_eq!((router.addresses.len(), &router.transport), (0, &Transport::Unicast { source: None, peers: vec![] }));
}
