//! Forged words of a web host that was taken over.

use mesh_wire::mesh::consensus::{Consensus, Step};
use mesh_wire::mesh::gossip::{Drain, DrainReport, NodeReport, PinReport, USUAL_CAPACITY};
use mesh_wire::mesh::lease::{Parting, Preempt, Release, Vacant};
use mesh_wire::mesh::roster::{Ballot as Attempt, Role};

use super::actions::*;
use super::*;
use crate::lease::EPOCH_STRIDE;

const WEB4: NodeId = NodeId(4);

/// lb1 to lb3, which vote, and web4.
fn with_web(voter: bool) -> Roster {
    let mut roster = roster(4);
    (roster.members[3].role, roster.members[3].voter) = (Role::Server, voter);
    roster
}

fn vacant(epoch: u64) -> Message {
    Message::Vacant(vec![Vacant { router: KEY, owner: LB2, epoch, released: true, reserved_for: None }])
}

fn asks(epoch: u64) -> Message {
    Message::Request(Request { roster_epoch: 4, seq: 5, claims: vec![Claim { router: KEY, epoch, duration_ms: 3000 }] })
}

/// All it could do to leases.
fn forged() -> [Message; 9] {
    let mut theirs = Roster { epoch: 99, ..with_web(true) };
    theirs.members.drain(..3);
    let ballot = Attempt { round: u64::MAX, proposer: WEB4 };
    let release = |vrid| Release { router: key(vrid), epoch: u64::MAX, seq: u64::MAX, successor: Some(WEB4) };
    [
        asks(u64::MAX - 1),
        Message::Release((1..=255).map(release).collect()),
        Message::Preempt(Preempt { router: KEY, priority: 254 }),
        Message::Parting(Parting::new("a lie", vec![(KEY, 1)])),
        Message::Roster(theirs.into()),
        Message::Consensus(Consensus { epoch: 5, ballot, step: Step::Prepare }),
        vacant(u64::MAX),
        Message::Reply(Reply { seq: 1, clock_ns: u64::MAX, roster_epoch: 99, verdicts: Vec::new() }),
        Message::Reply(Reply { seq: 1, clock_ns: 0, roster_epoch: 0, verdicts: Vec::new() }),
    ]
}

#[test]
fn a_server_without_a_vote_has_no_say_about_leases_and_rosters() {
    let mut engine = started(LB1, vec![router(200)], Some(with_web(false)));
    engine.step(ms(3100), peer_up(WEB4));
    for lie in forged() {
        let actions = plain(engine.step(ms(3110), message(WEB4, lie.clone())));
        let only_told = |a: &Action| matches!(a, Action::Record(Decision::Dropped { .. }));
        assert!(actions.iter().all(only_told), "{lie:?} leads to {actions:#?}");
    }
    let dropped: u64 = engine.drops().map(|(_, count)| count).sum();
    assert_eq!((dropped, engine.drops().count()), (9, 3), "each is counted, and each reason is told");
    assert_eq!((engine.voter.max_epoch(&KEY), engine.voter.take_changes()), (0, None));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    assert_eq!(first.claims[0].epoch, 1, "no epoch was spent");
    assert_eq!(engine.roster.as_ref().unwrap().epoch, 4);
}

/// It has its one vote, and what goes with that.
#[test]
fn a_server_that_votes_is_heard_as_a_voter_and_as_nothing_else() {
    let mut engine = started(LB1, vec![router(200)], Some(with_web(true)));
    for lie in forged().into_iter().take(4) {
        engine.step(ms(3110), message(WEB4, lie));
    }
    assert_eq!(engine.drops().map(|(_, count)| count).sum::<u64>(), 4);
    assert_eq!(engine.voter.take_changes(), None);
    let first = request(&engine.step(CLAIM, Input::Timeout));
    engine.step(ms(3220), granted(LB2, ms(3220), &first));
    engine.step(ms(3221), granted(WEB4, ms(3221), &first));
    assert!(engine.instances[&KEY].lease.is_held(), "three of four");
}

/// One web host's clock would end all leases of every director at once.
#[test]
fn the_clock_of_a_server_ends_nothing() {
    for (role, stays) in [(Role::Server, true), (Role::Witness, false)] {
        let mut voters = roster(3);
        voters.members[2].role = role;
        let mut engine = started(LB1, vec![router(200)], Some(voters));
        let first = request(&engine.step(CLAIM, Input::Timeout));
        let renewal = request(&engine.step(ms(3220), granted(LB3, ms(3220), &first)));
        engine.step(ms(3221), granted(LB3, ms(3221), &renewal));
        wait(&mut engine, ms(3480));
        let renewal = Request { roster_epoch: 3, seq: engine.seq, claims: renewal.claims };
        engine.step(ms(3481), granted(LB3, ms(30_000), &renewal));
        assert_eq!(engine.instances[&KEY].vrrp.is_active(), stays, "{role:?}");
    }
}

#[test]
fn a_witness_owns_nothing() {
    let mut voters = roster(3);
    voters.members[2].role = Role::Witness;
    let mut engine = started(LB1, vec![router(200)], Some(voters));
    for lie in forged().into_iter().take(4) {
        engine.step(ms(3110), message(LB3, lie));
    }
    assert_eq!(engine.drops().map(|(_, count)| count).sum::<u64>(), 4);
    let first = request(&engine.step(CLAIM, Input::Timeout));
    engine.step(ms(3220), granted(LB3, ms(3220), &first));
    assert!(engine.instances[&KEY].lease.is_held(), "and votes");
}

#[test]
fn gossip_of_a_server_is_about_itself() {
    let mut engine = started(LB1, vec![router(200)], Some(with_web(true)));
    engine.step(ms(3100), peer_up(WEB4));
    let pin = PinReport { router: KEY, node: Some(LB3), version: u64::MAX, by: WEB4 };
    let drain = DrainReport { node: LB1, drain: Drain::Draining, version: u64::MAX, by: WEB4 };
    let says = |key: String, value: String| Input::Gossip { node: WEB4, key, value: Some(value) };
    let report = report(WEB4, RouterState::Active, 254, u64::MAX);
    let lies = [
        says(format!("pin/{KEY}"), json(&pin)),
        says(format!("drain/{LB1}"), json(&drain)),
        says(router_key(&KEY), json(&report)),
    ];
    for lie in lies.clone() {
        assert!(plain(engine.step(ms(3110), lie)).iter().all(|a| matches!(a, Action::Record(_))));
    }
    assert_eq!((engine.moves.marks.pin(&KEY), engine.moves.marks.drain(LB1)), (None, Drain::No));
    assert_eq!((engine.membership.reports(&KEY).count(), engine.drops().map(|(_, n)| n).sum::<u64>()), (0, 3));
    // A witness repeats what operators want.
    let mut voters = with_web(true);
    voters.members[3].role = Role::Witness;
    let mut engine = started(LB1, vec![router(200)], Some(voters));
    lies.into_iter().for_each(|mark| drop(engine.step(ms(3110), mark)));
    assert_eq!((engine.moves.marks.pin(&KEY), engine.moves.marks.drain(LB1)), (Some(LB3), Drain::Draining));
    assert_eq!(engine.membership.reports(&KEY).count(), 0);
}

#[test]
fn a_server_does_not_send_directors_to_look_at_segments() {
    let mut engine = started(LB1, vec![router(200)], Some(with_web(false)));
    engine.step(ms(3100), peer_up(WEB4));
    let node = NodeReport {
        role: Role::Director,
        version: "1".to_owned(),
        config_digest: String::new(),
        draining: false,
        roster_epoch: 4,
        fits_since_unix_ms: 0,
        hearing: Vec::new(),
        mute: vec![KEY],
        capacity: USUAL_CAPACITY,
        routers: 1_000_000,
    };
    engine.step(ms(3110), Input::Gossip { node: WEB4, key: NODE_KEY.to_owned(), value: Some(json(&node)) });
    let peer = engine.membership.peer(WEB4).unwrap();
    assert!(peer.report.as_ref().unwrap().mute.is_empty() && !peer.has_more_to_say());
}

/// A voter that lies leads nobody further than one stride for each request that it is sent, and cannot go on raising a
/// claim until it is given up.
#[test]
fn no_voter_can_spend_the_epochs() {
    let (mut engine, mut asked) = asking();
    let lie = |engine: &mut Engine, asked: &Request| {
        for _ in 0..50 {
            engine.step(ms(3220), message(LB2, vacant(u64::MAX)));
            engine.step(ms(3220), reply(LB2, ms(3220), asked, Vote::Stale { max_epoch: u64::MAX }));
        }
    };
    lie(&mut engine, &asked);
    let raised = EPOCH_STRIDE + 2;
    let sent = engine.sent.back().unwrap();
    asked = Request { roster_epoch: 3, seq: sent.seq, claims: sent.claims.clone() };
    assert_eq!(asked.claims[0].epoch, raised);
    lie(&mut engine, &asked);
    assert_eq!(engine.instances[&KEY].epoch_seen, raised + EPOCH_STRIDE);
    let actions = plain(engine.step(ms(3221), granted(LB3, ms(3221), &asked)));
    assert!(actions.contains(&told(active(raised, &["lb1", "lb3"]), SILENCE)), "{actions:#?}");
}

/// It was led so far that voters who were not asked meanwhile do not follow: it begins again where they are.
#[test]
fn a_claim_beyond_the_voters_reach_begins_anew_within_it() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(3000), peer_up(LB2));
    engine.step(ms(3000), peer_up(LB3));
    engine.instances.get_mut(&KEY).unwrap().epoch_seen = 1 << 40;
    let far = request(&engine.step(CLAIM, Input::Timeout));
    assert_eq!(far.claims[0].epoch, (1 << 40) + 1);
    engine.step(ms(3220), reply(LB2, ms(3220), &far, Vote::Stale { max_epoch: 7 }));
    engine.step(ms(3220), reply(LB3, ms(3220), &far, Vote::Stale { max_epoch: 5 }));
    wait(&mut engine, ms(3330));
    assert!(engine.instances[&KEY].lease.ballot().is_none(), "given up");
    let at = engine.instances[&KEY].claim_at.expect("tried again by itself");
    let again = request(&engine.step(at, Input::Timeout));
    assert_eq!(again.claims[0].epoch, 8);
    engine.step(at, granted(LB2, at, &again));
    assert!(engine.instances[&KEY].lease.is_held());
}

/// What is said of a grant's end is believed as far as a grant can last.
#[test]
fn a_veto_does_not_outlive_every_grant() {
    let (mut engine, first) = asking();
    engine.step(ms(3220), held(LB2, ms(3220), &first, LB3, u32::MAX));
    let vetoes = engine.instances[&KEY].lease.ballot().unwrap().vetoes();
    assert_eq!(vetoes, BTreeMap::from([(LB2, ms(3220) + crate::lease::QUARANTINE)]));
}
