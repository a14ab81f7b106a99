//! What other members ask for: each request is a bidirectional stream of its own, and either a question (see
//! [`super::ask`]) or for the CA's private key (see [`super::ca_key`]).

use std::sync::Arc;

use anyhow::{Context, ensure};
use mesh_wire::mesh::enrol::{CaKeyRequest, MAX_REPLY};
use mesh_wire::mesh::{NodeId, codec};
use quinn::{RecvStream, SendStream};
use tokio::time::timeout;
use tracing::debug;

use super::shared::Shared;
use super::traffic::STREAM_TIME;
use super::{ask, ca_key};

/// Answers one.
pub(super) async fn answer(shared: Arc<Shared>, from: NodeId, mut send: SendStream, mut recv: RecvStream) {
    let reply = async {
        let request =
            timeout(STREAM_TIME, recv.read_to_end(MAX_REPLY)).await.context("a stream that does not end")??;
        ensure!(shared.roster().member(from).is_some(), "not a member any more");
        if ask::is_question(&request) {
            return ask::answer(&shared, from, &request, &mut send).await;
        }
        let CaKeyRequest = codec::decode_value(&request)?;
        let reply = ca_key::reply(&shared, from);
        timeout(STREAM_TIME, send.write_all(&codec::encode_value(&reply))).await??;
        send.finish()?;
        anyhow::Ok(())
    };
    if let Err(error) = reply.await {
        debug!(%from, error = %format_args!("{error:#}"), "a request was not answered");
    }
}
