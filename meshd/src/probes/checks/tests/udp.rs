use mesh_config::model::UdpReply;
use tokio::net::UdpSocket;

use super::*;

async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            socket.send_to(&buffer[..length], from).await.unwrap();
        }
    });
    address
}

fn udp(to: SocketAddr, payload: Option<&[u8]>, reply: Option<UdpReply>) -> Check {
    check(CheckKind::Udp { payload: payload.map(<[u8]>::to_vec), reply }, to)
}

fn wanted(pattern: &[(u8, u8)]) -> Option<UdpReply> {
    Some(UdpReply { pattern: pattern.to_vec(), least: 2, most: 4 })
}

#[tokio::test]
async fn the_payload_is_sent_or_24_random_bytes() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = socket.local_addr().unwrap();
    let mut seen = Vec::new();
    for payload in [Some(&b"hello"[..]), None, None] {
        let (_, received) = tokio::join!(ask_briefly(udp(to, payload, None)), async {
            let mut buffer = [0; 2048];
            let length = socket.recv(&mut buffer).await.unwrap();
            buffer[..length].to_vec()
        });
        seen.push(received);
    }
    assert_eq!((&seen[0][..], seen[1].len(), seen[2].len()), (&b"hello"[..], 24, 24));
    assert_ne!(seen[1], seen[2]);
}

async fn ask_briefly(mut check: Check) -> Outcome {
    check.connect.timeout = SHORT;
    ask(check).await
}

#[tokio::test]
async fn silence_for_connect_timeout_is_a_success_where_no_reply_is_required() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut check = udp(socket.local_addr().unwrap(), None, None);
    check.connect.timeout = SHORT;
    let (outcome, took) = timed(check).await;
    assert_eq!(outcome, Outcome::Success);
    assert!(took >= SHORT, "{took:?}");
}

#[tokio::test]
async fn silence_is_a_failure_where_one_is() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut check = udp(socket.local_addr().unwrap(), None, wanted(&[]));
    check.connect.timeout = SHORT;
    let (outcome, took) = timed(check).await;
    assert_eq!(outcome, failure("no answer in 0.2 s"));
    assert!(took >= SHORT, "{took:?}");
}

#[tokio::test]
async fn an_icmp_error_is_a_failure_either_way() {
    let to = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(ask(udp(to, None, None)).await, failure("connection refused"));
    assert_eq!(ask(udp(to, None, wanted(&[]))).await, failure("connection refused"));
}

#[tokio::test]
async fn a_reply_has_to_fit() {
    let to = echo().await;
    let masked = wanted(&[(b'a', 0xff), (0, 0), (0x30, 0xf0)]);
    for (payload, reply, outcome) in [
        (&b"ab"[..], wanted(&[]), Outcome::Success),
        (b"abcd", wanted(&[]), Outcome::Success),
        (b"a", wanted(&[]), failure("answer of 1 bytes instead of 2 or more")),
        (b"abcde", wanted(&[]), failure("answer of more than 4 bytes")),
        (b"ax5", masked.clone(), Outcome::Success),
        (b"ax", masked.clone(), Outcome::Success),
        (b"axA", masked.clone(), failure("byte 2 of the answer is 0x41")),
        (b"xx5", masked, failure("byte 0 of the answer is 0x78")),
    ] {
        assert_eq!(ask(udp(to, Some(payload), reply)).await, outcome, "{payload:?}");
    }
}
