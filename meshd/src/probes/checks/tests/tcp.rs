use std::net::SocketAddr;

use mesh_config::model::CheckKind;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;

#[tokio::test]
async fn a_server_that_accepts_is_up_and_is_left_at_once_without_a_reset() {
    let (send, mut receive) = mpsc::channel(1);
    let to = server(move |mut stream| {
        let send = send.clone();
        async move {
            let _ = send.send(stream.read(&mut [0; 16]).await.map_err(|error| error.kind())).await;
        }
    })
    .await;
    assert_eq!(ask(check(CheckKind::Tcp, to)).await, Outcome::Success);
    assert_eq!(timeout(LONG, receive.recv()).await.unwrap(), Some(Ok(0)), "FIN, and no RST");
}

#[tokio::test]
async fn ipv6_works_too() {
    let listener = TcpListener::bind("[::1]:0").await.unwrap();
    let to = listener.local_addr().unwrap();
    assert_eq!(ask(check(CheckKind::Tcp, to)).await, Outcome::Success);
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_refused() {
    assert_eq!(ask(check(CheckKind::Tcp, nobody().await)).await, failure("connection refused"));
}

#[tokio::test]
async fn no_answer_is_told_at_connect_timeout_and_not_before() {
    let (_socket, to, _held) = full().await;
    let mut check = check(CheckKind::Tcp, to);
    check.connect.timeout = SHORT;
    let (outcome, took) = timed(check).await;
    assert_eq!(outcome, failure("no answer in 0.2 s"));
    assert!(took >= SHORT, "{took:?}");
}

#[tokio::test]
async fn it_comes_from_where_bindto_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut check = check(CheckKind::Tcp, listener.local_addr().unwrap());
    check.connect.from = Some(("127.1.2.3".parse().unwrap(), 0));
    let (outcome, accepted) = tokio::join!(ask(check), listener.accept());
    assert_eq!(outcome, Outcome::Success);
    assert_eq!(accepted.unwrap().1.ip().to_string(), "127.1.2.3");
}

#[tokio::test]
async fn it_comes_from_bind_port_again_and_again() {
    let from = nobody().await.port();
    // Towards two servers: with the same one the last connection is still in TIME_WAIT.
    for _ in 0..2 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut check = check(CheckKind::Tcp, listener.local_addr().unwrap());
        check.connect.from = Some(("0.0.0.0".parse().unwrap(), from));
        let (outcome, accepted) = tokio::join!(ask(check), listener.accept());
        assert_eq!(outcome, Outcome::Success);
        assert_eq!(accepted.unwrap().1, SocketAddr::from(([127, 0, 0, 1], from)));
    }
}

#[tokio::test]
async fn what_cannot_be_set_is_named() {
    let to = SocketAddr::from(([127, 0, 0, 1], 1));
    let mut foreign = check(CheckKind::Tcp, to);
    foreign.connect.from = Some(("192.0.2.1".parse().unwrap(), 0));
    assert_eq!(ask(foreign).await, failure("bindto 192.0.2.1:0: cannot assign requested address"));
    let mut missing = check(CheckKind::Tcp, to);
    missing.connect.interface = Some("no-such-link".to_owned());
    assert_eq!(ask(missing).await, failure("bind_if no-such-link: no such device"));
}

#[tokio::test]
async fn root_fwmark_and_bind_if_are_set() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut check = check(CheckKind::Tcp, listener.local_addr().unwrap());
    check.connect.interface = Some("lo".to_owned());
    check.connect.fwmark = 77;
    let socket =
        crate::probes::checks::socket::open(&check.connect, socket2::Type::STREAM, socket2::Protocol::TCP).unwrap();
    assert_eq!((socket.mark().unwrap(), socket.device().unwrap().unwrap()), (77, b"lo".to_vec()));
    assert_eq!(ask(check).await, Outcome::Success);
}
