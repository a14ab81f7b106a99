//! Runs the tests of a binary in User-mode Linux.

mod boot;
mod report;

use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::OnceLock;

use anyhow::{Result, bail, ensure};

use crate::network;
use report::Report;

/// Set inside, to anything.
pub const INSIDE: &str = "MESH_UML";

/// Runs a test in User-mode Linux, in a network namespace of its own where nothing but `lo` is, and gives
/// its result. To be called by a `#[test]` function with a closure, and nothing else before it: inside, the
/// same function is called again.
pub fn inside<T: FnOnce() -> Result<()> + Send>(test: T) -> Result<()> {
    let name = test_name::<T>();
    if std::env::var_os(INSIDE).is_some() { run_inside(name, test) } else { run_outside(name) }
}

/// The path of the test function that a closure is in, as the test harness has it.
fn test_name<T>() -> &'static str {
    let path = std::any::type_name::<T>().trim_end_matches("::{{closure}}");
    path.split_once("::").map_or(path, |(_binary, name)| name)
}

fn run_inside<T: FnOnce() -> Result<()> + Send>(name: &str, test: T) -> Result<()> {
    say(&report::begin(name))?;
    let result = catch_unwind(AssertUnwindSafe(|| network::alone(test)));
    if let Ok(Err(error)) = &result {
        say(&format!("Error: {error:#}"))?;
    }
    say(&report::end(name, matches!(result, Ok(Ok(())))))?;
    result.unwrap_or_else(|panic| resume_unwind(panic))
}

/// Past the harness, which would keep what is printed until the test ends.
fn say(line: &str) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn run_outside(name: &str) -> Result<()> {
    static REPORT: OnceLock<Result<Report, String>> = OnceLock::new();
    let report = REPORT.get_or_init(|| boot::run(&selection(std::env::args().skip(1))).map_err(|e| format!("{e:#}")));
    let report = report.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
    let Some(outcome) = report.tests.get(name) else {
        bail!("User-mode Linux did not come to this test ({}):\n{}", report.end, report.rest);
    };
    println!("{}", outcome.output);
    ensure!(outcome.passed, "failed in User-mode Linux ({}), see above", report.end);
    Ok(())
}

/// Of this process's arguments those that select tests: inside, the same ones run.
fn selection(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let with_value = ["--test-threads", "--format", "--color", "--logfile", "--shuffle-seed", "-Z"];
    let mut selection = Vec::new();
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--skip" => selection.extend([argument].into_iter().chain(arguments.next())),
            "--exact" | "--ignored" | "--include-ignored" => selection.push(argument),
            known if with_value.contains(&known) => drop(arguments.next()),
            flag if flag.starts_with('-') => {}
            _ => selection.push(argument),
        }
    }
    selection
}

/// What a test did inside.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    passed: bool,
    output: String,
}

type Outcomes = BTreeMap<String, Outcome>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_selects_tests_goes_inside() {
        let given =
            ["--test-threads=1", "root_", "--skip", "slow", "--nocapture", "--format", "terse", "--exact", "-q"];
        let selected = selection(given.iter().map(|word| (*word).to_owned()));
        assert_eq!(selected, ["root_", "--skip", "slow", "--exact"]);
    }

    #[test]
    fn a_closure_knows_its_test() {
        fn name<T>(_: T) -> &'static str {
            test_name::<T>()
        }
        assert_eq!(name(|| {}), "uml::tests::a_closure_knows_its_test");
    }
}
