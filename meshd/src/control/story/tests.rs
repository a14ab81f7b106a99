//! Events, traces and explanations by the control socket and by TCP, on a node without a mesh.

use std::sync::Arc;

use mesh_control::story::Events;
use mesh_core::Decision;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::super::tests::{Daemon, refusal};
use super::super::{ControlState, listen, serve_pages};
use super::*;
use crate::telemetry::{Asked, Journal, Telemetry, collect, otlp::Exporter};

/// A daemon that remembers one warning, and an engine that never answers.
async fn daemon() -> (Daemon, Archive, Telemetry, mpsc::Receiver<Asked>) {
    let journal = Arc::new(Journal::new("lb1", 100));
    let (engine, asked) = mpsc::channel(1);
    let archive = Archive { journal: Arc::clone(&journal), engine, mesh: None };
    let (telemetry, reports) = Telemetry::new();
    let node = mesh_wire::mesh::NodeId(1);
    let stop = CancellationToken::new();
    tokio::spawn(collect(node, Arc::clone(&journal), Exporter::default(), reports, stop));
    warn(&telemetry, "first");
    while journal.events(0, 0, 1).events.is_empty() {
        tokio::task::yield_now().await;
    }
    let kept = archive.clone();
    let daemon = Daemon::with(|state| ControlState { archive: Some(archive), ..state });
    (daemon, kept, telemetry, asked)
}

fn warn(telemetry: &Telemetry, text: &str) {
    telemetry.record(Decision::Warning { text: text.to_owned() });
}

#[tokio::test]
async fn events_are_told_and_bad_questions_refused() {
    let (daemon, _archive, _telemetry, _asked) = daemon().await;
    let (code, body) = daemon.get("/events?since=3600&limit=5").await;
    let events = serde_json::from_str::<Events>(&body).unwrap().events;
    assert_eq!((code, events.len(), events[0].text.as_str(), events[0].seq), (200, 1, "first", 101));
    assert_eq!(refusal(&daemon.get("/events?since=soon").await).0, 400);
    assert_eq!(refusal(&daemon.get("/events?until=1").await).0, 400);
    assert_eq!(refusal(&daemon.get("/traces?id=xyz").await).0, 400);
    let (code, none) = refusal(&daemon.get("/traces?router=10.1.1.80").await);
    assert_eq!((code, none.error.as_str()), (404, "no takeover of 10.1.1.80 is remembered"));
    assert_eq!(refusal(&daemon.get("/explain").await).0, 400);
}

/// A router that nobody knows has no takeovers to be remembered.
#[tokio::test]
async fn a_name_that_nobody_knows_is_refused_as_such() {
    let (daemon, _archive, _telemetry, mut asked) = daemon().await;
    tokio::spawn(async move {
        while let Some(Asked::Router { answer, .. }) = asked.recv().await {
            drop(answer.send(None));
        }
    });
    for path in ["/traces?router=nosuch", "/explain?router=nosuch"] {
        let (code, none) = refusal(&daemon.get(path).await);
        assert_eq!((code, none.error.as_str()), (404, "no virtual router \"nosuch\""));
        assert_eq!(none.hint.as_deref(), Some("a VIP or a name: see meshctl status"));
    }
}

#[tokio::test]
async fn an_engine_that_hangs_explains_nothing_in_time() {
    let (daemon, archive, _telemetry, _asked) = daemon().await;
    assert_eq!(archive.explain("VI_1").await.unwrap_err().to_string(), "the engine does not answer");
    // Its queue is full of the question that nobody took.
    let full = archive.explain("VI_1").await.unwrap_err().to_string();
    assert_eq!(full, "the engine has too many questions to answer, or is gone");
    drop(daemon);
}

#[tokio::test]
async fn followers_get_what_was_and_what_comes() {
    let (daemon, _archive, telemetry, _asked) = daemon().await;
    let mut stream = UnixStream::connect(daemon.path()).await.unwrap();
    stream.write_all(b"GET /events/follow HTTP/1.1\r\nHost: meshd\r\n\r\n").await.unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut next = async || loop {
        let line = timeout(Duration::from_secs(10), lines.next_line()).await.expect("an event").unwrap().unwrap();
        if let Some(data) = line.strip_prefix("data: ") {
            return serde_json::from_str::<mesh_control::story::Event>(data).unwrap().text;
        }
    };
    assert_eq!(next().await, "first");
    warn(&telemetry, "second");
    assert_eq!(next().await, "second");
}

#[tokio::test]
async fn pages_on_tcp_are_the_same_and_read_only() {
    let (daemon, archive, _telemetry, _asked) = daemon().await;
    let state = daemon.state(archive);
    let listener = listen("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let server = tokio::spawn(serve_pages(listener, state, stop.clone()));
    let ask = async |request: &str| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(Duration::from_secs(10), stream.read_to_string(&mut answer)).await.expect("an answer").unwrap();
        answer
    };
    assert!(ask("GET /metrics").await.contains("\nmeshd_protected 1.0\n"));
    assert!(ask("GET /events").await.contains("\"text\":\"first\""));
    assert!(ask("POST /stop").await.starts_with("HTTP/1.1 404"));
    assert!(ask("POST /metrics").await.starts_with("HTTP/1.1 405"));
    assert!(ask("GET /tokens").await.starts_with("HTTP/1.1 404"));
    let taken = listen(address).await.unwrap_err().to_string();
    assert_eq!(taken, format!("telemetry.listen: cannot listen on {address}"));
    stop.cancel();
    timeout(Duration::from_secs(10), server).await.expect("it ends").unwrap().unwrap();
}
