use mesh_control::Status;
use serde_json::{Value, json};

use super::{cluster, look, parsed, plain};
use crate::client::Failure;
use crate::show::{has_services, services, services_json};

fn with(services: Value) -> Value {
    let mut map = cluster();
    map["services"] = services;
    map
}

fn two() -> Value {
    with(json!([
        {"virtual_server": "10.1.1.80:80/tcp", "scheduler": "wrr", "forwarding": "dr", "persistence_s": 50,
         "on": ["lb1", "lb2"], "quorum": "gained", "live_weight": 1,
         "real_servers": [
            {"address": "192.168.88.100:80", "weight": 1, "health": "up", "seen_by": {"lb1": "up", "lb2": "up"}},
            {"address": "192.168.88.200:80", "weight": 2, "health": "down", "seen_by": {"lb1": "down", "lb2": "unknown"},
             "reasons": {"lb1": "connection refused"}}]},
        {"virtual_server": "fwmark 7", "scheduler": "rr", "forwarding": "nat", "persistence_s": 0, "on": [],
         "quorum": "lost", "sorry_server": "10.9.9.9:80", "not_programmed_because": "this kernel has no ip_vs",
         "real_servers": [{"address": "10.0.0.2:80", "weight": 1, "health": "down", "seen_by": {}}]}
    ]))
}

#[test]
fn services_and_their_real_servers() {
    let expected = "\
2 virtual services, 3 real servers: 1 up, 2 down  (as seen by lb2)
! fwmark 7: not as it should be in ip_vs of lb2: this kernel has no ip_vs
! fwmark 7: the sorry server 10.9.9.9:80 serves: too few real servers are up

SERVICE           SCHEDULER  FORWARDING  ON       REAL SERVER        WEIGHT  HEALTH  SEEN BY
10.1.1.80:80/tcp  wrr 50 s   dr          lb1 lb2  192.168.88.100:80  1       up      lb1:up lb2:up
                                                  192.168.88.200:80  2       down    lb1:down lb2:unknown
fwmark 7          rr         nat         -        10.0.0.2:80        1       down    -

DOWN               SERVICE           SAYS  WHY
192.168.88.200:80  10.1.1.80:80/tcp  lb1   connection refused
";
    assert_eq!(services(&parsed(two()), "", &plain()), expected);
}

#[test]
fn some_of_them() {
    let status: Status = parsed(two());
    assert!(!services(&status, "88.100", &plain()).contains("fwmark"));
    assert!(services(&status, "fwmark", &plain()).starts_with("1 virtual service, 1 real server: 0 up, 1 down"));
    assert!(has_services(&status, "fwmark").is_ok() && has_services(&status, "").is_ok());
    let Err(Failure::Refused(refusal)) = has_services(&status, "10.2") else { panic!("there is none") };
    assert_eq!(refusal.error, "no virtual service has \"10.2\" in its name or its real servers' addresses");
    assert!(refusal.hint.is_some_and(|hint| hint.contains("10.1.1.80:80/tcp")));
    let json = services_json(&two(), "88.100");
    assert_eq!(json.as_array().unwrap().len(), 1);
    assert_eq!(json[0]["virtual_server"], "10.1.1.80:80/tcp");
}

#[test]
fn none() {
    let mut status: Status = parsed(cluster());
    assert_eq!(services(&status, "", &plain()), "No virtual services on lb2.\n");
    status.nodes.iter_mut().filter(|node| node.name == "lb2").for_each(|node| node.role = "witness".to_owned());
    let elsewhere = "No virtual services on lb2, which is a witness: ask a director.\n";
    assert_eq!(services(&status, "", &plain()), elsewhere);
}

#[test]
fn the_map_tells_of_trouble() {
    let map = super::status(&parsed(two()), &look(false, None));
    let expected = "\
! 10.1.1.80:80/tcp: 1 of 2 real servers are down: see meshctl services
! fwmark 7: not as it should be in ip_vs of lb2: this kernel has no ip_vs
! fwmark 7: the sorry server 10.9.9.9:80 serves: too few real servers are up
! fwmark 7: 1 of 1 real servers are down: see meshctl services
";
    assert!(map.contains(expected), "{map}");
}

fn with_sessions() -> Value {
    let mut map = cluster();
    map["bfd"] = json!([
        {"name": "peer", "neighbor": "10.1.1.12", "state": "up", "since": "2026-03-01T11:59:00Z", "tx_interval_ms": 10.0,
         "detection_ms": 50.0, "sent": 9, "received": 9, "losses": 0},
        {"name": "other", "neighbor": "fe80::13", "state": "down", "since": "2026-03-01T11:58:00Z",
         "reason": "control detection time expired", "tx_interval_ms": 1000.0, "detection_ms": 7.5, "sent": 9,
         "received": 0, "losses": 1}
    ]);
    map
}

#[test]
fn bfd_sessions() {
    let expected = "\
No virtual services on lb2.

BFD SESSION  NEIGHBOR   STATE  SINCE                 SENDS EVERY  DOWN AFTER  WHY
peer         10.1.1.12  up     2026-03-01T11:59:00Z  10 ms        50 ms
other        fe80::13   down   2026-03-01T11:58:00Z  1000 ms      7.5 ms      control detection time expired
";
    let status: Status = parsed(with_sessions());
    assert_eq!(services(&status, "", &plain()), expected);
    assert!(!services(&status, "1.1.12", &plain()).contains("other"));
    let map = super::status(&status, &plain());
    let line = "! BFD session other with fe80::13 is not up: control detection time expired\n";
    assert!(map.contains(line) && !map.contains("BFD session peer"), "{map}");
}
