//! A host whose cable is pulled and put back again and again: with damping little moves, and every promise is kept.

use std::time::Duration;

use mesh_config::model::FlapDamping;
use mesh_sim::clock::ms;
use mesh_sim::cluster::{Cluster, Layout};
use mesh_sim::run::Sim;
use mesh_sim::story::{Recording, Story};

/// How often the router that belongs to the first host changed hands, and how long nobody served it in all.
fn flapping(directors: usize, seed: u64, damping: Option<FlapDamping>) -> (usize, Duration) {
    let layout = Layout::of(directors);
    let mut cluster = Cluster::new(layout, seed, None, Story::new(Recording::Tail));
    cluster.quiet_since = None;
    for host in &mut cluster.hosts {
        host.config.mesh.damping = damping;
    }
    cluster.start_all();
    let mut sim = Sim::new(cluster);
    sim.pass_until(ms(15_000));
    assert_eq!(sim.cluster.serving(0), [0], "seed {seed}");
    let begin = sim.history[0].len();
    for _ in 0..20 {
        sim.cluster.set_link(0, false);
        sim.pass(ms(1500));
        sim.cluster.set_link(0, true);
        sim.pass(ms(8500));
    }
    assert!(sim.violation.is_none(), "seed {seed}: {:?}\n{:#?}", sim.violation, sim.cluster.story.tail());
    let since = &sim.history[0][begin - 1..];
    let gaps = since.windows(2).filter(|pair| pair[0].1.is_empty()).map(|pair| pair[1].0 - pair[0].0).sum();
    let mut owners: Vec<&Vec<usize>> = since.iter().map(|(_, serving)| serving).filter(|s| !s.is_empty()).collect();
    owners.dedup();
    (owners.len() - 1, gaps)
}

#[test]
fn a_flapping_cable_moves_little_and_costs_less_than_without_damping() {
    for (directors, seed) in [(3, 1), (3, 2), (5, 3)] {
        let (all, lost) = flapping(directors, seed, None);
        let (few, little) = flapping(directors, seed, Some(FlapDamping::default()));
        println!("{directors} directors: {all} moves and {lost:?} without the address, damped {few} and {little:?}");
        assert_eq!(all, 40, "away and back each time");
        assert!(few <= 7 && little * 4 < lost, "{few} moves, {little:?} instead of {lost:?}");
    }
}
