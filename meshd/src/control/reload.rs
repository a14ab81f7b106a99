//! Reading the configuration again, for whoever waits for what comes of it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use mesh_control::ReloadReply;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{Refused, Shared, refuse};

/// Reloads take one another's turn; each takes a second for either queue at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks for a reload; what came of it is sent here, the error in words.
pub type Reload = oneshot::Sender<Result<ReloadReply, String>>;

/// Where reloads are asked for.
pub type Reloads = mpsc::Sender<Reload>;

pub(super) async fn reload(State(shared): State<Shared>) -> Result<Json<ReloadReply>, Refused> {
    let stopping = || refuse(StatusCode::CONFLICT, "meshd is stopping already");
    let (reload, done) = oneshot::channel();
    let asked = async {
        shared.state.reloads.send(reload).await.map_err(|_| stopping())?;
        done.await.map_err(|_| stopping())
    };
    let Ok(done) = timeout(PATIENCE, asked).await else {
        let late = format!("the configuration is not read within {} s", PATIENCE.as_secs());
        return Err(refuse(StatusCode::SERVICE_UNAVAILABLE, late).hint("see meshd's log, and meshctl status"));
    };
    let refused = |error| refuse(StatusCode::CONFLICT, format!("configuration not changed: {error}"));
    done?.map(Json).map_err(refused)
}
