//! Routers outside the mesh, and whoever pretends to be one.

use mesh_config::model::Policy;

use super::actions::*;
use super::adverts::multicast;
use super::*;

const STRANGER: NodeId = NodeId(9);

pub(super) fn trusting(net: &str) -> Policy {
    Policy {
        trusted_neighbours: Some(vec![net.parse().unwrap_or_else(|_| format!("{net}/32").parse().unwrap())]),
        ..Policy::default()
    }
}

/// [`holding`], with what its configuration says about neighbours: the mesh, and VI_1.
fn holding_with(mesh: Policy, own: Policy) -> Engine {
    let mut config = config(vec![VirtualRouter { policy: own, ..router(200) }]);
    config.mesh.policy = mesh;
    let mut engine = Engine::new(setup(LB1, Some(roster(3))), config, Instant::default());
    engine.step(Instant::default(), Input::Interface(eth0(LB1)));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    engine.step(ms(3220), granted(LB2, ms(3220), &first));
    assert!(engine.instances[&KEY].lease.is_held());
    engine
}

fn ignored() -> Action {
    let reason = "VI_1: it advertises a higher priority, but is no member and no trusted neighbour";
    adverts::dropped(STRANGER, reason, 1)
}

#[track_caller]
fn serves_on(engine: &Engine) {
    let instance = &engine.instances[&KEY];
    assert!(instance.vrrp.is_active() && instance.lease.is_held());
}

#[test]
fn a_stranger_does_not_end_a_lease_and_is_told_of_once() {
    let mut engine = holding();
    assert_eq!(plain(engine.step(ms(3300), multicast(STRANGER, 250))), [ignored(), garp(1)]);
    assert_eq!(plain(engine.step(ms(3301), multicast(STRANGER, 255))), [], "at a bounded rate");
    assert_eq!(plain(engine.step(ms(3302), multicast(STRANGER, 200))), [], "as high, and a higher address");
    serves_on(&engine);
    let status = engine.status(ms(3303));
    assert_eq!(status.routers[0].foreign.as_deref(), Some("10.1.1.19"));
    assert_eq!(status.counters["foreign_adverts_ignored"], 3);
    let reason = "10.1.1.19: VI_1: it advertises a higher priority, but is no member and no trusted neighbour";
    assert_eq!(status.drops[reason], 3);
}

#[test]
fn a_lesser_stranger_is_answered_as_ever() {
    let mut engine = holding();
    assert_eq!(plain(engine.step(ms(3300), multicast(STRANGER, 150))), [advert(200), garp(1)]);
    serves_on(&engine);
    assert_eq!(engine.status(ms(3301)).counters["foreign_adverts_ignored"], 0);
}

#[test]
fn whoever_resigns_is_answered_and_nothing_else() {
    for from in [STRANGER, LB2] {
        let mut engine = holding();
        engine.step(ms(3300), gossip(&report(LB2, RouterState::Backup, 150, 0), LB2));
        assert_eq!(plain(engine.step(ms(3301), multicast(from, 0))), [advert(200)]);
        serves_on(&engine);
    }
}

/// It served beside the holder, and hosts may know its MAC address until they are told.
#[test]
fn a_stranger_that_resigns_leaves_hosts_that_have_to_be_told() {
    let mut engine = holding();
    engine.step(ms(3300), multicast(STRANGER, 250));
    assert_eq!(plain(engine.step(ms(3400), multicast(STRANGER, 0))), [advert(200)]);
    let at = ms(3300) + Duration::from_secs(1);
    assert_eq!(engine.instances[&KEY].garp, Some((at, 5)), "not at once, but no later than the rate allows");
    engine.step(ms(3500), multicast(STRANGER, 0));
    assert_eq!(engine.instances[&KEY].garp, Some((at, 5)));
}

#[test]
fn the_holder_yields_to_a_trusted_neighbour_that_is_worthier() {
    let (all, nobody) = (trusting("10.1.1.16/29"), Policy::default());
    for (mesh, own) in [(all.clone(), nobody.clone()), (nobody, trusting("10.1.1.19"))] {
        let mut engine = holding_with(mesh, own);
        let actions = plain(engine.step(ms(3300), multicast(STRANGER, 250)));
        assert_eq!(actions[..2], [close(), del()]);
        let released = |a: &Action| matches!(a, Action::SendMessage { message: Message::Release(_), .. });
        assert_eq!(actions.iter().filter(|a| released(a)).count(), 2, "{actions:#?}");
        assert!(!actions.contains(&advert(0)), "the neighbour serves already");
        assert!(engine.instances[&KEY].vrrp.is_backup());
        assert_eq!(engine.instances[&KEY].foreign.map(|f| f.source), Some(source(STRANGER)));
        assert_eq!(engine.drops().count(), 0);
    }
}

#[test]
fn the_holder_wins_against_a_trusted_neighbour_that_is_not() {
    let mut engine = holding_with(trusting("10.1.1.19"), Policy::default());
    assert_eq!(plain(engine.step(ms(3300), multicast(STRANGER, 150)))[..2], [advert(200), garp(1)]);
    serves_on(&engine);
}

/// What a router says for itself replaces what the mesh says.
#[test]
fn a_router_may_trust_nobody() {
    let own = Policy { trusted_neighbours: Some(Vec::new()), ..Policy::default() };
    let mut engine = holding_with(trusting("10.1.1.0/24"), own);
    assert_eq!(plain(engine.step(ms(3300), multicast(STRANGER, 250)))[0], ignored());
    serves_on(&engine);
}

/// A member is not made a neighbour by a network that is trusted.
#[test]
fn a_member_in_a_trusted_network_does_not_end_a_lease() {
    let mut engine = holding_with(trusting("10.1.1.0/24"), Policy::default());
    engine.step(ms(3300), gossip(&report(LB2, RouterState::Backup, 150, 0), LB2));
    assert_eq!(plain(engine.step(ms(3301), multicast(LB2, 250))), [garp(1)]);
    serves_on(&engine);
}

#[test]
fn without_a_mesh_and_without_a_lease_vrrp_decides() {
    let mut engine = plain_active();
    assert_eq!(plain(engine.step(ms(3300), multicast(STRANGER, 250)))[0], del());
    let mut engine = silence::unprotected();
    let actions = plain(engine.step(ms(3400), multicast(STRANGER, 250)));
    assert_eq!(actions[..2], [install(&[VIP]), del()], "into the fence before it is given up");
    assert!(engine.instances[&KEY].vrrp.is_backup());
}

/// Anybody can send it; backups claim after the skew, and the voters refuse.
#[test]
fn a_made_up_resignation_leads_to_a_claim_that_is_vetoed() {
    let mut engine = started(LB2, vec![router(150)], Some(roster(3)));
    engine.step(ms(3000), gossip(&report(LB1, RouterState::Active, 200, 7), LB1));
    engine.step(ms(3100), multicast(LB1, 200));
    engine.step(ms(3200), multicast(LB1, 0));
    let (at, kind) = engine.work_due().unwrap();
    assert_eq!(kind, TimerKind::Vrrp);
    assert_eq!(at, ms(3200) + Duration::from_secs(1) * (256 - 150) / 256);
    let claim = request(&engine.step(at, Input::Timeout));
    engine.step(at, held(LB1, at, &claim, LB1, 900));
    engine.step(at, held(LB3, at, &claim, LB1, 900));
    assert_eq!(engine.instances[&KEY].state(), RouterState::Vetoed);
}

/// One or two voters, one of which serves beside keepalived: the way into a mesh, and out of it again.
fn holding_among(voters: u64, mesh: Policy) -> Engine {
    let mut config = config(vec![router(200)]);
    config.mesh.policy = mesh;
    let mut engine = Engine::new(setup(LB1, Some(roster(voters))), config, Instant::default());
    engine.step(Instant::default(), Input::Interface(eth0(LB1)));
    engine.step(ms(3100), peer_up(LB2));
    let first = engine.step(CLAIM, Input::Timeout);
    if voters == 2 {
        engine.step(ms(3220), gossip(&report(LB2, RouterState::Backup, 150, 0), LB2));
        engine.step(ms(3220), granted(LB2, ms(3220), &request(&first)));
    }
    assert!(engine.instances[&KEY].lease.is_held());
    engine
}

#[test]
fn with_fewer_than_three_voters_any_worthier_neighbour_is_yielded_to() {
    for voters in [1, 2] {
        for (priority, yields) in [(250, true), (200, true), (150, false)] {
            let mut engine = holding_among(voters, Policy::default());
            let actions = plain(engine.step(ms(3300), multicast(STRANGER, priority)));
            assert_eq!(actions[..2] == [close(), del()], yields, "{voters} voters, {priority}: {actions:#?}");
            assert_eq!(engine.instances[&KEY].vrrp.is_backup(), yields);
            assert_eq!(engine.drops().count(), 0);
            assert!(!actions.contains(&advert(0)), "it serves already");
        }
    }
}

/// A list, even an empty one, is the operator's word.
#[test]
fn a_list_of_neighbours_counts_with_any_number_of_voters() {
    for list in [Some(Vec::new()), trusting("10.1.1.8/32").trusted_neighbours] {
        let mut engine = holding_among(2, Policy { trusted_neighbours: list, ..Policy::default() });
        assert_eq!(plain(engine.step(ms(3300), multicast(STRANGER, 250))), [ignored(), garp(1)]);
        serves_on(&engine);
    }
    let mut engine = holding_among(2, trusting("10.1.1.19"));
    assert_eq!(plain(engine.step(ms(3300), multicast(STRANGER, 250)))[..2], [close(), del()]);
}

/// The other member is none, whatever it sends.
#[test]
fn one_of_two_members_does_not_end_the_other_s_lease_by_an_advert() {
    let mut engine = holding_among(2, Policy::default());
    assert_eq!(plain(engine.step(ms(3301), multicast(LB2, 250))), [garp(1)]);
    serves_on(&engine);
}

/// Whoever yielded stays backup for as long as the neighbour is heard, and is back when it is gone.
#[test]
fn what_a_neighbour_left_is_served_again() {
    let mut engine = holding_among(1, Policy::default());
    for n in 0..20 {
        let at = ms(3300 + 1000 * n);
        engine.step(at, multicast(STRANGER, 250));
        wait(&mut engine, at + Duration::from_millis(999));
        assert!(engine.instances[&KEY].vrrp.is_backup() && engine.instances[&KEY].lease.ballot().is_none());
    }
    wait(&mut engine, ms(3300 + 19_000 + 3300));
    assert!(engine.instances[&KEY].lease.is_held());
}

/// The third voter ends it: from then on anybody's adverts would be reason to move.
#[test]
fn the_third_voter_ends_trust_in_strangers() {
    let mut engine = holding_among(2, Policy::default());
    engine.step(ms(3230), Input::Roster(roster(3)));
    assert_eq!(plain(engine.step(ms(3300), multicast(STRANGER, 250)))[..2], [ignored(), garp(1)]);
    serves_on(&engine);
}

/// The price of RFC behaviour at backups: who is heard is deferred to, trusted or not.
#[test]
fn backups_defer_to_strangers() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    for second in 1..30 {
        engine.step(ms(second * 1000), multicast(STRANGER, 250));
        assert!(engine.instances[&KEY].lease.ballot().is_none());
    }
}

/// After a start adverts come before gossip does: who sent them is no stranger for the next seconds.
#[test]
fn a_member_whose_adverts_came_first_is_no_neighbour() {
    let mut engine = started(LB1, vec![router(100)], Some(roster(3)));
    engine.step(ms(100), peer_up(LB2));
    engine.step(ms(100), multicast(LB2, 150));
    assert!(engine.instances[&KEY].defers_to_foreign(ms(101)));
    engine.step(ms(200), gossip(&report(LB2, RouterState::Active, 150, 1), LB2));
    assert!(!engine.instances[&KEY].defers_to_foreign(ms(201)));
    assert_eq!(engine.instances[&KEY].foreign, None);
}
