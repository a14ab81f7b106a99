use std::net::Ipv4Addr;

use mesh_lab::{Seen, Sighting};

use super::*;

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

fn secs(n: f64) -> Duration {
    Duration::from_secs_f64(n)
}

fn schedule(shape: &str, faults: &str) -> Schedule {
    format!("shape {shape}\nseed 1\nseconds 40\n{faults}\n").parse().expect("a schedule")
}

// A round every 5 ms for 52 s; each host answers in its times. The faults take place as they are written.
fn evidence<'a>(schedule: &'a Schedule, voters: &[usize], serve: &[(usize, Range<f64>)]) -> Evidence<'a> {
    let names = (0..schedule.shape.hosts()).map(|host| schedule.shape.name(host)).collect();
    let mut sightings = Sightings::new(names, Duration::from_millis(5), vec![Ipv4Addr::new(10, 1, 1, 80)]);
    for i in 0..52 * 200 {
        let at = Duration::from_millis(5 * i);
        let round = sightings.begin_round(at);
        for (host, _) in serve.iter().filter(|(_, times)| times.contains(&at.as_secs_f64())) {
            sightings.note(0, Sighting { host: *host, round, at: at + Duration::from_micros(200), kind: Seen::Echo });
        }
    }
    let done = schedule.faults.iter().enumerate().map(|(i, fault)| (i, fault.at, fault.at + fault.lasts)).collect();
    let last = serve.iter().rev().find(|(_, times)| times.end >= 52.0).map(|(host, _)| *host);
    let deeds =
        Deeds { done, healed: Some(schedule.length), left: vec![last.into_iter().collect()], ..Deeds::default() };
    Evidence { schedule, voters: voters.to_vec(), sightings, deeds }
}

fn violations(evidence: &Evidence<'_>) -> Vec<Violation> {
    judge(evidence).violations
}

const END: f64 = 60.0;

#[test]
fn a_takeover_within_the_budget_is_all_right() {
    let schedule = schedule("3", "10 +5 kill lb1");
    let evidence = evidence(&schedule, &[A, B, C], &[(A, 0.0..11.0), (B, 11.9..END)]);
    let verdict = judge(&evidence);
    assert_eq!(verdict.violations, []);
    assert_eq!(verdict.summary.takeovers, 1);
    assert_eq!(verdict.summary.outages["kill"], [secs(0.9)]);
    assert_eq!(verdict.summary.healed_after, Duration::ZERO);
}

#[test]
fn two_at_once_are_found_whenever_they_are() {
    let schedule = schedule("3", "10 +5 stall lb1");
    for voters in [&[A, B, C][..], &[]] {
        let evidence = evidence(&schedule, voters, &[(A, 0.0..15.0), (B, 14.0..END)]);
        let verdict = judge(&evidence);
        let [Violation::TwoAtOnce { dual, first, .. }] = verdict.violations.as_slice() else {
            panic!("{:?}", verdict.violations)
        };
        assert!((secs(0.98)..=secs(1.0)).contains(dual) && *dual == verdict.dual(), "{dual:?}");
        assert!((secs(14.0)..secs(14.02)).contains(first), "{first:?}");
    }
}

#[test]
fn an_outage_with_a_whole_majority_is_found() {
    let schedule = schedule("3", "10 +20 kill lb1");
    let evidence = evidence(&schedule, &[A, B, C], &[(A, 0.0..11.0), (B, 16.5..END)]);
    let found = violations(&evidence);
    let [Violation::NotServed { whole, lasted, .. }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((whole.join(","), *lasted), ("lb2,lb3".into(), secs(5.5)));
}

#[test]
fn without_a_whole_majority_an_outage_may_last() {
    // Two of three are down; in the second, the wire between those that are left is cut one way.
    for faults in ["10 +20 kill lb1\n10 +20 stall lb2", "10 +20 kill lb1\n10 +20 cut mesh lb3>lb2", "10 +20 burn"] {
        let schedule = schedule("3", faults);
        let evidence = evidence(&schedule, &[A, B, C], &[(A, 0.0..10.0), (B, 30.5..END)]);
        assert_eq!(violations(&evidence), [], "{faults}");
    }
}

#[test]
fn faults_of_vrrp_alone_and_repairs_are_no_excuse() {
    for fault in ["10 +20 cut vrrp lb1<>lb2,lb3", "10 +20 repeat 5-50 mesh lb1<>lb2,lb3", "10 +1 flush lb1"] {
        let schedule = schedule("3", fault);
        let evidence = evidence(&schedule, &[A, B, C], &[(A, 0.0..10.0), (A, 16.0..END)]);
        assert!(matches!(violations(&evidence)[..], [Violation::NotServed { .. }]), "{fault}");
    }
}

#[test]
fn a_witness_and_one_director_have_to_serve() {
    let schedule = schedule("2w", "10 +20 reboot lb1");
    let evidence = evidence(&schedule, &[A, B, C], &[(A, 0.0..10.0), (B, 15.5..END)]);
    let found = violations(&evidence);
    let [Violation::NotServed { whole, .. }] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(whole.join(","), "lb2,lb3");
}

#[test]
fn a_majority_of_witnesses_needs_a_director() {
    assert_eq!(majorities(1, &[0, 1, 2]), [vec![0, 1], vec![0, 2], vec![1, 2, 0]]);
    assert_eq!(majorities(5, &[0, 1, 2, 3, 4]).len(), 10);
    assert!(majorities(3, &[]).is_empty(), "without voters nothing is promised");
}

#[test]
fn what_is_not_well_in_the_end_is_found() {
    let schedule = schedule("3", "10 +5 cable lb1");
    let nobody = evidence(&schedule, &[A, B, C], &[(A, 0.0..51.0)]);
    assert!(violations(&nobody).iter().any(|v| matches!(v, Violation::NotHealed { .. })));
    let moved_late = evidence(&schedule, &[A, B, C], &[(A, 0.0..50.5), (B, 50.6..END)]);
    assert!(violations(&moved_late).iter().any(|v| matches!(v, Violation::NotHealed { .. })));
    let in_time = evidence(&schedule, &[A, B, C], &[(A, 0.0..48.0), (B, 48.5..END)]);
    assert_eq!(violations(&in_time), []);
}

#[test]
fn an_address_on_a_host_that_does_not_serve_is_left_behind() {
    let schedule = schedule("3", "10 +5 cable lb1");
    let mut evidence = evidence(&schedule, &[A, B, C], &[(A, 0.0..END)]);
    evidence.deeds.left = vec![vec![A, C]];
    let hosts = vec!["lb3".to_string()];
    assert_eq!(violations(&evidence), [Violation::LeftBehind { vip: "10.1.1.80".into(), hosts }]);
}

#[test]
fn a_blind_judge_blames_nobody_but_itself() {
    let schedule = schedule("3", "10 +5 cable lb1");
    let mut evidence = evidence(&schedule, &[A, B, C], &[(A, 0.0..END)]);
    let names = evidence.sightings.names.clone();
    let mut sightings = Sightings::new(names, Duration::from_millis(5), evidence.sightings.vips.clone());
    for at in (0..52_000).step_by(5).filter(|at| !(20_000..40_000).contains(at)) {
        let at = Duration::from_millis(at);
        let round = sightings.begin_round(at);
        // Unanswered right before and after the pause.
        if !(secs(19.9)..secs(40.1)).contains(&at) {
            sightings.note(0, Sighting { host: A, round, at, kind: Seen::Echo });
        }
    }
    evidence.sightings = sightings;
    let found = violations(&evidence);
    let [Violation::Unobserved(share)] = found.as_slice() else { panic!("{found:?}") };
    assert!((0.38..0.39).contains(share), "{share}");
}
