//! keepalived itself is asked: the same files go to `keepalived -t` and to `meshd check`.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

/// Where Debian's package has its samples.
const SAMPLES: &str = "/usr/share/doc/keepalived/samples";

/// keepalived 2.2.7's exit codes of `-t`, one more each than its manual has.
const KEEPALIVED_UNUSABLE: i32 = 4;

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// In a network namespace that has the interfaces most examples name; eth0 carries an address.
fn with_interfaces(command: &str) -> Command {
    let links = "for i in 0 1 2 3; do ip link add eth$i type bridge; ip link set eth$i up; done; ip link add eth0.1 type bridge; \
                 ip address add 192.168.200.2/24 dev eth0";
    let mut namespace = Command::new("unshare");
    namespace.args(["-n", "sh", "-ec", &format!("{links}; {command} \"$@\""), "sh"]);
    namespace
}

fn keepalived(file: &Path) -> Output {
    let mut command = with_interfaces("timeout 20 keepalived -i lb1 -t -f");
    command.arg(file).output().expect("unshare is part of util-linux")
}

fn meshd(file: &Path) -> Output {
    let mut command = with_interfaces("exec timeout 20");
    command.arg(env!("CARGO_BIN_EXE_meshd")).args(["check", "--config-id", "lb1"]);
    command.arg(file).output().expect("unshare is part of util-linux")
}

/// Keywords that keepalived finds unknown, in lines with `place`.
fn unknown_to_keepalived(said: &str, place: &str) -> BTreeSet<String> {
    let lines = said.lines().filter(|line| line.contains(place));
    let words = lines.filter_map(|line| line.split_once("Unknown keyword '")?.1.rsplit_once('\''));
    words.map(|(word, _)| word.to_owned()).collect()
}

/// Keywords that meshd finds unknown.
fn unknown_to_meshd(said: &str) -> BTreeSet<String> {
    let words = said.lines().filter_map(|line| line.split_once("unknown keyword `")?.1.split_once('`'));
    words.map(|(word, _)| word.to_owned()).collect()
}

/// Needs keepalived with its documentation, and root for the namespace.
#[test]
fn root_keepalived_s_samples() {
    let directory = std::fs::read_dir(SAMPLES)
        .unwrap_or_else(|error| panic!("{SAMPLES}: {error}: install keepalived with its documentation"));
    let mut files: Vec<_> = directory.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("keepalived.conf.")));
    files.sort();
    assert!(files.len() >= 25, "only {} samples in {SAMPLES}", files.len());
    for file in files {
        let (theirs, ours) = (keepalived(&file), meshd(&file));
        let (theirs_said, ours_said) = (said(&theirs), said(&ours));
        let both = format!(
            "{}\nkeepalived: {}\n{theirs_said}\nmeshd: {}\n{ours_said}",
            file.display(),
            theirs.status,
            ours.status
        );
        let code = theirs.status.code().expect(&both);
        assert_eq!(code == KEEPALIVED_UNUSABLE, ours.status.code() == Some(3), "{both}");
        assert!(matches!(ours.status.code(), Some(0 | 3 | 4 | 5)), "{both}");
        assert_eq!(ours_said.matches(": error: ").count(), 0, "{both}");
        // What is unknown here is unknown there.
        assert!(unknown_to_meshd(&ours_said).is_subset(&unknown_to_keepalived(&theirs_said, "")), "{both}");
    }
}

/// Draws texts of the language, of words that are no keywords: both programs name what they read.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }

    fn one<'s>(&mut self, of: &[&'s str]) -> &'s str {
        of[self.below(of.len())]
    }

    fn word(&mut self) -> String {
        let variable = self.one(&["A", "B", "C_1", "Dd"]);
        match self.below(12) {
            0..4 => self.one(&["k", "l", "m", "n", "10.0.0.1", "x,y", "(z)"]).into(),
            4 => format!("${variable}"),
            5 => format!("${{{variable}}}"),
            6 => format!("o${{{variable}}}y"),
            7 => format!("p${variable}z"),
            8 => format!("\"q{}${variable} x\"", self.one(&["", " # ", " ! "])),
            9 => format!("\"q${{{variable}}}\""),
            10 => format!("'s ${variable}'"),
            _ => self.one(&["#c", "!d", "a#b", "e\\#f"]).into(),
        }
    }

    fn words(&mut self) -> String {
        (0..=self.below(3)).map(|_| self.word() + " ").collect()
    }

    fn repeat(&mut self) -> String {
        let variable = self.one(&["A", "B", "C_1", "Dd"]);
        match self.below(4) {
            0 | 1 => {
                let hexadecimal = self.one(&["", "x"]);
                let numbers: Vec<&str> =
                    (0..=self.below(3)).map(|_| self.one(&["0", "1", "2", "3", "-1", "0x11", "010"])).collect();
                format!("~SEQ{hexadecimal}({variable},{})", numbers.join(self.one(&[",", " , "])))
            }
            2 => format!("~LST({variable},{})", self.one(&["a", "a,b", " a , b,c3", "a,,b", ""])),
            _ => format!(
                "~LST({{{variable},E}},{})",
                self.one(&["{a,b},{c,d}", "{a},{b}", "a,b", "{a,b,c}", "{a , b}, {c,d}"])
            ),
        }
    }

    fn line(&mut self) -> String {
        let condition = self.one(&["", "", "", "", "@lb1 ", "@^lb1 ", "@lb2 ", "@^lb2 ", "  @lb1\t"]);
        let rest = match self.below(5) {
            0 => format!("${}={}", self.one(&["A", "B", "C_1", "Dd"]), self.words()),
            1 => format!("{}{}", self.repeat(), self.words()),
            2 => format!("{} {}", self.repeat(), self.one(&["$M", "${N}", "$N # x"])),
            3 => self.one(&["$M", "${M}", "$N", "k $M"]).into(),
            _ => self.words(),
        };
        format!("{condition}{rest}\n")
    }

    fn text(&mut self) -> String {
        let mut text = String::new();
        for name in ["A", "B", "C_1", "Dd", "E"] {
            let _ = writeln!(text, "${name}={}", self.one(&["u", "v w", "\"x y\"", ""]));
        }
        let _ = write!(text, "$M= \\\n{}\\\n# c\nm {}\n", self.words(), self.words());
        let _ = write!(text, "$N=\\\n  {}\\\n $M \\\n$A=1\\\n@lb1 n {}\n", self.words(), self.words());
        (0..=self.below(6)).for_each(|_| text += &self.line());
        text
    }
}

/// Needs keepalived, and root as it does.
#[test]
fn root_the_language_is_read_as_keepalived_reads_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("k.conf");
    let mut compared = 0;
    for seed in 0..300 {
        let text = Draw(seed).text();
        std::fs::write(&file, &text).expect("a file in it");
        let theirs = Command::new("timeout").args(["5", "keepalived", "-i", "lb1", "-t", "-f"]).arg(&file).output();
        let ours = Command::new(env!("CARGO_BIN_EXE_meshd")).args(["check", "--config-id", "lb1"]).arg(&file).output();
        let (theirs, ours) = (theirs.expect("timeout is part of coreutils"), ours.expect("meshd was built"));
        let ours_said = said(&ours);
        // keepalived replaces what contains itself for ever; `\#` before a variable it reads twice.
        if ours_said.contains(" has no end") || (text.contains("\\#") && text.contains('$')) {
            continue;
        }
        let theirs_said = said(&theirs);
        // After a loop it cannot use it loses lines, and others each time it reads the file.
        if theirs_said.contains("Invalid ~") {
            continue;
        }
        let read = unknown_to_keepalived(&theirs_said, "(Line ");
        assert_eq!(unknown_to_meshd(&ours_said), read, "seed {seed}\n{text}\n{ours_said}\n{theirs_said}");
        compared += 1;
    }
    assert!(compared >= 190, "only {compared} of 300 compared");
}
