//! Kernels that offer less: what is missing is named, and the rest is in force.

use super::*;

#[test]
fn root_this_kernel_is_probed_and_left_alone() {
    with_neighbour(|_| {
        let fence = probe();
        assert_eq!(fence.capabilities.tables, BTreeSet::from(Table::ALL), "the tests need them all");
        assert!(fence.capabilities.timeouts);
        assert_eq!(sh("nft list ruleset").trim(), "", "probing left something");
        assert!(fence.gaps().is_empty(), "nothing is fenced, nothing is missing");
    });
}

#[test]
fn root_without_the_family_arp_packets_are_still_fenced() {
    with_neighbour(|neighbour| {
        sh(&format!("ip address add {VIP}/24 dev veth0"));
        let mut fence = probe();
        fence.capabilities.tables.remove(&Table::Arp);
        fence.put(&[VIP_TARGET]).unwrap();
        assert!(fence.intact().unwrap());
        assert!(answers_arp(neighbour, VIP) && !answers_ping(neighbour, VIP));
        let gaps = fence.gaps();
        assert!(gaps.len() == 1 && gaps[0].contains("ARP"), "{gaps:?}");
        fence.arm(&[VIP_TARGET], soon(5_000)).unwrap();
        assert!(answers_ping(neighbour, VIP));
    });
}

#[test]
fn root_without_the_family_ip6_the_other_addresses_are_still_fenced() {
    with_neighbour(|neighbour| {
        sh(&format!("ip address add {VIP}/24 dev veth0"));
        let mut fence = probe();
        fence.capabilities.tables.remove(&Table::Ip6);
        let v6 = FenceTarget::V6("fd77::80".parse().unwrap());
        fence.put(&[VIP_TARGET, v6]).unwrap();
        fence.arm(&[VIP_TARGET, v6], soon(5_000)).unwrap();
        assert!(fence.intact().unwrap() && answers_ping(neighbour, VIP));
        fence.close(&[VIP_TARGET, v6]).unwrap();
        assert!(!answers_ping(neighbour, VIP));
        let gaps = fence.gaps();
        assert!(gaps.len() == 1 && gaps[0].contains("IPv6 addresses are not fenced"), "{gaps:?}");
    });
}

#[test]
fn root_without_timeouts_it_is_open_until_it_is_closed() {
    with_neighbour(|neighbour| {
        sh(&format!("ip address add {VIP}/24 dev veth0"));
        let mut fence = probe();
        fence.capabilities.timeouts = false;
        fence.capabilities.refresh = Refresh::Replace;
        fence.put(&[VIP_TARGET]).unwrap();
        assert!(!answers_ping(neighbour, VIP));
        fence.arm(&[VIP_TARGET], soon(50)).unwrap();
        pause(100);
        assert!(answers_arp(neighbour, VIP) && answers_ping(neighbour, VIP), "this is what the gap warns of");
        assert!(fence.gaps()[0].contains("timeouts"));
        fence.close(&[VIP_TARGET]).unwrap();
        assert!(!answers_ping(neighbour, VIP) && fence.intact().unwrap());
    });
}

#[test]
fn gaps_are_named_only_for_what_is_fenced() {
    let capabilities = Capabilities {
        tables: BTreeSet::from([Table::Ip]),
        spare_forwarded: BTreeSet::new(),
        timeouts: true,
        refresh: Refresh::InPlace,
    };
    let gaps = |targets: &[FenceTarget]| capabilities.gaps(&targets.iter().copied().collect()).len();
    assert_eq!(gaps(&[]), 0);
    assert_eq!(gaps(&[VIP_TARGET]), 1);
    assert_eq!(gaps(&[FenceTarget::V6("fd77::80".parse().unwrap())]), 1);
    assert_eq!(gaps(&[FenceTarget::Mac([0, 0, 0x5e, 0, 1, 51])]), 3);
}
