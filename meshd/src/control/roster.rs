//! Changes of the roster: names are looked up here, everything else is decided by the voters.

use std::pin::Pin;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use mesh_control::{NodeRemoval, NodeRequest, RosterChanged, TokenInfo, TokenRevocation};
use mesh_core::roster::{Change, ChangeRefusal};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::roster::Roster;
use tracing::info;

use super::{NO_MESH, Refused, Shared, refuse};
use crate::mesh::MeshHandle;

/// The answer of the voters, in time.
pub type Changing<'a> = Pin<Box<dyn Future<Output = Result<Roster, ChangeRefusal>> + Send + 'a>>;

/// What the control socket does with the roster.
pub trait RosterAccess: Send + Sync {
    /// The roster adopted last.
    fn roster(&self) -> Arc<Roster>;
    /// Has the voters decide.
    fn change(&self, change: Change) -> Changing<'_>;
    /// What is known about tokens.
    fn tokens(&self) -> Vec<TokenInfo>;
    /// The change that makes a token useless.
    ///
    /// # Errors
    /// It is no token of this mesh.
    fn revocation(&self, token: &str) -> anyhow::Result<Change>;
}

impl RosterAccess for MeshHandle {
    fn roster(&self) -> Arc<Roster> {
        MeshHandle::roster(self)
    }

    fn change(&self, change: Change) -> Changing<'_> {
        Box::pin(self.change_roster(change))
    }

    fn tokens(&self) -> Vec<TokenInfo> {
        MeshHandle::tokens(self)
    }

    fn revocation(&self, token: &str) -> anyhow::Result<Change> {
        MeshHandle::revocation(self, token)
    }
}

type Body<T> = Result<Json<T>, JsonRejection>;

pub(super) async fn tokens(State(shared): State<Shared>) -> Result<Json<Vec<TokenInfo>>, Refused> {
    Ok(Json(access(&shared)?.tokens()))
}

pub(super) async fn revoke_token(
    State(shared): State<Shared>,
    request: Body<TokenRevocation>,
) -> Result<Json<RosterChanged>, Refused> {
    let Json(TokenRevocation { token }) = request.map_err(|bad| refuse(bad.status(), bad.body_text()))?;
    let change = access(&shared)?.revocation(token.trim());
    let change = change.map_err(|error| refuse(StatusCode::BAD_REQUEST, format!("{error:#}")))?;
    decide(&shared, change).await
}

pub(super) async fn add_voter(
    State(shared): State<Shared>,
    request: Body<NodeRequest>,
) -> Result<Json<RosterChanged>, Refused> {
    let node = named(&shared, request)?;
    decide(&shared, Change::AddVoter(node)).await
}

pub(super) async fn remove_voter(
    State(shared): State<Shared>,
    request: Body<NodeRequest>,
) -> Result<Json<RosterChanged>, Refused> {
    let node = named(&shared, request)?;
    decide(&shared, Change::RemoveVoter(node)).await
}

pub(super) async fn remove_node(
    State(shared): State<Shared>,
    request: Body<NodeRemoval>,
) -> Result<Json<RosterChanged>, Refused> {
    let Json(NodeRemoval { node, now }) = request.map_err(|bad| refuse(bad.status(), bad.body_text()))?;
    let node = find(&shared, &node)?;
    decide(&shared, if now { Change::RemoveMember(node) } else { Change::RemoveIdle(node) }).await
}

fn access(shared: &Shared) -> Result<Arc<dyn RosterAccess>, Refused> {
    let no_mesh = || refuse(StatusCode::CONFLICT, "this node is in no mesh, so there is no roster").hint(NO_MESH);
    shared.state.roster.clone().ok_or_else(no_mesh)
}

/// The member a request names.
fn named(shared: &Shared, request: Body<NodeRequest>) -> Result<NodeId, Refused> {
    let Json(NodeRequest { node }) = request.map_err(|bad| refuse(bad.status(), bad.body_text()))?;
    find(shared, &node)
}

fn find(shared: &Shared, node: &str) -> Result<NodeId, Refused> {
    let roster = access(shared)?.roster();
    let named = roster.members.iter().find(|m| m.name.eq_ignore_ascii_case(node) || m.id.to_string() == node);
    let names = || roster.members.iter().map(|m| m.name.as_str()).collect::<Vec<_>>().join(", ");
    let unknown = || refuse(StatusCode::NOT_FOUND, format!("no node {node:?}")).hint(format!("one of {}", names()));
    named.map(|m| m.id).ok_or_else(unknown)
}

async fn decide(shared: &Shared, change: Change) -> Result<Json<RosterChanged>, Refused> {
    let what = format!("{change:?}");
    let access = access(shared)?;
    let removes = match &change {
        Change::RemoveMember(node) | Change::RemoveIdle(node) => Some(*node),
        _ => None,
    };
    let decided = match access.change(change).await {
        // Who was asked is who was removed: it is done, and this node has no say any more.
        Err(ChangeRefusal::NotAMember) if removes.is_some_and(|node| access.roster().removed_at(node).is_some()) => {
            Ok(Roster::clone(&access.roster()))
        }
        decided => decided,
    };
    match decided {
        Ok(roster) => {
            info!(roster_epoch = roster.epoch, change = what, "the voters agreed");
            Ok(Json(RosterChanged {
                roster_epoch: roster.epoch,
                voters: roster.voters().map(|m| m.name.clone()).collect(),
                needed: roster.quorum(),
            }))
        }
        Err(refusal) => {
            let hint = match &refusal {
                ChangeRefusal::NoMajority { .. } => Some("nothing is lost by trying again: see `meshctl voters`"),
                ChangeRefusal::LastVoter { .. } => Some("give another node a vote first: meshctl voters add NODE"),
                ChangeRefusal::Serves { .. } => {
                    Some("meshctl drain NODE hands it over; meshctl nodes remove NODE --now does not ask")
                }
                _ => None,
            };
            let refused = refuse(StatusCode::CONFLICT, refusal.to_string());
            Err(match hint {
                Some(hint) => refused.hint(hint),
                None => refused,
            })
        }
    }
}

#[cfg(test)]
mod tests;
