mod acceptor;
mod change;
mod network;
mod policy;
mod replica;

use std::collections::BTreeSet;

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::roster::{Ballot, Roster, VotePolicy};

use super::*;
use crate::fixture::{ms, roster};

const UNIX: u64 = 1_800_000_000;

fn id(n: u64) -> NodeId {
    NodeId(n)
}

fn ballot(round: u64, proposer: u64) -> Ballot {
    Ballot { round, proposer: id(proposer) }
}

fn ids(nodes: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
    nodes.into_iter().map(NodeId).collect()
}

/// Everybody is connected, nothing is granted.
fn at(now: Instant) -> Moment {
    Moment { now, unix_s: UNIX, grants_until: None, connected: ids(1..=9) }
}

/// lb1 to lbN of whom these vote, at epoch 10.
fn mesh(members: u64, voters: &[u64]) -> Roster {
    let mut roster = Roster { epoch: 10, ..roster(members) };
    for member in &mut roster.members {
        member.voter = voters.contains(&member.id.0);
    }
    roster
}

fn voters(roster: &Roster) -> Vec<u64> {
    roster.voters().map(|m| m.id.0).collect()
}

fn with_policy(mut roster: Roster, n: u64, vote: VotePolicy) -> Roster {
    roster.members.iter_mut().filter(|m| m.id == id(n)).for_each(|m| m.vote = vote);
    roster
}

#[test]
fn the_state_is_a_roster_with_one_field_more() {
    let old = serde_json::to_string(&mesh(3, &[1, 2, 3])).unwrap();
    let state: State = serde_json::from_str(&old).unwrap();
    assert_eq!(state, State::from(mesh(3, &[1, 2, 3])));
    let mut next = mesh(4, &[1, 2, 3]);
    next.epoch = 11;
    let full =
        State { successor: Acceptor { promised: Some(ballot(7, 2)), accepted: Some((ballot(6, 1), next)) }, ..state };
    let text = serde_json::to_string_pretty(&full).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), full);
    assert_eq!(serde_json::from_str::<Roster>(&text).unwrap(), full.roster, "and earlier versions read it");
    let twisted = r#"{"cluster":"c","epoch":3,"members":[],"used_tokens":[7]}"#;
    assert_eq!(serde_json::from_str::<State>(twisted).unwrap().roster.used_tokens[0].nonce, 7);
}
