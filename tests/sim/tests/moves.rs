//! Placement and planned moves in whole clusters, with every invariant watched.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_core::decision::{Decision, MoveEvent, RouterEvent};
use mesh_core::orders::{Answer, Wish};
use mesh_sim::clock::{Time, ms};
use mesh_sim::cluster::{Cluster, Layout};
use mesh_sim::network::{Channel, Hosts, Rule, Trouble};
use mesh_sim::run::Sim;
use mesh_sim::story::{Recording, Story};

fn started(layout: Layout, seed: u64, until: Duration) -> Sim {
    let mut cluster = Cluster::new(layout, seed, None, Story::new(Recording::Tail));
    cluster.quiet_since = None;
    cluster.start_all();
    let mut sim = Sim::new(cluster);
    sim.pass_until(until);
    sim
}

#[track_caller]
fn ended_well(sim: &Sim) {
    assert!(sim.violation.is_none(), "{:?}\n{:#?}", sim.violation, sim.cluster.story.tail());
}

/// Who serves each router; nobody is `None`.
fn owners(sim: &Sim) -> Vec<Option<usize>> {
    (0..sim.cluster.layout.routers).map(|r| sim.cluster.serving(r).first().copied()).collect()
}

fn loads(sim: &Sim) -> BTreeMap<usize, usize> {
    let mut loads = BTreeMap::new();
    owners(sim).into_iter().flatten().for_each(|host| *loads.entry(host).or_default() += 1);
    loads
}

fn moved(before: &[Option<usize>], after: &[Option<usize>]) -> usize {
    before.iter().zip(after).filter(|(a, b)| a != b).count()
}

/// How much more than the mean the fullest of `hosts` has, in percent.
fn imbalance(sim: &Sim, hosts: usize) -> usize {
    let loads = loads(sim);
    loads.values().max().map_or(0, |most| (most * hosts * 100 / sim.cluster.layout.routers).saturating_sub(100))
}

/// What this makes of decisions, in their order.
fn decided<T>(sim: &Sim, what: impl Fn(&Decision) -> Option<T>) -> Vec<(Time, T)> {
    sim.decisions.iter().filter_map(|(at, d)| Some((*at, what(d)?))).collect()
}

fn begun(sim: &Sim) -> Vec<(Time, String)> {
    decided(sim, |d| match d {
        Decision::Move { event: MoveEvent::Begun, cause, .. } => Some(cause.clone()),
        _ => None,
    })
}

/// 200 routers on five directors; a sixth joins, one dies and comes back. All at the documented figures.
#[test]
fn two_hundred_routers_on_five_directors() {
    let layout = Layout { directors: 6, voters: 5, late: 1, routers: 200, spread: true, moves: 1200, ..Layout::of(5) };
    let mut sim = started(layout, 1, ms(30_000));
    ended_well(&sim);
    assert!(imbalance(&sim, 5) <= 10, "{:?}", loads(&sim));
    let before = owners(&sim);
    assert!(before.iter().all(Option::is_some));
    let beginning = begun(&sim).len();
    println!("after the start: {beginning} moved, loads {:?}", loads(&sim));
    assert!(beginning <= 5, "directors take what is meant for them: {beginning} moved afterwards");

    sim.cluster.join_after(5, ms(1));
    sim.pass(ms(20_000));
    ended_well(&sim);
    let joined = owners(&sim);
    let (all, of_them) = (moved(&before, &joined), joined.iter().filter(|o| **o == Some(5)).count());
    println!("a sixth joined: {all} of 200 moved, loads {:?}", loads(&sim));
    assert_eq!((all, of_them), (200 / 6, 200 / 6), "one of N, all of them to who joined");
    assert!(imbalance(&sim, 6) <= 10, "{:?}", loads(&sim));
    let causes = begun(&sim).split_off(beginning);
    assert!(causes.len() >= all, "no move without a reason");
    assert!(causes.iter().all(|(_, cause)| cause == "rebalanced after lb6 joined"), "{causes:?}");
    let spaced = |a: &(Time, String), b: &(Time, String)| b.0.saturating_sub(a.0) >= ms(48);
    assert!(causes.windows(2).all(|pair| spaced(&pair[0], &pair[1])), "one after another");

    let own = loads(&sim)[&2];
    sim.cluster.kill(2);
    sim.pass(ms(20_000));
    ended_well(&sim);
    let lost = owners(&sim);
    println!("one with {own} died: {} of 200 moved, loads {:?}", moved(&joined, &lost), loads(&sim));
    assert!(moved(&joined, &lost) <= own + 200 / 6);
    assert!(imbalance(&sim, 5) <= 10 && lost.iter().all(Option::is_some), "{:?}", loads(&sim));
}

/// Moves and drains, one after another, while one host after the other is killed or stopped: what the
/// invariants say holds, and what was ordered holds in the end.
#[test]
fn orders_amid_faults() {
    for seed in 0..20 {
        let layout = Layout { routers: 3, spread: seed % 2 == 0, ..Layout::of(if seed % 3 == 0 { 5 } else { 3 }) };
        let mut sim = started(layout, seed, ms(16_000));
        let to = |host: usize| Wish::Move { what: "VI_1".to_owned(), node: format!("lb{}", host + 1) };
        for round in 0..6_usize {
            let target = (round + seed as usize) % 3;
            sim.cluster.order((round + 1) % 3, to(target));
            match (round + seed as usize) % 4 {
                0 => sim.cluster.stall_after(target, ms(seed % 7), ms(900)),
                1 => {
                    sim.pass(ms(seed % 5));
                    sim.cluster.kill(target);
                    sim.cluster.start_after(target, ms(700));
                }
                2 => sim.cluster.order(round % 3, Wish::Drain { node: format!("lb{}", (target + 1) % 3 + 1) }),
                _ => {}
            }
            sim.pass(ms(2500));
            ended_well(&sim);
        }
        for host in 1..=3 {
            sim.cluster.order(0, Wish::Undrain { node: format!("lb{host}") });
        }
        sim.pass(ms(12_000));
        sim.cluster.order(1, to(2));
        sim.pass(ms(12_000));
        ended_well(&sim);
        assert_eq!(sim.cluster.serving(0), [2], "seed {seed}: {:#?}", sim.cluster.story.tail());
    }
}

/// Two halves see different directors for a while: nobody serves twice, and nothing goes on moving.
#[test]
fn views_that_differ_do_not_flap() {
    for seed in 0..5 {
        let layout = Layout { routers: 20, spread: true, ..Layout::of(5) };
        let mut sim = started(layout, seed, ms(20_000));
        let one = Hosts::one(4);
        for (from, to) in [(one, one.others()), (one.others(), one)] {
            let rule = Rule { channel: Some(Channel::Mesh), from, to, trouble: Trouble::Cut };
            sim.cluster.disturb(rule, ms(15_000));
        }
        sim.pass(ms(15_000));
        ended_well(&sim);
        let cut = owners(&sim);
        assert!(cut.iter().all(|o| o.is_some_and(|host| host != 4)), "seed {seed}: {cut:?}");
        sim.pass(ms(25_000));
        ended_well(&sim);
        let healed = owners(&sim);
        assert_eq!(moved(&cut, &healed), 4, "seed {seed}: its share comes back, nothing else moves");
        let takeovers = |sim: &Sim| {
            decided(sim, |d| match d {
                Decision::Router { event: RouterEvent::Active { .. }, .. } => Some(()),
                _ => None,
            })
            .len()
        };
        let before = takeovers(&sim);
        sim.pass(ms(60_000));
        assert_eq!((takeovers(&sim), owners(&sim)), (before, healed), "seed {seed}");
    }
}

/// What happens is what was printed.
#[test]
fn a_drain_does_what_its_plan_says() {
    let layout = Layout { routers: 20, spread: true, ..Layout::of(5) };
    let mut sim = started(layout, 3, ms(20_000));
    let before = begun(&sim).len();
    sim.cluster.order(1, Wish::Plan { drain: Some("lb2".to_owned()) });
    let Some(Ok(Answer::Plan(plan))) = sim.cluster.answers.pop() else { panic!("no plan") };
    let shown = |m: mesh_control::PlannedMove| (m.routers[0].clone(), m.from, m.to, m.because);
    let plan: Vec<_> = plan.moves.into_iter().map(shown).collect();
    assert_eq!(plan.len(), 4, "{plan:?}");
    sim.cluster.order(2, Wish::Drain { node: "lb2".to_owned() });
    sim.pass(ms(8000));
    ended_well(&sim);
    let done = |d: &Decision| match d {
        Decision::Move { name, from, to, event: MoveEvent::Done, cause, .. } => {
            Some((name.clone(), from.clone(), to.clone(), cause.clone()))
        }
        _ => None,
    };
    let happened = decided(&sim, done).split_off(before);
    assert_eq!(happened.into_iter().map(|(_, m)| m).collect::<Vec<_>>(), plan);
    assert_eq!(loads(&sim).get(&1), None, "it is empty");
}
