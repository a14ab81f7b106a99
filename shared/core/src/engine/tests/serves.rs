//! What a director gossips for real servers.

use std::net::SocketAddr;

use mesh_config::model::{Endpoint, Forwarding, Protocol, RealServer, VirtualServer};
use mesh_wire::mesh::Family;
use mesh_wire::mesh::gossip::{self, ServesReport};

use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// 10.1.1.80:80 behind which these stand.
fn web(real_servers: impl IntoIterator<Item = (SocketAddr, Forwarding)>) -> VirtualServer {
    let mut server = VirtualServer::new(Endpoint::Address(address("10.1.1.80:80")), Protocol::Tcp);
    server.real_servers = real_servers.into_iter().map(|(at, how)| RealServer::new(at, how)).collect();
    server
}

fn serving(virtual_servers: Vec<VirtualServer>) -> Config {
    Config { virtual_servers, ..config(Vec::new()) }
}

/// lb1 to lb3 and web4, a server.
fn with_server() -> Roster {
    let mut roster = roster(4);
    roster.members[3].role = Role::Server;
    roster
}

/// What is gossiped for servers, by key.
fn told(actions: &[Action]) -> Vec<(String, Option<ServesReport>)> {
    let of = |action: &Action| match action {
        Action::Publish { key, value } if key.starts_with("serves/") => {
            assert!(value.as_ref().is_none_or(|v| v.len() <= 8192), "too long for one value");
            Some((key.clone(), value.as_ref().map(|v| serde_json::from_str(v).unwrap())))
        }
        _ => None,
    };
    actions.iter().filter_map(of).collect()
}

#[test]
fn a_director_names_its_real_servers() {
    let (one, two) = (address("10.1.1.21:80"), address("10.1.1.22:80"));
    let servers = vec![web([(one, Forwarding::DirectRouting), (two, Forwarding::Nat)])];
    let mut engine = Engine::new(setup(LB1, Some(with_server())), serving(servers), ms(0));
    let told = told(&engine.step(ms(0), Input::Timeout));
    let [(key, Some(report))] = &told[..] else { panic!("{told:#?}") };
    assert_eq!((key.as_str(), report.parts), ("serves/0", 1));
    let served = gossip::Served {
        name: "10.1.1.80:80/tcp".to_owned(),
        endpoints: vec![address("10.1.1.80:80")],
        protocol: gossip::Protocol::Tcp,
        real_servers: BTreeMap::from([(one, gossip::Forwarding::Dr), (two, gossip::Forwarding::Nat)]),
    };
    assert_eq!(report.virtual_servers, [served]);
}

#[test]
fn without_virtual_servers_it_says_that() {
    let mut engine = Engine::new(setup(LB1, Some(with_server())), serving(Vec::new()), ms(0));
    let told = told(&engine.step(ms(0), Input::Timeout));
    assert_eq!((told.len(), told[0].1.as_ref().unwrap().virtual_servers.len()), (1, 0));
}

#[test]
fn nobody_is_told_in_a_mesh_without_servers_and_by_nobody_but_directors() {
    let servers = || serving(vec![web([(address("10.1.1.21:80"), Forwarding::Nat)])]);
    let mut engine = Engine::new(setup(LB1, Some(roster(3))), servers(), ms(0));
    assert_eq!(told(&engine.step(ms(0), Input::Timeout)), []);
    let newer = Roster { epoch: 5, ..with_server() };
    let actions = engine.step(ms(10), message(LB2, Message::Roster(newer.into())));
    assert_eq!(told(&actions).len(), 1, "the first server joined");
    let mut engine = Engine::new(setup(NodeId(4), Some(with_server())), servers(), ms(0));
    assert_eq!(told(&engine.step(ms(0), Input::Timeout)), []);
}

/// Every real server is named in one of the parts, and each part is small enough for gossip.
#[test]
fn a_long_list_is_told_in_parts_and_what_is_no_longer_true_is_deleted() {
    let at = |n: u16| SocketAddr::from(([10, 1, (n >> 8) as u8, n as u8], 80));
    let many = vec![web((0..1000).map(|n| (at(n), Forwarding::DirectRouting)))];
    let mut engine = Engine::new(setup(LB1, Some(with_server())), serving(many), ms(0));
    let all = told(&engine.step(ms(0), Input::Timeout));
    let reports: Vec<&ServesReport> = all.iter().map(|(_, report)| report.as_ref().unwrap()).collect();
    assert!(reports.len() > 3, "{} parts", reports.len());
    assert!(reports.iter().all(|r| r.parts as usize == reports.len() && r.revision == reports[0].revision));
    let named = reports.iter().flat_map(|r| &r.virtual_servers).flat_map(|s| s.real_servers.keys());
    let named: BTreeSet<SocketAddr> = named.copied().collect();
    assert_eq!(named, (0..1000).map(at).collect());

    let few = serving(vec![web([(at(7), Forwarding::DirectRouting)])]);
    let after = told(&engine.step(ms(10), Input::Configure(Box::new(few))));
    let (deleted, left): (Vec<_>, Vec<_>) = after.into_iter().partition(|(_, report)| report.is_none());
    assert_eq!(deleted.len(), reports.len() - 1);
    assert_ne!(left[0].1.as_ref().unwrap().revision, reports[0].revision);
    let again = serving(vec![web([(at(7), Forwarding::DirectRouting)])]);
    assert_eq!(told(&engine.step(ms(20), Input::Configure(Box::new(again)))), [], "nothing new");
}

#[test]
fn a_service_by_marks_has_no_address() {
    let mut server = web([(address("10.1.1.21:80"), Forwarding::DirectRouting)]);
    server.endpoints = vec![Endpoint::Fwmark(7, Family::Ipv4)];
    let mut engine = Engine::new(setup(LB1, Some(with_server())), serving(vec![server]), ms(0));
    let told = told(&engine.step(ms(0), Input::Timeout));
    assert_eq!(told[0].1.as_ref().unwrap().virtual_servers[0].endpoints, []);
}
