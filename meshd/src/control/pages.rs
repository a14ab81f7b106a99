//! The read-only pages by HTTP on TCP, for Prometheus and dashboards, where the configuration asks for it.
//!
//! The limits are those of the control socket, counted apart, so that nobody on the network can keep meshctl
//! out.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::connection::Limited;
use super::{CONNECTIONS, ControlState, STALLED, Shared, refuse, story};

/// Listens.
///
/// # Errors
///
/// The address cannot be had.
pub async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("telemetry.listen: cannot listen on {address}"))
}

/// Answers until `stop`.
pub async fn serve_pages(listener: TcpListener, state: ControlState, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = Limited::new(listener, Arc::new(Semaphore::new(CONNECTIONS)), STALLED);
    let server = axum::serve(listener, routes(Shared::new(state, stop.clone())));
    tokio::select! {
        ended = server => ended.context("pages on TCP"),
        () = stop.cancelled() => Ok(()),
    }
}

fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/status", get(super::status))
        .route("/metrics", get(super::metrics))
        .route("/events", get(story::events))
        .route("/events/follow", get(story::follow))
        .route("/traces", get(story::trace))
        .route("/explain", get(story::explain))
        .method_not_allowed_fallback(async || refuse(StatusCode::METHOD_NOT_ALLOWED, "these pages are read only"))
        .fallback(async || refuse(StatusCode::NOT_FOUND, "no such page"))
        .with_state(shared)
}
