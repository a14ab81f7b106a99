//! What is left to be done when the daemon dies.

use mesh_wire::mesh::lease::Release;

use super::actions::*;
use super::*;
use crate::will::{Advert, Will};

/// The wills among these actions; each has to come before everything else.
fn wills(actions: &[Action]) -> Vec<Will> {
    let of = |a: &Action| if let Action::KeepWill(will) = a { Some(will.clone()) } else { None };
    let found: Vec<Will> = actions.iter().filter_map(of).collect();
    assert_eq!(found.is_empty(), of(&actions[0]).is_none(), "not in front: {actions:#?}");
    found
}

fn resignation() -> Advert {
    let Action::SendAdvertisement { interface, source, destination, envelope, payload } = advert(0) else {
        unreachable!()
    };
    Advert { interface, source, destination, envelope, payload }
}

fn voters() -> Vec<(NodeId, std::net::SocketAddr)> {
    [LB2, LB3].map(|id| (id, (source(id), 7946).into())).to_vec()
}

fn release(epoch: u64) -> Release {
    Release { router: KEY, epoch, seq: Release::LAST, successor: None }
}

#[test]
fn the_first_step_replaces_the_will_of_an_earlier_run() {
    let mut engine = Engine::new(setup(LB1, Some(roster(3))), config(vec![router(200)]), ms(0));
    let expected = Will { voters: voters(), ..Will::default() };
    assert_eq!(wills(&engine.step(ms(0), Input::Timeout)), [expected]);
    assert_eq!(wills(&engine.step(ms(0), Input::Interface(eth0(LB1)))), [], "a backup leaves nothing");
}

#[test]
fn a_claim_is_in_it_before_voters_are_asked_and_service_before_the_fence_opens() {
    let mut engine = started(LB1, vec![router(200)], Some(roster(3)));
    let actions = engine.step(CLAIM, Input::Timeout);
    let asking = Will { releases: vec![release(1)], voters: voters(), ..Will::default() };
    assert_eq!(wills(&actions), std::slice::from_ref(&asking));

    let first = request(&actions);
    let actions = engine.step(ms(3220), granted(LB2, ms(3220), &first));
    let serving = Will {
        addresses: vec![("eth0".to_owned(), "10.1.1.80/24".parse().unwrap())],
        resignations: vec![resignation()],
        ..asking
    };
    assert_eq!(wills(&actions), [serving]);
    assert!(matches!(actions[1], Action::Remember(_)));
    assert_eq!(actions[2], arm(CLAIM + Duration::from_micros(378_400)));
}

#[test]
fn it_stays_the_same_while_nothing_but_time_changes() {
    let mut engine = holding();
    while let Some((at, _)) = engine.work_due().filter(|(at, _)| *at < ms(4100)) {
        let actions = engine.step(at, Input::Timeout);
        assert_eq!(wills(&actions), [], "at {at:?}");
        if let Some(Action::SendMessage { message: Message::Request(request), .. }) =
            actions.iter().find(|a| matches!(a, Action::SendMessage { message: Message::Request(_), .. }))
        {
            let granted = granted(LB2, at, request);
            assert_eq!(wills(&[engine.step(at, granted), vec![Action::Stopped]].concat()), []);
        }
    }
}

#[test]
fn a_raised_epoch_is_in_it() {
    let mut engine = holding();
    let renewal = request(&engine.step(ms(3470), Input::Timeout));
    let actions = engine.step(ms(3471), reply(LB2, ms(3471), &renewal, Vote::Stale { max_epoch: 3 }));
    let epochs: Vec<u64> = wills(&actions)[0].releases.iter().map(|r| r.epoch).collect();
    assert_eq!(epochs, [1, 2, 3, 4]);
}

#[test]
fn without_a_mesh_the_segment_is_told() {
    let mut engine = started(LB1, vec![router(200)], None);
    let expected = Will {
        addresses: vec![("eth0".to_owned(), "10.1.1.80/24".parse().unwrap())],
        resignations: vec![resignation()],
        ..Will::default()
    };
    assert_eq!(wills(&engine.step(CLAIM, Input::Timeout)), [expected]);
}

#[test]
fn unicast_peers_are_told_one_by_one() {
    let peers = [source(LB2), source(LB3)];
    let transport = mesh_config::model::Transport::Unicast { source: None, peers: peers.to_vec() };
    let mut engine = started(LB1, vec![VirtualRouter { transport, ..router(200) }], None);
    let will = wills(&engine.step(CLAIM, Input::Timeout)).remove(0);
    assert_eq!(will.resignations.iter().map(|r| r.destination).collect::<Vec<_>>(), peers);
}

/// Each number is above those sent so far, and a will is not written for each advert.
#[test]
fn behind_an_authentication_header_the_last_word_has_a_number_ahead() {
    use mesh_config::model::Password;
    use mesh_wire::vrrp::header::{self, Around};
    let key = *b"secret\0\0";
    let router = VirtualRouter { auth_pass: Some(Password(key)), auth_header: true, ..router(200) };
    let mut engine = started(LB1, vec![router], None);
    let number = |envelope: &mesh_wire::vrrp::Envelope, payload: &[u8]| {
        let IpAddr::V4(source) = source(LB1) else { unreachable!() };
        let identification = envelope.sealed.unwrap();
        let around = Around { source, destination: mesh_wire::vrrp::GROUP, ttl: 255, identification };
        header::open(&key, &around, payload).unwrap().0
    };
    let (mut sent, mut written, mut last) = (0, 0, None);
    let mut now = CLAIM;
    for _ in 0..64 {
        let actions = engine.step(now, Input::Timeout);
        for action in &actions {
            match action {
                Action::SendAdvertisement { envelope, payload, .. } => sent = number(envelope, payload),
                Action::KeepWill(will) => {
                    written += 1;
                    last = Some(number(&will.resignations[0].envelope, &will.resignations[0].payload));
                }
                _ => {}
            }
        }
        assert!(last.unwrap() > sent, "{last:?} and {sent}");
        now = engine.work_due().unwrap().0;
    }
    assert!((2..=6).contains(&written), "{written} times");
}

#[test]
fn what_was_handed_over_is_not_in_it() {
    let mut engine = holding();
    let expected = Will { voters: voters(), ..Will::default() };
    assert_eq!(wills(&engine.step(ms(3300), Input::Shutdown)), [expected]);
}
