use std::collections::BTreeSet;

use super::*;

const MINUTE: Duration = Duration::from_secs(60);
const SHAPES: [Shape; 3] = [Shape::Three, Shape::TwoAndWitness, Shape::Five];

#[test]
fn a_seed_makes_the_same_schedule_again_and_its_text_does_too() {
    for shape in SHAPES {
        for seed in 0..50 {
            let schedule = Schedule::random(shape, seed, MINUTE);
            assert_eq!(schedule, Schedule::random(shape, seed, MINUTE));
            assert_eq!(schedule.to_string().parse::<Schedule>().expect("it reads its own text"), schedule);
        }
    }
    assert_ne!(Schedule::random(Shape::Three, 1, MINUTE).faults, Schedule::random(Shape::Three, 2, MINUTE).faults);
}

#[test]
fn schedules_keep_to_their_time_and_use_every_fault() {
    for shape in SHAPES {
        let mut kinds = BTreeSet::new();
        for seed in 0..200 {
            let schedule = Schedule::random(shape, seed, MINUTE);
            assert!((15..100).contains(&schedule.faults.len()), "{} faults", schedule.faults.len());
            assert!(schedule.faults.is_sorted_by_key(|fault| fault.at));
            assert!(schedule.faults.iter().all(|fault| fault.at + fault.lasts <= MINUTE));
            kinds.extend(schedule.faults.iter().map(|fault| fault.what.kind()));
        }
        // Four troubles of three channels, one way or both; eight of hosts; and two more.
        assert_eq!(kinds.len(), 4 * 3 * 2 + 8 + 2, "{kinds:?}");
    }
}

#[test]
fn a_host_has_one_trouble_at_a_time() {
    for seed in 0..100 {
        let mut busy = [Duration::ZERO; 5];
        for fault in Schedule::random(Shape::Five, seed, MINUTE).faults {
            let hosts = match &fault.what {
                What::Hosts { hosts, .. } => hosts.clone(),
                What::Unaddress { host, .. } => vec![*host],
                What::Wires { .. } | What::Burn => Vec::new(),
            };
            for host in hosts {
                assert!(busy[host] < fault.at, "seed {seed}: {fault}");
                busy[host] = fault.at + fault.lasts;
            }
        }
    }
}

#[test]
fn what_is_wrong_in_a_text_is_named_with_its_line() {
    for (line, says) in [
        ("1.0 +1.0 explode lb1", "no fault explode"),
        ("1.0 +1.0 stall lb9", "no host lb9"),
        ("1.0 1.0 stall lb1", "+SECONDS"),
        ("1.0 +1.0 cut mesh lb1", "from whom"),
        ("1.0 +1.0 cut tcp lb1>lb2", "none of all, mesh, vrrp"),
        ("1.0 +1.0 lose 0 mesh lb1>lb2", "1 to 100"),
        ("1.0 +1.0 late 9-3 mesh lb1>lb2", "9 to 3"),
        ("1.0 +1.0 unaddress lb1 10.9.9.9", "no address"),
    ] {
        let error = format!("shape 3\nseed 1\nseconds 9\n{line}\n").parse::<Schedule>().expect_err(line);
        let error = format!("{error:#}");
        assert!(error.starts_with("line 4") && error.contains(says), "{error}");
    }
    let error = "shape 3\nseed 1\nseconds 9\n8.5 +1.0 stall lb1\n".parse::<Schedule>().expect_err("too long");
    assert!(error.to_string().contains("ends after"), "{error}");
}

#[test]
fn comments_and_both_ways_are_read() {
    let text = "# by hand\nshape 2w\nseed 3\nseconds 9\n\n1.0 +1.0 cut all lb1,lb2<>lb3 # a witness alone\n";
    let schedule: Schedule = text.parse().expect("it is right");
    assert_eq!(schedule.faults[0].what.wires(), [(0, 2), (2, 0), (1, 2), (2, 1)]);
}
