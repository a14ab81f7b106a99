//! The CA's private key goes to every voter but servers ([`Roster::enrols`]), so that each can enrol
//! others when the rest is gone.
//!
//! A member that became a voter asks the other voters for it, over the mesh: who asks is known by
//! its certificate, whether it votes by the roster.
//!
//! [`Roster::enrols`]: mesh_wire::mesh::roster::Roster::enrols

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::codec;
use mesh_wire::mesh::enrol::{CaKeyReply, CaKeyRequest, MAX_REPLY, Secret};
use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use super::shared::Shared;
use super::traffic::STREAM_TIME;

/// Before the voters are asked again.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Waits until this node votes and enrols, then asks until it has the key.
pub(super) async fn fetch(shared: Arc<Shared>) -> anyhow::Result<()> {
    let me = shared.identity.node;
    let mut rosters = shared.roster.subscribe();
    loop {
        let roster = rosters.borrow_and_update().clone();
        if roster.enrols(me) && shared.identity.ca_key().is_none() {
            for voter in roster.voters().filter(|m| m.id != me && roster.enrols(m.id)) {
                match ask(&shared, voter.id).await {
                    Ok(()) => {
                        info!(from = %voter.name, "this node votes: it got the CA key and can enrol others");
                        break;
                    }
                    Err(error) => debug!(voter = %voter.name, "gave no CA key: {error:#}"),
                }
            }
        }
        let again = async {
            if roster.enrols(me) && shared.identity.ca_key().is_none() {
                sleep(ASK_AGAIN).await;
            } else {
                std::future::pending().await
            }
        };
        tokio::select! {
            changed = rosters.changed() => changed?,
            () = again => {}
            () = shared.closing.cancelled() => return Ok(()),
        }
    }
}

/// The key for whoever asks for it, where it is one that enrols others.
pub(super) fn reply(shared: &Shared, to: NodeId) -> CaKeyReply {
    CaKeyReply { ca_key: shared.identity.ca_key().filter(|_| shared.roster().enrols(to)).map(Secret) }
}

async fn ask(shared: &Shared, voter: NodeId) -> anyhow::Result<()> {
    let connection = shared.peers.get(&voter).map(|connection| connection.clone()).context("not connected")?;
    let exchange = async {
        let (mut send, mut recv) = connection.open_bi().await?;
        send.write_all(&codec::encode_value(&CaKeyRequest)).await?;
        send.finish()?;
        anyhow::Ok(codec::decode_value::<CaKeyReply>(&recv.read_to_end(MAX_REPLY).await?)?)
    };
    let reply = timeout(STREAM_TIME, exchange).await.context("no answer in time")??;
    let Secret(key) = reply.ca_key.context("it has none, or knows this node as no voter")?;
    let identity = shared.identity.clone();
    tokio::task::spawn_blocking(move || identity.keep_ca_key(&key)).await.context("writing broke off")?
}
