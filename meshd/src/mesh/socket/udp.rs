//! The UDP socket below QUIC, as quinn makes it, but for what it counts: datagrams that are not ours, and packets that
//! the kernel refuses to send. quinn writes the system call's error into the log; here it is told in words, by whom
//! they were for.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use mesh_core::Instant;
use nix::errno::Errno;
use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tracing::warn;

use super::Cids;
use crate::clock;
use crate::mesh::counters::{Counter, Counters};

/// Between two lines about packets to one address.
const TELL: Duration = Duration::from_secs(60);
/// Addresses that are remembered; strangers are answered, too.
const MOST_ADDRESSES: usize = 128;

pub(super) struct Udp {
    io: tokio::net::UdpSocket,
    state: UdpSocketState,
    cids: Cids,
    counters: Arc<Counters>,
    told: Mutex<Told>,
}

impl Udp {
    pub(super) fn new(socket: UdpSocket, cids: Cids, counters: Arc<Counters>) -> io::Result<Udp> {
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Udp { io: tokio::net::UdpSocket::from_std(socket)?, state, cids, counters, told: Mutex::default() })
    }

    /// Counts what was received and is no QUIC of ours.
    fn count_foreign(&self, bufs: &[IoSliceMut<'_>], meta: &[RecvMeta]) {
        for (buf, meta) in bufs.iter().zip(meta) {
            // One buffer may hold several datagrams of equal length (GRO).
            let datagrams = buf[..meta.len.min(buf.len())].chunks(meta.stride.max(1));
            for _ in datagrams.filter(|datagram| !self.cids.concerns_us(datagram)) {
                self.counters.count(Counter::ForeignDatagrams);
            }
        }
    }

    /// A packet is lost, as if by the network: QUIC sends it again.
    fn refused(&self, to: SocketAddr, error: &io::Error) {
        self.counters.count(Counter::SendsRefused);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_news(clock::now(), to) {
            let count = self.counters.get(Counter::SendsRefused);
            warn!(%to, count, "this host does not send to {to}: {}", words(error));
        }
    }
}

/// The kernel's reason, without its number.
fn words(error: &io::Error) -> String {
    let reason = error.raw_os_error().map(|number| Errno::from_raw(number).desc().to_owned());
    reason.unwrap_or_else(|| error.to_string())
}

/// When it was told last that an address cannot be sent to.
#[derive(Default)]
struct Told(BTreeMap<SocketAddr, Instant>);

impl Told {
    fn is_news(&mut self, now: Instant, to: SocketAddr) -> bool {
        if self.0.get(&to).is_some_and(|at| now.since(*at) < TELL) {
            return false;
        }
        if self.0.len() >= MOST_ADDRESSES {
            self.0.retain(|_, at| now.since(*at) < TELL);
        }
        // Beyond them the counter tells.
        self.0.len() < MOST_ADDRESSES && self.0.insert(to, now).is_none_or(|at| now.since(at) >= TELL)
    }
}

impl fmt::Debug for Udp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}

impl AsyncUdpSocket for Udp {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller { socket: self, waits: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        match self.io.try_io(Interest::WRITABLE, || self.state.try_send((&self.io).into(), transmit)) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(error),
            // Probes of the path's MTU are refused where it is smaller.
            Err(error) if error.raw_os_error() == Some(nix::libc::EMSGSIZE) => Ok(()),
            Err(error) => {
                self.refused(transmit.destination, &error);
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.io.poll_recv_ready(cx))?;
            let received = self.io.try_io(Interest::READABLE, || self.state.recv((&self.io).into(), bufs, meta));
            // An error is that of an earlier packet, which its neighbour had no port for.
            if let Ok(count) = received {
                self.count_foreign(bufs, &meta[..count]);
                return Poll::Ready(Ok(count));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    fn max_transmit_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.state.gro_segments()
    }
}

type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// Waits for room; each connection has its own, because the socket itself wakes only the last that waits.
struct Poller {
    socket: Arc<Udp>,
    waits: Option<Writable>,
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket.fmt(f)
    }
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.socket.clone();
        let waits = self.waits.get_or_insert_with(|| Box::pin(async move { socket.io.writable().await }));
        let writable = ready!(waits.as_mut().poll(cx));
        self.waits = None;
        Poll::Ready(writable)
    }
}

#[cfg(test)]
mod tests;
