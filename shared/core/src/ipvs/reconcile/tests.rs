use std::net::{IpAddr, Ipv4Addr};

use mesh_config::model::Protocol;
use mesh_wire::mesh::Family;
use proptest::collection::{btree_map, btree_set};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::ipvs::apply::apply;
use crate::ipvs::{Forwarding, GueChecksum, Netmask, Persistence, SchedulerFlags, Service, Tunnel};

fn key(last: u8) -> ServiceKey {
    ServiceKey::Address { address: Ipv4Addr::new(192, 0, 2, last).into(), port: 80, protocol: Protocol::Tcp }
}

fn at(last: u8) -> DestinationKey {
    DestinationKey { address: Ipv4Addr::new(10, 0, 0, last).into(), port: 80 }
}

fn service(scheduler: &str) -> Service {
    Service { scheduler: scheduler.into(), ..Service::default() }
}

fn weight(weight: u32) -> Destination {
    Destination::new(weight, Forwarding::DirectRouting)
}

fn of(scheduler: &str, destinations: &[(u8, u32)]) -> Pool {
    let destinations = destinations.iter().map(|(last, w)| (at(*last), weight(*w))).collect();
    Pool { service: service(scheduler), destinations }
}

fn reconcile(wanted: &[(u8, Pool)], present: &[(u8, Pool)], ours: &[u8]) -> Vec<Change> {
    let make = |pools: &[(u8, Pool)]| pools.iter().map(|(last, pool)| (key(*last), pool.clone())).collect();
    table(&make(wanted), &make(present), &ours.iter().copied().map(key).collect())
}

fn add(service: u8, destination: u8, w: u32) -> Change {
    Change::AddDestination { service: key(service), key: at(destination), destination: weight(w) }
}

fn edit(service: u8, destination: u8, w: u32) -> Change {
    Change::EditDestination { service: key(service), key: at(destination), destination: weight(w) }
}

fn delete(service: u8, destination: u8) -> Change {
    Change::DeleteDestination { service: key(service), key: at(destination) }
}

#[test]
fn a_new_service_has_its_destinations_before_the_next_one_begins() {
    let wanted = [(1, of("rr", &[(1, 1), (2, 1)])), (2, of("wlc", &[(1, 3)]))];
    assert_eq!(
        reconcile(&wanted, &[], &[]),
        [
            Change::AddService { key: key(1), service: service("rr") },
            add(1, 1, 1),
            add(1, 2, 1),
            Change::AddService { key: key(2), service: service("wlc") },
            add(2, 1, 3),
        ]
    );
}

#[test]
fn what_is_as_wanted_is_left_alone() {
    let pools = [(1, of("rr", &[(1, 1), (2, 1)]))];
    assert_eq!(reconcile(&pools, &pools, &[1]), []);
    assert_eq!(reconcile(&pools, &pools, &[]), []);
}

#[test]
fn services_of_others_are_left_alone_and_those_of_ours_go_when_nobody_wants_them() {
    let present = [(1, of("rr", &[(1, 1)])), (2, of("rr", &[(1, 1)])), (3, of("rr", &[]))];
    assert_eq!(reconcile(&[], &present, &[2, 9]), [Change::DeleteService { key: key(2) }]);
}

#[test]
fn one_that_somebody_else_made_is_adopted_by_what_differs() {
    let wanted = [(1, of("wrr", &[(1, 1), (3, 1)]))];
    let present = [(1, of("rr", &[(1, 1), (2, 1)]))];
    assert_eq!(
        reconcile(&wanted, &present, &[]),
        [Change::EditService { key: key(1), service: service("wrr") }, add(1, 3, 1), delete(1, 2)]
    );
}

#[test]
fn destinations_come_and_rise_before_others_fall_and_go() {
    let wanted = [(1, of("rr", &[(1, 0), (2, 5), (3, 1), (5, 7)]))];
    let present = [(1, of("rr", &[(1, 4), (2, 0), (4, 1), (5, 7)]))];
    assert_eq!(reconcile(&wanted, &present, &[1]), [add(1, 3, 1), edit(1, 2, 5), edit(1, 1, 0), delete(1, 4)]);
}

#[test]
fn services_come_before_others_go() {
    let changes = reconcile(&[(2, of("rr", &[(1, 1)]))], &[(1, of("rr", &[(1, 1)]))], &[1]);
    assert_eq!(
        changes,
        [
            Change::AddService { key: key(2), service: service("rr") },
            add(2, 1, 1),
            Change::DeleteService { key: key(1) }
        ]
    );
}

fn daemon(role: SyncRole, id: u8) -> SyncDaemon {
    SyncDaemon { role, interface: "eth0".into(), id, maxlen: None, group: None, port: None, ttl: None }
}

fn daemons(daemons: &[SyncDaemon]) -> BTreeMap<SyncRole, SyncDaemon> {
    daemons.iter().map(|daemon| (daemon.role, daemon.clone())).collect()
}

#[test]
fn synchronisation_follows_the_role() {
    use SyncRole::{Backup, Master};
    let ours = BTreeSet::from([Master, Backup]);
    let (wanted, running) = (daemons(&[daemon(Master, 1)]), daemons(&[daemon(Backup, 1)]));
    assert_eq!(
        sync(&wanted, &running, &ours),
        [Change::StopSync(Backup), Change::StartSync(daemon(Master, 1))],
        "the other one is stopped first"
    );
    assert_eq!(sync(&wanted, &running, &BTreeSet::from([Master])), [Change::StartSync(daemon(Master, 1))]);
    let filled = SyncDaemon { maxlen: Some(1460), ttl: Some(1), ..daemon(Master, 1) };
    assert_eq!(sync(&wanted, &daemons(&[filled]), &ours), []);
    assert_eq!(
        sync(&wanted, &daemons(&[daemon(Master, 2)]), &BTreeSet::new()),
        [Change::StopSync(Master), Change::StartSync(daemon(Master, 1))],
        "one with another id is in the way, whoever started it"
    );
    assert_eq!(sync(&BTreeMap::new(), &running, &BTreeSet::from([Backup])), [Change::StopSync(Backup)]);
    assert_eq!(sync(&BTreeMap::new(), &running, &BTreeSet::new()), []);
}

fn any_service_key() -> impl Strategy<Value = ServiceKey> {
    let protocol = select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
    let address = select(vec!["192.0.2.1", "192.0.2.2", "2001:db8::1"]);
    let by_address = (address, select(vec![80, 443]), protocol).prop_map(|(address, port, protocol)| {
        ServiceKey::Address { address: address.parse::<IpAddr>().expect("an address"), port, protocol }
    });
    let by_mark = (1..3_u32, select(vec![Family::Ipv4, Family::Ipv6]));
    prop_oneof![by_address, by_mark.prop_map(|(mark, family)| ServiceKey::Fwmark { mark, family })]
}

prop_compose! {
    fn any_service()(
        scheduler in select(vec!["rr", "wrr", "mh"]),
        timeout in proptest::option::of(1..3_u32),
        one_packet: bool,
        flag1: bool,
        engine in proptest::option::of(Just("sip".to_owned())),
    ) -> Service {
        let persistence =
            timeout.map(|timeout| Persistence { timeout, netmask: Netmask::Ipv4(Ipv4Addr::BROADCAST) });
        let scheduler_flags = SchedulerFlags { flag1, ..SchedulerFlags::default() };
        Service { persistence, one_packet, scheduler_flags, persistence_engine: engine, ..service(scheduler) }
    }
}

prop_compose! {
    fn any_destination()(
        weight in 0..3_u32,
        forwarding in select(vec![
            Forwarding::Nat,
            Forwarding::DirectRouting,
            Forwarding::Tunnel(Tunnel::Ipip),
            Forwarding::Tunnel(Tunnel::Gue { port: 6080, checksum: GueChecksum::Full }),
        ]),
        upper_threshold in 0..2_u32,
    ) -> Destination {
        Destination { weight, forwarding, upper_threshold, lower_threshold: 0 }
    }
}

fn any_table() -> impl Strategy<Value = Table> {
    let destinations = btree_map((1..6_u8).prop_map(at), any_destination(), 0..5);
    let pool = (any_service(), destinations).prop_map(|(service, destinations)| Pool { service, destinations });
    btree_map(any_service_key(), pool, 0..8)
}

fn serves(table: &Table, key: &ServiceKey) -> bool {
    table.get(key).is_some_and(|pool| pool.destinations.values().any(|destination| destination.weight > 0))
}

proptest! {
    #[test]
    fn changes_lead_from_any_table_to_the_wanted_one(
        wanted in any_table(),
        present in any_table(),
        ours in btree_set(any_service_key(), 0..8),
    ) {
        let mut held = present.clone();
        for change in table(&wanted, &present, &ours) {
            apply(&mut held, &change).map_err(|refused| TestCaseError::fail(format!("{change:?}: {refused}")))?;
            for key in wanted.keys().filter(|key| serves(&wanted, key) && serves(&present, key)) {
                prop_assert!(serves(&held, key), "{key} has nobody after {change:?}");
            }
        }
        for key in wanted.keys().chain(present.keys()).chain(&ours) {
            let expected = wanted.get(key).or_else(|| present.get(key).filter(|_| !ours.contains(key)));
            prop_assert_eq!(held.get(key), expected, "{}", key);
        }
        prop_assert_eq!(table(&wanted, &held, &ours), []);
    }
}
