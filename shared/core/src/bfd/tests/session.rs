use super::*;

/// RFC 5880 section 6.8.6: every state, and every state that is heard.
#[test]
fn the_whole_table() {
    use State::{AdminDown, Down, Init, Up};
    let table = [
        (Down, AdminDown, Down),
        (Down, Down, Init),
        (Down, Init, Up),
        (Down, Up, Down),
        (Init, AdminDown, Down),
        (Init, Down, Init),
        (Init, Init, Up),
        (Init, Up, Up),
        (Up, AdminDown, Down),
        (Up, Down, Down),
        (Up, Init, Up),
        (Up, Up, Up),
    ];
    for (from, heard, to) in table {
        let (mut host, _) = Host::new(&[instance()]);
        let yours = Some(host.discriminator());
        match from {
            Init => drop(host.hears(&said(Down, None))),
            Up => host.bring_up(),
            Down | AdminDown => {}
        }
        assert_eq!(host.state(), from);
        host.hears(&said(heard, yours));
        assert_eq!(host.state(), to, "{from:?} hears {heard:?}");
        let diagnostic = host.hears(&Control { poll: true, ..said(AdminDown, yours) })[0].diagnostic;
        // In Down it is nothing new.
        let expected = if (from, to) == (Down, Down) { Diagnostic::NONE } else { Diagnostic::NEIGHBOUR_DOWN };
        assert_eq!(diagnostic, expected, "{from:?} hears {heard:?}, then AdminDown");
    }
}

#[test]
fn says_a_change_at_once_and_then_keeps_its_pace() {
    let (mut host, _) = Host::new(&[instance()]);
    host.until(at(200));
    let yours = Some(host.discriminator());
    let answer = host.hears(&said(State::Down, None));
    let init = Control {
        state: State::Init,
        detect_multiplier: NonZeroU8::new(5).unwrap(),
        my_discriminator: host.discriminator(),
        your_discriminator: NonZeroU32::new(77),
        desired_min_tx: 1_000_000,
        ..said(State::Init, None)
    };
    assert_eq!(answer, [init]);
    let up = Control { state: State::Up, poll: true, desired_min_tx: 10_000, ..init };
    let actions = host.give(Input::Received(datagram(&said(State::Init, yours))));
    assert_eq!(packets(&actions), [up]);
    assert_eq!(actions[1..], [record(None), told(true)]);

    // The Poll goes on until it is answered.
    assert!(packets(host.until(at(215)).iter().map(|(_, a)| a)).iter().all(|packet| packet.poll));
    host.hears(&Control { answers_poll: true, ..said(State::Up, yours) });
    let done = host.until(at(230));
    assert!(packets(done.iter().map(|(_, a)| a)).iter().all(|packet| *packet == Control { poll: false, ..up }));
    assert!(!done.is_empty());
}

#[test]
fn down_after_the_detection_time_and_not_before() {
    let (mut host, _) = Host::new(&[instance()]);
    host.bring_up();
    // Three times the slower of what it wants to send and of what this side can take.
    let before = host.until(at(0) + MS(30) - Duration::from_nanos(1));
    assert!(before.iter().all(|(_, action)| matches!(action, Action::Send { .. })));
    assert_eq!(host.state(), State::Up);
    let after = host.until(at(30));
    let (_, lost) = &after.iter().find(|(_, action)| matches!(action, Action::Record(_))).unwrap();
    assert_eq!(*lost, record(Some("control detection time expired")));
    let last = packets(after.iter().map(|(_, a)| a)).pop().unwrap();
    assert_eq!((last.state, last.diagnostic, last.your_discriminator), (State::Down, Diagnostic::EXPIRED, None));
    assert_eq!(last.desired_min_tx, 1_000_000);
    assert_eq!(after.last().unwrap().1, told(false));

    // A slow neighbour is given its time, and a fast one no less than was asked of it.
    for (neighbour, own, detection) in [(40_000, 10, 120), (1_000, 10, 30), (10_000, 25, 75)] {
        let (mut host, _) = Host::new(&[BfdInstance { min_rx: MS(own), ..instance() }]);
        host.bring_up();
        let yours = Some(host.discriminator());
        host.hears(&Control { desired_min_tx: neighbour, ..said(State::Up, yours) });
        host.until(at(detection - 1));
        assert_eq!(host.state(), State::Up, "{neighbour} us, {own} ms");
        host.until(at(detection));
        assert_eq!(host.state(), State::Down, "{neighbour} us, {own} ms");
    }
}

/// RFC 5880 section 6.8.7.
#[test]
fn packets_come_early_by_chance_and_never_late() {
    for (multiplier, least, most) in [(5, 750, 1000), (1, 750, 900)] {
        let (mut host, _) = Host::new(&[BfdInstance { multiplier, ..instance() }]);
        let gaps = gaps(&times(&host.until(at(100_000))));
        assert!(gaps.len() > 100);
        let (shortest, longest) = (*gaps.iter().min().unwrap(), *gaps.iter().max().unwrap());
        assert!(shortest >= MS(least) && shortest < MS(least + 20), "{shortest:?}");
        assert!(longest <= MS(most) && longest > MS(most - 20), "{longest:?}");
    }
}

#[test]
fn sends_no_faster_than_the_neighbour_can_take() {
    let (mut host, _) = Host::new(&[instance()]);
    host.bring_up();
    let yours = Some(host.discriminator());
    let mut sent = Vec::new();
    for ms in (0..2000).step_by(10) {
        sent.extend(times(&host.until(at(ms))));
        host.hears(&Control { required_min_rx: 100_000, ..said(State::Up, yours) });
    }
    // The first one was due at the faster pace.
    let gaps = gaps(&sent[1..]);
    assert!(gaps.iter().all(|gap| (MS(75)..=MS(100)).contains(gap)), "{gaps:?}");
    assert!(gaps.len() > 18);

    // A neighbour that takes none gets none, but its Poll is answered.
    host.hears(&Control { required_min_rx: 0, ..said(State::Up, yours) });
    assert_eq!(times(&host.until(at(2010))), []);
    let answers = host.hears(&Control { required_min_rx: 0, poll: true, ..said(State::Up, yours) });
    assert_eq!(answers.len(), 1);
    assert!(answers[0].answers_poll && !answers[0].poll);
}

#[test]
fn demand_mode_of_the_neighbour_is_respected_once_both_are_up() {
    let (mut host, _) = Host::new(&[instance()]);
    host.bring_up();
    let yours = Some(host.discriminator());
    let demand = Control { demand: true, ..said(State::Up, yours) };
    host.hears(&demand);
    assert_eq!(times(&host.until(at(20))), []);
    let answers = host.hears(&Control { poll: true, ..demand });
    assert_eq!(answers.len(), 1);
    assert!(answers[0].answers_poll && !answers[0].demand);
    host.hears(&said(State::Up, yours));
    assert!(!times(&host.until(at(40))).is_empty());
}

#[test]
fn a_passive_session_waits_for_its_neighbour() {
    let (mut host, _) = Host::new(&[BfdInstance { passive: true, ..instance() }]);
    assert_eq!(times(&host.until(at(60_000))), []);
    let answer = host.hears(&said(State::Down, None));
    assert_eq!((answer.len(), answer[0].state), (1, State::Init));
    let heard = host.now;
    // It goes on as long as it hears something, and falls silent after the detection time.
    let sent = times(&host.until(heard + MS(60_000)));
    assert!(sent.iter().all(|at| *at <= heard + MS(31)), "{sent:?}");
}

#[test]
fn intervals_change_by_a_poll_without_leaving_up() {
    let (mut host, _) = Host::new(&[instance()]);
    host.bring_up();
    let yours = Some(host.discriminator());
    let slower = BfdInstance { min_tx: MS(100), min_rx: MS(50), ..instance() };
    assert_eq!(host.give(Input::Configure(vec![slower.clone()])), []);
    let mut sent = Vec::new();
    for ms in (0..=200).step_by(10) {
        sent.extend(host.until(at(ms)));
        host.hears(&said(State::Up, yours));
    }
    let all = packets(sent.iter().map(|(_, a)| a));
    assert!(all.iter().all(|p| p.poll && p.desired_min_tx == 100_000 && p.required_min_rx == 50_000), "{all:?}");
    assert!(gaps(&times(&sent)).iter().all(|gap| *gap <= MS(10)), "not slower before it is answered");
    host.hears(&Control { answers_poll: true, ..said(State::Up, yours) });
    let mut sent = Vec::new();
    for ms in (210..=1200).step_by(10) {
        sent.extend(host.until(at(ms)));
        host.hears(&said(State::Up, yours));
    }
    assert!(packets(sent.iter().map(|(_, a)| a)).iter().all(|p| !p.poll));
    assert!(gaps(&times(&sent)).iter().skip(1).all(|gap| (MS(75)..=MS(100)).contains(gap)));

    // Faster at once; a shorter patience only when the neighbour has agreed.
    assert_eq!(packets(&host.give(Input::Configure(vec![instance()]))), []);
    let faster = host.until(host.now + MS(149));
    assert!(gaps(&times(&faster)).iter().all(|gap| *gap <= MS(10)), "{faster:?}");
    assert_eq!(host.state(), State::Up);
    host.until(host.now + MS(1));
    assert_eq!(host.state(), State::Down, "three times 50 ms");
}

#[test]
fn a_neighbour_that_starts_again_is_down_and_comes_back() {
    let (mut host, _) = Host::new(&[instance()]);
    host.bring_up();
    let fresh = Control { my_discriminator: NonZeroU32::new(78).unwrap(), ..said(State::Down, None) };
    let down = host.hears(&fresh);
    assert_eq!((down[0].state, down[0].diagnostic), (State::Down, Diagnostic::NEIGHBOUR_DOWN));
    assert_eq!(down[0].your_discriminator, NonZeroU32::new(78));
    host.hears(&fresh);
    assert_eq!(host.state(), State::Init);
    host.hears(&Control { state: State::Up, your_discriminator: Some(host.discriminator()), ..fresh });
    assert_eq!(host.state(), State::Up);
    assert_eq!(host.sessions.status()[0].losses, 1);
}
