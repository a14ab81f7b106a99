use super::*;
use crate::host::Host;
use crate::native::parse;

fn errors(text: &str) -> Vec<String> {
    let (config, report) = parse(std::path::Path::new("f"), text, &Host::none());
    assert!(config.is_none(), "usable:\n{text}");
    report.findings.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn told(text: &str, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|line| line.replacen(' ', ": error: ", 1)).collect();
    assert_eq!(errors(text), expected.iter().map(|line| format!("f:{line}")).collect::<Vec<_>>(), "{text}");
}

const ROUTER: &str = "[[router]]\nname = \"A\"\ninterface = \"eth0\"\nvrid = 51\naddresses = [\"10.0.0.1\"]\n";

#[test]
fn every_error_is_told_at_its_place() {
    let text = "\
[mesh]
nam = \"lb1\"
listen = \"10.0.0.1\"
profile = \"fats\"
capacity = \"many\"
realtime = 1
[[router]]
name = \"A\"
interface = \"eth0\"
vird = 51
priority = \"high\"
addresses = [\"10.0.0.1\"]
garp = { repeat = 0 }
[router.notify]
active = 3
[[router]]
name = \"B\"
interface = 1979-05-27
vrid = 300
addresses = [\"10.0.0.2\"]
[process]
umask = 22
[[sync_group]]
name = \"G\"
routers = [\"A\", \"C\"]
";
    told(
        text,
        &[
            "2:1 unknown key `nam` (did you mean `name`?)",
            "3:10 \"10.0.0.1\" is no value here; expected an address with a port, such as \"10.0.0.1:7946\"",
            "4:11 unknown value `fats` (did you mean `fast`?)",
            "5:12 the text \"many\"; expected a whole number",
            "6:12 the number 1; expected true or false",
            "10:1 unknown key `vird` (did you mean `vrid`?)",
            "11:12 the text \"high\"; expected a whole number",
            "13:19 0 is out of range; expected 1 to 1000",
            "15:10 the number 3; expected a program, a list of program and arguments, or a table { command = …, user = … }",
            "18:13 a date; expected text in quotes",
            "19:8 300 is out of range; expected 1 to 255",
            "22:9 the number 22; expected text in quotes",
            "25:17 there is no router `C`; expected a `[[router]]` of that name",
        ],
    );
}

/// What follows from an error alone is none.
#[test]
fn what_was_left_out_is_not_missed() {
    // A key that is there, but wrong, is not missing.
    told(&ROUTER.replace("51", "\"51\""), &["4:8 the text \"51\"; expected a whole number"]);
    // One that is not there is, and nobody misses the script.
    let script = "[[script]]\nname = \"chk\"\n";
    let tracks = format!("{ROUTER}track_scripts = [\"chk\"]\n");
    told(&format!("{script}{tracks}"), &["1:1 the key `command` is missing"]);
    told(
        &format!("{}{tracks}", script.replace("chk", "other")),
        &["1:1 the key `command` is missing", "8:18 there is no script `chk`; expected a `[[script]]` of that name"],
    );
    // A list is not empty, though nothing in it can be read.
    let expected = "expected an address such as \"10.0.0.1/24\" or a table { address = …, interface = … }";
    told(
        &ROUTER.replace("[\"10.0.0.1\"]", "[3, true]"),
        &[&format!("5:14 the number 3; {expected}"), &format!("5:17 true; {expected}")],
    );
    told(&ROUTER.replace("[\"10.0.0.1\"]", "[]"), &["5:13 0 addresses; expected 1 to 255"]);
    // Both the key that was meant and a misspelt one.
    told(&format!("{ROUTER}vird = 52\n"), &["6:1 unknown key `vird` (did you mean `vrid`?)"]);
}

/// A table that lacks a key is left out, and everything else in it is told all the same.
#[test]
fn what_else_is_wrong_where_a_key_is_missing() {
    let router = "[[router]]\ninterface = \"eth0\"\nvird = 300\npriority = \"high\"\naddresses = [\"10.0.0.1\"]\n\
                  [router.notify]\nactive = 3\n";
    let program =
        "the number 3; expected a program, a list of program and arguments, or a table { command = …, user = … }";
    let expected = [
        "1:1 the key `name` is missing",
        "3:1 unknown key `vird` (did you mean `vrid`?)",
        "3:8 300 is out of range; expected 1 to 255",
        "4:12 the text \"high\"; expected a whole number",
        &format!("7:10 {program}"),
    ];
    told(router, &expected);
}

#[test]
fn values_of_another_kind_are_told_in_words() {
    for (line, message) in [
        ("router_id = 3", "the number 3; expected text in quotes"),
        ("router_id = 1.5", "the number 1.5; expected text in quotes"),
        ("router_id = []", "a list; expected text in quotes"),
        ("router_id = {}", "a table; expected text in quotes"),
        ("mesh = 3", "the number 3; expected a table"),
        ("router = 3", "the number 3; expected a list"),
        ("dumps.state = 3", "the number 3; expected a path in quotes"),
        ("mesh.profile = 3", "3 is no value here; expected text in quotes"),
        ("mesh.lease = 3", "the number 3; expected text in quotes"),
        ("mesh.realtime = \"a, expected b\"", "the text \"a, expected b\"; expected true or false"),
    ] {
        let column = line.find('=').expect("a value") + 3;
        told(line, &[&format!("1:{column} {message}")]);
    }
    let unicast = format!("{ROUTER}unicast = {{ source = \"x\", peers = [] }}\n");
    told(
        &unicast,
        &[
            "6:22 \"x\" is no value here; expected an address such as \"10.0.0.1\"",
            "6:35 no peer; expected at least one address, or `fault_without_peers`",
        ],
    );
    let group = format!("{ROUTER}vmac = {{ group = -1 }}\n");
    told(&group, &["6:8 expected true, or a table with name, mac, group, transmit_base"]);
}

#[test]
fn a_text_that_is_no_toml_has_all_its_errors() {
    told(
        "a = = 1\n[mesh\nname = \"x\"\nb 3\n",
        &["1:5 extra `=`, expected nothing", "2:6 unclosed table, expected `]`", "4:3 key with no value, expected `=`"],
    );
    told("[mesh]\n[mesh]\nname = 1\nname = 2\n", &["2:2 duplicate key", "4:1 duplicate key"]);
    // What follows a list that is not closed is not read as it is meant.
    told("a = [1,\nb = 2\n[mesh]\nc = 3\n", &["2:1 string values must be quoted, expected literal string"]);
}

#[test]
fn there_is_an_end() {
    let unknown: String = (0..150).map(|n| format!("unknown_{n} = 1\n")).collect();
    let found = errors(&unknown);
    assert_eq!(found.len(), MOST_ERRORS + 1);
    let last = "f:1:1: error: more than 100 errors; the rest is not looked for".to_owned();
    assert!(found.contains(&last), "{found:?}");
}
