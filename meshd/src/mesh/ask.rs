//! Questions of one node to another about what it remembers, as JSON, each on a stream of its own.
//!
//! They are no part of the lease protocol, and readers ignore what they do not know: nodes of different
//! versions understand each other. One that knows no such questions closes the stream.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use mesh_control::story::Question;
use mesh_core::Input;
use mesh_core::drift::Description;
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::roster::Role;
use quinn::SendStream;
use tokio::time::timeout;

use super::MeshHandle;
use super::shared::Shared;
use super::traffic::STREAM_TIME;
use crate::telemetry::Archive;

/// The first byte of a question, by which it is told from other requests: it is a JSON string or object.
const FIRST: [u8; 2] = [b'{', b'"'];
/// The longest answer; a thousand virtual servers with ten real servers each take a quarter of it.
const MAX_ANSWER: usize = 4 << 20;
/// How long a director may take to tell how it is configured.
const SETTINGS_TIME: Duration = Duration::from_secs(3);
/// Questions answered at a time; the others wait for at most as long as a stream may take.
pub(super) const MOST_QUESTIONS: usize = 8;

impl MeshHandle {
    /// Answers questions of other nodes from now on.
    pub fn answer_from(&self, archive: Archive) {
        // Only the first counts: there is one archive.
        let _ = self.shared.archive.set(archive);
    }

    /// Asks another node; the answer is JSON.
    ///
    /// # Errors
    /// It is not connected, or breaks off, or knows no such questions.
    pub async fn ask(&self, node: NodeId, question: &Question) -> anyhow::Result<Vec<u8>> {
        let connection = self.shared.peers.get(&node).map(|connection| connection.clone()).context("not connected")?;
        let (mut send, mut recv) = connection.open_bi().await?;
        send.write_all(&serde_json::to_vec(question)?).await?;
        send.finish()?;
        let answer = recv.read_to_end(MAX_ANSWER).await?;
        ensure!(!answer.is_empty(), "it is of a version that remembers nothing");
        Ok(answer)
    }
}

impl MeshHandle {
    /// Asks a director how it is configured; the engine is told. Where the queue has no room it asks again.
    pub(crate) fn ask_settings(&self, node: NodeId) {
        let mesh = self.clone();
        self.shared.runtime.spawn(async move {
            let asked = timeout(SETTINGS_TIME, mesh.ask(node, &Question::Settings)).await;
            let asked = asked.unwrap_or_else(|_| bail!("no answer within {SETTINGS_TIME:?}"));
            let read = |bytes: Vec<u8>| Ok(serde_json::from_slice::<Description>(&bytes)?);
            let answer = asked.and_then(read).map(Box::new).map_err(|error| format!("{error:#}"));
            let _ = mesh.shared.inputs.try_send(Input::Settings { node, answer });
        });
    }
}

/// Whether a request is a question.
pub(super) fn is_question(request: &[u8]) -> bool {
    request.first().is_some_and(|byte| FIRST.contains(byte))
}

/// Answers one.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    from: NodeId,
    request: &[u8],
    send: &mut SendStream,
) -> anyhow::Result<()> {
    let question: Question = serde_json::from_slice(request)?;
    let role = shared.roster().member(from).map(|member| member.role);
    let told = matches!(role, Some(Role::Director | Role::Witness));
    ensure!(told || question != Question::Settings, "only directors and witnesses are told how others are configured");
    let archive = shared.archive.get().context("nothing is remembered yet")?;
    let _place = timeout(STREAM_TIME, shared.questions.acquire()).await.context("too many questions")??;
    let answer = match question {
        Question::Settings if role == Some(Role::Witness) => archive.settings_without_keys().await?,
        _ => archive.answer(question).await?,
    };
    ensure!(answer.len() <= MAX_ANSWER, "an answer of {} bytes", answer.len());
    timeout(STREAM_TIME, send.write_all(&answer)).await??;
    send.finish()?;
    Ok(())
}
