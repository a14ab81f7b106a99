use super::*;

fn dropped(host: &Host) -> Vec<(String, u64)> {
    host.sessions.dropped().into_iter().collect()
}

#[test]
fn begins_soon_and_asks_for_a_socket() {
    let (mut host, actions) = Host::new(&[instance()]);
    assert_eq!(actions, [Action::Open(instance())]);
    let first = times(&host.until(at(100)));
    assert_eq!(first.len(), 1, "{first:?}");
}

#[test]
fn what_is_dropped_is_counted_by_reason() {
    let other = BfdInstance { interface: Some("eth1".to_owned()), ..BfdInstance::new("other", ip(3)) };
    let (mut host, _) = Host::new(&[instance(), other]);
    let yours = host.sessions.names.iter().find(|(_, name)| *name == "peer").map(|(d, _)| *d);
    let down = datagram(&said(State::Down, None));
    let init = datagram(&said(State::Init, yours));
    let unknown = yours.map(|yours| NonZeroU32::new(yours.get() ^ 1).unwrap());
    let cases = [
        Datagram { payload: vec![0x20; 3], ..down.clone() },
        Datagram { source: ip(9), ..down.clone() },
        Datagram { multihop: true, ..down.clone() },
        // The interface of the session is another one.
        Datagram { source: ip(3), ..down.clone() },
        Datagram { ttl: 254, ..down.clone() },
        Datagram { source: ip(9), ..init.clone() },
        Datagram { multihop: true, ..init.clone() },
        datagram(&said(State::Init, unknown)),
        Datagram { ttl: 0, ..init.clone() },
    ];
    for case in cases {
        assert_eq!(host.give(Input::Received(case)), []);
    }
    let expected = [
        ("BFD: TTL or hop limit too low", 2),
        ("BFD: no session has its discriminator", 1),
        ("BFD: no session with its sender", 3),
        ("BFD: not from the neighbour of its session", 2),
        ("BFD: shorter than a control packet", 1),
    ];
    assert_eq!(dropped(&host), expected.map(|(why, count)| (why.to_owned(), count)));
    let through = Datagram { interface: "eth1".to_owned(), source: ip(3), ..down };
    assert_eq!(packets(&host.give(Input::Received(through))).len(), 1);
}

#[test]
fn as_many_hops_as_are_allowed() {
    let (mut host, _) = Host::new(&[BfdInstance { ttl: 64, max_hops: 3, multihop: true, ..instance() }]);
    let with = |ttl| Datagram { ttl, multihop: true, ..datagram(&said(State::Down, None)) };
    assert_eq!(packets(&host.give(Input::Received(with(60)))), []);
    assert_eq!(packets(&host.give(Input::Received(with(61)))).len(), 1);
    let (mut host, _) = Host::new(&[BfdInstance { max_hops: 255, ..instance() }]);
    let answer = host.give(Input::Received(Datagram { ttl: 1, ..datagram(&said(State::Down, None)) }));
    assert_eq!(packets(&answer).len(), 1);
}

#[test]
fn a_session_that_never_came_up_is_told_down_in_time() {
    let (mut host, _) = Host::new(&[instance()]);
    let news = |done: Vec<(Instant, Action)>| -> Vec<(Instant, Action)> {
        done.into_iter().filter(|(_, action)| !matches!(action, Action::Send { .. })).collect()
    };
    assert_eq!(news(host.until(at(4999))), []);
    let expected = [record(Some("the neighbour was not heard yet")), told(false)].map(|action| (at(5000), action));
    assert_eq!(news(host.until(at(5000))), expected);
    assert_eq!(news(host.until(at(60_000))), []);
    let yours = Some(host.discriminator());
    let actions = host.give(Input::Received(datagram(&said(State::Init, yours))));
    assert_eq!(actions[1..], [record(None), told(true)]);
}

#[test]
fn one_that_goes_down_before_anybody_doubted_it_is_told_at_once() {
    let (mut host, _) = Host::new(&[instance()]);
    host.bring_up();
    let done = host.until(at(40));
    let news: Vec<&Action> = done.iter().map(|(_, a)| a).filter(|a| !matches!(a, Action::Send { .. })).collect();
    assert_eq!(news, [&record(Some("control detection time expired")), &told(false)]);
    // Nor is it told again later.
    assert!(host.until(at(10_000)).iter().all(|(_, action)| matches!(action, Action::Send { .. })));
}

#[test]
fn told_to_whom_it_is_for() {
    let routers = BfdInstance { for_services: false, ..instance() };
    let services = BfdInstance { for_routers: false, ..BfdInstance::new("other", ip(3)) };
    let (mut host, _) = Host::new(&[routers, services]);
    let done = host.until(at(5000));
    let Some((_, Action::Told(told))) = done.last() else { panic!("{done:?}") };
    assert_eq!(told.routers, BTreeMap::from([("peer".to_owned(), false)]));
    assert_eq!(told.services, BTreeMap::from([("other".to_owned(), false)]));
}

#[test]
fn a_reload_keeps_what_stays_on_its_path() {
    let (mut host, _) = Host::new(&[instance(), BfdInstance::new("other", ip(3))]);
    let before = host.sessions.names.clone();
    let yours = before.iter().find(|(_, name)| *name == "peer").map(|(d, _)| *d);
    host.hears(&said(State::Init, yours));
    assert_eq!(host.state(), State::Up);

    // Nothing but how others see it.
    let same = BfdInstance { weight: 20, max_hops: 2, passive: true, ..instance() };
    assert_eq!(host.give(Input::Configure(vec![same, BfdInstance::new("other", ip(3))])), []);
    assert_eq!((host.state(), &host.sessions.names), (State::Up, &before));

    // Another path: its neighbour is told, and nothing is known of it.
    let moved = BfdInstance { source: Some(ip(1)), ..instance() };
    let actions = host.give(Input::Configure(vec![moved.clone()]));
    let close = |name: &str| Action::Close { name: name.to_owned() };
    let goodbyes = packets(&actions);
    let expected = [(State::AdminDown, Diagnostic::ADMIN_DOWN); 2];
    assert_eq!(goodbyes.iter().map(|p| (p.state, p.diagnostic)).collect::<Vec<_>>(), expected);
    let rest: Vec<&Action> = actions.iter().filter(|a| !matches!(a, Action::Send { .. })).collect();
    let nothing = Action::Told(Told::default());
    assert_eq!(rest, [&close("other"), &close("peer"), &Action::Open(moved), &nothing]);
    assert_eq!(host.state(), State::Down);
    assert!(!before.contains_key(&host.discriminator()));
}

#[test]
fn says_goodbye() {
    let (mut host, _) = Host::new(&[instance(), BfdInstance { passive: true, ..BfdInstance::new("shy", ip(3)) }]);
    let actions = host.give(Input::Shutdown);
    let goodbye = packets(&actions);
    assert_eq!(goodbye.len(), 1, "a passive session that heard nobody has nobody to tell");
    assert_eq!((goodbye[0].state, goodbye[0].poll), (State::AdminDown, false));
    assert_eq!(actions.iter().filter(|a| matches!(a, Action::Close { .. })).count(), 2);
    assert_eq!(host.sessions.deadline(), None);
}

#[test]
fn status_says_why() {
    let (mut host, _) = Host::new(&[instance()]);
    let trouble = |error: Option<&str>| Input::Trouble { name: "peer".to_owned(), error: error.map(str::to_owned) };
    host.give(trouble(Some("cannot send: no route")));
    let status = host.sessions.status().remove(0);
    assert_eq!(status.reason.as_deref(), Some("the neighbour was not heard yet; cannot send: no route"));
    assert_eq!((status.neighbor.as_str(), status.state.as_str()), ("10.0.0.2", "down"));
    host.give(trouble(None));
    assert_eq!(host.sessions.status()[0].reason.as_deref(), Some("the neighbour was not heard yet"));

    host.now = at(1234);
    host.bring_up();
    let status = host.sessions.status().remove(0);
    assert_eq!((status.state.as_str(), status.since.as_str()), ("up", "2027-01-15T08:00:02.234Z"));
    assert_eq!((status.reason, status.tx_interval_ms, status.detection_ms), (None, 10.0, 30.0));
    let yours = Some(host.discriminator());
    host.hears(&Control { diagnostic: Diagnostic::EXPIRED, ..said(State::Down, yours) });
    let status = host.sessions.status().remove(0);
    let reason = "neighbour signaled session down: control detection time expired";
    assert_eq!((status.reason.as_deref(), status.losses, status.received), (Some(reason), 1, 3));
    host.bring_up();
    host.hears(&said(State::AdminDown, yours));
    assert_eq!(host.sessions.status()[0].reason.as_deref(), Some("the neighbour holds the session down"));
}
