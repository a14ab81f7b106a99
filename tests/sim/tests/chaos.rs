//! Many seeds under faults, on clusters of all shapes.

use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use mesh_config::model::LeaseTime;
use mesh_sim::clock::ms;
use mesh_sim::cluster::{Cluster, Layout};
use mesh_sim::layout::Shape;
use mesh_sim::run::{Beyond, Outcome, Plan, Sim, run};
use mesh_sim::story::{Recording, Story};

const MINUTE: Duration = ms(60_000);

#[track_caller]
fn all_well(seeds: Range<u64>, shape: Shape) {
    for seed in seeds {
        well(seed, &run(&Plan::new(seed, shape, MINUTE)), shape);
    }
}

#[track_caller]
fn well(seed: u64, outcome: &Outcome, shape: Shape) {
    let again = format!("cargo sim --seed {seed} --shape {}", shape.name());
    assert!(outcome.violation.is_none(), "{again}: {:?}\n{:#?}", outcome.violation, outcome.story.tail());
}

#[test]
fn two_directors_alone_come_to_rest_with_one_owner() {
    all_well(1..61, Shape::Pair);
}

#[test]
fn two_directors_and_a_witness_keep_every_promise_under_faults() {
    all_well(1..81, Shape::Witness);
}

#[test]
fn three_directors_do() {
    all_well(1..81, Shape::Three);
}

#[test]
fn three_directors_and_one_that_joins_do() {
    all_well(1..61, Shape::Four);
}

#[test]
fn five_directors_do() {
    all_well(1..41, Shape::Five);
}

#[test]
fn seven_directors_do() {
    all_well(1..31, Shape::Seven);
}

#[test]
fn without_faults_nothing_moves_for_an_hour() {
    for shape in [Shape::Witness, Shape::Three] {
        let plan = Plan { faults: false, ..Plan::new(2, shape, MINUTE * 60) };
        let outcome = run(&plan);
        well(plan.seed, &outcome, shape);
        assert!(outcome.takeovers <= plan.layout.routers, "each router moves to its worthiest at most once");
    }
}

#[test]
fn a_pause_that_no_clock_shows_makes_two_owners_only_for_a_moment() {
    for seed in 1..41 {
        let plan = Plan { beyond: Some(Beyond::Pause), ..Plan::new(seed, Shape::Three, MINUTE) };
        well(seed, &run(&plan), Shape::Three);
    }
}

/// The margin is no more than it has to be, and the watch for two owners is awake.
#[test]
fn clocks_far_beyond_the_bound_can_make_two_owners() {
    let broken = |seed| {
        let mut plan = Plan { beyond: Some(Beyond::Drift), ..Plan::new(seed, Shape::Three, MINUTE * 5) };
        plan.layout.lease = LeaseTime::Fixed(ms(3000));
        run(&plan).violation.is_some_and(|v| v.invariant == "at_most_one_open_fence")
    };
    assert!((1..101).any(broken));
}

#[test]
fn the_same_seed_gives_the_same_story() {
    let story = |seed| run(&Plan { recording: Recording::Whole, ..Plan::new(seed, Shape::Three, MINUTE) }).story;
    let (first, second, other) = (story(7), story(7), story(8));
    assert!(first.whole().len() > 100_000, "it tells everything");
    assert!(first.whole() == second.whole());
    assert!(first.whole() != other.whole());
}

#[test]
fn the_same_seeds_give_the_same_bytes_in_every_process() {
    let digests = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh-sim"));
        command.args(["--shape", "2,2w,3,4,5,7", "--runs", "3", "--seconds", "60", "--digest", "--jobs", "1"]);
        let output = command.output().expect("it was built with this test");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("digests are text")
    };
    let first = digests();
    assert_eq!(first.matches("seed ").count(), 18);
    assert_eq!(first, digests());
    for shape in Shape::ALL {
        let story = run(&Plan { recording: Recording::Digest, ..Plan::new(2, shape, MINUTE) }).story;
        let line = format!("seed 2 shape {}: {:016x}", shape.name(), story.digest());
        assert!(first.contains(&line), "{line} and in another process {first}");
    }
}

#[test]
fn a_move_that_no_fault_explains_is_flapping() {
    let mut cluster = Cluster::new(Layout::of(3), 1, None, Story::new(Recording::Tail));
    cluster.start_all();
    let mut sim = Sim::new(cluster);
    sim.pass_until(ms(20_000));
    sim.cluster.script(0, false);
    sim.pass(ms(6000));
    assert_eq!(sim.violation.expect("it is seen").invariant, "no_flapping_without_faults");
}
