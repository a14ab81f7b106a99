//! The binary against a daemon made up for the test: what it prints and how it exits.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

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

/// A child whose lines are read one by one, killed at the end of the test.
struct Watching {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Watching {
    fn start(socket: &Path, arguments: &[&str]) -> Watching {
        let mut child = command(socket, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = reader(child.stdout.take().unwrap());
        Watching { child, lines }
    }

    fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(10)).expect("a line within 10 s")
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn reader(stdout: ChildStdout) -> mpsc::Receiver<String> {
    let (send, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

#[test]
fn watching_prints_a_line_for_each_event_and_survives_a_restart() {
    let two = format!("data: {STATUS}\n\n: keep-alive\n\n\n\ndata: {{\"node\":\ndata: \"second\"}}\n\n");
    let fake = Fake::new(&[events(&two)]);
    let mut watching = Watching::start(&fake.socket(), &["status", "--watch", "--json"]);
    assert_eq!(watching.line(), STATUS);
    assert_eq!(watching.line(), r#"{"node":"second"}"#);
    assert!(fake.request().starts_with("GET /status/watch HTTP/1.1\r\n"));

    let mut told = String::new();
    BufReader::new(watching.child.stderr.as_mut().unwrap()).read_line(&mut told).unwrap();
    assert!(told.contains("hung up") && told.contains("waiting for it"), "{told}");
    // The fake removed its socket; the next one comes up later.
    while fake.socket().exists() {
        std::thread::yield_now();
    }
    let _requests = serve(&fake.socket(), &[answer("503 Not yet", "{}"), events("data: {\"node\":\"back\"}\n\n")]);
    assert_eq!(watching.line(), r#"{"node":"back"}"#);
}

#[test]
fn watching_in_a_pipe_prints_tables_for_real_changes_only() {
    let ticked = STATUS.replace("812", "562").replace("0.25", "0.5");
    let moved = STATUS.replace(r#""active":"lb1""#, r#""active":"lb3""#);
    let fake = Fake::new(&[events(&format!("data: {STATUS}\n\ndata: {ticked}\n\ndata: {moved}\n\n"))]);
    let watching = Watching::start(&fake.socket(), &["status", "--watch"]);
    let routers: Vec<_> =
        std::iter::repeat_with(|| watching.line()).filter(|line| line.starts_with("VI_1")).take(2).collect();
    assert!(routers[0].contains("lb1     812 ms ") && routers[1].contains("lb3     812 ms (lb1)"), "{routers:?}");
}

#[test]
fn a_terminal_is_redrawn_and_given_back() {
    for key in ["q", "\u{3}"] {
        let fake = Fake::new(&[events(&format!("data: {STATUS}\n\n"))]);
        // script(1) gives it a terminal and hands on what is typed and what is shown.
        let line = format!("{} --socket {} status --watch", env!("CARGO_BIN_EXE_meshctl"), fake.socket().display());
        let mut child = Command::new("timeout");
        child.args(["30", "script", "-qec", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
        let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut shown = Vec::new();
        let mut out = child.stdout.take().unwrap();
        while !text_lossy(&shown).contains("NO DAEMON, the map is") {
            let mut some = [0; 4096];
            let read = out.read(&mut some).unwrap();
            assert_ne!(read, 0, "it goes on without a daemon: {}", text_lossy(&shown));
            shown.extend_from_slice(&some[..read]);
        }
        child.stdin.as_mut().unwrap().write_all(key.as_bytes()).unwrap();
        out.read_to_end(&mut shown).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{key:?}");
        let shown = text_lossy(&shown);
        assert!(shown.starts_with("\u{1b}[?1049h"), "{shown:?}");
        assert!(shown.contains("VI_1") && shown.contains("\u{1b}[1;32mprotected\u{1b}[0m"), "{shown:?}");
        assert!(shown.trim_end().ends_with("\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l"), "{shown:?}");
    }
}

/// A terminal of script(1) with a program in it: what it shows, and what is typed.
struct Typing {
    child: Child,
    shown: Vec<u8>,
}

impl Typing {
    fn meshctl(socket: &Path, command: &str) -> Typing {
        Typing::start(&format!("exec {} --socket {} {command}", env!("CARGO_BIN_EXE_meshctl"), socket.display()))
    }

    fn start(line: &str) -> Typing {
        let line = format!("stty rows 30 cols 130; {line}");
        let mut child = Command::new("timeout");
        child.args(["30", "script", "-qec", &line, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
        let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        Typing { child, shown: Vec::new() }
    }

    fn wait_for(&mut self, wanted: &str) {
        while !text_lossy(&self.shown).contains(wanted) {
            let mut some = [0; 4096];
            let read = self.child.stdout.as_mut().unwrap().read(&mut some).unwrap();
            assert_ne!(read, 0, "{wanted}: {:?}", text_lossy(&self.shown));
            self.shown.extend_from_slice(&some[..read]);
        }
    }

    fn type_keys(&mut self, keys: &str) {
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// What was shown all in all, and the exit status.
    fn end(mut self) -> (String, Option<i32>) {
        self.child.stdout.take().unwrap().read_to_end(&mut self.shown).unwrap();
        (text_lossy(&self.shown), self.child.wait().unwrap().code())
    }
}

/// A daemon for as many connections as there are: answers by what is asked, then hangs up, or is silent.
fn serve_pages(socket: &Path, pages: &'static [(&'static str, String)], silent: bool) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let mut silenced = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = read_request(&mut stream);
            let page = pages.iter().find(|(path, _)| request.starts_with(&format!("GET {path}")));
            let _ = stream
                .write_all(page.map_or_else(|| answer("404 Not Found", "{}"), |(_, page)| page.clone()).as_bytes());
            if silent {
                silenced.push(stream);
            }
        }
    });
}

const EVENT: &str = r#"{"at_unix_us":1,"at":"2026-03-01T11:59:30Z","seq":1,"node":"lb9","severity":"info","kind":"router","text":"VI_1: active","cause":"lb1 stopped"}"#;

fn pages() -> &'static [(&'static str, String)] {
    let map = events(&format!("data: {STATUS}\n\n"));
    Box::leak(Box::new([("/status/watch", map), ("/events/follow", events(&format!("data: {EVENT}\n\n")))]))
}

#[test]
fn top_shows_all_panes_survives_a_silent_daemon_and_gives_the_terminal_back() {
    for (key, silent) in [("q", false), ("\u{3}", true)] {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        serve_pages(&socket, pages(), silent);
        let mut top = Typing::meshctl(&socket, "top");
        for wanted in ["VI_1", "10.1.1.80/24", "lb9", "stopped", "Services:"] {
            top.wait_for(wanted);
        }
        // What it shows grows old; and it takes keys all the same.
        top.wait_for("NO DAEMON, the map is ");
        top.type_keys("?");
        top.wait_for("Keys");
        top.type_keys(&format!("x{key}"));
        let (shown, code) = top.end();
        assert_eq!(code, Some(0), "{key:?}: {shown:?}");
        assert!(shown.starts_with("\u{1b}[?1049h"), "{shown:?}");
        assert_given_back(&shown);
    }
}

/// The second screen was left, and the cursor is there.
fn assert_given_back(shown: &str) {
    let (_, after) = shown.rsplit_once("\u{1b}[?1049l").unwrap_or_else(|| panic!("{shown:?}"));
    assert!(after.contains("\u{1b}[?25h") && after.replace("\u{1b}[?25h", "").trim().is_empty(), "{after:?}");
}

#[test]
fn top_ends_in_order_when_it_is_told_to_by_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    serve_pages(&socket, pages(), true);
    // It takes the place of the shell that says which process it is.
    let pid = dir.path().join("pid");
    let meshctl = format!("exec {} --socket {} top", env!("CARGO_BIN_EXE_meshctl"), socket.display());
    let mut top = Typing::start(&format!("echo $$ >{}; {meshctl}", pid.display()));
    top.wait_for("VI_1");
    let pid = std::fs::read_to_string(pid).unwrap();
    assert!(Command::new("kill").arg(pid.trim()).status().unwrap().success());
    let (shown, code) = top.end();
    assert_eq!(code, Some(0), "{shown:?}");
    assert_given_back(&shown);
}

#[test]
fn top_without_a_terminal_or_a_daemon_says_so() {
    let output = meshctl(Path::new("/nonexistent/s"), &["top"]);
    assert_eq!(output.status.code(), Some(1));
    let said = "meshctl: top needs a terminal; `meshctl status --watch` and `meshctl events --follow` do without\n";
    assert_eq!(text(&output.stderr), said);
    let (shown, code) = Typing::meshctl(Path::new("/nonexistent/s"), "top").end();
    assert_eq!(code, Some(3));
    assert!(shown.starts_with("meshctl: no meshd on /nonexistent/s"), "the terminal was not touched: {shown:?}");
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
fn moves_are_ordered_and_refusals_say_who_and_why() {
    let done = r#"{"done":"lb2 serves VI_1","by":"lb1"}"#;
    let refused = r#"{"error":"lb3 refused: VI_1 is in fault there; nothing moved","hint":null}"#;
    let fake = Fake::new(&[
        answer("200 OK", done),
        answer("200 OK", done),
        answer("200 OK", done),
        answer("409 Conflict", refused),
    ]);
    let output = meshctl(&fake.socket(), &["move", "10.1.1.80", "lb2"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), "lb2 serves VI_1 (ordered by lb1, which orders all moves)\n")
    );
    let request = fake.request();
    assert!(request.starts_with("POST /moves HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with(r#"{"what":"10.1.1.80","node":"lb2"}"#), "{request}");
    let output = meshctl(&fake.socket(), &["move", "--back", "VI_1", "--json"]);
    assert_eq!(text(&output.stdout), "{\n  \"done\": \"lb2 serves VI_1\",\n  \"by\": \"lb1\"\n}\n");
    let request = fake.request();
    assert!(request.starts_with("POST /moves/back ") && request.ends_with(r#"{"what":"VI_1"}"#), "{request}");
    assert_eq!(meshctl(&fake.socket(), &["drain", "lb1", "--no-wait"]).status.code(), Some(0));
    assert!(fake.request().starts_with("POST /nodes/drain "));
    let output = meshctl(&fake.socket(), &["move", "VI_1", "lb3"]);
    let said = "meshctl: lb3 refused: VI_1 is in fault there; nothing moved\n";
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), said));
    assert_eq!(meshctl(&fake.socket(), &["move", "VI_1"]).status.code(), Some(2), "neither a node nor --back");
}

#[test]
fn a_drain_waits_until_the_director_is_empty() {
    let plan = r#"{"ordered_by":"lb1","moves_per_minute":60,"moves":[],"stuck":[]}"#;
    let draining = STATUS.replace(r#""draining":false"#, r#""draining":true"#);
    let empty = draining.replace(r#""active":"lb1""#, r#""active":"lb2""#);
    let order = answer("200 OK", r#"{"done":"taken","by":"lb2"}"#);
    let fake = Fake::new(&[
        order.clone(),
        answer("200 OK", &draining),
        answer("200 OK", plan),
        answer("200 OK", &empty),
        order,
        answer("200 OK", &draining),
        answer("200 OK", plan),
    ]);
    let output = meshctl(&fake.socket(), &["drain", "LB1"]);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), "lb1 serves nothing\n"), "{output:?}");
    assert_eq!(text(&output.stderr), "lb1 serves 1 more\n");
    let output = meshctl(&fake.socket(), &["drain", "lb1", "--within", "0s"]);
    assert_eq!(output.status.code(), Some(2), "at least a second");
}

#[test]
fn a_removal_hands_over_first() {
    let changed = answer("200 OK", r#"{"roster_epoch":8,"voters":["lb2","lb3","lb4"],"needed":2}"#);
    let order = answer("200 OK", r#"{"done":"taken","by":"lb2"}"#);
    let empty = answer("200 OK", &STATUS.replace(r#""active":"lb1""#, r#""active":"lb2""#));
    let emptied = answer(
        "200 OK",
        &STATUS.replace(r#""draining":false"#, r#""draining":true"#).replace(r#""active":"lb1""#, r#""active":"lb2""#),
    );
    let serving = answer("200 OK", STATUS);
    let done = "Roster epoch 8: 2 of 3 voters decide: lb2 lb3 lb4\n";
    let said = |output: &Output| (output.status.code(), text(&output.stdout).to_owned());

    let fake = Fake::new(&[serving.clone(), order.clone(), emptied.clone(), changed.clone()]);
    assert_eq!(said(&meshctl(&fake.socket(), &["nodes", "remove", "LB1"])), (Some(0), done.to_owned()));
    let asked = [fake.request(), fake.request(), fake.request(), fake.request()];
    assert!(asked[0].starts_with("GET /status ") && asked[2].starts_with("GET /status "), "{asked:?}");
    assert!(asked[1].starts_with("POST /nodes/drain ") && asked[1].ends_with(r#"{"node":"lb1"}"#), "{asked:?}");
    assert!(asked[3].starts_with("POST /nodes/remove "), "{asked:?}");
    assert!(asked[3].ends_with(r#"{"node":"LB1","now":false}"#), "{asked:?}");

    // There is nothing to hand over, or nobody to do it, or it is not wanted.
    let dead = answer("200 OK", &STATUS.replace(r#""liveness":"alive""#, r#""liveness":"dead""#));
    for (status, arguments, now) in [
        (Some(empty), &["nodes", "remove", "lb1"][..], false),
        (Some(dead), &["nodes", "remove", "lb1"], false),
        (None, &["nodes", "remove", "lb1", "--now"], true),
    ] {
        let answers: Vec<String> = status.iter().cloned().chain([changed.clone()]).collect();
        let fake = Fake::new(&answers);
        assert_eq!(said(&meshctl(&fake.socket(), arguments)), (Some(0), done.to_owned()));
        let requests: Vec<String> = answers.iter().map(|_| fake.request()).collect();
        let last = requests.last().unwrap();
        assert!(last.ends_with(&format!(r#"{{"node":"lb1","now":{now}}}"#)), "{last}");
    }
    let fake = Fake::new(&[]);
    assert_eq!(meshctl(&fake.socket(), &["nodes", "remove", "lb1", "--now", "--within", "9s"]).status.code(), Some(2));

    // What cannot be removed serves again, unless an operator had drained it before.
    let no = answer("409 Conflict", r#"{"error":"lb1 is the last voter","hint":null}"#);
    let fake = Fake::new(&[serving.clone(), order.clone(), emptied, no.clone(), order.clone()]);
    let output = meshctl(&fake.socket(), &["nodes", "remove", "lb1"]);
    let expected = "lb1 stays a member, and what belongs to it comes back\nmeshctl: lb1 is the last voter\n";
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), expected));
    let undone = std::iter::repeat_with(|| fake.request()).nth(4).unwrap();
    assert!(undone.starts_with("POST /nodes/undrain ") && undone.ends_with(r#"{"node":"lb1"}"#), "{undone}");

    // Nobody could take it.
    let stuck = r#"{"error":"lb2, which orders moves, refused: VI_1: no other director can serve it","hint":null}"#;
    let fake = Fake::new(&[serving, answer("409 Conflict", stuck)]);
    let output = meshctl(&fake.socket(), &["nodes", "remove", "lb1"]);
    let error = text(&output.stderr);
    assert!(error.contains("no other director can serve it"), "{error}");
    assert!(error.contains("meshctl nodes remove lb1 --now hands nothing over"), "{error}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_plan_is_a_table() {
    let plan = r#"{"ordered_by":"lb1","moves_per_minute":60,"moves":[{"routers":["VI_1"],"from":"lb1","to":"lb2","because":"lb1 is drained"}],"stuck":[{"routers":["VI_2"],"on":"lb1","because":"no other director can serve it"}]}"#;
    let fake = Fake::new(&[answer("200 OK", plan)]);
    let output = meshctl(&fake.socket(), &["plan", "--drain", "lb1"]);
    let expected = "\
ROUTER  FROM  TO   BECAUSE
VI_1    lb1   lb2  lb1 is drained

1 move, 60 a minute at most, ordered by lb1
VI_2 stays on lb1: no other director can serve it
";
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(0), expected));
    assert!(fake.request().ends_with(r#"{"drain":"lb1"}"#));
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
