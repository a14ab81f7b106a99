use super::*;

const A: u32 = 1;
const B: u32 = 2;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

// A round every 10 ms; per round who answered echo and ARP alike.
fn every_10_ms(answers: &[u32]) -> Report {
    let rounds = (0..).zip(answers).map(|(i, mask)| Round { at: ms(1000 + 10 * i), icmp: *mask, arp: *mask });
    report(rounds.collect())
}

fn report(rounds: Vec<Round>) -> Report {
    Report::new(vec!["a".into(), "b".into()], ms(10), rounds, Vec::new())
}

#[test]
fn one_owner_all_the_time() {
    let seen = every_10_ms(&[A; 10]);
    assert_eq!((seen.gap(), seen.dual()), (ms(0), ms(0)));
    assert_eq!(seen.served("a"), [Interval { from: ms(1000), to: ms(1090) }]);
    assert_eq!(seen.served("b"), []);
    assert_eq!(seen.owners(), ["a"]);
}

#[test]
fn a_clean_move_without_a_gap_is_not_two_owners() {
    let seen = every_10_ms(&[A, A, A, B, B]);
    assert_eq!((seen.gap(), seen.dual()), (ms(0), ms(0)));
    assert_eq!(seen.owners(), ["a", "b"]);
}

#[test]
fn a_gap_runs_from_the_first_unanswered_question_to_the_next_answer() {
    let seen = every_10_ms(&[A, 0, 0, 0, B, 0, B]);
    assert_eq!(seen.gap(), ms(30));
    assert_eq!(seen.dual(), ms(0));
}

#[test]
fn a_gap_that_never_ends_counts_to_the_last_question() {
    assert_eq!(every_10_ms(&[A, 0, 0]).gap(), ms(20));
    assert_eq!(every_10_ms(&[0, 0, 0, 0]).gap(), ms(40));
}

#[test]
fn two_that_answer_the_same_round_serve_both() {
    let seen = every_10_ms(&[A, A | B, A | B, B]);
    assert_eq!(seen.dual(), ms(20));
    assert_eq!(seen.owners(), ["a", "b"]);
}

#[test]
fn two_that_answer_in_turns_serve_both() {
    // Each one's frames get lost now and then: no round has two answers, and still both are there.
    let seen = every_10_ms(&[A, A, B, A, B, A, B, B]);
    assert_eq!(seen.dual(), ms(40));
    assert_eq!(seen.gap(), ms(0));
}

#[test]
fn an_owner_that_went_and_came_back_is_not_there_meanwhile() {
    let seen = every_10_ms(&[A, A, B, B, B, B, A]);
    assert_eq!(seen.dual(), ms(0));
    assert_eq!(seen.owners(), ["a", "b", "a"]);
}

#[test]
fn an_arp_answer_alone_makes_a_second_owner_but_serves_nobody() {
    let rounds = vec![
        Round { at: ms(0), icmp: A, arp: A | B },
        Round { at: ms(10), icmp: 0, arp: B },
        Round { at: ms(20), icmp: A, arp: A },
    ];
    let seen = report(rounds);
    assert_eq!(seen.gap(), ms(10), "who answers ARP and nothing else does not serve");
    assert_eq!(seen.dual(), ms(20), "a is bridged over the round it missed");
}

#[test]
fn a_pause_of_the_judge_is_not_an_outage() {
    let at = [0, 10, 400, 410, 420];
    let all_answered = report(at.map(|t| Round { at: ms(t), icmp: A, arp: A }).to_vec());
    assert_eq!((all_answered.gap(), all_answered.late()), (ms(0), ms(390)));

    let masks = [A, A, 0, 0, A];
    let rounds = at.iter().zip(masks).map(|(t, mask)| Round { at: ms(*t), icmp: mask, arp: mask }).collect();
    assert_eq!(report(rounds).gap(), ms(20), "nothing was asked before 400");

    let masks = [A, 0, A, A, A];
    let rounds = at.iter().zip(masks).map(|(t, mask)| Round { at: ms(*t), icmp: mask, arp: mask }).collect();
    assert_eq!(report(rounds).gap(), ms(20), "nor between the last unanswered and the next");

    let rounds = at.map(|t| Round { at: ms(t), icmp: A, arp: B }).to_vec();
    assert_eq!(report(rounds).dual(), ms(10 + 20 + 10 + 10 + 10), "two owners are counted only where they were seen");
}

#[test]
fn a_window_sees_only_what_was_sent_in_it() {
    let seen = every_10_ms(&[A, 0, 0, B, A | B, B]);
    let window = seen.window(ms(1030), ms(1050));
    assert_eq!((window.gap(), window.dual()), (ms(0), ms(10)));
    assert_eq!(seen.window(ms(1000), ms(1040)).dual(), ms(0));
}

#[test]
fn the_client_is_measured_on_its_own() {
    let client = vec![(ms(0), true), (ms(10), false), (ms(20), false), (ms(30), true)];
    let seen = Report::new(vec!["a".into()], ms(10), Vec::new(), client);
    assert_eq!((seen.gap(), seen.client_gap()), (ms(0), ms(20)));
}

#[test]
fn late_rounds_are_counted() {
    let at = [0, 10, 20, 50, 60];
    let seen = report(at.map(|t| Round { at: ms(t), icmp: A, arp: A }).to_vec());
    assert_eq!(seen.late(), ms(30));
    assert_eq!(seen.share_later_than(ms(20)), 0.2);
}
