//! What travels over a mesh connection: frames, and requests.
//!
//! A frame is one byte that says what follows, then the value. It goes as a QUIC datagram where it
//! fits one, else as a unidirectional stream of its own. A request is a bidirectional stream, see
//! [`super::requests`].

use std::sync::Arc;
use std::time::Duration;

use mesh_core::Input;
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::codec;
use quinn::{Connection, ConnectionError, RecvStream};
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::debug;

use super::counters::Counter;
use super::requests;
use super::shared::{FRAME_GOSSIP, FRAME_MESSAGE, MAX_FRAME, Shared};

/// A stream that takes longer than this is given up, on both sides.
pub(super) const STREAM_TIME: Duration = Duration::from_secs(2);

/// Reads a connection until it is gone, to the last datagram: a node that stops says what matters
/// most right before it closes.
pub(super) async fn read(shared: Arc<Shared>, from: NodeId, connection: Connection) -> ConnectionError {
    let gone = read_all(&shared, from, &connection).await;
    // Datagrams that arrived before the end are still handed out, and then only errors.
    while let Ok(frame) = connection.read_datagram().await {
        receive(&shared, from, &frame);
    }
    gone
}

async fn read_all(shared: &Arc<Shared>, from: NodeId, connection: &Connection) -> ConnectionError {
    // As many as the transport lets the peer open at a time.
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            datagram = connection.read_datagram() => match datagram {
                Ok(frame) => receive(shared, from, &frame),
                Err(error) => return error,
            },
            stream = connection.accept_uni() => match stream {
                Ok(stream) => { streams.spawn(read_frame(shared.clone(), from, stream)); }
                Err(error) => return error,
            },
            stream = connection.accept_bi() => match stream {
                Ok((send, recv)) => { streams.spawn(requests::answer(shared.clone(), from, send, recv)); }
                Err(error) => return error,
            },
            Some(_) = streams.join_next() => {}
        }
    }
}

/// Sends a frame without waiting: as a datagram, or as a stream where it is too long for one.
pub(super) fn send(shared: &Arc<Shared>, to: NodeId, frame: Vec<u8>) {
    let Some(connection) = shared.peers.get(&to).map(|connection| connection.clone()) else {
        shared.counters.count(Counter::Unsent);
        return;
    };
    if connection.max_datagram_size().is_some_and(|max| frame.len() <= max) {
        if connection.send_datagram(frame.into()).is_err() {
            shared.counters.count(Counter::Unsent);
        }
        return;
    }
    stream(shared, to, connection, frame);
}

/// Sends a frame as a stream: later than a datagram, but again where it is lost.
pub(super) fn send_reliably(shared: &Arc<Shared>, to: NodeId, frame: Vec<u8>) {
    if let Some(connection) = shared.peers.get(&to).map(|connection| connection.clone()) {
        stream(shared, to, connection, frame);
    }
}

fn stream(shared: &Arc<Shared>, to: NodeId, connection: Connection, frame: Vec<u8>) {
    let Ok(permit) = shared.streams.clone().try_acquire_owned() else {
        shared.counters.count(Counter::Unsent);
        return;
    };
    shared.runtime.spawn(async move {
        let sent = timeout(STREAM_TIME, async {
            let mut stream = connection.open_uni().await?;
            stream.write_all(&frame).await?;
            stream.finish()?;
            stream.stopped().await?;
            anyhow::Ok(())
        });
        if !matches!(sent.await, Ok(Ok(()))) {
            debug!(%to, "a message was not delivered");
        }
        drop(permit);
    });
}

/// One frame from a peer. What cannot be decoded, or finds the queue full, is dropped and counted.
fn receive(shared: &Shared, from: NodeId, frame: &[u8]) {
    match frame.split_first() {
        Some((&FRAME_MESSAGE, body)) => match codec::decode(body) {
            Ok(message) => deliver(shared, Input::Message { from, message }),
            Err(error) => malformed(shared, from, &error),
        },
        Some((&FRAME_GOSSIP, body)) => {
            if let Err(error) = shared.gossip.receive(&shared.roster(), from, body) {
                malformed(shared, from, &error);
            }
        }
        Some((kind, _)) => malformed(shared, from, &format!("a frame of the unknown kind {kind}")),
        None => malformed(shared, from, &"an empty frame"),
    }
}

fn deliver(shared: &Shared, input: Input) {
    if let Err(TrySendError::Full(_)) = shared.inputs.try_send(input) {
        shared.counters.count(Counter::InputsDropped);
    }
}

fn malformed(shared: &Shared, from: NodeId, what: &dyn std::fmt::Display) {
    shared.counters.count(Counter::Malformed);
    if shared.log_gate.open() {
        let count = shared.counters.get(Counter::Malformed);
        tracing::warn!(%from, count, "malformed frame dropped: {what}");
    }
}

async fn read_frame(shared: Arc<Shared>, from: NodeId, mut stream: RecvStream) {
    match timeout(STREAM_TIME, stream.read_to_end(MAX_FRAME)).await {
        Ok(Ok(frame)) => receive(&shared, from, &frame),
        Ok(Err(error)) => malformed(&shared, from, &error),
        Err(_) => malformed(&shared, from, &"a stream that does not end"),
    }
}
