pub(crate) mod fleet;
mod services;
mod story;

use jiff::Timestamp;
use mesh_control::Status;
use serde_json::{Value, json};

use super::{Look, age, nodes, read};
use crate::pick::{Pick, is_trouble};

fn look(color: bool, width: Option<u16>) -> Look {
    Look { color, width, now: "2026-03-01T12:00:00Z".parse().unwrap() }
}

fn plain() -> Look {
    look(false, None)
}

/// A cluster with something of everything.
fn cluster() -> Value {
    let node = |name: &str, role: &str, liveness: &str, rtt: Option<f64>, digest: &str| {
        json!({"name": name, "role": role, "voter": role != "server", "liveness": liveness, "address": "10.1.1.11:7946",
            "draining": name == "lb3", "rtt_ms": rtt, "config_digest": digest, "version": "0.1.0"})
    };
    json!({
        "cluster": {"id": "c", "name": "lab", "protection": "unprotected",
             "unprotected_because": "2 of 3 voters have joined",
            "quorum": {"voters": 3, "needed": 2, "reachable": 1, "roster_epoch": 3}},
        "node": "lb2",
        "nodes": [node("lb1", "director", "dead", None, "aaaaaaaaaa"), node("lb2", "director", "alive", None, "bbbbbbbbbb"),
            node("lb3", "director", "suspect", Some(12.34), "bbbbbbbbbb"), node("w", "witness", "left", None, "")],
        "routers": [
            {"name": "VI_1", "interface": "eth0", "vrid": 51, "family": "ipv4", "vips": ["10.1.1.80/24", "10.1.1.81/24"],
             "state": "active", "active": "lb1", "here": "vetoed", "lease": {"owner": "lb1", "epoch": 7, "remaining_ms": 812},
             "priority": {"lb1": 200, "lb2": 150, "lb3": 199},
             "last_transition": {"at": "2026-03-01T11:57:00Z", "cause": "lb1 took over: lb3 left", "trace_id": "00"},
             "veto": {"by": ["lb3", "w"], "holder": "lb1", "reason": "lb1 holds the lease"}},
            {"name": "VI_2", "interface": "eth1", "vrid": 52, "family": "ipv4", "vips": ["10.2.0.1/32"],
             "state": "vacant", "active": null, "here": "none", "lease": {"owner": "lb3", "epoch": 2, "remaining_ms": 9},
             "priority": {"lb3": 1},
             "last_transition": {"at": "2026-03-01T11:59:59Z", "cause": "lost", "trace_id": "00"}},
            {"name": "VI_3", "interface": "eth1", "vrid": 53, "family": "ipv4", "vips": ["10.2.0.3/32"],
             "state": "foreign", "active": null, "foreign": "10.2.0.9", "here": "backup", "lease": null, "priority": {},
             "last_transition": null}
        ],
        "services": []
    })
}

/// All of it.
fn status(status: &Status, look: &Look) -> String {
    super::status(status, &Pick::default().choose(status), look)
}

fn parsed(value: Value) -> Status {
    read(value).unwrap()
}

#[test]
fn the_map() {
    let expected = "\
Cluster lab  UNPROTECTED  quorum 1/3 reachable, 2 needed  (as seen by lb2)
3 virtual routers: 1 active, 1 served by nobody, 1 served from outside the mesh; 1 refused here
4 nodes: 1 alive, 1 suspect, 1 dead, 1 left; 1 draining
Served by lb1:1 lb2:0
! UNPROTECTED: two nodes can serve one address: 2 of 3 voters have joined
! The directors' configurations differ: see CONFIG
! VI_1: lb2 was refused by lb3, w: lb1 holds the lease
! VI_2: served by nobody
! VI_3: served by 10.2.0.9, a router outside the mesh

NAME  INTERFACE  VRID  VIPS          STATE    ACTIVE    LEASE       HERE    PRIORITY
VI_1  eth0       51    10.1.1.80/24  active   lb1       812 ms      vetoed  lb1:200 lb3:199 lb2:150
                       10.1.1.81/24
VI_2  eth1       52    10.2.0.1/32   vacant   -         9 ms (lb3)  none    lb3:1
VI_3  eth1       53    10.2.0.3/32   foreign  10.2.0.9  -           backup

NODE  ROLE      VOTER  LIVENESS           ADDRESS         RTT      VERSION  CONFIG
lb1   director  yes    dead               10.1.1.11:7946  -        0.1.0    aaaaaaaa
lb2   director  yes    alive              10.1.1.11:7946  -        0.1.0    bbbbbbbb
lb3   director  yes    suspect, draining  10.1.1.11:7946  12.3 ms  0.1.0    bbbbbbbb
w     witness   yes    left               10.1.1.11:7946  -        0.1.0

LAST TRANSITION  AGE        CAUSE
VI_2             1 s ago    lost
VI_1             3 min ago  lb1 took over: lb3 left
";
    assert_eq!(status(&parsed(cluster()), &plain()), expected);
}

#[test]
fn a_narrow_terminal_wraps_the_last_column_only() {
    let mut narrow = cluster();
    narrow["nodes"][2]["draining"] = json!(false);
    narrow["routers"][1]["lease"] = json!(null);
    narrow["routers"].as_array_mut().unwrap().truncate(2);
    narrow["routers"][0]["last_transition"]["cause"] =
        json!("lb1 took over with two of three votes: lb3 handed it over as it stopped");
    let text = status(&parsed(narrow), &look(false, Some(80)));
    let wrapped = "\
NAME  INTERFACE  VRID  VIPS          STATE   ACTIVE  LEASE   HERE    PRIORITY
VI_1  eth0       51    10.1.1.80/24  active  lb1     812 ms  vetoed  lb1:200
                       10.1.1.81/24                                  lb3:199
                                                                     lb2:150
VI_2  eth1       52    10.2.0.1/32   vacant  -       -       none    lb3:1
";
    assert!(text.contains(wrapped), "{text}");
    assert!(text.lines().filter(|line| !line.starts_with('!')).all(|line| line.chars().count() <= 80), "{text}");
}

#[test]
fn colours_change_nothing_else() {
    let colored = status(&parsed(cluster()), &look(true, None));
    assert!(colored.contains("\x1b[1;31mUNPROTECTED\x1b[0m"), "{colored}");
    let mut stripped = String::new();
    for (index, part) in colored.split('\x1b').enumerate() {
        stripped += if index == 0 { part } else { part.split_once('m').unwrap().1 };
    }
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&stripped), trimmed(&status(&parsed(cluster()), &plain())));
}

#[test]
fn without_a_mesh_there_are_only_routers() {
    let mut alone = cluster();
    alone["cluster"]["protection"] = json!("none");
    alone["nodes"] = json!([]);
    alone["routers"] = json!([]);
    alone["cluster"].as_object_mut().unwrap().remove("unprotected_because");
    let mut removed = alone.clone();
    removed["cluster"]["unprotected_because"] = json!("this node was removed from the mesh by roster epoch 9");
    let expected = "No mesh: lb2 serves nothing: this node was removed from the mesh by roster epoch 9\n";
    assert_eq!(status(&parsed(removed), &plain()), format!("{expected}\nNo virtual routers.\n"));
    let alone = parsed(alone);
    assert_eq!(status(&alone, &plain()), "No mesh: lb2 is a plain VRRP router\n\nNo virtual routers.\n");
    assert_eq!(nodes(&alone, &plain()), "No nodes: this node is in no mesh.\n");
}

#[test]
fn a_lost_quorum_is_said_aloud() {
    let mut minority = cluster();
    minority["cluster"]["protection"] = json!("protected");
    let text = status(&parsed(minority), &plain());
    assert!(text.starts_with("Cluster lab  NO QUORUM  quorum 1/3 reachable, 2 needed  (as seen by lb2)\n"), "{text}");
    assert!(text.contains("\n! NO QUORUM: lb2 reaches too few voters and can serve nothing\n"), "{text}");
}

#[test]
fn names_from_elsewhere_cannot_steer_the_terminal() {
    let mut hostile = cluster();
    hostile["routers"][0]["last_transition"]["cause"] = json!("\u{1b}]0;owned\u{7}\r\n\u{9b}2J");
    hostile["routers"][0]["priority"] = json!({"\u{1b}[2J": 3});
    let text = status(&parsed(hostile), &plain());
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
    assert!(text.contains("\u{fffd}[2J:3"), "{text}");
}

#[test]
fn ages_are_rounded_down() {
    let now: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    let ago = |seconds: i64| age(now, Timestamp::from_second(now.as_second() - seconds).unwrap());
    let ages = [-30, 0, 1, 119, 120, 7199, 7200, 172_799, 172_800].map(ago);
    let expected = ["now", "now", "1 s ago", "119 s ago", "2 min ago", "119 min ago", "2 h ago", "47 h ago", "2 d ago"];
    assert_eq!(ages, expected);
}

#[test]
fn what_is_held_back_is_said() {
    let mut cluster = cluster();
    let because = "flapped 3 times in 60s (interface eth1 has no link): held for 10s";
    // By another director than the one that is asked, too.
    cluster["routers"][0]["held_on"] = json!({"lb3": {"until": "2026-03-01T12:00:10Z", "because": because}});
    let line = format!("! VI_1: lb3 is held back until 2026-03-01T12:00:10Z: {because}\n");
    let text = status(&parsed(cluster.clone()), &plain());
    assert!(text.contains(&line), "{text}");
    let why = json!({"router": cluster["routers"][0], "voters": [], "if_this_node_died": "", "unreachable": [], "vetoes": []});
    let text = super::story::explanation(&read(why).unwrap());
    assert!(text.contains(&format!("\nlb3 is held back until 2026-03-01T12:00:10Z: {because}\n")), "{text}");
}

#[test]
fn what_is_served_without_a_lease_is_said_loudly() {
    let mut cluster = cluster();
    cluster["routers"][0]["protection"] = json!("none");
    cluster["routers"][0]["unprotected_because"] = json!("no majority answers");
    cluster["routers"][0]["foreign"] = json!("10.1.1.9");
    cluster["routers"][0]["veto"] =
        json!({"by": [], "holder": null, "reason": "10.1.1.80 answers at 02:00:00:00:00:0b"});
    let text = status(&parsed(cluster), &plain());
    for line in [
        "! VI_1: UNPROTECTED: lb1 serves it without a lease: no majority answers\n",
        "! VI_1: lb2 does not take over: 10.1.1.80 answers at 02:00:00:00:00:0b\n",
        "! VI_1: 10.1.1.9, a router outside the mesh, advertises it, too\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let row = text.lines().find(|line| line.starts_with("VI_1 ")).unwrap();
    assert!(row.contains("UNPROTECTED") && !row.contains("812 ms"), "{row}");
}

#[test]
fn a_guard_that_cannot_act_is_said() {
    let mut map = cluster();
    map["guard"] = json!({"pid": 7, "daemon_pid": 8, "restarts": 0});
    assert!(!status(&parsed(map.clone()), &plain()).contains("acted for"));
    map["guard"]["cannot_act"] = json!("its guard is old");
    let text = status(&parsed(map), &plain());
    assert!(text.contains("! lb2: a killed daemon is not acted for, its leases run out: its guard is old\n"), "{text}");
}

#[test]
fn what_became_of_the_daemon_is_said() {
    let mut map = cluster();
    let at = |map: &Value| status(&parsed(map.clone()), &plain());
    let died = |hour: u8| {
        json!({"pid": 7, "daemon_pid": 8, "restarts": 2, "last_death": "SIGKILL (signal 9)",
        "last_death_at": format!("2026-02-28T{hour:02}:00:00Z")})
    };
    map["guard"] = died(13);
    let expected =
        "! lb2: meshd died and was started again 2 times, last at 2026-02-28T13:00:00Z: SIGKILL (signal 9)\n";
    assert!(at(&map).contains(expected), "{}", at(&map));
    map["guard"] = died(11);
    assert!(!at(&map).contains("died"), "a day ago: {}", at(&map));
    map["config_refused"] = json!({"at": "2026-03-01T11:58:00Z", "errors": ["f cannot be used:", "f:3:4: error: bad"]});
    let one = "! lb2: the configuration read at 2026-03-01T11:58:00Z is not used, the one before runs: \
               f cannot be used: f:3:4: error: bad\n";
    assert!(at(&map).contains(one), "{}", at(&map));
    map["config_refused"]["errors"] = json!(["f cannot be used:", "f:3:4: error: bad", "f:5:6: error: worse"]);
    assert!(at(&map).contains("f:3:4: error: bad (and 1 more)\n"), "{}", at(&map));
}

#[test]
fn settings_that_differ_take_the_place_of_the_digests() {
    let differs = |vrid: usize| {
        json!({"node": "lb1", "subject": format!("4.{vrid}"), "name": format!("VI_{vrid}"), "setting": "advert_int",
            "here": "2 s", "there": "1 s"})
    };
    let lost = json!({"subject": "4.1", "name": "VI_1", "from": "lb1", "to": "lb2", "dropped": true, "because": "why"});
    let shown = |count| {
        let mut map = cluster();
        map["drift"] = json!({"settings": (1..=count).map(differs).collect::<Vec<_>>(), "lost_adverts": [lost]});
        status(&parsed(map), &plain())
    };
    let few = shown(1);
    assert!(
        few.contains("! lb1: VI_1: advert_int 1 s, here 2 s\n! VI_1: adverts of lb1 will be dropped by lb2: why\n"),
        "{few}"
    );
    assert!(!few.contains("see CONFIG"), "{few}");
    let many = shown(20);
    assert!(many.contains("! lb1: VI_12: advert_int 1 s, here 2 s\n! 9 more lines"), "{many}");
}

/// What is not known is not said to be so.
#[test]
fn who_serves_may_be_unknown() {
    let mut map = cluster();
    for router in [0, 1, 2] {
        map["routers"][router]["active"] = json!(null);
        map["routers"][router]["veto"] = json!(null);
        map["routers"][router]["lease"] = json!(null);
        map["routers"][router]["state"] = json!(["fault", "vacant", "foreign"][router]);
        map["routers"][router]["cannot_tell"] = json!("lb1 and lb3 are not reachable by the mesh");
    }
    let text = status(&parsed(map), &plain());
    assert!(text.contains("\n3 virtual routers: 3 not known here\n"), "{text}");
    let line = "VI_1, VI_2, VI_3: lb2 cannot tell who serves it: lb1 and lb3 are not reachable by the mesh";
    assert!(text.contains(&format!("\n! {line}\n")), "{text}");
    assert!(text.contains("\nVI_3  eth1       53    10.2.0.3/32   unknown  -       -      backup\n"), "{text}");
    for wrong in ["served by", "in fault", "outside the mesh", "vacant"] {
        assert!(!text.contains(wrong), "{wrong}: {text}");
    }
}

#[test]
fn what_a_director_cannot_do_is_a_problem() {
    let mut map = cluster();
    map["routers"][0]["veto"] = json!(null);
    map["routers"][0]["pinned_to"] = json!("lb1");
    assert!(!is_trouble(&parsed(map.clone()).routers[0]), "a pin is none");
    map["routers"][0]["faults"] = json!({"lb2": "script chk is down"});
    map["routers"][0]["lowered"] = json!({"lb1": "30 less: script other is down"});
    let map = parsed(map);
    assert!(is_trouble(&map.routers[0]));
    let text = status(&map, &plain());
    let lines = "\n! VI_1: lb2 cannot serve it: script chk is down\n! VI_1: lb1 has priority 200, 30 less: script other is down\n";
    assert!(text.contains(lines), "{text}");
    let mut map = cluster();
    map["routers"][0]["veto"] = json!(null);
    map["routers"][0]["lacks"] = json!({"lb1": "route 10.9.0.0/16 dev eth8: no such interface"});
    let lacks = parsed(map);
    assert!(is_trouble(&lacks.routers[0]));
    let shown = status(&lacks, &plain());
    let line = "\n! VI_1: lb1 serves it without route 10.9.0.0/16 dev eth8: no such interface\n";
    assert!(shown.contains(line) && shown.contains("; 1 served without an address, route or rule\n"), "{shown}");
    assert!(text.contains("; 1 in fault on a director, 1 kept on a director by an operator\n"), "{text}");
}

/// The names of three directors, shorter than the column's head.
#[test]
fn the_head_of_the_last_column_is_whole() {
    let mut narrow = cluster();
    narrow["routers"].as_array_mut().unwrap().truncate(1);
    narrow["routers"][0]["vips"] = json!(["192.168.88.180/24"]);
    narrow["routers"][0]["priority"] = json!({"lb1": 100, "lb2": 90, "lb3": 80});
    let text = status(&parsed(narrow), &look(false, Some(80)));
    let table = "
NAME INTERFACE VRID VIPS              STATE  ACTIVE LEASE  HERE   PRIORITY
VI_1 eth0      51   192.168.88.180/24 active lb1    812 ms vetoed lb1:100 lb2:90
                                                                  lb3:80
";
    assert!(text.contains(table), "{text}");
}
