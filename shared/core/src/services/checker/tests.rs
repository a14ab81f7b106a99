use std::net::SocketAddr;

use mesh_config::model::{Connect, HttpCheck, HttpProtocol, Script, Url};

use super::*;

fn to() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 11], 80))
}

/// `delay_loop` 10 s, `delay_before_retry` 2 s, `retry` 2.
fn check(kind: CheckKind) -> Check {
    let mut check = Check::new(kind, to());
    (check.delay_loop, check.delay_before_retry) = (Duration::from_secs(10), Duration::from_secs(2));
    check.retry = 2;
    check
}

fn http(urls: usize, fast_recovery: bool) -> CheckKind {
    let url = |n| Url { path: format!("/{n}"), virtualhost: None, digest: None, status: vec![(200, 299)], regex: None };
    CheckKind::Http(HttpCheck {
        tls: false,
        protocol: HttpProtocol::V10,
        sni: None,
        fast_recovery,
        urls: (0..urls).map(url).collect(),
    })
}

fn smtp(hosts: usize) -> CheckKind {
    CheckKind::Smtp { helo_name: None, hosts: vec![Connect::new(to()); hosts] }
}

fn dns() -> CheckKind {
    CheckKind::Dns { record: "SOA".to_owned(), name: ".".to_owned() }
}

fn misc(dynamic: bool) -> CheckKind {
    let script = Script { command: vec!["/bin/check".to_owned()], user: None };
    CheckKind::Misc { script, timeout: Duration::from_secs(5), dynamic }
}

fn checker(check: Check, fresh: bool) -> Checker {
    Checker::all_of(&Arc::new(check), fresh, || 1).remove(0)
}

/// Feeds results (`+` and `-`) of runs that take 1 s each; tells for each what was asked, how long
/// after its end the next run comes, and what is thought of the server then.
fn feed(checker: &mut Checker, results: &str) -> Vec<String> {
    let mut now = Instant::from_nanos(0);
    let mut one = |result| {
        let step = checker.step();
        checker.start(now, 1);
        now = now + Duration::from_secs(1);
        let outcome = if result == '+' { Outcome::Success } else { Outcome::Failure("refused".to_owned()) };
        checker.end(now, &outcome, 1);
        let due = checker.due.unwrap();
        let text = format!("{step}{result} {} {}", due.since(now).as_secs(), if checker.up { "up" } else { "down" });
        now = due;
        text
    };
    results.chars().map(&mut one).collect()
}

#[test]
fn right_after_the_start_one_failure_is_enough() {
    for kind in [CheckKind::Tcp, dns(), misc(false), CheckKind::Ping, http(1, false)] {
        let mut fresh = checker(check(kind), true);
        feed(&mut fresh, "-");
        assert!(!fresh.up, "{:?}", fresh.check.kind);
    }
    let mut mail = checker(check(smtp(1)), true);
    assert_eq!(feed(&mut mail, "---"), ["0- 2 up", "0- 2 up", "0- 10 down"]);
}

#[test]
fn later_retries_come_first_and_one_success_is_enough() {
    let mut tcp = checker(check(CheckKind::Tcp), true);
    let expected = ["0+ 10 up", "0- 2 up", "0- 2 up", "0- 10 down", "0- 2 down", "0- 2 down", "0- 10 down", "0+ 10 up"];
    assert_eq!(feed(&mut tcp, "+------+"), expected);
}

#[test]
fn a_success_between_failures_starts_the_count_again() {
    let mut tcp = checker(check(CheckKind::Tcp), true);
    assert_eq!(
        feed(&mut tcp, "+--+--+"),
        ["0+ 10 up", "0- 2 up", "0- 2 up", "0+ 10 up", "0- 2 up", "0- 2 up", "0+ 10 up"]
    );
}

#[test]
fn dns_does_not_retry_what_is_down() {
    let mut checker = checker(check(dns()), true);
    let expected = ["0+ 10 up", "0- 2 up", "0- 2 up", "0- 10 down", "0- 10 down", "0- 10 down", "0+ 10 up"];
    assert_eq!(feed(&mut checker, "+-----+"), expected);
}

#[test]
fn misc_counts_from_the_start_of_a_run() {
    let mut checker = checker(check(misc(false)), true);
    let expected = ["0+ 9 up", "0- 1 up", "0- 1 up", "0- 9 down", "0- 9 down", "0+ 9 up"];
    assert_eq!(feed(&mut checker, "+----+"), expected);
}

#[test]
fn a_misc_check_that_took_longer_than_its_delay_runs_again_at_once() {
    let mut checker = checker(check(misc(false)), true);
    checker.start(Instant::from_nanos(0), 1);
    let end = Instant::from_nanos(60_000_000_000);
    checker.end(end, &Outcome::Success, 1);
    assert_eq!(checker.due, Some(end));
}

#[test]
fn urls_are_asked_one_after_the_other() {
    let mut checker = checker(check(http(3, false)), true);
    assert_eq!(feed(&mut checker, "++++"), ["0+ 10 up", "1+ 10 up", "2+ 10 up", "0+ 10 up"]);
}

#[test]
fn an_url_that_failed_is_asked_alone_and_then_all() {
    let mut checker = checker(check(http(2, false)), true);
    let expected = [
        "0+ 10 up",
        "1+ 10 up",
        "0+ 10 up",
        "1- 2 up",
        "1- 2 up",
        "1- 10 down",
        "1- 10 down",
        "1+ 10 down",
        "0+ 10 down",
        "1+ 10 up",
    ];
    assert_eq!(feed(&mut checker, "+++----+++"), expected);
}

#[test]
fn with_alpha_all_urls_come_before_up() {
    let mut alpha = check(http(3, false));
    alpha.alpha = true;
    let mut slow = checker(alpha.clone(), true);
    assert_eq!(feed(&mut slow, "+++"), ["0+ 10 down", "1+ 10 down", "2+ 10 up"]);
    alpha.kind = http(3, true);
    let mut fast = checker(alpha, true);
    assert_eq!(feed(&mut fast, "+++"), ["0+ 0 down", "1+ 0 down", "2+ 10 up"]);
}

#[test]
fn fast_recovery_never_asks_without_a_pause_what_fails() {
    let mut checker = checker(check(http(2, true)), true);
    // Down by the second URL; it comes back, and the first fails.
    let expected = ["0+ 0 up", "1- 10 down", "1+ 0 down", "0- 2 down", "0- 2 down", "0+ 0 down", "1+ 10 up"];
    assert_eq!(feed(&mut checker, "+-+--++"), expected);
}

#[test]
fn each_smtp_host_is_a_check_of_its_own() {
    let mut ids = 0;
    let all = Checker::all_of(&Arc::new(check(smtp(2))), true, || {
        ids += 1;
        ids
    });
    assert_eq!(all.iter().map(|c| (c.id, c.step())).collect::<Vec<_>>(), [(1, 0), (2, 1)]);
}

#[test]
fn a_misc_check_sets_the_weight_and_a_failure_takes_that_back() {
    let mut checker = checker(check(misc(true)), true);
    let mut end = |outcome: &Outcome| {
        checker.start(Instant::from_nanos(0), 1);
        let ended = checker.end(Instant::from_nanos(1), outcome, 5);
        (checker.delta, ended.weighed, ended.changed)
    };
    let failure = Outcome::Failure("exit status 1".to_owned());
    assert_eq!(end(&Outcome::Weight(8)), (3, true, false));
    assert_eq!(end(&Outcome::Weight(8)), (3, false, false));
    assert_eq!(end(&Outcome::Weight(0)), (-5, true, false));
    assert_eq!(end(&Outcome::Success), (0, true, false));
    assert_eq!(end(&Outcome::Weight(8)), (3, true, false));
    end(&failure);
    end(&failure);
    assert_eq!(end(&failure), (0, false, true));
    assert_eq!(end(&Outcome::Weight(8)), (3, true, true));
}

#[test]
fn mails_are_keepalived_s() {
    let text = |kind: CheckKind, results: &[Outcome]| {
        let mut checker = checker(check(kind), true);
        let mut mails = Vec::new();
        for outcome in results {
            checker.start(Instant::from_nanos(0), 1);
            mails.extend(checker.end(Instant::from_nanos(1), outcome, 1).mail);
        }
        mails
    };
    let both = [Outcome::Failure("refused".to_owned()), Outcome::Success];
    let expected = ["=> TCP CHECK failed on service <=", "=> TCP CHECK succeed on service <="];
    assert_eq!(text(CheckKind::Tcp, &both), expected);
    let expected = ["=> ICMP CHECK failed on service <=", "=> ICMP CHECK succeed on service <="];
    assert_eq!(text(CheckKind::Ping, &both), expected);
    let expected = ["=> UDP CHECK failed on service <=", "=> UDP CHECK succeed on service <="];
    assert_eq!(text(CheckKind::Udp { payload: None, reply: None }, &both), expected);
    let expected = ["=> DNS_CHECK: failed on service <=", "=> DNS_CHECK: succeed on service <="];
    assert_eq!(text(dns(), &both), expected);
    let expected = ["=> MISC CHECK failed on service <=", "=> MISC CHECK succeeded on service <="];
    assert_eq!(text(misc(false), &both), expected);
    // As the probe and this machine itself say it.
    for late in ["no end in 3 s", "no answer in 13 s"] {
        let expected = ["=> MISC CHECK timed out on service <="];
        assert_eq!(text(misc(false), &[Outcome::Failure(late.to_owned())]), expected);
    }
    // The failed URL is back first, and then all of them.
    let three = [both[0].clone(), Outcome::Success, Outcome::Success];
    let expected = ["=> CHECK failed on service : HTTP request failed <=", "=> CHECK succeed on service <="];
    assert_eq!(text(http(1, false), &three), expected);
}

#[test]
fn numbers_of_files_fail_or_weigh() {
    let file = |weight, reverse, dynamic| {
        let kind = CheckKind::File { file: "load".to_owned(), weight, reverse, dynamic };
        checker(check(kind), true)
    };
    let tell = |mut checker: Checker, number| {
        checker.tell_file(number);
        (checker.up, checker.delta)
    };
    assert_eq!(tell(file(0, false, false), 0), (true, 0));
    assert_eq!(tell(file(0, false, false), 3), (false, 0));
    assert_eq!(tell(file(0, true, false), 0), (false, 0));
    assert_eq!(tell(file(0, true, false), 3), (true, 0));
    assert_eq!(tell(file(2, false, true), 3), (true, 6));
    assert_eq!(tell(file(2, true, true), 3), (true, -6));
    assert_eq!(tell(file(2, false, false), 3), (true, 0));
    assert_eq!(tell(file(1, false, true), i64::from(i32::MIN)), (false, 0));
    assert_eq!(tell(file(2, false, true), i64::MAX), (true, i64::from(i32::MAX)));
}

#[test]
fn the_same_check_with_other_delays_keeps_its_state() {
    let mut old = checker(check(CheckKind::Tcp), true);
    feed(&mut old, "+-");
    let (now, due) = (Instant::from_nanos(2_000_000_000), old.due.unwrap());
    let mut other = check(CheckKind::Tcp);
    (other.delay_loop, other.retry) = (Duration::from_secs(1), 1);
    let mut new = checker(other, false);
    assert!(new.is_of(&old));
    new.inherit(old, now);
    assert!(new.up && new.has_run);
    assert!(new.due < Some(due), "the shorter delay counts at once");
    assert_eq!(feed(&mut new, "--"), ["0- 2 up", "0- 1 down"]);
    let mut elsewhere = check(CheckKind::Tcp);
    elsewhere.connect.to.set_port(81);
    assert!(!checker(elsewhere, false).is_of(&new));
}
