//! Actions in few words.

use mesh_config::model::TrackScript;
use mesh_wire::vrrp::{Advertisement, Authentication, ChecksumForm, Envelope, GROUP, Interval, Version, emit};

use super::*;

/// Actions without gossip, memory, wills, what is told of the mesh as a whole, trace ids and the numbers of
/// releases, which have tests of their own.
pub(super) fn plain(actions: Vec<Action>) -> Vec<Action> {
    let aside = |a: &Action| {
        matches!(a, Action::Publish { .. } | Action::Remember(_) | Action::KeepWill(_) | Action::KeepHolds(_))
            || matches!(a, Action::Record(Decision::Standing { .. }))
    };
    let mut actions: Vec<Action> = actions.into_iter().filter(|a| !aside(a)).collect();
    for action in &mut actions {
        if let Action::Record(Decision::Router { trace_id, .. }) = action {
            assert_eq!(trace_id.len(), 32);
            trace_id.clear();
        }
        if let Action::SendMessage { message: Message::Release(releases), .. } = action {
            releases.iter_mut().for_each(|r| r.seq = 0);
        }
    }
    actions
}

pub(super) fn sweep() -> Action {
    Action::SweepAddresses { except: Vec::new(), configured: vec![("eth0".to_owned(), vip("10.1.1.80/24").net)] }
}

pub(super) fn run(scripts: &[TrackScript]) -> Action {
    Action::RunScripts(scripts.to_vec())
}

pub(super) fn install(addresses: &[IpAddr]) -> Action {
    Action::FenceInstall { addresses: addresses.to_vec(), unaccepted: Vec::new() }
}

pub(super) fn arm(until: Instant) -> Action {
    Action::FenceArm { addresses: vec![VIP], until }
}

pub(super) fn close() -> Action {
    Action::FenceClose { addresses: vec![VIP] }
}

pub(super) fn add(lifetime_s: u32) -> Action {
    Action::AddAddress { interface: "eth0".to_owned(), address: vip("10.1.1.80/24"), lifetime_s }
}

pub(super) fn del() -> Action {
    Action::DelAddress { interface: "eth0".to_owned(), address: vip("10.1.1.80/24") }
}

pub(super) fn garp(count: u32) -> Action {
    Action::Announce { interface: "eth0".to_owned(), address: VIP, count }
}

/// The bytes of VI_1's advertisement from a node.
pub(super) fn advert_bytes(from: NodeId, priority: u8) -> Vec<u8> {
    let packet = Advertisement {
        vrid: 51,
        priority,
        interval: Interval::new(Version::V3, Duration::from_secs(1)).unwrap(),
        addresses: vec![VIP],
        auth: Authentication::None,
    };
    emit(&packet, source(from), GROUP, ChecksumForm::PseudoHeader)
}

/// lb1's advertisement to the group.
pub(super) fn advert(priority: u8) -> Action {
    Action::SendAdvertisement {
        interface: "eth0".to_owned(),
        source: source(LB1),
        destination: GROUP.into(),
        envelope: Envelope::default(),
        payload: advert_bytes(LB1, priority),
    }
}

pub(super) fn send(to: NodeId, message: Message) -> Action {
    Action::SendMessage { to, message }
}

/// lb1's message to the two other voters.
pub(super) fn to_both(message: Message) -> [Action; 2] {
    [send(LB2, message.clone()), send(LB3, message)]
}

/// A change of VI_1.
pub(super) fn told(event: RouterEvent, cause: &str) -> Action {
    let decision =
        Decision::Router { name: "VI_1".to_owned(), key: KEY, event, cause: cause.to_owned(), trace_id: String::new() };
    Action::Record(decision)
}

pub(super) fn active(epoch: u64, voters: &[&str]) -> RouterEvent {
    RouterEvent::Active { epoch, voters: voters.iter().map(|v| (*v).to_owned()).collect() }
}

pub(super) const SILENCE: &str = "no advertisement for the whole down interval";
