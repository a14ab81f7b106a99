//! The control socket: what meshctl asks, as `mesh_control` describes it.
//!
//! [`bind`] takes the socket, [`serve`] answers on it. The engine makes its [`Status`] when somebody asks, but not
//! more often than it likes however many do, so no client can delay it. Where it does not answer, its last status
//! is refused, not shown: a map that says `active` for ever is worse than none.
//!
//! Limits: 64 connections at a time (more wait in the backlog), 32 of them may watch, requests of 4 KiB, and a
//! connection that takes nothing for 15 s is closed.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::{Stream, unfold};
use mesh_control::{ConfigRefused, Refusal, Service, Status, TokenReply, TokenRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::bfd;
use crate::on_demand::Asker;
use crate::telemetry::Archive;
use connection::Limited;
pub use ending::{Command, Ending};
pub use orders::{OrderAccess, Ordering};
pub use pages::{listen, serve_pages};
pub use reload::{Reload, Reloads};
pub use roster::{Changing, RosterAccess};
pub(crate) use socket::{Lock, lock, make_directory, try_lock};
pub use socket::{Socket, bind, is_held};

mod connection;
mod ending;
mod metrics;
mod orders;
mod pages;
mod reload;
mod roster;
mod socket;
mod story;
#[cfg(test)]
mod tests;

/// Connections at a time.
const CONNECTIONS: usize = 64;
/// Of which may watch; the others stay free for short requests.
const WATCHERS: usize = 32;
/// Largest request body in bytes.
const BODY: usize = 4096;
/// How long a connection may go on without taking a byte from us.
const STALLED: Duration = Duration::from_secs(15);
/// Sent to watchers when there is nothing else to send, so that they and we notice a dead other side.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// How long an answer of the engine is waited for; it takes microseconds, and half a second at most where
/// somebody has just asked.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long making a token may take.
const TOKEN: Duration = Duration::from_secs(5);
/// How long after the stop open connections may finish.
const GOODBYE: Duration = Duration::from_secs(1);
/// What makes a node a member. `init` on a second one would make a second mesh.
const NO_MESH: &str = "`meshd join` enters a mesh that is there, `meshd init` makes a new one";
/// Longest life of a token in seconds, a week.
const MAX_TTL: u32 = 604_800;

/// Makes an enrolment token that lives as long as asked; answers it and when it expires, in seconds since
/// 1970-01-01 UTC. May block.
pub type MakeToken = dyn Fn(Duration) -> anyhow::Result<(String, u64)> + Send + Sync;

/// What is shown, each part by who knows it.
#[derive(Clone)]
pub struct Shown {
    /// Made by the engine's thread.
    pub status: Asker<Status>,
    /// Made by the thread of the services; empty without virtual servers.
    pub services: Asker<Vec<Service>>,
    /// Refreshed by the thread of the BFD sessions; empty without any.
    pub bfd: watch::Receiver<Arc<bfd::Shown>>,
    /// Why the configuration that was read last is not in use.
    pub config_refused: watch::Receiver<Option<ConfigRefused>>,
}

/// What the answers come from.
#[derive(Clone)]
pub struct ControlState {
    /// What is shown.
    pub shown: Shown,
    /// Makes enrolment tokens; none without a mesh.
    pub tokens: Option<Arc<MakeToken>>,
    /// The roster; none without a mesh.
    pub roster: Option<Arc<dyn RosterAccess>>,
    /// What the nodes remember; none in a daemon that remembers nothing.
    pub archive: Option<Archive>,
    /// Takes orders to move something; none without a mesh.
    pub orders: Option<Arc<dyn OrderAccess>>,
    /// `HOST:PORT` other nodes join by; empty without a mesh.
    pub seed: String,
    /// Ends the daemon.
    pub ending: Ending,
    /// Has the configuration read again.
    pub reloads: Reloads,
}

/// Answers until `stop`, then lets open requests finish and removes the socket.
pub async fn serve(socket: Socket, state: ControlState, stop: CancellationToken) -> anyhow::Result<()> {
    let (listener, _held) = socket.into_parts();
    let listener = Limited::new(listener, Arc::new(Semaphore::new(CONNECTIONS)), STALLED);
    let routes = routes(Shared::new(state, stop.clone()));
    let server = axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        ended = server => ended.context("control socket"),
        () = async { stop.cancelled().await; sleep(GOODBYE).await } => Ok(()),
    }
}

/// What the requests of one listener share.
#[derive(Clone)]
struct Shared {
    state: ControlState,
    watchers: Arc<Semaphore>,
    stop: CancellationToken,
}

fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/status/watch", get(watch_status))
        .route("/metrics", get(metrics))
        .route("/events", get(story::events))
        .route("/events/follow", get(story::follow))
        .route("/traces", get(story::trace))
        .route("/explain", get(story::explain))
        .route("/stop", post(ending::stop))
        .route("/upgrade", post(ending::upgrade))
        .route("/reload", post(reload::reload))
        .route("/tokens", get(roster::tokens).post(make_token))
        .route("/tokens/revoke", post(roster::revoke_token))
        .route("/voters/add", post(roster::add_voter))
        .route("/voters/remove", post(roster::remove_voter))
        .route("/nodes/remove", post(roster::remove_node))
        .route("/nodes/drain", post(orders::drain))
        .route("/nodes/undrain", post(orders::undrain))
        .route("/moves", post(orders::move_to))
        .route("/moves/back", post(orders::move_back))
        .route("/plan", post(orders::plan))
        .method_not_allowed_fallback(async || refuse(StatusCode::METHOD_NOT_ALLOWED, "not a method of this resource"))
        .fallback(async || refuse(StatusCode::NOT_FOUND, "no such resource").hint("is meshctl newer than meshd?"))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(shared)
}

impl Shared {
    fn new(state: ControlState, stop: CancellationToken) -> Shared {
        Shared { state, watchers: Arc::new(Semaphore::new(WATCHERS)), stop }
    }

    /// The engine's status, if the engine is alive.
    async fn current(&self) -> Result<Arc<Status>, Refused> {
        let shown = &self.state.shown;
        let (status, services) = tokio::join!(shown.status.ask(PATIENCE), shown.services());
        let status = status.map_err(|silence| {
            let silent =
                format!("meshd's engine does not answer; its last report is {:.1} s old", silence.age.as_secs_f64());
            refuse(StatusCode::SERVICE_UNAVAILABLE, silent).hint("see meshd's log; restart it if this lasts")
        })?;
        Ok(shown.whole(status, &services))
    }
}

impl Shown {
    /// The last ones where their thread does not answer: the engine's map is worth more than they are.
    async fn services(&self) -> Arc<Vec<Service>> {
        self.services.ask(PATIENCE).await.unwrap_or_else(|silence| silence.last)
    }

    /// The engine's map, with services and sessions as their own threads see them.
    fn whole(&self, status: Arc<Status>, services: &[Service]) -> Arc<Status> {
        let bfd = Arc::clone(&self.bfd.borrow());
        let config_refused = self.config_refused.borrow().clone();
        if services.is_empty() && *bfd == bfd::Shown::default() && config_refused.is_none() {
            return status;
        }
        let mut drops = status.drops.clone();
        drops.extend(bfd.dropped.clone());
        let (services, bfd) = (services.to_vec(), bfd.sessions.clone());
        Arc::new(Status { services, bfd, drops, config_refused, ..(*status).clone() })
    }
}

async fn status(State(shared): State<Shared>) -> Result<Response, Refused> {
    let status = shared.current().await?;
    Ok(Json(&*status).into_response())
}

async fn metrics(State(shared): State<Shared>) -> Result<Response, Refused> {
    let status = shared.current().await?;
    Ok(([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::page(&status)).into_response())
}

async fn watch_status(State(shared): State<Shared>) -> Result<Response, Refused> {
    let busy = |_| refuse(StatusCode::SERVICE_UNAVAILABLE, format!("{WATCHERS} clients are watching already"));
    let slot = Arc::clone(&shared.watchers).try_acquire_owned().map_err(busy)?;
    // It is what comes first, too.
    shared.current().await?;
    let events = events(shared.state.shown, shared.stop, slot);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// The status there is, and then a new one as often as the engine likes. Ends with the daemon.
fn events(
    shown: Shown,
    stop: CancellationToken,
    slot: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, axum::Error>> {
    let next = async move |(mut shown, slot): (Shown, OwnedSemaphorePermit)| {
        let status = shown.status.next().await?;
        let services = shown.services().await;
        Some((Event::default().json_data(&*shown.whole(status, &services)), (shown, slot)))
    };
    let events = unfold((shown, slot), next);
    futures_util::StreamExt::take_until(events, stop.cancelled_owned())
}

async fn make_token(
    State(shared): State<Shared>,
    request: Result<Json<TokenRequest>, JsonRejection>,
) -> Result<Json<TokenReply>, Refused> {
    let Json(request) = request.map_err(|bad| refuse(bad.status(), bad.body_text()))?;
    let Some(make) = shared.state.tokens else {
        let error = refuse(StatusCode::CONFLICT, "this node is in no mesh, so there is nothing to join");
        return Err(error.hint(NO_MESH));
    };
    if !(1..=MAX_TTL).contains(&request.ttl_s) {
        let error = format!("a token cannot live for {} s", request.ttl_s);
        return Err(refuse(StatusCode::BAD_REQUEST, error).hint("1 s to 7 days"));
    }
    let failed = |why: &dyn std::fmt::Display| refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("no token: {why}"));
    let ttl = Duration::from_secs(request.ttl_s.into());
    let made = timeout(TOKEN, tokio::task::spawn_blocking(move || make(ttl))).await;
    let made = made.map_err(|_| failed(&"it took too long"))?.map_err(|panic| failed(&panic))?;
    let (token, expires) = made.map_err(|error| failed(&format_args!("{error:#}")))?;
    let expires = i64::try_from(expires).map_err(|e| failed(&e))?;
    let expires = jiff::Timestamp::from_second(expires).map_err(|e| failed(&e))?.to_string();
    info!(expires, "enrolment token made");
    Ok(Json(TokenReply { token, expires, command: format!("meshd join --seed {}", shared.state.seed) }))
}

/// A refusal and its HTTP status.
struct Refused(StatusCode, Refusal);

fn refuse(status: StatusCode, error: impl Into<String>) -> Refused {
    Refused(status, Refusal { error: error.into(), hint: None })
}

impl Refused {
    fn hint(mut self, hint: impl Into<String>) -> Refused {
        self.1.hint = Some(hint.into());
        self
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        debug!(status = self.0.as_u16(), error = self.1.error, "control request refused");
        (self.0, Json(self.1)).into_response()
    }
}
