//! Sync groups: one engine's exact behaviour, and three that talk to each other.

use mesh_config::model::{SyncGroup, Tracked, Tracks};

use super::*;
use crate::decision::GroupState;
use crate::lease::ballot::Lease;
use crate::tracking::Kind;
use crate::vrrp;

/// The second member's key, and its address on eth1.
const KEY2: RouterKey = key(52);
const VIP2: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 80));

fn inner(priority: u8) -> VirtualRouter {
    VirtualRouter {
        priority,
        version: mesh_config::model::Version::V3,
        addresses: vec![vip("10.1.2.80/24")],
        ..VirtualRouter::new("VI_2", KEY2, "eth1")
    }
}

fn grouped(first: u8, second: u8) -> Config {
    let mut config = config(vec![router(first), inner(second)]);
    config.sync_groups = vec![SyncGroup::new("WEB", vec!["VI_1".to_owned(), "VI_2".to_owned()])];
    config
}

fn eth1(id: NodeId) -> Interface {
    let address = format!("10.1.2.{}/24", 10 + id.0).parse().unwrap();
    Interface { name: "eth1".to_owned(), running: true, addresses: vec![address], unusable: Vec::new() }
}

fn down(interface: Interface) -> Interface {
    Interface { running: false, ..interface }
}

/// lb1 with both members in Backup, at zero.
fn ready(config: Config, roster: Option<Roster>) -> Engine {
    let mut engine = Engine::new(setup(LB1, roster), config, Instant::default());
    engine.step(Instant::default(), Input::Interface(eth0(LB1)));
    engine.step(Instant::default(), Input::Interface(eth1(LB1)));
    assert!(engine.instances.values().all(|i| i.vrrp.is_backup()));
    engine
}

/// The states of the group that were told.
fn told_groups(actions: &[Action]) -> Vec<(GroupState, String)> {
    let told = actions.iter().filter_map(|action| match action {
        Action::Record(Decision::Group { name, state, cause, .. }) if name == "WEB" => Some((*state, cause.clone())),
        _ => None,
    });
    told.collect()
}

fn states(engine: &Engine) -> [RouterState; 2] {
    [engine.instances[&KEY].state(), engine.instances[&KEY2].state()]
}

/// An advertisement of a router outside the mesh for the first or the second member.
fn foreign(first: bool, priority: u8) -> Input {
    let (interface, vrid, net, config) = if first { ("eth0", 51, 1, router(100)) } else { ("eth1", 52, 2, inner(100)) };
    let source = IpAddr::from([10, 1, net, 99]);
    let destination = IpAddr::from([224, 0, 0, 18]);
    assert_eq!(config.key.vrid, vrid);
    let instance = Instance::new(config, LeaseTime::default(), Instant::default());
    let (_, payload) = instance.advertisement(source, destination, Some(priority), None);
    let interface = interface.to_owned();
    Input::Advertisement(crate::input::Datagram { interface, source, destination, ttl: 255, payload })
}

fn serve(actions: &[Action]) -> Vec<IpAddr> {
    let added = actions.iter().filter_map(|action| match action {
        Action::AddAddress { address, .. } => Some(address.net.addr()),
        _ => None,
    });
    added.collect()
}

#[test]
fn at_the_start_nothing_is_told_until_both_are_ready() {
    let mut engine = Engine::new(setup(LB1, None), grouped(200, 200), Instant::default());
    let first = engine.step(Instant::default(), Input::Interface(eth0(LB1)));
    assert_eq!((told_groups(&first), states(&engine)), (Vec::new(), [RouterState::Fault; 2]));
    let second = engine.step(Instant::default(), Input::Interface(eth1(LB1)));
    assert_eq!(told_groups(&second), [(GroupState::Backup, "VI_1: ready".to_owned())]);
    assert_eq!(states(&engine), [RouterState::Backup; 2]);
}

#[test]
fn without_a_mesh_they_become_active_in_one_step() {
    let mut engine = ready(grouped(200, 200), None);
    let actions = engine.step(CLAIM, Input::Timeout);
    assert_eq!(serve(&actions), [VIP, VIP2]);
    let cause = "VI_1: no advertisement for the whole down interval".to_owned();
    assert_eq!(told_groups(&actions), [(GroupState::Active, cause)]);
}

/// As with keepalived: the first whose timer runs out waits while the other hears a worthier router.
#[test]
fn a_member_that_follows_a_worthier_router_holds_back_all() {
    let mut engine = ready(grouped(200, 200), None);
    for second in 1..=6 {
        let actions = engine.step(ms(second * 1000), foreign(false, 250));
        assert!(serve(&actions).is_empty(), "{second}");
        wait(&mut engine, ms(second * 1000 + 999));
        assert_eq!(states(&engine), [RouterState::Backup; 2], "{second}");
    }
    assert!(engine.instances[&KEY].wants.is_some());
    // That router gives up: its turn comes after the skew, and the group's with it.
    engine.step(ms(7000), foreign(false, 0));
    let skew = vrrp::skew_time(mesh_config::model::Version::V3, 200, Duration::from_secs(1));
    let actions = engine.step(ms(7000) + skew, Input::Timeout);
    assert_eq!(serve(&actions), [VIP, VIP2]);
}

#[test]
fn a_worthier_router_for_one_takes_all() {
    let mut engine = ready(grouped(200, 200), None);
    engine.step(CLAIM, Input::Timeout);
    let actions = engine.step(ms(5000), foreign(false, 250));
    let cause = "VI_2: a router with a higher priority is active".to_owned();
    assert_eq!(told_groups(&actions), [(GroupState::Backup, cause)]);
    assert_eq!(states(&engine), [RouterState::Backup; 2]);
    let told = "VI_2 of its group WEB: a router with a higher priority is active";
    assert_eq!(engine.instances[&KEY].transition.cause, told);
    let resigned: Vec<&str> = actions
        .iter()
        .filter_map(|a| match a {
            Action::SendAdvertisement { interface, payload, .. } => (payload[2] == 0).then_some(interface.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(resigned, ["eth0"], "where nobody is worthier, nobody has to wait");
}

#[test]
fn a_fault_of_one_is_a_fault_of_all_and_they_come_back_together() {
    let mut engine = ready(grouped(200, 200), None);
    engine.step(CLAIM, Input::Timeout);
    let actions = engine.step(ms(5000), Input::Interface(down(eth1(LB1))));
    assert_eq!(told_groups(&actions), [(GroupState::Fault, "VI_2: interface eth1 has no link".to_owned())]);
    assert_eq!(states(&engine), [RouterState::Fault; 2]);
    let fault = "VI_2 of its group WEB: interface eth1 has no link";
    assert_eq!(engine.instances[&KEY].fault.as_deref(), Some(fault));
    // A second fault, and the end of the first, change nothing.
    assert_eq!(told_groups(&engine.step(ms(6000), Input::Interface(down(eth0(LB1))))), []);
    assert_eq!(told_groups(&engine.step(ms(7000), Input::Interface(eth1(LB1)))), []);
    assert_eq!(states(&engine), [RouterState::Fault; 2]);
    let actions = engine.step(ms(8000), Input::Interface(eth0(LB1)));
    assert_eq!(told_groups(&actions), [(GroupState::Backup, "VI_1: ready".to_owned())]);
}

/// As with keepalived, where notify scripts hear of each.
#[test]
fn a_fault_of_one_at_the_start_is_told_of_all() {
    let told = |actions: &[Action]| {
        let told = actions.iter().filter_map(|action| match action {
            Action::Record(Decision::Router { name, event, .. }) => Some((name.clone(), event.clone())),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let all = |names: [&str; 2], event: RouterEvent| names.map(|name| (name.to_owned(), event.clone())).to_vec();
    for down_first in [false, true] {
        let mut engine = Engine::new(setup(LB1, None), grouped(200, 200), Instant::default());
        let mut links = [eth0(LB1), down(eth1(LB1))];
        if down_first {
            links.reverse();
        }
        let actions: Vec<Action> =
            links.into_iter().flat_map(|link| engine.step(Instant::default(), Input::Interface(link))).collect();
        assert_eq!(told(&actions), all(["VI_2", "VI_1"], RouterEvent::Fault), "{down_first}");
        assert_eq!(told_groups(&actions), [(GroupState::Fault, "VI_2: interface eth1 has no link".to_owned())]);
        let actions = engine.step(ms(1000), Input::Interface(eth1(LB1)));
        assert_eq!(told(&actions), all(["VI_1", "VI_2"], RouterEvent::Backup));
    }
    let mut engine = Engine::new(setup(LB1, None), grouped(200, 200), Instant::default());
    assert_eq!(told(&engine.step(Instant::default(), Input::Interface(eth0(LB1)))), [], "eth1 is not known yet");
}

#[test]
fn what_the_group_tracks_concerns_all() {
    let mut config = grouped(200, 190);
    let tracked = |name: &str, by| Tracked {
        name: name.to_owned(),
        weight: Some(mesh_config::model::Weight { by, reverse: false }),
    };
    config.sync_groups[0].track =
        Tracks { bfds: vec![tracked("far", 0)], interfaces: vec![tracked("eth7", -50)], ..Tracks::default() };
    let mut engine = Engine::new(setup(LB1, None), config, Instant::default());
    engine.step(ms(0), Input::Interface(eth0(LB1)));
    engine.step(ms(0), Input::Interface(eth1(LB1)));
    assert_eq!(engine.instances[&KEY].fault.as_deref(), Some("BFD session far is down"));
    let bfd = |value| Input::Tracked { kind: Kind::Bfd, name: "far".to_owned(), value };
    let actions = engine.step(ms(1), bfd(1));
    assert_eq!(told_groups(&actions), [(GroupState::Backup, "VI_1: ready".to_owned())]);
    let priorities = |engine: &Engine| engine.instances.values().map(|i| i.vrrp.priority()).collect::<Vec<_>>();
    assert_eq!(priorities(&engine), [150, 140], "eth7 is not there");
    engine.step(ms(2), Input::Interface(Interface { name: "eth7".to_owned(), ..eth0(LB1) }));
    assert_eq!(priorities(&engine), [200, 190]);
    engine.step(ms(3), bfd(0));
    assert_eq!(states(&engine), [RouterState::Fault; 2]);
}

/// lb1 of three voters has asked for both in one message.
fn asking_for_both() -> (Engine, Request) {
    let mut engine = ready(grouped(200, 200), Some(roster(3)));
    let actions = engine.step(CLAIM, Input::Timeout);
    let request = request(&actions);
    assert_eq!(request.claims.iter().map(|c| c.router).collect::<Vec<_>>(), [KEY, KEY2]);
    (engine, request)
}

fn verdicts(from: NodeId, at: Instant, request: &Request, verdicts: [Vote; 2]) -> Input {
    let verdicts = request.claims.iter().map(|c| c.router).zip(verdicts).collect();
    let reply = Reply { seq: request.seq, clock_ns: at.as_nanos(), roster_epoch: request.roster_epoch, verdicts };
    message(from, Message::Reply(reply))
}

#[test]
fn voters_grant_all_and_it_serves_all_in_one_step() {
    let (mut engine, request) = asking_for_both();
    let actions = engine.step(ms(3220), granted(LB2, ms(3220), &request));
    assert_eq!(serve(&actions), [VIP, VIP2]);
    assert!(engine.instances.values().all(|i| i.lease.is_held() && i.vrrp.is_active()));
}

/// A grant of part is not enough, and is given back: nothing was served, nothing is kept from others.
#[test]
fn voters_grant_one_and_refuse_the_other() {
    let (mut engine, request) = asking_for_both();
    let yes = Vote::Granted { epoch: request.claims[0].epoch };
    let no = Vote::Held { owner: LB3, epoch: 7, remaining_ms: 900 };
    let actions = engine.step(ms(3220), verdicts(LB2, ms(3220), &request, [yes, no]));
    assert_eq!((serve(&actions), states(&engine)), (Vec::new(), [RouterState::Backup; 2]));
    assert!(engine.instances[&KEY].lease.ballot().is_some(), "granted, but not served");
    let actions = engine.step(ms(3221), verdicts(LB3, ms(3221), &request, [yes, no]));
    assert!(serve(&actions).is_empty());
    let released: BTreeSet<RouterKey> = actions
        .iter()
        .filter_map(|a| match a {
            Action::SendMessage { to: LB2, message: Message::Release(releases) } => Some(releases),
            _ => None,
        })
        .flatten()
        .map(|release| release.router)
        .collect();
    assert_eq!(released, [KEY, KEY2].into(), "in one message");
    assert_eq!(states(&engine), [RouterState::Vetoed; 2]);
    let reason = |key| engine.instances[&key].veto.as_ref().map(|v| v.reason.clone());
    assert_eq!(reason(KEY).as_deref(), Some("VI_2 of its group WEB: lb3 holds the lease"));
    assert_eq!(reason(KEY2).as_deref(), Some("lb3 holds the lease"));
    assert!(engine.instances.values().all(|i| matches!(i.lease, Lease::Idle) && i.armed_until.is_none()));
}

#[test]
fn one_lease_that_runs_out_ends_service_of_all() {
    let (mut engine, first) = asking_for_both();
    let renewal = request_of_step(&mut engine, ms(3220), granted(LB2, ms(3220), &first));
    // lb2 renews one, and lb3 says nothing at all.
    let one = Reply {
        seq: renewal.seq,
        clock_ns: ms(3221).as_nanos(),
        roster_epoch: renewal.roster_epoch,
        verdicts: vec![(KEY, Vote::Granted { epoch: renewal.claims[0].epoch })],
    };
    engine.step(ms(3221), message(LB2, Message::Reply(one)));
    let (short, long) = (engine.instances[&KEY2].armed_until.unwrap(), engine.instances[&KEY].armed_until.unwrap());
    assert!(short < long, "{short:?} {long:?}");
    let actions = engine.step(short, Input::Timeout);
    assert!(!engine.instances.values().any(|i| i.vrrp.is_active()));
    let closed: Vec<IpAddr> = actions
        .iter()
        .filter_map(|a| if let Action::FenceClose { addresses } = a { Some(addresses.clone()) } else { None })
        .flatten()
        .collect();
    assert_eq!(closed, [VIP2, VIP]);
    let cause = "VI_2: the lease ran out: renewals did not reach a majority".to_owned();
    assert_eq!(told_groups(&actions), [(GroupState::Backup, cause)]);
}

fn request_of_step(engine: &mut Engine, at: Instant, input: Input) -> Request {
    request(&engine.step(at, input))
}

/// Priorities that differ within a group: neither asks the other, or it would go to and fro.
#[test]
fn who_is_worthier_for_a_part_only_does_not_take_over() {
    let (mut engine, request) = asking_for_both();
    for (key, priority) in [(KEY, 100), (KEY2, 250)] {
        let theirs = RouterReport { key, ..report(LB2, RouterState::Active, priority, 7) };
        engine.step(ms(3219), gossip(&theirs, LB2));
    }
    engine.step(ms(3220), held(LB2, ms(3220), &request, LB2, 900));
    let actions = engine.step(ms(3220), held(LB3, ms(3220), &request, LB2, 900));
    let preempts = |actions: &[Action]| {
        let is = |a: &&Action| matches!(a, Action::SendMessage { message: Message::Preempt(_), .. });
        actions.iter().filter(is).count()
    };
    assert_eq!((preempts(&actions), states(&engine)), (0, [RouterState::Vetoed; 2]));
    let theirs = RouterReport { key: KEY2, ..report(LB2, RouterState::Active, 150, 7) };
    engine.step(ms(3300), gossip(&theirs, LB2));
    wait(&mut engine, ms(6500));
    let request = engine.sent.back().map(|s| (s.seq, s.claims.clone())).unwrap();
    let request = Request { roster_epoch: 3, seq: request.0, claims: request.1 };
    engine.step(ms(6501), held(LB2, ms(6501), &request, LB2, 900));
    let actions = engine.step(ms(6501), held(LB3, ms(6501), &request, LB2, 900));
    assert_eq!(preempts(&actions), 2, "worthier for all of it now: {actions:#?}");
}

/// The owner heeds a request only from who comes first for all of the group, and lets go of all at once.
#[test]
fn a_group_is_handed_over_as_a_whole() {
    let (mut engine, request) = asking_for_both();
    engine.step(ms(3220), granted(LB2, ms(3220), &request));
    engine.step(ms(3221), peer_up(LB2));
    let preempt = |priority| {
        let preempt = mesh_wire::mesh::lease::Preempt { router: KEY, priority };
        message(LB2, Message::Preempt(preempt))
    };
    engine.step(ms(3222), gossip(&RouterReport { key: KEY2, ..report(LB2, RouterState::Backup, 150, 0) }, LB2));
    engine.step(ms(3223), preempt(250));
    assert_eq!(states(&engine), [RouterState::Active; 2], "not worthier for VI_2");
    engine.step(ms(3224), gossip(&RouterReport { key: KEY2, ..report(LB2, RouterState::Backup, 250, 0) }, LB2));
    let actions = engine.step(ms(3225), preempt(250));
    assert_eq!(states(&engine), [RouterState::Backup; 2]);
    let releases = actions.iter().find_map(|a| match a {
        Action::SendMessage { to: LB3, message: Message::Release(releases) } => Some(releases.clone()),
        _ => None,
    });
    let successors: BTreeSet<_> = releases.unwrap().iter().map(|r| (r.router, r.successor)).collect();
    assert_eq!(successors, [(KEY, Some(LB2)), (KEY2, Some(LB2))].into());
}

#[test]
fn a_new_member_elsewhere_makes_the_group_begin_again() {
    let mut apart = grouped(200, 200);
    apart.sync_groups.clear();
    let mut engine = ready(apart, None);
    // The second one is active elsewhere.
    for second in 1..=4 {
        wait(&mut engine, ms(second * 1000));
        engine.step(ms(second * 1000), foreign(false, 250));
    }
    wait(&mut engine, ms(4500));
    assert_eq!(states(&engine), [RouterState::Active, RouterState::Backup]);
    let actions = engine.step(ms(4600), Input::Configure(Box::new(grouped(200, 200))));
    assert_eq!(states(&engine), [RouterState::Backup; 2]);
    let cause = "VI_1: its group is not active as a whole".to_owned();
    assert_eq!(told_groups(&actions), [(GroupState::Backup, cause)]);
}

/// What a run leaves behind is gone on with for all of a group, or given back for all of it.
#[test]
fn the_next_run_goes_on_with_all_of_a_group_or_none() {
    let mut engine = ready(grouped(200, 200), None);
    engine.step(CLAIM, Input::Timeout);
    let left = |actions: Vec<Action>| {
        actions.into_iter().find_map(|a| if let Action::LeaveBehind(left) = a { Some(left) } else { None })
    };
    let mut actions = engine.step(ms(4000), Input::Keep);
    actions.extend(engine.step(ms(4200), Input::Timeout));
    let left = left(actions).unwrap();
    assert_eq!(left.iter().map(|a| a.router).collect::<Vec<_>>(), [KEY, KEY2]);

    let again = |left: Vec<Adopted>| {
        let setup = Setup { adopted: left, ..setup(LB1, None) };
        let mut engine = Engine::new(setup, grouped(200, 200), ms(4300));
        engine.step(ms(4300), Input::Interface(eth0(LB1)));
        let early = states(&engine);
        engine.step(ms(4301), Input::Interface(eth1(LB1)));
        (early, states(&engine))
    };
    let all = again(left.clone());
    assert_eq!(all, ([RouterState::Active; 2], [RouterState::Active; 2]), "one interface is known before the other");
    let part = again(left[..1].to_vec());
    assert_eq!(part, ([RouterState::Fault; 2], [RouterState::Backup; 2]));
}

/// A dead daemon's guard closes and gives back all of a group.
#[test]
fn the_will_has_all_members() {
    let (mut engine, request) = asking_for_both();
    let actions = engine.step(ms(3220), granted(LB2, ms(3220), &request));
    let will =
        actions.iter().find_map(|a| if let Action::KeepWill(will) = a { Some(will.clone()) } else { None }).unwrap();
    let addresses: Vec<IpAddr> = will.addresses.iter().map(|(_, net)| net.addr()).collect();
    let interfaces: Vec<&str> = will.resignations.iter().map(|advert| advert.interface.as_str()).collect();
    let releases: BTreeSet<RouterKey> = will.releases.iter().map(|r| r.router).collect();
    assert_eq!((addresses, interfaces), (vec![VIP, VIP2], vec!["eth0", "eth1"]));
    assert_eq!(releases, [KEY, KEY2].into());
}

/// An operator moves all of it: each member says so, and not only the one the group goes by.
#[test]
fn a_pin_is_that_of_all_members() {
    let mut engine = ready(grouped(200, 200), Some(roster(3)));
    let pinned = |engine: &Engine| -> Vec<Option<String>> {
        engine.status(ms(2)).routers.into_iter().map(|r| r.pinned_to).collect()
    };
    assert_eq!(pinned(&engine), [None, None]);
    engine.set_pin(ms(1), KEY, Some(LB3));
    assert_eq!(pinned(&engine), [Some("lb3".to_owned()), Some("lb3".to_owned())]);
}

/// Only what changed is touched: the others of its group go on.
#[test]
fn a_member_that_a_configuration_leaves_out_goes_alone() {
    let mut engine = ready(grouped(200, 200), None);
    engine.step(CLAIM, Input::Timeout);
    let mut without = grouped(200, 200);
    without.routers.pop();
    without.sync_groups[0].routers.pop();
    let actions = engine.step(ms(4000), Input::Configure(Box::new(without)));
    let removed: Vec<IpAddr> = actions
        .iter()
        .filter_map(|a| if let Action::DelAddress { address, .. } = a { Some(address.net.addr()) } else { None })
        .collect();
    assert_eq!(removed, [VIP2]);
    assert_eq!(engine.instances[&KEY].state(), RouterState::Active);
    assert!(!engine.instances.contains_key(&KEY2));
}

/// A configuration makes a group of a router that serves and of one whose claim is under way, and then fails.
#[test]
fn a_claim_that_fails_takes_no_lease_along() {
    let mut apart = grouped(200, 100);
    apart.sync_groups.clear();
    let mut engine = ready(apart, Some(roster(3)));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    engine.step(ms(3220), granted(LB2, ms(3220), &first));
    assert!(matches!(engine.instances[&KEY].lease, Lease::Held(_)));
    let epoch = engine.instances[&KEY].lease.ballot().unwrap().epoch;
    engine.step(ms(3221), vacant(LB3, KEY2));
    assert!(matches!(engine.instances[&KEY2].lease, Lease::Asking(_)));
    let actions = engine.step(ms(3222), Input::Configure(Box::new(grouped(200, 100))));
    assert_eq!(states(&engine), [RouterState::Backup, RouterState::Vetoed]);
    let released = actions.iter().filter_map(|a| match a {
        Action::SendMessage { to: LB2, message: Message::Release(releases) } => Some(releases),
        _ => None,
    });
    let released: Vec<(RouterKey, u64)> = released.flatten().map(|r| (r.router, r.epoch)).collect();
    assert!(released.contains(&(KEY, epoch)), "others need not wait for its end: {released:?}");
}

fn vacant(voter: NodeId, router: RouterKey) -> Input {
    let vacant =
        mesh_wire::mesh::lease::Vacant { router, owner: LB2, epoch: 3, released: true, reserved_for: Some(LB1) };
    message(voter, Message::Vacant(vec![vacant]))
}
