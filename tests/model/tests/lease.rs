//! The searches that run before every merge. `cargo model` prints what they find.

use std::collections::BTreeSet;

use clap::ValueEnum;
use mesh_model::lease::{LeaseModel, Mutant, small};
use mesh_model::search::{Search, exhaust, never_seen, shortest};

#[test]
fn no_order_of_events_opens_two_fences() {
    let mut seen = BTreeSet::new();
    for Search { name, at_least, model } in small() {
        let found = exhaust(model);
        println!("{name}: {found}");
        assert!(found.violation.is_none(), "{name}: {found}");
        assert!(found.states > at_least, "{name} has become trivial: {found}");
        seen.extend(found.seen);
    }
    let missing = never_seen(&small()[0].model, &seen);
    assert!(missing.is_empty(), "should be possible, and was never seen: {missing:?}");
}

#[test]
fn every_planted_bug_is_found() {
    for mutant in Mutant::value_variants() {
        let found = shortest(LeaseModel::with(*mutant));
        println!("{mutant:?}: {found}");
        assert!(found.violation.is_some(), "{mutant:?} is not found: {found}");
    }
}
