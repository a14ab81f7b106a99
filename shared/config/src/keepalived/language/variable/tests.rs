use super::super::super::tree::At;
use super::super::tests::{Memory, assert_said, expand_with, lines};

#[test]
fn values_are_put_in_as_keepalived_does_it() {
    for (text, expected) in [
        ("$A=x\na $A", vec!["a x"]),
        ("$A=x\na ${A}y", vec!["a xy"]),
        ("$A=x\na $Ay", vec!["a $Ay"]),
        ("$A=x\na $A.y", vec!["a $A.y"]),
        ("$A=x\na \"$A y\"", vec!["a \"x y\""]),
        ("$A=x\na \"y $A\"", vec!["a \"y $A\""]),
        ("$A=x\na $A$A", vec!["a $Ax"]),
        ("$A=x\na ${A}${A}$A", vec!["a xxx"]),
        ("$A=x\na \\$A", vec!["a \\x"]),
        ("$A=x\na '$A'", vec!["a '$A'"]),
        ("$A=x\na ${A", vec!["a ${A"]),
        ("$A= x  y \na ${A}", vec!["a x  y"]),
        ("$A=x # c\na ${A}", vec!["a x"]),
        ("$A=\"x # y\"\na $A", vec!["a \"x # y\""]),
        ("$A=x\\y\na $A", vec!["a x\\y"]),
        ("$A=\na ${A}b", vec!["a b"]),
        ("$A=x\n$A=y\na $A", vec!["a y"]),
        ("$A=b c\n $A d", vec!["b c d"]),
        ("a {\n$A=x\n}\n${A}", vec!["a {", "}", "x"]),
        ("$A = x\n$A", vec!["$A = x", "$A"]),
        ("$1A=x\n${1A}", vec!["$1A=x", "${1A}"]),
        ("a ${NOPE} $NOPE", vec!["a ${NOPE} $NOPE"]),
        ("a $\nb $$ c", vec!["a $", "b $$ c"]),
        ("$A=x\na # $A\n", vec!["a # $A"]),
        ("$A=x\na $A # $A\n", vec!["a x"]),
    ] {
        assert_eq!(lines(text), expected, "{text}");
    }
}

#[test]
fn values_are_looked_at_where_they_are_used() {
    let text = "$BASE=10.2.${SUB}\n$SUB=0\n${BASE}.100/32\n$SUB=10\n${BASE}.100/32\n";
    assert_eq!(lines(text), ["10.2.0.100/32", "10.2.10.100/32"]);
    assert_eq!(lines("$A=$B\n$B=1\n$A"), ["1"]);
    assert_eq!(lines("$A=$B\n$B=1\na ${A}"), ["a 1"]);
    // What follows decides: `$Bb` is another name.
    assert_eq!(lines("$A=$B\n$B=1\na${A}b"), ["a$Bb"]);
    assert_eq!(lines("\"${A}\"\n$A=x"), ["\"${A}\""]);
}

#[test]
fn definitions_of_several_lines() {
    for (text, expected) in [
        ("$A= \\\na x \\\nb\nc {\n$A\n}", vec!["c {", "a x", "b", "}"]),
        ("$A=\\\na x\\\nb\n${A} # c", vec!["a x", "b"]),
        ("$A=a \\\n b\nx $A", vec!["x a", "b"]),
        ("$A= \\ \na \\\nb\n$A", vec!["a", "b"]),
        ("$A= \\\na # c \\\nb\n$A", vec!["a # c", "b"]),
        ("$A= \\\na \\\n\\\nb\n$A", vec!["a", "b"]),
        ("$A= \\\na \\\n# c\n ! d \\\nb\nc\n$A", vec!["c", "a", "b"]),
        // An empty line ends it.
        ("$A= \\\na \\\n\nb\n$A", vec!["b", "a"]),
        ("$A= \\\na ${N} \\\nb\n$N=1\n$A\n$N=2\n$A", vec!["a 1", "b", "a 2", "b"]),
        ("$A= \\\n@lb1 a \\\n@^lb1 b\n$A", vec!["a"]),
        ("$A= \\\n$B=k \\\na $B\n@lb1 $A", vec!["a k"]),
        ("$A= \\\na\nx ${A}y", vec!["x ay"]),
        ("@^lb1 $A= \\\na \\\nb\n$A", vec!["$A"]),
        ("@lb1 $A= \\\na \\\nb\n$A", vec!["a", "b"]),
        ("$B= \\\nb \\\nc\n$A= \\\na \\\n$B\n~SEQ(N,1,2) $A", vec!["a", "b", "c", "a", "b", "c"]),
        ("$A= \\\na", vec![]),
        ("$A= \\", vec![]),
    ] {
        assert_eq!(lines(text), expected, "{text}");
    }
}

/// The larger example of the manual.
#[test]
fn variables_may_stand_in_each_other() {
    let text = "$RS= \\\nreal ${VS}.${RS} { \\\n  weight 1 \\\n}\n$VS_= \\\nvirtual ${VS} { \\\n  $RS=1 \\\n  $R \\\n  $RS=2 \\\n  $R \\\n}\n";
    let text = text.replace("$RS= ", "$R= ") + "$VS=0\n$VS_\n$VS=1\n$VS_\n";
    let expected = |vs: u8| format!("virtual {vs} {{|real {vs}.1 {{|weight 1|}}|real {vs}.2 {{|weight 1|}}|}}");
    assert_eq!(lines(&text).join("|"), format!("{}|{}", expected(0), expected(1)));
}

#[test]
fn what_contains_itself_is_an_error() {
    for (text, start) in [
        ("$A=$A\nx $A", "2:3 E a variable that contains itself has no end: `$A` contains `$A`"),
        ("$A=a${A}\n${A}", "2:1 E a variable that contains itself"),
        (
            "$A=${B}\n$B=${C}\n$C= ${B}\nx ${A}",
            "4:3 E a variable that contains itself has no end: `$B` contains `$C` contains `$B`",
        ),
        ("$A= \\\nx \\\n  y $A\n$A", "3:5 E a variable that contains itself has no end: `$A` contains `$A`"),
    ] {
        assert!(!assert_said(text, start).complete, "{text}");
    }
}

#[test]
fn several_lines_stand_at_the_end_of_a_line() {
    assert_said("$A= \\\nx \\\ny\nz $A b", "4:3 E `$A` has several lines; expected nothing behind it on this line");
}

#[test]
fn predefined_variables() {
    for (text, expected) in [
        ("a${_HASH}b \"a${_HASH}b\"", "a\\#b \"a#b\""),
        ("a${_BANG}b \"a${_BANG}b\"", "a\\!b \"a!b\""),
        ("$_INSTANCE ${_INSTANCE}x", "lb1 lb1x"),
        ("${_PWD}/x", "/etc/kp/x"),
        ("${_RANDOM 5 5}x", "5x"),
        ("${_ENV HOME}/x ${_ENV NOPE}", "/root/x ${_ENV NOPE}"),
        (
            "${_RANDOM 9 3} ${_RANDOM a} ${_RANDOM 1 2 3} ${_NOPE}",
            "${_RANDOM 9 3} ${_RANDOM a} ${_RANDOM 1 2 3} ${_NOPE}",
        ),
    ] {
        assert_eq!(lines(text), [expected], "{text}");
    }
    let numbers: Vec<u64> = lines("~SEQ(I,1,100) ${_RANDOM 3 5}").iter().map(|n| n.parse().unwrap()).collect();
    assert!(
        [3, 4, 5].iter().all(|n| numbers.contains(n)) && numbers.iter().all(|n| (3..=5).contains(n)),
        "{numbers:?}"
    );
    let numbers: Vec<u64> = lines("~SEQ(I,1,100) $_RANDOM").iter().map(|n| n.parse().unwrap()).collect();
    assert!(numbers.iter().all(|n| *n <= 32_767) && numbers.iter().any(|n| *n > 1000));
    assert_eq!(lines("${_RANDOM}"), lines("${_RANDOM}"));
    let after = |drawn: &str| lines(&format!("{drawn}\n  random_seed 5 # fixed\n${{_RANDOM}}")).pop();
    assert_eq!(after("x"), after("${_RANDOM}"), "whatever was drawn before");
    assert_ne!(after("x"), lines("random_seed 6\n${_RANDOM}").pop());
    assert_said("  $_PWD=x\n$_PWD", "1:3 W `$_PWD` is predefined; this value replaces it");
}

#[test]
fn places_are_where_the_text_stands() {
    let text = "$A=12345\n$M= \\\n  éb $A  c \\\n  d\nx ${A} y $A z\n  $M\n";
    let source = expand_with(text, &Memory::default()).source;
    let at = |line: usize, word: &str| {
        let text = source.text.lines().nth(line - 1).unwrap();
        let column = text[..text.find(word).unwrap()].chars().count() + 1;
        let place = source.place(At { line, column });
        (place.line, place.column)
    };
    assert_eq!(source.text, "x 12345 y 12345 z\n  éb 12345  c \n  d\n");
    // A value stands for where it is used, in the middle of it, too.
    assert_eq!((at(1, "x"), at(1, "12345"), at(1, "345")), ((5, 1), (5, 3), (5, 3)));
    assert_eq!((at(1, "y"), at(1, "z")), ((5, 8), (5, 13)));
    // Lines of a definition stay where they are.
    assert_eq!((at(2, "b"), at(2, "123"), at(2, "c"), at(3, "d")), ((3, 4), (3, 6), (3, 10), (4, 3)));
    assert_eq!(source.via(At { line: 1, column: 1 }), None);
    assert_eq!(source.via(At { line: 3, column: 1 }).as_deref(), Some("in `$M`, used in line 6"));
}
