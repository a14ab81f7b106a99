//! Moves, drains and plans.

use super::*;

#[test]
fn moves_are_ordered_and_refusals_say_who_and_why() {
    let done = r#"{"done":"lb2 serves VI_1","by":"lb1"}"#;
    let refused = r#"{"error":"lb3 refused: VI_1 is in fault there; nothing moved","hint":null}"#;
    let fake = Fake::new(&[
        answer("200 OK", done),
        answer("200 OK", done),
        answer("200 OK", done),
        answer("409 Conflict", refused),
    ]);
    let output = meshctl(&fake.socket(), &["move", "10.1.1.80", "lb2"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), "lb2 serves VI_1 (ordered by lb1, which orders all moves)\n")
    );
    let request = fake.request();
    assert!(request.starts_with("POST /moves HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with(r#"{"what":"10.1.1.80","node":"lb2"}"#), "{request}");
    let output = meshctl(&fake.socket(), &["move", "--back", "VI_1", "--json"]);
    assert_eq!(text(&output.stdout), "{\n  \"done\": \"lb2 serves VI_1\",\n  \"by\": \"lb1\"\n}\n");
    let request = fake.request();
    assert!(request.starts_with("POST /moves/back ") && request.ends_with(r#"{"what":"VI_1"}"#), "{request}");
    assert_eq!(meshctl(&fake.socket(), &["drain", "lb1", "--no-wait"]).status.code(), Some(0));
    assert!(fake.request().starts_with("POST /nodes/drain "));
    let output = meshctl(&fake.socket(), &["move", "VI_1", "lb3"]);
    let said = "meshctl: lb3 refused: VI_1 is in fault there; nothing moved\n";
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), said));
    assert_eq!(meshctl(&fake.socket(), &["move", "VI_1"]).status.code(), Some(2), "neither a node nor --back");
}

#[test]
fn a_drain_waits_until_the_director_is_empty() {
    let plan = r#"{"ordered_by":"lb1","moves_per_minute":60,"moves":[],"stuck":[]}"#;
    let draining = STATUS.replace(r#""draining":false"#, r#""draining":true"#);
    let empty = draining.replace(r#""active":"lb1""#, r#""active":"lb2""#);
    let order = answer("200 OK", r#"{"done":"taken","by":"lb2"}"#);
    let fake = Fake::new(&[
        order.clone(),
        answer("200 OK", &draining),
        answer("200 OK", plan),
        answer("200 OK", &empty),
        order,
        answer("200 OK", &draining),
        answer("200 OK", plan),
    ]);
    let output = meshctl(&fake.socket(), &["drain", "LB1"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "lb1 serves nothing\n"), "{output:?}");
    assert_eq!(text(&output.stderr), "lb1 serves 1 more\n");
    let output = meshctl(&fake.socket(), &["drain", "lb1", "--within", "0s"]);
    assert_eq!(output.status.code(), Some(2), "at least a second");
}

#[test]
fn a_removal_hands_over_first() {
    let changed = answer("200 OK", r#"{"roster_epoch":8,"voters":["lb2","lb3","lb4"],"needed":2}"#);
    let order = answer("200 OK", r#"{"done":"taken","by":"lb2"}"#);
    let empty = answer("200 OK", &STATUS.replace(r#""active":"lb1""#, r#""active":"lb2""#));
    let emptied = answer(
        "200 OK",
        &STATUS.replace(r#""draining":false"#, r#""draining":true"#).replace(r#""active":"lb1""#, r#""active":"lb2""#),
    );
    let serving = answer("200 OK", STATUS);
    let done = "Roster epoch 8: 2 of 3 voters decide: lb2 lb3 lb4\n";
    let said = |output: &Output| (output.status.code(), text(&output.stdout).to_owned());

    let fake = Fake::new(&[serving.clone(), order.clone(), emptied.clone(), changed.clone()]);
    assert_eq!(said(&meshctl(&fake.socket(), &["nodes", "remove", "LB1"])), (Some(0), done.to_owned()));
    let asked = [fake.request(), fake.request(), fake.request(), fake.request()];
    assert!(asked[0].starts_with("GET /status ") && asked[2].starts_with("GET /status "), "{asked:?}");
    assert!(asked[1].starts_with("POST /nodes/drain ") && asked[1].ends_with(r#"{"node":"lb1"}"#), "{asked:?}");
    assert!(asked[3].starts_with("POST /nodes/remove "), "{asked:?}");
    assert!(asked[3].ends_with(r#"{"node":"LB1","now":false}"#), "{asked:?}");

    // There is nothing to hand over, or nobody to do it, or it is not wanted.
    let dead = answer("200 OK", &STATUS.replace(r#""liveness":"alive""#, r#""liveness":"dead""#));
    for (status, arguments, now) in [
        (Some(empty), &["nodes", "remove", "lb1"][..], false),
        (Some(dead), &["nodes", "remove", "lb1"], false),
        (None, &["nodes", "remove", "lb1", "--now"], true),
    ] {
        let answers: Vec<String> = status.iter().cloned().chain([changed.clone()]).collect();
        let fake = Fake::new(&answers);
        assert_eq!(said(&meshctl(&fake.socket(), arguments)), (Some(0), done.to_owned()));
        let requests: Vec<String> = answers.iter().map(|_| fake.request()).collect();
        let last = requests.last().unwrap();
        assert!(last.ends_with(&format!(r#"{{"node":"lb1","now":{now}}}"#)), "{last}");
    }
    let fake = Fake::new(&[]);
    assert_eq!(meshctl(&fake.socket(), &["nodes", "remove", "lb1", "--now", "--within", "9s"]).status.code(), Some(2));

    // What cannot be removed serves again, unless an operator had drained it before.
    let no = answer("409 Conflict", r#"{"error":"lb1 is the last voter","hint":null}"#);
    let fake = Fake::new(&[serving.clone(), order.clone(), emptied, no.clone(), order.clone()]);
    let output = meshctl(&fake.socket(), &["nodes", "remove", "lb1"]);
    let expected = "lb1 stays a member, and what belongs to it comes back\nmeshctl: lb1 is the last voter\n";
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), expected));
    let undone = std::iter::repeat_with(|| fake.request()).nth(4).unwrap();
    assert!(undone.starts_with("POST /nodes/undrain ") && undone.ends_with(r#"{"node":"lb1"}"#), "{undone}");

    // Nobody could take it.
    let stuck = r#"{"error":"lb2, which orders moves, refused: VI_1: no other director can serve it","hint":null}"#;
    let fake = Fake::new(&[serving, answer("409 Conflict", stuck)]);
    let output = meshctl(&fake.socket(), &["nodes", "remove", "lb1"]);
    let error = text(&output.stderr);
    assert!(error.contains("no other director can serve it"), "{error}");
    assert!(error.contains("meshctl nodes remove lb1 --now hands nothing over"), "{error}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_plan_is_a_table() {
    let plan = r#"{"ordered_by":"lb1","moves_per_minute":60,"moves":[{"routers":["VI_1"],"from":"lb1","to":"lb2","because":"lb1 is drained"}],"stuck":[{"routers":["VI_2"],"on":"lb1","because":"no other director can serve it"}]}"#;
    let fake = Fake::new(&[answer("200 OK", plan)]);
    let output = meshctl(&fake.socket(), &["plan", "--drain", "lb1"]);
    let expected = "\
ROUTER  FROM  TO   BECAUSE
VI_1    lb1   lb2  lb1 is drained

1 move, 60 a minute at most, ordered by lb1
VI_2 stays on lb1: no other director can serve it
";
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), expected));
    assert!(fake.request().ends_with(r#"{"drain":"lb1"}"#));
}
