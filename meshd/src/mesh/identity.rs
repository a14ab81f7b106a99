//! Identities: the mesh's CA, and the certificate that makes a machine a member.
//!
//! A node's id follows from its public key, so a certificate cannot claim another node's id. All
//! certificates carry the DNS name [`SERVER_NAME`], which TLS checks, and a URI
//! `mesh://CLUSTER/NODE` for people who look at them. The cluster's id is the beginning of the CA
//! certificate's SHA-256, its name the CA's common name.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mesh_core::roster::State;
use mesh_wire::mesh::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
};
use ring::rand::SystemRandom;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::state_dir::{CA_CERT, CA_KEY, NODE_CERT, NODE_KEY, StateDir};
use super::token::{self, Token};
use crate::clock;

/// The name every mesh certificate carries and TLS checks: who it is follows from the key.
pub(super) const SERVER_NAME: &str = "director.mesh";

/// What makes this machine a member.
#[derive(Clone)]
pub struct Identity {
    /// Follows from the key.
    pub node: NodeId,
    /// The cluster's id: 16 hexadecimal digits.
    pub cluster: String,
    /// The cluster's name, for people.
    pub cluster_name: String,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) ca_certificate: CertificateDer<'static>,
    /// PKCS #8.
    pub(super) key: Vec<u8>,
    /// PKCS #8 as PEM, where this node may sign; voters get it while they run.
    ca_key: Arc<OnceLock<String>>,
    pub(super) state_dir: StateDir,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("node", &self.node)
            .field("cluster", &self.cluster)
            .field("signs", &self.signs())
            .field("state_dir", &self.state_dir.path())
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// Whether this node holds the CA's key: makes tokens, enrols others.
    pub fn signs(&self) -> bool {
        self.ca_key.get().is_some()
    }

    /// The CA's private key (PEM), where this node has it.
    pub(super) fn ca_key(&self) -> Option<String> {
        self.ca_key.get().cloned()
    }

    /// Keeps the CA's private key, on disk first.
    pub(super) fn keep_ca_key(&self, pem: &str) -> anyhow::Result<()> {
        check_ca_key(&self.ca_certificate, pem)?;
        self.state_dir.write(CA_KEY, pem)?;
        // Where it came from two voters at once, it is the same key.
        let _ = self.ca_key.set(pem.to_owned());
        Ok(())
    }

    pub(super) fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key.clone()).into()
    }

    /// Node and CA certificate: the CA goes along so that a joiner can find the one it pins.
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone(), self.ca_certificate.clone()]
    }

    /// A token that lets one machine join within `ttl`.
    pub fn create_token(&self, ttl: Duration) -> anyhow::Result<Token> {
        let Some(issuer) = self.token_issuer()? else {
            bail!("this node does not hold the CA key: create the token on a voter (`meshctl nodes` shows them)");
        };
        let nonce: [u8; 8] = ring::rand::generate(&SystemRandom::new())
            .map_err(|_| anyhow!("the kernel gave no random bytes"))?
            .expose();
        Ok(issuer.create(u64::from_be_bytes(nonce), clock::unix_time(), ttl))
    }

    /// Makes and checks tokens, where this node may.
    pub(super) fn token_issuer(&self) -> anyhow::Result<Option<token::Issuer>> {
        let Some(pem) = self.ca_key.get() else { return Ok(None) };
        let key = KeyPair::from_pem(pem).context("ca.key is damaged")?;
        Ok(Some(token::Issuer::new(&self.ca_certificate, key.serialized_der())))
    }

    /// Reads the identity of a member; `None` where there is none. One without its certificate is incomplete: it is
    /// no reason to go on as if there had never been a mesh.
    pub(super) fn load(state_dir: &Path) -> anyhow::Result<Option<(Identity, State)>> {
        let found = Identity::find(state_dir)?;
        if found.is_none() {
            StateDir::open(state_dir).is_empty_of_identity()?;
        }
        Ok(found)
    }

    /// The same for who joins: `None` also where a join was broken off, which goes on with what there is.
    pub(super) fn find(state_dir: &Path) -> anyhow::Result<Option<(Identity, State)>> {
        let dir = StateDir::open(state_dir);
        let Some(certificate) = dir.read(NODE_CERT)? else { return Ok(None) };
        dir.keep_private();
        let ca_certificate = dir.read_required(CA_CERT)?;
        let key = dir.read_required(NODE_KEY)?;
        let ca_key = dir.read(CA_KEY)?;
        let state = dir.read_roster()?;
        let identity = Identity::from_parts(dir, &certificate, &ca_certificate, &key, ca_key).with_context(|| {
            format!(
                "the identity in {} is damaged: restore it from a backup, or empty the directory and join again",
                state_dir.display()
            )
        })?;
        let roster = &state.roster;
        if let Some(epoch) = roster.removed_at(identity.node).filter(|_| roster.cluster == identity.cluster) {
            bail!(
                "this node was removed from the mesh by roster epoch {epoch}: to come back, empty {} and join with a new token (meshctl token create)",
                state_dir.display()
            );
        }
        ensure!(
            roster.cluster == identity.cluster && roster.member(identity.node).is_some(),
            "the roster in {} is not of this node's cluster {}: restore it from a backup, or empty the directory and join again",
            state_dir.display(),
            identity.cluster
        );
        Ok(Some((identity, state)))
    }

    /// From PEM texts, checked against each other.
    pub(super) fn from_parts(
        state_dir: StateDir,
        certificate: &str,
        ca_certificate: &str,
        key: &str,
        ca_key: Option<String>,
    ) -> anyhow::Result<Identity> {
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|error| anyhow!("{NODE_CERT} is no certificate: {error}"))?;
        let ca_certificate = CertificateDer::from_pem_slice(ca_certificate.as_bytes())
            .map_err(|error| anyhow!("{CA_CERT} is no certificate: {error}"))?;
        let key = KeyPair::from_pem(key).with_context(|| format!("{NODE_KEY} is no private key"))?;
        let node = node_of(&certificate)?;
        ensure!(node == node_of_key(&key), "{NODE_CERT} and {NODE_KEY} do not belong together");
        if let Some(pem) = &ca_key {
            check_ca_key(&ca_certificate, pem)?;
        }
        let cluster_name = common_name(&ca_certificate)?;
        Ok(Identity {
            node,
            cluster: cluster_of(&ca_certificate),
            cluster_name,
            certificate,
            ca_certificate,
            key: key.serialize_der(),
            ca_key: Arc::new(ca_key.map_or_else(OnceLock::new, OnceLock::from)),
            state_dir,
        })
    }
}

fn check_ca_key(ca_certificate: &[u8], pem: &str) -> anyhow::Result<()> {
    let ca_key = KeyPair::from_pem(pem).with_context(|| format!("{CA_KEY} is no private key"))?;
    ensure!(node_of(ca_certificate)? == node_of_key(&ca_key), "{CA_CERT} and {CA_KEY} do not belong together");
    Ok(())
}

/// A new mesh CA: certificate and key, both PEM.
pub(super) fn new_ca(cluster_name: &str) -> anyhow::Result<(String, String)> {
    let key = KeyPair::generate().context("no key could be generated")?;
    let mut params = undated();
    params.distinguished_name.push(DnType::CommonName, cluster_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let certificate = params.self_signed(&key).context("the CA certificate could not be made")?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// A certificate (PEM) for a public key, signed by the mesh CA. Only the key comes from the
/// requester.
pub(super) fn sign(ca: &CertificateDer<'_>, ca_key: &str, key: &impl PublicKeyData) -> anyhow::Result<String> {
    let node = node_of_key(key);
    let issuer = Issuer::from_ca_cert_der(ca, KeyPair::from_pem(ca_key)?)?;
    let mut params = undated();
    params.distinguished_name.push(DnType::CommonName, node.to_string());
    let uri = format!("mesh://{}/{node}", cluster_of(ca));
    params.subject_alt_names = vec![SanType::DnsName(SERVER_NAME.try_into()?), SanType::URI(uri.as_str().try_into()?)];
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(key, &issuer)?.pem())
}

/// The founder's certificate: as [`sign`], with its own private key and all of it PEM.
pub(super) fn sign_own(ca_certificate: &str, ca_key: &str, key: &str) -> anyhow::Result<String> {
    let ca = CertificateDer::from_pem_slice(ca_certificate.as_bytes())
        .map_err(|error| anyhow!("{CA_CERT} is no certificate: {error}"))?;
    sign(&ca, ca_key, &KeyPair::from_pem(key)?)
}

/// A certificate signing request (DER) for a key (PEM).
pub(super) fn signing_request(key: &str) -> anyhow::Result<Vec<u8>> {
    let key = KeyPair::from_pem(key).with_context(|| format!("{NODE_KEY} is no private key"))?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params.serialize_request(&key)?.der().to_vec())
}

/// The public key of a signing request whose signature holds.
pub(super) fn requested_key(csr: &[u8]) -> anyhow::Result<(NodeId, impl PublicKeyData + use<>)> {
    let key = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr))?.public_key;
    Ok((node_of_key(&key), key))
}

/// The node a certificate (DER) is about.
pub(super) fn node_of(certificate: &[u8]) -> anyhow::Result<NodeId> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).context("not a certificate")?;
    Ok(node_of_spki(parsed.public_key().raw))
}

fn node_of_key(key: &impl PublicKeyData) -> NodeId {
    node_of_spki(&key.subject_public_key_info())
}

fn node_of_spki(spki: &[u8]) -> NodeId {
    NodeId(u64::from_be_bytes(first_digest_bytes(spki)))
}

/// The id of the cluster with this CA certificate (DER).
pub(super) fn cluster_of(ca_certificate: &[u8]) -> String {
    format!("{:016x}", u64::from_be_bytes(first_digest_bytes(ca_certificate)))
}

fn first_digest_bytes(bytes: &[u8]) -> [u8; 8] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    std::array::from_fn(|i| digest.as_ref()[i])
}

fn common_name(certificate: &[u8]) -> anyhow::Result<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).context("not a certificate")?;
    let name = parsed.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
    match name {
        Some(name) => Ok(name.to_owned()),
        None => bail!("{CA_CERT} names no cluster"),
    }
}

/// Parameters with nothing but a validity, which is for ever: membership ends with the roster, and this host's clock may
/// be wrong.
fn undated() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);
    params
}

/// A certificate as it is kept in files.
pub(super) fn pem_of(certificate: &CertificateDer<'_>) -> String {
    let text = BASE64_STANDARD.encode(certificate);
    let lines: Vec<&str> = (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// A new private key (PEM).
pub(super) fn new_key() -> anyhow::Result<String> {
    Ok(KeyPair::generate().context("no key could be generated")?.serialize_pem())
}
