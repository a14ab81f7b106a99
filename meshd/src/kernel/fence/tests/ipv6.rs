//! IPv6: packets, and neighbour discovery in both directions.

use std::net::Ipv6Addr;

use super::*;

const ADDRESS: &str = "fd77::80";

fn target() -> FenceTarget {
    FenceTarget::V6(ADDRESS.parse().expect("an address"))
}

/// Both sides get an address; the neighbour's link-local one is ready for use.
fn with_v6(test: impl FnOnce(&Neighbour) + Send) {
    with_neighbour(|neighbour| {
        sh("sysctl -qw net.ipv6.conf.veth0.accept_dad=0");
        neighbour.sh("sysctl -qw net.ipv6.conf.peer0.accept_dad=0");
        sh("ip address add fd77::1/64 dev veth0 nodad");
        neighbour.sh("ip address add fd77::2/64 dev peer0 nodad");
        // Link-local addresses that began detection before it was turned off take a second.
        wait(|| sh("ip -6 -o address").contains("fe80") && !sh("ip -6 -o address show tentative").contains("fe80"));
        wait(|| !neighbour.sh("ip -6 -o address show tentative").contains("fe80"));
        test(neighbour);
    });
}

fn pings(neighbour: &Neighbour) -> bool {
    neighbour.succeeds(&format!("ping -6 -q -c 1 -W 1 {ADDRESS}"))
}

/// Asks who has it, and tells whether anybody said so.
fn is_told(neighbour: &Neighbour) -> bool {
    neighbour.sh("ip -6 neigh flush dev peer0");
    neighbour.succeeds(&format!("ping -6 -q -c 1 -W 0.3 {ADDRESS}"));
    neighbour.sh(&format!("ip -6 neigh show {ADDRESS}")).contains("lladdr")
}

#[test]
fn root_an_ipv6_address_answers_only_while_armed() {
    with_v6(|neighbour| {
        sh(&format!("ip address add {ADDRESS}/64 dev veth0 nodad"));
        assert!(is_told(neighbour) && pings(neighbour));
        let mut fence = probe();
        fence.put(&[target(), VIP_TARGET]).unwrap();
        assert_eq!(fence.inspect().unwrap().into_keys().collect::<Vec<_>>(), [Table::Ip, Table::Arp, Table::Ip6]);
        assert!(fence.gaps().is_empty() && fence.intact().unwrap());
        assert!(!is_told(neighbour), "a solicitation was answered");
        let mac = sh("ip -br link show veth0 | awk '{print $3}'");
        neighbour.sh(&format!("ip -6 neigh replace {ADDRESS} lladdr {} dev peer0 nud permanent", mac.trim()));
        assert!(!pings(neighbour), "a packet was answered");
        neighbour.sh(&format!("ip -6 neigh del {ADDRESS} dev peer0"));
        assert!(neighbour.succeeds("ping -6 -q -c 1 -W 1 fd77::1"), "not fenced");
        fence.arm(&[target(), VIP_TARGET], soon(60_000)).unwrap();
        assert!(is_told(neighbour) && pings(neighbour));
        fence.arm(&[target()], soon(100)).unwrap();
        pause(150);
        assert!(!is_told(neighbour), "it did not close by itself");
        fence.put(&[VIP_TARGET]).unwrap();
        assert_eq!(leased(&mut fence), [VIP_TARGET]);
        assert!(is_told(neighbour) && pings(neighbour));
    });
}

/// Of ICMPv6, types 135 and 136.
const DISCOVERY: &str = "icmp6 and (ip6[40]==135 or ip6[40]==136)";

#[test]
fn root_no_advertisement_or_detection_leaves_for_a_closed_ipv6_address() {
    with_v6(|neighbour| {
        sh("sysctl -qw net.ipv6.conf.veth0.accept_dad=1 net.ipv6.conf.veth0.ndisc_notify=1");
        // Detection begins at once and ends soon: by default both take up to a second, as long as is listened.
        sh("sysctl -qw net.ipv6.conf.veth0.router_solicitation_delay=0 net.ipv6.neigh.veth0.retrans_time_ms=200");
        let mut fence = probe();
        fence.put(&[target()]).unwrap();
        // Detection (135 from ::) as it is added, then an unsolicited advertisement (136) as it is ready:
        // from a link-local source or from itself.
        let quiet = captured(neighbour, DISCOVERY, || drop(sh(&format!("ip address add {ADDRESS}/64 dev veth0"))));
        assert!(!quiet.contains(ADDRESS), "{quiet}");
        sh(&format!("ip address del {ADDRESS}/64 dev veth0"));
        fence.arm(&[target()], soon(60_000)).unwrap();
        let heard = captured(neighbour, DISCOVERY, || drop(sh(&format!("ip address add {ADDRESS}/64 dev veth0"))));
        assert!(heard.contains("neighbor solicitation") && heard.contains(ADDRESS), "{heard}");
        assert!(heard.contains("neighbor advertisement"), "{heard}");
    });
}

#[test]
fn root_a_backup_can_still_look_for_the_owner_of_an_ipv6_address() {
    with_v6(|neighbour| {
        neighbour.sh(&format!("ip address add {ADDRESS}/64 dev peer0 nodad"));
        let mut fence = probe();
        fence.put(&[target()]).unwrap();
        sh(&format!("ping -6 -q -c 1 -W 1 {ADDRESS}"));
    });
}

#[test]
fn root_an_ipv6_router_forwards_to_an_address_another_host_serves() {
    with_v6(|neighbour| {
        sh("sysctl -qw net.ipv6.conf.all.forwarding=1");
        neighbour.sh(&format!("ip -6 route add {ADDRESS} via fd77::1"));
        sh(&format!("ip -6 route add {ADDRESS} via fd77::2"));
        let mut fence = probe();
        fence.put(&[target()]).unwrap();
        let forwarded = || {
            let text = sh("grep ^Ip6OutForwDatagrams /proc/net/snmp6");
            text.split_whitespace().nth(1).expect("a column").parse::<u64>().expect("a number")
        };
        let before = forwarded();
        assert!(!neighbour.succeeds(&format!("ping -6 -q -c 1 -W 0.3 {ADDRESS}")));
        assert!(forwarded() > before);
    });
}

#[test]
fn keys_of_all_kinds_are_read_back() {
    let v6 = FenceTarget::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));
    for target in [VIP_TARGET, v6, FenceTarget::Mac([0, 0, 0x5e, 0, 1, 51])] {
        assert_eq!(FenceTarget::from_key(&target.key()), Some(target));
    }
    assert_eq!(FenceTarget::from_key(&[1, 2, 3]), None);
    assert_eq!(FenceTarget::Mac([0, 0, 0x5e, 0, 1, 51]).to_string(), "00:00:5e:00:01:33");
}
