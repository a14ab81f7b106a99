//! Many seeds under faults, and the proof that this would find something.

use std::ops::Range;
use std::time::Duration;

use mesh_sim::clock::ms;
use mesh_sim::cluster::{Cluster, Layout};
use mesh_sim::mutant::Mutant;
use mesh_sim::run::{Outcome, Plan, Sim, run};
use mesh_sim::story::Story;

const MINUTE: Duration = ms(60_000);

/// Seeds a planted bug is looked for in; the engine as it is must pass all of them.
const MUTANT_SEEDS: Range<u64> = 1..41;

#[track_caller]
fn all_well(seeds: Range<u64>, nodes: usize) {
    for seed in seeds {
        well(seed, &run(&Plan::new(seed, nodes, MINUTE)), nodes);
    }
}

#[track_caller]
fn well(seed: u64, outcome: &Outcome, nodes: usize) {
    let again = format!("cargo sim --seed {seed} --nodes {nodes}");
    assert!(outcome.violation.is_none(), "{again}: {:?}\n{:#?}", outcome.violation, outcome.story.tail());
}

#[test]
fn three_directors_keep_every_promise_under_faults() {
    all_well(MUTANT_SEEDS.start..120, 3);
}

#[test]
fn four_directors_with_three_voters_do() {
    all_well(1..40, 4);
}

#[test]
fn five_directors_do() {
    all_well(1..25, 5);
}

#[test]
fn without_faults_nothing_moves_for_an_hour() {
    for seed in 1..3 {
        let plan = Plan { faults: false, ..Plan::new(seed, 3, MINUTE * 60) };
        let outcome = run(&plan);
        well(seed, &outcome, 3);
        assert!(outcome.takeovers <= 2, "each router moves to its worthiest at most once");
    }
}

#[test]
fn the_same_seed_gives_the_same_story() {
    let story = |seed| run(&Plan { whole_story: true, ..Plan::new(seed, 3, MINUTE) }).story;
    let (first, second, other) = (story(7), story(7), story(8));
    assert!(first.whole().len() > 100_000, "it tells everything");
    assert!(first.whole() == second.whole());
    assert!(first.whole() != other.whole());
}

/// The invariant that a planted bug breaks first, and in which seed.
fn found(mutant: Mutant) -> Option<(u64, &'static str)> {
    MUTANT_SEEDS.into_iter().find_map(|seed| {
        let outcome = run(&Plan { mutant: Some(mutant), ..Plan::new(seed, 3, MINUTE) });
        outcome.violation.map(|v| (seed, v.invariant))
    })
}

#[test]
fn every_planted_bug_is_found() {
    for mutant in Mutant::ALL {
        let found = found(mutant);
        println!("{mutant:?}: {found:?}");
        assert!(found.is_some(), "{mutant:?} stays hidden");
    }
}

#[track_caller]
fn breaks(mutant: Mutant, invariant: &str) {
    let broken = |seed| run(&Plan { mutant: Some(mutant), ..Plan::new(seed, 3, MINUTE) }).violation;
    let seen = MUTANT_SEEDS.filter_map(broken).any(|v| v.invariant == invariant);
    assert!(seen, "{mutant:?} never breaks {invariant}");
}

#[test]
fn every_invariant_has_a_bug_that_breaks_it() {
    breaks(Mutant::UserSpaceTimer, "at_most_one_open_fence");
    breaks(Mutant::StickyAddresses, "address_implies_lease");
    breaks(Mutant::ForgottenEpochs, "promises_never_go_back");
    breaks(Mutant::LosesRenewals, "no_takeover_while_renewed");
    breaks(Mutant::EternalQuarantine, "owner_after_healing");
}

#[test]
fn a_move_that_no_fault_explains_is_flapping() {
    let mut cluster = Cluster::new(Layout::of(3), 1, None, Story::new(false));
    cluster.start_all();
    let mut sim = Sim::new(cluster);
    sim.pass_until(ms(20_000));
    sim.cluster.script(0, false);
    sim.pass(ms(6000));
    assert_eq!(sim.violation.expect("it is seen").invariant, "no_flapping_without_faults");
}
