use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mesh_config::model::Protocol;
use mesh_core::ipvs::{
    Destination, DestinationKey, DestinationStatistics, Forwarding, GueChecksum, Netmask, Persistence, SchedulerFlags,
    Service, Statistics, Tunnel,
};
use mesh_wire::mesh::Family;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::attributes::Writer;
use super::encode::Request;
use super::names::{command, destination, info, service, stats, top};
use super::*;

const KEY: ServiceKey =
    ServiceKey::Address { address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 80)), port: 80, protocol: Protocol::Tcp };
const SERVER: DestinationKey = DestinationKey { address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), port: 8080 };

fn plain(scheduler: &str) -> Service {
    Service { scheduler: scheduler.into(), ..Service::default() }
}

fn nat(weight: u32) -> Destination {
    Destination::new(weight, Forwarding::Nat)
}

fn sync(role: SyncRole) -> SyncDaemon {
    SyncDaemon { role, interface: "eth0".into(), id: 51, maxlen: None, group: None, port: None, ttl: None }
}

/// An attribute as linux/netlink.h has it, on a machine of either byte order.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = 4 + value.len();
    let mut bytes = [(length as u16).to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(length.next_multiple_of(4), 0);
    bytes
}

#[test]
fn a_service_is_said_as_the_header_file_has_it() {
    let persistence = Some(Persistence { timeout: 50, netmask: Netmask::Ipv4(Ipv4Addr::new(255, 255, 255, 0)) });
    let scheduler_flags = SchedulerFlags { flag1: true, flag2: false, flag3: true };
    let service = Service {
        persistence,
        one_packet: true,
        scheduler_flags,
        persistence_engine: Some("sip".into()),
        ..plain("wrr")
    };
    let request = encode::change(&Change::AddService { key: KEY, service }).unwrap();
    assert_eq!(request.command, 1);
    let inside = [
        attribute(1, &2_u16.to_ne_bytes()),
        attribute(2, &6_u16.to_ne_bytes()),
        attribute(3, &[192, 0, 2, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        attribute(4, &[0, 80]),
        attribute(6, b"wrr\0"),
        attribute(11, b"sip\0"),
        attribute(7, &[0x2d_u32.to_ne_bytes(), u32::MAX.to_ne_bytes()].concat()),
        attribute(8, &50_u32.to_ne_bytes()),
        attribute(9, &[255, 255, 255, 0]),
    ];
    assert_eq!(request.attributes, attribute(0x8001, &inside.concat()));
}

#[test]
fn a_service_by_mark_has_no_address() {
    let key = ServiceKey::Fwmark { mark: 7, family: Family::Ipv6 };
    let request = encode::change(&Change::DeleteService { key }).unwrap();
    assert_eq!(request.command, 3);
    let inside = [attribute(1, &10_u16.to_ne_bytes()), attribute(5, &7_u32.to_ne_bytes())];
    assert_eq!(request.attributes, attribute(0x8001, &inside.concat()));
}

#[test]
fn a_destination_is_said_as_the_header_file_has_it() {
    let destination = Destination {
        weight: 3,
        forwarding: Forwarding::Tunnel(Tunnel::Gue { port: 6080, checksum: GueChecksum::Remote }),
        upper_threshold: 20,
        lower_threshold: 10,
    };
    let request = encode::change(&Change::AddDestination { service: KEY, key: SERVER, destination }).unwrap();
    assert_eq!(request.command, 5);
    let inside = [
        attribute(11, &2_u16.to_ne_bytes()),
        attribute(1, &[10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        attribute(2, &8080_u16.to_be_bytes()),
        attribute(3, &2_u32.to_ne_bytes()),
        attribute(4, &3_u32.to_ne_bytes()),
        attribute(5, &20_u32.to_ne_bytes()),
        attribute(6, &10_u32.to_ne_bytes()),
        attribute(13, &[1]),
        attribute(14, &6080_u16.to_be_bytes()),
        attribute(15, &2_u16.to_ne_bytes()),
    ];
    assert!(request.attributes.ends_with(&attribute(0x8002, &inside.concat())));
}

#[test]
fn a_synchronisation_daemon_says_only_what_is_set() {
    let request = encode::change(&Change::StartSync(sync(SyncRole::Backup))).unwrap();
    assert_eq!(request.command, 9);
    let least = [attribute(1, &2_u32.to_ne_bytes()), attribute(2, b"eth0\0"), attribute(3, &51_u32.to_ne_bytes())];
    assert_eq!(request.attributes, attribute(0x8003, &least.concat()));

    let all = SyncDaemon {
        maxlen: Some(1400),
        group: Some(Ipv4Addr::new(224, 0, 0, 90).into()),
        port: Some(8850),
        ttl: Some(3),
        ..sync(SyncRole::Master)
    };
    let request = encode::change(&Change::StartSync(all.clone())).unwrap();
    assert_eq!(decode::daemon(&request.attributes).unwrap(), all, "the kernel repeats what it was told");
    let all = SyncDaemon { group: Some("ff02::90".parse().unwrap()), ..all };
    let request = encode::change(&Change::StartSync(all.clone())).unwrap();
    assert_eq!(decode::daemon(&request.attributes).unwrap(), all);
}

#[test]
fn what_cannot_be_said_is_refused_before_it_is_sent() {
    let refusal = |change| encode::change(&change).unwrap_err().to_string();
    assert_eq!(
        refusal(Change::AddService { key: KEY, service: plain("a-name-of-16-byt") }),
        "`a-name-of-16-byt` names no scheduler: 1 to 15 bytes, none of them zero"
    );
    assert!(encode::change(&Change::AddService { key: KEY, service: plain("a-name-of-15-by") }).is_ok());
    assert_eq!(
        refusal(Change::StartSync(SyncDaemon { interface: String::new(), ..sync(SyncRole::Master) })),
        "`` names no interface: 1 to 15 bytes, none of them zero"
    );
    let engine = Service { persistence_engine: Some("s\0p".into()), ..plain("rr") };
    assert!(encode::change(&Change::EditService { key: KEY, service: engine }).is_err());
    let persistence = Some(Persistence { timeout: 1, netmask: Netmask::Ipv6(64) });
    assert_eq!(
        refusal(Change::AddService { key: KEY, service: Service { persistence, ..plain("rr") } }),
        "192.0.2.80:80/tcp cannot have the netmask Ipv6(64)"
    );
}

#[test]
fn refusals_say_what_was_wrong() {
    let words = |errno, change: Change| {
        let text = io::Error::from_raw_os_error(errno).to_string();
        Refusal::new(&change, Failure { errno, text }).to_string()
    };
    let add = |service| Change::AddService { key: KEY, service };
    assert_eq!(words(libc::ENOENT, add(plain("xx"))), "the kernel has no scheduler `xx`");
    let with_engine = Service { persistence_engine: Some("yy".into()), ..plain("rr") };
    assert_eq!(words(libc::ENOENT, add(with_engine)), "the kernel has no scheduler `rr` or no persistence engine `yy`");
    assert_eq!(words(libc::EEXIST, add(plain("rr"))), "there is a service 192.0.2.80:80/tcp already");
    assert_eq!(words(libc::ESRCH, Change::DeleteService { key: KEY }), "there is no service 192.0.2.80:80/tcp");
    assert_eq!(
        words(libc::ESRCH, Change::DeleteDestination { service: KEY, key: SERVER }),
        "there is no service 192.0.2.80:80/tcp"
    );
    assert_eq!(
        words(libc::ENOENT, Change::DeleteDestination { service: KEY, key: SERVER }),
        "the service has no destination 10.0.0.1:8080"
    );
    assert_eq!(
        words(libc::EEXIST, Change::AddDestination { service: KEY, key: SERVER, destination: nat(1) }),
        "the service has a destination 10.0.0.1:8080 already"
    );
    assert_eq!(words(libc::EEXIST, Change::StartSync(sync(SyncRole::Master))), "a synchronisation master runs already");
    assert_eq!(words(libc::ENODEV, Change::StartSync(sync(SyncRole::Master))), "there is no interface eth0");
    assert_eq!(words(libc::ESRCH, Change::StopSync(SyncRole::Backup)), "no synchronisation backup runs");
    assert_eq!(words(libc::ENOMEM, add(plain("rr"))), "the kernel has no memory for it");
    assert_eq!(
        words(libc::EINVAL, Change::SetTimeouts(Timeouts::default())),
        "Invalid argument (os error 22)",
        "the errno's own text where there is no better one"
    );
}

/// What the kernel adds to a service or a destination when it shows it.
fn counters(kind: u16, wide: bool) -> impl Fn(&mut Writer) {
    move |writer| {
        writer.nest(kind, |writer| {
            for counter in stats::CONNS..=stats::OUTBPS {
                match counter {
                    stats::INBYTES | stats::OUTBYTES => writer.put(counter, &(u64::from(counter) << 40).to_ne_bytes()),
                    _ if wide => writer.put(counter, &(u64::from(counter) << 40).to_ne_bytes()),
                    _ => writer.u32(counter, u32::from(counter)),
                }
            }
        });
    }
}

fn counted() -> Statistics {
    Statistics {
        connections: 1 << 40,
        packets_in: 2 << 40,
        packets_out: 3 << 40,
        bytes_in: 4 << 40,
        bytes_out: 5 << 40,
        connections_per_s: 6 << 40,
        packets_in_per_s: 7 << 40,
        packets_out_per_s: 8 << 40,
        bytes_in_per_s: 9 << 40,
        bytes_out_per_s: 10 << 40,
    }
}

/// The kernel's view of a service: what it was told, and the rest.
fn shown_service(key: ServiceKey, service: Service) -> Vec<u8> {
    let told = encode::change(&Change::AddService { key, service }).unwrap();
    shown(&told, top::SERVICE, counters(service::STATS64, true))
}

fn shown_destination(key: DestinationKey, destination: Destination) -> Vec<u8> {
    let told = encode::change(&Change::AddDestination { service: KEY, key, destination }).unwrap();
    shown(&told, top::DEST, |writer| {
        writer.u32(destination::ACTIVE_CONNS, 4);
        writer.u32(destination::INACT_CONNS, 5);
        writer.u32(destination::PERSIST_CONNS, 6);
        counters(destination::STATS64, true)(writer);
    })
}

fn shown(told: &Request, kind: u16, more: impl Fn(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::default();
    let mut inside = Writer::default();
    more(&mut inside);
    let told = nested(&told.attributes, kind);
    writer.put(kind, &[told, inside.finish()].concat());
    writer.finish()
}

/// The inside of the top attribute of this kind.
fn nested(attributes: &[u8], kind: u16) -> Vec<u8> {
    use rtnetlink::packet_core::NlasIterator;
    let found = NlasIterator::new(attributes).map(Result::unwrap).find(|attribute| attribute.kind() == kind).unwrap();
    found.value().to_vec()
}

#[test]
fn counters_are_read_wide_and_narrow() {
    let (_, found) = decode::service(&shown_service(KEY, plain("rr"))).unwrap().unwrap();
    assert_eq!(found.statistics, counted());

    let told = encode::change(&Change::AddService { key: KEY, service: plain("rr") }).unwrap();
    let old = shown(&told, top::SERVICE, counters(service::STATS, false));
    let (_, found) = decode::service(&old).unwrap().unwrap();
    let narrow = Statistics {
        connections: 1,
        packets_in: 2,
        packets_out: 3,
        connections_per_s: 6,
        packets_in_per_s: 7,
        packets_out_per_s: 8,
        bytes_in_per_s: 9,
        bytes_out_per_s: 10,
        ..counted()
    };
    assert_eq!(found.statistics, narrow);

    let found = decode::destination(&shown_destination(SERVER, nat(1)), Family::Ipv4).unwrap();
    let expected = DestinationStatistics {
        active_connections: 4,
        inactive_connections: 5,
        persistent_connections: 6,
        through: counted(),
    };
    assert_eq!(found.statistics, expected);
}

#[test]
fn what_the_kernel_sets_by_itself_is_no_setting() {
    let mut writer = Writer::default();
    writer.nest(top::SERVICE, |writer| {
        writer.u16(service::AF, libc::AF_INET as u16);
        writer.u32(service::FWMARK, 3);
        writer.name(service::SCHED_NAME, "rr");
        // IP_VS_SVC_F_HASHED, and a timeout and a netmask without IP_VS_SVC_F_PERSISTENT.
        writer.put(service::FLAGS, &[2_u32.to_ne_bytes(), u32::MAX.to_ne_bytes()].concat());
        writer.u32(service::TIMEOUT, 300);
        writer.put(service::NETMASK, &[255, 255, 0, 0]);
        counters(service::STATS64, true)(writer);
    });
    let (key, found) = decode::service(&writer.finish()).unwrap().unwrap();
    assert_eq!((key, found.service), (ServiceKey::Fwmark { mark: 3, family: Family::Ipv4 }, plain("rr")));
}

#[test]
fn a_protocol_of_the_future_is_passed_over() {
    let mut writer = Writer::default();
    writer.nest(top::SERVICE, |writer| {
        writer.u16(service::AF, libc::AF_INET as u16);
        writer.u16(service::PROTOCOL, 33);
        writer.address(service::ADDR, SERVER.address);
        writer.be16(service::PORT, 1);
    });
    assert_eq!(decode::service(&writer.finish()).unwrap(), None);
}

#[test]
fn what_is_missing_or_has_a_wrong_length_is_named() {
    assert_eq!(decode::service(&[]).unwrap_err(), Malformed("attribute 1 is missing".into()));
    let mut writer = Writer::default();
    writer.nest(top::SERVICE, |writer| writer.u32(service::AF, 2));
    assert_eq!(
        decode::service(&writer.finish()).unwrap_err().to_string(),
        "an answer of the kernel cannot be read: attribute 1 has 4 bytes instead of 2"
    );
    let mut writer = Writer::default();
    writer.u32(info::VERSION, 0x0001_0201);
    assert!(decode::info(&writer.finish()).is_err());
}

#[test]
fn version_and_timeouts_are_read() {
    let mut writer = Writer::default();
    writer.u32(info::VERSION, 0x0001_0201);
    writer.u32(info::CONN_TAB_SIZE, 4096);
    assert_eq!(decode::info(&writer.finish()).unwrap(), Info { version: (1, 2, 1), connection_table_size: 4096 });

    let timeouts = Timeouts { tcp: 900, tcp_fin: 120, udp: 300 };
    let request = encode::change(&Change::SetTimeouts(timeouts)).unwrap();
    assert_eq!(request.command, command::SET_CONFIG);
    assert_eq!(decode::timeouts(&request.attributes).unwrap(), timeouts);
    assert_eq!(decode::timeouts(&[]).unwrap(), Timeouts::default(), "a kernel without TCP and UDP");
}

fn any_address(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::Ipv4 => any::<u32>().prop_map(|bits| Ipv4Addr::from(bits).into()).boxed(),
        Family::Ipv6 => any::<u128>().prop_map(|bits| Ipv6Addr::from(bits).into()).boxed(),
    }
}

fn any_service() -> impl Strategy<Value = (ServiceKey, Service)> {
    select(vec![Family::Ipv4, Family::Ipv6]).prop_flat_map(|family| {
        let protocol = select(vec![Protocol::Tcp, Protocol::Udp, Protocol::Sctp]);
        let by_address = (any_address(family), any::<u16>(), protocol)
            .prop_map(|(address, port, protocol)| ServiceKey::Address { address, port, protocol });
        let by_mark = any::<u32>().prop_map(move |mark| ServiceKey::Fwmark { mark, family });
        let netmask = match family {
            Family::Ipv4 => any::<u32>().prop_map(|bits| Netmask::Ipv4(Ipv4Addr::from(bits))).boxed(),
            Family::Ipv6 => (1..=128_u8).prop_map(Netmask::Ipv6).boxed(),
        };
        let persistence = (any::<u32>(), netmask).prop_map(|(timeout, netmask)| Persistence { timeout, netmask });
        let flags = any::<(bool, bool, bool, bool)>();
        let key = prop_oneof![by_address, by_mark];
        (key, "[a-z]{1,15}", option::of(persistence), flags, option::of("[a-z]{1,15}")).prop_map(
            |(key, scheduler, persistence, (one_packet, flag1, flag2, flag3), persistence_engine)| {
                let scheduler_flags = SchedulerFlags { flag1, flag2, flag3 };
                (key, Service { scheduler, persistence, one_packet, scheduler_flags, persistence_engine })
            },
        )
    })
}

fn any_destination() -> impl Strategy<Value = (DestinationKey, Destination)> {
    let address = select(vec![Family::Ipv4, Family::Ipv6]).prop_flat_map(any_address);
    let key = (address, any::<u16>()).prop_map(|(address, port)| DestinationKey { address, port });
    let checksum = select(vec![GueChecksum::None, GueChecksum::Full, GueChecksum::Remote]);
    let forwarding = prop_oneof![
        Just(Forwarding::Nat),
        Just(Forwarding::DirectRouting),
        Just(Forwarding::Tunnel(Tunnel::Ipip)),
        (any::<u16>(), checksum).prop_map(|(port, checksum)| Forwarding::Tunnel(Tunnel::Gue { port, checksum })),
        any::<bool>().prop_map(|checksum| Forwarding::Tunnel(Tunnel::Gre { checksum })),
        (4..8_u8, any::<u8>()).prop_map(|(method, tunnel)| Forwarding::Other { method, tunnel }),
    ];
    let numbers = (0..=65535_u32, any::<u32>(), any::<u32>());
    (key, forwarding, numbers).prop_map(|(key, forwarding, (weight, upper_threshold, lower_threshold))| {
        (key, Destination { weight, forwarding, upper_threshold, lower_threshold })
    })
}

proptest! {
    #[test]
    fn a_service_is_found_as_it_was_told((key, service) in any_service()) {
        let (found, shown) = decode::service(&shown_service(key, service.clone())).unwrap().unwrap();
        prop_assert_eq!((found, shown.service), (key, service));
    }

    #[test]
    fn a_destination_is_found_as_it_was_told((key, destination) in any_destination()) {
        let found = decode::destination(&shown_destination(key, destination), Family::Ipv4).unwrap();
        prop_assert_eq!((found.key, found.destination), (key, destination));
    }

    #[test]
    fn no_answer_is_too_strange(bytes in vec(any::<u8>(), 0..200)) {
        let _ = decode::service(&bytes);
        let _ = decode::destination(&bytes, Family::Ipv6);
        let _ = decode::daemon(&bytes);
        let _ = decode::timeouts(&bytes);
        let _ = decode::info(&bytes);
        let _ = decode::family_id(&bytes);
        let _ = transport::unframe(&bytes);
    }

    #[test]
    fn an_answer_that_is_cut_or_changed_is_no_danger(
        (key, service) in any_service(),
        cut in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = shown_service(key, service);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let _ = decode::service(&bytes);
        let _ = decode::service(&bytes[..cut.index(bytes.len())]);
    }
}
