//! Addresses that only forward.

use std::net::Ipv6Addr;

use super::*;

const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x80);

fn answers_ping6(neighbour: &Neighbour, address: Ipv6Addr) -> bool {
    neighbour.succeeds(&format!("ping -6 -q -c 1 -W 0.5 {address}"))
}

#[test]
fn root_nothing_is_taken_but_arp_and_neighbour_discovery() {
    with_neighbour(|neighbour| {
        sh(&format!("ip address add {VIP}/24 dev veth0 && ip address add {VIP6}/64 dev veth0 nodad"));
        neighbour.sh("ip address add fd77::2/64 dev peer0 nodad");
        assert!(answers_ping(neighbour, VIP) && answers_ping6(neighbour, VIP6));
        let (mut fence, devices) = (probe(), BTreeSet::new());
        // The addresses of a router with a virtual MAC address come together with that.
        let targets = [VIP_TARGET, FenceTarget::V6(VIP6), FenceTarget::Mac([0, 0, 0x5e, 0, 1, 0x33])];
        fence.install_with(&[], &targets, &devices).unwrap();
        assert!(!answers_ping(neighbour, VIP) && !answers_ping6(neighbour, VIP6));
        assert!(answers_arp(neighbour, VIP));
        neighbour.sh("ip -6 neigh flush dev peer0");
        answers_ping6(neighbour, VIP6);
        let known = neighbour.sh(&format!("ip -6 neigh show {VIP6}"));
        assert!(known.contains("lladdr"), "{known}");
        assert!(answers_ping(neighbour, Ipv4Addr::new(10, 77, 0, 1)), "other addresses take packets");
        assert!(fence.intact().unwrap());

        // With the fence beside it, and without: nothing of one is lost by the other.
        fence.install_with(&[VIP_TARGET], &targets, &devices).unwrap();
        fence.arm(&[VIP_TARGET], soon(60_000)).unwrap();
        fence.install_with(&[VIP_TARGET], &[], &devices).unwrap();
        assert!(answers_ping(neighbour, VIP) && answers_ping6(neighbour, VIP6), "armed, and accepting again");
        assert!(!sh("nft list tables").contains("meshd_accept"));
    });
}

#[test]
fn root_what_somebody_takes_away_is_missed_and_put_back() {
    with_neighbour(|neighbour| {
        sh(&format!("ip address add {VIP}/24 dev veth0"));
        let (mut fence, devices) = (probe(), BTreeSet::new());
        let put = |fence: &mut Fence| fence.install_with(&[], &[VIP_TARGET], &devices).unwrap();
        put(&mut fence);
        for damage in [
            "delete table ip meshd_accept",
            "flush chain ip meshd_accept input",
            "flush set ip meshd_accept unaccepted",
        ] {
            sh(&format!("nft {damage}"));
            assert!(!fence.intact().unwrap(), "{damage}");
            put(&mut fence);
            assert!(fence.intact().unwrap() && !answers_ping(neighbour, VIP), "{damage}");
        }
        // Whoever comes next finds it, and takes it away where it is not wanted.
        probe().install(&[], &devices).unwrap();
        assert!(answers_ping(neighbour, VIP));
    });
}
