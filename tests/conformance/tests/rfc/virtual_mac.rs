//! The virtual MAC address, where one is asked for, and when hosts are told where addresses are: RFC 9568 sections 7.2,
//! 7.3, 8.1.2 and 8.2.2; RFC 3768 sections 7.2, 7.3 and 8.2 say the same of IPv4.

use std::net::Ipv6Addr;
use std::time::Duration;

use mesh_config::model::{Version, VirtualRouter, Vmac};
use mesh_conformance::*;
use mesh_core::input::Interface;
use mesh_core::{Action, Input, Instant};
use mesh_wire::mesh::Family;
use mesh_wire::ndisc;

fn with_mac(family: Family) -> VirtualRouter {
    let router = if family == Family::Ipv4 { router(Version::V3, 150) } else { router_v6(150) };
    VirtualRouter { vmac: Some(Vmac { name: "vrrp.51".to_owned(), ..Vmac::new("eth0", family, VRID) }), ..router }
}

/// Its interface with the virtual MAC address is there.
fn made(host: &mut Host, now: Instant) {
    let addresses = ["fe80::51/64".parse().expect("a net")].to_vec();
    let interface = Interface { name: "vrrp.51".to_owned(), running: true, addresses, unusable: Vec::new() };
    host.step(now, Input::Interface(interface));
}

/// Lets time pass until it serves.
fn active(family: Family) -> Host {
    let mut host = Host::new(with_mac(family));
    made(&mut host, ms(0));
    host.takes_over_at();
    host
}

#[test]
fn rfc_9568_7_3_the_virtual_mac_address_names_family_and_vrid() {
    for vrid in [1, 51, 255] {
        assert_eq!(Vmac::new("eth0", Family::Ipv4, vrid).mac, [0x00, 0x00, 0x5e, 0x00, 0x01, vrid]);
        assert_eq!(Vmac::new("eth0", Family::Ipv6, vrid).mac, [0x00, 0x00, 0x5e, 0x00, 0x02, vrid]);
    }
}

#[test]
fn rfc_9568_7_2_8_1_2_and_8_2_2_adverts_addresses_and_announcements_are_on_the_virtual_mac_address() {
    for family in [Family::Ipv4, Family::Ipv6] {
        let host = active(family);
        let mut kinds = [0; 3];
        for action in &host.actions {
            let (kind, interface) = match action {
                Action::SendAdvertisement { interface, .. } => (0, interface),
                Action::AddAddress { interface, .. } => (1, interface),
                Action::Announce { interface, .. } => (2, interface),
                _ => continue,
            };
            assert_eq!(interface, "vrrp.51", "{family:?}: {action:?}");
            kinds[kind] += 1;
        }
        assert!(kinds.iter().all(|count| *count > 0), "{family:?}: {kinds:?}");
    }
}

/// Where adverts left in the last step.
fn left_from(host: &Host) -> Vec<&str> {
    let mut left = Vec::new();
    for action in &host.actions {
        if let Action::SendAdvertisement { interface, .. } = action {
            left.push(interface.as_str());
        }
    }
    left
}

#[test]
fn rfc_9568_7_2_and_3768_7_2_the_advert_of_priority_0_leaves_from_the_virtual_mac_address_as_well() {
    for family in [Family::Ipv4, Family::Ipv6] {
        let mut host = active(family);
        host.step(ms(5000), Input::Shutdown);
        assert_eq!((host.priorities(), left_from(&host)), (vec![0], vec!["vrrp.51"]));
    }
    // Where somebody took it away there is only the interface below.
    let mut host = active(Family::Ipv4);
    host.step(ms(5000), Input::InterfaceGone { name: "vrrp.51".to_owned() });
    assert_eq!((host.priorities(), left_from(&host)), (vec![0], vec!["eth0"]));
}

/// As with keepalived, whose host forwards what is sent to the virtual MAC address while it is a backup, too: its
/// interface is there and up.
#[test]
fn deviation_9568_6_4_2_and_3768_6_4_2_without_a_mesh_a_backup_does_not_discard_what_is_for_the_virtual_mac_address() {
    let mut host = Host::new(with_mac(Family::Ipv4));
    made(&mut host, ms(0));
    for second in 1..5 {
        host.hears(ms(second * 1000), HIGHER, &advert(Version::V3, 200));
        assert!(!host.serves());
        let fenced =
            |action: &Action| matches!(action, Action::FenceInstall { addresses, .. } if !addresses.is_empty());
        assert!(!host.actions.iter().any(fenced), "{:#?}", host.actions);
    }
}

#[test]
fn rfc_9568_8_1_2_and_8_2_2_nothing_is_announced_before_address_and_mac_address_are_there() {
    for family in [Family::Ipv4, Family::Ipv6] {
        let mut host = Host::new(with_mac(family));
        // Without its interface it waits, however long.
        for _ in 0..20 {
            let Some((due, _)) = host.engine.deadline() else { break };
            host.step(due, Input::Timeout);
            assert!(host.announced().is_empty() && host.sent().is_empty() && !host.serves(), "{:#?}", host.actions);
        }
        let later = ms(60_000);
        made(&mut host, later);
        assert!(host.takes_over_at() > later + Duration::from_secs(3));
        let added = host.actions.iter().rposition(|action| matches!(action, Action::AddAddress { .. }));
        let announced = host.actions.iter().position(|action| matches!(action, Action::Announce { .. }));
        assert!(added.unwrap() < announced.unwrap(), "{:#?}", host.actions);
    }
}

/// Router and override are set, solicited is not.
#[test]
fn rfc_9568_6_4_1_and_6_4_2_an_unsolicited_neighbour_advertisement_overrides_and_comes_from_a_router() {
    let vip: Ipv6Addr = "2001:db8::80".parse().unwrap();
    let packet = ndisc::unsolicited_advertisement([0, 0, 0x5e, 0, 2, VRID], vip, true);
    assert_eq!((packet[7], packet[40], packet[44]), (255, 136, 0xa0));
    let all_nodes: Ipv6Addr = "ff02::1".parse().unwrap();
    assert_eq!(
        (&packet[8..24], &packet[24..40], &packet[48..64]),
        (&vip.octets()[..], &all_nodes.octets()[..], &vip.octets()[..])
    );
    assert_eq!(packet[64..72], [2, 1, 0, 0, 0x5e, 0, 2, VRID], "at the virtual MAC address");
}

#[test]
fn deviation_9568_6_4_1_the_router_flag_is_that_of_a_host_that_forwards() {
    let packet = ndisc::unsolicited_advertisement([2; 6], "2001:db8::80".parse().unwrap(), false);
    assert_eq!(packet[44], 0x20);
}
