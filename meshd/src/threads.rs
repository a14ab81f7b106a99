//! Threads of their own for what must not wait: the engine, and the mesh's sockets. Each has a
//! single-threaded runtime and, where that is allowed, real-time priority; checkers, control
//! connections, scripts and telemetry share others and can never delay them.

use std::future::Future;

use anyhow::Context;
use tokio::sync::oneshot;

use crate::mesh::{self, MeshHandle, MeshOptions};
use crate::priority::Manner;

/// What a thread's end resolves to: how it ended, or nothing where it died.
pub type Ended = oneshot::Receiver<anyhow::Result<()>>;

/// Starts a thread that runs this to its end.
///
/// # Errors
///
/// The system has no room for another thread.
pub fn spawn<F, T>(name: &str, manner: Manner, body: F) -> anyhow::Result<Ended>
where
    F: FnOnce() -> T + Send + 'static,
    T: Future<Output = anyhow::Result<()>>,
{
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    let run = move || {
        manner.take();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let result = runtime.context("cannot start a runtime").and_then(|runtime| runtime.block_on(body()));
        let _ = done.send(result);
    };
    thread.spawn(run).with_context(|| format!("cannot start the thread {name}"))?;
    Ok(ended)
}

/// The mesh on its thread; when this is dropped the thread ends.
pub struct MeshThread {
    /// The running mesh.
    pub handle: MeshHandle,
    /// Resolves when the thread ended.
    pub ended: Ended,
    _stay: oneshot::Sender<()>,
}

/// Starts the mesh on the thread `meshd-mesh`.
///
/// # Errors
///
/// The mesh could not be started.
pub async fn start_mesh(options: MeshOptions, manner: Manner) -> anyhow::Result<MeshThread> {
    let (ready, started) = oneshot::channel();
    let (stay, leave) = oneshot::channel();
    let body = move || async move {
        let mesh = mesh::start(options).await;
        let runs = mesh.is_ok();
        if ready.send(mesh).is_ok() && runs {
            // Until the sender is dropped; nothing is ever sent.
            let _: Result<(), _> = leave.await;
        }
        Ok(())
    };
    let ended = spawn("meshd-mesh", manner.unnamed(), body)?;
    let handle = started.await.context("the mesh's thread died as it started")??;
    Ok(MeshThread { handle, ended, _stay: stay })
}
