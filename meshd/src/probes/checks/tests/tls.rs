use std::fs;
use std::path::{Path, PathBuf};

use mesh_config::model::{Secret, Tls};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::probes::checks::tls_complaint;

type Issuer = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Issuer {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key in PEM, for a name that no check asks for.
fn issued(by: &Issuer, until: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["somebody.example".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(until, 1, 1);
    (params.signed_by(&key, by).unwrap().pem(), key.serialize_pem())
}

fn read((certificate, key): &(String, String)) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
    (vec![certificate], PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
}

/// Answers with the name it was asked for as body, and closes without a word of TLS.
async fn serving(config: ServerConfig) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    server(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut read = [0; 4096];
            if stream.read(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
            let name = stream.get_ref().1.server_name().unwrap_or("none").to_owned();
            let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\n\r\n{name}").as_bytes()).await;
            let _ = stream.flush().await;
        }
    })
    .await
}

fn plain(identity: &(String, String)) -> ServerConfig {
    let (chain, key) = read(identity);
    builder().with_no_client_auth().with_single_cert(chain, key).unwrap()
}

fn builder() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap()
}

/// A server that wants certificates which this authority issued.
async fn wanting_certificates(of: &Issuer) -> SocketAddr {
    let mut roots = RootCertStore::empty();
    roots.add(of.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let wants = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let (chain, key) = read(&issued(of, 4000));
    serving(builder().with_client_cert_verifier(wants).with_single_cert(chain, key).unwrap()).await
}

fn ssl(to: SocketAddr, body: &str, sni: Option<&str>) -> Check {
    let regex = mesh_config::model::Regex {
        pattern: format!("^{body}$"),
        options: Vec::new(),
        no_match: false,
        offsets: (0, None),
    };
    let url = Url { regex: Some(regex), ..Url::new("/") };
    let http = HttpCheck { sni: sni.map(str::to_owned), ..HttpCheck::new(true, vec![url]) };
    check(CheckKind::Http(http), to)
}

async fn with(check: Check, tls: Tls) -> Outcome {
    ask_step(check, 0, CheckerSettings { tls, ..CheckerSettings::default() }).await
}

fn file(directory: &Path, name: &str, text: &str) -> Option<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    Some(path)
}

#[tokio::test]
async fn any_certificate_will_do_without_ca() {
    let authority = authority("ours");
    for until in [2000, 4000] {
        let to = serving(plain(&issued(&authority, until))).await;
        assert_eq!(with(ssl(to, "none", None), Tls::default()).await, Outcome::Success, "until {until}");
    }
}

#[tokio::test]
async fn the_name_is_sent_where_sni_is_on() {
    let to = serving(plain(&issued(&authority("ours"), 4000))).await;
    assert_eq!(ask(ssl(to, "www.example", Some("www.example"))).await, Outcome::Success);
    assert_eq!(ask(ssl(to, "x", Some("not a name"))).await, failure("`not a name` is no name for SNI"));
}

#[tokio::test]
async fn with_ca_the_chain_counts_and_the_name_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let (ours, theirs) = (authority("ours"), authority("theirs"));
    let tls = Tls { ca: file(directory.path(), "ca.pem", &ours.pem()), ..Tls::default() };
    let to = serving(plain(&issued(&ours, 4000))).await;
    assert_eq!(with(ssl(to, "none", None), tls.clone()).await, Outcome::Success);
    let to = serving(plain(&issued(&theirs, 4000))).await;
    let unknown = failure("TLS: invalid peer certificate: UnknownIssuer");
    assert_eq!(with(ssl(to, "none", None), tls.clone()).await, unknown);
    let to = serving(plain(&issued(&ours, 2000))).await;
    let Outcome::Failure(why) = with(ssl(to, "none", None), tls).await else { panic!("it had expired") };
    assert!(why.starts_with("TLS: invalid peer certificate: certificate expired"), "{why}");
}

#[tokio::test]
async fn a_self_signed_certificate_may_be_its_own_ca() {
    let directory = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["a.example".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    let tls = Tls { ca: file(directory.path(), "ca.pem", &certificate), ..Tls::default() };
    let to = serving(plain(&(certificate, key.serialize_pem()))).await;
    assert_eq!(with(ssl(to, "none", None), tls).await, Outcome::Success);
}

#[tokio::test]
async fn our_own_certificate_is_shown_to_a_server_that_wants_one() {
    let directory = tempfile::tempdir().unwrap();
    let authority = authority("ours");
    let to = wanting_certificates(&authority).await;
    let (certificate, key) = issued(&authority, 4000);
    let own = Tls {
        certificate: file(directory.path(), "own.pem", &certificate),
        key: file(directory.path(), "key.pem", &key),
        ..Tls::default()
    };
    assert_eq!(with(ssl(to, "none", None), own).await, Outcome::Success);
    assert_ne!(with(ssl(to, "none", None), Tls::default()).await, Outcome::Success);
}

#[tokio::test]
async fn files_that_cannot_be_used_fail_each_check_and_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let to = nobody_answers_but_accepts().await;
    let missing = Tls { ca: Some("/nonexistent/ca.pem".into()), ..Tls::default() };
    let Outcome::Failure(why) = with(ssl(to, "x", None), missing.clone()).await else {
        panic!("there is no such file")
    };
    assert!(why.starts_with("SSL: /nonexistent/ca.pem: "), "{why}");
    assert_eq!(tls_complaint(&missing), Some(why));
    assert_eq!(tls_complaint(&Tls::default()), None);
    let empty = file(directory.path(), "empty.pem", "nothing");
    let why = format!("SSL: {} holds no certificate", empty.as_ref().unwrap().display());
    assert_eq!(with(ssl(to, "x", None), Tls { ca: empty, ..Tls::default() }).await, failure(&why));
}

/// Made by `openssl pkcs8 -topk8`, with PBKDF2 and with `-scrypt`; the password is `it is a test`.
const ENCRYPTED: [&str; 2] = [
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
     MIHsMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjZ5GL0G26OcQICCAAw\n\
     DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEH64LmxttnzVWgHttSRkBwoEgZCO\n\
     uS3cxNoa+RZ+CYiVMSw7DoIpEi0ar/cNYOXLSpG57xdB1JeiurtlK/r2eEO6wb4K\n\
     2i41mTUX124lMm12/0oRQ0bQ2S9jjaU1b/BMQ+B10vrgG2jZ3I/rnbVakttdrEe+\n\
     8nsa/Gwrx/VcLm6yg/Ax6TVdjcrrotTnJ3+nt3BQ4UaWoAdXcrPdFs6q5IgmISI=\n\
     -----END ENCRYPTED PRIVATE KEY-----\n",
    "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
     MIHkME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAgTndk42/hYFAICQAAC\n\
     AQgCAQEwHQYJYIZIAWUDBAEqBBDhJMy5WGI7GdI/nAQlPlOLBIGQ5VnI988leBpn\n\
     J5y3KMU28EgKLJ+b5NRnTCtNp0CjKnCn6cYiYcYlzdHYGpzntvPzzZ36PBSMhrH8\n\
     EuQOmfUHnRN7xSQWdfZ+NpijShmnI1QT2CqDE8rQF6QuFgBbJ8NI+vf/aLMtPRaN\n\
     8Wj87m/E6K2kkl6+2ArzMwwkD/lk8DH5QN1LyTLoKBsDrxKCFQ3y\n\
     -----END ENCRYPTED PRIVATE KEY-----\n",
];

fn with_key(directory: &Path, key: &str, password: Option<&str>) -> Tls {
    let certificate = issued(&authority("ours"), 4000).0;
    Tls {
        certificate: file(directory, "own.pem", &certificate),
        key: file(directory, "own.key", key),
        password: password.map(Secret::new),
        ..Tls::default()
    }
}

#[tokio::test]
async fn an_encrypted_key_is_used_with_its_password() {
    let directory = tempfile::tempdir().unwrap();
    let authority = authority("ours");
    for key in ENCRYPTED {
        let mut own = with_key(directory.path(), key, Some("it is a test"));
        let secret = crate::probes::checks::tls::key::read(own.key.as_deref().unwrap(), own.password.as_ref()).unwrap();
        let pair = KeyPair::try_from(&secret).unwrap();
        let params = CertificateParams::new(vec!["somebody.example".to_owned()]).unwrap();
        // The certificate may be in the same file.
        let both = params.signed_by(&pair, &authority).unwrap().pem() + key;
        (own.certificate, own.key) = (file(directory.path(), "own.pem", &both), None);
        let to = wanting_certificates(&authority).await;
        assert_eq!(with(ssl(to, "none", None), own).await, Outcome::Success);
    }
}

#[test]
fn a_key_that_cannot_be_decrypted_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let why = |key: &str, password| {
        let why = tls_complaint(&with_key(directory.path(), key, password)).expect("it cannot be used");
        why.replace(&directory.path().display().to_string(), "DIR")
    };
    assert_eq!(why(ENCRYPTED[0], None), "SSL: DIR/own.key: the key is encrypted, and there is no `password`");
    assert_eq!(why(ENCRYPTED[0], Some("another")), "SSL: DIR/own.key: the `password` does not fit the key");
    let old = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
               -----END EC PRIVATE KEY-----\n";
    assert_eq!(
        why(old, Some("x")),
        "SSL: DIR/own.key:2: a key encrypted as before PKCS #8; `openssl pkcs8 -topk8 -in DIR/own.key -out NEW` \
         converts it"
    );
    let cut = &ENCRYPTED[0].replace("MIHs", "MIH!");
    assert!(why(cut, Some("x")).starts_with("SSL: DIR/own.key: an encrypted key: "), "{}", why(cut, Some("x")));
    let triple_des = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
               MIGxMBwGCiqGSIb3DQEMAQMwDgQIHjiRbYz6jw8CAggABIGQaUuJJDm2LNPCu6Ca\n\
               GKMw7NmorYS6BIkN7nkETLBlcCdwHk1khZKdM/XzsQ9Kz9S5FTCR1K5iMKuLNons\n\
               j7oHgE1rpW/eRbCCGYBLixWIN3S1MIcJWY8kQ1usq0azhXyLlJWkagOnf85oLdcJ\n\
               UL+h36HGzlhCLJrGQhflRpRfx3fKXmaHHGQiasDkBNNHFhq4\n\
               -----END ENCRYPTED PRIVATE KEY-----\n";
    let known = why(triple_des, Some("it is a test"));
    let expected = "SSL: DIR/own.key: a key encrypted in a way that is not known here (";
    assert!(known.starts_with(expected) && known.ends_with("; `openssl pkcs8 -topk8` writes another"), "{known}");
}

/// An alert, and a server that goes on with TLS 1.0 all the same.
#[tokio::test]
async fn a_server_of_old_versions_only_is_told_apart() {
    let alert: &[u8] = &[21, 3, 1, 0, 2, 2, 70];
    let mut hello = vec![22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1];
    hello.extend([7; 32]);
    hello.extend([0, 0, 0x2f, 0]);
    for answer in [alert.to_vec(), hello] {
        let to = server(move |mut stream| {
            let answer = answer.clone();
            async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(&answer).await;
                let _ = stream.read(&mut [0; 4096]).await;
            }
        })
        .await;
        assert_eq!(ask(ssl(to, "x", None)).await, failure("TLS: the server speaks neither TLS 1.2 nor 1.3"));
    }
}

async fn nobody_answers_but_accepts() -> SocketAddr {
    server(|stream| async move {
        tokio::time::sleep(LONG).await;
        drop(stream);
    })
    .await
}

#[tokio::test]
async fn what_is_no_tls_fails() {
    let to = server(|mut stream| async move {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    let Outcome::Failure(why) = ask(ssl(to, "x", None)).await else { panic!("it spoke SMTP") };
    assert!(why.starts_with("TLS: "), "{why}");
    let to = server(|mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
    })
    .await;
    assert_eq!(ask(ssl(to, "x", None)).await, failure("TLS: connection closed"));
    let mut hangs = ssl(nobody_answers_but_accepts().await, "x", None);
    hangs.connect.timeout = SHORT;
    let (outcome, took) = timed(hangs).await;
    assert_eq!(outcome, failure("TLS: no answer in 0.2 s"));
    assert!(took >= SHORT, "{took:?}");
}
