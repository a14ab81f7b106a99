use std::sync::Mutex;

use mesh_wire::mesh::roster::{Member, Role, Tombstone, VotePolicy};

use super::*;
use crate::control::ControlState;
use crate::control::tests::{Daemon, ask, refusal};

/// A mesh of two that notes what is wanted and says this.
struct Fake {
    wanted: Mutex<Vec<Change>>,
    roster: Roster,
    says: Result<Roster, ChangeRefusal>,
}

fn roster() -> Roster {
    let member = |n: u64| Member {
        id: NodeId(n),
        name: format!("lb{n}"),
        address: "10.1.1.1:7946".parse().unwrap(),
        role: Role::Director,
        voter: true,
        vote: VotePolicy::Auto,
    };
    Roster { epoch: 9, members: vec![member(1), member(2)], ..Roster::default() }
}

impl RosterAccess for Fake {
    fn roster(&self) -> Arc<Roster> {
        Arc::new(self.roster.clone())
    }

    fn change(&self, change: Change) -> Changing<'_> {
        self.wanted.lock().unwrap().push(change);
        Box::pin(std::future::ready(self.says.clone()))
    }

    fn tokens(&self) -> Vec<TokenInfo> {
        vec![TokenInfo { id: "07".to_owned(), expires: None, state: "open".to_owned(), by: None }]
    }

    fn revocation(&self, token: &str) -> anyhow::Result<Change> {
        anyhow::ensure!(token == "07", "no token");
        Ok(Change::RevokeToken { nonce: 7, expires_unix: 9 })
    }
}

fn daemon(says: Result<Roster, ChangeRefusal>) -> (Daemon, Arc<Fake>) {
    daemon_with(Fake { wanted: Mutex::default(), roster: roster(), says })
}

fn daemon_with(fake: Fake) -> (Daemon, Arc<Fake>) {
    let fake = Arc::new(fake);
    let access: Arc<dyn RosterAccess> = fake.clone();
    (Daemon::with(|state| ControlState { roster: Some(access), ..state }), fake)
}

async fn post(daemon: &Daemon, path: &str, body: &str) -> (u16, String) {
    let head = format!("POST {path} HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    ask(&daemon.path(), &head, body).await
}

#[tokio::test]
async fn members_are_found_by_name_and_by_identity() {
    let (daemon, fake) = daemon(Ok(roster()));
    let cases = [
        ("/voters/add", r#"{"node":"LB2"}"#, Change::AddVoter(NodeId(2))),
        ("/voters/remove", r#"{"node":"0000000000000001"}"#, Change::RemoveVoter(NodeId(1))),
        ("/nodes/remove", r#"{"node":"lb2"}"#, Change::RemoveIdle(NodeId(2))),
        ("/nodes/remove", r#"{"node":"lb2","now":true}"#, Change::RemoveMember(NodeId(2))),
        ("/tokens/revoke", r#"{"token":"07\n"}"#, Change::RevokeToken { nonce: 7, expires_unix: 9 }),
    ];
    for (path, body, change) in cases {
        let (code, answer) = post(&daemon, path, body).await;
        assert_eq!((code, answer.as_str()), (200, r#"{"roster_epoch":9,"voters":["lb1","lb2"],"needed":2}"#));
        assert_eq!(fake.wanted.lock().unwrap().pop(), Some(change));
    }
    assert!(daemon.get("/tokens").await.1.contains(r#""state":"open""#));
}

#[tokio::test]
async fn what_the_voters_refuse_is_refused_with_their_reason() {
    let says = ChangeRefusal::LastVoter { name: "lb1".to_owned() };
    let (daemon, fake) = daemon(Err(says));
    let (code, refused) = refusal(&post(&daemon, "/voters/remove", r#"{"node":"lb1"}"#).await);
    assert_eq!((code, refused.error.as_str()), (409, "lb1 is the last voter"));
    assert!(refused.hint.is_some());
    let says = ChangeRefusal::Serves { name: "lb2".to_owned(), routers: vec!["VI_1".to_owned()] };
    let (serving, _) = self::daemon(Err(says));
    let (code, refused) = refusal(&post(&serving, "/nodes/remove", r#"{"node":"lb2"}"#).await);
    let error = "lb2 serves VI_1, which nobody would serve until its leases have run out";
    let hint = "meshctl drain NODE hands it over; meshctl nodes remove NODE --now does not ask";
    assert_eq!((code, refused.error.as_str(), refused.hint.as_deref()), (409, error, Some(hint)));
    fake.wanted.lock().unwrap().clear();
    let (code, refused) = refusal(&post(&daemon, "/nodes/remove", r#"{"node":"lb7"}"#).await);
    assert_eq!((code, refused.hint.as_deref()), (404, Some("one of lb1, lb2")));
    assert_eq!(refusal(&post(&daemon, "/tokens/revoke", r#"{"token":"x"}"#).await).0, 400);
    assert_eq!(refusal(&post(&daemon, "/voters/add", r#"{"name":"lb1"}"#).await).0, 422);
    assert_eq!(*fake.wanted.lock().unwrap(), [], "nobody was asked");
}

/// The roster in force has the removal, though the node that was asked is the one that is gone.
#[tokio::test]
async fn a_node_that_removes_itself_says_that_it_is_done() {
    let removed = Tombstone { id: NodeId(3), epoch: 10 };
    let mut gone = Roster { epoch: 10, removed: vec![removed], ..roster() };
    // Named by who asks before the roster changes.
    gone.members.push(Member { id: NodeId(3), name: "lb3".to_owned(), voter: false, ..gone.members[0].clone() });
    let says = Err(ChangeRefusal::NotAMember);
    let (daemon, _) = daemon_with(Fake { wanted: Mutex::default(), roster: gone, says });
    let (code, answer) = post(&daemon, "/nodes/remove", r#"{"node":"lb3"}"#).await;
    assert_eq!((code, answer.as_str()), (200, r#"{"roster_epoch":10,"voters":["lb1","lb2"],"needed":2}"#));
    // Anything else it may not change any more.
    assert_eq!(post(&daemon, "/nodes/remove", r#"{"node":"lb2"}"#).await.0, 409);
    assert_eq!(post(&daemon, "/voters/add", r#"{"node":"lb3"}"#).await.0, 409);
}

#[tokio::test]
async fn without_a_mesh_there_is_no_roster() {
    let daemon = Daemon::with(|state| state);
    let (code, refused) = refusal(&post(&daemon, "/voters/add", r#"{"node":"lb1"}"#).await);
    assert_eq!((code, refused.hint.as_deref()), (409, Some(NO_MESH)));
}
