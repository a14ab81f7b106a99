use super::roster::{Member, Role, Roster, VotePolicy};
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

/// A roster with these voters.
fn roster(voters: &[u64]) -> Roster {
    let address = "10.1.1.1:7946".parse().unwrap();
    let member = |n: u64| Member {
        id: NodeId(n),
        name: format!("lb{n}"),
        address,
        role: Role::Director,
        voter: voters.contains(&n),
        vote: VotePolicy::Auto,
    };
    Roster { members: (1..=7).map(member).collect(), ..Roster::default() }
}

#[test]
fn a_node_that_is_no_member_is_no_voter() {
    let roster = roster(&[2, 3]);
    assert!(roster.is_voter(NodeId(3)) && !roster.is_voter(NodeId(6)) && !roster.is_voter(NodeId(99)));
    assert_eq!(roster.voters().map(|m| m.id.0).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn every_voter_but_a_server_enrols_others() {
    let mut roster = roster(&[1, 2, 3]);
    roster.members[1].role = Role::Witness;
    roster.members[2].role = Role::Server;
    let enrols: Vec<u64> = (1..=4).filter(|n| roster.enrols(NodeId(*n))).collect();
    assert_eq!(enrols, [1, 2]);
}

#[test]
fn voters_that_come_and_go_are_counted() {
    let cases: [(&[u64], &[u64], usize); 5] = [
        (&[1, 2, 3], &[1, 2, 3], 0),
        (&[1, 2], &[1, 2, 3], 1),
        (&[1, 2, 3], &[2, 3], 1),
        (&[1], &[2], 2),
        (&[], &[1, 2], 2),
    ];
    for (a, b, changed) in cases {
        assert_eq!((roster(a).voters_changed(&roster(b)), roster(b).voters_changed(&roster(a))), (changed, changed));
    }
    let mut without = roster(&[1, 2, 3]);
    without.members.remove(0);
    assert_eq!(without.voters_changed(&roster(&[1, 2, 3])), 1, "a voter that is no member any more");
}

#[test]
fn two_quorums_always_share_a_voter() {
    let mut roster = roster(&[]);
    for voters in 1..=7 {
        for (n, member) in roster.members.iter_mut().enumerate() {
            member.voter = n < voters;
        }
        let quorum = roster.quorum();
        assert!(2 * quorum > voters && quorum <= voters, "{quorum} of {voters}");
    }
}
