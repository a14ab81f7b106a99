//! What happened, and why, as all nodes remember it.

use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{Stream, iter, unfold};
use futures_util::{StreamExt, TryStreamExt};
use mesh_control::story::{Events, Explanation, MOST_EVENTS, Trace};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::sleep;

use super::{KEEP_ALIVE, Refused, Shared, WATCHERS, refuse};
use crate::clock;
use crate::telemetry::Archive;

/// Between two looks at all nodes' events, while somebody follows them.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    /// Seconds back; default: everything.
    since: Option<u64>,
    limit: Option<usize>,
}

impl Since {
    fn unix_us(&self) -> u64 {
        let begin = self.since.map(|s| clock::unix_time().saturating_sub(Duration::from_secs(s)));
        begin.map_or(0, |begin| u64::try_from(begin.as_micros()).unwrap_or(u64::MAX))
    }
}

type Wanted<T> = Result<Query<T>, QueryRejection>;

pub(super) async fn events(State(shared): State<Shared>, wanted: Wanted<Since>) -> Result<Json<Events>, Refused> {
    let Query(since) = wanted.map_err(|bad| refuse(bad.status(), bad.body_text()))?;
    let limit = since.limit.unwrap_or(MOST_EVENTS);
    Ok(Json(archive(&shared)?.events(since.unix_us(), limit).await))
}

pub(super) async fn follow(State(shared): State<Shared>, wanted: Wanted<Since>) -> Result<Response, Refused> {
    let Query(since) = wanted.map_err(|bad| refuse(bad.status(), bad.body_text()))?;
    let busy = |_| refuse(StatusCode::SERVICE_UNAVAILABLE, format!("{WATCHERS} clients are watching already"));
    let slot = shared.watchers.clone().try_acquire_owned().map_err(busy)?;
    let events = followed(archive(&shared)?.clone(), since.unix_us(), slot);
    let events = events.take_until(shared.stop.clone().cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// All nodes' events, those that were there first, then as they come: in order within half a second.
fn followed(
    archive: Archive,
    since: u64,
    slot: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Event, axum::Error>> {
    let look = move |(archive, mut cursors, first, slot): (Archive, _, bool, OwnedSemaphorePermit)| async move {
        if !first {
            sleep(LOOK).await;
        }
        let found = archive.events_after(&mut cursors, since).await;
        let events = found.events.into_iter().map(|event| Event::default().json_data(event));
        Some((Ok::<_, axum::Error>(iter(events)), (archive, cursors, false, slot)))
    };
    unfold((archive, crate::telemetry::Cursors::default(), true, slot), look).try_flatten()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichTrace {
    id: Option<String>,
    router: Option<String>,
}

pub(super) async fn trace(State(shared): State<Shared>, wanted: Wanted<WhichTrace>) -> Result<Json<Trace>, Refused> {
    let Query(WhichTrace { id, router }) = wanted.map_err(|bad| refuse(bad.status(), bad.body_text()))?;
    let id = id.map(|id| id.to_ascii_lowercase());
    if id.as_deref().is_some_and(|id| id.is_empty() || id.len() > 32 || !id.bytes().all(|b| b.is_ascii_hexdigit())) {
        return Err(refuse(StatusCode::BAD_REQUEST, "a trace id has up to 32 hexadecimal digits"));
    }
    let (named, of) = (id.clone(), router.clone());
    let trace = archive(&shared)?.trace(id, router).await;
    if trace.spans.is_empty() {
        if let (None, Some(router)) = (&named, &of)
            && !archive(&shared)?.knows(router).await
        {
            return Err(no_router(router));
        }
        let what = match (named, of) {
            (Some(id), _) => format!("no trace {id} is remembered"),
            (None, Some(router)) => format!("no takeover of {router} is remembered"),
            (None, None) => "no takeover is remembered".to_owned(),
        };
        return Err(
            refuse(StatusCode::NOT_FOUND, what).hint("nodes remember the last few hundred takeovers of this run")
        );
    }
    Ok(Json(trace))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WhichRouter {
    router: String,
}

pub(super) async fn explain(
    State(shared): State<Shared>,
    wanted: Wanted<WhichRouter>,
) -> Result<Json<Explanation>, Refused> {
    let Query(WhichRouter { router }) = wanted.map_err(|bad| refuse(bad.status(), bad.body_text()))?;
    let explained = archive(&shared)?.explain(&router).await;
    let explained = explained.map_err(|error| refuse(StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}")))?;
    explained.map(Json).ok_or_else(|| no_router(&router))
}

fn no_router(named: &str) -> Refused {
    refuse(StatusCode::NOT_FOUND, format!("no virtual router {named:?}")).hint("a VIP or a name: see meshctl status")
}

fn archive(shared: &Shared) -> Result<&Archive, Refused> {
    let nothing = || refuse(StatusCode::CONFLICT, "this daemon remembers nothing");
    shared.state.archive.as_ref().ok_or_else(nothing)
}

#[cfg(test)]
mod tests;
