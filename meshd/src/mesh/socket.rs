//! The mesh port: one UDP socket for everything, which counts what is not ours.
//!
//! QUIC drops what it cannot assign without a word. So that it shows up in the counters, our
//! connection ids carry a keyed checksum, and a datagram that neither carries one nor looks like
//! the beginning of a QUIC version 1 connection is counted. It is passed on all the same: QUIC
//! knows best what to do with it.

mod udp;

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use quinn::{ConnectionId, ConnectionIdGenerator};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use super::counters::Counters;

const CID: usize = 8;
const NONCE: usize = 4;
const QUIC_VERSION: u32 = 1;

/// Binds the mesh port.
pub(super) fn bind(listen: SocketAddr) -> anyhow::Result<UdpSocket> {
    match UdpSocket::bind(listen) {
        Ok(socket) => Ok(socket),
        Err(error) if error.kind() == ErrorKind::AddrInUse => bail!(
            "UDP port {} on {} is taken (is another meshd running here?): end what uses it, or choose another port with --listen {}:PORT",
            listen.port(),
            listen.ip(),
            listen.ip()
        ),
        Err(error) if error.kind() == ErrorKind::AddrNotAvailable => {
            bail!("{} is no address of this host: name one with --listen ADDR:PORT", listen.ip())
        }
        Err(error) => Err(error).with_context(|| format!("UDP {listen} cannot be opened: choose another --listen")),
    }
}

/// A QUIC endpoint on this socket. The `secret` makes a restarted node tell its peers at once that
/// their connections to its former self are over (RFC 9000 section 10.3), so it has to be the same
/// in every run of one node.
pub(super) fn endpoint(
    socket: UdpSocket,
    server: quinn::ServerConfig,
    secret: &[u8],
    counters: Arc<Counters>,
) -> anyhow::Result<quinn::Endpoint> {
    let key = |purpose: &[u8]| {
        let root = hmac::Key::new(hmac::HMAC_SHA256, secret);
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, purpose).as_ref())
    };
    let cids = Cids(key(b"connection ids"));
    let mut config = quinn::EndpointConfig::new(Arc::new(key(b"stateless resets")));
    let generator = cids.clone();
    config.cid_generator(move || Box::new(generator.clone())).supported_versions(vec![QUIC_VERSION]);
    let runtime = Arc::new(quinn::TokioRuntime);
    let socket = Arc::new(udp::Udp::new(socket, cids, counters).context("the UDP socket cannot be used")?);
    quinn::Endpoint::new_with_abstract_socket(config, Some(server), socket, runtime)
        .context("the QUIC endpoint cannot be started")
}

/// Connection ids: a random half, and its keyed checksum.
#[derive(Clone)]
struct Cids(hmac::Key);

impl Cids {
    fn checksum(&self, nonce: &[u8]) -> [u8; CID - NONCE] {
        let tag = hmac::sign(&self.0, nonce);
        std::array::from_fn(|i| tag.as_ref()[i])
    }

    /// Whether a datagram can belong to one of our connections or start one (RFC 9000 section 17).
    fn concerns_us(&self, datagram: &[u8]) -> bool {
        match datagram {
            [first, v0, v1, v2, v3, ..] if first & 0x80 != 0 => {
                let version = u32::from_be_bytes([*v0, *v1, *v2, *v3]);
                version == QUIC_VERSION || version == 0
            }
            [_, cid @ ..] if cid.len() >= CID => cid[NONCE..CID] == self.checksum(&cid[..NONCE]),
            _ => false,
        }
    }
}

impl ConnectionIdGenerator for Cids {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut cid = [0; CID];
        SystemRandom::new().fill(&mut cid[..NONCE]).expect("the kernel has a random source");
        let checksum = self.checksum(&cid[..NONCE]);
        cid[NONCE..].copy_from_slice(&checksum);
        ConnectionId::new(&cid)
    }

    fn cid_len(&self) -> usize {
        CID
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}
