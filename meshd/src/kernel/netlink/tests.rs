use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::*;
use crate::clock;
use crate::kernel::testing::{Neighbour, runtime, sh, with_neighbour};
use mesh_core::input::Unusable;

fn vip(net: &str) -> VirtualAddress {
    VirtualAddress::new(net.parse().unwrap())
}

/// No link-local address comes by itself, at a moment of its own, on this or any later interface.
fn without_link_local() {
    sh("sysctl -qw net.ipv6.conf.default.addr_gen_mode=1; ip link set veth0 addrgenmode none");
    sh("ip -6 address flush dev veth0");
}

/// A namespace with everything about it told already.
fn following(test: impl AsyncFnOnce(&Neighbour, &Netlink, &mut mpsc::Receiver<Event>) + Send) {
    with_neighbour(|neighbour| {
        without_link_local();
        runtime().block_on(async {
            let (netlink, mut events) = Netlink::open().await.unwrap();
            quiet(&mut events).await;
            test(neighbour, &netlink, &mut events).await;
        });
    });
}

/// An address of somebody else's, or of an earlier run, with this mark.
async fn place(netlink: &Netlink, interface: &str, net: &str, mark: u8) {
    let mut message = message(if_nametoindex(interface).unwrap(), net.parse().unwrap());
    message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(mark)));
    let flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE;
    netlink.requests.execute(RouteNetlinkMessage::NewAddress(message), flags).await.unwrap();
}

/// Waits for an interface to be running or not: the kernel holds carrier changes back for up to a
/// second when they come quickly one after the other.
async fn becomes(events: &mut mpsc::Receiver<Event>, name: &str, running: bool) {
    loop {
        if links(&[next(events).await], name).iter().any(|link| link.running == running) {
            return;
        }
    }
}

async fn next(events: &mut mpsc::Receiver<Event>) -> Event {
    timeout(Duration::from_secs(3), events.recv()).await.expect("nothing happens").expect("following ended")
}

/// What comes until nothing comes for a while.
async fn quiet(events: &mut mpsc::Receiver<Event>) -> Vec<Event> {
    let mut told = Vec::new();
    while let Ok(event) = timeout(Duration::from_millis(150), events.recv()).await {
        told.push(event.expect("following ended"));
    }
    told
}

fn links(events: &[Event], name: &str) -> Vec<Interface> {
    let of_link = events.iter().filter_map(|event| match event {
        Event::Link(link) if link.interface.name == name => Some(link.interface.clone()),
        _ => None,
    });
    of_link.collect()
}

fn gone(interface: &str, vip: &str) -> Event {
    Event::AddressGone { interface: interface.into(), address: vip.parse().unwrap() }
}

/// Without it, every request would fail for ever: the daemon ends instead, as with everything that dies.
#[tokio::test]
async fn the_end_of_what_asks_the_kernel_is_noticed() {
    let (netlink, mut events) = Netlink::open().await.unwrap();
    netlink.requests.kill();
    let over = async { while events.recv().await.is_some() {} };
    timeout(Duration::from_secs(5), over).await.expect("the follower ends");
}

#[test]
fn root_what_is_there_is_told_first() {
    with_neighbour(|_| {
        without_link_local();
        sh("ip address add 10.78.0.1/16 dev veth0; ip address add 10.77.0.5/24 dev veth0");
        runtime().block_on(async {
            let (earlier, _) = Netlink::open().await.unwrap();
            place(&earlier, "veth0", "10.77.0.99/24", ADDRESS_PROTOCOL).await;
            drop(earlier);
            let (_netlink, mut events) = Netlink::open().await.unwrap();
            let told = quiet(&mut events).await;
            let lo = links(&told, "lo");
            assert_eq!((lo.len(), lo[0].running, lo[0].addresses.len()), (1, true, 2), "of both families");
            let veth = links(&told, "veth0");
            let nets = ["10.77.0.1/24", "10.78.0.1/16", "10.77.0.5/24"].map(|net| net.parse().unwrap());
            assert_eq!(
                veth,
                [Interface { name: "veth0".into(), running: true, addresses: nets.into(), unusable: Vec::new() }]
            );
            let link = told.iter().find_map(|event| match event {
                Event::Link(link) if link.interface.name == "veth0" => Some(link.clone()),
                _ => None,
            });
            let shown = sh("ip -o link show veth0");
            let mac: Vec<_> = link.unwrap().mac.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(shown.contains(&mac.join(":")), "{shown}");
        });
    });
}

#[test]
fn root_an_address_is_as_it_was_asked_for() {
    following(async |_, netlink, events| {
        let mut wanted = vip("10.77.0.80/28");
        wanted.label = Some("veth0:vip".into());
        wanted.scope = Scope::Link;
        wanted.broadcast = Some("10.77.0.255".parse().unwrap());
        netlink.add_address("veth0", &wanted, 30).await.unwrap();
        let shown = sh("ip -o address show dev veth0 to 10.77.0.80");
        for part in ["10.77.0.80/28", "brd 10.77.0.255", "scope link", "veth0:vip"] {
            assert!(shown.contains(part), "{part} is missing: {shown}");
        }
        let told = netlink.requests.addresses(None).await.unwrap();
        let marked: Vec<_> = told.iter().filter(|message| protocol(message) == Some(0x6d)).collect();
        assert_eq!(marked.iter().filter_map(|message| local(message)).collect::<Vec<_>>(), [wanted.net]);
        assert!(shown.contains("valid_lft 30sec") || shown.contains("valid_lft 29sec"), "{shown}");
        netlink.add_address("veth0", &wanted, 60).await.unwrap();
        let shown = sh("ip -o address show dev veth0 to 10.77.0.80");
        assert!(shown.contains("valid_lft 60sec") || shown.contains("valid_lft 59sec"), "{shown}");
        netlink.add_address("veth0", &wanted, u32::MAX).await.unwrap();
        assert!(sh("ip -o address show dev veth0 to 10.77.0.80").contains("valid_lft forever"));
        netlink.del_address("veth0", &wanted).await.unwrap();
        netlink.del_address("veth0", &wanted).await.unwrap();
        assert_eq!(sh("ip -o address show dev veth0 to 10.77.0.80"), "");
        assert_eq!(quiet(events).await, [], "our own doing is no event");
    });
}

#[test]
fn root_what_cannot_be_done_is_said() {
    following(async |_, netlink, _| {
        let add = async |interface: &str, vip: VirtualAddress, lifetime| {
            netlink.add_address(interface, &vip, lifetime).await.unwrap_err()
        };
        assert!(matches!(add("nosuch0", vip("10.0.0.1/32"), 1).await, AddressError::NoInterface(_)));
        let long = VirtualAddress { label: Some("0123456789abcdef".into()), ..vip("10.0.0.1/32") };
        assert!(matches!(add("veth0", long, 1).await, AddressError::Label(_)));
        let refused = add("veth0", vip("10.0.0.1/32"), 0).await.to_string();
        assert!(refused.starts_with("10.0.0.1/32 on veth0: Invalid argument"), "{refused}");
        assert!(refused.contains('('), "no word of the kernel: {refused}");
        netlink.del_address("nosuch0", &vip("10.0.0.1/32")).await.unwrap();
        netlink.del_address("veth0", &vip("fd00::1/64")).await.unwrap();
        sh("sysctl -qw net.ipv6.conf.veth0.disable_ipv6=1");
        let refused = add("veth0", vip("fd00::1/64"), 9).await.to_string();
        assert!(refused.starts_with("fd00::1/64 on veth0: Permission denied"), "{refused}");
    });
}

#[test]
fn root_an_address_that_goes_by_itself_or_by_others_is_told() {
    following(async |_, netlink, events| {
        netlink.add_address("veth0", &vip("10.77.0.80/24"), u32::MAX).await.unwrap();
        netlink.add_address("veth0", &vip("10.77.0.81/32"), 1).await.unwrap();
        assert_eq!(next(events).await, gone("veth0", "10.77.0.81"), "its lifetime ended");
        let before = clock::now();
        sh("ip address del 10.77.0.80/24 dev veth0");
        assert_eq!(next(events).await, gone("veth0", "10.77.0.80"));
        println!("told {:?} after the command began", clock::now().since(before));
        assert_eq!(quiet(events).await, []);
        // Told once; and again when it was put there again.
        for _ in 0..20 {
            netlink.add_address("veth0", &vip("10.77.0.80/24"), 9).await.unwrap();
            netlink.del_address("veth0", &vip("10.77.0.80/24")).await.unwrap();
        }
        netlink.add_address("veth0", &vip("10.77.0.80/24"), 9).await.unwrap();
        assert_eq!(quiet(events).await, [], "removed and added by ourselves");
        sh("ip address del 10.77.0.80/24 dev veth0");
        assert_eq!(next(events).await, gone("veth0", "10.77.0.80"));
    });
}

#[test]
fn root_others_addresses_are_followed_and_never_swept() {
    following(async |_, netlink, events| {
        place(netlink, "veth0", "10.77.0.7/24", 18).await;
        place(netlink, "veth0", "10.79.0.1/24", 0).await;
        let told = quiet(events).await;
        let last = links(&told, "veth0").pop().unwrap();
        let nets: Vec<_> = last.addresses.iter().map(IpNet::to_string).collect();
        assert_eq!(nets, ["10.77.0.1/24", "10.79.0.1/24", "10.77.0.7/24"]);
        // Left by an earlier run, one of them as the primary of a subnet others joined.
        place(netlink, "veth0", "10.80.0.1/24", ADDRESS_PROTOCOL).await;
        sh("ip address add 10.80.0.2/24 dev veth0");
        place(netlink, "veth0", "10.77.0.90/24", ADDRESS_PROTOCOL).await;
        place(netlink, "lo", "127.0.0.9/32", ADDRESS_PROTOCOL).await;
        netlink.add_address("veth0", &vip("10.77.0.80/24"), 60).await.unwrap();
        let one = [("veth0".to_owned(), "10.77.0.90".parse().unwrap())];
        assert_eq!(netlink.sweep(&[], &one, (&[], &[])).await, 3);
        assert_eq!(netlink.sweep(&[], &one, (&[], &[])).await, 0);
        // Of a keepalived that was killed; the one of a router that goes on stays.
        for left in ["10.77.0.92/24", "10.77.0.93/24"] {
            place(netlink, "veth0", left, 18).await;
        }
        let configured = ["10.77.0.92/24", "10.77.0.93/24"].map(|net| ("veth0".to_owned(), net.parse().unwrap()));
        let goes_on = [one[0].clone(), ("veth0".to_owned(), "10.77.0.93".parse().unwrap())];
        assert_eq!(netlink.sweep(&configured, &goes_on, (&[], &[])).await, 1);
        assert_eq!(netlink.sweep(&configured, &one, (&[], &[])).await, 1);
        // In place of a daemon that is dead, on a kernel that keeps no marks.
        let known = [("veth0".to_owned(), "10.77.0.91/24".parse().unwrap())];
        place(netlink, "veth0", "10.77.0.91/24", 0).await;
        let swept = sweep_all(&known).await.unwrap();
        assert_eq!((swept.removed, swept.failure), (2, None));
        let told = quiet(events).await;
        assert!(!told.iter().any(|event| matches!(event, Event::AddressGone { .. })), "{told:?}");
        let last = links(&told, "veth0").pop().unwrap();
        let nets: BTreeSet<_> = last.addresses.iter().map(IpNet::to_string).collect();
        assert_eq!(nets, ["10.77.0.1/24", "10.77.0.7/24", "10.79.0.1/24", "10.80.0.2/24"].map(String::from).into());
        sh("ip address del 10.79.0.1/24 dev veth0");
        assert!(
            !links(&quiet(events).await, "veth0").pop().unwrap().addresses.contains(&"10.79.0.1/24".parse().unwrap())
        );
    });
}

#[test]
fn root_one_of_two_in_a_subnet_goes_alone() {
    following(async |_, netlink, events| {
        let (first, second) = (vip("10.81.0.1/24"), vip("10.81.0.2/24"));
        for lifetime in [u32::MAX, 1] {
            netlink.add_address("veth0", &first, lifetime).await.unwrap();
            netlink.add_address("veth0", &second, 60).await.unwrap();
            if lifetime == 1 {
                assert_eq!(next(events).await, gone("veth0", "10.81.0.1"));
            } else {
                netlink.del_address("veth0", &first).await.unwrap();
            }
            assert_eq!(quiet(events).await, []);
            assert!(sh("ip -o address show dev veth0").contains("10.81.0.2/24"));
            netlink.del_address("veth0", &second).await.unwrap();
        }
    });
}

#[test]
fn root_links_going_up_and_down_are_told() {
    following(async |neighbour, _, events| {
        sh("ip link set veth0 down");
        becomes(events, "veth0", false).await;
        sh("ip link set veth0 up");
        becomes(events, "veth0", true).await;
        let before = clock::now();
        neighbour.sh("ip link set peer0 down");
        becomes(events, "veth0", false).await;
        println!("carrier loss told {:?} after the command began", clock::now().since(before));
        neighbour.sh("ip link set peer0 up");
        becomes(events, "veth0", true).await;
        quiet(events).await;
        sh("ip link add br0 type bridge && ip link set veth0 master br0");
        sh("ip link set veth0 nomaster");
        let told = quiet(events).await;
        assert!(!told.contains(&Event::LinkGone { name: "veth0".into() }), "left a bridge, not the host: {told:?}");
    });
}

#[test]
fn root_links_that_go_come_or_are_renamed_are_told() {
    following(async |neighbour, netlink, events| {
        netlink.add_address("veth0", &vip("10.77.0.80/24"), 60).await.unwrap();
        sh("ip link del veth0");
        let told = quiet(events).await;
        assert!(told.contains(&Event::LinkGone { name: "veth0".into() }), "{told:?}");
        assert!(told.contains(&gone("veth0", "10.77.0.80")), "{told:?}");
        neighbour.connect();
        let told = quiet(events).await;
        assert_eq!(links(&told, "veth0").pop().unwrap().addresses.len(), 1, "{told:?}");
        netlink.add_address("veth0", &vip("10.77.0.80/24"), 60).await.unwrap();
        sh("ip link set veth0 name wan0 || (ip link set veth0 down; ip link set veth0 name wan0; ip link set wan0 up)");
        let told = quiet(events).await;
        let at = told.iter().position(|event| *event == Event::LinkGone { name: "veth0".into() });
        assert!(links(&told[at.unwrap()..], "wan0").pop().unwrap().addresses == ["10.77.0.1/24".parse().unwrap()]);
        // Known by the name it was put there with.
        netlink.del_address("veth0", &vip("10.77.0.80/24")).await.unwrap();
        assert!(!sh("ip -o address show dev wan0").contains("10.77.0.80"));
        assert_eq!(quiet(events).await, []);
    });
}

#[test]
fn root_an_overflow_is_made_good() {
    following(async |_, netlink, events| {
        netlink.add_address("veth0", &vip("10.77.0.80/24"), u32::MAX).await.unwrap();
        // More than any buffer holds, while nothing on this runtime can read.
        sh(
            "for i in $(seq 60); do echo link add d$i type bridge; echo link set d$i up; done > /tmp/$$; ip -batch /tmp/$$; rm /tmp/$$",
        );
        sh(
            "for n in $(seq 400); do for i in $(seq 20); do echo link set d$i mtu $((1000 + n)); done; done | ip -batch -",
        );
        sh("ip address del 10.77.0.80/24 dev veth0; for i in $(seq 50); do echo link del d$i; done | ip -batch -");
        let mut told = quiet(events).await;
        told.retain(|event| !matches!(event, Event::Link(link) if link.interface.name == "veth0"));
        assert!(told.contains(&gone("veth0", "10.77.0.80")));
        let mut known = BTreeSet::new();
        for event in told {
            match event {
                Event::Link(link) => drop(known.insert(link.interface.name)),
                Event::LinkGone { name } => drop(known.remove(&name)),
                Event::AddressGone { .. } => {}
            }
        }
        assert_eq!(known.len(), 10, "{known:?}");
    });
}

#[test]
fn root_refreshing_is_cheap() {
    following(async |_, netlink, _| {
        let vips: Vec<_> = (1..=200).map(|last| vip(&format!("10.90.0.{last}/32"))).collect();
        for round in 0..3 {
            let before = clock::now();
            for vip in &vips {
                netlink.add_address("veth0", vip, 10).await.unwrap();
            }
            let took = clock::now().since(before);
            println!("round {round}: {:?} for each of {} addresses", took / 200, vips.len());
            assert!(took < Duration::from_secs(1));
            sleep(Duration::from_millis(10)).await;
        }
    });
}

#[test]
fn root_an_ipv6_address_is_usable_at_once_refreshed_and_gone() {
    following(async |neighbour, netlink, events| {
        neighbour.sh("ip address add fd77::2/64 dev peer0 nodad");
        let wanted = VirtualAddress { label: Some("ignored".into()), ..vip("fd77::80/64") };
        netlink.add_address("veth0", &wanted, 30).await.unwrap();
        let shown = sh("ip -o address show dev veth0 to fd77::80");
        for part in ["fd77::80/64", "nodad", "valid_lft 30sec", "preferred_lft 30sec"] {
            assert!(shown.contains(part), "{part} is missing: {shown}");
        }
        assert!(!shown.contains("tentative"), "{shown}");
        neighbour.sh("ping -6 -q -c 1 -W 1 fd77::80");
        netlink.add_address("veth0", &wanted, 60).await.unwrap();
        let shown = sh("ip -o address show dev veth0 to fd77::80");
        assert!(shown.contains("valid_lft 60sec preferred_lft 60sec"), "{shown}");
        let told = netlink.requests.addresses(None).await.unwrap();
        let marked: Vec<_> = told.iter().filter(|message| protocol(message) == Some(0x6d)).collect();
        assert_eq!(marked.iter().filter_map(|message| local(message)).collect::<Vec<_>>(), [wanted.net]);
        netlink.del_address("veth0", &wanted).await.unwrap();
        netlink.del_address("veth0", &wanted).await.unwrap();
        assert_eq!(sh("ip -o address show dev veth0 to fd77::80"), "");
        assert_eq!(quiet(events).await, [], "our own doing is no event");

        // Deprecated: it answers, and this host does not choose it.
        netlink.add_address("veth0", &vip("fd77::81/128"), 1).await.unwrap();
        let shown = sh("ip -o address show dev veth0 to fd77::81");
        assert!(shown.contains("deprecated") && shown.contains("preferred_lft 0sec"), "{shown}");
        assert_eq!(next(events).await, gone("veth0", "fd77::81"), "its lifetime ended");
        netlink.add_address("veth0", &vip("fe80::77/128"), 60).await.unwrap();
        sh("ip address del fe80::77/128 dev veth0");
        assert_eq!(next(events).await, gone("veth0", "fe80::77"));
    });
}

#[test]
fn root_ipv6_addresses_of_both_kinds_are_swept_and_others_are_not() {
    following(async |_, netlink, events| {
        place(netlink, "veth0", "fd77::7/64", 18).await;
        place(netlink, "veth0", "fd77::90/64", ADDRESS_PROTOCOL).await;
        place(netlink, "veth0", "fd77::91/128", ADDRESS_PROTOCOL).await;
        place(netlink, "veth0", "fd77::92/64", 0).await;
        assert_eq!(netlink.sweep(&[], &[("veth0".to_owned(), "fd77::91".parse().unwrap())], (&[], &[])).await, 1);
        let swept = sweep_all(&[("veth0".to_owned(), "fd77::92/64".parse().unwrap())]).await.unwrap();
        assert_eq!((swept.removed, swept.failure), (2, None));
        let shown = sh("ip -6 -o address show dev veth0");
        assert!(shown.contains("fd77::7/64") && !shown.contains("fd77::9"), "{shown}");
        quiet(events).await;
    });
}

/// A link-local address that is checked for duplicates, is ready, or is another host's.
#[test]
fn root_an_address_that_is_tentative_or_a_duplicate_is_told_as_such() {
    following(async |neighbour, _, events| {
        let ours: std::net::Ipv6Addr = "fe80::1".parse().unwrap();
        let seen = |told: &[Event]| {
            let of = |i: &Interface| (i.addresses.iter().any(|a| a.addr() == ours), i.unusable.clone());
            links(told, "veth0").iter().map(of).collect::<Vec<_>>()
        };
        sh("ip address add fe80::1/64 dev veth0");
        let mut told = vec![next(events).await];
        assert_eq!(seen(&told), [(false, vec![(ours, Unusable::Tentative)])]);
        told = vec![next(events).await];
        assert_eq!(seen(&told), [(true, vec![])], "nobody else has it");

        sh("ip address del fe80::1/64 dev veth0");
        neighbour.sh("ip address add fe80::1/64 dev peer0 nodad");
        quiet(events).await;
        sh("ip address add fe80::1/64 dev veth0");
        let mut last = None;
        while last != Some((false, vec![(ours, Unusable::Duplicate)])) {
            last = seen(&[next(events).await]).pop();
        }
        sh("ip address del fe80::1/64 dev veth0");
        assert_eq!(seen(&[next(events).await]), [(false, vec![])]);
    });
}

/// Other than IPv4 addresses they go when an interface is put down: first the link, so that nobody
/// thinks that somebody removed them.
#[test]
fn root_an_interface_that_is_put_down_is_told_before_its_ipv6_addresses() {
    following(async |_, netlink, events| {
        for _ in 0..5 {
            netlink.add_address("veth0", &vip("fd77::80/64"), 60).await.unwrap();
            sh("ip link set veth0 down");
            let told = quiet(events).await;
            let down = told.iter().position(|e| matches!(e, Event::Link(l) if !l.interface.running));
            let lost = told.iter().position(|e| *e == gone("veth0", "fd77::80"));
            assert!(down.unwrap() < lost.unwrap(), "{told:?}");
            sh("ip link set veth0 up");
            quiet(events).await;
        }
    });
}
