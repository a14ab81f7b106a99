use std::net::SocketAddr;

use mesh_config::model::{Protocol, RealServer, SorryServer, Tunnel, TunnelChecksum};
use mesh_wire::mesh::Family;

use super::super::tests::{address, web};
use super::*;

/// All real servers used.
fn service(config: VirtualServer) -> Service {
    let member = |_: &RealServer| Member {
        checkers: Vec::new(),
        left: None,
        live: true,
        known: true,
        first: false,
        mails: Vec::new(),
        assigned: Vec::new(),
        mine: true,
        own: Health::Unknown,
        since: Instant::from_nanos(0),
        hastened: None,
        asked: false,
        confirmed_unix_ms: 0,
        contradicted: Default::default(),
    };
    let members = config.real_servers.iter().map(member).collect();
    Service { config, members, quorum_up: false, sorry: false, suspended: false, programmed: false, unfit: None }
}

fn voice() -> Voice {
    Voice { router_id: "lb1".to_owned(), fifos: vec!["/run/fifo".into()], mail: Mail::default(), said: Vec::new() }
}

fn lines(voice: &mut Voice) -> Vec<String> {
    let line = |action| match action {
        Action::Tell(Notice::WriteFifo { line, .. }) => Some(line),
        Action::Tell(Notice::Mail { subject, body }) => Some(format!("{subject}: {body}")),
        _ => None,
    };
    voice.said.drain(..).filter_map(line).collect()
}

fn weights(service: &Service) -> Vec<(SocketAddr, u32)> {
    let pool = service.wanted(service.config.endpoints[0]);
    pool.destinations.into_iter().map(|(key, destination)| (key.into(), destination.weight)).collect()
}

/// Follows the live weight through ups and downs of six real servers of weight 1, and tells at each
/// number of live ones whether the quorum is there.
fn quorum(quorum: u32, hysteresis: u32, live: &[usize]) -> Vec<bool> {
    let mut config = web(6);
    (config.quorum, config.hysteresis) = (quorum, hysteresis);
    let mut service = service(config);
    let mut voice = voice();
    service.update_quorum(Occasion::Start, &mut voice);
    let mut follow = |count: &usize| {
        for member in 0..6 {
            service.set_live(member, member < *count, "", &mut voice);
        }
        service.quorum_up
    };
    live.iter().map(&mut follow).collect()
}

#[test]
fn the_quorum_is_gained_above_and_lost_below_its_hysteresis() {
    assert_eq!(quorum(1, 0, &[6, 1, 0, 1]), [true, true, false, true]);
    assert_eq!(quorum(3, 0, &[6, 3, 2, 3]), [true, true, false, true]);
    // Gained at 4, lost below 2.
    assert_eq!(quorum(3, 1, &[6, 3, 2, 1, 2, 3, 4, 3]), [true, true, true, false, false, false, true, true]);
    // Never below 0, but nobody is nobody.
    assert_eq!(quorum(2, 2, &[6, 1, 0, 3, 4]), [true, true, false, false, true]);
    // More than there is.
    assert_eq!(quorum(7, 0, &[6, 0]), [false, false]);
}

#[test]
fn a_sorry_server_takes_everybody_s_place() {
    let mut config = web(3);
    config.quorum = 2;
    config.real_servers[2].inhibit_on_failure = true;
    config.sorry_server =
        Some(SorryServer { address: address("10.0.0.99:80"), forwarding: Forwarding::Nat, inhibit: false });
    let mut service = service(config);
    let mut voice = voice();
    service.update_quorum(Occasion::Start, &mut voice);
    let [a, b, c, s] = ["10.0.0.11:80", "10.0.0.12:80", "10.0.0.13:80", "10.0.0.99:80"].map(address);
    assert_eq!(weights(&service), [(a, 1), (b, 1), (c, 1)]);
    service.set_live(0, false, "", &mut voice);
    service.set_live(1, false, "", &mut voice);
    assert_eq!(weights(&service), [(c, 0), (s, 1)], "what is inhibited stays, without weight");
    service.set_live(1, true, "", &mut voice);
    assert_eq!(weights(&service), [(b, 1), (c, 1)]);
    service.config.sorry_server.as_mut().unwrap().inhibit = true;
    assert_eq!(weights(&service), [(b, 1), (c, 1), (s, 0)]);
}

#[test]
fn a_sorry_server_comes_at_the_start_when_nobody_is_up() {
    let mut config = web(1);
    config.sorry_server =
        Some(SorryServer { address: address("10.0.0.99:80"), forwarding: Forwarding::Nat, inhibit: false });
    let mut service = service(config);
    service.members[0].live = false;
    let mut voice = voice();
    service.config.smtp_alert = Some(true);
    service.update_quorum(Occasion::Start, &mut voice);
    assert!(service.sorry && !service.quorum_up);
    let mail = "[lb1] Virtualserver [10.0.0.1]:tcp:80 - DOWN: => Starting with quorum down 1+0=1 <= 0 <=";
    assert_eq!(lines(&mut voice), ["VS [10.0.0.1]:tcp:80 DOWN", mail]);
}

#[test]
fn a_sorry_server_may_be_one_of_the_real_servers() {
    let mut config = web(2);
    config.real_servers[0].inhibit_on_failure = true;
    let sorry = SorryServer { address: config.real_servers[0].address, forwarding: Forwarding::Nat, inhibit: true };
    config.sorry_server = Some(sorry);
    let mut service = service(config);
    let mut voice = voice();
    service.update_quorum(Occasion::Start, &mut voice);
    let [a, b] = ["10.0.0.11:80", "10.0.0.12:80"].map(address);
    assert_eq!(weights(&service), [(a, 1), (b, 1)]);
    service.set_live(0, false, "", &mut voice);
    assert_eq!(weights(&service), [(a, 0), (b, 1)]);
    service.set_live(1, false, "", &mut voice);
    assert_eq!(weights(&service), [(a, 1)]);
}

#[test]
fn scripts_fifo_and_mail_come_in_order() {
    let mut config = web(1);
    config.smtp_alert = Some(true);
    config.hysteresis = 0;
    let mut service = service(config);
    let mut voice = voice();
    service.update_quorum(Occasion::Start, &mut voice);
    let up = "[lb1] Virtualserver [10.0.0.1]:tcp:80 - UP: => Starting with quorum up 1+0=1 <= 1 <=";
    assert_eq!(lines(&mut voice), ["VS [10.0.0.1]:tcp:80 UP", up]);
    service.set_live(0, false, "", &mut voice);
    service.members[0].mails.push("=> TCP CHECK failed on service <=".to_owned());
    service.mail_member(0, true, &mut voice);
    let lost = "[lb1] Virtualserver [10.0.0.1]:tcp:80 - DOWN: => Lost quorum 1+0=1 <= 0 <=";
    let down = "[lb1] Realserver [10.0.0.11]:tcp:80 of virtual server [10.0.0.1]:tcp:80 - DOWN: \
                => TCP CHECK failed on service <=";
    let expected = ["RS [10.0.0.11]:tcp:80 [10.0.0.1]:tcp:80 DOWN", "VS [10.0.0.1]:tcp:80 DOWN", lost, down];
    assert_eq!(lines(&mut voice), expected);
}

#[test]
fn marks_and_groups_are_called_as_keepalived_calls_them() {
    let mut mark = web(1);
    mark.name = "fwmark 7".to_owned();
    mark.endpoints = vec![Endpoint::Fwmark(7, Family::Ipv4)];
    assert_eq!(words::virtual_server(&mark), "FWM 7");
    assert_eq!(words::real_server(&mark, &mark.real_servers[0]), "[10.0.0.11]:none:80");
    mark.real_servers[0].forwarding = Forwarding::DirectRouting;
    assert_eq!(words::real_server(&mark, &mark.real_servers[0]), "[10.0.0.11]:none:0");
    let mut group = web(1);
    group.name = "WEB".to_owned();
    assert_eq!(words::virtual_server(&group), "[WEB]:0");
    assert_eq!(words::real_server(&group, &group.real_servers[0]), "[10.0.0.11]:tcp:80");
    group.name = "WEB/tcp".to_owned();
    assert_eq!(words::virtual_server(&group), "[WEB]:0");
    let mut six = VirtualServer::new(Endpoint::Address(address("[2001:db8::1]:53")), Protocol::Udp);
    six.real_servers.push(RealServer::new(address("[2001:db8::11]:0"), Forwarding::Nat));
    assert_eq!(words::virtual_server(&six), "[2001:db8::1]:udp:53");
    assert_eq!(words::real_server(&six, &six.real_servers[0]), "[2001:db8::11]:udp:53");
}

#[test]
fn ip_vs_gets_every_setting() {
    let mut config = web(1);
    config.scheduler = "mh".to_owned();
    (config.flag_1, config.flag_2) = (true, true);
    (config.persistence, config.granularity) = (Some(300), Some(24));
    config.persistence_engine = Some("sip".to_owned());
    config.endpoints.push(Endpoint::Fwmark(7, Family::Ipv6));
    let real = &mut config.real_servers[0];
    (real.weight, real.upper_threshold, real.lower_threshold) = (70_000, 100, 50);
    real.forwarding = Forwarding::Tunnel(Tunnel::Gue(5555, TunnelChecksum::Remote));
    let service = service(config);
    let [by_address, by_mark] = [0, 1].map(|n| service.wanted(service.config.endpoints[n]));
    let persistence = |netmask| Some(Persistence { timeout: 300, netmask });
    assert_eq!(
        by_address.service,
        ipvs::Service {
            scheduler: "mh".to_owned(),
            persistence: persistence(Netmask::Ipv4("255.255.255.0".parse().unwrap())),
            one_packet: false,
            scheduler_flags: SchedulerFlags { flag1: true, flag2: true, flag3: false },
            persistence_engine: Some("sip".to_owned()),
        }
    );
    assert_eq!(by_mark.service.persistence, persistence(Netmask::Ipv6(24)));
    let tunnel = ipvs::Tunnel::Gue { port: 5555, checksum: ipvs::GueChecksum::Remote };
    let destination = Destination {
        weight: 65_535,
        forwarding: ipvs::Forwarding::Tunnel(tunnel),
        upper_threshold: 100,
        lower_threshold: 50,
    };
    let expect = |at: &str| [(DestinationKey::from(address(at)), destination)].into();
    assert_eq!(by_address.destinations, expect("10.0.0.11:80"));
    assert_eq!(by_mark.destinations, expect("10.0.0.11:0"), "without NAT a mark keeps the port");
}
