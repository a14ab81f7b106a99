//! The searches that run before every merge. `cargo model` prints what they find.

use clap::ValueEnum;
use mesh_model::search::{run_all, shortest};
use mesh_model::{lease, roster};

#[test]
fn no_order_of_events_opens_two_fences() {
    let report = run_all(lease::small(), |_| true, |line| println!("{line}"));
    assert!(report.complaints.is_empty(), "{:#?}", report.complaints);
}

#[test]
fn no_change_of_voters_opens_two_fences() {
    let report = run_all(roster::small(), |_| true, |line| println!("{line}"));
    assert!(report.complaints.is_empty(), "{:#?}", report.complaints);
}

#[test]
fn every_planted_bug_around_the_lease_is_found() {
    for mutant in lease::Mutant::value_variants() {
        let found = shortest(lease::LeaseModel::with(*mutant));
        println!("{mutant:?}: {found}");
        assert!(found.violation.is_some(), "{mutant:?} is not found: {found}");
    }
}

#[test]
fn every_planted_bug_around_the_roster_is_found() {
    for mutant in roster::Mutant::value_variants() {
        let found = shortest(roster::RosterModel::with(*mutant));
        println!("{mutant:?}: {found}");
        assert!(found.violation.is_some(), "{mutant:?} is not found: {found}");
    }
}
