use mesh_control::Status;
use serde_json::{Value, json};

use super::{Pick, State, natural};
use crate::client::Failure;

fn document() -> Value {
    let router = |name: &str, state: &str, active: Option<&str>| {
        json!({"name": name, "interface": "eth0", "vrid": 1, "family": "ipv4", "vips": ["10.1.1.80/24", "fd00::80/64"],
            "state": state, "active": active, "here": "backup", "lease": null, "priority": {}, "last_transition": null,
            "newer": 1.0})
    };
    json!({
        "cluster": {"id": "", "name": "", "protection": "none",
            "quorum": {"voters": 0, "needed": 0, "reachable": 0, "roster_epoch": 0}},
        "node": "lb1", "nodes": [], "services": [], "newer": [1, 2],
        "routers": [router("b", "active", Some("lb1")), router("a", "fault", None)]
    })
}

fn status() -> Status {
    serde_json::from_value(document()).unwrap()
}

fn refused(pick: &Pick) -> (String, Option<String>) {
    match pick.check(&status()) {
        Err(Failure::Refused(refusal)) => (refusal.error, refusal.hint),
        other => panic!("not a refusal: {other:?}"),
    }
}

#[test]
fn what_nothing_is_called_is_refused_with_what_there_is() {
    let pick = Pick { what: vec!["fd00::80".to_owned(), "c".to_owned()], ..Pick::default() };
    let said = r#"no virtual router has "c" in its name or addresses"#;
    assert_eq!(refused(&pick), (said.to_owned(), Some("there are b, a".to_owned())));
    let pick = Pick { node: vec!["lb2".to_owned()], ..Pick::default() };
    assert_eq!(refused(&pick), (r#"no node is called "lb2""#.to_owned(), None));
    let pick = Pick { node: vec!["LB1".to_owned()], ..Pick::default() };
    assert!(pick.check(&status()).is_ok(), "a node without a mesh is one, too");
}

#[test]
fn json_is_left_as_it_came_but_for_what_was_not_picked() {
    let mut all = json!({"nonsense": 3});
    Pick::default().choose_json(&mut all, true).unwrap();
    assert_eq!(all, json!({"nonsense": 3}), "not even read");

    let mut some = document();
    let pick = Pick { state: vec![State::Fault], ..Pick::default() };
    pick.choose_json(&mut some, true).unwrap();
    let mut expected = document();
    expected["routers"].as_array_mut().unwrap().remove(0);
    assert_eq!(some, expected);
    assert!(matches!(pick.choose_json(&mut json!({"nonsense": 3}), true), Err(Failure::Unreadable(_))));
}

#[test]
fn numbers_in_names_sort_as_numbers() {
    let mut names = ["lb10", "LB9", "lb", "lb9-2", "lb9-10", "a1b", "99999999999999999999", "7"];
    names.sort_by_cached_key(|name| natural(name));
    assert_eq!(names, ["7", "99999999999999999999", "a1b", "lb", "LB9", "lb9-2", "lb9-10", "lb10"]);
}
