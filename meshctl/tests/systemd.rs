//! deploy/systemd/meshd-stop, with a systemctl and a meshctl made up for the test.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

fn program(file: &Path, text: &str) {
    fs::write(file, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What the script asks meshctl for while systemd has these jobs.
fn asked(jobs: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("jobs"), jobs).unwrap();
    program(&at("systemctl"), &format!("[ \"$1\" = list-jobs ] && cat {}", at("jobs").display()));
    program(&at("meshctl"), &format!("echo \"$@\" >>{}", at("asked").display()));
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd/meshd-stop");
    let path = format!("{}:{}", dir.path().display(), std::env::var("PATH").unwrap());
    let status = Command::new(script).arg("meshd.service").env("PATH", path).env("MESHCTL", at("meshctl")).status();
    assert!(status.unwrap().success());
    fs::read_to_string(at("asked")).unwrap()
}

#[test]
fn a_restart_keeps() {
    assert_eq!(asked("123 meshd.service restart running\n"), "stop --keep\n");
    assert_eq!(asked("7 x.service start waiting\n123 meshd.service try-restart running\n"), "stop --keep\n");
}

#[test]
fn all_else_hands_over() {
    assert_eq!(asked("123 meshd.service stop running\n"), "stop\n");
    assert_eq!(asked(""), "stop\n", "as at shutdown, or where systemctl says nothing");
    assert_eq!(asked("123 other-meshd.service restart running\n124 meshd.service stop running\n"), "stop\n");
}

fn unit(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd").join(name)).unwrap()
}

#[test]
fn systemd_runs_it() {
    for name in ["meshd.service", "meshd-server.service"] {
        for line in ["ExecStop=-/usr/local/lib/meshd/meshd-stop %n", "KillMode=mixed"] {
            assert!(unit(name).lines().any(|found| found == line), "{name}: {line}");
        }
    }
}

/// Without it a voter has forgotten its grants whenever its unit was stopped.
#[test]
fn what_voters_remember_outlives_the_unit() {
    for name in ["meshd.service", "meshd-server.service", "meshd-witness.service"] {
        assert!(unit(name).lines().any(|found| found == "RuntimeDirectoryPreserve=yes"), "{name}");
    }
}
