//! What the command says when something is wrong: one clear error that names the thing and the way
//! out, a non-zero exit status, and nothing changed.

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const ROUTER: &str = "vrrp_instance VI_1 {
    interface lo
    virtual_router_id 51
    priority 100
    virtual_ipaddress {
        192.0.2.80
    }
}
";

/// Runs meshd in `dir` with state and runtime directories below it.
fn meshd(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshd"));
    command.current_dir(dir).env_remove("MESHD_TOKEN").args(arguments);
    if arguments[0] != "check" {
        command.args(["--state-dir", "state", "--runtime-dir", "run"]);
    }
    command.output().expect("meshd was built")
}

fn refused(dir: &Path, arguments: &[&str], expected: &[&str]) {
    let output = meshd(dir, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{arguments:?} succeeded");
    for text in expected {
        assert!(said.contains(text), "{arguments:?} does not say {text:?}:\n{said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

fn with_config(text: &str) -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("director.conf"), text).expect("a file in it");
    dir
}

const RUN: [&str; 3] = ["run", "--config", "director.conf"];

#[test]
fn an_unknown_interface() {
    let dir = with_config(&ROUTER.replace("interface lo", "interface nonesuch9"));
    refused(dir.path(), &RUN, &["director.conf:2:15", "nonesuch9"]);
    assert!(!dir.path().join("state").exists());
}

#[test]
fn a_vrid_out_of_range() {
    let dir = with_config(&ROUTER.replace("id 51", "id 510"));
    refused(dir.path(), &RUN, &["director.conf:3:23", "510", "1 to 255"]);
}

#[test]
fn an_unclosed_brace() {
    let dir = with_config(ROUTER.trim_end().strip_suffix('}').expect("it ends with one"));
    refused(dir.path(), &RUN, &["director.conf:1:20", "not closed"]);
}

#[test]
fn a_configuration_that_is_not_there() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    refused(dir.path(), &RUN, &["cannot read director.conf"]);
}

#[test]
fn check_has_keepalived_s_exit_codes() {
    let code = |text: &str| {
        let dir = with_config(text);
        meshd(dir.path(), &["check", "director.conf"]).status.code()
    };
    assert_eq!(code(ROUTER), Some(0));
    assert_eq!(code(&ROUTER.replace("id 51", "id 510")), Some(3));
    assert_eq!(code(&ROUTER.replace("priority 100", "priorty 100")), Some(4));
}

#[test]
fn check_reads_included_files_for_the_host_it_is_told() {
    let dir = with_config("@lb1 $PRIORITY=100\n@lb2 $PRIORITY=300\ninclude parts/*.conf\n");
    std::fs::create_dir(dir.path().join("parts")).expect("a directory in it");
    let part = ROUTER.replace("100", "$PRIORITY");
    std::fs::write(dir.path().join("parts/a.conf"), part).expect("a file in that");
    let check = |id: &str| meshd(dir.path(), &["check", "--config-id", id, "director.conf"]);
    let output = check("lb1");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        said.contains(
            "; 1 virtual router with 1 address in 0 sync groups, 0 virtual servers with 0 real servers, 0 scripts,"
        ),
        "{said}"
    );
    let output = check("lb2");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    assert!(said.starts_with("parts/a.conf:4:14: warning: `300`"), "{said}");
}

#[test]
fn a_state_directory_that_cannot_be() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(dir.path().join("state"), "a file").expect("a file");
    refused(dir.path(), &["init", "--name", "lb1", "--listen", "127.0.0.1:7946"], &["state", "--state-dir"]);
    assert_eq!(std::fs::read_to_string(dir.path().join("state")).expect("still a file"), "a file");
}

#[test]
fn init_twice() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let init = ["init", "--name", "lb1", "--listen", "127.0.0.1:7946"];
    let first = meshd(dir.path(), &init);
    let said = String::from_utf8_lossy(&first.stdout);
    assert!(first.status.success() && said.contains("meshd join --seed 127.0.0.1:7946 --token "), "{said}");
    let key = std::fs::read(dir.path().join("state/ca.key")).expect("the CA's key");
    refused(dir.path(), &init, &["already", "--state-dir"]);
    assert_eq!(std::fs::read(dir.path().join("state/ca.key")).expect("the same key"), key);
}

#[test]
fn keys_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a temporary directory");
    assert!(meshd(dir.path(), &["init", "--name", "lb1", "--listen", "127.0.0.1:7946"]).status.success());
    let mode = |path: &str| std::fs::metadata(dir.path().join(path)).expect(path).permissions().mode() & 0o777;
    assert_eq!(mode("state"), 0o700);
    assert_eq!((mode("state/ca.key"), mode("state/node.key")), (0o600, 0o600));
}

#[test]
fn nothing_to_do() {
    let dir = with_config("global_defs {\n    router_id lb1\n}\n");
    refused(dir.path(), &RUN, &["nothing to do", "meshd join"]);
}

#[test]
fn a_token_that_is_none() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let join = ["join", "--seed", "127.0.0.1:7946", "--name", "lb2"];
    refused(dir.path(), &join, &["no token", "meshctl token create", "MESHD_TOKEN"]);
    refused(dir.path(), &[&join[..], &["--token", "garbage"]].concat(), &["no token", "meshctl token create"]);
    assert!(!dir.path().join("state").exists());
}

/// Needs root, to give privileges up.
#[test]
fn root_missing_privileges() {
    for missing in ["all", "net_admin", "net_raw"] {
        let dir = with_config(ROUTER);
        let output = Command::new("timeout")
            .args(["10", "setpriv", &format!("--bounding-set=-{missing}"), &format!("--inh-caps=-{missing}"), "--"])
            .arg(env!("CARGO_BIN_EXE_meshd"))
            .args(RUN)
            .args(["--state-dir", "state", "--runtime-dir", "run"])
            .current_dir(dir.path())
            .output()
            .expect("setpriv is part of util-linux");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "without {missing}: {said}");
        assert!(said.contains("missing privileges") && said.contains("CAP_NET_ADMIN"), "without {missing}: {said}");
    }
}

/// Needs root: a plain router opens raw sockets before it comes to the mesh port.
#[test]
fn root_a_mesh_port_that_is_taken() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address");
    let text = address.to_string();
    let init = ["init", "--name", "lb1", "--listen", &text];
    refused(dir.path(), &init, &[&address.port().to_string(), "taken", "--listen"]);
    drop(taken);
    assert!(meshd(dir.path(), &init).status.success());
    let _taken = std::net::UdpSocket::bind(address).expect("the same port");
    refused(dir.path(), &["run"], &[&address.port().to_string(), "taken", "--listen"]);
}

#[test]
fn completions_and_manual_pages_come_from_the_commands() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_meshd")).current_dir(dir.path()).args(arguments).output();
        output.expect("meshd was built")
    };
    let completions = run(&["completions", "bash"]);
    assert!(completions.status.success());
    assert!(String::from_utf8_lossy(&completions.stdout).contains("--token-file"));
    assert!(run(&["man", "."]).status.success());
    let page = std::fs::read_to_string(dir.path().join("meshd-join.1")).expect("a page for each command");
    assert!(page.contains(".TH"), "{page}");
    let missing = run(&["man", "nonesuch"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nonesuch"));
}
