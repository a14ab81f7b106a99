//! Fleets, small enough for every day: an order of magnitude more of anything is a mistake.

use std::time::Duration;

use mesh_sim::clock::ms;
use mesh_sim::fleet::{Aftermath, Figures, Fleet, Loss, MOST_NODES, sizes};

const ROUTERS: usize = 40;

fn fleet(nodes: usize, spread: bool) -> Figures {
    let figures = Fleet { nodes, routers: ROUTERS, spread, seed: 7 }.run(&mut |_, _| {});
    println!("{figures}");
    assert_eq!(figures.served, ROUTERS, "{figures}");
    figures
}

/// Everybody knows of a death after a second, a lease's time later who serves, and nothing else moves.
#[track_caller]
fn all_is_well_after(figures: &Figures, dead: usize, after: &Aftermath) {
    assert_eq!(after.dead, dead, "{figures}");
    assert!(after.is_over(), "{figures}");
    assert!(after.suspected.max < ms(400), "{figures}");
    assert!(after.known.max < ms(1_500), "{figures}");
    assert!(after.served.max < ms(2_000), "{figures}");
    assert!(after.told.max < ms(2_500), "{figures}");
    assert_eq!(after.moved, 0, "{figures}");
}

#[test]
fn all_know_of_a_death_soon_and_costs_grow_with_the_fleet_and_not_with_its_square() {
    let (small, large) = (fleet(30, false), fleet(60, false));
    for (figures, rack) in [(&small, 1), (&large, 3)] {
        for (after, (loss, dead)) in
            figures.losses.iter().zip([(Loss::Director, 1), (Loss::Voter, 1), (Loss::Rack, rack)])
        {
            assert_eq!(after.loss, loss);
            all_is_well_after(figures, dead, after);
        }
        assert!(figures.losses[0].lost > 0 && figures.losses[2].lost > 0, "{figures}");
        assert!(figures.memory < 8_000_000, "{figures}");
        assert!(figures.rest.steps.p50 < ms(1), "{figures}");
        assert!(figures.status.p50 < ms(20), "{figures}");
        let news = figures.losses[0].watched.news;
        assert!(news.count > 0 && news.max < ms(1_000), "{figures}");
        // At rest nobody tells a roster or moves anything.
        assert_eq!((figures.rest.messages.rosters, figures.rest.messages.moves), (0.0, 0.0), "{figures}");
        // Each opens thirty exchanges a second, and takes part in thirty of others: a digest for each.
        let digests = (sizes::DIGEST * figures.fleet.nodes * 60) as f64;
        assert!((digests..digests * 1.05).contains(&figures.rest.gossip), "{figures}");
        // Every connection has brought the roster in both directions.
        let rosters = (figures.fleet.nodes - 1) * figures.roster();
        let sent = figures.start.messages.rosters * figures.start.time.as_secs_f64();
        assert!((rosters as f64..rosters as f64 * 1.1).contains(&sent), "{sent} {rosters} {figures}");
    }
    // Voters are asked by owners, of whom there are as many as before.
    let leases = |figures: &Figures| figures.rest.voter.leases;
    assert!(leases(&large) < leases(&small) * 2.0, "{small}\n{large}");
    assert!(large.rest.messages.leases < small.rest.messages.leases, "{small}\n{large}");
    // What everybody keeps of each other.
    assert!(large.memory < small.memory * 4 + 1_000_000, "{small}\n{large}");
}

#[test]
fn the_mesh_finds_directors_for_a_fleet_and_moves_what_was_lost_and_nothing_else() {
    let figures = fleet(40, true);
    for (after, dead) in figures.losses.iter().zip([1, 1, 2]) {
        all_is_well_after(&figures, dead, after);
    }
}

#[test]
fn a_seed_gives_the_same_fleet_again() {
    let run = |seed| {
        let Figures { served, start, rest, losses, .. } =
            Fleet { nodes: 12, routers: 6, spread: false, seed }.run(&mut |_, _| {});
        let after = |a: &Aftermath| {
            let sent = (a.watched.messages, a.watched.gossip, a.watched.news);
            (a.suspected, a.known, a.served, a.told, sent)
        };
        let rates = (start.messages, start.gossip, rest.messages, rest.voter, rest.gossip);
        (served, rates, losses.iter().map(after).collect::<Vec<_>>())
    };
    let first = run(3);
    assert_eq!(first, run(3));
    assert_ne!(first, run(4));
}

#[test]
fn what_is_going_on_is_told() {
    let mut told: Vec<(String, Duration)> = Vec::new();
    Fleet { nodes: 10, routers: 2, spread: false, seed: 1 }.run(&mut |what, at| told.push((what.to_owned(), at)));
    let phases: Vec<&str> = told.iter().map(|(what, _)| what.as_str()).collect();
    let known = ["engines are made", "start", "at rest", "a director dies", "a voter dies", "a rack dies"];
    let mut first = phases.clone();
    first.dedup();
    assert_eq!(first, known);
    assert!(told.is_sorted_by_key(|(_, at)| *at), "{told:?}");
}

#[test]
fn chitchat_has_room_for_a_thousand_nodes_and_not_for_many_more() {
    assert_eq!(MOST_NODES, 1149);
}
