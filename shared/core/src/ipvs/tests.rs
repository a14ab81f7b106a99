use super::*;

#[test]
fn keys_read_as_in_the_status() {
    let service = |address: &str, port, protocol| ServiceKey::Address {
        address: address.parse().expect("an address"),
        port,
        protocol,
    };
    assert_eq!(service("192.0.2.80", 80, Protocol::Tcp).to_string(), "192.0.2.80:80/tcp");
    assert_eq!(service("2001:db8::80", 53, Protocol::Udp).to_string(), "[2001:db8::80]:53/udp");
    assert_eq!(service("192.0.2.80", 0, Protocol::Sctp).to_string(), "192.0.2.80:0/sctp");
    assert_eq!(ServiceKey::Fwmark { mark: 7, family: Family::Ipv4 }.to_string(), "fwmark 7/ipv4");
    assert_eq!(ServiceKey::Fwmark { mark: 7, family: Family::Ipv6 }.to_string(), "fwmark 7/ipv6");
    let destination: SocketAddr = "[2001:db8::1]:8080".parse().expect("an address");
    assert_eq!(DestinationKey::from(destination).to_string(), "[2001:db8::1]:8080");
}

#[test]
fn a_service_has_the_family_of_its_packets() {
    let of = |address: &str| {
        ServiceKey::Address { address: address.parse().expect("an address"), port: 80, protocol: Protocol::Tcp }
            .family()
    };
    assert_eq!(of("192.0.2.80"), Family::Ipv4);
    assert_eq!(of("2001:db8::80"), Family::Ipv6);
    assert_eq!(ServiceKey::Fwmark { mark: 1, family: Family::Ipv6 }.family(), Family::Ipv6);
}

#[test]
fn a_running_daemon_meets_what_was_asked_for_and_may_choose_the_rest() {
    let asked = SyncDaemon {
        role: SyncRole::Master,
        interface: "eth0".into(),
        id: 51,
        maxlen: None,
        group: None,
        port: None,
        ttl: None,
    };
    let running = SyncDaemon {
        maxlen: Some(1460),
        group: Some(Ipv4Addr::new(224, 0, 0, 81).into()),
        port: Some(8848),
        ttl: Some(1),
        ..asked.clone()
    };
    assert!(asked.is_met_by(&running));
    for other in [
        SyncDaemon { role: SyncRole::Backup, ..asked.clone() },
        SyncDaemon { interface: "eth1".into(), ..asked.clone() },
        SyncDaemon { id: 52, ..asked.clone() },
        SyncDaemon { maxlen: Some(1461), ..asked.clone() },
        SyncDaemon { group: Some(Ipv4Addr::new(224, 0, 0, 82).into()), ..asked.clone() },
        SyncDaemon { port: Some(8849), ..asked.clone() },
        SyncDaemon { ttl: Some(2), ..asked.clone() },
    ] {
        assert!(!other.is_met_by(&running), "{other:?}");
    }
}
