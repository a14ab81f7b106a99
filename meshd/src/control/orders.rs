//! Planned moves: what an operator orders goes to the engine, which finds whoever decides it.

use std::pin::Pin;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use mesh_control::{BackRequest, MoveRequest, NodeRequest, Ordered, Plan, PlanRequest};
use mesh_core::orders::{Answer, Refused as NotOrdered, Wish};
use tracing::info;

use super::{NO_MESH, Refused, Shared, refuse};
use crate::mesh::MeshHandle;

/// The answer, in time.
pub type Ordering<'a> = Pin<Box<dyn Future<Output = Result<Answer, NotOrdered>> + Send + 'a>>;

/// What the control socket does about moves.
pub trait OrderAccess: Send + Sync {
    /// Has the mesh do it.
    fn order(&self, wish: Wish) -> Ordering<'_>;
}

impl OrderAccess for MeshHandle {
    fn order(&self, wish: Wish) -> Ordering<'_> {
        Box::pin(MeshHandle::order(self, wish))
    }
}

type Body<T> = Result<Json<T>, JsonRejection>;

pub(super) async fn move_to(
    State(shared): State<Shared>,
    request: Body<MoveRequest>,
) -> Result<Json<Ordered>, Refused> {
    let MoveRequest { what, node } = body(request)?;
    done(&shared, Wish::Move { what, node }).await
}

pub(super) async fn move_back(
    State(shared): State<Shared>,
    request: Body<BackRequest>,
) -> Result<Json<Ordered>, Refused> {
    let BackRequest { what } = body(request)?;
    done(&shared, Wish::Back { what }).await
}

pub(super) async fn drain(State(shared): State<Shared>, request: Body<NodeRequest>) -> Result<Json<Ordered>, Refused> {
    let NodeRequest { node } = body(request)?;
    done(&shared, Wish::Drain { node }).await
}

pub(super) async fn undrain(
    State(shared): State<Shared>,
    request: Body<NodeRequest>,
) -> Result<Json<Ordered>, Refused> {
    let NodeRequest { node } = body(request)?;
    done(&shared, Wish::Undrain { node }).await
}

pub(super) async fn plan(State(shared): State<Shared>, request: Body<PlanRequest>) -> Result<Json<Plan>, Refused> {
    let PlanRequest { drain } = body(request)?;
    match order(&shared, Wish::Plan { drain }).await? {
        Answer::Plan(plan) => Ok(Json(plan)),
        Answer::Done { .. } => Err(mixed_up()),
    }
}

async fn done(shared: &Shared, wish: Wish) -> Result<Json<Ordered>, Refused> {
    let what = words(&wish);
    match order(shared, wish).await? {
        Answer::Done { text: done, by } => {
            info!(order = what, by, "{done}");
            Ok(Json(Ordered { done, by }))
        }
        Answer::Plan(_) => Err(mixed_up()),
    }
}

async fn order(shared: &Shared, wish: Wish) -> Result<Answer, Refused> {
    let no_mesh = || refuse(StatusCode::CONFLICT, "this node is in no mesh, so nothing can be moved").hint(NO_MESH);
    let access = shared.state.orders.clone().ok_or_else(no_mesh)?;
    access.order(wish).await.map_err(|NotOrdered { text, unknown }| {
        if unknown {
            return refuse(StatusCode::NOT_FOUND, text).hint("meshctl status shows what there is");
        }
        refuse(StatusCode::CONFLICT, text)
    })
}

/// As meshctl takes it.
fn words(wish: &Wish) -> String {
    match wish {
        Wish::Move { what, node } => format!("move {what} {node}"),
        Wish::Back { what } => format!("move {what} --back"),
        Wish::Drain { node } => format!("drain {node}"),
        Wish::Undrain { node } => format!("undrain {node}"),
        Wish::Plan { drain: Some(node) } => format!("plan --drain {node}"),
        Wish::Plan { drain: None } => "plan".to_owned(),
    }
}

fn body<T>(request: Body<T>) -> Result<T, Refused> {
    request.map(|Json(body)| body).map_err(|bad| refuse(bad.status(), bad.body_text()))
}

fn mixed_up() -> Refused {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "the engine answered something else")
}

#[cfg(test)]
mod tests;
