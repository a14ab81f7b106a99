use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::*;
use crate::mesh::consensus::{Consensus, Objection, Step};
use crate::mesh::gossip::{Drain, DrainReport, PinReport};
use crate::mesh::lease::{Claim, Parting, Preempt, Release, Reply, Request, Vacant, Verdict};
use crate::mesh::moves::Pin;
use crate::mesh::roster::{
    Ballot, MAX_TOMBSTONES, Member, Role, Roster, Tombstone, UNKNOWN_EXPIRY, UsedToken, VotePolicy,
};
use crate::mesh::{Family, NodeId};

fn router(vrid: u8) -> RouterKey {
    RouterKey { family: Family::Ipv4, vrid, segment: 0 }
}

fn every_message() -> Vec<Message> {
    let node = NodeId(u64::MAX);
    let verdicts = [
        Verdict::Granted { epoch: 7 },
        Verdict::Held { owner: node, epoch: u64::MAX, remaining_ms: 812 },
        Verdict::Stale { max_epoch: 9 },
        Verdict::WrongRoster,
        Verdict::Quarantine { remaining_ms: u32::MAX },
    ];
    let member = Member {
        id: node,
        name: "lb1".into(),
        address: "[2001:db8::1]:7946".parse().unwrap(),
        role: Role::Witness,
        voter: true,
        vote: VotePolicy::Always,
    };
    let used = UsedToken { nonce: u64::MAX, expires_unix: 1_900_000_000, by: Some(node) };
    let roster = Roster {
        cluster: "00ff".into(),
        epoch: 3,
        members: vec![member],
        used_tokens: vec![used, UsedToken { by: None, ..used }],
        removed: vec![Tombstone { id: NodeId(5), epoch: 2 }],
    };
    let ballot = Ballot { round: 300, proposer: node };
    let consensus = |step| Message::Consensus(Consensus { epoch: 4, ballot, step });
    let objections = [
        Objection::Promised(ballot),
        Objection::Behind { epoch: 2 },
        Objection::NotAVoter,
        Objection::NotASuccessor,
        Objection::Unsettled { remaining_ms: 950 },
        Objection::Storage,
    ];
    let refused = objections.map(|objection| consensus(Step::Refused(objection)));
    let mut all = vec![
        Message::Request(Request {
            roster_epoch: 3,
            seq: 300,
            claims: vec![Claim { router: router(51), epoch: 7, duration_ms: 1000 }],
        }),
        Message::Request(Request { roster_epoch: 0, seq: 0, claims: vec![] }),
        Message::Reply(Reply {
            seq: 300,
            clock_ns: u64::MAX,
            roster_epoch: 3,
            verdicts: verdicts.into_iter().map(|v| (router(255), v)).collect(),
        }),
        Message::Release(vec![Release { router: router(1), epoch: 7, seq: 300, successor: Some(node) }]),
        Message::Vacant(vec![Vacant {
            router: router(1),
            owner: NodeId(1),
            epoch: 7,
            released: false,
            reserved_for: None,
        }]),
        Message::Preempt(Preempt { router: router(51), priority: 255 }),
        Message::Roster(roster.clone().into()),
        consensus(Step::Prepare),
        consensus(Step::Promise { accepted: None }),
        consensus(Step::Promise { accepted: Some((ballot, roster.clone())) }),
        consensus(Step::Accept { roster }),
        consensus(Step::Accepted),
    ];
    all.extend(refused);
    all.extend(every_move().map(Message::Move));
    all.push(Message::Parting(Parting { cause: "this daemon died".to_owned(), leases: vec![(router(51), 7)] }));
    all
}

fn every_move() -> [MoveMessage; 11] {
    let (id, pin, cause) = (300, Pin::Set, "moved by operator".to_owned());
    let routers = vec![router(51), router(52)];
    let order = |order| MoveMessage::Order { id: 300, order };
    [
        order(Order::Move { router: router(51), to: NodeId(2) }),
        order(Order::Back { router: router(51) }),
        order(Order::Drain { node: NodeId(2) }),
        order(Order::Undrain { node: NodeId(2) }),
        MoveMessage::Answer { id, outcome: Err("no".into()) },
        MoveMessage::HandOver { id, routers: routers.clone(), to: NodeId(2), pin, cause: cause.clone() },
        MoveMessage::Prepare { id, routers, pin, cause },
        MoveMessage::Prepared { id, refusal: None },
        MoveMessage::Taken { id },
        MoveMessage::Ended { id, failure: Some("no".into()) },
        introduction(51, 1),
    ]
}

fn introduction(vrid: u8, marks: usize) -> MoveMessage {
    let pin = PinReport { router: router(vrid), node: Some(NodeId(2)), version: 3, by: NodeId(1) };
    let drain = DrainReport { node: NodeId(2), drain: Drain::Returning, version: 2, by: NodeId(1) };
    MoveMessage::Introduction { pins: vec![pin; marks], drains: vec![drain; marks], routers: 255 }
}

#[test]
fn marks_are_of_routers_and_not_too_many() {
    let introduce = |vrid, marks| {
        let bytes = encode(&Message::Move(introduction(vrid, marks)));
        assert!(bytes.len() < MAX_MESSAGE, "{}", bytes.len());
        decode(&bytes).err()
    };
    assert_eq!(introduce(51, MOST_MARKS), None);
    assert_eq!(introduce(51, MOST_MARKS + 1), Some(DecodeError::Range("number of marks")));
    assert_eq!(introduce(0, 1), Some(DecodeError::Range("virtual router identifier 0")));
}

#[test]
fn moves_have_routers_and_short_texts() {
    let prepare = |routers, cause: String| {
        let message = MoveMessage::Prepare { id: 1, routers, pin: Pin::Keep, cause };
        decode(&encode(&Message::Move(message))).err()
    };
    let (number, text) = (DecodeError::Range("number of routers to move"), DecodeError::Range("length of a text"));
    assert_eq!(prepare(vec![], String::new()), Some(number.clone()));
    assert_eq!(prepare(vec![router(1); MOST_ROUTERS], "x".repeat(LONGEST_TEXT)), None);
    assert_eq!(prepare(vec![router(1); MOST_ROUTERS + 1], String::new()), Some(number));
    assert_eq!(prepare(vec![router(1)], "x".repeat(LONGEST_TEXT + 1)), Some(text));
    assert_eq!(prepare(vec![router(0)], String::new()), Some(DecodeError::Range("virtual router identifier 0")));
}

#[test]
fn partings_have_routers_and_short_texts() {
    let parting = |vrid, cause: String| {
        let message = Message::Parting(Parting { cause, leases: vec![(router(vrid), 7)] });
        decode(&encode(&message)).err()
    };
    assert_eq!(parting(51, "x".repeat(LONGEST_TEXT)), None);
    assert_eq!(parting(51, "x".repeat(LONGEST_TEXT + 1)), Some(DecodeError::Range("length of a text")));
    assert_eq!(parting(0, String::new()), Some(DecodeError::Range("virtual router identifier 0")));
    let cut = Parting::new(&"\u{e9}".repeat(LONGEST_TEXT), Vec::new());
    assert_eq!(cut.cause, "\u{e9}".repeat(LONGEST_TEXT / 2), "no half of a character");
}

#[test]
fn every_message_comes_back() {
    for message in every_message() {
        assert_eq!(decode(&encode(&message)), Ok(message));
    }
}

/// The bytes of version 2: a test that fails here calls for a new version, not for new bytes.
#[test]
fn the_format_is_what_version_2_says() {
    let [request, ..] = &every_message()[..] else { unreachable!() };
    #[rustfmt::skip]
    let expected = [
        2,              // version
        0,              // Message::Request
        3, 0xac, 0x02,  // roster epoch, seq
        1,              // one claim
        0, 51, 0,       // IPv4, VRID, segment
        7, 0xe8, 0x07,  // epoch, 1000 ms
    ];
    assert_eq!(encode(request), expected);
    // Variants are told apart by their position.
    let tags: Vec<u8> = every_message().iter().map(|m| encode(m)[1]).collect();
    assert_eq!(tags[..8], [0, 0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(tags[8..18], [6; 10]);
    assert_eq!(tags[18..29], [7; 11]);
    assert_eq!(tags[29..], [8]);
}

#[test]
fn what_is_cut_or_longer_is_refused() {
    for message in every_message() {
        let mut bytes = encode(&message);
        for end in 1..bytes.len() {
            assert!(matches!(decode(&bytes[..end]), Err(DecodeError::Malformed(_))), "{message:?} cut at {end}");
        }
        bytes.extend([0, 0]);
        assert_eq!(decode(&bytes), Err(DecodeError::TrailingBytes(2)));
    }
    assert_eq!(decode(&[]), Err(DecodeError::Empty));
}

#[test]
fn other_versions_are_refused() {
    let mut bytes = encode(&every_message()[0]);
    for version in [0, 1, 3, 255] {
        bytes[0] = version;
        assert_eq!(decode(&bytes), Err(DecodeError::Version(version)));
    }
}

#[test]
fn the_limit_is_exact() {
    // One byte of version, three of length.
    let longest = vec![7u8; MAX_MESSAGE - 4];
    assert_eq!(decode_value(&encode_value(&longest)), Ok(longest));
    let longer = encode_value(&vec![7u8; MAX_MESSAGE - 3]);
    assert_eq!(decode_value::<Vec<u8>>(&longer), Err(DecodeError::TooLong(MAX_MESSAGE + 1)));
}

#[test]
fn zero_is_no_router_and_no_priority() {
    let nowhere = router(0);
    let vrid = Err(DecodeError::Range("virtual router identifier 0"));
    let claim = |router| Claim { router, epoch: 1, duration_ms: 1 };
    let claims = vec![claim(router(1)), claim(nowhere)];
    let verdicts = vec![(nowhere, Verdict::WrongRoster)];
    for message in [
        Message::Request(Request { roster_epoch: 1, seq: 1, claims }),
        Message::Reply(Reply { seq: 1, clock_ns: 1, roster_epoch: 1, verdicts }),
        Message::Release(vec![Release { router: nowhere, epoch: 1, seq: 1, successor: None }]),
        Message::Vacant(vec![Vacant {
            router: nowhere,
            owner: NodeId(1),
            epoch: 1,
            released: true,
            reserved_for: None,
        }]),
        Message::Preempt(Preempt { router: nowhere, priority: 1 }),
    ] {
        assert_eq!(decode(&encode(&message)), vrid, "{message:?}");
    }
    let message = Message::Preempt(Preempt { router: router(1), priority: 0 });
    assert_eq!(decode(&encode(&message)), Err(DecodeError::Range("priority 0")));
}

thread_local! {
    static HINT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Remembers what a `Vec` would allocate in advance.
#[derive(Debug, PartialEq)]
struct Greedy;

impl<'de> Deserialize<'de> for Greedy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Greedy;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Greedy, A::Error> {
                HINT.set(seq.size_hint());
                while seq.next_element::<u8>()?.is_some() {}
                Ok(Greedy)
            }
        }
        deserializer.deserialize_seq(Look)
    }
}

#[test]
fn a_length_that_cannot_be_true_allocates_nothing() {
    let honest = encode_value(&vec![1u8, 2, 3]);
    assert_eq!(decode_value(&honest), Ok(Greedy));
    assert_eq!(HINT.get(), Some(3), "the probe sees what Vec would see");

    // A length of 2^35 - 1, three elements.
    let lying = [VERSION, 0xff, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3];
    assert!(matches!(decode_value::<Greedy>(&lying), Err(DecodeError::Malformed(_))));
    assert_eq!(HINT.get(), None);
}

#[test]
fn lengths_that_cannot_be_true_are_refused_in_every_message() {
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for prefix in [&[2, 0, 3, 3][..], &[2, 1, 3, 3, 3], &[2, 2], &[2, 3], &[2, 5], &[2, 5, 1, b'c', 3]] {
        let bytes = [prefix, &huge].concat();
        assert!(matches!(decode(&bytes), Err(DecodeError::Malformed(_))), "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in vec(any::<u8>(), 0..300)) {
        let _ = decode(&body);
        let bytes = [&[VERSION][..], &body].concat();
        // Postcard accepts more than one spelling of a number, so only the value has to come back.
        if let Ok(message) = decode(&bytes) {
            prop_assert_eq!(decode(&encode(&message)), Ok(message));
        }
    }

    #[test]
    fn spoilt_messages_never_panic(which in 0..18usize, at in any::<prop::sample::Index>(), value: u8) {
        let mut bytes = encode(&every_message()[which]);
        let at = at.index(bytes.len());
        bytes[at] = value;
        let _ = decode(&bytes);
    }
}

/// The rosters of earlier versions, as they stand in `roster.json`.
#[test]
fn a_roster_of_an_earlier_version_is_read() {
    let text = r#"{"cluster":"00ff","epoch":3,"members":[{"id":1,"name":"lb1","address":"10.1.1.1:7946",
        "role":"director","voter":true}],"used_tokens":[7,18446744073709551615]}"#;
    let roster: Roster = serde_json::from_str(text).unwrap();
    assert_eq!(roster.members[0].vote, VotePolicy::Auto);
    let used = |nonce| UsedToken { nonce, expires_unix: UNKNOWN_EXPIRY, by: None };
    assert_eq!(roster.used_tokens, [used(7), used(u64::MAX)]);
    assert_eq!(roster.removed, []);
    let again = serde_json::to_string(&roster).unwrap();
    assert_eq!(serde_json::from_str::<Roster>(&again).unwrap(), roster);
}

/// A full roster fits one message, also inside a promise.
#[test]
fn the_largest_roster_fits_a_message() {
    let member = |n: u64| Member {
        id: NodeId(u64::MAX - n),
        name: "x".repeat(63),
        address: "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().unwrap(),
        role: Role::Server,
        voter: false,
        vote: VotePolicy::Never,
    };
    let id = NodeId(u64::MAX);
    let roster = Roster {
        cluster: "f".repeat(16),
        epoch: u64::MAX,
        members: (0..64).map(member).collect(),
        used_tokens: vec![UsedToken { nonce: u64::MAX, expires_unix: u64::from(u32::MAX), by: Some(id) }; 1024],
        removed: vec![Tombstone { id, epoch: u64::from(u32::MAX) }; MAX_TOMBSTONES],
    };
    let ballot = Ballot { round: u64::MAX, proposer: id };
    let step = Step::Promise { accepted: Some((ballot, roster)) };
    let bytes = encode(&Message::Consensus(Consensus { epoch: u64::MAX, ballot, step }));
    assert!(bytes.len() < MAX_MESSAGE, "{} bytes", bytes.len());
}
