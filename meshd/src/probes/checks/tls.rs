//! TLS towards real servers, TLS 1.2 and 1.3.
//!
//! Without `ca` no certificate is looked at, as keepalived has it: a check asks whether a server serves, by its
//! address, and not who it is. With `ca` the chain has to be sound and lead to one of its certificates, whatever
//! name is in it.
//!
//! TLS 1.0 and 1.1 (RFC 8996: not to be used) are not spoken: a server that knows nothing newer is down, and the
//! reason says so.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use mesh_config::model::Tls;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, ClientConfig, Error, PeerIncompatible, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::patience::Patience;

mod anybody;
mod chain;
pub(super) mod key;

/// What `SSL` says, read and ready; or why it cannot be used.
#[derive(Debug)]
pub(super) struct Client(Result<Arc<ClientConfig>, String>);

impl Client {
    pub(super) fn new(settings: &Tls) -> Client {
        Client(config(settings).map(Arc::new))
    }

    /// The handshake on a connection; without `sni` no name is sent.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        to: SocketAddr,
        sni: Option<&str>,
        patience: &Patience,
    ) -> Result<TlsStream<TcpStream>, String> {
        let config = self.0.as_ref().map_err(String::clone)?;
        let name = match sni {
            Some(name) => ServerName::try_from(name.to_owned()).map_err(|_| format!("`{name}` is no name for SNI"))?,
            // An address is never sent.
            None => ServerName::from(to.ip()),
        };
        let handshake = TlsConnector::from(Arc::clone(config)).connect(name, stream);
        patience.wait(async { handshake.await.map_err(words) }).await.map_err(|why| format!("TLS: {why}"))
    }
}

fn words(error: io::Error) -> io::Error {
    let old = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).is_some_and(|inner| {
        let refused = Error::AlertReceived(AlertDescription::ProtocolVersion);
        *inner == refused || *inner == Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13)
    });
    match error.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::other("connection closed"),
        _ if old => io::Error::other("the server speaks neither TLS 1.2 nor 1.3"),
        _ => error,
    }
}

/// Ready for handshakes.
pub(super) fn config(settings: &Tls) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let verifier = verifier(settings, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| error.to_string())?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match (&settings.certificate, &settings.key) {
        (None, _) => builder.with_no_client_auth(),
        (Some(certificate), key) => {
            // One file may hold both.
            let key = key.as_ref().unwrap_or(certificate);
            let chain = certificates(certificate)?;
            let secret = key::read(key, settings.password.as_ref())?;
            let own = builder.with_client_auth_cert(chain, secret);
            own.map_err(|error| format!("SSL: {} with {}: {error}", certificate.display(), key.display()))?
        }
    };
    // Each check shows that the whole handshake works.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn verifier(settings: &Tls, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let Some(ca) = &settings.ca else {
        return Ok(Arc::new(anybody::Anybody::new(provider)));
    };
    let mut roots = RootCertStore::empty();
    let own = certificates(ca)?;
    for certificate in &own {
        roots.add(certificate.clone()).map_err(|error| format!("SSL ca {}: {error}", ca.display()))?;
    }
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    let inner = inner.map_err(|error| format!("SSL ca {}: {error}", ca.display()))?;
    Ok(Arc::new(chain::Chain::new(inner, own)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(found) if found.is_empty() => Err(format!("SSL: {} holds no certificate", path.display())),
        read => read.map_err(|error| format!("SSL: {}: {error}", path.display())),
    }
}
