use hickory_proto::op::{Message, MessageType, ResponseCode};
use tokio::net::UdpSocket;

use super::*;

fn dns(to: SocketAddr, record: &str, name: &str) -> Check {
    check(CheckKind::Dns { record: record.to_owned(), name: name.to_owned() }, to)
}

/// Answers each question with what this makes of it.
async fn answering(make: impl Fn(Message) -> Vec<Vec<u8>> + Send + 'static) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            for packet in make(Message::from_vec(&buffer[..length]).unwrap()) {
                socket.send_to(&packet, from).await.unwrap();
            }
        }
    });
    address
}

fn reply(question: Message, code: ResponseCode) -> Vec<u8> {
    let mut reply = question.into_response();
    reply.metadata.response_code = code;
    reply.to_vec().unwrap()
}

#[tokio::test]
async fn the_question_is_the_one_asked_for() {
    let (send, mut receive) = mpsc::channel(1);
    let to = answering(move |question| {
        let asked = question.queries[0].clone();
        let recursion = question.metadata.recursion_desired;
        send.try_send((asked.name().to_string(), asked.query_type().to_string(), recursion)).unwrap();
        vec![reply(question, ResponseCode::NoError)]
    })
    .await;
    for (record, name, asked) in [("SOA", ".", "."), ("mx", "example.com", "example.com."), ("AAAA", "", ".")] {
        assert_eq!(ask(dns(to, record, name)).await, Outcome::Success);
        assert_eq!(receive.recv().await.unwrap(), (asked.to_owned(), record.to_uppercase(), true));
    }
}

#[tokio::test]
async fn errors_are_failures() {
    for (code, why) in [
        (ResponseCode::ServFail, "SERVFAIL (error 2)"),
        (ResponseCode::NXDomain, "NXDOMAIN (error 3)"),
        (ResponseCode::YXDomain, "error 6"),
    ] {
        let to = answering(move |question| vec![reply(question, code)]).await;
        assert_eq!(ask(dns(to, "A", "example.com")).await, failure(why));
    }
}

#[tokio::test]
async fn what_does_not_answer_the_question_is_passed_over() {
    let to = answering(|mut question| {
        let right = reply(question.clone(), ResponseCode::NoError);
        let asked_back = question.to_vec().unwrap();
        question.metadata.id ^= 1;
        vec![b"garbage".to_vec(), asked_back, reply(question, ResponseCode::ServFail), right]
    })
    .await;
    assert_eq!(ask(dns(to, "A", "example.com")).await, Outcome::Success);
}

#[tokio::test]
async fn only_the_server_itself_counts() {
    let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = server.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 512];
        let (length, from) = server.recv_from(&mut buffer).await.unwrap();
        let mut forged = Message::from_vec(&buffer[..length]).unwrap();
        forged.metadata.message_type = MessageType::Response;
        other.send_to(&forged.to_vec().unwrap(), from).await.unwrap();
        tokio::time::sleep(LONG).await;
    });
    let mut check = dns(to, "A", "example.com");
    check.connect.timeout = SHORT;
    let (outcome, took) = timed(check).await;
    assert_eq!(outcome, failure("no answer in 0.2 s"));
    assert!(took >= SHORT, "{took:?}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_refused() {
    let to = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(ask(dns(to, "A", "example.com")).await, failure("connection refused"));
}

#[tokio::test]
async fn what_cannot_be_asked_is_said() {
    let to = SocketAddr::from(([127, 0, 0, 1], 53));
    assert_eq!(ask(dns(to, "XYZ", ".")).await, failure("`XYZ` is no type of record"));
    let Outcome::Failure(why) = ask(dns(to, "A", "a..b")).await else { panic!("that is no name") };
    assert!(why.starts_with("`a..b` is no domain name: "), "{why}");
}
