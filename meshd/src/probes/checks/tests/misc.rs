use std::fs;

use mesh_config::model::{Script, ScriptSecurity};
use nix::unistd::{User, geteuid};
use tokio::time::sleep;

use super::*;

fn script(text: &str) -> Script {
    let me = User::from_uid(geteuid()).unwrap().expect("whoever runs the tests has a name").name;
    Script { command: ["/bin/sh", "-c", text].map(str::to_owned).to_vec(), user: Some((me, None)) }
}

fn misc(text: &str, limit: Duration, dynamic: bool) -> Check {
    let kind = CheckKind::Misc { script: script(text), timeout: limit, dynamic };
    check(kind, SocketAddr::from(([127, 0, 0, 1], 1)))
}

#[tokio::test]
async fn the_exit_status_is_the_answer() {
    for (text, dynamic, outcome) in [
        ("exit 0", false, Outcome::Success),
        ("exit 1", false, failure("exit status 1")),
        ("exit 7", false, failure("exit status 7")),
        ("exit 0", true, Outcome::Success),
        ("exit 1", true, failure("exit status 1")),
        ("exit 2", true, Outcome::Weight(0)),
        ("exit 255", true, Outcome::Weight(253)),
        ("kill -9 $$", true, failure("ended by signal 9")),
    ] {
        assert_eq!(ask(misc(text, LONG, dynamic)).await, outcome, "{text}, {dynamic}");
    }
}

#[tokio::test]
async fn what_cannot_be_started_fails() {
    let mut missing = misc("", LONG, false);
    let CheckKind::Misc { script, .. } = &mut missing.kind else { panic!() };
    script.command = vec!["/nonexistent/check".to_owned()];
    let why = "/nonexistent/check: No such file or directory (os error 2)";
    assert_eq!(ask(missing.clone()).await, failure(why));
    let CheckKind::Misc { script, .. } = &mut missing.kind else { panic!() };
    script.user = Some(("no-such-user".to_owned(), None));
    assert_eq!(ask(missing).await, failure("there is no user no-such-user"));
}

#[tokio::test]
async fn one_that_floods_its_output_ends_like_any_other() {
    let flood = "head -c 100000000 /dev/zero; head -c 100000000 /dev/zero >&2; exit 3";
    assert_eq!(ask(misc(flood, LONG, false)).await, failure("exit status 3"));
}

#[tokio::test]
async fn one_that_never_ends_has_failed_at_its_timeout_and_takes_its_children_along() {
    let directory = tempfile::tempdir().unwrap();
    let pids = directory.path().join("pids");
    let text = format!("trap '' TERM; sleep 600 & echo $$ $! > {}.new; mv {0}.new {0}; wait; wait", pids.display());
    let (outcome, took) = timed(misc(&text, Duration::from_secs(1), false)).await;
    assert_eq!(outcome, failure("no end in 1 s"));
    assert!(took >= Duration::from_secs(1), "{took:?}");
    let pids = fs::read_to_string(pids).unwrap();
    let deadline = Instant::now() + LONG;
    while pids.split_whitespace().any(runs) {
        assert!(Instant::now() < deadline, "{pids} still run");
        sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process runs; one that waits for a foreign parent to notice does not.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn nothing_outlives_the_checkers() {
    let directory = tempfile::tempdir().unwrap();
    let pid = directory.path().join("pid");
    let text = format!("echo $$ > {}.new; mv {0}.new {0}; sleep 600", pid.display());
    let (send, _receive) = mpsc::channel(1);
    let checkers = Checkers::new(CheckerSettings::default(), send);
    checkers.start(CheckRun { check: 1, number: 1 }, Arc::new(misc(&text, LONG * 100, false)), 0);
    let deadline = Instant::now() + LONG;
    while !pid.exists() {
        assert!(Instant::now() < deadline, "it was not started");
        sleep(Duration::from_millis(10)).await;
    }
    let pid = fs::read_to_string(pid).unwrap();
    assert!(runs(pid.trim()));
    drop(checkers);
    while runs(pid.trim()) {
        assert!(Instant::now() < deadline, "{pid} still runs");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn root_with_script_security_root_runs_nothing_others_can_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("check");
    fs::write(&path, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mut check = misc("", LONG, false);
    let CheckKind::Misc { script, .. } = &mut check.kind else { panic!() };
    script.command = vec![path.to_str().unwrap().to_owned()];
    let secure = |enable| CheckerSettings {
        scripts: ScriptSecurity { enable, ..ScriptSecurity::default() },
        ..CheckerSettings::default()
    };
    assert_eq!(ask_step(check.clone(), 0, secure(false)).await, Outcome::Success);
    let why = format!("script security: {0} runs as root, but everybody can write {0}", path.display());
    assert_eq!(ask_step(check, 0, secure(true)).await, failure(&why));
}
