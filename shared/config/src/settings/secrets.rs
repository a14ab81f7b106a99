//! Keys, so that another director can tell whether it has the same ones, and nothing else.

use std::collections::BTreeMap;
use std::fmt;

use mesh_wire::mesh::tag;
use serde::{Deserialize, Serialize};

use crate::model::{Config, VirtualRouter};

/// What tags are made with, anew for each answer: tags of two answers say nothing about each other.
pub type Nonce = [u8; 32];

/// Tags of the keys of a configuration. Passwords are short, and whoever has a tag can try them all: only
/// a director gets them, over a connection of its own, and they are neither kept nor shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// What they are made with.
    pub nonce: Nonce,
    /// By router and key: `auth_pass`, or the number of an `auth_hmac` key.
    pub tags: BTreeMap<String, BTreeMap<String, String>>,
}

/// The setting that `auth_pass` is.
const PASSWORD: &str = "auth_pass";

/// What the setting that a key of `auth_hmac` is begins with; its number follows.
const KEY: &str = "auth_hmac key ";

/// No debug output shows tags.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets(…)")
    }
}

impl Config {
    /// Tags of its keys.
    pub fn secrets(&self, nonce: Nonce) -> Secrets {
        let tags = self.routers.iter().map(|router| (router.key.to_string(), tags(router, &nonce)));
        Secrets { nonce, tags: tags.filter(|(_, tags)| !tags.is_empty()).collect() }
    }
}

impl Secrets {
    /// Those of one router.
    pub fn of(&self, router: &str) -> Option<&BTreeMap<String, String>> {
        self.tags.get(router)
    }

    /// The tag of a router's `auth_pass`.
    pub fn password(&self, router: &str) -> Option<&str> {
        self.of(router)?.get(PASSWORD).map(String::as_str)
    }

    /// The tag of a router's key of this number.
    pub fn key(&self, router: &str, number: u8) -> Option<&str> {
        self.keys(router).find(|(is, _)| *is == number).map(|(_, tag)| tag)
    }

    /// The tags of a router's keys of `auth_hmac`, by number.
    pub fn keys<'s>(&'s self, router: &str) -> impl Iterator<Item = (u8, &'s str)> + use<'s> {
        let numbered = |(name, tag): (&String, &'s String)| Some((name.strip_prefix(KEY)?.parse().ok()?, tag.as_str()));
        self.of(router).into_iter().flatten().filter_map(numbered)
    }
}

fn tags(router: &VirtualRouter, nonce: &Nonce) -> BTreeMap<String, String> {
    let password = router.auth_pass.map(|password| (PASSWORD.to_owned(), tag(nonce, &password.0)));
    let keys = router.auth_hmac.iter().flat_map(|hmac| &hmac.keys);
    let keys = keys.map(|(number, key)| (format!("{KEY}{number}"), tag(nonce, key.reveal())));
    password.into_iter().chain(keys).collect()
}
