//! What 2.2.7 made of the same text was asked of it: with unknown keywords, and with what it dumps.

use super::*;
use crate::host::Files;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io;
use std::path::Component;

/// Files by their names, and some that cannot be read.
#[derive(Default)]
pub(super) struct Memory(pub(super) BTreeMap<PathBuf, Option<Vec<u8>>>);

impl Memory {
    pub(super) fn new(files: &[(&str, &str)]) -> Self {
        Memory(files.iter().map(|(name, text)| (name.into(), Some(text.as_bytes().to_vec()))).collect())
    }
}

impl Files for Memory {
    fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        match self.0.get(&self.one_name(path)?) {
            Some(Some(bytes)) => Ok(bytes[..bytes.len().min(most as usize + 1)].to_vec()),
            Some(None) => Err(io::Error::other("it is broken")),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
    fn names(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        let inside: BTreeSet<_> =
            self.0.keys().filter_map(|path| path.strip_prefix(directory).ok()?.components().next()).collect();
        Ok(inside.into_iter().map(|name| name.as_os_str().to_owned()).collect())
    }
    fn one_name(&self, path: &Path) -> io::Result<PathBuf> {
        let mut name = PathBuf::new();
        for part in path.components() {
            match part {
                Component::ParentDir => drop(name.pop()),
                Component::CurDir => {}
                part => name.push(part),
            }
        }
        Ok(name)
    }
}

pub(super) fn expand_with(text: &str, files: &Memory) -> Expansion {
    let environment = |name: &str| (name == "HOME").then(|| "/root".to_string());
    let host = Host { files, config_id: "lb1", directory: "/etc".into(), environment: &environment, seed: 7 };
    expand(Path::new("kp/k.conf"), text, &host)
}

/// Findings in short: `line:column severity message`, with the file unless it is the first.
pub(super) fn said(expansion: &Expansion) -> Vec<String> {
    let short = |f: &Finding| {
        let file =
            if f.place.file == Path::new("kp/k.conf") { String::new() } else { format!("{}:", f.place.file.display()) };
        let severity = match f.severity {
            Severity::Ignored => "I",
            Severity::Warning => "W",
            Severity::Error => "E",
        };
        format!("{file}{}:{} {severity} {}", f.place.line, f.place.column, f.message)
    };
    expansion.findings.iter().map(short).collect()
}

/// The lines that are left, without blanks around them; nothing may be found.
#[track_caller]
pub(super) fn lines(text: &str) -> Vec<String> {
    let expansion = expand_with(text, &Memory::default());
    assert_eq!(said(&expansion), Vec::<String>::new(), "{text}");
    assert!(expansion.complete);
    left(&expansion)
}

pub(super) fn left(expansion: &Expansion) -> Vec<String> {
    expansion.source.text.lines().map(|line| line.trim().to_string()).filter(|line| !line.is_empty()).collect()
}

/// Exactly one finding, which starts as given.
#[track_caller]
pub(super) fn assert_said(text: &str, start: &str) -> Expansion {
    let expansion = expand_with(text, &Memory::default());
    let found = said(&expansion);
    assert_eq!(found.len(), 1, "{found:#?}\nin\n{text}");
    assert!(found[0].starts_with(start), "{}\nin\n{text}", found[0]);
    expansion
}

#[test]
fn a_text_without_any_of_it_stays_as_it_is() {
    let text = "\n a b { # c\n\td \"e # f\" ! g }\r\n\n";
    assert_eq!(expand_with(text, &Memory::default()).source.text, text);
    assert_eq!(expand_with("\u{feff}a", &Memory::default()).source.text, "a\n");
    assert_eq!(expand_with("", &Memory::default()).source.text, "");
}

#[test]
fn conditional_lines() {
    for (text, expected) in [
        ("@lb1 a", vec!["a"]),
        ("@^lb1 a", vec![]),
        ("@lb2 a\n@lb1 b", vec!["b"]),
        ("@^lb2 a", vec!["a"]),
        ("  @lb1\ta  b", vec!["a  b"]),
        ("@lb1", vec![]),
        ("@^ a", vec!["a"]),
        ("@lb1#c\nb", vec!["b"]),
        ("@lb1#c d\nb", vec!["b"]),
        ("a @lb2", vec!["a @lb2"]),
        ("@lb1 @^lb2 a", vec!["@^lb2 a"]),
        ("$I=@lb1\n$I a", vec!["a"]),
        ("$I=@^lb1\n$I a", vec![]),
        ("@lb1 $X=1\n@^lb1 $X=2\n$X", vec!["1"]),
        ("a { @^lb1 b }\n", vec!["a {"]),
        ("a { @lb1 b }\n", vec!["a {", "b }"]),
    ] {
        assert_eq!(lines(text), expected, "{text}");
    }
    for other in ["@LB1 a", "@lb1.net a", "@ a", "@lb1} a"] {
        assert!(left(&expand_with(other, &Memory::default())).is_empty(), "{other}");
    }
}

#[test]
fn lines_for_others_only_are_noted_once() {
    assert_said("a\n @lb2 b\n@lb3 c", "2:2 I lines for `lb2` and others, none for this host's id, `lb1`");
}

#[test]
fn what_stands_behind_a_condition_keeps_its_column() {
    let source = expand_with("a\n  @lb1  é b\n", &Memory::default()).source;
    let place = source.place(super::super::tree::At { line: 2, column: 11 });
    assert_eq!((place.line, place.column), (2, 11));
    assert_eq!(source.text.lines().nth(1).unwrap().chars().nth(10), Some('b'));
}

#[test]
fn a_limit_is_an_error_that_says_so() {
    let expansion = assert_said(
        "~SEQ(A,1,1000000000) @no x",
        "1:22 E more than 2000000 lines, once variables and loops are replaced",
    );
    assert!(!expansion.complete && expansion.source.text.is_empty());
    let expansion = assert_said("~SEQ(A,1,1000) ~SEQ(B,1,1000) ~SEQ(C,1,1000) x", "1:");
    assert!(!expansion.complete);
    // Doubled thirty times.
    let laughs: String = (0..30).map(|n| format!("$A{n}=${{A{}}}${{A{}}}\n", n + 1, n + 1)).collect();
    for value in ["ha", ""] {
        let expansion = assert_said(
            &format!("{laughs}$A30={value}\nx ${{A0}}"),
            "32:1 E variables and loops make more than 64 MiB of text",
        );
        assert!(!expansion.complete);
    }
    let deep = "~SEQ(A,1,1) ".repeat(40);
    assert_said(&deep, "1:385 E files, variables and loops stand more than 32 deep in each other");
}
