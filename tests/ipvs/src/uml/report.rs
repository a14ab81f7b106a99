//! How outcomes get from inside to outside: lines among what the tests write.

use super::{Outcome, Outcomes};

const BEGIN: &str = "=== begin ";
const PASSED: &str = "=== passed ";
const FAILED: &str = "=== failed ";

/// The line before a test.
pub(super) fn begin(name: &str) -> String {
    format!("\n{BEGIN}{name}")
}

/// The line after a test.
pub(super) fn end(name: &str, passed: bool) -> String {
    format!("\n{}{name}", if passed { PASSED } else { FAILED })
}

/// What came of all tests.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) tests: Outcomes,
    /// What was written outside of tests.
    pub(super) rest: String,
    /// How it ended.
    pub(super) end: String,
}

impl Report {
    /// From everything that was written. A test that did not end, because the machine did, has failed.
    pub(super) fn read(console: &str, end: String) -> Report {
        let (mut tests, mut rest) = (Outcomes::new(), String::new());
        let mut current: Option<(String, String)> = None;
        for line in console.lines().map(|line| line.trim_end_matches('\r')) {
            let ended = line.strip_prefix(PASSED).map(|name| (name, true));
            let ended = ended.or_else(|| line.strip_prefix(FAILED).map(|name| (name, false)));
            if let Some(name) = line.strip_prefix(BEGIN) {
                current = Some((name.to_owned(), String::new()));
            } else if let Some((_, passed)) = ended {
                tests.extend(current.take().map(|(name, output)| (name, Outcome { passed, output })));
            } else {
                let output = current.as_mut().map_or(&mut rest, |(_, output)| output);
                output.push_str(line);
                output.push('\n');
            }
        }
        tests.extend(current.map(|(name, output)| (name, Outcome { passed: false, output })));
        Report { tests, rest, end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(passed: bool, output: &str) -> Outcome {
        Outcome { passed, output: output.to_owned() }
    }

    #[test]
    fn outcomes_are_found_among_what_was_written() {
        let console = format!(
            "booting\r\ntest root_a ... {}\nfrom a\r\n{}\nok\ntest root_b ... {}\nfrom b\n{}\nFAILED\n",
            begin("root_a"),
            end("root_a", true),
            begin("root_b"),
            end("root_b", false)
        );
        let report = Report::read(&console, "ended".into());
        let tests =
            [("root_a".to_owned(), outcome(true, "from a\n\n")), ("root_b".to_owned(), outcome(false, "from b\n\n"))];
        assert_eq!(report.tests, tests.into());
        assert_eq!(report.rest, "booting\ntest root_a ... \nok\ntest root_b ... \nFAILED\n");
    }

    #[test]
    fn a_test_during_which_the_machine_died_has_failed() {
        let console = format!("{}\nKernel panic\n", begin("root_a"));
        let report = Report::read(&console, "ended".into());
        assert_eq!(report.tests, [("root_a".to_owned(), outcome(false, "Kernel panic\n"))].into());
    }
}
