mod complaints;
mod dns;
mod http;
mod limits;
mod misc;
mod ping;
mod regex;
mod smtp;
mod tcp;
mod tls;
mod udp;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_config::model::{Check, CheckKind, HttpCheck, Url};
use mesh_core::services::Input;
use mesh_core::services::input::{CheckRun, Outcome};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::{CheckerSettings, Checkers};

/// Long enough for a busy machine.
const LONG: Duration = Duration::from_secs(30);
/// `connect_timeout` where the server never answers.
const SHORT: Duration = Duration::from_millis(200);

fn failure(why: &str) -> Outcome {
    Outcome::Failure(why.to_owned())
}

/// The answer of one run.
async fn ask(check: Check) -> Outcome {
    ask_step(check, 0, CheckerSettings::default()).await
}

async fn ask_step(check: Check, step: usize, settings: CheckerSettings) -> Outcome {
    let (send, mut receive) = mpsc::channel(1);
    let checkers = Checkers::new(settings, send);
    let run = CheckRun { check: 7, number: 9 };
    checkers.start(run, Arc::new(check), step);
    let input = timeout(LONG, receive.recv()).await.expect("an answer in time").expect("an answer");
    match input {
        Input::Checked { run: answered, outcome } if answered == run => outcome,
        other => panic!("{other:?}"),
    }
}

/// The answer, and how long it took.
async fn timed(check: Check) -> (Outcome, Duration) {
    let start = Instant::now();
    let outcome = ask(check).await;
    (outcome, start.elapsed())
}

fn check(kind: CheckKind, to: SocketAddr) -> Check {
    let mut check = Check::new(kind, to);
    check.connect.timeout = Duration::from_secs(10);
    check
}

fn get(to: SocketAddr, url: Url) -> Check {
    check(CheckKind::Http(HttpCheck::new(false, vec![url])), to)
}

/// A server on loopback that does this with each connection.
async fn server<F: Future<Output = ()> + Send + 'static>(
    handle: impl Fn(TcpStream) -> F + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(stream));
        }
    });
    address
}

/// A server that reads a request and answers with these bytes, then closes.
async fn answering(answer: impl Into<Vec<u8>>) -> SocketAddr {
    let answer = Arc::new(answer.into());
    server(move |mut stream| {
        let answer = Arc::clone(&answer);
        async move {
            request(&mut stream).await;
            // A client that has seen enough hangs up.
            let _ = stream.write_all(&answer).await;
        }
    })
    .await
}

/// Reads up to the end of the headers.
async fn request(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(read).unwrap()
}

/// An address of loopback where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A listener whose queue is full: connections to it get no answer.
async fn full() -> (socket2::Socket, SocketAddr, Vec<TcpStream>) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut held = Vec::new();
    while let Ok(Ok(stream)) = timeout(SHORT, TcpStream::connect(address)).await {
        held.push(stream);
    }
    (socket, address, held)
}
