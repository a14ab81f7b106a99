use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mesh_control::{Cluster, ConfigRefused, Protection, Quorum, Refusal, ReloadReply, Status, StopReply, TokenReply};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::connection::Connection;
use super::{Command, ControlState, Ending, MakeToken, Reload, Shown, bind, serve};
use crate::guard::Link;
use crate::on_demand::{self, Asker, Maker};
use crate::run::NextRun;

fn empty(node: &str) -> Status {
    let quorum = Quorum { voters: 3, needed: 2, reachable: 3, roster_epoch: 1 };
    let cluster = Cluster {
        id: "c".into(),
        name: "lab".into(),
        protection: Protection::Protected,
        unprotected_because: None,
        quorum,
    };
    Status {
        cluster,
        node: node.to_owned(),
        nodes: vec![],
        routers: vec![],
        services: vec![],
        bfd: vec![],
        counters: Default::default(),
        drops: Default::default(),
        drift: mesh_control::drift::Drift::default(),
        guard: None,
        config_refused: None,
        failovers: Default::default(),
        vetoes: vec![],
    }
}

const ROUTER: &str =
    "vrrp_instance A {\n interface lo\n virtual_router_id 51\n virtual_ipaddress {\n  192.0.2.80\n }\n}\n";

/// Between two of the engine's answers.
const PAUSE: Duration = Duration::from_millis(100);

async fn engine(mut maker: Maker<Status>, mut status: watch::Receiver<Option<Status>>) {
    loop {
        maker.due().await;
        let Ok(said) = status.wait_for(Option::is_some).await.map(|said| said.clone()) else { return };
        maker.show(said.expect("waited for"), PAUSE);
    }
}

pub(super) struct Daemon {
    dir: tempfile::TempDir,
    /// What the engine says when it is asked; nothing while it hangs.
    status: watch::Sender<Option<Status>>,
    asker: Asker<Status>,
    engine: AbortOnDropHandle<()>,
    stop: CancellationToken,
    server: JoinHandle<anyhow::Result<()>>,
    asked: mpsc::Receiver<Command>,
    reload: mpsc::Receiver<Reload>,
}

impl Daemon {
    fn start(tokens: Option<Arc<MakeToken>>) -> Daemon {
        Daemon::with(|state| ControlState { tokens, ..state })
    }

    fn guarded(tokens: Option<Arc<MakeToken>>, guard: Option<Link>) -> Daemon {
        Daemon::with(|state| ControlState { tokens, ending: Ending { guard, ..state.ending }, ..state })
    }

    pub(super) fn with(state: impl FnOnce(ControlState) -> ControlState) -> Daemon {
        let dir = tempfile::tempdir().unwrap();
        let (status, says) = watch::channel(Some(empty("lb1")));
        let (maker, asker) = on_demand::channel(empty("before"));
        let engine = AbortOnDropHandle::new(tokio::spawn(engine(maker, says)));
        let stop = CancellationToken::new();
        let socket = bind(&dir.path().join("meshd.sock")).unwrap();
        let (commands, asked) = mpsc::channel(1);
        let (reloads, reload) = mpsc::channel(1);
        let file = dir.path().join("good.conf");
        fs::write(&file, ROUTER).unwrap();
        let next = NextRun { config: Some(file), state_dir: dir.path().join("state"), ..NextRun::default() };
        let ending = Ending { commands, guard: None, next };
        let bare = ControlState {
            shown: Shown {
                status: asker.clone(),
                services: on_demand::channel(vec![]).1,
                bfd: watch::channel(Arc::default()).1,
                config_refused: watch::channel(None).1,
            },
            tokens: None,
            roster: None,
            archive: None,
            orders: None,
            seed: "10.1.1.11:7946".to_owned(),
            ending,
            reloads,
        };
        let server = tokio::spawn(serve(socket, state(bare), stop.clone()));
        Daemon { dir, status, asker, engine, stop, server, asked, reload }
    }

    /// What pages on TCP are made of.
    pub(super) fn state(&self, archive: crate::telemetry::Archive) -> ControlState {
        let (commands, _) = mpsc::channel(1);
        ControlState {
            shown: Shown {
                status: self.asker.clone(),
                services: on_demand::channel(vec![]).1,
                bfd: watch::channel(Arc::default()).1,
                config_refused: watch::channel(None).1,
            },
            tokens: None,
            roster: None,
            orders: None,
            archive: Some(archive),
            seed: String::new(),
            ending: Ending { commands, guard: None, next: NextRun::default() },
            reloads: mpsc::channel(1).0,
        }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("meshd.sock")
    }

    pub(super) async fn get(&self, target: &str) -> (u16, String) {
        ask(&self.path(), &format!("GET {target} HTTP/1.1\r\n"), "").await
    }

    async fn post(&self, body: &str) -> (u16, String) {
        self.post_to("/tokens", body).await
    }

    async fn post_to(&self, target: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let head = format!("POST {target} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n");
        ask(&self.path(), &head, body).await
    }

    /// A watcher whose answer's head has been read.
    async fn watch(&self) -> BufReader<UnixStream> {
        let mut stream = UnixStream::connect(self.path()).await.unwrap();
        stream.write_all(b"GET /status/watch HTTP/1.1\r\nHost: meshd\r\n\r\n").await.unwrap();
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        assert_eq!(line.trim(), "HTTP/1.1 200 OK");
        stream
    }
}

/// One request on a connection of its own.
pub(super) async fn ask(path: &Path, head: &str, body: &str) -> (u16, String) {
    let mut stream = UnixStream::connect(path).await.unwrap();
    let request = format!("{head}Host: meshd\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status code");
    (code, body.to_owned())
}

pub(super) fn refusal((code, body): &(u16, String)) -> (u16, Refusal) {
    (*code, serde_json::from_str(body).unwrap_or_else(|e| panic!("{body}: {e}")))
}

/// The next status a watcher is sent.
async fn event(stream: &mut BufReader<UnixStream>) -> Option<Status> {
    let mut line = String::new();
    loop {
        line.clear();
        let read = timeout(Duration::from_secs(10), stream.read_line(&mut line)).await.expect("an event").unwrap();
        if read == 0 {
            return None;
        }
        if let Some(data) = line.strip_prefix("data: ") {
            return Some(serde_json::from_str(data).unwrap());
        }
    }
}

#[tokio::test]
async fn status_is_what_the_engine_said_last() {
    let daemon = Daemon::start(None);
    let (code, body) = daemon.get("/status").await;
    assert_eq!((code, serde_json::from_str::<Status>(&body).unwrap()), (200, empty("lb1")));
    daemon.status.send_replace(Some(empty("lb2")));
    sleep(PAUSE).await;
    assert_eq!(serde_json::from_str::<Status>(&daemon.get("/status").await.1).unwrap().node, "lb2");
}

#[tokio::test]
async fn figures_come_as_openmetrics_text() {
    let daemon = Daemon::start(None);
    let (code, body) = daemon.get("/metrics").await;
    assert_eq!((code, body.contains("meshd_protected 1.0"), body.contains("# EOF")), (200, true, true), "{body}");
}

#[tokio::test]
async fn what_is_refused_is_refused_in_json() {
    let daemon = Daemon::start(Some(Arc::new(|_| panic!("not to be asked"))));
    assert_eq!(refusal(&daemon.get("/nothing").await).0, 404);
    assert_eq!(refusal(&daemon.get("/voters/add").await).0, 405);
    assert_eq!(refusal(&daemon.post("{\"ttl_s\":").await).0, 400);
    assert_eq!(refusal(&daemon.post("{\"ttl_s\":\"long\"}").await).0, 422);
    assert_eq!(refusal(&daemon.post("{\"ttl_s\":0}").await).0, 400);
    assert_eq!(refusal(&daemon.post("{\"ttl_s\":604801}").await).0, 400);
    let (code, large) = refusal(&daemon.post(&format!("{{\"ttl_s\":1,\"x\":\"{}\"}}", "x".repeat(5000))).await);
    assert_eq!(code, 413, "{large:?}");
    let head = "POST /tokens HTTP/1.1\r\nContent-Length: 11\r\n";
    assert_eq!(refusal(&ask(&daemon.path(), head, "{\"ttl_s\":1}").await).0, 415);
    let (code, panicked) = refusal(&daemon.post("{\"ttl_s\":1}").await);
    assert_eq!(code, 500, "{panicked:?}");
    assert_eq!(daemon.get("/status").await.0, 200, "all that harmed nobody");
}

#[tokio::test]
async fn tokens_need_a_mesh() {
    let daemon = Daemon::start(None);
    let (code, refusal) = refusal(&daemon.post("{\"ttl_s\":60}").await);
    assert_eq!((code, refusal.hint.as_deref()), (409, Some(super::NO_MESH)));
}

#[tokio::test]
async fn a_token_comes_with_its_end_and_the_command() {
    let daemon = Daemon::start(Some(Arc::new(|ttl| match ttl.as_secs() {
        604_800 => anyhow::bail!("the disk is full"),
        ttl => Ok((format!("token-{ttl}"), 1_700_000_000 + ttl)),
    })));
    let (code, body) = daemon.post("{\"ttl_s\":3600,\"later\":\"fields are ignored\"}").await;
    let reply: TokenReply = serde_json::from_str(&body).unwrap();
    assert_eq!(code, 200);
    assert_eq!(reply.token, "token-3600");
    assert_eq!(reply.expires, "2023-11-14T23:13:20Z");
    assert_eq!(reply.command, "meshd join --seed 10.1.1.11:7946");
    let (code, refused) = refusal(&daemon.post("{\"ttl_s\":604800}").await);
    assert_eq!((code, refused.error.as_str()), (500, "no token: the disk is full"));
}

#[tokio::test]
async fn a_status_the_engine_does_not_answer_with_is_not_shown() {
    let daemon = Daemon::start(None);
    assert_eq!(daemon.get("/status").await.0, 200);
    daemon.status.send_replace(None);
    sleep(PAUSE).await;
    let path = daemon.path();
    let asked = tokio::spawn(async move { ask(&path, "GET /status HTTP/1.1\r\n", "").await });
    sleep(Duration::from_millis(100)).await;
    daemon.status.send_replace(Some(empty("late")));
    let (code, body) = asked.await.unwrap();
    assert_eq!((code, body.contains("late")), (200, true), "a slow engine is waited for");
    daemon.status.send_replace(None);
    sleep(PAUSE).await;
    let (code, refused) = refusal(&daemon.get("/status").await);
    let age = refused.error.strip_prefix("meshd's engine does not answer; its last report is ");
    let age: f64 = age.and_then(|age| age.strip_suffix(" s old")?.parse().ok()).expect(&refused.error);
    assert_eq!((code, (1.0..3.0).contains(&age)), (503, true), "{refused:?}");
    assert_eq!(refusal(&daemon.get("/status/watch").await).0, 503);
    daemon.status.send_replace(Some(empty("back")));
    assert_eq!(daemon.get("/status").await.0, 200);
    let Daemon { dir, status: _status, asker: _asker, engine, stop, server, asked: _asked, reload: _reload } = daemon;
    drop(engine);
    assert_eq!(refusal(&ask(&dir.path().join("meshd.sock"), "GET /status HTTP/1.1\r\n", "").await).0, 503);
    stop.cancel();
    server.await.unwrap().unwrap();
}

#[tokio::test]
async fn watchers_get_each_change_but_not_all_of_a_burst() {
    let daemon = Daemon::start(None);
    let mut stream = daemon.watch().await;
    assert_eq!(event(&mut stream).await.unwrap().node, "lb1", "the status now comes first");
    let (started, mut got) = (Instant::now(), 0);
    let sender = tokio::spawn({
        let status = daemon.status.clone();
        async move {
            for n in 0..100 {
                status.send_replace(Some(empty(&format!("n{n}"))));
                sleep(Duration::from_millis(3)).await;
            }
            status.send_replace(Some(empty("last")));
        }
    });
    loop {
        got += 1;
        if event(&mut stream).await.unwrap().node == "last" {
            break;
        }
    }
    sender.await.unwrap();
    let most = started.elapsed().as_millis() / 100 + 1;
    assert!((2..=most).contains(&got), "{got} events in {:?}", started.elapsed());
    daemon.stop.cancel();
    assert_eq!(event(&mut stream).await, None, "the stream ends with the daemon");
    timeout(Duration::from_secs(5), daemon.server).await.expect("it stops").unwrap().unwrap();
    assert!(!daemon.dir.path().join("meshd.sock").exists(), "the socket is removed");
}

#[tokio::test]
async fn watchers_leave_room_for_others() {
    let daemon = Daemon::start(None);
    let mut watching = Vec::new();
    for _ in 0..super::WATCHERS {
        watching.push(daemon.watch().await);
    }
    assert_eq!(refusal(&daemon.get("/status/watch").await).0, 503);
    assert_eq!(daemon.get("/status").await.0, 200);
    watching.clear();
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut stream = UnixStream::connect(daemon.path()).await.unwrap();
        stream.write_all(b"GET /status/watch HTTP/1.1\r\nHost: meshd\r\n\r\n").await.unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
        if line.starts_with("HTTP/1.1 200") {
            break;
        }
        assert!(Instant::now() < deadline, "slots come back: {line}");
    }
}

#[tokio::test]
async fn a_client_that_does_not_finish_delays_the_stop_a_second_at_most() {
    let daemon = Daemon::start(None);
    let mut stream = UnixStream::connect(daemon.path()).await.unwrap();
    stream.write_all(b"POST /tokens HTTP/1.1\r\nContent-Length: 100\r\n").await.unwrap();
    assert_eq!(daemon.get("/status").await.0, 200);
    daemon.stop.cancel();
    timeout(Duration::from_secs(5), daemon.server).await.expect("it stops").unwrap().unwrap();
}

#[tokio::test]
async fn a_connection_stalls_out_however_it_stalls() {
    let slot = || Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
    let limit = Duration::from_millis(200);
    let ended = async |action: &mut (dyn Future<Output = std::io::Result<()>> + Unpin)| {
        let error = timeout(Duration::from_secs(10), action).await.expect("it ends").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    };

    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut connection = Connection::new(ours, limit, slot());
    let trickle = tokio::spawn(async move {
        while theirs.write_all(b"G").await.is_ok() {
            sleep(limit / 10).await
        }
    });
    let mut read = Box::pin(async {
        loop {
            connection.read_u8().await?;
        }
    });
    ended(&mut read).await;
    drop(read);
    drop(connection);
    trickle.await.unwrap();

    let (ours, _deaf) = UnixStream::pair().unwrap();
    let mut connection = Connection::new(ours, limit, slot());
    ended(&mut Box::pin(async {
        loop {
            connection.write_all(&[0; 4096]).await?;
        }
    }))
    .await;

    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let mut connection = Connection::new(ours, limit, slot());
    for _ in 0..5 {
        sleep(limit / 2).await;
        connection.write_all(b"x").await.unwrap();
        theirs.read_u8().await.unwrap();
    }
}

#[tokio::test]
async fn a_dead_daemons_socket_is_replaced_and_a_living_ones_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("deep/er/meshd.sock");
    let first = bind(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let error = bind(&path).unwrap_err().to_string();
    let expected = format!("another meshd (process {}) is running on {}", std::process::id(), path.display());
    assert!(error.starts_with(&expected), "{error}");
    UnixStream::connect(&path).await.expect("the first still listens");
    drop(first);
    assert!(!path.exists());

    // What kill -9 leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(UnixStream::connect(&path).await.is_err());
    let _second = bind(&path).unwrap();
    UnixStream::connect(&path).await.expect("the second listens");
}

#[tokio::test]
async fn a_path_that_cannot_be_had_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("meshd.sock");
    fs::write(&file, "precious").unwrap();
    let error = bind(&file).unwrap_err().to_string();
    assert!(error.contains("something else than a socket"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    let error = bind(&file.join("meshd.sock")).unwrap_err().to_string();
    assert!(error.contains("runtime directory") && error.contains("--runtime-dir"), "{error}");
    let error = format!("{:#}", bind(&dir.path().join("x".repeat(120))).unwrap_err());
    assert!(error.contains("too long"), "{error}");
    assert!(bind(Path::new("meshd.sock")).is_err());
}

fn guard(program: &str) -> Link {
    let will = crate::legacy::WILL_VERSION;
    Link { pid: 7, restarts: 0, last_death: None, died_at: None, after_death: false, program: program.into(), will }
}

#[tokio::test]
async fn a_stop_names_whose_end_to_wait_for() {
    for (body, command) in [("{}", Command::Stop), ("{\"keep\":true}", Command::Keep)] {
        let mut daemon = Daemon::guarded(None, Some(guard("/bin/true")));
        let (code, answer) = daemon.post_to("/stop", body).await;
        let reply: StopReply = serde_json::from_str(&answer).unwrap();
        assert_eq!((code, reply.pids), (200, vec![std::process::id(), 7]));
        assert_eq!(refusal(&daemon.post_to("/stop", body).await).0, 409, "once");
        assert_eq!(daemon.asked.recv().await, Some(command));
    }
}

#[tokio::test]
async fn an_upgrade_takes_a_guard_and_a_program_that_starts() {
    let mut daemon = Daemon::start(None);
    let (code, refused) = refusal(&daemon.post_to("/upgrade", "{}").await);
    assert_eq!((code, refused.error.contains("without a guard")), (409, true));
    assert!(daemon.asked.try_recv().is_err());

    for broken in ["/nonexistent/meshd", "/bin/false"] {
        let mut daemon = Daemon::guarded(None, Some(guard(broken)));
        let (code, refused) = refusal(&daemon.post_to("/upgrade", "{}").await);
        assert_eq!((code, refused.error.contains(broken)), (409, true), "{}", refused.error);
        assert!(daemon.asked.try_recv().is_err());
    }

    let mut daemon = Daemon::guarded(None, Some(guard("/bin/true")));
    let (code, answer) = daemon.post_to("/upgrade", "{}").await;
    let reply: StopReply = serde_json::from_str(&answer).unwrap();
    assert_eq!((code, reply.pids), (200, vec![std::process::id()]), "the guard stays");
    assert_eq!(daemon.asked.recv().await, Some(Command::Upgrade));
}

/// What would leave nobody to go on: the broken file is said, and this run goes on.
#[tokio::test]
async fn nothing_is_left_to_a_next_run_that_could_not_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f.conf");
    fs::write(&file, "vrrp_instance A {\n virtual_router_id 510\n").unwrap();
    let next = NextRun { config: Some(file.clone()), state_dir: dir.path().join("state"), ..NextRun::default() };
    let broken = |guard| {
        let next = next.clone();
        Daemon::with(|state| ControlState { ending: Ending { guard, next, ..state.ending }, ..state })
    };
    let program = dir.path().join("meshd");
    fs::write(&program, "#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho 'f.conf:2:3: error: bad' >&2\nexit 3\n")
        .unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let guarded = Some(guard(program.to_str().unwrap()));
    for (path, body, guard) in
        [("/upgrade", "{}", guarded.clone()), ("/stop", "{\"keep\":true}", guarded), ("/stop", "{\"keep\":true}", None)]
    {
        let mut daemon = broken(guard);
        let (code, refused) = refusal(&daemon.post_to(path, body).await);
        let said = refused.error.contains("so nothing was changed") && refused.error.contains("f.conf:");
        assert_eq!((code, said), (409, true), "{path}: {}", refused.error);
        assert!(daemon.asked.try_recv().is_err(), "{path}");
    }
    let mut daemon = broken(None);
    assert_eq!(daemon.post_to("/stop", "{}").await.0, 200, "nothing is left to a next run");
    assert_eq!(daemon.asked.recv().await, Some(Command::Stop));
}

#[tokio::test]
async fn a_reload_is_answered_once_it_is_done() {
    let mut daemon = Daemon::start(None);
    let socket = daemon.path();
    let done = ReloadReply { findings: vec!["f:1:2: warning: odd".to_owned()], summary: "usable".to_owned() };
    for result in [Ok(done.clone()), Err("f cannot be used:\nf:3:4: error: bad".to_owned())] {
        let asked = async {
            let reload = daemon.reload.recv().await.unwrap();
            reload.send(result.clone()).unwrap();
        };
        let head = "POST /reload HTTP/1.1\r\nContent-Length: 0\r\n";
        let (answer, ()) = tokio::join!(ask(&socket, head, ""), asked);
        match result {
            Ok(done) => assert_eq!((answer.0, serde_json::from_str::<ReloadReply>(&answer.1).unwrap()), (200, done)),
            Err(_) => {
                let (code, refused) = refusal(&answer);
                let expected = "configuration not changed: f cannot be used:\nf:3:4: error: bad";
                assert_eq!((code, refused.error.as_str()), (409, expected));
            }
        }
    }
    daemon.reload.close();
    assert_eq!(refusal(&daemon.post_to("/reload", "{}").await).0, 409, "it ends");
}

#[tokio::test]
async fn a_configuration_that_was_refused_is_in_the_status() {
    let refused = ConfigRefused { at: "2030-01-01T00:00:00Z".to_owned(), errors: vec!["f:3:4: error: bad".to_owned()] };
    let (tell, config_refused) = watch::channel(Some(refused.clone()));
    let daemon = Daemon::with(|state| ControlState { shown: Shown { config_refused, ..state.shown }, ..state });
    let seen = async || serde_json::from_str::<Status>(&daemon.get("/status").await.1).unwrap().config_refused;
    assert_eq!(seen().await, Some(refused));
    tell.send_replace(None);
    assert_eq!(seen().await, None);
}
