//! Connections with limits: how many, and how long one may stall.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};
use tracing::warn;

/// A listener that accepts no more than there are slots.
pub(super) struct Limited<L> {
    listener: L,
    slots: Arc<Semaphore>,
    stalled: Duration,
}

impl<L> Limited<L> {
    /// `stalled`: see [`Connection`].
    pub(super) fn new(listener: L, slots: Arc<Semaphore>, stalled: Duration) -> Limited<L> {
        Limited { listener, slots, stalled }
    }
}

/// What connections come from.
pub(super) trait Accept: Send + 'static {
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    type Addr: Send;

    fn accept(&mut self) -> impl Future<Output = io::Result<(Self::Stream, Self::Addr)>> + Send;

    fn local_addr(&self) -> io::Result<Self::Addr>;
}

impl Accept for UnixListener {
    type Stream = UnixStream;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> io::Result<(UnixStream, Self::Addr)> {
        UnixListener::accept(self).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        UnixListener::local_addr(self)
    }
}

impl Accept for TcpListener {
    type Stream = TcpStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> io::Result<(TcpStream, Self::Addr)> {
        TcpListener::accept(self).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        TcpListener::local_addr(self)
    }
}

impl<L: Accept> Listener for Limited<L> {
    type Io = Connection<L::Stream>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Connection<L::Stream>, L::Addr) {
        let slot = Arc::clone(&self.slots).acquire_owned().await.expect("the slots are never closed");
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => return (Connection::new(stream, self.stalled, slot), peer),
                Err(error) => {
                    // Out of descriptors or memory, or the client is gone again.
                    warn!("control: accept: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<L::Addr> {
        self.listener.local_addr()
    }
}

/// A connection that fails once nothing could be written to it for `stalled`. Every request ends in an answer
/// and every watcher is written to regularly, so this one limit covers clients that send slowly, send nothing,
/// or do not read.
pub(super) struct Connection<S> {
    stream: S,
    stalled: Duration,
    deadline: Pin<Box<Sleep>>,
    _slot: OwnedSemaphorePermit,
}

impl<S> Connection<S> {
    pub(super) fn new(stream: S, stalled: Duration, slot: OwnedSemaphorePermit) -> Connection<S> {
        Connection { stream, stalled, deadline: Box::pin(sleep(stalled)), _slot: slot }
    }

    fn poll_stalled<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.deadline.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Connection<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(cx, buffer) {
            Poll::Pending => self.poll_stalled(cx),
            ready => ready,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Pending => self.poll_stalled(cx),
            written => {
                let deadline = Instant::now() + self.stalled;
                self.deadline.as_mut().reset(deadline);
                written
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
