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
