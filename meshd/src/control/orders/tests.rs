use std::sync::{Arc, Mutex};

use super::*;
use crate::control::ControlState;
use crate::control::tests::{Daemon, ask, refusal};

/// An engine that notes what is wanted and says this.
struct Fake {
    wanted: Mutex<Vec<Wish>>,
    says: Result<Answer, NotOrdered>,
}

impl OrderAccess for Fake {
    fn order(&self, wish: Wish) -> Ordering<'_> {
        self.wanted.lock().unwrap().push(wish);
        Box::pin(std::future::ready(self.says.clone()))
    }
}

fn daemon(says: Result<Answer, NotOrdered>) -> (Daemon, Arc<Fake>) {
    let fake = Arc::new(Fake { wanted: Mutex::default(), says });
    let access: Arc<dyn OrderAccess> = fake.clone();
    (Daemon::with(|state| ControlState { orders: Some(access), ..state }), fake)
}

async fn post(daemon: &Daemon, path: &str, body: &str) -> (u16, String) {
    let head = format!("POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    ask(&daemon.path(), &head, body).await
}

#[tokio::test]
async fn orders_reach_the_engine_and_its_answer_the_operator() {
    let (daemon, fake) = daemon(Ok(Answer::Done { text: "lb2 serves VI_1".into(), by: "lb1".into() }));
    let (what, node) = ("VI_1".to_owned(), "lb2".to_owned());
    let cases = [
        ("/moves", r#"{"what":"VI_1","node":"lb2"}"#, Wish::Move { what: what.clone(), node: node.clone() }),
        ("/moves/back", r#"{"what":"VI_1"}"#, Wish::Back { what }),
        ("/nodes/drain", r#"{"node":"lb2"}"#, Wish::Drain { node: node.clone() }),
        ("/nodes/undrain", r#"{"node":"lb2"}"#, Wish::Undrain { node }),
    ];
    for (path, body, wish) in cases {
        let answer = post(&daemon, path, body).await;
        assert_eq!(answer, (200, r#"{"done":"lb2 serves VI_1","by":"lb1"}"#.to_owned()), "{path}");
        assert_eq!(fake.wanted.lock().unwrap().pop(), Some(wish));
    }
    assert_eq!(post(&daemon, "/moves", r#"{"what":"VI_1"}"#).await.0, 422, "no node");
    assert_eq!(*fake.wanted.lock().unwrap(), [], "nobody was asked");
}

#[tokio::test]
async fn a_plan_is_passed_on() {
    let plan = Plan { ordered_by: None, moves_per_minute: 60, moves: vec![], stuck: vec![] };
    let (daemon, fake) = daemon(Ok(Answer::Plan(plan)));
    let (code, answer) = post(&daemon, "/plan", r#"{"drain":"lb1"}"#).await;
    assert_eq!((code, answer.as_str()), (200, r#"{"ordered_by":null,"moves_per_minute":60,"moves":[],"stuck":[]}"#));
    assert_eq!(post(&daemon, "/plan", "{}").await.0, 200);
    let wishes = [Some("lb1".to_owned()), None].map(|drain| Wish::Plan { drain });
    assert_eq!(*fake.wanted.lock().unwrap(), wishes);
}

#[tokio::test]
async fn refusals_say_who_and_why() {
    let text = "lb3 refused: VI_1 is in fault there; nothing moved".to_owned();
    let (refusing, _) = daemon(Err(NotOrdered { text: text.clone(), unknown: false }));
    let (code, refused) = refusal(&post(&refusing, "/moves", r#"{"what":"VI_1","node":"lb3"}"#).await);
    assert_eq!((code, refused.error), (409, text));
    let (unknown, _) = daemon(Err(NotOrdered { text: "no director \"x\"".into(), unknown: true }));
    assert_eq!(refusal(&post(&unknown, "/nodes/drain", r#"{"node":"x"}"#).await).0, 404);
    let alone = Daemon::with(|state| state);
    let (code, refused) = refusal(&post(&alone, "/nodes/drain", r#"{"node":"lb1"}"#).await);
    assert_eq!((code, refused.hint.as_deref()), (409, Some(NO_MESH)));
}
