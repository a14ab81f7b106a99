use std::io::Write as _;

use mesh_config::model::{HttpProtocol, Regex};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::*;

/// `printf hello | md5sum`
const HELLO: &str = "5d41402abc4b2a76b9719d911017c592";

fn url() -> Url {
    Url::new("/")
}

fn with_digest(digest: &str) -> Url {
    Url { digest: Some(digest.to_owned()), ..url() }
}

fn with_regex(pattern: &str) -> Url {
    let regex = Regex { pattern: pattern.to_owned(), options: Vec::new(), no_match: false, offsets: (0, None) };
    Url { regex: Some(regex), ..url() }
}

async fn seen(kind: HttpCheck, virtualhost: Option<&str>) -> (String, SocketAddr) {
    let (send, receive) = oneshot::channel();
    let send = std::sync::Mutex::new(Some(send));
    let to = server(move |mut stream| {
        let send = send.lock().unwrap().take();
        async move {
            let _ = send.unwrap().send(request(&mut stream).await);
            stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let url = Url { virtualhost: virtualhost.map(str::to_owned), ..Url::new("/a?b=c") };
    assert_eq!(ask(check(CheckKind::Http(HttpCheck { urls: vec![url], ..kind }), to)).await, Outcome::Success);
    (receive.await.unwrap(), to)
}

#[tokio::test]
async fn requests_are_those_of_keepalived() {
    let plain = HttpCheck::new(false, Vec::new());
    let (request, to) = seen(plain.clone(), None).await;
    assert_eq!(request, format!("GET /a?b=c HTTP/1.0\r\nUser-Agent: KeepAliveClient\r\nHost: {to}\r\n\r\n"));
    let (request, _) = seen(HttpCheck { protocol: HttpProtocol::V10Close, ..plain.clone() }, Some("www.example")).await;
    let close = "User-Agent: KeepAliveClient\r\nConnection: close\r\nHost: www.example\r\n\r\n";
    assert_eq!(request, format!("GET /a?b=c HTTP/1.0\r\n{close}"));
    let (request, _) = seen(HttpCheck { protocol: HttpProtocol::V11, ..plain }, Some("www.example")).await;
    assert_eq!(request, format!("GET /a?b=c HTTP/1.1\r\n{close}"));
}

#[test]
fn an_ipv6_address_is_in_brackets_and_without_its_scope() {
    let connect = mesh_config::model::Connect::new("[fe80::1%3]:80".parse().unwrap());
    let request = crate::probes::checks::http::request(&connect, HttpProtocol::V10, &url());
    assert!(request.contains("\r\nHost: [fe80::1]:80\r\n"), "{request}");
}

#[tokio::test]
async fn the_status_decides() {
    for (answer, outcome) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Outcome::Success),
        ("HTTP/1.0 299\r\n\r\n", Outcome::Success),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", Outcome::Success),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", failure("status 503")),
        ("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", failure("status 302")),
        ("HTTP/1.1 199 Early\r\n\r\n", failure("status 199")),
    ] {
        assert_eq!(ask(get(answering(answer).await, url())).await, outcome, "{answer}");
    }
    let moved = Url { status: vec![(200, 200), (300, 302)], ..url() };
    let to = answering("HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n").await;
    assert_eq!(ask(get(to, moved.clone())).await, Outcome::Success);
    let to = answering("HTTP/1.1 201 Created\r\n\r\n").await;
    assert_eq!(ask(get(to, moved)).await, failure("status 201"));
}

#[tokio::test]
async fn each_run_gets_the_url_of_its_step() {
    let to = server(|mut stream| async move {
        let status = if request(&mut stream).await.starts_with("GET /b ") { 200 } else { 404 };
        let _ = stream.write_all(format!("HTTP/1.0 {status} x\r\n\r\n").as_bytes()).await;
    })
    .await;
    let both = check(CheckKind::Http(HttpCheck::new(false, vec![Url::new("/a"), Url::new("/b")])), to);
    let settings = CheckerSettings::default;
    assert_eq!(ask_step(both.clone(), 0, settings()).await, failure("status 404"));
    assert_eq!(ask_step(both.clone(), 1, settings()).await, Outcome::Success);
    assert_eq!(ask_step(both, 2, settings()).await, failure("there is no url 2"));
}

#[tokio::test]
async fn the_digest_is_that_of_the_body_alone() {
    for (framing, body) in [
        ("Content-Length: 5", "hello"),
        ("Content-Length: 5", "hello and what does not belong to it"),
        ("X: y", "hello"),
        ("Transfer-Encoding: chunked", "2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nT: railer\r\n\r\n"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n{body}");
        assert_eq!(ask(get(answering(answer).await, with_digest(HELLO))).await, Outcome::Success, "{body}");
    }
    let to = answering("HTTP/1.1 200 OK\r\n\r\nhallo").await;
    let other = format!("digest 598d4c200461b81522a3328565c25f7c instead of {HELLO}");
    assert_eq!(ask(get(to, with_digest(HELLO))).await, failure(&other));
}

/// What genhash tells for a server that answers HTTP/1.1 in chunks: `printf '5\r\nhello\r\n0\r\n\r\n' | md5sum`.
#[tokio::test]
async fn the_digest_of_the_chunks_as_they_come_counts_as_well() {
    let to = answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n").await;
    assert_eq!(ask(get(to, with_digest("79e9489e3bd3f0cb0158215341de046d"))).await, Outcome::Success);
}

#[tokio::test]
async fn a_connection_kept_open_ends_with_the_body() {
    let to = server(|mut stream| async move {
        request(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").await.unwrap();
        let _ = stream.read_u8().await;
        sleep(LONG).await;
    })
    .await;
    assert_eq!(ask(get(to, with_digest(HELLO))).await, Outcome::Success);
}

#[tokio::test]
async fn a_body_that_ends_early_is_an_answer_as_with_keepalived() {
    let early = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    assert_eq!(ask(get(answering(early).await, url())).await, Outcome::Success);
    assert_eq!(ask(get(answering(early).await, with_regex("hello$"))).await, Outcome::Success);
}

#[tokio::test]
async fn the_regex_sees_the_body_and_not_the_headers() {
    let answer = "HTTP/1.1 200 OK\r\nServer: hello\r\nContent-Length: 5\r\n\r\nworld";
    assert_eq!(ask(get(answering(answer).await, with_regex("^world$"))).await, Outcome::Success);
    let no = failure("the body does not match the regex");
    assert_eq!(ask(get(answering(answer).await, with_regex("hello"))).await, no);
    let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nwo\r\n3\r\nrld\r\n0\r\n\r\n";
    assert_eq!(ask(get(answering(chunks).await, with_regex("^world$"))).await, Outcome::Success);
}

#[tokio::test]
async fn what_is_no_http_is_no_answer() {
    for (answer, why) in [
        (&b""[..], "connection closed without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-", "connection closed in the headers"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", "no HTTP answer: invalid HTTP version"),
        (b"\x16\x03\x01\x00\x05hello\r\n\r\n", "no HTTP answer: invalid HTTP version"),
        (b"HTTP/1.1 2x0 OK\r\n\r\n", "no HTTP answer: invalid response status"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "broken chunk"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", "broken chunk"),
    ] {
        assert_eq!(ask(get(answering(answer).await, url())).await, failure(why));
    }
}

#[tokio::test]
async fn a_server_that_hangs_fails_at_connect_timeout_wherever_it_hangs() {
    for beginning in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"] {
        let to = server(move |mut stream| async move {
            request(&mut stream).await;
            stream.write_all(beginning.as_bytes()).await.unwrap();
            sleep(LONG).await;
        })
        .await;
        let mut check = get(to, url());
        check.connect.timeout = SHORT;
        let (outcome, took) = timed(check).await;
        assert_eq!(outcome, failure("no answer in 0.2 s"), "{beginning}");
        assert!(took >= SHORT, "{took:?}");
    }
}

#[tokio::test]
async fn a_server_that_sends_a_byte_now_and_then_fails_in_the_end() {
    let to = server(|mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(b"x").await.is_ok() {
            sleep(SHORT / 10).await;
        }
    })
    .await;
    let mut check = get(to, url());
    check.connect.timeout = SHORT;
    let (outcome, took) = timed(check).await;
    assert_eq!(outcome, failure("not done after 1 s"));
    assert!(took >= Duration::from_secs(1), "{took:?}");
}

#[tokio::test]
async fn a_server_that_sends_without_end_fails() {
    for (head, piece, why) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "x", "body of more than 64 MiB"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", "x", "body of more than 64 MiB"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n", "body of more than 64 MiB"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", "x", "chunk header without end"),
        ("HTTP/1.1 200 OK\r\nX: ", "x", "headers without end"),
    ] {
        let to = server(move |mut stream| async move {
            request(&mut stream).await;
            let mut lot = head.as_bytes().to_vec();
            while stream.write_all(&lot).await.is_ok() {
                lot = piece.repeat(100_000).into_bytes();
            }
        })
        .await;
        let mut check = get(to, with_digest(HELLO));
        check.connect.timeout = LONG;
        assert_eq!(ask(check).await, failure(why), "{head}");
    }
}

#[tokio::test]
async fn too_many_headers_are_no_answer() {
    let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
    (0..1000).for_each(|n| write!(answer, "H{n}: x\r\n").unwrap());
    assert_eq!(ask(get(answering(answer).await, url())).await, failure("no HTTP answer: too many headers"));
}

#[tokio::test]
async fn a_reset_is_a_failure() {
    let to = server(|mut stream| async move {
        request(&mut stream).await;
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    assert_eq!(ask(get(to, url())).await, failure("connection reset"));
}
