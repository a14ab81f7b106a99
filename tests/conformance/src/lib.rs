//! VRRP sentence by sentence: one test at least for each MUST, MUST NOT and SHOULD of RFC 9568 (sections 2.5 and 5
//! to 9, with errata 7947, 7949 and 8298 to 8301) and of RFC 3768 that speaks to a router's software. A test's
//! name begins with the document and the section. Here is what they share, and what is not so.
//!
//! # Deviations
//!
//! Each has its reason, and a test that shows it (`deviation_...`):
//!
//! - **9568 5.1.1.2, 5.1.1.3, 5.1.2.3, 7.1, 7.2**, unicast peers: what comes from them may have any TTL but where
//!   `min_ttl` and `max_ttl` say otherwise, and what goes to them has that of `unicast_ttl`. Another group than that
//!   of VRRP may be configured (`mcast_dst_ip`).
//! - **9568 5.2.5** (erratum 8299), an advert without addresses is ignored, but where the router has none of
//!   its own (`no_virtual_ipaddress`).
//! - **9568 5.2.8**, the checksum of IPv4 without a pseudo header. By default it is sent with one, until
//!   somebody is heard who sends it without: keepalived drops what has none. Both are accepted.
//!   `v3_checksum_as_v2` sends what the RFC says.
//! - **9568 5.2.9, 6.1, 7.1** (erratum 8300), the first IPv6 address is link-local. A router without any is accepted
//!   and told, and so are adverts that begin with another address. Strict mode discards those, but where the
//!   router has no link-local address itself: both would serve.
//! - **9568 6.1**, `Accept_Mode` is off by default. Here it is on, as in keepalived: virtual addresses are
//!   mostly those of services. `no_accept` and strict mode turn it off. **3768 6.4.3** has none but an owner accept.
//! - **9568 6.1**, an owner always preempts. Here, too, but where it begins as a backup not before its
//!   `preempt_delay`.
//! - **9568 6.4.1, 3768 6.4.1**, an owner starts as active. With `state BACKUP` it waits for its down interval.
//! - **9568 6.4.1, 6.4.2**, the target hardware address of a gratuitous ARP is that of the virtual router. It is
//!   broadcast, as keepalived and FRR send it; hosts do not look at it.
//! - **9568 6.4.1, 6.4.2**, unsolicited neighbour advertisements have the router flag. Here they have it where the
//!   host forwards: neighbours forget routes through an address whose host does not (RFC 4861 section 7.2.5).
//! - **9568 6.4.2, 3768 6.4.2**, a backup discards frames to the virtual MAC address. In a mesh the fence does so;
//!   without one they are accepted, as with keepalived.
//! - **9568 6.4.2**, a backup accepts nothing for the addresses. An owner in Backup keeps those its host has of its
//!   own: it would lose them.
//! - **9568 6.4.3**, a less worthy advert is answered. Strict mode is silent in version 3 as well, as in keepalived.
//! - **9568 7.1, 3768 7.1**, an address owner discards adverts. Here erratum 8298 is followed: it reads them, so that
//!   two owners find each other, also in strict mode. `owner_ignore_adverts` has them told and not heeded.
//! - **9568 7.1, 3768 7.1**, what is discarded is logged. An advert of a VRID that is not configured is no mistake
//!   of anybody; it is told with `log_unknown_vrids`.
//! - **9568 7.2, 7.3, 8.1.2, 8.2.2**, the virtual MAC address. Adverts and answers have that of the
//!   interface unless a virtual one is asked for, as in keepalived. In a mesh the last advert, of priority 0, has
//!   that of the interface in any case: the fence is closed before others hear that they may serve.
//! - **3768 6.4.3**, a less worthy advert is discarded silently. Here it is answered, as RFC 9568 has it.
//!   `lower_prio_no_advert` and strict mode are silent.
//! - **3768 7.1**, an advert with other addresses from no owner is dropped. Here it is told and heeded, as
//!   RFC 9568 has it: both would serve otherwise.
//! - **3768 5.3.6**, no authentication but type 0. PASS and AH of RFC 2338 are spoken where configured.
//!
//! In a mesh leases decide (`deviation_in_a_mesh_...`): a backup whose down timer fires asks the voters and stays a
//! backup until they grant (9568 6.4.2, 3768 6.4.2), it asks for an address they call vacant before that timer fires,
//! an owner asks before it serves (6.4.1), and the holder of a lease yields to nobody outside the mesh but whom it
//! trusts (6.4.3).
//!
//! # Tested elsewhere
//!
//! - 9568 5.2.4, 3768 5.3.4, effective priorities are 1 to 254: `core/src/tracking/tests.rs`.
//! - 9568 6.1, 6.4.3, neighbour discovery passes without `Accept_Mode`: `meshd/src/kernel/fence/tests/unaccepted.rs`,
//!   `netns/tests/kernel/wire.rs`.
//! - 9568 6.4.2, 6.4.3, addresses, groups and answers of the kernel: `netns/tests/kernel/ipv6.rs`, `vmac.rs`,
//!   `meshd/src/kernel/fence/tests/ipv6.rs`; frames to the virtual MAC address in a mesh: `.../tests/virtual_mac.rs`.
//! - 9568 7.2, 3768 7.2, MAC address of all adverts: `netns/tests/kernel/vmac.rs`.
//! - 9568 7.4, no address out of the virtual MAC address: `meshd/src/kernel/netlink/vmac/tests.rs`.
//! - 9568 8.1.2, 8.2.2, 8.3.1, 3768 8.2, 8.4, who asks is answered with the virtual MAC address, the router flag of
//!   answers, and nothing for the addresses is forwarded: `netns/tests/kernel/vmac.rs`.
//! - 9568 8.2.4, unsolicited advertisements are accepted by the kernel: `meshd/src/adverts/tests.rs`.
//! - BFD (RFC 5880, 5881) beside its code, deviations with it: `core/src/bfd/`.
//!
//! Not here: what is the kernel's or a host's (redirects, proxy ARP, router advertisements, duplicate address
//! detection, forwarding of the group), and the interoperation of versions 2 and 3 on one router (8.4), which is
//! optional and not offered.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use mesh_config::model::{Config, Version, VirtualAddress, VirtualRouter};
use mesh_core::input::{Datagram, Interface};
use mesh_core::lease::memory::VoterStart;
use mesh_core::{Action, Decision, Engine, Input, Instant, Setup};
use mesh_wire::mesh::roster::Roster;
use mesh_wire::mesh::{Family, NodeId, RouterKey};
use mesh_wire::vrrp::{self, Advertisement, Authentication, ChecksumForm, Envelope, Interval};

/// This router's primary address.
pub const OWN: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 11);
/// A neighbour with a higher one.
pub const HIGHER: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 12);
/// A neighbour with a lower one.
pub const LOWER: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 10);
/// The virtual address.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 80);
/// This router's link-local address.
pub const OWN_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x11);
/// A neighbour's.
pub const HIGHER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x12);
/// The virtual router.
pub const VRID: u8 = 51;

/// A router over IPv4, adverts every second.
pub fn router(version: Version, priority: u8) -> VirtualRouter {
    VirtualRouter { version, addresses: vec![address("10.1.1.80/24")], ..named(Family::Ipv4, priority) }
}

/// A router over IPv6, whose addresses are not in the order in which they are sent.
pub fn router_v6(priority: u8) -> VirtualRouter {
    VirtualRouter {
        addresses: vec![address("2001:db8::80/64"), address("fe80::80/64")],
        ..named(Family::Ipv6, priority)
    }
}

/// Both languages start an owner of the addresses as active where nothing else is said.
fn named(family: Family, priority: u8) -> VirtualRouter {
    let router = VirtualRouter::new("VI_1", RouterKey { family, vrid: VRID, segment: 0 }, "eth0");
    VirtualRouter { priority, initial_active: priority == 255, ..router }
}

/// A virtual address.
pub fn address(net: &str) -> VirtualAddress {
    VirtualAddress::new(net.parse().expect("a test's address"))
}

/// A point in time, in milliseconds.
pub const fn ms(n: u64) -> Instant {
    Instant::from_nanos(n * 1_000_000)
}

/// A router on a host that has just started, and what it does.
pub struct Host {
    /// Its engine.
    pub engine: Engine,
    /// What it has done in the last step.
    pub actions: Vec<Action>,
}

/// One packet on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// IP source.
    pub source: IpAddr,
    /// IP destination.
    pub destination: IpAddr,
    /// TTL, and the identification behind an authentication header.
    pub envelope: Envelope,
    /// What follows the IP header.
    pub payload: Vec<u8>,
}

impl Sent {
    /// What it says.
    pub fn advert(&self) -> Advertisement {
        vrrp::parse(&self.payload, self.source, self.destination).expect("what is sent is well-formed").0
    }
}

impl Host {
    /// Its interface is up since zero.
    pub fn new(router: VirtualRouter) -> Host {
        Host::configured(Config { routers: vec![router], ..Config::default() }, None)
    }

    /// The same with more than a router, and in a mesh where there is a roster.
    pub fn configured(config: Config, roster: Option<Roster>) -> Host {
        let setup = Setup {
            node: NodeId(1),
            name: "lb1".to_owned(),
            roster,
            successor: Default::default(),
            version: "test".to_owned(),
            seed: 1,
            unix_at_zero: Duration::from_secs(1_800_000_000),
            voter: VoterStart::default(),
            adopted: Vec::new(),
            holds: Vec::new(),
        };
        let engine = Engine::new(setup, config, ms(0));
        let mut host = Host { engine, actions: Vec::new() };
        host.has(ms(0), &[]);
        host
    }

    /// Its interface has these addresses from now on, besides those it has always.
    pub fn has(&mut self, now: Instant, more: &[&str]) {
        let always = ["10.1.1.11/24", "fe80::11/64"];
        let addresses = always.iter().chain(more).map(|net| net.parse().expect("a net")).collect();
        let (name, unusable) = ("eth0".to_owned(), Vec::new());
        self.step(now, Input::Interface(Interface { name, running: true, addresses, unusable }));
    }

    /// The same, and Active: its down timer has run out.
    pub fn active(router: VirtualRouter) -> (Host, Instant) {
        let mut host = Host::new(router);
        let at = host.deadline();
        host.step(at, Input::Timeout);
        assert!(host.serves(), "{:#?}", host.actions);
        (host, at)
    }

    /// Takes in one fact.
    pub fn step(&mut self, now: Instant, input: Input) {
        self.actions = self.engine.step(now, input);
    }

    /// The next timer.
    pub fn deadline(&self) -> Instant {
        self.engine.deadline().expect("a timer runs").0
    }

    /// When its down timer runs out, if nothing more is heard.
    pub fn takes_over_at(&mut self) -> Instant {
        for _ in 0..100 {
            let due = self.deadline();
            self.step(due, Input::Timeout);
            if self.serves() {
                return due;
            }
        }
        panic!("it never takes over: {:#?}", self.actions)
    }

    /// An advert of a neighbour comes in.
    pub fn hears(&mut self, now: Instant, source: impl Into<IpAddr>, advert: &Advertisement) {
        let source = source.into();
        self.receives(now, packet(source, advert));
    }

    /// A packet comes in.
    pub fn receives(&mut self, now: Instant, datagram: Datagram) {
        self.step(now, Input::Advertisement(datagram));
    }

    /// The adverts of the last step.
    pub fn sent(&self) -> Vec<Sent> {
        let sent = self.actions.iter().filter_map(|action| match action {
            Action::SendAdvertisement { source, destination, envelope, payload, .. } => {
                Some(Sent { source: *source, destination: *destination, envelope: *envelope, payload: payload.clone() })
            }
            _ => None,
        });
        sent.collect()
    }

    /// Their priorities.
    pub fn priorities(&self) -> Vec<u8> {
        self.sent().iter().map(|sent| sent.advert().priority).collect()
    }

    /// What was announced in the last step, and how often.
    pub fn announced(&self) -> Vec<(IpAddr, u32)> {
        let announced = self.actions.iter().filter_map(|action| match action {
            Action::Announce { address, count, .. } => Some((*address, *count)),
            _ => None,
        });
        announced.collect()
    }

    /// Whether the last step put addresses on the host.
    pub fn serves(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::AddAddress { .. }))
    }

    /// Whether the last step took addresses off the host.
    pub fn yields(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::DelAddress { .. }))
    }

    /// What the last step warned of.
    pub fn warnings(&self) -> Vec<String> {
        let warnings = self.actions.iter().filter_map(|action| match action {
            Action::Record(Decision::Warning { text }) => Some(text.clone()),
            _ => None,
        });
        warnings.collect()
    }

    /// Packets dropped so far, by reason.
    pub fn drops(&self) -> Vec<(String, u64)> {
        self.engine.drops().map(|(reason, count)| (reason.to_owned(), count)).collect()
    }
}

/// An advert of the virtual router, every second.
pub fn advert(version: Version, priority: u8) -> Advertisement {
    let version = match version {
        Version::V2 => vrrp::Version::V2,
        Version::V3 => vrrp::Version::V3,
    };
    Advertisement {
        vrid: VRID,
        priority,
        interval: Interval::new(version, Duration::from_secs(1)).expect("one second"),
        addresses: vec![VIP.into()],
        auth: Authentication::None,
    }
}

/// The same over IPv6.
pub fn advert_v6(priority: u8) -> Advertisement {
    let addresses = ["fe80::80", "2001:db8::80"].map(|a| a.parse().expect("an address")).to_vec();
    Advertisement { addresses, ..advert(Version::V3, priority) }
}

/// A multicast packet with an advert, as it arrives.
pub fn packet(source: IpAddr, advert: &Advertisement) -> Datagram {
    let destination = vrrp::group(Family::of(source));
    let payload = vrrp::emit(advert, source, destination, ChecksumForm::PseudoHeader);
    Datagram { interface: "eth0".to_owned(), source, destination, ttl: 255, payload }
}
