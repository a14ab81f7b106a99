use super::super::tests::{assert_said, left, lines};

#[test]
fn sequences() {
    for (text, expected) in [
        ("~SEQ(A,1,3) a${A}", "a1 a2 a3"),
        ("~SEQ(A,1,2,5) a${A}", "a1 a3 a5"),
        ("~SEQ(A,1,2,6) a${A}", "a1 a3 a5"),
        ("~SEQ(A,3,1) a${A}", "a3 a2 a1"),
        ("~SEQ(A,5,-2,1) a${A}", "a5 a3 a1"),
        ("~SEQ(A,3) a$A", "a1 a2 a3"),
        ("~SEQ(A,-3) a$A", "a-1 a-2 a-3"),
        ("~SEQ(A,0) a$A", "a1 a0"),
        ("~SEQ(A,0,0) a$A", "a0"),
        ("~SEQx(A,0x12,-1,0x10) a$A", "a12 a11 a10"),
        ("~SEQ(A, -1 , 1) a$A", "a-1 a0 a1"),
        ("~SEQ(A,3,3) a$A", "a3"),
        ("~SEQ(A,0x10,0x12) a$A", "a16 a17 a18"),
        ("~SEQ(A,06,010) a$A", "a6 a7 a8"),
        ("~SEQx(A, 0x90, 0x10, 0xb0) a${A}", "a90 aa0 ab0"),
        ("~SEQx(A, 9, 11) a$A", "a9 aa ab"),
        ("~SEQ (A,1,2)a$A", "a1 a2"),
        ("~SEQ(A,1,2) ~SEQ(B,3,4) ${A}.$B", "1.3 1.4 2.3 2.4"),
        ("~SEQ(A,1,2) ~SEQ(B,1,${A}) ${A}.$B", "1.1 2.1 2.2"),
        ("$S=1\n$E=3\n~SEQ(A,$S,${E}) a$A", "a1 a2 a3"),
        ("$A=9\n~SEQ(A,1,2) a$A\nb$A", "a1 a2 b2"),
        ("$L=~SEQ(A,1,2) a$A\n$L", "a1 a2"),
        ("~SEQ(A,1,2) a$A # c", "a1 a2"),
        ("~SEQ(A,1,2) $B=${A}\nb$B", "b2"),
        ("@lb1 ~SEQ(A,1,2) a$A", "a1 a2"),
        ("~SEQ(A,1,2) @lb1 a$A", "a1 a2"),
        ("~SEQ(A,1,2) @^lb1 a$A", ""),
        ("~SEQ(A,1,2)", ""),
        ("x { ~SEQ(A,1,2) a$A", "x { a1 a2"),
        ("~SEQ(A,9223372036854775806,9223372036854775807) $A", "9223372036854775806 9223372036854775807"),
        ("a ~SEQ(A,1,2)", "a ~SEQ(A,1,2)"),
    ] {
        assert_eq!(lines(text).join(" "), expected, "{text}");
    }
}

#[test]
fn lists() {
    for (text, expected) in [
        ("~LST(A,1,x) a$A", "a1 ax"),
        ("~LST(A, 1 , 2) a$A", "a1 a2"),
        ("~LST(A,) a$A", "a"),
        ("~LST({A,B},{1,2},{3,4}) ${A}.$B", "1.2 3.4"),
        ("~LST({A,   B}, {1,2}, {3}) ${A}.$B", "1.2 3."),
        ("~LST({A,B},1,2) ${A}.$B", "1. 2."),
        ("~LST({A},{1},{2}) $A", "1 2"),
        ("~LST(A,{1},{2}) $A", "1 2"),
        ("~LST(A,1,2) ~LST(B,3,4) ${A}.$B", "1.3 1.4 2.3 2.4"),
        ("~LST({A,B},{10,1},{20,4}) ~SEQ(C,168,2,170) ${C}.${A}.${B}", "168.10.1 170.10.1 168.20.4 170.20.4"),
        // 2.2.7 does not replace braces here.
        ("$L=1,2\n~LST(A,${L}) a$A", "a1 a2"),
    ] {
        assert_eq!(lines(text).join(" "), expected, "{text}");
    }
}

#[test]
fn a_line_with_a_loop_that_is_none_is_skipped() {
    let sequence = "1:1 W not a loop: expected `~SEQ(VARIABLE, start, step, end)`";
    for (text, start) in [
        ("~SEQ(A,1,0,3) x", "1:1 W not a loop: steps of 0 do not lead from 1 to 3; the line is skipped"),
        ("~SEQ(A,1,-1,3) x", "1:1 W not a loop: steps of -1 do not lead from 1 to 3"),
        ("~SEQx(A,3,-1) x", "1:1 W not a loop: `~SEQx` counts no numbers below 0; the line is skipped"),
        ("~SEQx(A,-3) x", "1:1 W not a loop: `~SEQx` counts"),
        ("~SEQ(A,1,x) x", sequence),
        ("~SEQ(A,1,0x) x", sequence),
        ("~SEQ(A,1,08) x", sequence),
        ("~SEQ(A,1,--2) x", sequence),
        ("~SEQ(A,1,9223372036854775808) x", sequence),
        ("~SEQ(A) x", sequence),
        ("~SEQ() x", sequence),
        ("~SEQ(1A,1,2) x", sequence),
        ("~SEQ(A,1,2,3,4) x", sequence),
        ("  ~SEQ(A,1,3 x # )", "1:3 W not a loop: expected `)` on the same line"),
        ("~LST(A) x", "1:1 W not a loop: expected `~LST(VARIABLE, word, word)`"),
        ("~LST(A,\"a b\",c) x", "1:1 W not a loop: expected `~LST("),
        ("~LST({A,B},{1,2,3}) x", "1:1 W not a loop: 3 words for 2 variables"),
        ("~LST({A,B},{1,2},{3,4} x", "1:1 W not a loop: expected `)`"),
        ("~LST({A,B},{1,2} {3,4}) x", "1:1 W not a loop: expected `~LST("),
        ("~LST({A,B},{1,2) x", "1:1 W not a loop: expected `~LST("),
    ] {
        assert!(left(&assert_said(text, start)).is_empty(), "{text}");
    }
}
