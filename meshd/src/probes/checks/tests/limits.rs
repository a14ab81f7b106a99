use std::collections::BTreeSet;

use super::super::MOST_RUNS;
use super::*;

#[tokio::test]
async fn what_is_decided_elsewhere_is_not_run() {
    let to = SocketAddr::from(([127, 0, 0, 1], 1));
    let file = CheckKind::File { file: "f".to_owned(), weight: 1, reverse: false, dynamic: false };
    assert_eq!(ask(check(file, to)).await, failure("FILE_CHECK is decided by its file, and not run"));
    let bfd = CheckKind::Bfd { instance: "b".to_owned() };
    assert_eq!(ask(check(bfd, to)).await, failure("BFD_CHECK is decided by its session, and not run"));
}

#[tokio::test]
async fn answers_wait_for_room_and_none_is_lost() {
    let (send, mut receive) = mpsc::channel(1);
    let checkers = Checkers::new(CheckerSettings::default(), send);
    let refused = Arc::new(check(CheckKind::Tcp, nobody().await));
    for number in 0..200 {
        checkers.start(CheckRun { check: 1, number }, Arc::clone(&refused), 0);
    }
    let mut answered = BTreeSet::new();
    while answered.len() < 200 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        match timeout(LONG, receive.recv()).await.unwrap().unwrap() {
            Input::Checked { run, outcome } => {
                assert_eq!(outcome, failure("connection refused"));
                assert!(answered.insert(run), "{run:?} answered twice");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn more_than_enough_fail_at_once() {
    let (send, mut receive) = mpsc::channel(1);
    let checkers = Checkers::new(CheckerSettings::default(), send);
    // On this thread none of them begins before this function waits.
    let silent = Arc::new(check(
        CheckKind::File { file: String::new(), weight: 0, reverse: false, dynamic: false },
        nobody().await,
    ));
    let most = MOST_RUNS as u64;
    for number in 0..most + 2 {
        checkers.start(CheckRun { check: 1, number }, Arc::clone(&silent), 0);
    }
    let mut turned_away = Vec::new();
    for _ in 0..most + 2 {
        let Some(Input::Checked { run, outcome }) = timeout(LONG, receive.recv()).await.unwrap() else { panic!() };
        if outcome == failure("16384 checks are under way already") {
            turned_away.push(run.number);
        }
    }
    turned_away.sort_unstable();
    assert_eq!(turned_away, [most, most + 1]);
    // And there is room again.
    checkers.start(CheckRun { check: 2, number: 1 }, silent, 0);
    let Some(Input::Checked { outcome, .. }) = timeout(LONG, receive.recv()).await.unwrap() else { panic!() };
    assert_eq!(outcome, failure("FILE_CHECK is decided by its file, and not run"));
}

#[tokio::test]
async fn a_run_that_panics_has_failed() {
    let (send, mut receive) = mpsc::channel(1);
    let run = CheckRun { check: 1, number: 2 };
    super::super::carry(run, send, async { panic!("planted") }).await;
    let Some(Input::Checked { run: answered, outcome }) = receive.recv().await else { panic!() };
    assert_eq!((answered, outcome), (run, failure("the checker itself failed")));
}
