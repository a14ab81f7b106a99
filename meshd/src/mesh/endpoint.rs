//! Accepting connections: members with a certificate, joiners without one, nobody else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use mesh_wire::mesh::enrol::{ALPN_ENROL, ALPN_MESH};
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::counters::Counter;
use super::shared::{CLOSE_BUSY, CLOSE_NOT_A_MEMBER, FRAME_HELLO, Shared};
use super::{peer, seed};

/// Handshakes in progress at a time. Beyond a half, addresses have to be proven first; beyond all,
/// attempts are ignored (a member tries again by itself).
const MOST_HANDSHAKES: usize = 64;
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// Accepts until the endpoint is closed.
pub(super) async fn accept(shared: Arc<Shared>) -> anyhow::Result<()> {
    let slots = Arc::new(Semaphore::new(MOST_HANDSHAKES));
    while let Some(incoming) = shared.endpoint.accept().await {
        if slots.available_permits() < MOST_HANDSHAKES / 2 && incoming.may_retry() {
            // An attempt that cannot be answered is dropped like any other lost packet.
            let _ = incoming.retry();
            continue;
        }
        match slots.clone().try_acquire_owned() {
            Ok(slot) => drop(tokio::spawn(arrive(shared.clone(), incoming, slot))),
            Err(_) => incoming.ignore(),
        }
    }
    bail!("the UDP socket was closed")
}

async fn arrive(shared: Arc<Shared>, incoming: Incoming, slot: OwnedSemaphorePermit) {
    let from = incoming.remote_address();
    let connection = match timeout(HANDSHAKE_TIME, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return failed(&shared, &format!("{from}: {error}")),
        Err(_) => return failed(&shared, &format!("{from}: no end in time")),
    };
    match protocol(&connection).as_deref() {
        Some(ALPN_MESH) => {
            if let Err(error) = hand_over(&shared, connection).await {
                shared.counters.count(Counter::StrangersRefused);
                if shared.log_gate.open() {
                    warn!(%from, count = shared.counters.get(Counter::StrangersRefused), "connection refused: {error:#}");
                }
            }
        }
        Some(ALPN_ENROL) => match shared.enrolments.clone().try_acquire_owned() {
            Ok(turn) => {
                drop(slot);
                seed::serve(&shared, connection).await;
                drop(turn);
            }
            Err(_) => connection.close(CLOSE_BUSY, b"busy with other enrolments"),
        },
        // TLS lets none of these through.
        _ => failed(&shared, &format!("{from}: no known protocol")),
    }
}

/// Gives a member's connection to the task that owns this member, after telling it so.
async fn hand_over(shared: &Shared, connection: Connection) -> anyhow::Result<()> {
    let refuse = |why: &str| {
        connection.close(CLOSE_NOT_A_MEMBER, why.as_bytes());
        anyhow::anyhow!("{why}")
    };
    let node = peer::peer_node(&connection).map_err(|_| refuse("mesh/1 needs a member's certificate"))?;
    let roster = shared.roster();
    if roster.member(node).is_none() || node == shared.identity.node {
        return Err(refuse(&format!("node {node} is not in the roster (epoch {})", roster.epoch)));
    }
    let arrivals = shared.arrivals.get(&node).map(|sender| sender.clone());
    let arrivals = arrivals.ok_or_else(|| refuse("the roster is just changing"))?;
    let greeting = async {
        let mut hello = connection.open_uni().await?;
        hello.write_all(&[FRAME_HELLO]).await?;
        hello.finish()?;
        anyhow::Ok(())
    };
    if !matches!(timeout(HANDSHAKE_TIME, greeting).await, Ok(Ok(()))) {
        debug!(%node, "gone again");
        return Ok(());
    }
    arrivals.send(connection).await.ok().context("the roster is just changing")
}

fn protocol(connection: &Connection) -> Option<Vec<u8>> {
    connection.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol
}

fn failed(shared: &Shared, what: &str) {
    shared.counters.count(Counter::HandshakesFailed);
    if shared.log_gate.open() {
        warn!(count = shared.counters.get(Counter::HandshakesFailed), "handshake failed, {what}");
    }
}
