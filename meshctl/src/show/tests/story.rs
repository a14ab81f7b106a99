//! Events, traces, explanations.

use serde_json::{Value, json};

use super::super::{event, events, explanation, read, trace};
use super::{cluster, look, plain};

fn span(node: &str, id: &str, parent: Option<&str>, name: &str, begin: u64, end: u64, attributes: Value) -> Value {
    json!({"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": id, "parent_span_id": parent, "name": name,
        "node": node, "begin_unix_us": 1_000_000 + begin, "end_unix_us": 1_000_000 + end, "attributes": attributes})
}

fn failover() -> Value {
    let root = json!({"meshd.router.name": "VI_1", "meshd.router.vip": "10.1.1.80", "meshd.lease.epoch": 8,
        "meshd.from": "lb1", "meshd.to": "lb2", "meshd.cause": "lb1's lease ran out"});
    let granted = json!({"meshd.voter": "lb3", "meshd.verdict.reason": "granted under epoch 8"});
    json!({"trace_id": "0af7651916cd43dd8448eb211c80319c", "unreachable": [{"node": "lb4", "because": "not connected"}],
    "spans": [
        span("lb2", "a", None, "takeover", 0, 1_000_000, root),
        span("lb2", "b", Some("a"), "detection", 0, 900_000, json!({})),
        span("lb2", "c", Some("a"), "lease request", 900_000, 905_500, granted.clone()),
        span("lb3", "d", Some("c"), "vote", 903_000, 903_000, granted),
        span("lb2", "e", Some("a"), "announcement", 990_000, 1_000_000, json!({})),
        span("lb1", "f", Some("a"), "retirement", 500_000, 510_000, json!({})),
        span("lb4", "9", Some("gone"), "vote", 904_000, 904_000, json!({})),
    ]})
}

#[test]
fn a_failover_as_a_waterfall() {
    let expected = "\
takeover of VI_1 (10.1.1.80), epoch 8 from lb1 to lb2
cause: lb1's lease ran out
nobody served for 1000.0 ms at most, 500.0 ms at least
trace 0af7651916cd43dd8448eb211c80319c

! the steps of lb4 are missing: not connected
NODE  STEP                           BEGIN          TOOK
lb2   takeover                      0.0 ms     1000.0 ms  |################################|
lb2     detection                   0.0 ms      900.0 ms  |############################    |
lb1     retirement                500.0 ms       10.0 ms  |                #               |
lb2     lease request to lb3      900.0 ms        5.5 ms  |                            #   |  granted under epoch 8
lb3       vote                    903.0 ms        0.0 ms  |                            #   |  granted under epoch 8
lb2     announcement              990.0 ms       10.0 ms  |                               #|
lb4   vote                        904.0 ms        0.0 ms  |                            #   |
";
    assert_eq!(trace(&read(failover()).unwrap(), &plain()), expected);
    let usual = "\
NODE  STEP                           BEGIN          TOOK
lb2   takeover                      0.0 ms     1000.0 ms  |################|
lb2     detection                   0.0 ms      900.0 ms  |##############  |
lb1     retirement                500.0 ms       10.0 ms  |        #       |
lb2     lease request to lb3      900.0 ms        5.5 ms  |              # |
          granted under epoch 8
lb3       vote                    903.0 ms        0.0 ms  |              # |
            granted under epoch 8
lb2     announcement              990.0 ms       10.0 ms  |               #|
lb4   vote                        904.0 ms        0.0 ms  |              # |
";
    let shown = trace(&read(failover()).unwrap(), &look(false, Some(76)));
    assert!(shown.ends_with(usual), "{shown}");
    let narrow = trace(&read(failover()).unwrap(), &look(false, Some(40)));
    assert!(narrow.matches("granted under epoch 8").count() == 2, "{narrow}");
    assert!(narrow.lines().skip(7).all(|line| line.chars().count() <= 40), "{narrow}");
}

#[test]
fn spans_that_name_each_other_as_parents_end() {
    let circle = |id, parent| span("lb1", id, Some(parent), "vote", 0, 0, json!({}));
    let answer = json!({"trace_id": "0a", "spans": [circle("a", "b"), circle("b", "a"), circle("c", "c")]});
    let shown = trace(&read(answer).unwrap(), &plain());
    assert_eq!(shown, "An empty trace.\n", "there is no beginning");
}

#[test]
fn events_name_node_cause_and_trace() {
    let vetoed = json!({"at_unix_us": 1, "at": "2026-03-01T11:57:00.000001Z", "seq": 3, "node": "lb2", "severity": "warning",
        "kind": "router", "router": "VI_1", "state": "vetoed", "text": "VI_1: takeover vetoed",
        "cause": "lb1 holds the lease, say lb3", "trace_id": "0af7651916cd43dd8448eb211c80319c", "newer": 1});
    let line = "2026-03-01T11:57:00.000001Z  lb2  VI_1: takeover vetoed: lb1 holds the lease, say lb3  [0af76519]\n";
    let all = json!({"events": [vetoed], "unreachable": [{"node": "lb3", "because": "no answer within 1s"}]});
    let shown = events(&read(all).unwrap(), &plain());
    assert_eq!(shown, format!("! the events of lb3 are missing: no answer within 1s\n{line}"));
    let colored = event(&read(vetoed).unwrap(), &look(true, None));
    assert!(colored.starts_with("\u{1b}[33m2026") && colored.ends_with("\u{1b}[0m\n"), "{colored}");
    assert_eq!(events(&read(json!({"events": []})).unwrap(), &plain()), "No events.\n");
}

#[test]
fn an_explanation_says_who_would_answer_what() {
    let router = cluster()["routers"][0].clone();
    let answers = json!({"lb1": "yes, renewed", "lb2": "no: lb1 holds it"});
    let why = json!({"router": router, "voters": [{"node": "lb2", "answers": answers}],
        "drift": {"settings": [{"node": "lb2", "subject": "4.51", "name": "VI_1", "setting": "version", "here": "2", "there": "3"}]},
        "node": "lb2", "if_owner_died": "lb3 would take over",
        "if_this_node_died": "nothing would change", "unreachable": [{"node": "lb3", "because": "not connected"}],
        "vetoes": [{"at_unix_us": 1, "at": "2026-03-01T11:57:00Z", "seq": 3, "node": "lb2", "severity": "warning",
            "kind": "router", "text": "", "cause": "lb1 holds the lease, say lb3"}]});
    let expected = "\
VI_1 (10.1.1.80/24, 10.1.1.81/24), VRID 51 on eth0
served by lb1 since 2026-03-01T11:57:00Z: lb1 took over: lb3 left
lease: lb1 holds epoch 7, 812 ms left
priorities: lb1 200, lb3 199, lb2 150
trace: 00

Were they asked for the lease now:
  lb2          to lb1  yes, renewed
               to lb2  no: lb1 holds it
  lb3          does not answer: not connected

Configured otherwise:
  lb2: VI_1: version 3, here 2

If lb1, which serves it, died now: lb3 would take over
If lb2 died now: nothing would change

Last vetoes:
  2026-03-01T11:57:00Z  lb2 was refused: lb1 holds the lease, say lb3
";
    assert_eq!(explanation(&read(why).unwrap()), expected);
}

#[test]
fn an_explanation_says_what_an_operator_did_and_what_is_not_well() {
    let mut router = cluster()["routers"][0].clone();
    router["pinned_to"] = json!("lb1");
    router["configured_priority"] = json!({"lb1": 150, "lb2": 200});
    router["faults"] = json!({"w": "script chk is down"});
    router["lowered"] = json!({"lb3": "1 less: file load holds -1"});
    router["lacks"] = json!({"lb1": "rule table 5: no"});
    let why = json!({"router": router, "voters": [], "if_this_node_died": "nothing would change", "vetoes": []});
    let expected = "\
priorities: lb1 200 (150 configured), lb3 199, lb2 150 (200 configured)
kept on lb1 by an operator: `meshctl move VI_1 --back` undoes it
w cannot serve it: script chk is down
lb3's priority: 1 less: file load holds -1
lb1 serves it without rule table 5: no
trace: 00

If this node died now: nothing would change
";
    let shown = explanation(&read(why.clone()).unwrap());
    assert!(shown.ends_with(expected), "an older daemon does not say who it is: {shown}");

    let mut why = why;
    why["router"]["active"] = json!(null);
    why["router"]["foreign"] = json!("10.1.1.13");
    why["router"]["cannot_tell"] = json!("lb1 and lb3 are not reachable by the mesh");
    why["node"] = json!("lb2");
    let shown = explanation(&read(why).unwrap());
    let line = "\nlb2 cannot tell who serves it: lb1 and lb3 are not reachable by the mesh\n";
    assert!(shown.contains(line) && !shown.contains("outside") && !shown.contains("since"), "{shown}");
}
