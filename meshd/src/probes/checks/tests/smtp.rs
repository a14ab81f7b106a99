use mesh_config::model::Connect;
use tokio::io::{AsyncBufReadExt, BufReader};

use super::*;

/// A server that says these things, the first at once and each next one after a line of the client; then it closes.
async fn saying(replies: &'static [&'static str]) -> (SocketAddr, mpsc::Receiver<String>) {
    let (send, receive) = mpsc::channel(16);
    let to = server(move |stream| {
        let send = send.clone();
        async move {
            let mut stream = BufReader::new(stream);
            for reply in replies {
                let _ = stream.get_mut().write_all(reply.as_bytes()).await;
                let mut line = String::new();
                if stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
                    send.send(line).await.unwrap();
                }
            }
        }
    })
    .await;
    (to, receive)
}

fn smtp(to: SocketAddr) -> Check {
    let mut host = Connect::new(to);
    host.timeout = Duration::from_secs(10);
    check(CheckKind::Smtp { helo_name: Some("lb.example".to_owned()), hosts: vec![host] }, to)
}

#[tokio::test]
async fn greeting_helo_and_quit() {
    let (to, mut lines) = saying(&["220-mail\r\n220 ready\r\n", "250-hi\n250 there\n", "221 bye\r\n"]).await;
    assert_eq!(ask(smtp(to)).await, Outcome::Success);
    assert_eq!(lines.recv().await.unwrap(), "HELO lb.example\r\n");
    assert_eq!(lines.recv().await.unwrap(), "QUIT\r\n");
}

#[tokio::test]
async fn any_answer_to_quit_will_do_but_there_has_to_be_one() {
    let (to, _lines) = saying(&["220 ready\r\n", "250 hi\r\n", "500 what\r\n"]).await;
    assert_eq!(ask(smtp(to)).await, Outcome::Success);
    let (to, _lines) = saying(&["220 ready\r\n", "250 hi\r\n"]).await;
    assert_eq!(ask(smtp(to)).await, failure("QUIT: connection closed"));
}

#[tokio::test]
async fn other_replies_are_failures() {
    for (replies, why) in [
        (&["554 no\r\n"][..], "greeting: reply 554 instead of 220"),
        (&["SSH-2.0\r\n"], "greeting: no SMTP reply"),
        (&["\r\n"], "greeting: no SMTP reply"),
        (&[""], "greeting: connection closed"),
        (&["220 ready\r\n", "502 what\r\n"], "HELO: reply 502 instead of 250"),
    ] {
        let (to, _lines) = saying(replies).await;
        let mut check = smtp(to);
        if replies == [""] {
            // The server waits for a line before it closes.
            check.kind = CheckKind::Smtp { helo_name: None, hosts: vec![check.connect.clone()] };
            let closed = server(|stream| async move { drop(stream) }).await;
            check = smtp(closed);
        }
        assert_eq!(ask(check).await, failure(why), "{replies:?}");
    }
}

#[tokio::test]
async fn floods_end() {
    for (piece, why) in [("220-x\r\n", "greeting: reply of more than 128 lines"), ("x", "greeting: line without end")] {
        let to =
            server(
                move |mut stream| async move { while stream.write_all(piece.repeat(1000).as_bytes()).await.is_ok() {} },
            )
            .await;
        assert_eq!(ask(smtp(to)).await, failure(why));
    }
}

#[tokio::test]
async fn each_step_asks_its_host_with_its_timeout() {
    let (first, _lines) = saying(&["220 ready\r\n", "250 hi\r\n", "221 bye\r\n"]).await;
    let (_socket, second, _held) = full().await;
    let mut check = smtp(first);
    let mut slow = Connect::new(second);
    slow.timeout = SHORT;
    check.kind = CheckKind::Smtp { helo_name: None, hosts: vec![check.connect.clone(), slow] };
    let settings = CheckerSettings::default;
    assert_eq!(ask_step(check.clone(), 0, settings()).await, Outcome::Success);
    assert_eq!(ask_step(check.clone(), 1, settings()).await, failure("no answer in 0.2 s"));
    assert_eq!(ask_step(check, 2, settings()).await, failure("there is no host 2"));
}
