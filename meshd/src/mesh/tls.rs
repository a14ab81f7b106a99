//! TLS: who is let in, and whom a joiner believes.
//!
//! One server configuration serves both protocols: a client certificate is optional for TLS, where
//! there is one it has to come from the mesh CA, and `mesh/1` without one is closed by the
//! endpoint. No session is resumed and nothing is sent early: every connection shows its
//! certificate, and no message can be replayed. Dates in certificates mean nothing (see [`super::undated`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use mesh_wire::mesh::enrol::{ALPN_ENROL, ALPN_MESH};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::identity::Identity;
use super::token::{Fingerprint, fingerprint};
use super::undated::{Undated, time_of};

/// A connection on which nothing is heard for this long is lost: the fast failure detector. Three
/// keep-alives fit, and QUIC itself waits three probe timeouts at least.
const IDLE: Duration = Duration::from_millis(300);
const KEEP_ALIVE: Duration = Duration::from_millis(100);
/// The default, 333 ms, is made for the Internet; this one makes handshakes retry soon enough.
const INITIAL_RTT: Duration = Duration::from_millis(20);
/// Datagrams waiting to be sent, per connection, in bytes; the oldest are dropped first.
const DATAGRAM_BUFFER: usize = 1024 * 1024;
/// What `Connection::datagram_send_buffer_space` says when nothing waits: QUIC accounts four words
/// for each datagram besides its bytes, also for the one that could be sent next.
pub(super) const DATAGRAM_BUFFER_EMPTY: usize = DATAGRAM_BUFFER - 4 * size_of::<usize>();

/// How every mesh connection behaves.
fn transport() -> Arc<quinn::TransportConfig> {
    let mut config = quinn::TransportConfig::default();
    config
        .max_idle_timeout(Some(IDLE.try_into().expect("300 ms fit a QUIC integer")))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .initial_rtt(INITIAL_RTT)
        .datagram_send_buffer_size(DATAGRAM_BUFFER)
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .max_concurrent_uni_streams(32u8.into())
        .max_concurrent_bidi_streams(8u8.into());
    Arc::new(config)
}

/// For accepting: members with their certificates, and joiners without one.
pub(super) fn server(identity: &Identity) -> anyhow::Result<quinn::ServerConfig> {
    let mut config = accepting(identity, Arc::new(DefaultTimeProvider))?;
    config.alpn_protocols = vec![ALPN_MESH.to_vec(), ALPN_ENROL.to_vec()];
    config.send_tls13_tickets = 0;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config)?));
    config.transport_config(transport()).max_incoming(256).migration(false);
    Ok(config)
}

/// Whom a node accepts. (What the clock shows matters to no verdict.)
pub(super) fn accepting(identity: &Identity, clock: Arc<dyn TimeProvider>) -> anyhow::Result<rustls::ServerConfig> {
    let clients = WebPkiClientVerifier::builder_with_provider(roots(&identity.ca_certificate)?, provider())
        .allow_unauthenticated()
        .build()
        .context("the CA certificate cannot verify members")?;
    Ok(rustls::ServerConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(Arc::new(Undated(clients)))
        .with_single_cert(identity.chain(), identity.private_key())?)
}

/// Whom a node believes when it dials, and as whom. (The same.)
pub(super) fn dialling(identity: &Identity, clock: Arc<dyn TimeProvider>) -> anyhow::Result<rustls::ClientConfig> {
    let servers = WebPkiServerVerifier::builder_with_provider(roots(&identity.ca_certificate)?, provider())
        .build()
        .context("the CA certificate cannot verify members")?;
    Ok(rustls::ClientConfig::builder_with_details(provider(), clock)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Undated(servers)))
        .with_client_auth_cert(identity.chain(), identity.private_key())?)
}

/// For dialling members.
pub(super) fn member_client(identity: &Identity) -> anyhow::Result<quinn::ClientConfig> {
    let mut config = dialling(identity, Arc::new(DefaultTimeProvider))?;
    config.alpn_protocols = vec![ALPN_MESH.to_vec()];
    quic_client(config)
}

/// For a joiner: believes the CA with this fingerprint and nobody else.
pub(super) fn joiner_client(pin: Arc<Pin>) -> anyhow::Result<quinn::ClientConfig> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(pin)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_ENROL.to_vec()];
    quic_client(config)
}

fn quic_client(mut config: rustls::ClientConfig) -> anyhow::Result<quinn::ClientConfig> {
    config.resumption = Resumption::disabled();
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config)?));
    config.transport_config(transport());
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(ca: &CertificateDer<'static>) -> anyhow::Result<Arc<RootCertStore>> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone()).context("ca.crt is no CA certificate")?;
    Ok(Arc::new(roots))
}

/// Verifies a seed by the CA fingerprint in the token: the CA has to be in the chain it presents,
/// and has to have signed its certificate.
#[derive(Debug)]
pub(super) struct Pin {
    fingerprint: Fingerprint,
    provider: Arc<CryptoProvider>,
    other_cluster: AtomicBool,
}

impl Pin {
    /// Pins the CA with this fingerprint.
    pub(super) fn new(fingerprint: Fingerprint) -> Arc<Pin> {
        Arc::new(Pin { fingerprint, provider: provider(), other_cluster: AtomicBool::new(false) })
    }

    /// Whether a seed showed another CA.
    pub(super) fn saw_other_cluster(&self) -> bool {
        self.other_cluster.load(Ordering::Relaxed)
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(ca) = intermediates.iter().find(|ca| fingerprint(ca) == self.fingerprint) else {
            self.other_cluster.store(true, Ordering::Relaxed);
            return Err(CertificateError::UnknownIssuer.into());
        };
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, time_of(end_entity)?)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
