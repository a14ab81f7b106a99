//! Fleets, small enough for every day: an order of magnitude more of anything is a mistake.

use std::time::Duration;

use mesh_sim::fleet::{Figures, Fleet};

fn fleet(nodes: usize) -> Figures {
    let figures = Fleet { nodes, routers: 40, seed: 7 }.run();
    println!("{figures}");
    figures
}

#[test]
fn all_know_of_a_death_soon_and_costs_grow_with_the_fleet_and_not_with_its_square() {
    let (small, large) = (fleet(40), fleet(80));
    for figures in [&small, &large] {
        assert_eq!(figures.served, 40, "{figures}");
        assert!(figures.lost > 0, "{figures}");
        assert!(figures.suspected.is_some_and(|d| d < Duration::from_millis(400)), "{figures}");
        assert!(figures.known.is_some_and(|d| d < Duration::from_secs(2)), "{figures}");
        // A lease of a second, and the news of it.
        assert!(figures.served_again.is_some_and(|d| d < Duration::from_secs(3)), "{figures}");
        assert!(figures.memory < 8_000_000, "{figures}");
        assert!(figures.watched.steps.p50 < Duration::from_millis(1), "{figures}");
        assert!(figures.status.p50 < Duration::from_millis(20), "{figures}");
    }
    // A digest has a line for each node, and everybody has so many exchanges a second.
    assert!(large.watched.gossip < small.watched.gossip * 2.5, "{small}\n{large}");
    assert!(large.watched.gossip < 80.0 * 10_000.0, "{large}");
    // Voters are asked by owners, of whom there are as many as before.
    assert!(large.watched.voters < small.watched.voters * 2.0, "{small}\n{large}");
    assert!(large.watched.messages < small.watched.messages, "{small}\n{large}");
}

#[test]
fn a_seed_gives_the_same_fleet_again() {
    let figures = |seed| {
        let Figures { served, lost, suspected, known, served_again, watched, .. } =
            Fleet { nodes: 12, routers: 6, seed }.run();
        (served, lost, suspected, known, served_again, watched.gossip.to_bits(), watched.messages.to_bits())
    };
    assert_eq!(figures(3), figures(3));
    assert_ne!(figures(3), figures(4));
}
