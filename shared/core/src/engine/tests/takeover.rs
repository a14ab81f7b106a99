//! Becoming active, and the orderly ways to stop being it.

use mesh_wire::mesh::lease::{Claim, Parting, Preempt, Release, Vacant};

use super::actions::*;
use super::*;

fn claim(epoch: u64, duration_ms: u32) -> Vec<Claim> {
    vec![Claim { router: KEY, epoch, duration_ms }]
}

fn release(epochs: std::ops::RangeInclusive<u64>, successor: Option<NodeId>) -> Message {
    Message::Release(epochs.map(|epoch| Release { router: KEY, epoch, seq: 0, successor }).collect())
}

fn parting(epoch: u64, cause: &str) -> Message {
    Message::Parting(Parting { cause: cause.to_owned(), leases: vec![(KEY, epoch)] })
}

#[test]
fn plain_vrrp_takes_over_by_itself() {
    let mut engine = started(LB1, vec![router(200)], None);
    let before = CLAIM - Duration::from_nanos(1);
    assert_eq!(plain(engine.step(before, Input::Timeout)), []);
    let expected = [add(5), advert(200), garp(5), told(active(0, &[]), SILENCE)];
    assert_eq!(plain(engine.step(CLAIM, Input::Timeout)), expected);
    assert_eq!(engine.work_due(), Some((CLAIM + Duration::from_secs(1), TimerKind::Vrrp)));
}

#[test]
fn what_an_active_router_does_every_second() {
    let mut engine = plain_active();
    let second = Duration::from_secs(1);
    for n in 1..5 {
        assert_eq!(plain(engine.step(CLAIM + second * n, Input::Timeout)), [advert(200), add(5)], "after {n} s");
    }
    let after_delay = [advert(200), garp(5), add(5)];
    assert_eq!(plain(engine.step(CLAIM + second * 5, Input::Timeout)), after_delay);
    assert_eq!(plain(engine.step(CLAIM + second * 10, Input::Timeout)), [advert(200), add(5)], "no refresh asked for");
}

#[test]
fn gratuitous_arp_is_refreshed_where_asked_for() {
    let mut vi_1 = router(200);
    vi_1.garp.refresh = Duration::from_secs(2);
    vi_1.garp.refresh_repeat = 3;
    let mut engine = started(LB1, vec![vi_1], None);
    let mut bursts = Vec::new();
    for n in 0..13 {
        let at = CLAIM + Duration::from_secs(n);
        bursts.extend(engine.step(at, Input::Timeout).into_iter().filter_map(|a| match a {
            Action::Announce { count, .. } => Some((n, count)),
            _ => None,
        }));
    }
    assert_eq!(bursts, [(0, 5), (5, 5), (7, 3), (9, 3), (11, 3)]);
}

#[test]
fn in_a_mesh_a_majority_has_to_agree_first() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    let asked = plain(engine.step(CLAIM, Input::Timeout));
    let first = request(&asked);
    assert_eq!(asked, to_both(Message::Request(first.clone())));
    assert_eq!((first.roster_epoch, &first.claims), (3, &claim(1, 400)));
    assert_eq!(engine.work_due(), Some((CLAIM + Duration::from_millis(30), TimerKind::LeaseRequest)));

    let actions = plain(engine.step(ms(3220), granted(LB2, ms(3220), &first)));
    let renewal = request(&actions);
    let mut expected = vec![
        arm(CLAIM + Duration::from_micros(398_400) - Duration::from_millis(20)),
        add(3),
        advert(200),
        garp(5),
        told(active(1, &["lb1", "lb2"]), SILENCE),
    ];
    expected.extend(to_both(Message::Request(renewal.clone())));
    assert_eq!(actions, expected);
    assert_eq!(renewal.claims, claim(1, 1000), "the whole lease is asked for at once");
    assert!(renewal.seq > first.seq);
    assert_eq!(plain(engine.step(ms(3221), granted(LB3, ms(3221), &first))), [], "late, and not needed");
    assert_eq!(plain(engine.step(ms(3222), granted(LB3, ms(3222), &renewal))), [arm(ms(3220 + 976))]);
    assert_eq!(plain(engine.step(ms(3223), granted(LB2, ms(3223), &renewal))), []);
}

#[test]
fn an_unanswered_claim_is_repeated_and_given_back() {
    let (mut engine, first) = asking();
    let at = |n| CLAIM + Duration::from_millis(n);
    let mut last = first.seq;
    for n in [30, 60, 90] {
        let again = request(&engine.step(at(n), Input::Timeout));
        assert_eq!(again.claims, claim(1, 400));
        assert!(again.seq > last);
        last = again.seq;
    }
    let mut expected = to_both(release(1..=1, None)).to_vec();
    let cause = "no majority: 1 of 3 voters answered";
    expected.push(told(RouterEvent::Vetoed { by: Vec::new() }, cause));
    assert_eq!(plain(engine.step(at(100), Input::Timeout)), expected);
    assert_eq!(engine.instances[&KEY].state(), RouterState::Vetoed);

    // The next try after a whole interval, under another epoch, told no second time.
    let next = at(100) + engine.instances[&KEY].vrrp.down_interval();
    assert_eq!(engine.work_due(), Some((next, TimerKind::Vrrp)));
    assert_eq!(request(&engine.step(next, Input::Timeout)).claims, claim(2, 400));
    let again = plain(engine.step(next + Duration::from_millis(100), Input::Timeout));
    assert_eq!(again, to_both(release(2..=2, None)));
}

#[test]
fn renewals_of_one_node_go_in_one_message() {
    let second =
        VirtualRouter { name: "VI_2".into(), key: key(52), addresses: vec![vip("10.1.1.81/24")], ..router(200) };
    let mut engine = started(LB1, vec![router(200), second], Some(roster(3)));
    let first = request(&engine.step(CLAIM, Input::Timeout));
    assert_eq!(first.claims.iter().map(|c| c.router).collect::<Vec<_>>(), [KEY, key(52)]);
    let actions = engine.step(ms(3220), granted(LB2, ms(3220), &first));
    assert_eq!(request(&actions).claims.len(), 2);
    let renewal = request(&actions);
    let opened = plain(engine.step(ms(3221), granted(LB2, ms(3221), &renewal)));
    let both = vec![VIP, IpAddr::from([10, 1, 1, 81])];
    assert_eq!(opened, [Action::FenceArm { addresses: both, until: ms(3220 + 976) }]);
}

#[test]
fn an_orderly_stop_closes_removes_resigns_and_releases_in_this_order() {
    let mut engine = holding();
    engine.step(ms(3300), peer_up(LB2));
    engine.step(ms(3300), peer_up(LB3));
    engine.step(ms(3300), gossip(&report(LB2, RouterState::Backup, 150, 0), LB2));
    engine.step(ms(3300), gossip(&report(LB3, RouterState::Backup, 100, 0), LB3));
    let vacant = Vacant { router: KEY, owner: LB1, epoch: 1, released: true, reserved_for: Some(LB2) };
    let mut expected = vec![close(), del(), advert(0)];
    // Why, ahead of all that follows from it.
    expected.extend(to_both(parting(1, "this director is stopping")));
    // Our own voter tells the others: it lets lb2 have it at once.
    expected.extend(to_both(Message::Vacant(vec![vacant])));
    expected.extend(to_both(release(1..=1, Some(LB2))));
    expected.extend([told(RouterEvent::Backup, "this director is stopping"), install(&[]), Action::Stopped]);
    let actions = engine.step(ms(3400), Input::Shutdown);
    assert_eq!(actions.last(), Some(&Action::Stopped), "also after what is gossiped");
    assert_eq!(plain(actions), expected);
    assert_eq!(engine.instances[&KEY].state(), RouterState::Fault);
}

#[test]
fn a_successor_tells_why_the_owner_let_go() {
    let vacant = |epoch, released| Vacant { router: KEY, owner: LB2, epoch, released, reserved_for: Some(LB1) };
    let cause = |said: Option<Message>, vacant| {
        let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
        if let Some(said) = said {
            assert_eq!(plain(engine.step(ms(3109), message(LB2, said))), [], "nothing follows from it");
        }
        engine.step(ms(3110), message(LB3, Message::Vacant(vec![vacant])));
        engine.instances[&KEY].lease.ballot().unwrap().cause.clone()
    };
    let said = parting(4, "script chk_nginx is down");
    assert_eq!(cause(Some(said.clone()), vacant(4, true)), "lb2 let go: script chk_nginx is down");
    assert_eq!(cause(Some(said.clone()), vacant(5, true)), "lb2 released the lease", "another lease");
    assert_eq!(cause(Some(said), vacant(4, false)), "lb2's lease ran out");
    assert_eq!(cause(Some(parting(4, "this director is stopping")), vacant(4, true)), "lb2 is stopping");
    assert_eq!(cause(None, vacant(4, true)), "lb2 released the lease", "by a node of the version before");
}

/// What voters granted to a claim that failed is given back, too: nobody served by that.
#[test]
fn who_never_served_is_no_cause() {
    let vacant = |owner, epoch, released| Vacant { router: KEY, owner, epoch, released, reserved_for: None };
    let told = |vacant| message(LB3, Message::Vacant(vec![vacant]));
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    engine.step(ms(3000), told(vacant(LB3, 4, false)));
    assert_eq!(engine.instances[&KEY].vacancy, "lb3's lease ran out");
    engine.step(ms(3001), told(vacant(LB2, 5, true)));
    engine.step(ms(3002), told(vacant(LB1, 6, true)));
    assert_eq!(engine.instances[&KEY].vacancy, "lb3's lease ran out");
    engine.step(ms(3003), gossip(&report(LB2, RouterState::Active, 150, 7), LB2));
    engine.step(ms(3004), told(vacant(LB2, 7, true)));
    assert_eq!(engine.instances[&KEY].vacancy, "lb2 released the lease");
}

#[test]
fn a_stop_without_leases() {
    let mut engine = plain_active();
    let expected =
        [del(), advert(0), told(RouterEvent::Backup, "this director is stopping"), install(&[]), Action::Stopped];
    assert_eq!(plain(engine.step(ms(3300), Input::Shutdown)), expected);
}

#[test]
fn a_stop_while_asking_gives_the_votes_back() {
    let (mut engine, first) = asking();
    let mut expected = to_both(release(1..=1, None)).to_vec();
    expected.extend([install(&[]), Action::Stopped]);
    assert_eq!(plain(engine.step(ms(3219), Input::Shutdown)), expected);
    for voter in [LB2, LB3] {
        assert_eq!(plain(engine.step(ms(3220), granted(voter, ms(3220), &first))), [], "too late");
    }
}

#[test]
fn nothing_starts_after_the_stop() {
    let mut engine = holding();
    engine.step(ms(3300), Input::Shutdown);
    let vacant = Vacant { router: KEY, owner: LB2, epoch: 9, released: true, reserved_for: Some(LB1) };
    let later = [
        message(LB2, Message::Vacant(vec![vacant])),
        Input::Interface(Interface { running: false, ..eth0(LB1) }),
        Input::Interface(eth0(LB1)),
        Input::Configure(Box::new(config(vec![router(255)]))),
        Input::FenceGone,
        Input::Timeout,
    ];
    for (n, input) in (1..).zip(later) {
        let actions = engine.step(ms(3300 + 4000 * n), input);
        let starts = |a: &Action| {
            matches!(a, Action::AddAddress { .. } | Action::FenceArm { .. } | Action::SendAdvertisement { .. })
                || matches!(a, Action::SendMessage { message: Message::Request(_), .. })
        };
        assert!(!actions.iter().any(starts), "{actions:#?}");
    }
    assert!(!engine.instances[&KEY].vrrp.is_backup());
}

#[test]
fn a_worthier_backup_asks_and_is_handed_the_lease() {
    let mut engine = holding();
    let preempt = |priority| message(LB2, Message::Preempt(Preempt { router: KEY, priority }));
    assert_eq!(plain(engine.step(ms(3300), preempt(201))), [], "not connected: it could not take over");
    engine.step(ms(3300), peer_up(LB2));
    assert_eq!(plain(engine.step(ms(3301), preempt(200))), [], "an equal is not worthier");

    let vacant = Vacant { router: KEY, owner: LB1, epoch: 1, released: true, reserved_for: Some(LB2) };
    let cause = "handed over to lb2, whose priority 201 is higher than 200";
    let mut expected = vec![close(), del(), advert(0), send(LB2, parting(1, cause))];
    expected.push(send(LB2, Message::Vacant(vec![vacant])));
    expected.extend(to_both(release(1..=1, Some(LB2))));
    expected.push(told(RouterEvent::Backup, cause));
    assert_eq!(plain(engine.step(ms(3302), preempt(201))), expected);
    assert_eq!(plain(engine.step(ms(3303), preempt(201))), [], "nothing left to hand over");
}

#[test]
fn a_successor_claims_at_once_others_wait_their_turn() {
    let vacant = |reserved_for| {
        let vacant = Vacant { router: KEY, owner: LB2, epoch: 4, released: true, reserved_for };
        message(LB3, Message::Vacant(vec![vacant]))
    };
    let ready = || {
        let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
        engine.step(ms(3100), peer_up(LB3));
        engine.step(ms(3100), gossip(&report(LB3, RouterState::Backup, 250, 0), LB3));
        engine.step(ms(3100), adverts::multicast(LB2, 100));
        engine
    };
    let asked = request(&ready().step(ms(3110), vacant(Some(LB1))));
    assert_eq!(asked.claims, claim(5, 400), "after the epoch that ended");

    let mut engine = ready();
    assert_eq!(plain(engine.step(ms(3110), vacant(Some(LB3)))), []);
    assert_eq!(engine.work_due(), Some((ms(3175), TimerKind::Claim)), "after the reservation, and one candidate");
    let asked = engine.step(ms(3175), Input::Timeout);
    assert_eq!(request(&asked).claims, claim(5, 400));
    assert_eq!(engine.instances[&KEY].lease.ballot().unwrap().cause, "lb2 released the lease");
}

/// Address owner of RFC 9568: what the host has anyway must survive the loss of the router.
#[test]
fn the_host_s_own_address_is_neither_added_nor_fenced_nor_removed() {
    let mut owner = router(255);
    owner.addresses = vec![vip("10.1.1.11/24"), vip("10.1.1.80/24")];
    let mut engine = started(LB1, vec![owner], None);
    assert!(engine.instances[&KEY].vrrp.is_active(), "an owner does not wait");
    let stop = engine.step(ms(10), Input::Shutdown);
    let removed: Vec<String> = stop
        .iter()
        .filter_map(|a| if let Action::DelAddress { address, .. } = a { Some(address.net.to_string()) } else { None })
        .collect();
    assert_eq!(removed, ["10.1.1.80/24"]);

    let mut owner = router(255);
    owner.addresses = vec![vip("10.1.1.11/24"), vip("10.1.1.80/24")];
    let mut engine = Engine::new(setup(LB1, Some(roster(3))), config(vec![owner]), Instant::default());
    let actions = engine.step(Instant::default(), Input::Interface(eth0(LB1)));
    let fenced = actions
        .iter()
        .rev()
        .find_map(|a| if let Action::FenceInstall { addresses, .. } = a { Some(addresses) } else { None });
    assert_eq!(fenced, Some(&vec![VIP]), "or the host could not even ask for a lease");
}
