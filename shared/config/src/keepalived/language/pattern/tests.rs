use super::super::tests::Memory;
use super::*;

fn files() -> Memory {
    Memory::new(&[
        ("d/a.conf", ""),
        ("d/b.conf", ""),
        ("d/.c.conf", ""),
        ("d/e/a.conf", ""),
        ("d2/a.conf", ""),
        ("d/[x]", ""),
    ])
}

/// The paths of each alternative.
fn found(name: &str) -> Vec<Vec<String>> {
    let alternatives = resolve(&files(), Path::new(""), name).expect("few enough");
    alternatives.iter().map(|a| a.paths.iter().map(|p| p.display().to_string()).collect()).collect()
}

#[test]
fn wildcards() {
    for (name, expected) in [
        ("d/*.conf", vec!["d/a.conf", "d/b.conf"]),
        ("d/.*.conf", vec!["d/.c.conf"]),
        ("d/?.conf", vec!["d/a.conf", "d/b.conf"]),
        ("d/[b-z].conf", vec!["d/b.conf"]),
        ("d/[!b].conf", vec!["d/a.conf"]),
        ("d*/a.conf", vec!["d/a.conf", "d2/a.conf"]),
        // Whether it is there is not looked at.
        ("d/e*/none.conf", vec!["d/e/none.conf"]),
        ("d/\\[x\\]", vec!["d/[x]"]),
        ("d//a.conf", vec!["d/a.conf"]),
        ("d/*.none", vec![]),
        ("d/***", vec![]),
        ("none/a\\ b", vec!["none/a b"]),
    ] {
        assert_eq!(found(name), [expected], "{name}");
    }
    let absolute = resolve(&files(), Path::new("etc"), "/x/y").expect("one");
    assert_eq!(absolute[0].paths, [PathBuf::from("/x/y")]);
}

#[test]
fn braces_stand_for_one_after_the_other() {
    let flat = |name: &str| braces(name).expect("few enough").join(" ");
    assert_eq!(flat("{foo/{,cat,dog},bar}"), "foo/ foo/cat foo/dog bar");
    assert_eq!(flat("a{b,c}d{e,f}"), "abde abdf acde acdf");
    assert_eq!(flat("a{b"), "a{b");
    assert_eq!(flat("a}b{"), "a}b{");
    assert_eq!(found("d/{b,a}.conf"), [["d/b.conf"], ["d/a.conf"]]);
    assert_eq!(braces(&"{a,b,c,d}".repeat(20)), None);
}
