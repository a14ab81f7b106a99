//! Two hosts on a real kernel, each with the thread it has in the daemon.

use std::net::{IpAddr, UdpSocket};
use std::thread;

use super::*;
use crate::kernel::testing::{Neighbour, pause, runtime, sh, with_neighbour};

/// Machines are busy.
const SOON: Duration = Duration::from_secs(10);

fn config(sessions: &[BfdInstance]) -> Config {
    let mut config = Config { bfd_instances: sessions.to_vec(), ..Config::default() };
    config.mesh.realtime = false;
    config
}

fn session(name: &str, neighbour: &str) -> BfdInstance {
    BfdInstance::new(name, neighbour.parse::<IpAddr>().unwrap())
}

fn run(sessions: &[BfdInstance]) -> BfdThread {
    start(&config(sessions), u64::from(std::process::id()), clock::unix_time()).unwrap()
}

/// The same on the other side.
fn run_there(neighbour: &Neighbour, sessions: &[BfdInstance]) -> BfdThread {
    thread::scope(|scope| neighbour.spawn(scope, || run(sessions)).join()).unwrap()
}

/// Waits until this is told; how long that took.
fn told(thread: &mut BfdThread, expected: &[(&str, bool)]) -> Duration {
    let expected: BTreeMap<String, bool> = expected.iter().map(|(name, up)| ((*name).to_owned(), *up)).collect();
    let began = clock::now();
    let wait = async {
        let reached = thread.told.wait_for(|told| told.routers == expected && told.services == expected);
        tokio::time::timeout(SOON, reached).await.is_ok()
    };
    let reached = runtime().block_on(wait);
    assert!(reached, "{:?} instead of {expected:?}", thread.told.borrow());
    clock::now().since(began)
}

/// Waits until what is shown is like that.
fn shown(thread: &mut BfdThread, wanted: impl Fn(&Shown) -> bool) {
    let wait = async {
        let reached = thread.shown.wait_for(|shown| wanted(shown));
        tokio::time::timeout(SOON, reached).await.is_ok()
    };
    let reached = runtime().block_on(wait);
    assert!(reached, "{:?}", thread.shown.borrow());
}

fn sent(thread: &BfdThread) -> (Instant, u64) {
    (clock::now(), thread.shown.borrow().sessions.iter().map(|session| session.sent).sum())
}

#[test]
fn root_sessions_come_up_keep_their_pace_and_notice_a_cut() {
    with_neighbour(|neighbour| {
        sh("ip address add fe80::1/64 dev veth0 nodad");
        neighbour.sh("ip address add fe80::2/64 dev peer0 nodad");
        let with = |a: &str, b: &str, device: &str| {
            let four = BfdInstance { source: Some(a.parse().unwrap()), ..session("four", b) };
            let six = session("six", if a.ends_with('1') { "fe80::2" } else { "fe80::1" });
            [four, BfdInstance { interface: Some(device.to_owned()), multihop: true, max_hops: 3, ..six }]
        };
        let (ours, theirs) = (with("10.77.0.1", "10.77.0.2", "veth0"), with("10.77.0.2", "10.77.0.1", "peer0"));
        let mut there = run_there(neighbour, &theirs);
        let mut here = run(&ours);
        for thread in [&mut here, &mut there] {
            told(thread, &[("four", true), ("six", true)]);
        }

        // 7.5 to 10 ms between two packets, of each of the two sessions.
        pause(300);
        let (began, before) = sent(&here);
        pause(2000);
        let (ended, after) = sent(&here);
        let rate = (after - before) as f64 / 2.0 / ended.since(began).as_secs_f64();
        println!("{rate} packets a second");
        assert!((80.0..=140.0).contains(&rate), "{rate} packets a second");
        // A reload of the same leaves all as it is.
        here.configure(ours.to_vec());

        neighbour.sh("ip link set peer0 down");
        let took = told(&mut here, &[("four", false), ("six", false)]);
        println!("noticed after {took:?}");
        assert!(took < Duration::from_secs(1), "{took:?}");
        shown(&mut here, |shown| {
            let reasons: Vec<&str> = shown.sessions.iter().filter_map(|s| s.reason.as_deref()).collect();
            reasons.len() == 2 && reasons.iter().all(|reason| reason.starts_with("control detection time expired"))
        });
        // The address of the link went with it, for good, and the sessions go on once it is back.
        neighbour.sh("ip link set peer0 up; ip address add fe80::2/64 dev peer0 nodad || true");
        sh("ip address add fe80::1/64 dev veth0 nodad || true");
        told(&mut here, &[("four", true), ("six", true)]);

        // Told, not guessed: far sooner than the detection time of a session this slow.
        let slow = theirs.map(|session| BfdInstance { min_tx: Duration::from_secs(20), ..session });
        there.configure(slow.to_vec());
        shown(&mut here, |shown| shown.sessions.iter().all(|session| session.detection_ms == 100_000.0));
        runtime().block_on(there.stop());
        told(&mut here, &[("four", false), ("six", false)]);
        shown(&mut here, |shown| {
            shown.sessions.iter().all(|s| s.reason.as_deref().is_some_and(|r| r.starts_with("the neighbour holds")))
        });
    });
}

#[test]
fn root_what_came_too_far_and_what_keeps_a_session_from_working_is_said() {
    with_neighbour(|neighbour| {
        let taken = UdpSocket::bind(("0.0.0.0", 3784)).unwrap();
        let nowhere = BfdInstance { source: Some("10.77.0.9".parse().unwrap()), ..session("nowhere", "10.77.0.3") };
        let mut here = run(&[nowhere, session("peer", "10.77.0.2")]);
        let reason = |shown: &Shown, name: &str, text: &str| {
            let session = shown.sessions.iter().find(|session| session.name == name);
            session.is_some_and(|session| session.reason.as_deref().is_some_and(|reason| reason.contains(text)))
        };
        shown(&mut here, |shown| reason(shown, "peer", "cannot receive: Address already in use"));
        drop(taken);
        shown(&mut here, |shown| !reason(shown, "peer", "cannot receive"));
        shown(&mut here, |shown| reason(shown, "nowhere", "cannot send: Cannot assign requested address"));
        // An address that comes later will do.
        sh("ip address add 10.77.0.9/24 dev veth0");
        shown(&mut here, |shown| !reason(shown, "nowhere", "cannot send"));

        let far = BfdInstance { ttl: 254, max_hops: 1, ..session("peer", "10.77.0.1") };
        let mut there = run_there(neighbour, &[far]);
        shown(&mut here, |shown| shown.dropped.get("BFD: TTL or hop limit too low").is_some_and(|count| *count > 1));
        assert_eq!(here.shown.borrow().sessions[1].received, 0);
        here.configure(vec![BfdInstance { max_hops: 1, ..session("peer", "10.77.0.2") }]);
        told(&mut here, &[("peer", true)]);
        told(&mut there, &[("peer", true)]);
        drop(here);
        told(&mut there, &[("peer", false)]);
    });
}
