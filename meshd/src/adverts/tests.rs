//! Two hosts are two network namespaces with two cables between them. A socket stays in the
//! namespace it was opened in, so that one thread can be both hosts.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::thread;
use std::time::Duration;

use mesh_wire::vrrp::{self, GROUP_V6};
use nix::net::if_::if_nametoindex;
use nix::sched::{CloneFlags, setns, unshare};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime;
use tokio::time::timeout;

use super::*;

mod ipv6;
mod waiting;

const GROUP: IpAddr = IpAddr::V4(vrrp::GROUP);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 1));
const HERE_TOO: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 9));
const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 77, 0, 2));
const MAC_HERE: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0a];
const MAC_THERE: [u8; 6] = [0x02, 0, 0, 0, 0, 0x0b];
const LIMIT: Duration = Duration::from_secs(5);
/// Long enough for a packet that should not come.
const SILENCE: Duration = Duration::from_millis(200);

struct Lab {
    here: File,
    there: File,
}

impl Lab {
    /// Runs `test` on a thread whose namespaces are its own: `here` has l0 (10.77.0.1, 10.77.0.9)
    /// and l1 (10.78.0.1), `there` r0 (10.77.0.2) and r1 (10.78.0.2).
    fn run(test: impl AsyncFnOnce(Lab) + Send + 'static) {
        let body = || {
            let lab = Lab { there: Lab::namespace(), here: Lab::namespace() };
            lab.cable(0);
            lab.cable(1);
            lab.here(|| ip("address add 10.77.0.9/24 dev l0"));
            runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test(lab));
        };
        thread::spawn(body).join().unwrap();
    }

    fn namespace() -> File {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace needs root");
        ip("link set lo up");
        File::open("/proc/thread-self/ns/net").unwrap()
    }

    fn cable(&self, n: u8) {
        let there = format!("/proc/{}/fd/{}", std::process::id(), self.there.as_raw_fd());
        self.here(|| {
            ip(&format!(
                "link add l{n} address 02:00:00:00:0{n}:0a type veth peer name r{n} address 02:00:00:00:0{n}:0b netns {there}"
            ));
            ip(&format!("address add 10.7{}.0.1/24 dev l{n}", n + 7));
            ip(&format!("link set l{n} up"));
        });
        self.there(|| {
            ip(&format!("address add 10.7{}.0.2/24 dev r{n}", n + 7));
            ip(&format!("link set r{n} up"));
        });
        self.settle(n);
    }

    /// The kernel lets packets out only some time after it has seen the carrier.
    fn settle(&self, n: u8) {
        self.here(|| wait_until_up(&format!("l{n}")));
        self.there(|| wait_until_up(&format!("r{n}")));
    }

    fn here<T>(&self, act: impl FnOnce() -> T) -> T {
        setns(&self.here, CloneFlags::CLONE_NEWNET).unwrap();
        act()
    }

    fn there<T>(&self, act: impl FnOnce() -> T) -> T {
        setns(&self.there, CloneFlags::CLONE_NEWNET).unwrap();
        act()
    }

    /// Both hosts' sockets, open on the first cable.
    fn adverts(&self) -> (Adverts, Adverts) {
        (self.here(|| adverts("l0", MAC_HERE)), self.there(|| adverts("r0", MAC_THERE)))
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().unwrap();
    assert!(status.success(), "ip {arguments}");
}

fn wait_until_up(interface: &str) {
    let is_up = |_| {
        let output = Command::new("ip").args(["link", "show", "dev", interface]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).contains("state UP")
    };
    // Each look takes a millisecond and more.
    assert!((0..2000).any(is_up), "{interface} does not come up");
}

fn adverts(interface: &str, mac: [u8; 6]) -> Adverts {
    let mut adverts = Adverts::new().unwrap();
    open(&mut adverts, interface, mac).unwrap();
    adverts
}

fn open(adverts: &mut Adverts, interface: &str, mac: [u8; 6]) -> io::Result<()> {
    let mut failed = adverts.open(interface, if_nametoindex(interface).unwrap(), mac, &Ears::from([Family::Ipv4]));
    failed.pop_first().map_or(Ok(()), |(_, error)| Err(error))
}

async fn next(adverts: &mut Adverts) -> Datagram {
    match one(adverts).await {
        Input::Advertisement(datagram) => datagram,
        other => panic!("{other:?}"),
    }
}

async fn one(adverts: &mut Adverts) -> Input {
    let mut heard = timeout(LIMIT, adverts.receive(1)).await.expect("a packet in time");
    assert_eq!(heard.len(), 1);
    heard.remove(0)
}

async fn nothing(adverts: &mut Adverts) {
    let heard = timeout(SILENCE, adverts.receive(1)).await;
    assert!(heard.is_err(), "{heard:?}");
}

/// Every frame that passes the interfaces of the namespace it is made in.
struct Capture(Socket);

impl Capture {
    fn new() -> Capture {
        let all = Protocol::from(i32::from((nix::libc::ETH_P_ALL as u16).to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(all)).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Capture(socket)
    }

    /// The next frame of this EtherType that `wanted` picks.
    fn next(&self, ethertype: u16, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        loop {
            let mut buffer = [0; 2048];
            let length = (&self.0).read(&mut buffer).expect("a frame in time");
            let frame = &buffer[..length];
            if frame[12..14] == ethertype.to_be_bytes() && wanted(&frame[14..]) {
                return frame.to_vec();
            }
        }
    }
}

#[test]
fn root_multicast_leaves_as_keepalived_sends_it_and_arrives_whole() {
    Lab::run(async |lab| {
        let (here, mut there) = lab.adverts();
        let capture = lab.there(Capture::new);
        here.send("l0", HERE_TOO, GROUP, Envelope::default(), b"advert").unwrap();

        let expected = Datagram {
            interface: "r0".into(),
            source: HERE_TOO,
            destination: GROUP,
            ttl: 255,
            payload: b"advert".into(),
        };
        assert_eq!(next(&mut there).await, expected);

        let frame = capture.next(0x0800, |packet| packet[9] == 112);
        assert_eq!(frame[..6], [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]);
        assert_eq!(frame[6..12], MAC_HERE);
        let header = &frame[14..34];
        assert_eq!(header[..4], [0x45, 0xc0, 0, 26], "version, TOS 0xC0, length");
        assert_eq!(header[6..10], [0, 0, 255, 112], "no fragment, TTL, protocol");
        assert_eq!(header[12..], [10, 77, 0, 9, 224, 0, 0, 18]);
        let sum: u32 = header.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "the kernel filled in the checksum");
        assert_eq!(&frame[34..], b"advert");
    });
}

#[test]
fn root_unicast_arrives_and_needs_no_group() {
    Lab::run(async |lab| {
        let (mut here, there) = lab.adverts();
        there.send("r0", THERE, HERE_TOO, Envelope::default(), b"to one").unwrap();
        let heard = next(&mut here).await;
        assert_eq!((heard.source, heard.destination, heard.ttl), (THERE, HERE_TOO, 255));
        assert_eq!(heard.payload, b"to one");
    });
}

#[test]
fn root_a_source_that_is_no_address_of_this_host_is_sent_all_the_same() {
    Lab::run(async |lab| {
        let (here, mut there) = lab.adverts();
        let virtual_source = IpAddr::from([10, 77, 0, 200]);
        here.send("l0", virtual_source, GROUP, Envelope::default(), b"advert").unwrap();
        assert_eq!(next(&mut there).await.source, virtual_source);
    });
}

#[test]
fn root_our_own_packets_never_come_back() {
    Lab::run(async |lab| {
        let (mut here, there) = lab.adverts();
        for _ in 0..3 {
            here.send("l0", HERE, GROUP, Envelope::default(), b"ours").unwrap();
        }
        there.send("r0", THERE, GROUP, Envelope::default(), b"theirs").unwrap();
        assert_eq!(next(&mut here).await.payload, b"theirs");
        nothing(&mut here).await;
    });
}

#[test]
fn root_each_interface_hears_its_own_cable() {
    Lab::run(async |lab| {
        let (mut here, mut there) = lab.adverts();
        lab.there(|| open(&mut there, "r1", MAC_THERE)).unwrap();
        // Not open here: neither multicast nor unicast may come in by the other socket.
        there.send("r1", IpAddr::from([10, 78, 0, 2]), GROUP, Envelope::default(), b"early").unwrap();
        there
            .send("r1", IpAddr::from([10, 78, 0, 2]), IpAddr::from([10, 78, 0, 1]), Envelope::default(), b"early")
            .unwrap();
        nothing(&mut here).await;

        lab.here(|| open(&mut here, "l1", MAC_HERE)).unwrap();
        there.send("r1", IpAddr::from([10, 78, 0, 2]), GROUP, Envelope::default(), b"one").unwrap();
        let heard = next(&mut here).await;
        assert_eq!((heard.interface.as_str(), &heard.payload[..]), ("l1", &b"one"[..]));
        nothing(&mut here).await;

        here.close("l1");
        there.send("r1", IpAddr::from([10, 78, 0, 2]), GROUP, Envelope::default(), b"late").unwrap();
        there.send("r0", THERE, GROUP, Envelope::default(), b"zero").unwrap();
        assert_eq!(next(&mut here).await.payload, b"zero");
        nothing(&mut here).await;
    });
}

#[test]
fn root_a_flood_on_one_interface_does_not_delay_the_other() {
    Lab::run(async |lab| {
        let (mut here, mut there) = lab.adverts();
        lab.here(|| open(&mut here, "l1", MAC_HERE)).unwrap();
        lab.there(|| open(&mut there, "r1", MAC_THERE)).unwrap();
        for _ in 0..200 {
            there.send("r0", THERE, GROUP, Envelope::default(), b"flood").unwrap();
        }
        for _ in 0..3 {
            there.send("r1", IpAddr::from([10, 78, 0, 2]), GROUP, Envelope::default(), b"drop").unwrap();
        }
        let mut order = Vec::new();
        for _ in 0..8 {
            order.push(next(&mut here).await.interface);
        }
        assert_eq!(order.iter().filter(|interface| *interface == "l1").count(), 3, "{order:?}");
    });
}

#[test]
fn root_255_routers_at_once_fit_the_buffer() {
    Lab::run(async |lab| {
        let (mut here, there) = lab.adverts();
        for n in 0..255 {
            there.send("r0", THERE, GROUP, Envelope::default(), &[n; 1036]).unwrap();
        }
        // In their order, as many at once as are asked for.
        let (mut heard, mut longest) = (Vec::new(), 0);
        while heard.len() < 255 {
            let together = timeout(LIMIT, here.receive(20)).await.expect("packets in time");
            longest = longest.max(together.len());
            heard.extend(together);
        }
        assert_eq!(longest, 20);
        for (n, input) in (0..255).zip(heard) {
            assert!(matches!(input, Input::Advertisement(d) if d.payload == [n; 1036]), "{n}");
        }
    });
}

#[test]
fn root_a_packet_longer_than_any_advert_is_dropped_and_counted() {
    Lab::run(async |lab| {
        lab.here(|| ip("link set l0 mtu 9000"));
        lab.there(|| ip("link set r0 mtu 9000"));
        let (mut here, there) = lab.adverts();
        there.send("r0", THERE, GROUP, Envelope::default(), &[0; BUFFER]).unwrap();
        there.send("r0", THERE, GROUP, Envelope::default(), b"good").unwrap();
        assert_eq!(next(&mut here).await.payload, b"good");
        assert_eq!(here.dropped(), 1);
    });
}

#[test]
fn root_an_interface_that_goes_and_comes_back() {
    Lab::run(async |lab| {
        let (mut here, mut there) = lab.adverts();
        lab.here(|| open(&mut here, "l1", MAC_HERE)).unwrap();
        let before = if_nametoindex_in(&lab, "l0");
        // While somebody waits for it.
        let removal = async {
            tokio::time::sleep(SILENCE / 4).await;
            lab.here(|| ip("link delete l0"));
        };
        tokio::join!(nothing(&mut here), removal);
        assert!(here.send("l0", HERE, GROUP, Envelope::default(), b"gone").is_err());
        assert!(here.announce("l0", HERE, 1).is_err());
        let failed = here.open("l0", before, [1; 6], &Ears::from([Family::Ipv4]));
        assert_eq!(failed.into_keys().collect::<Vec<_>>(), [Family::Ipv4], "no interface has this index");

        lab.cable(0);
        lab.here(|| open(&mut here, "l0", MAC_HERE)).unwrap();
        lab.there(|| open(&mut there, "r0", MAC_THERE)).unwrap();
        assert_ne!(if_nametoindex_in(&lab, "l0"), before);
        there.send("r0", THERE, GROUP, Envelope::default(), b"again").unwrap();
        assert_eq!(next(&mut here).await.payload, b"again");
        here.send("l0", HERE, GROUP, Envelope::default(), b"too").unwrap();
        assert_eq!(next(&mut there).await.payload, b"too");
    });
}

fn if_nametoindex_in(lab: &Lab, interface: &str) -> u32 {
    lab.here(|| if_nametoindex(interface)).unwrap()
}

#[test]
fn root_a_link_that_goes_down_and_up_keeps_its_group() {
    Lab::run(async |lab| {
        let (mut here, there) = lab.adverts();
        lab.here(|| ip("link set l0 down"));
        assert!(here.send("l0", HERE, GROUP, Envelope::default(), b"down").is_err());
        nothing(&mut here).await;
        lab.here(|| ip("link set l0 up"));
        lab.settle(0);
        there.send("r0", THERE, GROUP, Envelope::default(), b"up").unwrap();
        assert_eq!(next(&mut here).await.payload, b"up");
    });
}

#[test]
fn root_opening_twice_keeps_what_waits_and_a_new_mac_is_used() {
    Lab::run(async |lab| {
        let (mut here, there) = lab.adverts();
        there.send("r0", THERE, GROUP, Envelope::default(), b"waits").unwrap();
        lab.here(|| open(&mut here, "l0", MAC_HERE)).unwrap();
        assert_eq!(next(&mut here).await.payload, b"waits");

        let capture = lab.there(Capture::new);
        let vip = Ipv4Addr::new(10, 77, 0, 100);
        let ours = |packet: &[u8]| packet[24..28] == vip.octets();
        here.announce("l0", vip.into(), 2).unwrap();
        for _ in 0..2 {
            assert_eq!(capture.next(0x0806, ours), arp::gratuitous_request(MAC_HERE, vip));
        }
        let new = [0x02, 0, 0, 0, 0, 0x77];
        lab.here(|| open(&mut here, "l0", new)).unwrap();
        here.announce("l0", vip.into(), 1).unwrap();
        assert_eq!(capture.next(0x0806, ours), arp::gratuitous_request(new, vip), "and no third of the old");
    });
}

#[test]
fn root_a_neighbour_learns_from_gratuitous_arp() {
    Lab::run(async |lab| {
        let (mut here, _there) = lab.adverts();
        let neighbour = || {
            let output = Command::new("ip").args(["neighbour", "show", "10.77.0.100"]).output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        lab.there(|| ip("neighbour replace 10.77.0.100 lladdr 02:00:00:00:00:99 dev r0 nud stale"));
        here.announce("l0", WANTED.into(), 1).unwrap();
        let learnt = lab.there(neighbour);
        assert!(learnt.contains("02:00:00:00:00:0a"), "{learnt}");
    });
}

#[test]
fn root_an_interface_that_is_not_open_is_an_error() {
    Lab::run(async |lab| {
        let mut adverts = lab.here(Adverts::new).unwrap();
        nothing(&mut adverts).await;
        let errors = [
            adverts.send("l0", HERE, GROUP, Envelope::default(), b"x").unwrap_err(),
            adverts.announce("l0", HERE, 1).unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            assert!(error.to_string().contains("l0"), "{error}");
        }
        adverts.close("l0");
        assert!(!adverts.open("l0", 0, MAC_HERE, &Ears::from([Family::Ipv4])).is_empty());
    });
}

/// Runs itself once more, in a process that can never have CAP_NET_RAW.
#[test]
fn root_without_net_raw_permission_is_denied() {
    const INNER: &str = "MESHD_TEST_WITHOUT_NET_RAW";
    if std::env::var_os(INNER).is_some() {
        assert_eq!(Adverts::new().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        return;
    }
    let output = Command::new("setpriv")
        .args(["--bounding-set=-net_raw", "--inh-caps=-net_raw", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "adverts::tests::root_without_net_raw_permission_is_denied"])
        .env(INNER, "1")
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}");
}

fn probe(
    lab: &Lab,
    adverts: &Adverts,
    address: IpAddr,
) -> impl Future<Output = io::Result<Option<ProbeAnswer>>> + use<> {
    lab.here(|| adverts.probe(&[("l0".to_owned(), address)])).unwrap()
}

const WANTED: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

#[test]
fn root_a_host_that_has_the_address_answers_a_probe() {
    Lab::run(async |lab| {
        let (here, _there) = lab.adverts();
        lab.there(|| ip("address add 10.77.0.100/32 dev r0"));
        let answer = probe(&lab, &here, WANTED.into()).await.unwrap();
        assert_eq!(answer, Some(ProbeAnswer { address: WANTED.into(), mac: MAC_THERE }));
        let neighbours = lab.there(|| Command::new("ip").args(["neighbour", "show", "dev", "r0"]).output().unwrap());
        let text = String::from_utf8(neighbours.stdout).unwrap();
        assert!(!text.contains("02:00:00:00:00:0a"), "a probe enters no cache: {text}");
    });
}

#[test]
fn root_an_address_that_nobody_has_is_asked_for_twice_and_free() {
    Lab::run(async |lab| {
        let (here, _there) = lab.adverts();
        let capture = lab.there(Capture::new);
        // Our own address answers nobody but others.
        for address in [WANTED, Ipv4Addr::new(10, 77, 0, 1)] {
            let begin = crate::clock::now();
            assert_eq!(probe(&lab, &here, address.into()).await.unwrap(), None);
            let took = crate::clock::now().since(begin);
            assert!(took >= Duration::from_millis(40), "{took:?}");
            for _ in 0..2 {
                let asked = |packet: &[u8]| packet[24..28] == address.octets();
                assert_eq!(capture.next(0x0806, asked), arp::probe(MAC_HERE, address));
            }
        }
    });
}

#[test]
fn root_announcements_and_probes_of_others_answer_a_probe_our_own_do_not() {
    Lab::run(async |lab| {
        let (mut here, mut there) = lab.adverts();
        let (looks, announces) = tokio::join!(probe(&lab, &here, WANTED.into()), async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            here.announce("l0", WANTED.into(), 1).unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
            there.announce("r0", WANTED.into(), 1)
        });
        announces.unwrap();
        assert_eq!(looks.unwrap(), Some(ProbeAnswer { address: WANTED.into(), mac: MAC_THERE }));

        let rival = lab.there(|| there.probe(&[("r0".to_owned(), WANTED.into())])).unwrap();
        let (ours, theirs) = tokio::join!(probe(&lab, &here, WANTED.into()), rival);
        let answers = [ours.unwrap().map(|a| a.mac), theirs.unwrap().map(|a| a.mac)];
        assert_eq!(answers, [Some(MAC_THERE), Some(MAC_HERE)], "each stops the other");
    });
}

#[test]
fn root_where_nothing_can_be_sent_a_probe_fails() {
    Lab::run(async |lab| {
        let (here, _there) = lab.adverts();
        let Err(error) = lab.here(|| here.probe(&[("l1".to_owned(), WANTED.into())])) else { panic!("l1 is not open") };
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        lab.here(|| ip("link set l0 down"));
        assert!(probe(&lab, &here, WANTED.into()).await.is_err());
    });
}

/// Another group and another IP protocol, each heard where it was asked for; the TTL is the envelope's.
#[test]
fn root_other_groups_and_authentication_headers() {
    Lab::run(async |lab| {
        let other = IpAddr::from([224, 0, 0, 20]);
        let mut here = lab.here(|| adverts("l0", MAC_HERE));
        let mut there = lab.there(|| adverts("r0", MAC_THERE));
        let mut ears = Ears::default();
        ears.add(Family::Ipv4, other, true);
        assert!(lab.here(|| here.open("l0", if_nametoindex("l0").unwrap(), MAC_HERE, &ears)).is_empty());
        there.send("r0", THERE, GROUP, Envelope::default(), b"not heard").unwrap();
        there.send("r0", THERE, other, Envelope { ttl: 9, sealed: None }, b"advert").unwrap();
        let heard = next(&mut here).await;
        assert_eq!((heard.destination, heard.ttl, &heard.payload[..]), (other, 9, &b"advert"[..]));
        let envelope = Envelope { ttl: 255, sealed: Some(0xabcd) };
        there.send("r0", THERE, other, envelope, b"header").unwrap();
        let sealed = one(&mut here).await;
        let datagram = Datagram { ttl: 255, payload: b"header".to_vec(), ..heard };
        assert_eq!(sealed, Input::SealedAdvertisement { datagram, identification: 0xabcd });
        nothing(&mut there).await;
    });
}
