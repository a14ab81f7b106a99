//! The control socket: what meshctl asks, as `mesh_control` describes it.
//!
//! [`bind`] takes the socket, [`serve`] answers on it. Answers come from the engine's last [`Status`], never
//! from the engine itself, so no client can delay it. A status the engine stopped refreshing is refused, not
//! shown: a map that says `active` for ever is worse than none.
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
use mesh_control::{Refusal, Service, Status, TokenReply, TokenRequest};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::{debug, info};

use crate::bfd;
use connection::Limited;
pub use ending::{Command, Ending};
pub use roster::{Changing, RosterAccess};
pub(crate) use socket::lock;
pub use socket::{Socket, bind, is_held};

mod connection;
mod ending;
mod metrics;
mod roster;
mod socket;
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
/// Watchers get at most one status in this time.
const COALESCE: Duration = Duration::from_millis(100);
/// The engine refreshes its status every 250 ms; one older than this waits for the next, for as long again.
const STALE: Duration = Duration::from_secs(1);
/// How long making a token may take.
const TOKEN: Duration = Duration::from_secs(5);
/// How long after the stop open connections may finish.
const GOODBYE: Duration = Duration::from_secs(1);
/// Longest life of a token in seconds, a week.
const MAX_TTL: u32 = 604_800;

/// Makes an enrolment token that lives as long as asked; answers it and when it expires, in seconds since
/// 1970-01-01 UTC. May block.
pub type MakeToken = dyn Fn(Duration) -> anyhow::Result<(String, u64)> + Send + Sync;

/// What is shown, each part by who knows it.
#[derive(Clone)]
pub struct Shown {
    /// Refreshed by the engine's loop at each change and at least every 250 ms.
    pub status: watch::Receiver<Arc<Status>>,
    /// Refreshed by the thread of the services; empty without virtual servers.
    pub services: watch::Receiver<Arc<Vec<Service>>>,
    /// Refreshed by the thread of the BFD sessions; empty without any.
    pub bfd: watch::Receiver<Arc<bfd::Shown>>,
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
    /// `HOST:PORT` other nodes join by; empty without a mesh.
    pub seed: String,
    /// Ends the daemon.
    pub ending: Ending,
}

/// Answers until `stop`, then lets open requests finish and removes the socket.
pub async fn serve(socket: Socket, state: ControlState, stop: CancellationToken) -> anyhow::Result<()> {
    let (refreshed, last_refresh) = watch::channel(Instant::now());
    let _refreshes = AbortOnDropHandle::new(tokio::spawn(note_refreshes(state.shown.status.clone(), refreshed)));
    let (listener, _held) = socket.into_parts();
    let listener = Limited::new(listener, Arc::new(Semaphore::new(CONNECTIONS)), STALLED);
    let watchers = Arc::new(Semaphore::new(WATCHERS));
    let routes = routes(Shared { state, last_refresh, watchers, stop: stop.clone() });
    let server = axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
    tokio::select! {
        ended = server => ended.context("control socket"),
        () = async { stop.cancelled().await; sleep(GOODBYE).await } => Ok(()),
    }
}

#[derive(Clone)]
struct Shared {
    state: ControlState,
    last_refresh: watch::Receiver<Instant>,
    watchers: Arc<Semaphore>,
    stop: CancellationToken,
}

fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/status", get(status))
        .route("/status/watch", get(watch_status))
        .route("/metrics", get(metrics))
        .route("/stop", post(ending::stop))
        .route("/upgrade", post(ending::upgrade))
        .route("/tokens", get(roster::tokens).post(make_token))
        .route("/tokens/revoke", post(roster::revoke_token))
        .route("/voters/add", post(roster::add_voter))
        .route("/voters/remove", post(roster::remove_voter))
        .route("/nodes/remove", post(roster::remove_node))
        .method_not_allowed_fallback(async || refuse(StatusCode::METHOD_NOT_ALLOWED, "not a method of this resource"))
        .fallback(async || refuse(StatusCode::NOT_FOUND, "no such resource").hint("is meshctl newer than meshd?"))
        .layer(DefaultBodyLimit::max(BODY))
        .with_state(shared)
}

async fn note_refreshes(mut status: watch::Receiver<Arc<Status>>, refreshed: watch::Sender<Instant>) {
    while status.changed().await.is_ok() {
        refreshed.send_replace(Instant::now());
    }
}

impl Shared {
    /// The engine's status, if the engine is alive.
    async fn current(&self) -> Result<Arc<Status>, Refused> {
        let mut status = self.state.shown.status.clone();
        status.mark_unchanged();
        let age = self.last_refresh.borrow().elapsed();
        let alive = match status.has_changed() {
            Ok(_) if age <= STALE => true,
            Ok(_) => timeout(STALE, status.changed()).await.is_ok_and(|changed| changed.is_ok()),
            Err(_) => false,
        };
        if !alive {
            let silent = format!(
                "meshd's engine has not reported for {:.1} s",
                self.last_refresh.borrow().elapsed().as_secs_f64()
            );
            return Err(
                refuse(StatusCode::SERVICE_UNAVAILABLE, silent).hint("see meshd's log; restart it if this lasts")
            );
        }
        Ok(self.state.shown.whole())
    }
}

impl Shown {
    /// The engine's map, with services and sessions as their own threads see them.
    fn whole(&self) -> Arc<Status> {
        let status = Arc::clone(&self.status.borrow());
        let (services, bfd) = (Arc::clone(&self.services.borrow()), Arc::clone(&self.bfd.borrow()));
        if services.is_empty() && *bfd == bfd::Shown::default() {
            return status;
        }
        let mut drops = status.drops.clone();
        drops.extend(bfd.dropped.clone());
        Arc::new(Status { services: services.to_vec(), bfd: bfd.sessions.clone(), drops, ..(*status).clone() })
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
    shared.current().await?;
    let events = events(shared.state, shared.stop, slot);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// The status now and after each change, the latest only where changes come faster than clients are told.
/// Ends with the daemon.
fn events(
    mut state: ControlState,
    stop: CancellationToken,
    slot: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, axum::Error>> {
    state.shown.status.mark_changed();
    let next = async move |(mut state, earliest, slot): (ControlState, Instant, OwnedSemaphorePermit)| {
        sleep_until(earliest).await;
        state.shown.status.changed().await.ok()?;
        state.shown.status.mark_unchanged();
        let event = Event::default().json_data(&*state.shown.whole());
        Some((event, (state, Instant::now() + COALESCE, slot)))
    };
    let events = unfold((state, Instant::now(), slot), next);
    futures_util::StreamExt::take_until(events, stop.cancelled_owned())
}

async fn make_token(
    State(shared): State<Shared>,
    request: Result<Json<TokenRequest>, JsonRejection>,
) -> Result<Json<TokenReply>, Refused> {
    let Json(request) = request.map_err(|bad| refuse(bad.status(), bad.body_text()))?;
    let Some(make) = shared.state.tokens else {
        let error = refuse(StatusCode::CONFLICT, "this node is in no mesh, so there is nothing to join");
        return Err(error.hint("meshd init"));
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
