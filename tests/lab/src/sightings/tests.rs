use super::*;

const A: usize = 0;
const B: usize = 1;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

// A round every 5 ms from 1 s on; who answered, and after how many ms.
fn every_5_ms(answers: &[&[(usize, u64)]]) -> Sightings {
    let mut seen = Sightings::new(vec!["a".into(), "b".into()], ms(5), vec![Ipv4Addr::LOCALHOST]);
    for (i, answers) in (0..).zip(answers) {
        let round = seen.begin_round(ms(1000 + 5 * i));
        for (host, after) in *answers {
            let at = ms(1000 + 5 * i + after);
            seen.note(0, Sighting { host: *host, round, at, kind: Seen::Echo });
        }
    }
    seen
}

const BY_A: &[(usize, u64)] = &[(A, 0)];
const BY_B: &[(usize, u64)] = &[(B, 0)];
const BOTH: &[(usize, u64)] = &[(A, 0), (B, 0)];
const NOBODY: &[(usize, u64)] = &[];

#[test]
fn a_move_is_no_overlap() {
    let seen = every_5_ms(&[BY_A, BY_A, NOBODY, BY_B, BY_B]);
    assert_eq!(seen.overlaps(0), []);
    assert_eq!(seen.outages(0), [], "a single round is a lost frame");
    let (a, b) = (Stay { host: A, from: ms(1000), to: ms(1005) }, Stay { host: B, from: ms(1015), to: ms(1020) });
    assert_eq!(seen.stays(0), [a, b]);
}

#[test]
fn two_answers_in_the_round_of_the_move_prove_nothing() {
    assert_eq!(every_5_ms(&[BY_A, BOTH, BY_B, BY_B]).overlaps(0), []);
}

#[test]
fn an_answer_between_two_of_another_is_an_overlap() {
    let seen = every_5_ms(&[BY_A, BOTH, BY_A, BY_A]);
    assert_eq!(seen.overlaps(0), [Overlap { host: B, between: A, at: ms(1005) }]);
    assert_eq!(seen.dual(0), ms(5));
}

#[test]
fn two_that_answer_in_turns_overlap() {
    let seen = every_5_ms(&[BY_A, BY_B, BY_A, BY_B, BY_A]);
    assert_eq!(seen.dual(0), ms(15), "all but the first and the last");
}

#[test]
fn an_overlap_is_as_long_as_both_answer() {
    let mut rounds = vec![BY_A; 20];
    rounds.extend([BOTH; 40]);
    rounds.extend([BY_B; 20]);
    let dual = every_5_ms(&rounds).dual(0);
    assert!((ms(190)..=ms(200)).contains(&dual), "{dual:?}");
}

#[test]
fn an_owner_that_went_and_came_back_does_not_overlap() {
    assert_eq!(every_5_ms(&[BY_A, BY_B, BY_B, BY_B, BY_B, BY_B, BY_A]).overlaps(0), []);
}

#[test]
fn a_late_answer_proves_nothing() {
    // B's answer to the first round may have been given as late as after A's last.
    assert_eq!(every_5_ms(&[&[(A, 0), (B, 12)], BY_A, BY_A, BY_B, BY_B]).overlaps(0), []);
    // A's first may have been given after B's.
    assert_eq!(every_5_ms(&[&[(A, 8)], BY_B, BY_A]).overlaps(0), []);
}

#[test]
fn an_arp_answer_alone_overlaps_and_serves_nobody() {
    let mut rounds = vec![NOBODY; 15];
    rounds[..3].fill(BY_A);
    rounds[14] = BY_A;
    let mut seen = every_5_ms(&rounds);
    seen.note(0, Sighting { host: B, round: 1, at: ms(1005), kind: Seen::Arp });
    seen.note(0, Sighting { host: B, round: 8, at: ms(1040), kind: Seen::Arp });
    assert_eq!(seen.overlaps(0), [Overlap { host: B, between: A, at: ms(1005) }]);
    assert_eq!(seen.outages(0), [ms(1015)..ms(1070)]);
}

#[test]
fn an_outage_that_does_not_end_lasts_to_the_last_round() {
    assert_eq!(every_5_ms(&[BY_A, NOBODY, NOBODY, NOBODY, NOBODY]).outages(0), [ms(1005)..ms(1020)]);
    assert_eq!(every_5_ms(&[]).outages(0), []);
}

#[test]
fn pauses_of_the_judge_are_known() {
    let mut seen = every_5_ms(&[BY_A, BY_A]);
    for at in [1300, 1305] {
        let round = seen.begin_round(ms(at));
        seen.note(0, Sighting { host: A, round, at: ms(at), kind: Seen::Echo });
    }
    assert_eq!(seen.stays(0), [Stay { host: A, from: ms(1000), to: ms(1305) }], "nothing says that it went");
    assert_eq!(seen.blind(ms(20)), [ms(1005)..ms(1300)]);
    assert_eq!(seen.observed(), ms(1000)..ms(1305));
}

#[test]
fn an_answer_to_a_round_that_never_was_is_dropped() {
    let mut seen = every_5_ms(&[BY_A]);
    seen.note(0, Sighting { host: A, round: 7, at: ms(1001), kind: Seen::Echo });
    assert_eq!(seen.stays(0).len(), 1);
}
