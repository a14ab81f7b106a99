//! From reports to events and spans, and what happens where there is no room.

use std::sync::Arc;
use std::time::Duration;

use mesh_control::story::Span as Shown;
use mesh_core::Action;
use mesh_core::decision::{Decision, RouterEvent};
use mesh_core::story::{Span, Told, names};
use mesh_wire::mesh::{Family, NodeId, RouterKey};

use super::collector::Collector;
use super::effects::{Effects, Measured, Whose};
use super::otlp::Exporter;
use super::*;

const KEY: RouterKey = RouterKey { family: Family::Ipv4, vrid: 51, segment: 0 };

fn vip() -> std::net::IpAddr {
    "10.1.1.80".parse().unwrap()
}

fn span(name: &'static str, begin: Instant, end: Instant, waits: bool) -> Span {
    Span {
        trace_id: "0123456789abcdef0123456789abcdef".to_owned(),
        id: 7,
        parent: None,
        name,
        router: KEY,
        begin,
        end,
        attributes: vec![(names::EPOCH, 8.into()), (names::ROUTER, "VI_1".into()), (names::VIP, "10.1.1.80".into())],
        failed: None,
        addresses: vec![vip()],
        waits,
    }
}

fn effect(name: &'static str, begin: Instant, ms: u64, whose: Whose) -> Measured {
    Measured { name, begin, end: begin + Duration::from_millis(ms), whose, failed: None }
}

fn collector() -> (Collector, Arc<Journal>) {
    let journal = Arc::new(Journal::new("lb1", 100));
    (Collector::new(NodeId(1), Arc::clone(&journal), Exporter::default()), journal)
}

fn shown(journal: &Journal) -> Vec<Shown> {
    journal.trace("0123").spans
}

#[test]
fn effects_are_parts_of_the_takeover_and_it_ends_with_the_last() {
    let (mut collector, journal) = collector();
    // What is told is over.
    let t = clock::now() - Duration::from_secs(1);
    let ours = || Whose::Addresses(vec![vip()]);
    let measured = vec![
        effect(names::FENCE, t, 1, ours()),
        effect(names::ADDRESSES, t + Duration::from_millis(1), 2, Whose::All),
        effect(names::ANNOUNCEMENT, t + Duration::from_millis(3), 1, ours()),
        effect(names::ANNOUNCEMENT, t + Duration::from_millis(5), 1, ours()),
        effect(names::ADVERTISEMENT, t + Duration::from_millis(9), 9, Whose::Vrid(52)),
        effect(names::FENCE, t + Duration::from_millis(20), 1, ours()),
    ];
    let root = span(names::TAKEOVER, t - Duration::from_millis(900), t, false);
    collector.take(Report { at: t, what: What::Story(vec![Told::Span(root)], measured) });
    let found = shown(&journal);
    let took: Vec<_> = found.iter().map(|s| (s.name.as_str(), (s.end_unix_us - s.begin_unix_us) / 100)).collect();
    let near = |found: u64, ms: u64| (found + 5) / 10 == ms;
    let expected = [("takeover", 906), ("fence", 1), ("addresses", 2), ("announcement", 3)];
    for ((name, took), (wanted, ms)) in took.iter().zip(expected) {
        assert!(*name == wanted && near(*took, ms), "{took:?}");
    }
    assert_eq!(took.len(), 4, "another router's advertisement, and a renewal, are no part of it");
    assert!(found[1..].iter().all(|s| s.parent_span_id.as_deref() == Some("0000000000000007")));
    assert_eq!(journal.latest(Some("10.1.1.80")).unwrap().name, "takeover");
    assert_eq!(journal.latest(Some("VI_1")).unwrap().attribute(names::EPOCH).as_deref(), Some("8"));
    assert!(journal.latest(Some("VI_2")).is_none());
}

#[test]
fn the_end_of_service_waits_for_its_successor_and_not_for_ever() {
    let (mut collector, journal) = collector();
    let t = clock::now();
    let close = vec![effect(names::FENCE, t, 1, Whose::Addresses(vec![vip()]))];
    let retired = || Told::Span(span(names::RETIREMENT, t, t, true));
    collector.take(Report { at: t, what: What::Story(vec![retired()], close.clone()) });
    assert!(journal.latest(None).is_none(), "nobody knows yet");
    let trace_id = "fedcba9876543210fedcba9876543210".to_owned();
    let successor = Told::Successor { router: KEY, trace_id, parent: 9 };
    collector.take(Report { at: t, what: What::Story(vec![successor], Vec::new()) });
    let found = journal.trace("fedcba98").spans;
    let parents: Vec<_> = found.iter().map(|s| (s.name.as_str(), s.parent_span_id.as_deref().unwrap())).collect();
    assert_eq!(parents, [("retirement", "0000000000000009"), ("fence", "0000000000000007")]);

    collector.take(Report { at: t, what: What::Story(vec![retired()], close) });
    collector.give_up(t + Duration::from_secs(59));
    assert!(shown(&journal).is_empty());
    collector.give_up(t + Duration::from_secs(60));
    assert_eq!(shown(&journal).len(), 2, "told without");
}

#[test]
fn ip_vs_is_a_part_of_the_takeover_right_before() {
    let (mut collector, journal) = collector();
    let t = clock::now();
    let changed = |begin| Report { at: begin, what: What::IpVs { begin, changes: 3, failed: 1 } };
    collector.take(changed(t));
    let root = span(names::PLANNED_MOVE, t, t, false);
    collector.take(Report { at: t, what: What::Story(vec![Told::Span(root)], Vec::new()) });
    collector.take(changed(t + Duration::from_millis(10)));
    collector.take(changed(t + Duration::from_secs(3)));
    let found = shown(&journal);
    assert_eq!(found.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["planned move", "ip_vs"]);
    assert_eq!(found[1].failed.as_deref(), Some("1 of 3 changes failed"));
}

/// As of a node that is cut off, and tries again and again.
#[test]
fn an_attempt_that_came_to_nothing_hides_no_takeover() {
    let (mut collector, journal) = collector();
    let t = clock::now() - Duration::from_secs(1);
    let attempt = |begin, id, failed: Option<&str>| {
        let span = Span { id, failed: failed.map(str::to_owned), ..span(names::TAKEOVER, begin, begin, false) };
        Report { at: t, what: What::Story(vec![Told::Span(span)], Vec::new()) }
    };
    let latest = |journal: &Journal| journal.latest(Some("VI_1")).map(|s| s.span_id);
    collector.take(attempt(t, 1, Some("no majority")));
    assert_eq!(latest(&journal).as_deref(), Some("0000000000000001"), "there is nothing else");
    collector.take(attempt(t + Duration::from_millis(1), 2, None));
    collector.take(attempt(t + Duration::from_millis(2), 3, Some("no majority")));
    assert_eq!(latest(&journal).as_deref(), Some("0000000000000002"));
}

#[test]
fn what_weighs_on_a_priority_is_an_event() {
    let (mut collector, journal) = collector();
    for because in [Some("30 less: script chk is down".to_owned()), None] {
        let weighed = Decision::Weighed { name: "VI_1".to_owned(), key: KEY, priority: 70, because };
        collector.take(Report { at: clock::now(), what: What::Decision(weighed) });
    }
    let found = journal.events(0, 0, 10).events;
    let told: Vec<_> = found.iter().map(|e| (e.kind.as_str(), e.severity.as_str(), e.text.as_str())).collect();
    let lowered = "VI_1: priority 70, 30 less: script chk is down";
    let over = "VI_1: priority 70, nothing lowers it any more";
    assert_eq!(told, [("priority", "warning", lowered), ("priority", "info", over)]);
    assert!(found.iter().all(|e| e.router.as_deref() == Some("VI_1")));
}

#[test]
fn decisions_are_events_numbered_and_bounded() {
    let (mut collector, journal) = collector();
    let vetoed = Decision::Router {
        name: "VI_1".to_owned(),
        key: KEY,
        event: RouterEvent::Vetoed { by: vec!["lb3".to_owned()] },
        cause: "lb2 holds the lease, say lb3".to_owned(),
        trace_id: "ab".to_owned(),
    };
    collector.take(Report { at: clock::now(), what: What::Decision(vetoed) });
    let found = journal.events(0, 0, 10).events;
    let event = &found[0];
    assert_eq!((event.seq, event.node.as_str(), event.text.as_str()), (101, "lb1", "VI_1: takeover vetoed"));
    assert_eq!((event.state.as_deref(), event.voters.as_slice()), (Some("vetoed"), ["lb3".to_owned()].as_slice()));
    assert!(event.at.ends_with('Z') && event.at.len() == "2026-03-01T12:00:00.123456Z".len(), "{}", event.at);
    assert!(journal.events(101, 0, 10).events.is_empty());
    for n in 0..3000 {
        let warning = Decision::Warning { text: n.to_string() };
        collector.take(Report { at: clock::now(), what: What::Decision(warning) });
    }
    let found = journal.events(0, 0, 5000).events;
    assert_eq!((found.len(), found.last().unwrap().text.as_str()), (1000, "2999"), "the newest");
    assert_eq!(journal.events(0, u64::MAX, 10).events, []);
}

#[test]
fn a_full_queue_drops_and_counts() {
    let (telemetry, reports) = Telemetry::new();
    for _ in 0..QUEUE + 3 {
        telemetry.ip_vs_changed(Instant::default(), 1, 0);
    }
    assert_eq!((telemetry.lost(), reports.len()), (3, QUEUE));
}

#[test]
fn nothing_is_measured_where_nothing_is_told() {
    let arm = Action::FenceArm { addresses: vec![vip()], until: Instant::default() };
    assert_eq!(Effects::default().begin(&arm), None);
    let vote = Span { addresses: Vec::new(), ..span(names::VOTE, Instant::default(), Instant::default(), false) };
    assert_eq!(Effects::of(vec![Told::Span(vote)]).begin(&arm), None);
    let mut effects =
        Effects::of(vec![Told::Span(span(names::TAKEOVER, Instant::default(), Instant::default(), false))]);
    let begun = effects.begin(&arm);
    assert_eq!(begun.as_ref().map(|m| m.name), Some(names::FENCE));
    effects.end(begun, Some("no"));
    assert_eq!(effects.into_parts().1[0].failed.as_deref(), Some("no"));
}

#[test]
fn a_notify_script_is_a_part_of_the_change_that_asked_for_it() {
    let (mut collector, journal) = collector();
    let t = clock::now() - Duration::from_secs(9);
    let after = |ms| t + Duration::from_millis(ms);
    let run = |key: &str, told, ended| {
        let key = key.to_owned();
        let (begun, command) = (told + Duration::from_millis(2), "/bin/tell MASTER".to_owned());
        let what = What::Script(ScriptRun { key, vips: Vec::new(), command, told, begun, ended });
        Report { at: begun + Duration::from_millis(5), what }
    };
    let story = |at, told| Report { at, what: What::Story(vec![told], Vec::new()) };
    collector.take(run("INSTANCE VI_1", after(1), Ok(0)));
    collector.take(story(t, Told::Span(span(names::TAKEOVER, t, t, false))));
    let retired = Span { id: 8, ..span(names::RETIREMENT, after(100), after(100), true) };
    collector.take(story(after(100), Told::Span(retired)));
    // Asked for by the takeover, it ends after the end of service; others are for another router, or a group.
    collector.take(run("INSTANCE VI_1", after(10), Ok(3)));
    collector.take(run("INSTANCE VI_2", after(10), Ok(0)));
    collector.take(run("GROUP VI_1", after(10), Ok(0)));
    collector.take(run("INSTANCE VI_1", after(101), Err("ended after 300s".to_owned())));
    let trace_id = "fedcba9876543210fedcba9876543210".to_owned();
    collector.take(story(after(200), Told::Successor { router: KEY, trace_id, parent: 9 }));
    collector.take(run("INSTANCE VI_1", after(102), Ok(0)));

    let script = |of: &[Shown]| -> Vec<(String, Option<String>, Option<String>)> {
        let scripts = of.iter().filter(|s| s.name == names::NOTIFY_SCRIPT);
        scripts.map(|s| (s.parent_span_id.clone().unwrap(), s.attribute(names::EXIT_CODE), s.failed.clone())).collect()
    };
    let (of_takeover, of_retirement) = ("0000000000000007".to_owned(), "0000000000000008".to_owned());
    let taken = shown(&journal);
    assert_eq!(script(&taken), [(of_takeover, Some("3".to_owned()), Some("exit code 3".to_owned()))]);
    let found = taken.iter().find(|s| s.name == names::NOTIFY_SCRIPT).unwrap();
    assert_eq!(found.attribute(names::COMMAND).as_deref(), Some("/bin/tell MASTER"));
    assert_eq!(found.attribute(names::WAITED).as_deref(), Some("2000"));
    assert!((6_990..=7_010).contains(&(found.end_unix_us - found.begin_unix_us)), "{found:?}");
    let ended = script(&journal.trace("fedcba98").spans);
    let late = (of_retirement.clone(), Some("0".to_owned()), None);
    assert_eq!(ended, [(of_retirement, None, Some("ended after 300s".to_owned())), late]);
}

/// Who ran scripts for what, by the id of the span that each is a part of.
fn scripts(of: &[Shown]) -> Vec<(String, String)> {
    let scripts = of.iter().filter(|s| s.name == names::NOTIFY_SCRIPT);
    scripts.map(|s| (s.attribute(names::COMMAND).unwrap(), s.parent_span_id.clone().unwrap())).collect()
}

#[test]
fn scripts_of_groups_and_of_virtual_servers_are_parts_of_what_they_follow_from() {
    let (mut collector, journal) = collector();
    let t = clock::now() - Duration::from_secs(60);
    let after = |ms| t + Duration::from_millis(ms);
    let run = |key: &str, vips: &[&str], told: Instant| {
        let run = ScriptRun {
            key: key.to_owned(),
            vips: vips.iter().map(|vip| vip.parse().unwrap()).collect(),
            command: format!("{key} {:?}", told.since(t)),
            told,
            begun: told,
            ended: Ok(0),
        };
        Report { at: told, what: What::Script(run) }
    };
    let took = |at, id, key, address: &str| {
        let mut span =
            Span { id, router: key, addresses: vec![address.parse().unwrap()], ..span(names::TAKEOVER, at, at, false) };
        span.attributes.push((names::GROUP, "VG_1".into()));
        Report { at, what: What::Story(vec![Told::Span(span)], Vec::new()) }
    };
    let second = RouterKey { vrid: 52, ..KEY };
    collector.take(took(after(0), 1, KEY, "10.1.1.80"));
    collector.take(took(after(2), 2, second, "10.1.1.90"));
    for (key, vips, told) in [
        ("GROUP VG_1", &[][..], after(1)),
        ("GROUP VG_1", &[], after(3)),
        ("GROUP VG_2", &[], after(3)),
        ("GROUP VG_1", &[], after(5003)),
        ("INSTANCE VI_1", &[], after(6000)),
        ("web", &["10.1.1.80", "10.1.1.81"], after(4000)),
        ("web 10.0.0.2:80", &["10.1.1.90"], after(10_000)),
        ("mail", &["10.1.1.70"], after(4000)),
        ("mark", &[], after(4000)),
        ("web", &["10.1.1.80"], after(10_001)),
    ] {
        collector.take(run(key, vips, told));
    }
    let parent = |id: u64| format!("{id:016x}");
    let expected = [
        ("GROUP VG_1 1ms", parent(1)),
        ("GROUP VG_1 3ms", parent(2)),
        ("web 4s", parent(1)),
        ("web 10.0.0.2:80 10s", parent(2)),
    ];
    let expected = expected.map(|(command, parent)| (command.to_owned(), parent));
    assert_eq!(scripts(&shown(&journal)), expected);
    // What is found after the address has gone does not follow from its coming.
    let gone = Span { id: 8, ..span(names::RETIREMENT, after(9000), after(9000), false) };
    collector.take(Report { at: after(9000), what: What::Story(vec![Told::Span(gone)], Vec::new()) });
    collector.take(run("web", &["10.1.1.80"], after(9500)));
    assert_eq!(scripts(&shown(&journal)), expected);
}
