//! The binary against a daemon made up for the test: what it prints and how it exits.

mod moves;
mod terminal;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use terminal::Watching;

const STATUS: &str = r#"{"zeta":"a newer field, out of order","cluster":{"id":"c1","name":"lab","protection":"protected","quorum":{"voters":3,"needed":2,"reachable":3,"roster_epoch":3}},"node":"lb2","nodes":[{"name":"lb1","role":"director","voter":true,"liveness":"alive","address":"10.1.1.11:7946","draining":false,"rtt_ms":0.25,"config_digest":"0123456789abcdef","version":"0.1.0","newer":[1.0,18446744073709551615]}],"routers":[{"name":"VI_1","interface":"eth0","vrid":51,"family":"ipv4","vips":["10.1.1.80/24"],"state":"active","active":"lb1","here":"backup","lease":{"owner":"lb1","epoch":7,"remaining_ms":812},"priority":{"lb1":200,"lb2":150},"last_transition":null}],"services":[]}"#;

/// A daemon that answers the n-th connection with the n-th text and hangs up, then is gone.
struct Fake {
    dir: tempfile::TempDir,
    requests: mpsc::Receiver<String>,
}

impl Fake {
    fn new(answers: &[String]) -> Fake {
        let dir = tempfile::tempdir().unwrap();
        let requests = serve(&dir.path().join("s"), answers);
        Fake { dir, requests }
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("s")
    }

    fn request(&self) -> String {
        self.requests.recv_timeout(Duration::from_secs(10)).expect("a request")
    }
}

fn serve(socket: &Path, answers: &[String]) -> mpsc::Receiver<String> {
    let listener = UnixListener::bind(socket).unwrap();
    let (socket, answers) = (socket.to_owned(), answers.to_vec());
    let (send, requests) = mpsc::channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = send.send(read_request(&mut stream));
            let _ = stream.write_all(answer.as_bytes());
        }
        std::fs::remove_file(socket).unwrap();
    });
    requests
}

fn read_request(stream: &mut UnixStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "a whole head");
    }
    let length =
        head.to_lowercase().split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    head + &String::from_utf8(body).unwrap()
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn events(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{text}")
}

fn command(socket: &Path, arguments: &[&str]) -> Command {
    command_of(Path::new(env!("CARGO_BIN_EXE_meshctl")), socket, arguments)
}

fn command_of(binary: &Path, socket: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(arguments).arg("--socket").arg(socket).stdin(Stdio::null());
    command
}

fn meshctl(socket: &Path, arguments: &[&str]) -> Output {
    command(socket, arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn json_is_what_the_daemon_sent() {
    let fake = Fake::new(&[answer("200 OK", STATUS), answer("200 OK", STATUS)]);
    let output = meshctl(&fake.socket(), &["status", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = text(&output.stdout);
    assert!(printed.starts_with("{\n  \"zeta\": \"a newer field, out of order\",\n  \"cluster\": {"), "{printed}");
    let without_layout: String = printed.split('\n').map(str::trim_start).collect();
    assert_eq!(without_layout.replace("\": ", "\":"), STATUS);
    assert!(fake.request().starts_with("GET /status HTTP/1.1\r\n"));

    let output = meshctl(&fake.socket(), &["nodes", "--json"]);
    let printed = text(&output.stdout);
    assert!(printed.starts_with("[\n  {\n    \"name\": \"lb1\",") && printed.ends_with("]\n"), "{printed}");
}

#[test]
fn a_pipe_gets_plain_tables() {
    let fake = Fake::new(&[answer("200 OK", STATUS), answer("200 OK", STATUS)]);
    let output = meshctl(&fake.socket(), &["status"]);
    let expected = "\
Cluster lab  protected  quorum 3/3 reachable, 2 needed  (as seen by lb2)
1 virtual router: 1 active
1 node: 1 alive
Served by lb1:1

NAME  INTERFACE  VRID  VIPS          STATE   ACTIVE  LEASE   HERE    PRIORITY
VI_1  eth0       51    10.1.1.80/24  active  lb1     812 ms  backup  lb1:200 lb2:150

NODE  ROLE      VOTER  LIVENESS  ADDRESS         RTT     VERSION  CONFIG
lb1   director  yes    alive     10.1.1.11:7946  0.2 ms  0.1.0    01234567
";
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), expected));
    let output = meshctl(&fake.socket(), &["nodes"]);
    assert_eq!(text(&output.stdout), expected.rsplit("\n\n").next().unwrap());
}

#[test]
fn a_token_is_printed_as_the_whole_command() {
    let reply = r#"{"token":"abc","expires":"2030-01-01T00:00:00Z","command":"meshd join --seed 10.1.1.11:7946"}"#;
    let fake = Fake::new(&[answer("200 OK", reply), answer("200 OK", reply)]);
    let output = meshctl(&fake.socket(), &["token", "create", "--ttl", "30m"]);
    assert_eq!(text(&output.stdout), "MESHD_TOKEN=abc meshd join --seed 10.1.1.11:7946\n");
    assert!(text(&output.stderr).contains("2030-01-01T00:00:00Z"), "{output:?}");
    let request = fake.request();
    assert!(request.starts_with("POST /tokens HTTP/1.1\r\n") && request.ends_with("\r\n{\"ttl_s\":1800}"), "{request}");
    let output = meshctl(&fake.socket(), &["token", "create", "--json"]);
    assert_eq!(text(&output.stdout).replace([' ', '\n'], ""), reply.replace(' ', ""));
    assert!(fake.request().ends_with("{\"ttl_s\":3600}"));
}

const CHANGED: &str = r#"{"roster_epoch":9,"voters":["lb1","lb2","lb3"],"needed":2}"#;

#[test]
fn changes_of_the_roster_say_what_is_true_now() {
    let cases: [(&[&str], &str, &str); 4] = [
        (&["voters", "add", "lb3"], "/voters/add", r#"{"node":"lb3"}"#),
        (&["voters", "remove", "lb3"], "/voters/remove", r#"{"node":"lb3"}"#),
        (&["nodes", "remove", "lb3", "--now"], "/nodes/remove", r#"{"node":"lb3","now":true}"#),
        (&["token", "revoke", "00000000000000ff"], "/tokens/revoke", r#"{"token":"00000000000000ff"}"#),
    ];
    for (arguments, path, body) in cases {
        let fake = Fake::new(&[answer("200 OK", CHANGED), answer("200 OK", CHANGED)]);
        let output = meshctl(&fake.socket(), arguments);
        let voters = "Roster epoch 9: 2 of 3 voters decide: lb1 lb2 lb3\n";
        let said = if path == "/tokens/revoke" { "The token cannot be used any more.\n" } else { voters };
        assert_eq!(text(&output.stdout), said);
        let request = fake.request();
        assert!(request.starts_with(&format!("POST {path} HTTP/1.1\r\n")) && request.ends_with(body), "{request}");
        let json = meshctl(&fake.socket(), &[arguments, &["--json"]].concat());
        assert_eq!(text(&json.stdout).replace([' ', '\n'], ""), CHANGED);
    }
}

#[test]
fn too_few_voters_are_told_what_they_cost() {
    let left = r#"{"roster_epoch":8,"voters":["lb3"],"needed":1}"#;
    let fake = Fake::new(&[answer("200 OK", left)]);
    let output = meshctl(&fake.socket(), &["voters", "remove", "lb1"]);
    assert_eq!(text(&output.stdout), "Roster epoch 8: 1 of 1 voter decides: lb3\n");
    let cost = "UNPROTECTED with fewer than 3 voters: two nodes can serve one address when they do not reach each other, \
                unless on_quorum_loss is \"fence\"\n";
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), cost));
}

#[test]
fn a_change_that_is_refused_is_1() {
    let refusal = r#"{"error":"only 1 of the 2 voters needed agreed: no answer from lb2","hint":"try again"}"#;
    let fake = Fake::new(&[answer("409 Conflict", refusal)]);
    let output = meshctl(&fake.socket(), &["voters", "remove", "lb3"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "meshctl: only 1 of the 2 voters needed agreed: no answer from lb2\n  hint: try again\n";
    assert_eq!(text(&output.stderr), expected);
    assert_eq!(meshctl(&fake.socket(), &["voters", "remove"]).status.code(), Some(2));
}

#[test]
fn a_reload_says_what_is_in_use_or_what_is_wrong() {
    let done = r#"{"findings":["f:1:2: warning: odd"],"summary":"usable after changes"}"#;
    let refused = r#"{"error":"configuration not changed: f cannot be used:\nf:3:4: error: bad","hint":null}"#;
    let fake = Fake::new(&[answer("200 OK", done), answer("409 Conflict", refused)]);
    let output = meshctl(&fake.socket(), &["reload"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), "Configuration read again: usable after changes\n");
    assert_eq!(text(&output.stderr), "f:1:2: warning: odd\n");
    assert!(fake.request().starts_with("POST /reload HTTP/1.1\r\n"));
    let output = meshctl(&fake.socket(), &["reload"]);
    assert_eq!(output.status.code(), Some(1));
    let expected = "meshctl: configuration not changed: f cannot be used:\nf:3:4: error: bad\n";
    assert_eq!((text(&output.stderr), text(&output.stdout)), (expected, ""));
}

#[test]
fn voters_are_listed() {
    let fake = Fake::new(&[answer("200 OK", STATUS), answer("200 OK", STATUS)]);
    let output = meshctl(&fake.socket(), &["voters"]);
    let expected = "\
Roster epoch 3: 2 of 3 voters decide, 3 are reachable  (as seen by lb2)

VOTER  ROLE      LIVENESS  DECIDED BY
lb1    director  alive     mesh
";
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), expected));
    let json = meshctl(&fake.socket(), &["voters", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&value["quorum"]["needed"], &value["voters"][0]["name"]), (&2.into(), &"lb1".into()));
}

#[test]
fn tokens_are_listed() {
    let tokens = r#"[{"id":"00000000000000ff","expires":"2030-01-01T00:00:00Z","state":"used","by":"lb2"}]"#;
    let fake = Fake::new(&[answer("200 OK", tokens), answer("200 OK", "[]")]);
    let expected = "\
TOKEN             STATE  BY   EXPIRES
00000000000000ff  used   lb2  2030-01-01T00:00:00Z
";
    assert_eq!(text(&meshctl(&fake.socket(), &["token", "list"]).stdout), expected);
    assert!(fake.request().starts_with("GET /tokens HTTP/1.1\r\n"));
    assert_eq!(text(&meshctl(&fake.socket(), &["token", "list"]).stdout), "No tokens known here.\n");
}

#[test]
fn a_refusal_is_1_with_its_hint() {
    let refusal = r#"{"error":"this node is in no mesh\u001b[2J","hint":"meshd init"}"#;
    let fake = Fake::new(&[answer("409 Conflict", refusal), answer("503 Oops", refusal), answer("500 Bad", "<html>")]);
    let output = meshctl(&fake.socket(), &["token", "create"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "meshctl: this node is in no mesh\u{fffd}[2J\n  hint: meshd init\n");
    assert_eq!(output.stdout, b"");
    assert_eq!(meshctl(&fake.socket(), &["status", "--watch", "--json"]).status.code(), Some(1));
    assert_eq!(meshctl(&fake.socket(), &["status"]).status.code(), Some(1));
}

#[test]
fn an_answer_that_makes_no_sense_is_1() {
    let cut = answer("200 OK", STATUS);
    let fake =
        Fake::new(&[answer("200 OK", "{\"nodes\":3}"), answer("200 OK", "nonsense"), cut[..cut.len() - 10].to_owned()]);
    for what in ["no status", "no JSON", "cut off"] {
        let output = meshctl(&fake.socket(), &["status"]);
        assert_eq!(output.status.code(), Some(1), "{what}: {output:?}");
        assert!(text(&output.stderr).contains("meshd's answer"), "{what}: {output:?}");
    }
}

#[test]
fn usage_is_2() {
    let nowhere = Path::new("/nonexistent/s");
    for arguments in [&["frobnicate"][..], &["token"], &["status", "--frequently"], &["token", "create", "--ttl", "0"]]
    {
        assert_eq!(meshctl(nowhere, arguments).status.code(), Some(2), "{arguments:?}");
    }
    for ttl in ["8d", "604801", "1w", "-1s", "h", "", "99999999d", "1.5h"] {
        assert_eq!(meshctl(nowhere, &["token", "create", &format!("--ttl={ttl}")]).status.code(), Some(2), "{ttl}");
    }
    for ttl in ["7d", "5"] {
        assert_eq!(meshctl(nowhere, &["token", "create", &format!("--ttl={ttl}")]).status.code(), Some(3), "{ttl}");
    }
}

#[test]
fn no_daemon_is_3_with_a_hint_for_each_cause() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    let dead = dir.path().join("dead");
    drop(UnixListener::bind(&dead).unwrap());
    for (socket, hint) in [(&missing, "systemctl status meshd"), (&dead, "systemctl start meshd")] {
        for arguments in [&["status"][..], &["nodes", "--json"], &["status", "--watch"], &["token", "create"]] {
            let output = meshctl(socket, arguments);
            assert_eq!(output.status.code(), Some(3), "{output:?}");
            let error = text(&output.stderr);
            assert!(error.contains(&format!("no meshd on {}", socket.display())) && error.contains(hint), "{error}");
            assert_eq!(output.stdout, b"");
        }
    }
    let silent = dir.path().join("hangs-up");
    let _requests = serve(&silent, &[String::new()]);
    assert_eq!(meshctl(&silent, &["status"]).status.code(), Some(3));
}

#[test]
fn a_daemon_that_does_not_answer_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let _listener = UnixListener::bind(&socket).unwrap();
    let output = meshctl(&socket, &["status"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("does not answer within 5 s"), "{output:?}");
}

#[test]
fn root_another_users_socket_is_3_with_a_hint() {
    use std::os::unix::process::CommandExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let socket = dir.path().join("s");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o600)).unwrap();
    // A copy, because whoever else it runs as may not be able to enter the target directory; made by another
    // process, because a file that a fork of this one still holds open for writing cannot be executed.
    let binary = dir.path().join("meshctl");
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_meshctl")).arg(&binary).status().unwrap().success());
    let output = command_of(&binary, &socket, &["status"]).uid(65534).gid(65534).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    assert!(text(&output.stderr).contains("try as root"), "{output:?}");
}

#[test]
fn a_part_of_the_map_is_picked_also_as_json_and_what_is_not_there_is_1() {
    let two = STATUS.replace(r#""routers":[{"#, r#""routers":[{"name":"VI_0","interface":"eth0","vrid":50,"family":"ipv4","vips":["10.1.1.79/24"],"state":"vacant","active":null,"here":"backup","lease":null,"priority":{},"last_transition":null},{"#);
    let page = answer("200 OK", &two);
    let watched = events(&format!("data: {two}\n\n"));
    let fake = Fake::new(&[page.clone(), page.clone(), page.clone(), watched.clone(), page, watched]);
    let shown = meshctl(&fake.socket(), &["status", "--problems"]);
    let shown = text(&shown.stdout);
    assert!(shown.contains("\n2 virtual routers: 1 active, 1 served by nobody\n"), "{shown}");
    assert!(shown.contains("\nVI_0 ") && !shown.contains("\nVI_1 "), "{shown}");
    let json = meshctl(&fake.socket(), &["status", "--node", "lb1", "--json"]);
    let value: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((value["routers"].as_array().unwrap().len(), &value["routers"][0]["name"]), (1, &"VI_1".into()));
    assert_eq!(value["zeta"], "a newer field, out of order", "the rest is what it was");
    let output = meshctl(&fake.socket(), &["status", "VI_2"]);
    let said = "meshctl: no virtual router has \"VI_2\" in its name or addresses\n  hint: there are VI_0, VI_1\n";
    assert_eq!((output.status.code(), text(&output.stderr), text(&output.stdout)), (Some(1), said, ""));
    let watching = Watching::start(&fake.socket(), &["status", "--state", "vacant", "--watch", "--json"]);
    let line: serde_json::Value = serde_json::from_str(&watching.line()).unwrap();
    assert_eq!((line["routers"].as_array().unwrap().len(), &line["routers"][0]["name"]), (1, &"VI_0".into()));
    let output = meshctl(&fake.socket(), &["status", "--node", "lb9"]);
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(1), "meshctl: no node is called \"lb9\"\n  hint: there are lb1\n")
    );
    let output = meshctl(&fake.socket(), &["status", "--node", "lb9", "--watch"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(meshctl(&fake.socket(), &["status", "--state", "broken"]).status.code(), Some(2));
    assert_eq!(meshctl(&fake.socket(), &["status", "--sort", "size"]).status.code(), Some(2));
}

fn text_lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    // Events as fast as they are taken, until nobody takes them.
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        read_request(&mut stream);
        stream.write_all(events("").as_bytes()).unwrap();
        while stream.write_all(format!("data: {STATUS}\n\n").as_bytes()).is_ok() {}
    });
    let mut child = command(&socket, &["status", "--watch", "--json"]);
    let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}

#[test]
fn completions_and_manual_pages_come_from_the_commands() {
    let dir = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_meshctl")).current_dir(dir.path()).args(arguments).output().unwrap()
    };
    for (shell, says) in [("bash", "complete -F"), ("zsh", "#compdef meshctl"), ("fish", "complete -c meshctl")] {
        let completions = run(&["completions", shell]);
        assert!(completions.status.success());
        assert!(String::from_utf8_lossy(&completions.stdout).contains(says), "{shell}");
    }
    assert!(run(&["man", "."]).status.success());
    let page = std::fs::read_to_string(dir.path().join("meshctl-token-create.1")).unwrap();
    assert!(page.contains("\\-\\-ttl"), "{page}");
    let output = run(&["man", "nonesuch"]);
    let said = "meshctl: cannot write manual pages into nonesuch: No such file or directory (os error 2)\n";
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), said));
}
