use super::super::tests::{Memory, expand_with, left, said};
use super::*;

fn files() -> Memory {
    let mut files = Memory::new(&[
        ("kp/a.conf", "A"),
        ("kp/sub/b.conf", "B\ninclude c.conf\n"),
        ("kp/sub/c.conf", "C\n"),
        ("kp/sub/e.conf", "E ${_PWD}\n"),
        ("kp/v.conf", "$V=vv\n"),
        ("kp/half.conf", "open {"),
        ("kp/checks.conf", "include_check\ninclude none.conf\n"),
        ("kp/self.conf", "S\ninclude ./self.conf\n"),
        ("kp/one.conf", "include two.conf\n"),
        ("kp/two.conf", "\n  include ../kp/one.conf\n"),
        ("kp/sp ace.conf", "space"),
        ("/abs/x.conf", "X"),
    ]);
    files.0.insert("kp/broken.conf".into(), None);
    files.0.insert("kp/latin1.conf".into(), Some(b"# \xe9\nb\n\xc3\xbc \xe9\n".to_vec()));
    files.0.insert("kp/latin1-comment.conf".into(), Some(b"b # \xe9\n".to_vec()));
    files
}

#[track_caller]
fn included(text: &str) -> String {
    let expansion = expand_with(text, &files());
    assert_eq!(said(&expansion), Vec::<String>::new(), "{text}");
    left(&expansion).join("|")
}

#[test]
fn files_are_read_in_their_place() {
    for (text, expected) in [
        ("x\ninclude a.conf\ny", "x|A|y"),
        ("  include\ta.conf  # c", "A"),
        ("include ./a.conf", "A"),
        ("include /abs/x.conf", "X"),
        ("include sub/b.conf", "B|C"),
        ("include sub/*.conf", "B|C|C|E /etc/kp/sub"),
        ("include sub/{e,c}.conf", "E /etc/kp/sub|C"),
        ("include */[d-e].conf", "E /etc/kp/sub"),
        ("include s*/e.conf", "E /etc/kp/sub"),
        ("include sp\\ ace.conf", "space"),
        ("include half.conf\n}", "open {|}"),
        ("x { include a.conf\n}", "x {|A|}"),
        ("include v.conf\n${V}", "vv"),
        ("$F=a.conf\ninclude $F", "A"),
        ("$F=include a.conf\n$F", "A"),
        ("@lb1 include a.conf\n@^lb1 include v.conf", "A"),
        ("~LST(F,a,sub/c) include ${F}.conf", "A|C"),
        ("$M= \\\ninclude a.conf \\\nfoo\n$M", "A|foo"),
        ("foo include a.conf", "foo include a.conf"),
        ("includex a.conf\ninclude", "includex a.conf|include"),
        ("include d/*.none\nincluder d/*.none\nincludem d/*.none\nincludeb d/*.none", ""),
        ("include latin1-comment.conf", "b # \u{e9}"),
        ("include a.conf\ninclude a.conf", "A|A"),
    ] {
        assert_eq!(included(text), expected, "{text}");
    }
}

/// Severities as keepalived's exit codes: `-t` ends with 0 where nothing is wrong.
#[test]
fn what_is_missing_is_an_error_where_that_is_asked_for() {
    for (name, severities) in [
        ("none.conf", "I I E E I E"),
        ("d/*.none", "- - - E - E"),
        ("sub/{c,z}.conf", "I I I I E E"),
        ("broken.conf", "W E E E E E"),
    ] {
        let found: Vec<String> = ["", "r", "m", "w", "b", "a"]
            .iter()
            .map(|variant| {
                let found = said(&expand_with(&format!("include{variant} {name}"), &files()));
                assert!(found.len() <= 1, "{found:?}");
                found.first().map_or("-".into(), |f| f.split(' ').nth(1).expect("a severity").to_string())
            })
            .collect();
        assert_eq!(found.join(" "), severities, "{name}");
    }
}

#[test]
fn findings_of_includes() {
    for (text, found) in [
        ("\n  include none.conf # x", "2:11 I there is no file `kp/none.conf`; nothing is included"),
        (
            "include \"a.conf\"",
            "1:9 I there is no file `kp/\"a.conf\"` (quotes are taken as part of the name); nothing is included",
        ),
        ("include a.conf b.conf", "1:9 I there is no file `kp/a.conf b.conf`; nothing is included"),
        ("includea sub/{c,y,z}.conf", "1:10 E there is no file `kp/sub/y.conf`, `kp/sub/z.conf`; nothing is included"),
        ("includew d/*.none", "1:10 E there is no file `d/*.none`; nothing is included"),
        ("include broken.conf", "1:9 W cannot read kp/broken.conf: it is broken; it is not included"),
        ("include latin1.conf", "kp/latin1.conf:3:3 W this is no UTF-8; it is read as Latin-1"),
        (
            "include checks.conf\ninclude none.conf",
            "kp/checks.conf:2:9 E there is no file `kp/none.conf`; nothing is included",
        ),
        (
            "include self.conf",
            "kp/self.conf:2:9 E a file that includes itself has no end: kp/self.conf includes kp/./self.conf",
        ),
        (
            "include two.conf",
            "kp/../kp/one.conf:1:9 E a file that includes itself has no end: kp/two.conf includes kp/../kp/one.conf includes kp/../kp/two.conf",
        ),
        ("include {a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", "1:9 E `{a,b}"),
    ] {
        let said = said(&expand_with(text, &files()));
        assert!(said.first().is_some_and(|s| s.starts_with(found)), "{said:#?}\nin\n{text}");
    }
}

#[test]
fn checks_hold_to_the_end_of_their_file() {
    let errors = |text: &str| said(&expand_with(text, &files())).iter().filter(|f| f.contains(" E ")).count();
    assert_eq!(errors("include none.conf\ninclude_check\ninclude none.conf\ninclude d/*.none"), 2);
    assert_eq!(
        errors("include_check match # readable\ninclude none.conf\ninclude d/*.none\ninclude sub/{c,z}.conf"),
        1
    );
    assert_eq!(
        errors("include_check\ninclude_check -match +brace_match\ninclude none.conf\ninclude sub/{c,z}.conf"),
        1
    );
    assert_eq!(errors("x {\n include_check readable\n}\ninclude broken.conf\nincludem none.conf"), 2);
    assert_eq!(errors("include checks.conf\ninclude none.conf"), 1);
}

#[test]
fn all_files_together_are_bounded() {
    let mut files = files();
    files.0.insert("kp/large.conf".into(), Some(vec![b'\n'; MOST_BYTES as usize / 2]));
    let expansion = expand_with("include large.conf\ninclude large.conf\ninclude large.conf", &files);
    let found = said(&expansion);
    assert_eq!((found.len(), expansion.complete), (1, false));
    assert!(found[0].contains("E more than 2000000 lines") || found[0].contains("larger than 64 MiB"), "{found:?}");
    files.0.insert("kp/large.conf".into(), Some(vec![b' '; MOST_BYTES as usize / 2]));
    let found = said(&expand_with("include large.conf\ninclude large.conf\ninclude large.conf", &files));
    assert_eq!(found, ["2:9 E all files together are larger than 64 MiB"]);
}

#[test]
fn findings_behind_an_include_are_in_its_file() {
    let source = expand_with("x\ninclude sub/b.conf\ny", &files()).source;
    let places: Vec<String> = (1..=4)
        .map(|line| source.place(super::super::super::tree::At { line, column: 1 }))
        .map(|place| format!("{}:{}:{}", place.file.display(), place.line, place.column))
        .collect();
    assert_eq!(places, ["kp/k.conf:1:1", "kp/sub/b.conf:1:1", "kp/sub/c.conf:1:1", "kp/k.conf:3:1"]);
}
