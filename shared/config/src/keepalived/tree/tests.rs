use super::*;

/// No block is out of place.
fn tree(text: &str) -> Tree<'_> {
    Tree::parse(text, |_, _| true).expect("a sound structure")
}

fn broken(text: &str) -> (usize, usize, String) {
    let broken = Tree::parse(text, super::super::keywords::fits).expect_err("a broken structure");
    let other = broken.other.map(|(at, rest)| format!(" in line {}{rest}", at.line));
    (broken.at.line, broken.at.column, broken.message + &other.unwrap_or_default())
}

/// `a b {c d {e}} f`: statements in round brackets, blocks in braces.
fn show(statements: &[Statement<'_>]) -> String {
    let one = |s: &Statement<'_>| {
        let words: Vec<&str> = s.words.iter().map(|w| &*w.text).collect();
        let block = s.block.as_ref().map(|b| format!("{{{}}}", show(&b.statements)));
        format!("({}{})", words.join(" "), block.unwrap_or_default())
    };
    statements.iter().map(one).collect()
}

#[test]
fn braces_may_stand_anywhere() {
    let shape = "(a x{(b y)(c{(d)})(e)})(f)";
    for text in [
        "a x {\n b y\n c {\n  d\n }\n e\n}\nf\n",
        "a x\n{\nb y\n\nc\n\n{\nd }\ne }\nf",
        "a x{b y\nc{d}e}f",
        "a x { b y\n c { d } e } f",
        "\u{feff}\ta x{\r\nb y\r\nc{\r\nd\r\n}\r\ne\r\n}\r\nf\r\n",
    ] {
        assert_eq!(show(&tree(text).statements), shape, "{text:?}");
    }
}

#[test]
fn comments_start_anywhere_but_in_quotes() {
    assert_eq!(show(&tree("a#x {\nb !y }\n# {{{\nc \"d # ! { }\" e").statements), "(a)(b)(c d # ! { } e)");
}

#[test]
fn quotes_hold_blanks_together() {
    let tree = tree("script \"/bin/x -a \\\"b c\\\"\" d\ne \"\"");
    assert_eq!(tree.statements[0].words[1].text, "/bin/x -a \"b c\"");
    assert_eq!(
        tree.statements[0].raw_parameters("script \"/bin/x -a \\\"b c\\\"\" d\ne \"\""),
        "\"/bin/x -a \\\"b c\\\"\" d"
    );
    assert_eq!(tree.statements[1].words[1].text, "");
}

#[test]
fn a_variable_is_one_word() {
    assert_eq!(show(&tree("a ${B}c { d\n}").statements), "(a ${B}c{(d)})");
}

#[test]
fn places_count_characters() {
    let tree = tree("# é\n\té ü x {\n  字 y }");
    let outer = &tree.statements[0];
    assert_eq!(outer.at(), At { line: 2, column: 2 });
    assert_eq!(outer.words[2].at, At { line: 2, column: 6 });
    let block = outer.block.as_ref().unwrap();
    assert_eq!(block.open, At { line: 2, column: 8 });
    assert_eq!(block.statements[0].words[1].at, At { line: 3, column: 5 });
}

#[test]
fn an_unclosed_block_is_named_where_it_was_opened() {
    let (line, column, message) = broken("# x\nvrrp_instance A {\n  state MASTER\n");
    assert_eq!((line, column), (2, 17));
    assert!(message.contains("`vrrp_instance`") && message.contains("expected `}` before the end"), "{message}");
}

#[test]
fn the_forgotten_brace_is_found_in_the_middle() {
    let inner = "vrrp_instance A {\n authentication {\n  auth_type PASS\n virtual_ipaddress {\n 10.0.0.1\n }\n}\n";
    let (line, column, message) = broken(inner);
    assert_eq!((line, column), (2, 17));
    assert!(message.contains("before `virtual_ipaddress` in line 4"), "{message}");

    let (line, column, message) = broken("vrrp_instance A {\n state MASTER\nvrrp_instance B {\n state BACKUP\n}\n");
    assert_eq!((line, column), (1, 17));
    assert!(message.contains("before `vrrp_instance` in line 3"), "{message}");
}

#[test]
fn a_brace_without_keyword_is_placed() {
    let (line, column, message) = broken("a {\n}\n {\n}");
    assert_eq!((line, column), (3, 2));
    assert!(message.contains("without a keyword"), "{message}");
}

#[test]
fn an_open_quote_is_placed() {
    let (line, column, message) = broken("a {\n  b \"c d\n}\n");
    assert_eq!((line, column), (2, 5));
    assert!(message.contains("expected `\"`"), "{message}");
}

#[test]
fn a_stray_brace_is_remembered() {
    let tree = tree("a {\n}\n }\nb");
    assert_eq!(tree.stray, [At { line: 3, column: 2 }]);
    assert_eq!(show(&tree.statements), "(a{})(b)");
}

#[test]
fn depth_is_bounded() {
    let (line, column, message) = broken(&"a{".repeat(100_000));
    assert_eq!((line, column), (1, 2 * MAX_DEPTH + 2));
    assert!(message.contains("deeper than 32"), "{message}");
}
