//! What an operator would try by hand, each with the time it may take.

use std::time::Duration;

use mesh_core::{Engine, Input};
use mesh_sim::clock::{Time, ms};
use mesh_sim::cluster::{Cluster, Layout};
use mesh_sim::network::{Channel, Hosts, Rule, Trouble};
use mesh_sim::run::Sim;
use mesh_sim::story::{Recording, Story};

/// The router looked at; its worthiest host is the first.
const R: usize = 0;
const SEEDS: std::ops::Range<u64> = 0..20;
const FOREVER: Duration = ms(600_000);

fn layout(nodes: usize) -> Layout {
    Layout { routers: 1, ..Layout::of(nodes) }
}

/// Three directors with all invariants watched, settled: the worthiest serves.
fn settled(seed: u64) -> Sim {
    settled_as(seed, layout(3))
}

fn settled_as(seed: u64, layout: Layout) -> Sim {
    let mut cluster = Cluster::new(layout, seed, None, Story::new(Recording::Tail));
    cluster.start_all();
    let mut sim = Sim::new(cluster);
    sim.pass_until(ms(16_000 + seed * 37));
    assert_eq!(sim.cluster.serving(R).len(), 1, "seed {seed}: {:#?}", sim.cluster.story.tail());
    if layout.preempt {
        assert_eq!(sim.cluster.serving(R), [sim.cluster.worthiest(R)]);
    }
    sim.cluster.quiet_since = None;
    sim
}

fn cut(channel: Option<Channel>, from: Hosts, to: Hosts) -> Rule {
    Rule { channel, from, to, trouble: Trouble::Cut }
}

fn cut_both(sim: &mut Sim, channel: Option<Channel>, one: Hosts, other: Hosts) {
    sim.cluster.disturb(cut(channel, one, other), FOREVER);
    sim.cluster.disturb(cut(channel, other, one), FOREVER);
}

/// From `since` until another host than `than` serves.
fn served_by_another(sim: &Sim, than: usize, since: Time) -> Option<Duration> {
    let other = |(at, serving): &&(Time, Vec<usize>)| *at >= since && serving.iter().any(|h| *h != than);
    sim.history[R].iter().find(other).map(|(at, _)| *at - since)
}

/// Who served since then, one after another.
fn owners_since(sim: &Sim, since: Time) -> Vec<Vec<usize>> {
    sim.history[R].iter().filter(|(at, _)| *at >= since).map(|(_, serving)| serving.clone()).collect()
}

#[track_caller]
fn ended_well(sim: &Sim) {
    assert!(sim.violation.is_none(), "{:?}\n{:#?}", sim.violation, sim.cluster.story.tail());
}

#[track_caller]
fn nothing_moved(sim: &Sim, since: Time) {
    assert!(owners_since(sim, since).is_empty(), "{:#?}", sim.cluster.story.tail());
    ended_well(sim);
}

#[test]
fn a_killed_owner_is_replaced_within_1200_ms() {
    let mut worst = Duration::ZERO;
    for seed in SEEDS {
        let mut sim = settled(seed);
        let at = sim.cluster.now;
        sim.cluster.kill(0);
        sim.pass(ms(3000));
        let gap = served_by_another(&sim, 0, at).expect("somebody takes over");
        worst = worst.max(gap);
        assert_eq!(sim.cluster.serving(R), [1], "the next in rank");
        ended_well(&sim);
    }
    println!("worst: {worst:?}");
    assert!(worst <= ms(1200), "{worst:?}");
}

#[test]
fn a_frozen_owner_is_replaced_within_1200_ms_and_stays_closed_when_it_goes_on() {
    for seed in SEEDS {
        let mut sim = settled(seed);
        let at = sim.cluster.now;
        sim.cluster.stall(0, ms(5000));
        sim.pass(ms(5200));
        assert!(served_by_another(&sim, 0, at).expect("somebody takes over") <= ms(1200));
        ended_well(&sim);
    }
}

#[test]
fn an_orderly_stop_moves_within_50_ms() {
    for seed in SEEDS {
        let mut sim = settled(seed);
        let at = sim.cluster.now;
        sim.cluster.stop(0);
        sim.pass(ms(1000));
        let gap = served_by_another(&sim, 0, at).expect("somebody takes over");
        assert!(gap <= ms(50), "seed {seed}: {gap:?} {:#?}", sim.cluster.story.tail());
        assert!(sim.cluster.hosts[0].daemon.is_none(), "the daemon ends");
        ended_well(&sim);
    }
}

#[test]
fn without_adverts_nothing_moves_and_the_voters_are_named() {
    for seed in SEEDS {
        let mut sim = settled(seed);
        let at = sim.cluster.now;
        sim.cluster.disturb(cut(Some(Channel::Vrrp), Hosts::ALL, Hosts::ALL), FOREVER);
        sim.pass(ms(12_000));
        nothing_moved(&sim, at);
        let now = sim.cluster.hosts[1].now(sim.cluster.now);
        let status = sim.cluster.engine(1).expect("it runs").status(now);
        let veto = status.routers[0].veto.as_ref().expect("lb2 was refused");
        assert_eq!(veto.holder.as_deref(), Some("lb1"));
        assert!(veto.by.len() >= 2, "{veto:?}");
    }
}

#[test]
fn an_owner_cut_from_one_peer_stays() {
    for seed in SEEDS {
        let mut sim = settled(seed);
        let at = sim.cluster.now;
        cut_both(&mut sim, None, Hosts::one(0), Hosts::one(1));
        sim.pass(ms(12_000));
        nothing_moved(&sim, at);
    }
}

#[test]
fn an_owner_cut_from_all_is_replaced_within_1200_ms() {
    for seed in SEEDS {
        let mut sim = settled(seed);
        let at = sim.cluster.now;
        cut_both(&mut sim, None, Hosts::one(0), Hosts::one(0).others());
        sim.pass(ms(3000));
        assert!(served_by_another(&sim, 0, at).expect("somebody takes over") <= ms(1200), "seed {seed}");
        ended_well(&sim);
    }
}

#[test]
fn one_way_loss_never_makes_two_owners() {
    for (from, to) in [(Hosts::one(0), Hosts::one(0).others()), (Hosts::one(0).others(), Hosts::one(0))] {
        for seed in SEEDS {
            let mut sim = settled(seed);
            sim.cluster.disturb(cut(None, from, to), FOREVER);
            sim.pass(ms(12_000));
            assert_eq!(sim.cluster.serving(R), [1], "seed {seed}");
            ended_well(&sim);
        }
    }
}

#[test]
fn a_returning_higher_priority_takes_over_by_handover_within_20_ms() {
    let mut worst = Duration::ZERO;
    for seed in SEEDS {
        let mut sim = settled(seed);
        sim.cluster.kill(0);
        sim.pass(ms(3000));
        assert_eq!(sim.cluster.serving(R), [1]);
        let back = sim.cluster.now;
        sim.cluster.start_after(0, ms(1));
        sim.pass(ms(6000));
        assert_eq!(sim.cluster.serving(R), [0], "seed {seed}: {:#?}", sim.cluster.story.tail());
        worst = worst.max(sim.longest_gap(R, back));
        ended_well(&sim);
    }
    println!("worst: {worst:?}");
    assert!(worst <= ms(20), "{worst:?}");
}

#[test]
fn with_nopreempt_a_returning_higher_priority_waits() {
    for seed in SEEDS {
        let mut sim = settled_as(seed, Layout { preempt: false, ..layout(3) });
        let owner = sim.cluster.serving(R)[0];
        sim.cluster.kill(owner);
        sim.pass(ms(3000));
        let second = sim.cluster.serving(R);
        assert_eq!(second.len(), 1);
        assert_ne!(second, [owner]);
        let at = sim.cluster.now;
        sim.cluster.start_after(owner, ms(1));
        sim.pass(ms(12_000));
        nothing_moved(&sim, at);
    }
}

#[test]
fn a_script_that_fails_moves_the_address() {
    for seed in SEEDS {
        let mut sim = settled(seed);
        let at = sim.cluster.now;
        sim.cluster.script(0, false);
        sim.pass(ms(5000));
        assert_eq!(sim.cluster.serving(R), [1], "seed {seed}");
        assert!(sim.longest_gap(R, at) <= ms(20), "by handover");
        sim.cluster.script(0, true);
        sim.pass(ms(5000));
        assert_eq!(sim.cluster.serving(R), [0], "and back");
        ended_well(&sim);
    }
}

#[test]
fn four_directors_with_three_voters_lose_the_owner_that_does_not_vote() {
    for seed in SEEDS {
        let mut sim = settled_as(seed, Layout { routers: 2, ..layout(4) });
        assert_eq!(sim.cluster.serving(1), [3], "lb4 has no vote, and owns VI_2");
        let at = sim.cluster.now;
        sim.cluster.kill(3);
        sim.pass(ms(3000));
        let (_, next) = sim.history[1].iter().find(|(t, s)| *t > at && !s.is_empty()).expect("somebody takes over");
        assert_eq!(*next, [2], "the next in rank");
        ended_well(&sim);
    }
}

/// Hosts without a mesh: nobody votes, nothing is fenced.
fn plain(seed: u64) -> Sim {
    let mut cluster = Cluster::new(layout(3), seed, None, Story::new(Recording::Tail));
    (0..3).for_each(|host| cluster.start_after(host, ms(10 * host as u64)));
    let mut sim = Sim::with(cluster, Vec::new());
    sim.pass_until(ms(12_000));
    assert_eq!(sim.cluster.serving(R), [0]);
    sim
}

#[test]
fn without_a_mesh_it_is_plain_vrrp() {
    for seed in SEEDS {
        let mut sim = plain(seed);
        let at = sim.cluster.now;
        sim.cluster.reboot(0, ms(20_000));
        sim.pass(ms(6000));
        let gap = served_by_another(&sim, 0, at).expect("the next takes over");
        assert!(gap > ms(2000) && gap < ms(3700), "three intervals and a skew, not {gap:?}");
        assert_eq!(sim.cluster.serving(R), [1]);
        // Nobody vetoes: a segment without adverts has an owner on every host.
        sim.cluster.disturb(cut(Some(Channel::Vrrp), Hosts::ALL, Hosts::ALL), ms(8000));
        sim.pass(ms(7000));
        assert_eq!(sim.cluster.serving(R), [1, 2]);
        sim.pass(ms(5000));
        assert_eq!(sim.cluster.serving(R), [1]);
    }
}

#[test]
fn three_nodes_join_one_after_another_and_end_up_leased() {
    for seed in SEEDS {
        let mut cluster = Cluster::new(layout(3), seed, None, Story::new(Recording::Tail));
        let mut joined_at = Time::ZERO;
        for members in 1..=3 {
            let roster = layout(members).roster(members);
            for older in 0..members - 1 {
                cluster.tell(older, Input::Roster(roster.clone()));
            }
            cluster.hosts[members - 1].state = Some(roster.into());
            cluster.start_after(members - 1, ms(20));
            joined_at = cluster.now;
            let until = cluster.now + ms(8000);
            if members < 3 {
                while cluster.next_event() < until {
                    cluster.advance();
                }
                assert_eq!(cluster.serving(R), [0], "{members} voters");
            }
        }
        let mut sim = Sim::new(cluster);
        sim.cluster.quiet_since = None;
        sim.pass(ms(8000));
        assert_eq!(owners_since(&sim, joined_at).len(), 1, "it went on serving: {:#?}", sim.cluster.story.tail());
        // The proof that it is leased: what is cut off lets go.
        let at = sim.cluster.now;
        cut_both(&mut sim, None, Hosts::one(0), Hosts::one(0).others());
        sim.pass(ms(3000));
        assert!(served_by_another(&sim, 0, at).expect("somebody takes over") <= ms(1200));
        ended_well(&sim);
    }
}

/// Two directors, both voters, lb1 serves; nothing is watched, two may serve.
fn pair(seed: u64) -> Sim {
    let mut cluster = Cluster::new(layout(2), seed, None, Story::new(Recording::Tail));
    cluster.start_all();
    let mut sim = Sim::with(cluster, Vec::new());
    sim.pass_until(ms(12_000 + seed * 37));
    assert_eq!(sim.cluster.serving(R), [0]);
    assert!(leased(&sim, 0));
    sim
}

/// Whether a host serves under a lease, as far as it knows.
fn leased(sim: &Sim, host: usize) -> bool {
    let now = sim.cluster.hosts[host].now(sim.cluster.now);
    let status = sim.cluster.engine(host).expect("it runs").status(now);
    status.routers[0].protection == mesh_control::RouterProtection::Lease
}

/// No instant with two owners since then.
#[track_caller]
fn never_two(sim: &Sim, since: Time) {
    let owners = owners_since(sim, since);
    assert!(owners.iter().all(|serving| serving.len() < 2), "{owners:?}\n{:#?}", sim.cluster.story.tail());
}

#[test]
fn one_of_two_that_dies_or_freezes_is_replaced_within_1300_ms() {
    let mut worst = Duration::ZERO;
    for seed in SEEDS {
        for freeze in [false, true] {
            let mut sim = pair(seed);
            let at = sim.cluster.now;
            if freeze {
                sim.cluster.stall(0, ms(6000))
            } else {
                sim.cluster.kill(0)
            }
            sim.pass(ms(3000));
            worst = worst.max(served_by_another(&sim, 0, at).expect("the other takes over"));
            assert_eq!(sim.cluster.serving(R), [1]);
            assert!(!leased(&sim, 1), "nobody votes for it");
            sim.pass(ms(3500));
            if !freeze {
                sim.cluster.start_after(0, ms(1));
            }
            sim.pass(ms(12_000));
            assert_eq!(sim.cluster.serving(R), [0], "seed {seed}: {:#?}", sim.cluster.story.tail());
            assert!(leased(&sim, 0));
            never_two(&sim, at);
        }
    }
    println!("worst: {worst:?}");
    assert!(worst <= ms(1300), "{worst:?}");
}

#[test]
fn one_of_two_whose_peer_dies_serves_on() {
    for seed in SEEDS {
        let mut sim = pair(seed);
        let at = sim.cluster.now;
        sim.cluster.kill(1);
        sim.pass(ms(6000));
        assert!(!leased(&sim, 0));
        sim.cluster.start_after(1, ms(1));
        sim.pass(ms(8000));
        assert!(owners_since(&sim, at).is_empty(), "seed {seed}: {:#?}", sim.cluster.story.tail());
        assert!(leased(&sim, 0));
    }
}

#[test]
fn an_orderly_stop_of_one_of_two_moves_within_100_ms() {
    for seed in SEEDS {
        let mut sim = pair(seed);
        let at = sim.cluster.now;
        sim.cluster.stop(0);
        sim.pass(ms(1000));
        assert!(served_by_another(&sim, 0, at).expect("the other takes over") <= ms(100), "seed {seed}");
        never_two(&sim, at);
    }
}

/// Either path between the two is enough for one owner.
#[test]
fn two_that_have_lost_adverts_or_mesh_stay_one_owner() {
    for seed in SEEDS {
        for channel in [Channel::Vrrp, Channel::Mesh] {
            let mut sim = pair(seed);
            let at = sim.cluster.now;
            cut_both(&mut sim, Some(channel), Hosts::one(0), Hosts::one(1));
            sim.pass(ms(20_000));
            assert!(owners_since(&sim, at).is_empty(), "{channel:?}, seed {seed}: {:#?}", sim.cluster.story.tail());
            assert_eq!(leased(&sim, 0), channel == Channel::Vrrp);
        }
    }
}

/// What fewer than three voters cannot do: without any path between them both serve. One path that
/// comes back leaves the worthier, without a gap.
#[test]
fn two_that_are_cut_from_each_other_both_serve_until_they_meet() {
    for seed in SEEDS {
        for back in [Channel::Vrrp, Channel::Mesh] {
            let mut sim = pair(seed);
            let at = sim.cluster.now;
            cut_both(&mut sim, None, Hosts::one(0), Hosts::one(1));
            sim.pass(ms(6000));
            assert_eq!(sim.cluster.serving(R), [0, 1], "UNPROTECTED means this");
            sim.cluster.network.heal(sim.cluster.now);
            let lost = if back == Channel::Vrrp { Channel::Mesh } else { Channel::Vrrp };
            cut_both(&mut sim, Some(lost), Hosts::one(0), Hosts::one(1));
            let healed = sim.cluster.now;
            sim.pass(ms(1500));
            assert_eq!(sim.cluster.serving(R), [0], "{back:?}, seed {seed}: {:#?}", sim.cluster.story.tail());
            sim.pass(ms(10_000));
            never_two(&sim, healed + ms(1500));
            assert_eq!(sim.longest_gap(R, at), Duration::ZERO);
        }
    }
}

#[test]
fn two_owners_become_one_and_are_fenced_when_the_mesh_gets_its_third_voter() {
    for seed in SEEDS {
        let mut cluster = Cluster::new(layout(3), seed, None, Story::new(Recording::Tail));
        for host in 0..2 {
            cluster.hosts[host].state = Some(layout(2).roster(2).into());
            cluster.start_after(host, ms(20));
        }
        let mut sim = Sim::with(cluster, Vec::new());
        cut_both(&mut sim, None, Hosts::one(0), Hosts::one(1));
        sim.pass(ms(8000));
        assert_eq!(sim.cluster.serving(R), [0, 1], "UNPROTECTED means this");
        sim.cluster.network.heal(sim.cluster.now);
        let roster = layout(3).roster(3);
        for host in 0..2 {
            sim.cluster.tell(host, Input::Roster(roster.clone()));
        }
        sim.cluster.hosts[2].state = Some(roster.into());
        sim.cluster.start_after(2, ms(20));
        sim.pass(ms(5500));
        let first = sim.cluster.serving(R);
        assert_eq!(first.len(), 1, "seed {seed}: {:#?}", sim.cluster.story.tail());
        // From now on nobody's fence is missing: freeze the owner, then the next one.
        let mut sim = Sim::new(sim.cluster);
        sim.cluster.quiet_since = None;
        for _ in 0..4 {
            let owner = sim.cluster.serving(R)[0];
            sim.cluster.stall(owner, ms(5000));
            sim.pass(ms(16_000));
            ended_well(&sim);
        }
    }
}

/// A lone engine, for what takes a message at exactly the wrong moment.
fn lone(now: mesh_core::Instant, run: u64) -> Engine {
    let mut machine = Cluster::new(layout(3), 1, None, Story::new(Recording::Tail)).hosts.remove(0);
    machine.state = Some(layout(3).roster(3).into());
    let setup = mesh_core::Setup { unix_at_zero: Duration::from_secs(1_790_000_000), ..machine.setup(run) };
    let mut engine = Engine::new(setup, machine.config.clone(), now);
    engine.step(now, machine.interface());
    engine
}

/// The first request the engine sends from `now` on, and when.
fn first_request(engine: &mut Engine) -> (mesh_core::Instant, mesh_wire::mesh::lease::Request) {
    use mesh_core::Action;
    use mesh_wire::mesh::lease::Message;
    for _ in 0..100 {
        let (due, _) = engine.deadline().expect("a router has timers");
        for action in engine.step(due, Input::Timeout) {
            if let Action::SendMessage { message: Message::Request(request), .. } = action {
                return (due, request);
            }
        }
    }
    panic!("it never asks");
}

/// A daemon that was killed and started again must not take answers to its predecessor's requests
/// for its own: they promise less.
#[test]
fn an_answer_to_an_earlier_run_is_no_promise() {
    let start = mesh_core::Instant::from_nanos(100_000_000_000);
    let (at, before) = first_request(&mut lone(start, 1));
    let (_, after) = first_request(&mut lone(at + ms(500), 2));
    assert_eq!(before.claims, after.claims, "the same epoch, as far as a new run can know");
    assert!(after.seq > before.seq, "{} and then {}", before.seq, after.seq);
}
