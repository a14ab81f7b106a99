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

#[test]
fn the_nearest_keyword_is_near() {
    let known = ["priority", "state", "interface"];
    assert_eq!(nearest("priorty", known.into_iter()), Some("priority"));
    assert_eq!(nearest("PRIORITY", known.into_iter()), Some("priority"));
    assert_eq!(nearest("stat", known.into_iter()), Some("state"));
    assert_eq!(nearest("----", known.into_iter()), None);
    assert_eq!(nearest("foo", known.into_iter()), None);
}
