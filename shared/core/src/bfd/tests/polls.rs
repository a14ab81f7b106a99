//! RFC 5880 sections 6.5, 6.6 and 6.8.3: how changes are told and confirmed.

use super::*;

const GONE: Duration = Duration::from_millis(30);

/// Goes on for so long while the neighbour is heard every 10 ms: the packets, and when.
fn heard_for(host: &mut Host, time: Duration, heard: &Control) -> Vec<(Instant, Control)> {
    let end = host.now + time;
    let mut sent = Vec::new();
    while host.now < end {
        let done = host.until(end.min(host.now + MS(10)));
        sent.extend(
            done.iter().flat_map(|(at, action)| packets([action]).into_iter().map(move |packet| (*at, packet))),
        );
        assert_eq!(host.hears(heard), []);
    }
    sent
}

fn longest_gap(sent: &[(Instant, Control)]) -> Duration {
    let times: Vec<Instant> = sent.iter().map(|(at, _)| *at).collect();
    gaps(&times).into_iter().max().expect("two packets at least")
}

#[test]
fn a_change_during_a_poll_sequence_is_told_by_a_poll_sequence_of_its_own() {
    let (mut host, _) = Host::new(&[instance()]);
    host.bring_up();
    let here = said(State::Up, Some(host.discriminator()));
    let answer = Control { answers_poll: true, ..here };
    let slow = |ms| BfdInstance { min_tx: MS(ms), ..instance() };
    host.give(Input::Configure(vec![slow(50)]));
    let first = heard_for(&mut host, MS(100), &here);
    host.give(Input::Configure(vec![slow(200)]));
    let same = heard_for(&mut host, MS(100), &here);
    for (_, packet) in first.iter().chain(&same) {
        assert_eq!((packet.poll, packet.desired_min_tx), (true, 50_000), "the neighbour may answer any of them");
    }
    assert!(longest_gap(&same) <= MS(10));

    // What is confirmed is the first change; the second one is asked for once answers cannot be mixed up.
    assert_eq!(host.hears(&answer), []);
    let second = heard_for(&mut host, MS(1000), &here);
    let told: Vec<_> = second.iter().map(|(_, packet)| (packet.poll, packet.desired_min_tx)).collect();
    let began = told.iter().position(|told| *told == (true, 200_000)).expect("a second Poll");
    assert!(began > 0 && told[..began].iter().all(|told| *told == (false, 50_000)), "{told:?}");
    assert!(told[began..].iter().all(|told| *told == (true, 200_000)), "{told:?}");
    let round_trip = second[began].0.since(first[0].0);
    assert!(round_trip >= MS(350), "the Poll took 200 ms, so that an answer may come 200 ms after: {round_trip:?}");
    assert!((MS(30)..=MS(50)).contains(&longest_gap(&second[1..])), "{:?}", longest_gap(&second[1..]));

    assert_eq!(host.hears(&answer), []);
    let slow = heard_for(&mut host, MS(2000), &here);
    assert!(slow.iter().all(|(_, packet)| !packet.poll && packet.desired_min_tx == 200_000), "{slow:?}");
    assert!((MS(150)..=MS(200)).contains(&longest_gap(&slow[1..])));
}

#[test]
fn what_is_taken_back_during_a_poll_sequence_is_told_as_well() {
    let (mut host, _) = Host::new(&[instance()]);
    host.bring_up();
    let here = said(State::Up, Some(host.discriminator()));
    host.give(Input::Configure(vec![BfdInstance { min_rx: MS(100), ..instance() }]));
    heard_for(&mut host, MS(20), &here);
    host.give(Input::Configure(vec![instance()]));
    host.hears(&Control { answers_poll: true, ..here });
    let status = |host: &Host| host.sessions.status()[0].detection_ms;
    assert_eq!(status(&host), 300.0, "patient until the neighbour knows");
    let sent = heard_for(&mut host, MS(100), &here);
    assert!(sent.last().is_some_and(|(_, packet)| packet.poll && packet.required_min_rx == 10_000), "{sent:?}");
    host.hears(&Control { answers_poll: true, ..here });
    assert_eq!(status(&host), 30.0);
}

#[test]
fn the_fall_to_the_idle_rate_is_a_change() {
    let (mut host, _) = Host::new(&[instance()]);
    host.bring_up();
    let yours = Some(host.discriminator());
    let fallen = packets(host.until(at(0) + GONE).iter().map(|(_, a)| a)).pop().unwrap();
    assert_eq!((fallen.state, fallen.poll, fallen.desired_min_tx), (State::Down, true, 1_000_000));
    let again = packets(host.until(at(3000)).iter().map(|(_, a)| a));
    assert!(!again.is_empty() && again.iter().all(|packet| packet.poll), "until it is answered");
    let init = host.hears(&Control { answers_poll: true, ..said(State::Down, yours) });
    assert_eq!(init.iter().map(|p| (p.state, p.poll)).collect::<Vec<_>>(), [(State::Init, false)]);
    // An answer to the neighbour's own Poll says the idle rate as well, and asks nothing.
    host.bring_up();
    let answers = host.hears(&Control { poll: true, ..said(State::Down, yours) });
    let said: Vec<_> = answers.iter().map(|p| (p.state, p.poll, p.answers_poll, p.desired_min_tx)).collect();
    assert_eq!(said, [(State::Down, false, true, 1_000_000), (State::Down, true, false, 1_000_000)]);
}

#[test]
fn a_change_while_it_is_down_is_used_at_once_and_asked_for() {
    let (mut host, _) = Host::new(&[instance()]);
    let before = packets(host.until(at(500)).iter().map(|(_, a)| a));
    assert!(!before.is_empty() && before.iter().all(|packet| !packet.poll), "the start is no change");
    host.give(Input::Configure(vec![BfdInstance { min_rx: MS(70), ..instance() }]));
    assert_eq!(host.sessions.status()[0].detection_ms, 70.0);
    let after = packets(host.until(at(1500)).iter().map(|(_, a)| a));
    assert!(!after.is_empty() && after.iter().all(|p| p.poll && p.required_min_rx == 70_000), "{after:?}");
}

#[test]
fn section_6_6_on_demand_everything_new_is_asked_for() {
    let (mut host, _) = Host::new(&[instance()]);
    host.bring_up();
    let demand = Control { demand: true, ..said(State::Up, Some(host.discriminator())) };
    host.hears(&demand);
    assert_eq!(heard_for(&mut host, MS(100), &demand), []);
    host.give(Input::Configure(vec![BfdInstance { multiplier: 7, ..instance() }]));
    let asked = heard_for(&mut host, MS(50), &demand);
    let new = |packet: &Control| packet.poll && packet.detect_multiplier.get() == 7;
    assert!(!asked.is_empty() && asked.iter().all(|(_, packet)| new(packet)), "{asked:?}");
    // Nor is a further change told while answers could be to either.
    host.give(Input::Configure(vec![BfdInstance { multiplier: 9, ..instance() }]));
    host.hears(&Control { answers_poll: true, ..demand });
    assert_eq!(heard_for(&mut host, MS(30), &demand), []);
    let asked = heard_for(&mut host, MS(70), &demand);
    assert!(asked.iter().all(|(_, p)| p.poll && p.detect_multiplier.get() == 9) && !asked.is_empty(), "{asked:?}");
    host.hears(&Control { answers_poll: true, ..demand });
    assert_eq!(heard_for(&mut host, MS(500), &demand), []);
}

#[test]
fn section_6_8_12_another_multiplier_needs_no_poll_without_demand() {
    let (mut host, _) = Host::new(&[instance()]);
    host.bring_up();
    let here = said(State::Up, Some(host.discriminator()));
    host.give(Input::Configure(vec![BfdInstance { multiplier: 7, ..instance() }]));
    let sent = heard_for(&mut host, MS(100), &here);
    assert!(sent.iter().all(|(_, packet)| !packet.poll && packet.detect_multiplier.get() == 7), "{sent:?}");
}

#[test]
fn section_6_8_3_a_neighbour_that_takes_more_gets_it_at_once() {
    let (mut host, _) = Host::new(&[instance()]);
    host.bring_up();
    let here = said(State::Up, Some(host.discriminator()));
    let slow = Control { required_min_rx: 800_000, ..here };
    heard_for(&mut host, MS(100), &slow);
    assert!(heard_for(&mut host, MS(100), &slow).is_empty());
    host.hears(&here);
    let sent = heard_for(&mut host, MS(10), &here);
    assert!(!sent.is_empty(), "it is late already by the new interval");
}

#[test]
fn section_6_8_1_discriminators_are_unique_and_what_was_known_of_a_silent_neighbour_is_forgotten() {
    // None is 0: their type says so.
    let many: Vec<BfdInstance> = (1..=200).map(|n| BfdInstance::new(format!("peer{n}"), ip(n))).collect();
    let (host, _) = Host::new(&many);
    assert_eq!(host.sessions.names.len(), 200);

    let (mut host, _) = Host::new(&[instance()]);
    host.bring_up();
    let yours = Some(host.discriminator());
    host.hears(&Control { required_min_rx: 5_000_000, ..said(State::Up, yours) });
    assert_eq!(host.sessions.status()[0].tx_interval_ms, 5000.0);
    let last = packets(host.until(at(0) + GONE).iter().map(|(_, a)| a)).pop().unwrap();
    assert_eq!((last.state, last.your_discriminator), (State::Down, None));
    assert_eq!(host.sessions.status()[0].tx_interval_ms, 1000.0, "its pace is not asked for any more");
}
