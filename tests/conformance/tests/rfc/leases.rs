//! In a mesh: where leases decide, VRRP waits for them. RFC 9568 sections 6.4.1 to 6.4.3.

use std::net::SocketAddr;
use std::time::Duration;

use mesh_config::model::{Config, Version, VirtualRouter, Vmac};
use mesh_conformance::*;
use mesh_core::input::Interface;
use mesh_core::vrrp::down_interval;
use mesh_core::{Action, Input, Instant};
use mesh_wire::mesh::lease::{Claim, Message, Reply, Request, Vacant, Verdict};
use mesh_wire::mesh::roster::{Member, Role, Roster, VotePolicy};
use mesh_wire::mesh::{Family, NodeId};

const OTHERS: [NodeId; 2] = [NodeId(2), NodeId(3)];

/// Of three directors with a vote, the first.
fn member(router: VirtualRouter) -> Host {
    let member = |id: u8| Member {
        id: NodeId(id.into()),
        name: format!("lb{id}"),
        address: SocketAddr::from(([10, 1, 1, 10 + id], 7946)),
        role: Role::Director,
        voter: true,
        vote: VotePolicy::Auto,
    };
    let members = (1..=3).map(member).collect();
    let roster = Roster { cluster: "c0".to_owned(), epoch: 3, members, ..Roster::default() };
    Host::configured(Config { routers: vec![router], ..Config::default() }, Some(roster))
}

/// What the other voters are asked.
fn asked(host: &Host) -> Vec<(NodeId, Request)> {
    let asked = host.actions.iter().filter_map(|action| match action {
        Action::SendMessage { to, message: Message::Request(request) } => Some((*to, request.clone())),
        _ => None,
    });
    asked.collect()
}

/// Both grant what they are asked until it serves.
fn granted(host: &mut Host, now: Instant) {
    for _ in 0..10 {
        for (from, request) in asked(host) {
            let verdict = |claim: &Claim| (claim.router, Verdict::Granted { epoch: claim.epoch });
            let verdicts = request.claims.iter().map(verdict).collect();
            let (seq, roster_epoch) = (request.seq, request.roster_epoch);
            let reply = Reply { seq, clock_ns: now.as_nanos(), roster_epoch, verdicts };
            let asked_before = host.actions.clone();
            host.step(now, Input::Message { from, message: Message::Reply(reply) });
            if host.serves() {
                return;
            }
            if asked(host).is_empty() {
                host.actions = asked_before;
            }
        }
    }
    panic!("no lease: {:#?}", host.actions);
}

/// It holds the lease since then.
fn holder() -> (Host, Instant) {
    holds(member(router(Version::V3, 150)))
}

fn holds(mut host: Host) -> (Host, Instant) {
    let at = ms(0) + down_interval(Version::V3, 150, Duration::from_secs(1), 3);
    while asked(&host).is_empty() {
        let due = host.deadline();
        host.step(due, Input::Timeout);
    }
    granted(&mut host, at);
    (host, at)
}

#[test]
fn deviation_in_a_mesh_9568_6_4_2_a_backup_whose_timer_fires_asks_and_stays_a_backup_until_it_is_granted() {
    let mut host = member(router(Version::V3, 150));
    let at = ms(0) + down_interval(Version::V3, 150, Duration::from_secs(1), 3);
    let mut requests = 0;
    while let Some((due, _)) = host.engine.deadline().filter(|(due, _)| *due <= at + Duration::from_secs(2)) {
        host.step(due, Input::Timeout);
        assert!(!host.serves() && host.sent().is_empty() && host.announced().is_empty(), "at {due:?}");
        assert!(asked(&host).is_empty() || due >= at, "not before its timer");
        requests += asked(&host).len();
    }
    assert!(requests >= 2, "{requests}");
    let (host, _) = holder();
    assert_eq!((host.priorities(), host.announced()), (vec![150], vec![(VIP.into(), 5)]));
}

#[test]
fn deviation_in_a_mesh_9568_6_4_3_the_holder_of_a_lease_does_not_yield_to_a_higher_priority_from_elsewhere() {
    let (mut host, at) = holder();
    host.hears(at + Duration::from_millis(10), HIGHER, &advert(Version::V3, 200));
    assert!(!host.yields());
    let reason = "10.1.1.12: VI_1: it advertises a higher priority, but is no member and no trusted neighbour";
    assert!(host.drops().contains(&(reason.to_owned(), 1)), "{:?}", host.drops());
    // Where nobody holds it, VRRP decides.
    let mut host = member(router(Version::V3, 150));
    host.hears(ms(500), HIGHER, &advert(Version::V3, 200));
    assert_eq!(host.engine.deadline().map(|(due, _)| due > ms(500)), Some(true));
    host.step(ms(3500), Input::Timeout);
    assert!(asked(&host).is_empty(), "its timer was reset");
}

#[test]
fn deviation_in_a_mesh_9568_6_4_1_an_owner_asks_before_it_serves() {
    let mut owner = member(router(Version::V3, 255));
    assert!(!owner.serves() && owner.sent().is_empty(), "{:#?}", owner.actions);
    assert_eq!(asked(&owner).iter().map(|(to, _)| *to).collect::<Vec<_>>(), OTHERS);
    granted(&mut owner, ms(1));
    assert_eq!(owner.priorities(), [255]);
}

#[test]
fn deviation_in_a_mesh_9568_6_4_2_an_address_that_is_free_is_asked_for_before_the_down_timer_fires() {
    let mut host = member(router(Version::V3, 150));
    host.hears(ms(400), HIGHER, &advert(Version::V3, 100));
    let router = router(Version::V3, 150).key;
    let vacant = Vacant { router, owner: NodeId(2), epoch: 4, released: true, reserved_for: Some(NodeId(1)) };
    host.step(ms(500), Input::Message { from: NodeId(2), message: Message::Vacant(vec![vacant]) });
    assert_eq!(asked(&host).len(), 2, "{:#?}", host.actions);
    granted(&mut host, ms(501));
    assert!(host.serves());
}

/// The fence is closed before others hear that they may serve, and holds back what the virtual MAC address sends.
#[test]
fn deviation_in_a_mesh_9568_7_2_the_advert_of_priority_0_leaves_with_the_mac_address_of_the_interface() {
    let vmac = Vmac { name: "vrrp.51".to_owned(), ..Vmac::new("eth0", Family::Ipv4, VRID) };
    let mut host = member(VirtualRouter { vmac: Some(vmac), ..router(Version::V3, 150) });
    let (name, addresses, unusable) = ("vrrp.51".to_owned(), Vec::new(), Vec::new());
    host.step(ms(0), Input::Interface(Interface { name, running: true, addresses, unusable }));
    let (mut host, at) = holds(host);
    let leaves = |host: &Host| -> Vec<String> {
        let interface = |action: &Action| match action {
            Action::SendAdvertisement { interface, .. } => Some(interface.clone()),
            _ => None,
        };
        host.actions.iter().filter_map(interface).collect()
    };
    assert_eq!((host.priorities(), leaves(&host)), (vec![150], vec!["vrrp.51".to_owned()]));
    host.step(at + Duration::from_millis(10), Input::Shutdown);
    assert_eq!((host.priorities(), leaves(&host)), (vec![0], vec!["eth0".to_owned()]));
    let closed = host.actions.iter().position(|action| matches!(action, Action::FenceClose { .. }));
    let told = host.actions.iter().position(|action| matches!(action, Action::SendAdvertisement { .. }));
    assert!(closed.expect("it is fenced") < told.expect("it says so"), "{:#?}", host.actions);
}
