//! HTTP/1.1 on the daemon's unix socket; every wait has a deadline.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use mesh_control::Refusal;
use serde::Serialize;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// For a whole request, and between two events of a watch: the daemon reports at least every 250 ms.
const DEADLINE: Duration = Duration::from_secs(5);
/// Between two signs of life of a stream without regular events: comments come every 5 s.
const SILENCE: Duration = Duration::from_secs(12);
/// Largest answer, or event, in bytes: a thousand routers are well below a tenth of it.
const LARGEST: usize = 16 << 20;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The daemon said no.
    Refused(Refusal),
    /// There is no daemon, or none that answers.
    NoDaemon { error: String, hint: &'static str },
    /// An answer that makes no sense.
    Unreadable(anyhow::Error),
    /// What was to be done on this host failed.
    Failed(anyhow::Error),
    /// Standard output failed.
    Output(io::Error),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Unreadable(error)
    }
}

/// Talks to the daemon behind one socket.
#[derive(Clone)]
pub(crate) struct Client {
    socket: PathBuf,
}

impl Client {
    pub(crate) fn new(socket: PathBuf) -> Client {
        Client { socket }
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(request(Method::GET, path, Bytes::new()), DEADLINE).await
    }

    pub(crate) async fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body).context("request")?;
        self.json(request(Method::POST, path, body.into()), DEADLINE).await
    }

    /// The same for what takes the mesh a while.
    pub(crate) async fn post_within(
        &self,
        path: &str,
        body: &impl Serialize,
        deadline: Duration,
    ) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body).context("request")?;
        self.json(request(Method::POST, path, body.into()), deadline).await
    }

    /// Server-sent events.
    pub(crate) async fn events(&self, path: &str) -> Result<Events, Failure> {
        let answered = async {
            let response = self.send(request(Method::GET, path, Bytes::new())).await?;
            if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
        };
        let response = self.within(DEADLINE, answered).await?;
        Ok(Events {
            body: response.into_body(),
            unread: Vec::new(),
            ready: VecDeque::new(),
            socket: self.socket.clone(),
        })
    }

    async fn json(&self, request: Request<Full<Bytes>>, deadline: Duration) -> Result<Value, Failure> {
        self.within(deadline, async {
            let response = self.send(request).await?;
            if !response.status().is_success() {
                return Err(refusal(response).await);
            }
            Ok(serde_json::from_slice(&body(response).await?).context("meshd's answer is not JSON")?)
        })
        .await
    }

    async fn within<T>(
        &self,
        deadline: Duration,
        answered: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        timeout(deadline, answered).await.unwrap_or_else(|_| {
            let error = format!("meshd on {} does not answer within {} s", self.socket.display(), deadline.as_secs());
            Err(Failure::NoDaemon { error, hint: "it is stopped, or its host is overloaded: see its log" })
        })
    }

    /// One request on a connection of its own.
    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
        let broken = |error: hyper::Error| lost(&self.socket, &error);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with the answer's last byte, or when the answer is dropped; its errors arrive there too.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(broken)
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let hint = match error.kind() {
            ErrorKind::NotFound => {
                "is meshd running (systemctl status meshd)? with another --runtime-dir its socket is given by --socket"
            }
            ErrorKind::ConnectionRefused => "the socket is a dead daemon's: start meshd (systemctl start meshd)",
            ErrorKind::PermissionDenied => "the socket belongs to whoever runs meshd: try as root",
            _ => "is --socket the control socket of meshd?",
        };
        Failure::NoDaemon { error: format!("no meshd on {}: {error}", self.socket.display()), hint }
    }
}

fn request(method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
    let request =
        Request::builder().method(method).uri(path).header(HOST, "meshd").header(CONTENT_TYPE, "application/json");
    request.body(Full::new(body)).expect("the paths are our own")
}

fn lost(socket: &std::path::Path, error: &dyn std::fmt::Display) -> Failure {
    let error = format!("meshd on {} hung up: {error}", socket.display());
    Failure::NoDaemon { error, hint: "it was stopped or has died: see its log" }
}

async fn body(response: Response<Incoming>) -> anyhow::Result<Bytes> {
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    Ok(body.map_err(|error| anyhow::anyhow!("meshd's answer broke off: {error}"))?.to_bytes())
}

async fn refusal(response: Response<Incoming>) -> Failure {
    let status = response.status();
    match body(response).await.map(|body| serde_json::from_slice(&body)) {
        Ok(Ok(refusal)) => Failure::Refused(refusal),
        Ok(Err(_)) => Failure::Unreadable(anyhow::anyhow!("meshd answered {status} and no reason")),
        Err(error) => Failure::Unreadable(error),
    }
}

/// Server-sent events, as far as `mesh_control` uses them: the `data` of each, as JSON.
pub(crate) struct Events {
    body: Incoming,
    unread: Vec<u8>,
    ready: VecDeque<Value>,
    socket: PathBuf,
}

impl Events {
    /// The next one; fails when the daemon is silent for longer than it ever is, or gone.
    pub(crate) async fn next(&mut self) -> Result<Value, Failure> {
        match timeout(DEADLINE, self.read()).await {
            Ok(event) => event,
            Err(_) => Err(lost(&self.socket, &format_args!("nothing heard for {} s", DEADLINE.as_secs()))),
        }
    }

    /// The next one, of a stream that may be silent for long: the daemon shows that it lives by comments.
    pub(crate) async fn next_whenever(&mut self) -> Result<Value, Failure> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            let Ok(more) = timeout(SILENCE, self.more()).await else {
                return Err(lost(&self.socket, &format_args!("nothing heard for {} s", SILENCE.as_secs())));
            };
            more?;
        }
    }

    async fn read(&mut self) -> Result<Value, Failure> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Failure> {
        let frame = self.body.frame().await.ok_or_else(|| lost(&self.socket, &"end of the stream"))?;
        let frame = frame.map_err(|error| lost(&self.socket, &error))?;
        self.unread.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        self.split()?;
        if self.unread.len() > LARGEST {
            return Err(Failure::Unreadable(anyhow::anyhow!("an event of meshd is larger than {LARGEST} bytes")));
        }
        Ok(())
    }

    /// Takes the events that are complete, each ended by an empty line, out of what was read.
    fn split(&mut self) -> anyhow::Result<()> {
        while let Some(end) = self.unread.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = self.unread.drain(..end + 2).collect();
            let data: Vec<u8> = event
                .split(|&byte| byte == b'\n')
                .filter_map(|line| line.strip_prefix(b"data:"))
                .flatten()
                .copied()
                .collect();
            // An event without data is a comment that keeps the connection alive.
            if !data.is_empty() {
                self.ready.push_back(serde_json::from_slice(&data).context("an event of meshd is not JSON")?);
            }
        }
        Ok(())
    }
}
