use std::fs::{self, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command as Plain;

use nix::unistd::{Gid, Uid, User, chown, geteuid};

use super::*;

async fn run(text: &str, security: &ScriptSecurity) -> ExitStatus {
    let me = User::from_uid(geteuid()).unwrap().expect("whoever runs the tests has a name").name;
    let user = security.user.clone().or(Some((me, None)));
    let account = account(user.as_ref(), security).unwrap();
    let command = ["/bin/sh", "-c", text].map(str::to_owned);
    start(&command, &account, security).unwrap().wait().await.unwrap()
}

#[tokio::test]
async fn a_script_inherits_neither_limit_nor_descriptors_nor_blocked_signals() {
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    crate::descriptors::raise_limit().unwrap();
    let (soft, _) = crate::descriptors::limit_before().unwrap();
    // Descriptors of the daemon, and a signal that is blocked here.
    let file = fs::File::open("/etc/passwd").unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let held = [file.as_raw_fd(), socket.as_raw_fd()].map(|fd| fs::read_link(format!("/proc/self/fd/{fd}")).unwrap());
    let mut blocked = nix::sys::signal::SigSet::empty();
    blocked.add(Signal::SIGUSR1);
    blocked.thread_block().unwrap();
    let text = format!("(ulimit -n; grep SigBlk /proc/self/status; ls -l /proc/$$/fd) > {}", seen.display());
    assert!(run(&text, &ScriptSecurity::default()).await.success());
    blocked.thread_unblock().unwrap();
    let seen = fs::read_to_string(seen).unwrap();
    assert!(seen.starts_with(&format!("{soft}\nSigBlk:\t0000000000000000\n")), "{seen}");
    assert!(seen.contains("/dev/null"), "descriptors are listed: {seen}");
    assert!(held.iter().all(|held| !seen.contains(held.to_str().unwrap())), "{held:?} in {seen}");
}

#[tokio::test]
async fn a_script_has_the_environment_of_the_daemon_but_for_what_is_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let seen = dir.path().join("seen");
    assert!(run(&format!("env > {}", seen.display()), &ScriptSecurity::default()).await.success());
    let seen = fs::read_to_string(seen).unwrap();
    // Cargo sets it for tests.
    let name = format!("CARGO_PKG_NAME={}", std::env::var("CARGO_PKG_NAME").unwrap());
    assert!(seen.lines().any(|line| line == name) && seen.contains("PATH="), "{seen}");

    for own in [
        "MESHD_TOKEN",
        "MESHD_GUARD",
        "OTEL_EXPORTER_OTLP_HEADERS",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
        "NOTIFY_SOCKET",
        "LISTEN_FDS",
        "LISTEN_PID",
        "WATCHDOG_USEC",
        "WATCHDOG_PID",
    ] {
        assert!(is_own(own.as_ref()), "{own}");
    }
    for handed_on in ["HOME", "PATH", "LANG", "LC_ALL", "TZ", "KUBERNETES_SERVICE_HOST", "MESH", "LISTENER"] {
        assert!(!is_own(handed_on.as_ref()), "{handed_on}");
    }
}

#[tokio::test]
async fn root_supplementary_groups_come_where_they_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), Permissions::from_mode(0o777)).unwrap();
    let seen = dir.path().join("seen");
    // The groups of `root` in Debian are its own alone; those of a user of several are compared with id(1).
    let groups = fs::read_to_string("/etc/group").unwrap();
    let member = groups.lines().filter_map(|line| line.rsplit(':').next()).flat_map(|list| list.split(','));
    let user = member.map(str::trim).find(|name| !name.is_empty()).unwrap_or("root").to_owned();
    for supplementary_groups in [false, true] {
        let user = Some((user.clone(), None));
        let security = ScriptSecurity { user, supplementary_groups, ..ScriptSecurity::default() };
        let text = format!("(id -G; id -g; id -G {}) > {}", security.user.as_ref().unwrap().0, seen.display());
        assert!(run(&text, &security).await.success());
        let text = fs::read_to_string(&seen).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], if supplementary_groups { lines[2] } else { lines[1] });
        fs::remove_file(&seen).unwrap();
    }
}

/// How a file of root's and the way to it are changed; `true` where root may run it.
type Case = (&'static str, fn(&Path), bool);

/// `dir/s` is the script, `other/t` another; `l` is what is configured, where it is there.
const CASES: &[Case] = &[
    ("as it should be", |_| {}, true),
    ("writable by root's group", |d| mode(&d.join("dir/s"), 0o775), true),
    ("writable by another group", |d| (mode(&d.join("dir/s"), 0o775), own(&d.join("dir/s"), 0, 1)).0, false),
    ("writable by everybody", |d| mode(&d.join("dir/s"), 0o757), false),
    ("somebody else's", |d| own(&d.join("dir/s"), 1, 0), false),
    ("in a directory everybody writes to", |d| mode(&d.join("dir"), 0o777), false),
    ("in a sticky directory", |d| mode(&d.join("dir"), 0o1777), true),
    ("in somebody else's directory", |d| own(&d.join("dir"), 1, 0), false),
    ("in a directory of another group", |d| (mode(&d.join("dir"), 0o775), own(&d.join("dir"), 0, 1)).0, false),
    ("below a directory everybody writes to", |d| mode(d, 0o777), false),
    ("a link", |d| link(&d.join("other/t"), &d.join("dir/l")), true),
    ("a link of somebody else's", |d| (link(&d.join("other/t"), &d.join("dir/l")), lown(&d.join("dir/l"))).0, true),
    (
        "a link to where everybody writes",
        |d| (link(&d.join("other/t"), &d.join("dir/l")), mode(&d.join("other"), 0o777)).0,
        false,
    ),
    (
        "a link from where everybody writes",
        |d| (link(&d.join("dir/s"), &d.join("other/l")), mode(&d.join("other"), 0o777)).0,
        true,
    ),
];

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn own(path: &Path, user: u32, group: u32) {
    chown(path, Some(Uid::from_raw(user)), Some(Gid::from_raw(group))).unwrap();
}

fn lown(path: &Path) {
    std::os::unix::fs::lchown(path, Some(1), Some(1)).unwrap();
}

fn link(to: &Path, at: &Path) {
    symlink(to, at).unwrap();
}

/// keepalived's verdict: exit code 6 is for scripts that run without script security, with words about insecure ones.
fn keepalived_finds_it_safe(dir: &Path, script: &Path) -> bool {
    let file = dir.join("k.conf");
    let text = format!(
        "global_defs {{\n script_user root\n}}\nvrrp_instance A {{\n interface lo\n virtual_router_id 51\n \
         virtual_ipaddress {{\n  10.0.0.1\n }}\n notify \"{} x\"\n}}\n",
        script.display()
    );
    fs::write(&file, text).unwrap();
    let output = Plain::new("keepalived").args(["-t", "-f"]).arg(&file).output().expect("keepalived is installed");
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("script_security not enabled"), "it is run at all: {said}");
    !said.contains("insecure scripts")
}

/// Each case as keepalived 2.2.7 judges it, and as this does.
#[test]
fn root_verdicts_are_keepalived_s() {
    for (name, change, safe) in CASES {
        // Only root writes to all the way to it.
        let root = tempfile::Builder::new().tempdir_in("/opt").unwrap();
        let dir = root.path();
        mode(dir, 0o755);
        for sub in ["dir", "other"] {
            fs::create_dir(dir.join(sub)).unwrap();
            mode(&dir.join(sub), 0o755);
        }
        for file in ["dir/s", "other/t"] {
            fs::write(dir.join(file), "#!/bin/sh\n").unwrap();
            mode(&dir.join(file), 0o755);
        }
        change(dir);
        let script = ["dir/l", "other/l", "dir/s"].map(|name| dir.join(name)).into_iter().find(|p| p.exists()).unwrap();
        let ours = security::only_root_writes(script.to_str().unwrap(), "/bin".as_ref(), false);
        assert_eq!(ours.is_ok(), *safe, "{name}: {ours:?}");
        assert_eq!(keepalived_finds_it_safe(dir, &script), *safe, "keepalived: {name}");
        if let Ok(file) = ours {
            assert_eq!(file, fs::canonicalize(&script).unwrap(), "{name}: what was judged is started");
        }
    }
}

#[test]
fn root_with_symlink_paths_the_way_as_given_is_judged_as_well() {
    let root = tempfile::Builder::new().tempdir_in("/opt").unwrap();
    let (script, given) = (root.path().join("s"), root.path().join("open/l"));
    mode(root.path(), 0o755);
    fs::write(&script, "#!/bin/sh\n").unwrap();
    mode(&script, 0o755);
    fs::create_dir(root.path().join("open")).unwrap();
    link(&script, &given);
    let verdict = |symlinks| security::only_root_writes(given.to_str().unwrap(), "/bin".as_ref(), symlinks);
    mode(&root.path().join("open"), 0o755);
    assert_eq!((verdict(false), verdict(true)), (Ok(script.clone()), Ok(given.clone())));
    mode(&root.path().join("open"), 0o777);
    assert_eq!(verdict(false), Ok(script));
    let why = verdict(true).unwrap_err();
    assert!(why.ends_with(&format!("everybody can write {}", root.path().join("open").display())), "{why}");
}
