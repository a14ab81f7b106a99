//! What this node knows about tokens: those it made since it was started, and those the roster
//! names. A token that was made elsewhere and not used yet is known to nobody but who has it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use mesh_control::TokenInfo;
use mesh_core::roster::Change;
use mesh_core::roster::change::LONGEST_TOKEN;
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::roster::{Roster, UNKNOWN_EXPIRY};

use super::{Fingerprint, Token, read};

/// Tokens remembered; the ones that expire first are forgotten first.
const MOST: usize = 256;

/// Tokens made here: when each expires, by nonce.
#[derive(Debug, Default)]
pub(in crate::mesh) struct Issued {
    expiry: Mutex<BTreeMap<u64, u64>>,
}

impl Issued {
    /// A token was made.
    pub(in crate::mesh) fn note(&self, token: &Token, now_unix: Duration) {
        let mut expiry = self.expiry.lock().unwrap_or_else(PoisonError::into_inner);
        expiry.retain(|_, expires| *expires > now_unix.as_secs());
        if expiry.len() >= MOST
            && let Some(first) = expiry.iter().min_by_key(|(_, expires)| **expires).map(|(nonce, _)| *nonce)
        {
            expiry.remove(&first);
        }
        expiry.insert(token.nonce, token.expires_unix);
    }

    /// All that is known, by id.
    pub(in crate::mesh) fn list(&self, roster: &Roster, now_unix: Duration) -> Vec<TokenInfo> {
        let expiry = self.expiry.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let known = |nonce: &u64| roster.used_tokens.iter().any(|t| t.nonce == *nonce);
        let open = expiry.iter().filter(|(nonce, expires)| !known(nonce) && **expires > now_unix.as_secs());
        let open = open.map(|(nonce, expires)| info(*nonce, *expires, "open", None));
        let name = |id| roster.member(id).map_or_else(|| id.to_string(), |m| m.name.clone());
        let used = roster.used_tokens.iter().map(|t| match t.by {
            Some(by) => info(t.nonce, t.expires_unix, "used", Some(name(by))),
            None if t.expires_unix == UNKNOWN_EXPIRY => info(t.nonce, t.expires_unix, "used", None),
            None => info(t.nonce, t.expires_unix, "revoked", None),
        });
        let mut all: Vec<TokenInfo> = open.chain(used).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    /// The change that makes a token useless: named by itself or by its id.
    pub(in crate::mesh) fn revocation(
        &self,
        token: &str,
        fingerprint: Fingerprint,
        now_unix: Duration,
    ) -> anyhow::Result<Change> {
        if let Ok(claims) = read(token) {
            ensure!(claims.fingerprint == fingerprint, "this token belongs to another cluster");
            return Ok(Change::RevokeToken { nonce: claims.nonce, expires_unix: claims.expires_unix });
        }
        let id: Option<NodeId> = token.parse().ok().filter(|_| token.len() == 16);
        let NodeId(nonce) = id.context("this is neither a token nor the id of one: see `meshctl token list`")?;
        let expiry = self.expiry.lock().unwrap_or_else(PoisonError::into_inner);
        // Made elsewhere: it cannot live for longer than any token does.
        let expires_unix = expiry.get(&nonce).copied().unwrap_or(now_unix.as_secs().saturating_add(LONGEST_TOKEN));
        Ok(Change::RevokeToken { nonce, expires_unix })
    }
}

fn info(nonce: u64, expires_unix: u64, state: &str, by: Option<String>) -> TokenInfo {
    let expires = i64::try_from(expires_unix).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    TokenInfo { id: NodeId(nonce).to_string(), expires: expires.map(|t| t.to_string()), state: state.to_owned(), by }
}

#[cfg(test)]
mod tests {
    use mesh_wire::mesh::roster::UsedToken;

    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn token(nonce: u64, ttl: u64) -> Token {
        super::super::Issuer::new(b"ca", b"key").create(nonce, NOW, Duration::from_secs(ttl))
    }

    #[test]
    fn tokens_are_listed_with_what_became_of_them() {
        let issued = Issued::default();
        for (nonce, ttl) in [(1, 60), (2, 60), (3, 0)] {
            issued.note(&token(nonce, ttl), NOW);
        }
        let used = |nonce, by| UsedToken { nonce, expires_unix: 1_800_000_060, by };
        let roster = Roster { used_tokens: vec![used(2, Some(NodeId(9))), used(4, None)], ..Roster::default() };
        let list: Vec<_> = issued.list(&roster, NOW).into_iter().map(|t| (t.id, t.state, t.by)).collect();
        let line =
            |n: u64, state: &str, by: Option<&str>| (NodeId(n).to_string(), state.to_owned(), by.map(str::to_owned));
        assert_eq!(list, [line(1, "open", None), line(2, "used", Some("0000000000000009")), line(4, "revoked", None)]);
        for nonce in 10..10 + 2 * MOST as u64 {
            issued.note(&token(nonce, 60), NOW);
        }
        assert_eq!(issued.expiry.lock().unwrap().len(), MOST);
    }

    #[test]
    fn a_token_is_revoked_by_itself_or_by_its_id() {
        let issued = Issued::default();
        let ours = super::super::fingerprint(b"ca");
        let known = token(7, 60);
        issued.note(&known, NOW);
        let change = Change::RevokeToken { nonce: 7, expires_unix: 1_800_000_060 };
        assert_eq!(issued.revocation(&known.text, ours, NOW).unwrap(), change);
        assert_eq!(issued.revocation("0000000000000007", ours, NOW).unwrap(), change);
        let elsewhere = Change::RevokeToken { nonce: 8, expires_unix: NOW.as_secs() + LONGEST_TOKEN };
        assert_eq!(issued.revocation("0000000000000008", ours, NOW).unwrap(), elsewhere);
        assert!(issued.revocation("7", ours, NOW).is_err());
        let foreign = issued.revocation(&known.text, [0; 16], NOW).unwrap_err().to_string();
        assert!(foreign.contains("another cluster"), "{foreign}");
    }
}
