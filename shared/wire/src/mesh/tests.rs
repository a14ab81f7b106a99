use super::roster::{FIRST_VOTERS, Role, Roster};
use super::*;

#[test]
fn a_node_is_written_and_read_in_sixteen_digits() {
    for (id, text) in [(0, "0000000000000000"), (0x1f, "000000000000001f"), (u64::MAX, "ffffffffffffffff")] {
        assert_eq!(NodeId(id).to_string(), text);
        assert_eq!(text.parse(), Ok(NodeId(id)));
    }
    for wrong in ["", "lb1", "-1", "10000000000000000"] {
        assert!(wrong.parse::<NodeId>().is_err(), "{wrong:?}");
    }
}

#[test]
fn a_router_key_names_its_segment_only_where_there_is_one() {
    let key = |family, segment| RouterKey { family, vrid: 51, segment }.to_string();
    assert_eq!(key(Family::Ipv4, 0), "4.51");
    assert_eq!(key(Family::Ipv6, 0x1f), "6.51.0000001f");
}

/// A roster that these nodes joined, in this order.
fn joined(roles: &[Role]) -> Roster {
    let empty = Roster { cluster: "00".into(), epoch: 0, members: vec![], used_tokens: vec![] };
    (1..).zip(roles).fold(empty, |roster, (n, role)| {
        let address = "10.1.1.1:7946".parse().unwrap();
        roster.with_member(NodeId(n), format!("lb{n}"), address, *role, n + 100)
    })
}

#[test]
fn the_first_directors_and_witnesses_vote_and_nobody_else() {
    let roster = joined(&[Role::Server, Role::Director, Role::Witness, Role::Server, Role::Director, Role::Director]);
    let voters: Vec<_> = roster.voters().map(|member| member.id).collect();
    assert_eq!(voters, [NodeId(2), NodeId(3), NodeId(5)]);
    assert_eq!(voters.len(), FIRST_VOTERS);
    assert!(roster.is_voter(NodeId(3)) && !roster.is_voter(NodeId(6)) && !roster.is_voter(NodeId(99)));
    assert_eq!(roster.epoch, 6);
    assert_eq!(roster.used_tokens, [101, 102, 103, 104, 105, 106]);
}

#[test]
fn two_quorums_always_share_a_voter() {
    let mut roster = joined(&[Role::Director; 7]);
    for voters in 1..=7 {
        for (n, member) in roster.members.iter_mut().enumerate() {
            member.voter = n < voters;
        }
        let quorum = roster.quorum();
        assert!(2 * quorum > voters && quorum <= voters, "{quorum} of {voters}");
    }
}
