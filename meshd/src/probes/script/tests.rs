use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use mesh_config::model::{ScriptSecurity, TrackScript};
use mesh_core::Input;
use mesh_core::input::ScriptOutcome;
use nix::unistd::{User, geteuid};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::{Scripts, ticks};

const LONG: Duration = Duration::from_secs(60);

/// A script that is run by the shell, as whoever runs the tests.
fn script(name: &str, text: &str, interval: Duration, timeout: Duration) -> TrackScript {
    let command = ["/bin/sh", "-c", text].map(str::to_owned).to_vec();
    let me = User::from_uid(geteuid()).unwrap().expect("whoever runs the tests has a name").name;
    TrackScript {
        name: name.to_owned(),
        command,
        interval,
        timeout,
        weight: 0,
        reverse: false,
        rise: 1,
        fall: 1,
        init_fail: false,
        user: Some((me, None)),
    }
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn scripts() -> (Scripts, mpsc::Receiver<Input>) {
    let (send, receive) = mpsc::channel(16);
    (Scripts::new(send, ScriptSecurity::default()), receive)
}

async fn next(receive: &mut mpsc::Receiver<Input>) -> (String, ScriptOutcome) {
    let input = timeout(Duration::from_secs(10), receive.recv()).await.expect("an outcome within 10 s");
    match input.expect("the runner holds a sender") {
        Input::Script { name, outcome } => (name, outcome),
        other => panic!("unexpected input {other:?}"),
    }
}

/// Waits, up to 10 s, until the condition holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        sleep(ms(5)).await;
    }
}

async fn number_in(file: &Path) -> u32 {
    let read = || fs::read_to_string(file).ok().filter(|text| text.ends_with('\n'));
    until("a number is written", || read().is_some()).await;
    read().unwrap().trim().parse().unwrap()
}

/// Whether a process runs; one that waits for a foreign parent to notice does not.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

#[tokio::test]
async fn every_way_to_end_is_told_apart() {
    let (mut scripts, mut receive) = scripts();
    let mut missing = script("e-missing", "", LONG, LONG);
    missing.command = vec!["/nonexistent/check".to_owned()];
    let mut directory = script("f-directory", "", LONG, LONG);
    directory.command = vec!["/etc".to_owned()];
    let mut stranger = script("g-stranger", "true", LONG, LONG);
    stranger.user = Some(("no-such-user".to_owned(), None));
    let mut empty = script("h-empty", "", LONG, LONG);
    empty.command.clear();
    scripts.set(vec![
        script("a-fine", "exit 0", LONG, LONG),
        script("b-three", "exit 3", LONG, LONG),
        script("c-killed", "kill -9 $$", LONG, LONG),
        script("d-slow", "sleep 60", LONG, ms(50)),
        missing,
        directory,
        stranger,
        empty,
    ]);
    let mut got = Vec::new();
    for _ in 0..8 {
        got.push(next(&mut receive).await);
    }
    got.sort_by(|a, b| a.0.cmp(&b.0));
    let got: Vec<_> = got.iter().map(|(name, outcome)| (name.as_str(), *outcome)).collect();
    assert_eq!(
        got,
        [
            ("a-fine", ScriptOutcome::Success),
            ("b-three", ScriptOutcome::Exit(3)),
            ("c-killed", ScriptOutcome::Signal(9)),
            ("d-slow", ScriptOutcome::TimedOut),
            ("e-missing", ScriptOutcome::NotStarted),
            ("f-directory", ScriptOutcome::NotStarted),
            ("g-stranger", ScriptOutcome::NotStarted),
            ("h-empty", ScriptOutcome::NotStarted),
        ]
    );
}

#[tokio::test]
async fn a_timeout_is_reported_at_once_and_kills_grandchildren_that_ignore_it() {
    let dir = tempfile::tempdir().unwrap();
    let [own, grandchild] = ["own", "grandchild"].map(|name| dir.path().join(name));
    let text = format!(
        "trap '' TERM; sh -c 'echo $$ >{}; sleep 60; sleep 60' & echo $$ >{}; wait; sleep 60",
        grandchild.display(),
        own.display()
    );
    let (mut scripts, mut receive) = scripts();
    let started = Instant::now();
    scripts.set(vec![script("stuck", &text, LONG, ms(1000))]);
    let (own, grandchild) = (number_in(&own).await, number_in(&grandchild).await);
    assert!(runs(own) && runs(grandchild));
    assert_eq!(next(&mut receive).await, ("stuck".to_owned(), ScriptOutcome::TimedOut));
    let took = started.elapsed();
    assert!(took >= ms(1000), "reported after {took:?}");
    assert!(runs(own) && runs(grandchild), "both ignore SIGTERM, so the report came before SIGKILL ({took:?})");
    until("the grandchild is gone", || !runs(grandchild)).await;
    until("the script is gone and reaped", || !exists(own)).await;
    assert!(started.elapsed() >= ms(1500), "SIGKILL comes 500 ms after SIGTERM");
}

#[tokio::test]
async fn leftovers_die_with_a_script_that_obeys_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let text = format!("(trap '' TERM; exec sleep 60) & echo $! >{}; sleep 60", file.display());
    let (mut scripts, mut receive) = scripts();
    scripts.set(vec![script("forks", &text, LONG, ms(1000))]);
    let leftover = number_in(&file).await;
    assert_eq!(next(&mut receive).await.1, ScriptOutcome::TimedOut);
    until("the leftover is gone", || !runs(leftover)).await;
}

#[tokio::test]
async fn a_tick_during_a_run_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    // Fails when two of them run at a time, and when it runs late instead of with the next tick.
    let text = format!("cd {} && mkdir lock && sleep 0.25 && rmdir lock", dir.path().display());
    let (mut scripts, mut receive) = scripts();
    let started = Instant::now();
    scripts.set(vec![script("slow", &text, ms(200), LONG)]);
    for _ in 0..3 {
        assert_eq!(next(&mut receive).await.1, ScriptOutcome::Success);
    }
    let took = started.elapsed();
    assert!(took >= ms(2 * 400 + 250), "runs at 0, 400 and 800 ms, not as soon as possible: {took:?}");
}

#[test]
fn the_next_tick_is_the_first_outside_the_run() {
    let next = |run, interval| ticks(ms(run), ms(interval));
    assert_eq!([next(0, 1000), next(999, 1000), next(1000, 1000), next(1001, 1000), next(2500, 1000)], [1, 1, 1, 2, 3]);
}

#[tokio::test]
async fn a_script_that_hangs_is_tried_again_every_interval() {
    let (mut scripts, mut receive) = scripts();
    let started = Instant::now();
    scripts.set(vec![script("hangs", "sleep 60", ms(200), ms(200))]);
    for _ in 0..4 {
        assert_eq!(next(&mut receive).await.1, ScriptOutcome::TimedOut);
    }
    let took = started.elapsed();
    assert!(took < ms(1500), "4 runs of 200 ms each with none skipped between them: {took:?}");
}

#[tokio::test]
async fn set_leaves_alone_what_did_not_change() {
    let dir = tempfile::tempdir().unwrap();
    let counted = |name: &str| format!("echo run >>{}", dir.path().join(name).display());
    let runs_of = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default().lines().count();
    let (same, changed) = (script("same", &counted("same"), LONG, LONG), script("new", &counted("new"), LONG, LONG));
    let (mut scripts, mut receive) = scripts();
    scripts.set(vec![same.clone(), changed.clone()]);
    next(&mut receive).await;
    next(&mut receive).await;
    scripts.set(vec![TrackScript { rise: 2, ..changed }, same]);
    assert_eq!(next(&mut receive).await, ("new".to_owned(), ScriptOutcome::Success));
    assert!(timeout(ms(200), receive.recv()).await.is_err(), "nothing else ran");
    assert_eq!((runs_of("same"), runs_of("new")), (1, 2));
}

#[tokio::test]
async fn a_reload_changes_whom_scripts_run_as() {
    let (mut scripts, mut receive) = scripts();
    let same = TrackScript { user: None, ..script("same", "exit 0", LONG, LONG) };
    let as_user = |user: Option<(String, Option<String>)>| ScriptSecurity { user, ..ScriptSecurity::default() };
    let me = script("", "", LONG, LONG).user;
    for (user, outcome) in [
        (me.clone(), ScriptOutcome::Success),
        (Some(("no-such-user".to_owned(), None)), ScriptOutcome::NotStarted),
        (me, ScriptOutcome::Success),
    ] {
        scripts.secure(as_user(user));
        scripts.set(vec![same.clone()]);
        assert_eq!(next(&mut receive).await, ("same".to_owned(), outcome));
    }
}

#[tokio::test]
async fn a_script_that_is_no_longer_tracked_is_killed_and_reaped() {
    let dir = tempfile::tempdir().unwrap();
    let text = |name: &str| {
        let [own, child] = ["own", "child"].map(|s| dir.path().join(format!("{name}.{s}")).display().to_string());
        format!("sleep 60 & echo $! >{child}; echo $$ >{own}; wait")
    };
    let (mut scripts, mut receive) = scripts();
    scripts.set(vec![script("gone", &text("gone"), LONG, LONG), script("last", &text("last"), LONG, LONG)]);
    let pids = async |name: &str| {
        let file = |s: &str| dir.path().join(format!("{name}.{s}"));
        (number_in(&file("own")).await, number_in(&file("child")).await)
    };
    let (gone, last) = (pids("gone").await, pids("last").await);
    scripts.set(vec![script("last", &text("last"), LONG, LONG)]);
    until("the group is killed", || !exists(gone.0) && !runs(gone.1)).await;
    assert!(runs(last.0) && runs(last.1));
    drop(scripts);
    until("the other group too", || !exists(last.0) && !runs(last.1)).await;
    assert_eq!(timeout(LONG, receive.recv()).await.unwrap(), None, "killing is not an outcome");
}

#[tokio::test]
async fn output_is_discarded_however_much_it_is() {
    let (mut scripts, mut receive) = scripts();
    scripts.set(vec![script("much", "head -c 30000000 /dev/zero; head -c 30000000 /dev/zero >&2", LONG, LONG)]);
    assert_eq!(next(&mut receive).await.1, ScriptOutcome::Success);
    scripts.set(vec![script("endless", "yes", LONG, ms(200))]);
    assert_eq!(next(&mut receive).await.1, ScriptOutcome::TimedOut);
}

#[tokio::test]
async fn a_script_may_vanish_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("check");
    let install = || {
        fs::write(&file, "#!/bin/sh\nexit 0\n").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let (mut scripts, mut receive) = scripts();
    let mut tracked = script("check", "", ms(30), LONG);
    tracked.command = vec![file.display().to_string()];
    install();
    scripts.set(vec![tracked]);
    while next(&mut receive).await.1 != ScriptOutcome::Success {}
    fs::remove_file(&file).unwrap();
    while next(&mut receive).await.1 != ScriptOutcome::NotStarted {}
    install();
    while next(&mut receive).await.1 != ScriptOutcome::Success {}
}

#[tokio::test]
async fn a_script_leads_a_group_of_its_own_in_the_root_directory_and_has_no_input() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("seen");
    let (mut scripts, mut receive) = scripts();
    let text = format!("(pwd; ps -o pgid= -p $$ | grep -qw $$ && echo leader; cat) >{}", file.display());
    scripts.set(vec![script("seen", &text, LONG, LONG)]);
    assert_eq!(next(&mut receive).await.1, ScriptOutcome::Success);
    assert_eq!(fs::read_to_string(&file).unwrap(), "/\nleader\n");
}

#[tokio::test]
async fn a_full_channel_delays_reports_and_nothing_else() {
    let (send, mut receive) = mpsc::channel(1);
    let mut scripts = Scripts::new(send, ScriptSecurity::default());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    scripts.set(vec![script("first", "true", LONG, LONG)]);
    until("the channel is full", || receive.len() == 1).await;
    let text = format!("echo $$ >{}; sleep 60", file.display());
    scripts.set(vec![script("first", "true", LONG, LONG), script("stuck", &text, LONG, ms(1000))]);
    let pid = number_in(&file).await;
    until("it is killed although nobody reads", || !exists(pid)).await;
    assert_eq!(next(&mut receive).await.0, "first");
    assert_eq!(next(&mut receive).await, ("stuck".to_owned(), ScriptOutcome::TimedOut));
}

#[tokio::test]
async fn root_a_script_runs_as_its_user_without_roots_groups() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let file = dir.path().join("id");
    let text = format!("(id -u; id -g; id -G; id -G root) >{}", file.display());
    let (send, mut receive) = mpsc::channel(16);
    let user = Some(("nobody".to_owned(), Some("daemon".to_owned())));
    let mut scripts = Scripts::new(send, ScriptSecurity { user, enable: true, ..ScriptSecurity::default() });
    scripts.set(vec![TrackScript { user: None, ..script("id", &text, LONG, LONG) }]);
    assert_eq!(next(&mut receive).await.1, ScriptOutcome::Success);
    let seen = fs::read_to_string(&file).unwrap();
    let nobody = User::from_name("nobody").unwrap().unwrap().uid;
    let daemon = nix::unistd::Group::from_name("daemon").unwrap().unwrap().gid;
    assert!(seen.starts_with(&format!("{nobody}\n{daemon}\n{daemon}\n")), "{seen}");
}

#[tokio::test]
async fn root_with_script_security_root_runs_nothing_others_can_write() {
    let dir = tempfile::tempdir().unwrap();
    let marker = dir.path().join("ran");
    let file = dir.path().join("check");
    fs::write(&file, format!("#!/bin/sh\ntouch {}\n", marker.display())).unwrap();
    let mut tracked = script("check", "", ms(30), LONG);
    tracked.command = vec![file.display().to_string()];
    let (send, mut receive) = mpsc::channel(1);
    let mut scripts = Scripts::new(send, ScriptSecurity { enable: true, ..ScriptSecurity::default() });
    fs::set_permissions(&file, fs::Permissions::from_mode(0o757)).unwrap();
    scripts.set(vec![tracked]);
    for _ in 0..3 {
        assert_eq!(next(&mut receive).await.1, ScriptOutcome::NotStarted);
    }
    assert!(!marker.exists());
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o777)).unwrap();
    // One report may wait in the channel and one in the runner: both from before.
    for _ in 0..5 {
        assert_eq!(next(&mut receive).await.1, ScriptOutcome::NotStarted, "others can replace it");
    }
    assert!(!marker.exists());
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    while next(&mut receive).await.1 != ScriptOutcome::Success {}
    assert!(marker.exists());
}
