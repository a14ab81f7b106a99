//! Virtual MAC addresses: a gateway's macvlan, and what is addressed to it without being for it.

use super::*;

const MAC: FenceTarget = FenceTarget::Mac([0, 0, 0x5e, 0, 1, 51]);
const MAC_TEXT: &str = "00:00:5e:00:01:33";

/// A gateway with the virtual MAC on a macvlan; the neighbour reaches 10.88.0.1, and fd88::1, behind it.
fn with_gateway(test: impl FnOnce(&Neighbour) + Send) {
    with_neighbour(|neighbour| {
        sh(&format!("ip link add vmac0 link veth0 address {MAC_TEXT} type macvlan mode private"));
        sh("sysctl -qw net.ipv6.conf.vmac0.accept_dad=0 && ip link set vmac0 up");
        sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
        // Behind it: another pair, whose far end answers nothing, so that what is forwarded is counted there.
        sh("ip link add behind type veth peer name far && ip link set behind up && ip link set far up");
        sh("ip address add 10.88.0.254/24 dev behind && ip address add fd88::fe/64 dev behind nodad");
        sh("ip neigh replace 10.88.0.1 lladdr 02:00:00:00:00:88 dev behind nud permanent");
        sh("ip neigh replace fd88::1 lladdr 02:00:00:00:00:88 dev behind nud permanent");
        neighbour.sh("ip address add fd77::2/64 dev peer0 nodad");
        neighbour.sh(&format!("ip neigh replace 10.77.0.254 lladdr {MAC_TEXT} dev peer0 nud permanent"));
        neighbour.sh(&format!("ip neigh replace fd77::fe lladdr {MAC_TEXT} dev peer0 nud permanent"));
        neighbour.sh("ip route add 10.88.0.0/24 via 10.77.0.254 && ip route add fd88::/64 via fd77::fe");
        test(neighbour);
    });
}

fn forwarded() -> (u64, u64) {
    let count = |line: &str| sh(line).trim().parse().expect("a number");
    (
        count("awk \"/^Ip: [0-9]/{print \\$7}\" /proc/net/snmp"),
        count("awk \"/^Ip6OutForwDatagrams/{print \\$2}\" /proc/net/snmp6"),
    )
}

fn send_through(neighbour: &Neighbour) -> (u64, u64) {
    let before = forwarded();
    neighbour.succeeds("ping -q -c 3 -i 0.05 -W 0.1 10.88.0.1");
    neighbour.succeeds("ping -6 -q -c 3 -i 0.05 -W 0.1 fd88::1");
    let after = forwarded();
    (after.0 - before.0, after.1 - before.1)
}

#[test]
fn root_a_gateway_forwards_for_a_virtual_mac_only_while_armed() {
    with_gateway(|neighbour| {
        assert_eq!(send_through(neighbour), (3, 3));
        let mut fence = probe();
        fence.put(&[MAC]).unwrap();
        assert!(fence.gaps().is_empty() && fence.intact().unwrap());
        assert_eq!(send_through(neighbour), (0, 0));
        assert!(answers_ping(neighbour, Ipv4Addr::new(10, 77, 0, 1)), "the host's own MAC is not fenced");
        fence.arm(&[MAC], soon(60_000)).unwrap();
        assert_eq!(send_through(neighbour), (3, 3));
        fence.arm(&[MAC], soon(100)).unwrap();
        pause(150);
        assert_eq!(send_through(neighbour), (0, 0), "it did not close by itself");
        // Without a MAC the same tables go on for an address, and a fourth goes.
        fence.put(&[VIP_TARGET]).unwrap();
        fence.arm(&[VIP_TARGET], soon(60_000)).unwrap();
        assert_eq!(leased(&mut fence), [VIP_TARGET]);
        assert!(fence.intact().unwrap());
        assert_eq!(send_through(neighbour), (3, 3));
    });
}

/// How many frames from the virtual MAC the neighbour got while this side sent some.
fn frames_from_it(neighbour: &Neighbour) -> usize {
    let text = captured(neighbour, &format!("ether src {MAC_TEXT}"), || {
        sh(
            "arping -q -c 3 -W 0.05 -i vmac0 -S 10.77.0.90 10.77.0.2 || true; ping -q -c 3 -i 0.05 -W 0.1 -I vmac0 10.77.0.2 || true",
        );
    });
    text.lines().filter(|line| line.contains("ARP, ") || line.contains("ICMP echo")).count()
}

#[test]
fn root_no_frame_leaves_from_a_closed_virtual_mac() {
    with_gateway(|neighbour| {
        sh("ip address add 10.77.0.90/24 dev vmac0");
        assert!(frames_from_it(neighbour) > 3);
        let mut fence = probe();
        fence.put(&[MAC]).unwrap();
        assert_eq!(frames_from_it(neighbour), 0);
        fence.arm(&[MAC], soon(60_000)).unwrap();
        assert!(frames_from_it(neighbour) > 3);
        // Without the egress hook what tells the segment of it is still kept back.
        let mut fence = probe();
        fence.capabilities.tables.remove(&Table::Netdev);
        sh("nft delete table netdev meshd");
        fence.put(&[MAC]).unwrap();
        assert!(fence.gaps()[0].contains("egress"));
        neighbour.sh("ip neigh flush dev peer0");
        sh("sysctl -qw net.ipv4.conf.all.arp_ignore=1");
        assert!(!neighbour.succeeds("arping -q -c 2 -w 1 -I peer0 10.77.0.90"), "an ARP answer told of it");
    });
}

#[test]
fn root_a_device_that_went_and_came_is_fenced_again() {
    with_gateway(|neighbour| {
        let mut fence = probe();
        fence.put(&[MAC]).unwrap();
        sh("ip link del veth0");
        neighbour.connect();
        // Since Linux 6.16 the chain waits for the device's name; before, it went with the device.
        fence.put(&[MAC]).unwrap();
        assert!(fence.intact().unwrap());
        sh(&format!(
            "ip link add vmac0 link veth0 address {MAC_TEXT} type macvlan mode private && ip link set vmac0 up"
        ));
        sh("ip address add 10.77.0.90/24 dev vmac0");
        assert_eq!(frames_from_it(neighbour), 0);
        // A device that is not there is left out, and no failure.
        fence.install(&[MAC], &BTreeSet::from(["nowhere0".to_owned(), "veth0".to_owned()])).unwrap();
        assert!(fence.intact().unwrap());
    });
}
