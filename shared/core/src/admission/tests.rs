use super::*;

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 1, 1, last], 7946))
}

fn founder() -> Roster {
    Roster {
        cluster: "c".into(),
        epoch: 1,
        members: vec![Member {
            id: NodeId(1),
            name: "lb1".into(),
            address: address(1),
            role: Role::Director,
            voter: true,
            vote: VotePolicy::Auto,
        }],
        ..Roster::default()
    }
}

fn candidate(n: u8) -> Candidate {
    Candidate {
        id: NodeId(n.into()),
        name: format!("lb{n}"),
        address: address(n),
        role: Role::Director,
        token_nonce: 100 + u64::from(n),
        token_expires_unix: 1_900_000_000,
    }
}

#[test]
fn every_admission_is_one_epoch_and_no_vote_yet() {
    let mut roster = founder();
    for n in 2..=5 {
        let before = roster.epoch;
        roster = admit(&roster, &candidate(n)).unwrap();
        assert_eq!(roster.epoch, before + 1);
    }
    assert_eq!(roster.voters().map(|m| m.id.0).collect::<Vec<_>>(), [1]);
    assert!(roster.members.iter().all(|m| m.vote == VotePolicy::Auto));
    let used = |n: u64| UsedToken { nonce: 100 + n, expires_unix: 1_900_000_000, by: Some(NodeId(n)) };
    assert_eq!(roster.used_tokens, [used(2), used(3), used(4), used(5)]);
}

#[test]
fn a_removed_identity_never_comes_back() {
    let mut roster = admit(&founder(), &candidate(2)).unwrap();
    roster.members.pop();
    roster.removed.push(mesh_wire::mesh::roster::Tombstone { id: NodeId(2), epoch: 3 });
    let again = Candidate { token_nonce: 200, ..candidate(2) };
    assert_eq!(admit(&roster, &again), Err(Refusal::Removed { epoch: 3 }));
    let anew = Candidate { id: NodeId(9), ..again };
    assert!(admit(&roster, &anew).is_ok(), "another key, the same name and address");
}

#[test]
fn used_tokens_have_a_limit() {
    let mut roster = founder();
    roster.used_tokens = vec![UsedToken { nonce: 1, expires_unix: 2, by: None }; MAX_TOKENS];
    assert_eq!(admit(&roster, &candidate(2)), Err(Refusal::TooManyTokens { max: MAX_TOKENS }));
}

#[test]
fn who_asks_again_gets_the_same_membership() {
    let roster = admit(&founder(), &candidate(2)).unwrap();
    assert_eq!(admit(&roster, &candidate(2)), Ok(roster.clone()));
    let renamed = Candidate { name: "other".into(), ..candidate(2) };
    assert_eq!(admit(&roster, &renamed), Err(Refusal::IdentityTaken { name: "lb2".into(), address: address(2) }));
}

#[test]
fn a_token_makes_one_member_and_the_refusal_says_whose() {
    let roster = admit(&admit(&founder(), &candidate(2)).unwrap(), &candidate(3)).unwrap();
    let again = Candidate { token_nonce: 102, ..candidate(4) };
    assert_eq!(admit(&roster, &again), Err(Refusal::TokenUsed { by: Some("lb2".into()) }));

    let mut shrunk = roster.clone();
    shrunk.members.remove(1);
    assert_eq!(admit(&shrunk, &again), Err(Refusal::TokenUsed { by: None }), "whoever it was, it is gone");
}

#[test]
fn names_and_addresses_are_unique() {
    let roster = founder();
    let same_name = Candidate { name: "LB1".into(), ..candidate(2) };
    assert_eq!(admit(&roster, &same_name), Err(Refusal::NameTaken { name: "lb1".into(), address: address(1) }));
    let same_address = Candidate { address: address(1), ..candidate(2) };
    assert_eq!(admit(&roster, &same_address), Err(Refusal::AddressTaken { address: address(1), by: "lb1".into() }));
}

#[test]
fn names_and_addresses_have_to_be_usable() {
    let long = "x".repeat(64);
    for name in ["", "a b", "lb/1", "ä", "a\n", long.as_str()] {
        let odd = Candidate { name: name.into(), ..candidate(2) };
        assert_eq!(admit(&founder(), &odd), Err(Refusal::NameInvalid { name: name.into() }));
    }
    assert!(check_name(&"x".repeat(63)).is_ok());
    for address in ["0.0.0.0:7946", "10.1.1.2:0", "224.0.0.1:7946", "255.255.255.255:7946", "[::]:7946"] {
        let address = address.parse().unwrap();
        let odd = Candidate { address, ..candidate(2) };
        assert_eq!(admit(&founder(), &odd), Err(Refusal::AddressUnusable { address }));
    }
}

#[test]
fn the_mesh_has_a_limit() {
    let mut roster = founder();
    for n in 2..=MAX_MEMBERS as u8 {
        roster = admit(&roster, &candidate(n)).unwrap();
    }
    assert_eq!(admit(&roster, &candidate(200)), Err(Refusal::TooManyMembers { max: MAX_MEMBERS }));
    assert_eq!(admit(&roster, &candidate(7)), Ok(roster.clone()), "members are still welcome");
    let gone = roster.members.pop().unwrap();
    assert!(admit(&roster, &candidate(200)).is_ok(), "there is room where {} was", gone.name);
}
