use super::*;

#[test]
fn numbers_are_decimal_and_nothing_else() {
    assert_eq!(unsigned("0"), Some(0));
    assert_eq!(unsigned("+100"), Some(100));
    assert_eq!(unsigned("007"), Some(7));
    for wrong in ["", "+", "-1", "0x10", "1s", " 1", "1.0", "18446744073709551616", "１"] {
        assert_eq!(unsigned(wrong), None, "{wrong:?}");
    }
    assert_eq!(signed("-20"), Some(-20));
    assert_eq!(signed("+20"), Some(20));
    for wrong in ["-", "--1", "-+1", "-1.5", "9223372036854775808"] {
        assert_eq!(signed(wrong), None, "{wrong:?}");
    }
}

#[test]
fn seconds_have_decimals() {
    assert_eq!(seconds("2"), Some(Duration::from_secs(2)));
    assert_eq!(seconds("0.25"), Some(Duration::from_millis(250)));
    assert_eq!(seconds(".5"), Some(Duration::from_millis(500)));
    assert_eq!(seconds("1."), Some(Duration::from_secs(1)));
    assert_eq!(seconds("0.0000019"), Some(Duration::from_micros(1)));
    for wrong in ["", ".", "abc", "1s", "-1", "1.5.2", "1,5", "++1"] {
        assert_eq!(seconds(wrong), None, "{wrong:?}");
    }
}

#[test]
fn switches() {
    assert_eq!(switch("on"), Some(true));
    assert_eq!(switch("no"), Some(false));
    assert_eq!(switch("On"), None);
}

#[test]
fn commands_are_split_as_a_shell_would() {
    let split = |text| command(text).map(|words| words.join("|"));
    assert_eq!(split("/bin/x").as_deref(), Some("/bin/x"));
    assert_eq!(split(" /bin/x  -a 'b c' ").as_deref(), Some("/bin/x|-a|b c"));
    assert_eq!(split(r#"/bin/x "a 'b'" 'c "d"' e\ f ''"#).as_deref(), Some(r#"/bin/x|a 'b'|c "d"|e f|"#));
    assert_eq!(split(r"/bin/x 'a\b'").as_deref(), Some(r"/bin/x|a\b"));
    for wrong in ["", "  ", "'open", "\"open", "''", "trailing\\"] {
        assert_eq!(split(wrong), None, "{wrong:?}");
    }
}

/// As keepalived 2.2.7 shows them in its dump.
#[test]
fn escapes_are_those_of_keepalived() {
    let split = |text: &str| words(&format!("\"{text}\"")).and_then(|w| command(&w[0])).map(|words| words.join("|"));
    for (text, expected) in [
        (r"x a\x41\101", "x|aAA"),
        (r"x a\x41\101\tb", "x|aAA|b"),
        (r"x \x4142z", "x|Bz"),
        (r"x \xz \x", "x|xz|x"),
        (r"x \1012 \7", "x|A2|\u{7}"),
        (r"x \a\b\E\fy", "x|\u{7}\u{8}\u{1b}|y"),
        (r"x a\nb\rc\vd", "x|a|b|c|d"),
        (r"x \cA\ca \e\q", "x|\u{1}\u{1}|eq"),
        (r"x a\ b 'c\x41'", "x|a|b|cA"),
        (r"x \\x41", "x|A"),
        (r"x \\\\", r"x|\"),
    ] {
        assert_eq!(split(text).as_deref(), Some(expected), "{text}");
    }
    assert_eq!(command(r"x a\x41\tb\ c").map(|words| words.join("|")).as_deref(), Some("x|aA\tb c"));
    // No command can hold a NUL.
    for wrong in [r"x \0", r"x \x100", r"x \c@", "x \\"] {
        assert_eq!(command(wrong), None, "{wrong}");
    }
}

#[test]
fn the_nearest_keyword_is_near() {
    let known = ["priority", "state", "interface"];
    assert_eq!(nearest("priorty", known.into_iter()), Some("priority"));
    assert_eq!(nearest("PRIORITY", known.into_iter()), Some("priority"));
    assert_eq!(nearest("stat", known.into_iter()), Some("state"));
    assert_eq!(nearest("----", known.into_iter()), None);
    assert_eq!(nearest("foo", known.into_iter()), None);
}
