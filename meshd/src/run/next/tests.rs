use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

const ROUTER: &str =
    "vrrp_instance A {\n interface lo\n virtual_router_id 51\n virtual_ipaddress {\n  192.0.2.80\n }\n}\n";

/// A directory with a configuration in it, and what a next run reads.
fn next(config: &str) -> (tempfile::TempDir, NextRun) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f.conf");
    fs::write(&file, config).unwrap();
    let next = NextRun { config: Some(file), state_dir: dir.path().join("state"), ..NextRun::default() };
    (dir, next)
}

async fn refusal(next: &NextRun, program: Option<&Path>) -> String {
    format!("{:#}", next.clone().check(program).await.expect_err("it cannot start"))
}

fn program(dir: &Path, name: &str, script: &str) -> PathBuf {
    let file = dir.join(name);
    fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    file
}

#[tokio::test]
async fn this_program_says_what_it_could_not_start_with() {
    let (_dir, good) = next(ROUTER);
    good.clone().check(None).await.unwrap();
    let (dir, broken) = next(&ROUTER.replace(" 51", " 510"));
    let error = refusal(&broken, None).await;
    let place = format!("{}:3:20: error:", dir.path().join("f.conf").display());
    assert!(error.contains("so nothing was changed") && error.contains(&place), "{error}");
    let (_dir, empty) = next("");
    assert!(refusal(&empty, None).await.contains("nothing to do"));
    let servers = NextRun { only: Some(Only::Checks), ..good };
    assert!(refusal(&servers, None).await.contains("nothing to do"));
}

#[tokio::test]
async fn an_identity_that_lacks_a_file_is_found_before_the_end() {
    let (_dir, next) = next(ROUTER);
    fs::create_dir(&next.state_dir).unwrap();
    fs::write(next.state_dir.join("roster.json"), "{}").unwrap();
    let error = refusal(&next, None).await;
    assert!(error.contains("nothing was changed") && error.contains("node.crt is missing"), "{error}");
}

/// It may know more, or less, than this one.
#[tokio::test]
async fn the_program_on_disk_judges() {
    let (dir, broken_here) = next(&ROUTER.replace(" 51", " 510"));
    let file = broken_here.config.clone().unwrap();
    for code in [0, 4, 5] {
        let knows = program(
            dir.path(),
            &format!("knows{code}"),
            &format!("[ \"$1 $2\" = \"check {}\" ] && exit {code}; exit 9", file.display()),
        );
        broken_here.clone().check(Some(&knows)).await.unwrap();
    }
    let (dir, good_here) = next(ROUTER);
    let file = good_here.config.clone().unwrap();
    let script = "echo 'x:1:2: warning: odd' >&2; echo 'x:3:4: error: bad' >&2; echo 'x:5:6: error: worse' >&2; exit 3";
    let error = refusal(&good_here, Some(&program(dir.path(), "refuses", script))).await;
    let expected =
        format!("{} cannot be used, so nothing was changed:\nx:3:4: error: bad\nx:5:6: error: worse", file.display());
    assert_eq!(error, expected);
    let error = refusal(&good_here, Some(&program(dir.path(), "dies", "kill -9 $$"))).await;
    assert!(error.contains("so nothing was changed: signal: 9"), "{error}");
    let error = refusal(&good_here, Some(Path::new("/nonexistent/meshd"))).await;
    assert!(error.contains("/nonexistent/meshd does not work, so nothing was changed"), "{error}");
}
