//! The key of our own certificate, which may be encrypted: PKCS #8 with PBES2, as OpenSSL writes it (RFC 8018).
//!
//! What OpenSSL wrote before, `Proc-Type: 4,ENCRYPTED`, makes a key of a password by one round of MD5, which a guesser
//! does as quickly: it is refused, and how to convert it is said.

use std::fs;
use std::path::Path;

use mesh_config::model::Secret;
use pkcs8::pkcs5::Error::DecryptFailed;
use pkcs8::{EncryptedPrivateKeyInfoRef, Error, SecretDocument};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

/// The label of an encrypted key in PEM (RFC 7468 section 11).
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";
/// A header of the form before that (RFC 1421 section 4.6.1.1).
const OLD_FORM: &str = "Proc-Type: 4,ENCRYPTED";

/// Reads a key; why it cannot be used, with the file.
pub(in super::super) fn read(path: &Path, password: Option<&Secret>) -> Result<PrivateKeyDer<'static>, String> {
    let said = |why: String| format!("SSL: {}: {why}", path.display());
    let text = fs::read_to_string(path).map_err(|error| said(error.to_string()))?;
    if let Some(line) = text.lines().position(|line| line.trim_end() == OLD_FORM) {
        return Err(format!(
            "SSL: {file}:{}: a key encrypted as before PKCS #8; `openssl pkcs8 -topk8 -in {file} -out NEW` converts it",
            line + 1,
            file = path.display()
        ));
    }
    let Some(block) = encrypted(&text) else {
        return PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| said(error.to_string()));
    };
    let password = password.ok_or_else(|| said("the key is encrypted, and there is no `password`".to_owned()))?;
    decrypt(block, password).map_err(said)
}

/// The first encrypted key of a file, where no other key comes before it.
fn encrypted(text: &str) -> Option<&str> {
    let begin = text.find("PRIVATE KEY-----").and_then(|at| text[..at].rfind("-----BEGIN "))?;
    let block = text[begin..].strip_prefix("-----BEGIN ")?.strip_prefix(ENCRYPTED)?;
    let end = format!("-----END {ENCRYPTED}-----");
    let length = text[begin..].len() - block.len() + block.find(&end)? + end.len();
    Some(&text[begin..begin + length])
}

fn decrypt(block: &str, password: &Secret) -> Result<PrivateKeyDer<'static>, String> {
    let (_, document) = SecretDocument::from_pem(block).map_err(|error| format!("an encrypted key: {error}"))?;
    let unknown = |error: Error| {
        format!("a key encrypted in a way that is not known here ({error}); `openssl pkcs8 -topk8` writes another")
    };
    let key = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(unknown)?;
    let key = key.decrypt(password.reveal()).map_err(|error| match error {
        Error::EncryptedPrivateKey(DecryptFailed) | Error::Asn1(_) => "the `password` does not fit the key".to_owned(),
        error => unknown(error),
    })?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}
