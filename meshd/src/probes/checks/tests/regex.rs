use mesh_config::model::Regex;

use super::super::regex::Pattern;

fn regex(pattern: &str, options: &[&str]) -> Regex {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    Regex { pattern: pattern.to_owned(), options, no_match: false, offsets: (0, None) }
}

fn matches(regex: &Regex, body: &[u8]) -> bool {
    Pattern::new(regex).unwrap().check(body, false).is_ok()
}

#[test]
fn options_do_what_pcre2_says() {
    for (pattern, option, body) in [
        ("hello", "caseless", &b"HELLO"[..]),
        ("^b$", "multiline", b"a\nb\nc"),
        ("a.b", "dotall", b"a\nb"),
        ("a b # c", "extended", b"ab"),
        (r"^\w+$", "ucp", "é".as_bytes()),
        ("^.$", "utf", "é".as_bytes()),
        (r"^(?:(?<n>a)|(?<n>b))\k<n>$", "dupnames", b"bb"),
    ] {
        let options: &[&str] = if option == "ucp" { &["ucp", "utf"] } else { &[option] };
        assert!(matches(&regex(pattern, options), body), "{option}");
        let without = Pattern::new(&regex(pattern, &options[1..]));
        assert!(without.is_err() || !without.is_ok_and(|it| it.check(body, false).is_ok()), "{option} does nothing");
    }
    assert!(matches(&regex("b", &["firstline"]), b"ab\nc"));
    assert!(!matches(&regex("c", &["firstline"]), b"ab\nc"));
    assert!(matches(&regex("(*UTF)^.$", &["caseless", "no_auto_possess"]), "é".as_bytes()), "verbs stay in front");
}

#[test]
fn offsets_say_where_a_match_may_begin() {
    let at = |from, until| Regex { offsets: (from, until), ..regex("b", &[]) };
    for (from, until, fits) in [
        (0, None, true),
        (2, None, true),
        (3, None, false),
        (0, Some(2), true),
        (0, Some(1), false),
        (2, Some(2), true),
        (9, None, false),
    ] {
        assert_eq!(matches(&at(from, until), b"aab"), fits, "{from}, {until:?}");
    }
    // What is before the offset can still be looked at.
    assert!(matches(&Regex { offsets: (1, None), ..regex("(?<=a)b", &[]) }, b"ab"));
    assert!(!matches(&Regex { offsets: (1, None), ..regex("^b", &[]) }, b"ab"));
}

#[test]
fn no_match_turns_it_round() {
    let no_match = Regex { no_match: true, ..regex("error", &[]) };
    assert!(matches(&no_match, b"fine"));
    let pattern = Pattern::new(&no_match).unwrap();
    assert_eq!(pattern.check(b"an error", false), Err("the body matches the regex".to_owned()));
}

#[test]
fn a_body_that_was_cut_is_said() {
    let pattern = Pattern::new(&regex("x", &[])).unwrap();
    assert_eq!(pattern.check(b"abc", true), Err("no match of the regex in the first 3 bytes".to_owned()));
}

#[test]
fn what_cannot_be_honoured_is_refused() {
    let refused = |pattern, options: &[&str]| Pattern::new(&regex(pattern, options)).unwrap_err();
    assert_eq!(refused("a", &["dollar_endonly"]), "regex option `dollar_endonly` cannot be honoured");
    assert!(refused("(a", &[]).starts_with("regex `(a`: PCRE2: error compiling pattern at offset "));
}

#[test]
fn a_search_without_end_ends() {
    let pattern = Pattern::new(&regex("^(a+)+$", &[])).unwrap();
    let why = pattern.check(format!("{}b", "a".repeat(64)).as_bytes(), false).unwrap_err();
    assert_eq!(why, "regex: PCRE2: error matching: match limit exceeded");
}
