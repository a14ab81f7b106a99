use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use mesh_config::host::Host;
use mesh_core::input::{Datagram, Interface};
use mesh_core::lease::memory::VoterStart;
use mesh_core::{Engine, Input, Instant, Setup};
use mesh_wire::mesh::NodeId;

use super::*;

const CONFIG: &str = r#"global_defs {
    router_id LVS_TEST
    script_user root
    enable_script_security
    vrrp_skip_check_adv_addr
}
vrrp_script chk {
    script "/usr/bin/true a b"
    interval 2
    weight -20
    rise 2
    fall 3
}
vrrp_instance VI_1 {
    interface v0
    virtual_router_id 51
    priority 200
    authentication {
        auth_type PASS
        auth_pass 1111
    }
    virtual_ipaddress {
        10.9.0.100/24
        10.9.0.101/32 label v0:1
    }
    virtual_ipaddress_excluded {
        10.9.0.102/24 brd 10.9.0.255
    }
    track_script {
        chk
    }
}
vrrp_instance VI_2 {
    interface v0
    virtual_router_id 52
    version 3
    advert_int 0.5
    nopreempt
    unicast_src_ip 10.9.0.1
    unicast_peer {
        10.9.0.2
        10.9.0.3
    }
    virtual_ipaddress {
        10.9.0.110/24
    }
}
virtual_server 10.9.0.100 80 {
    lb_algo rr
    lb_kind NAT
    protocol TCP
    real_server 10.9.0.201 80 {
        weight 2
        TCP_CHECK {
            connect_timeout 3
        }
    }
}
"#;

fn config(text: &str) -> Config {
    let (config, report) = mesh_config::parse(Path::new("f"), text, &Host::none());
    config.unwrap_or_else(|| panic!("{:?}", report.findings))
}

/// Three and a half seconds of a host that is alone: VI_1 (priority 200) is active, VI_2 has been for longer.
fn dump(config: &Config) -> Dump {
    let setup = Setup {
        node: NodeId(0),
        name: "lb1".to_owned(),
        roster: None,
        successor: Default::default(),
        version: "1".to_owned(),
        seed: 1,
        unix_at_zero: Duration::from_secs(1_795_677_133),
        voter: VoterStart::default(),
        adopted: Vec::new(),
        holds: Vec::new(),
    };
    let mut engine = Engine::new(setup, config.clone(), Instant::default());
    let addresses = vec!["10.9.0.1/24".parse().unwrap()];
    let v0 = Interface { name: "v0".to_owned(), running: true, addresses, unusable: Vec::new() };
    engine.step(Instant::default(), Input::Interface(v0));
    let wrong = Datagram {
        interface: "v0".to_owned(),
        source: "10.9.0.2".parse().unwrap(),
        destination: "224.0.0.18".parse().unwrap(),
        ttl: 255,
        payload: vec![0x21, 51, 100],
    };
    engine.step(Instant::default(), Input::Advertisement(wrong));
    let end = Instant::default() + Duration::from_millis(3500);
    while let Some((at, _)) = engine.deadline().filter(|(at, _)| *at <= end) {
        engine.step(at, Input::Timeout);
    }
    engine.dump(end)
}

/// As Prometheus exporters read the file: a router begins at the margin, sections end with a colon.
fn figures(stats: &str) -> BTreeMap<String, u64> {
    let (mut router, mut section) = (String::new(), String::new());
    let mut figures = BTreeMap::new();
    for line in stats.lines() {
        let (key, value) = line.trim().split_once(':').unwrap();
        match (line.len() - line.trim_start().len(), value.trim()) {
            (0, name) => router = name.to_owned(),
            (2, "") => section = format!("{key}/"),
            (2, value) => {
                section.clear();
                figures.insert(format!("{router}/{key}"), value.parse().unwrap());
            }
            (4, value) => drop(figures.insert(format!("{router}/{section}{key}"), value.parse().unwrap())),
            other => panic!("{other:?}"),
        }
    }
    figures
}

#[test]
fn exporters_find_every_figure_in_the_stats() {
    let config = config(CONFIG);
    let figures = figures(&stats::text(&dump(&config)));
    assert_eq!(figures.len(), 2 * 14);
    let value = |key: &str| figures.get(key).copied();
    assert_eq!(value("VI_1/Advertisements/Sent"), Some(1));
    assert_eq!(value("VI_1/Advertisements/Received"), Some(0));
    assert_eq!((value("VI_1/Became master"), value("VI_1/Released master")), (Some(1), Some(0)));
    let errors = ["Length", "TTL", "Invalid Type", "Advertisement Interval", "Address List"];
    let errors = errors.map(|key| value(&format!("VI_1/Packet Errors/{key}")));
    assert_eq!(errors, [Some(1), Some(0), Some(0), Some(0), Some(0)]);
    for key in ["Invalid Type", "Type Mismatch", "Failure"] {
        assert_eq!(value(&format!("VI_1/Authentication Errors/{key}")), Some(0), "{key}");
    }
    assert_eq!((value("VI_1/Priority Zero/Received"), value("VI_1/Priority Zero/Sent")), (Some(0), Some(0)));
    // Active from 1.805 s on, to two peers: adverts at 1.805, 2.305, 2.805 and 3.305 s.
    assert_eq!(value("VI_2/Advertisements/Sent"), Some(8));
}

/// Line for line what keepalived 2.2.7 wrote for this configuration, but for what names its sockets and
/// what it does not say of a script that has no weight in use.
#[test]
fn the_data_is_keepalived_s_of_the_same_configuration() {
    let config = config(CONFIG);
    let text = data::text(&config, &dump(&config));
    let instance = text.split(" VRRP Instance = ").nth(1).unwrap();
    let expected = "VI_1
   VRRP Version = 2
   State = MASTER
   Flags: none
   Wantstate = MASTER
   Number of config faults = 0
   Number of interface and track script faults = 0
   Number of track scripts init = 0
   Last transition = 1795677136.218750 (Thu Nov 26 07:12:16.218750 2026)
   Read timeout = 1795677137.218750 (Thu Nov 26 07:12:17.218750 2026)
   Master down timer = 3218750 usecs
   Interface = v0
   Skip checking advert IP addresses
   Using src_ip = 10.9.0.1
   Multicast address 224.0.0.18
   Gratuitous ARP delay = 5
   Gratuitous ARP repeat = 5
   Gratuitous ARP refresh = 0
   Gratuitous ARP refresh repeat = 1
   Gratuitous ARP lower priority delay = 5
   Gratuitous ARP lower priority repeat = 5
   Down timer adverts = 3
   Send advert after receive lower priority advert = true
   Send advert after receive higher priority advert = false
   Virtual Router ID = 51
   Priority = 200
   Effective priority = 200
   Total priority = 200
   Advert interval = 1 sec
   Accept = enabled
   Preempt = enabled
   Promote_secondaries = disabled
   Authentication type = SIMPLE_PASSWORD
   Password = 1111
   Virtual IP (2):
     10.9.0.100/24 dev v0 scope global set
     10.9.0.101 dev v0 scope global label v0:1 set
   Virtual IP Excluded :
     10.9.0.102/24 brd 10.9.0.255 dev v0 scope global set
   Tracked scripts :
     chk weight -20
   Using smtp notification = no
   Notify deleted = Fault
   Notify priority changes = false
";
    assert_eq!(instance, expected);
    let script = text.split("------< VRRP Scripts >------\n").nth(1).unwrap();
    let expected = " VRRP Script = chk
   Command = '/usr/bin/true' 'a' 'b'
   Interval = 2 sec
   Timeout = 2 sec
   Weight = -20
   Rise = 2
   Fall = 3
   Result = 4
   Insecure = no
   Status = GOOD
   Script user:group = root:root
   Tracking instances :
     VI_1, weight -20
   State = idle
";
    assert!(script.starts_with(expected), "{script}");
    assert!(text.contains("     Using unicast\n") && text.contains("   Advert interval = 500 milli-sec\n"), "{text}");
    assert!(text.contains("   Unicast Peer :\n     10.9.0.2 min_ttl 0 max_ttl 255\n"), "{text}");
}

#[test]
fn json_has_the_members_that_exporters_read() {
    let mut config = config(CONFIG);
    let dump = dump(&config);
    let text = json::text(&config, &dump).unwrap();
    // In keepalived's order, from the first byte on.
    let first = r#"[{"data":{"iname":"VI_1","dont_track_primary":0,"skip_check_adv_addr":1,"strict_mode":0,"vmac_ifname":"","ifp_ifname":"v0","master_priority":0,"last_transition":1795677136.21875,"garp_delay":5,"#;
    assert!(text.starts_with(first), "{text}");
    let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    let data = &parsed[0]["data"];
    assert_eq!((&data["vrid"], &data["state"], &data["wantstate"]), (&51.into(), &2.into(), &2.into()));
    assert_eq!(data["vips"][1], "10.9.0.101 dev v0 scope global label v0:1 set");
    assert_eq!(data["evips"][0], "10.9.0.102/24 brd 10.9.0.255 dev v0 scope global set");
    assert_eq!((&data["auth_type"], &data["auth_data"], &data["adver_int"]), (&1.into(), &"1111".into(), &1.into()));
    assert_eq!(parsed[1]["data"]["adver_int"], 0.5);
    let stats = parsed[1]["stats"].as_object().unwrap();
    assert_eq!(stats.len(), 14);
    assert_eq!((&stats["advert_sent"], &stats["become_master"]), (&8.into(), &1.into()));
    config.process.dumps.json_version = 2;
    let second: serde_json::Value = serde_json::from_str(&json::text(&config, &dump).unwrap()).unwrap();
    assert_eq!((&second["vrrp"], &second["track_script"][0]["status"]), (&parsed, &"GOOD".into()));
}

/// What keepalived 2.2.7 wrote, members and lines in its order; only users are told by name, not by number.
#[test]
fn who_is_told_is_in_both() {
    let notify = "notify_master_rx_lower_pri /usr/bin/lower\nnotify \"/usr/bin/any 'x y'\" nobody nogroup\n\
                  notify_deleted /usr/bin/del\nnotify_stop /usr/bin/stop\nnotify_fault /usr/bin/fault\n\
                  notify_master \"/usr/bin/master a\"\nnotify_backup /usr/bin/backup\n\
                  notify_priority_changes on\nsmtp_alert\n";
    let text = CONFIG.replace(
        "    interface v0\n    virtual_router_id 51\n",
        &format!("interface v0\nvirtual_router_id 51\n{notify}"),
    );
    let text = text.replace("    nopreempt\n", "nopreempt\nnotify_deleted\nnotify /usr/bin/only\n");
    let group = "vrrp_sync_group G {\n group {\n VI_1\n VI_2\n }\n notify_master /usr/bin/group\n smtp_alert on\n}\n";
    let config = config(&(text + group));
    let dump = dump(&config);
    let json = json::text(&config, &dump).unwrap();
    let expected = r#","smtp_alert":true,"notify_deleted":true,"script_backup":"'/usr/bin/backup'","script_master":"'/usr/bin/master' 'a'","script_fault":"'/usr/bin/fault'","script_stop":"'/usr/bin/stop'","script_deleted":"'/usr/bin/del'","script":"'/usr/bin/any' 'x y'","script_master_rx_lower_pri":"'/usr/bin/lower'","vips":["#;
    assert!(json.contains(expected), "{json}");
    let expected = r#","smtp_alert":false,"notify_deleted":true,"script":"'/usr/bin/only'","vips":["#;
    assert!(json.contains(expected), "{json}");
    let data = data::text(&config, &dump);
    let expected = "   Using smtp notification = yes
   Notify deleted = Deleted
   Backup state transition script = '/usr/bin/backup', user root
   Master state transition script = '/usr/bin/master' 'a', user root
   Fault state transition script = '/usr/bin/fault', user root
   Stop state transition script = '/usr/bin/stop', user root
   Deleted state transition script = '/usr/bin/del', user root
   Generic state transition script = '/usr/bin/any' 'x y', user:group nobody:nogroup
   Master rx lower pri state transition script = '/usr/bin/lower', user root
   Notify priority changes = true
 VRRP Instance = VI_2
";
    assert!(data.contains(expected), "{data}");
    let expected = "     VI_2\n   Using smtp notification = yes\n   Master state transition script = '/usr/bin/group', \
                    user root\n------< VRRP Scripts >------\n";
    assert!(data.contains(expected), "{data}");
}

#[test]
fn choices_are_in_both_and_keys_in_neither() {
    let choices = "no_accept\nlower_prio_no_advert\nhigher_prio_send_advert\npromote_secondaries\n\
                   down_timer_adverts 4\nmcast_dst_ip 224.0.0.99\ngarp_lower_prio_repeat 7\ngarp_lower_prio_delay 8\n";
    let text = CONFIG.replace("auth_type PASS", "auth_type AH").replace("1111", "hushhush");
    let text = text.replace(
        "    interface v0\n    virtual_router_id 51\n",
        &format!("interface v0\nvirtual_router_id 51\n{choices}"),
    );
    let text =
        text.replace("unicast_src_ip", "unicast_ttl 9\nunicast_src_ip").replace("10.9.0.2\n", "10.9.0.2 min_ttl 7\n");
    let config = config(&text);
    let dump = dump(&config);
    let data = data::text(&config, &dump);
    for line in [
        "Accept = disabled",
        "Send advert after receive lower priority advert = false",
        "Send advert after receive higher priority advert = true",
        "Promote_secondaries = enabled",
        "Down timer adverts = 4",
        "Check unicast src : yes",
        "Multicast address 224.0.0.99",
        "Gratuitous ARP lower priority delay = 8",
        "Gratuitous ARP lower priority repeat = 7",
        "Authentication type = IPSEC_AH",
        "Unicast TTL = 9",
        "  10.9.0.2 min_ttl 7 max_ttl 255",
        "  10.9.0.3 min_ttl 0 max_ttl 255",
    ] {
        assert!(data.contains(&format!("   {line}\n")), "no {line:?} in {data}");
    }
    let json = json::text(&config, &dump).unwrap();
    assert!(!data.contains("hush") && !json.contains("hush"));
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    let of = |key: &str| parsed[0]["data"][key].clone();
    assert_eq!((of("accept"), of("auth_type"), of("auth_data")), (0.into(), 2.into(), ().into()));
    assert_eq!((of("lower_prio_no_advert"), of("higher_prio_send_advert")), (1.into(), 1.into()));
    assert_eq!((of("garp_lower_prio_rep"), of("promote_secondaries")), (7.into(), true.into()));
}

#[test]
fn virtual_servers_are_as_the_process_for_checks_writes_them() {
    let config = config(CONFIG);
    let text = services::text(&config, &[]);
    for part in [
        " VS VIP = 10.9.0.100, VPORT = 80\n   Address family = inet\n",
        "   RIP = 10.9.0.201, RPORT = 80, WEIGHT = 2 EFF WEIGHT = 2\n   forwarding method = NAT\n",
        " [10.9.0.100]:tcp:80 -> [10.9.0.201]:tcp:80\n   Enabled = yes\n   Up = yes\n",
        "     Dest = [10.9.0.201]:80\n     Timeout = 3.000000\n   Keepalive method = TCP_CHECK\n",
    ] {
        assert!(text.contains(part), "no {part:?} in {text}");
    }
}

#[test]
fn files_are_replaced_whole_and_no_link_is_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (path, victim) = (dir.path().join("k.data"), dir.path().join("victim"));
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, &path).unwrap();
    // The name it is written under is taken, too.
    symlink(&victim, dir.path().join(format!(".k.data.{}.0", std::process::id()))).unwrap();
    file::replace(&path, 0o600, b"dump").unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    let metadata = fs::symlink_metadata(&path).unwrap();
    assert!(metadata.is_file());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&path).unwrap(), "dump");
    file::replace(&dir.path().join("none/k"), 0o600, b"").unwrap_err();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "nothing is left behind");
}

#[test]
fn names_tell_daemons_of_one_host_apart() {
    let mut process = Process::default();
    assert_eq!(Names(&process).state("_check"), Path::new("/tmp/keepalived_check.data"));
    process.instance = Some("foo".into());
    assert_eq!(Names(&process).state(""), Path::new("/tmp/keepalived.data"));
    process.dumps.use_instance = true;
    assert_eq!(Names(&process).state("_parent"), Path::new("/tmp/keepalived_parent.foo.data"));
    process.net_namespace = Some("blue".into());
    assert_eq!(Names(&process).state(""), Path::new("/tmp/keepalived.blue.foo.data"));
    process.dumps.state = Some("/var/lib/x/state".into());
    assert_eq!(Names(&process).state(""), Path::new("/var/lib/x/state.blue.foo.data"));
    assert_eq!(Names(&process).json(), Path::new("/tmp/keepalived.json"));
}
