//! What goes on: watching, and top.

use super::*;

/// A child whose lines are read one by one, killed at the end of the test.
pub(super) struct Watching {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Watching {
    pub(super) fn start(socket: &Path, arguments: &[&str]) -> Watching {
        let mut child = command(socket, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = reader(child.stdout.take().unwrap());
        Watching { child, lines }
    }

    pub(super) fn line(&self) -> String {
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
