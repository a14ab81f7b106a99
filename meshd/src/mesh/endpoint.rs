//! Accepting connections: members with a certificate, joiners without one, nobody else.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use mesh_wire::mesh::codec;
use mesh_wire::mesh::enrol::{ALPN_ENROL, ALPN_MESH};
use mesh_wire::mesh::roster::Roster;
use quinn::crypto::rustls::HandshakeData;
use quinn::{Connection, ConnectionError, Incoming, TransportErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tracing::{debug, warn};

use super::counters::Counter;
use super::limits::{PerSource, Place};
use super::shared::{
    CLOSE_BUSY, CLOSE_NOT_A_MEMBER, CLOSE_REMOVED, ENROLMENTS_PER_SOURCE, FRAME_HELLO, FRAME_REMOVED, Shared,
};
use super::{peer, seed};

/// Handshakes in progress at a time. Beyond a half, addresses have to be proven first; beyond all,
/// attempts are ignored (a member tries again by itself).
const MOST_HANDSHAKES: usize = 64;
/// The same for one source address.
const HANDSHAKES_PER_SOURCE: usize = 8;
const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// Accepts until the endpoint is closed.
pub(super) async fn accept(shared: Arc<Shared>) -> anyhow::Result<()> {
    let slots = Arc::new(Semaphore::new(MOST_HANDSHAKES));
    let sources = PerSource::default();
    while let Some(incoming) = shared.endpoint.accept().await {
        // Whoever pretends to be a member must not take that member's places: half of them are for
        // addresses that were proven.
        let many = slots.available_permits() < MOST_HANDSHAKES / 2
            || sources.count(incoming.remote_address()) >= HANDSHAKES_PER_SOURCE / 2;
        if many && incoming.may_retry() {
            // An attempt that cannot be answered is dropped like any other lost packet.
            let _ = incoming.retry();
            continue;
        }
        let place = sources.take(incoming.remote_address(), HANDSHAKES_PER_SOURCE);
        match (slots.clone().try_acquire_owned(), place) {
            (Ok(slot), Some(place)) => drop(tokio::spawn(arrive(shared.clone(), incoming, (slot, place)))),
            _ => incoming.ignore(),
        }
    }
    bail!("the UDP socket was closed")
}

async fn arrive(shared: Arc<Shared>, incoming: Incoming, slot: (OwnedSemaphorePermit, Place)) {
    let from = incoming.remote_address();
    let connection = match timeout(HANDSHAKE_TIME, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) if is_left_over(&error) => {
            shared.counters.count(Counter::HandshakesFailed);
            return debug!(%from, "a packet of an attempt that is over");
        }
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
        Some(ALPN_ENROL) => {
            let place = shared.enrolling.take(from, ENROLMENTS_PER_SOURCE);
            match (shared.enrolments.clone().try_acquire_owned(), place) {
                (Ok(turn), Some(place)) => {
                    drop(slot);
                    seed::serve(&shared, connection).await;
                    drop((turn, place));
                }
                _ => connection.close(CLOSE_BUSY, b"busy with other enrolments"),
            }
        }
        // TLS lets none of these through.
        _ => failed(&shared, &format!("{from}: no known protocol")),
    }
}

/// Whether it is a packet of a handshake whose other packets were lost, or came while this node did not know of it:
/// what is sent again after a link came back is readable to nobody any more.
fn is_left_over(error: &ConnectionError) -> bool {
    // quinn's word where the first packet of what looks like an attempt cannot be decrypted.
    matches!(error, ConnectionError::TransportError(error)
        if error.code == TransportErrorCode::PROTOCOL_VIOLATION && error.reason == "authentication failed")
}

/// Gives a member's connection to the task that owns this member, after telling it so.
async fn hand_over(shared: &Shared, connection: Connection) -> anyhow::Result<()> {
    let refuse = |why: &str| {
        connection.close(CLOSE_NOT_A_MEMBER, why.as_bytes());
        anyhow::anyhow!("{why}")
    };
    let node = peer::peer_node(&connection).map_err(|_| refuse("mesh/1 needs a member's certificate"))?;
    let roster = shared.roster();
    if let Some(epoch) = roster.removed_at(node) {
        send_away(&connection, &roster).await;
        return Err(anyhow::anyhow!("node {node} was removed from the mesh (epoch {epoch})"));
    }
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

/// Tells a member that was removed so, with the roster that proves it.
async fn send_away(connection: &Connection, roster: &Roster) {
    let tell = async {
        let mut stream = connection.open_uni().await?;
        let mut frame = vec![FRAME_REMOVED];
        frame.extend(codec::encode_value(roster));
        stream.write_all(&frame).await?;
        stream.finish()?;
        stream.stopped().await?;
        anyhow::Ok(())
    };
    // Who does not listen tries again and is told again.
    let _ = timeout(Duration::from_secs(1), tell).await;
    connection.close(CLOSE_REMOVED, b"removed from the mesh");
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
