mod bfd;
mod host;
mod notifications;
mod routers;
mod tracking;

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
