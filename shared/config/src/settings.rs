//! What all directors have to agree on, setting by setting. The digest is made of it, and where digests
//! differ, directors compare these lists.
//!
//! Priority, interface, state and name may differ from host to host, and so may checks and scripts. No
//! secret is in it: see [`Secrets`].

use std::collections::BTreeMap;

use mesh_wire::fnv;
use serde::{Deserialize, Serialize};

mod adverts;
mod router;
mod secrets;
mod service;

pub use self::adverts::{Adverts, Mode, OldChecksum, Signing};
pub use self::secrets::{Nonce, Secrets};
use crate::model::Config;

/// What one director has to agree on with the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// By the name that all directors have for it: a router's key, what a virtual server listens for.
    pub subjects: BTreeMap<String, Subject>,
}

/// A virtual router or a virtual server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// How people call it on that director.
    pub name: String,
    /// What is set, by the word of the configuration.
    pub settings: BTreeMap<String, Setting>,
    /// How a virtual router sends, and what it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adverts: Option<Adverts>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// In words.
    pub value: String,
    /// It is what it is where nothing is said: not in the digest, which does not change when a version
    /// knows another setting.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub usual: bool,
}

/// Settings as they are listed.
type List = BTreeMap<String, Setting>;

/// Adds one.
fn put(list: &mut List, word: impl Into<String>, value: impl Into<String>, usual: bool) {
    list.insert(word.into(), Setting { value: value.into(), usual });
}

/// Adds one that is a choice; no is usual.
fn flag(list: &mut List, word: &str, set: bool) {
    put(list, word, if set { "yes" } else { "no" }, !set);
}

/// In one order, whatever that of the file.
fn sorted(parts: impl Iterator<Item = String>) -> Vec<String> {
    let mut parts: Vec<String> = parts.collect();
    parts.sort_unstable();
    parts
}

/// A list in words.
fn listed(parts: &[String]) -> String {
    if parts.is_empty() { "none".to_owned() } else { parts.join(" ") }
}

impl Config {
    /// What this configuration has to agree on with those of other directors.
    pub fn settings(&self) -> Settings {
        let routers = self.routers.iter().map(|router| (router.key.to_string(), self.router_subject(router)));
        let services = self.virtual_servers.iter().map(service::subject);
        Settings { subjects: routers.chain(services).collect() }
    }
}

impl Settings {
    /// Sixteen hexadecimal digits: the same over versions of this program and over hosts. It guards
    /// against drift, not against an attacker.
    pub fn digest(&self) -> String {
        let mut text = String::new();
        for (key, subject) in &self.subjects {
            text.push_str(key);
            for (word, setting) in subject.settings.iter().filter(|(_, setting)| !setting.usual) {
                text.extend([";", word, "=", &setting.value]);
            }
            text.push('\n');
        }
        format!("{:016x}", fnv::hash(text.as_bytes()))
    }

    /// Whether it matters how others are configured though digests are equal: keys, peers, TTLs and
    /// checksums have to fit those of others, and are in no digest.
    pub fn has_to_fit(&self) -> bool {
        self.subjects.values().any(|subject| subject.adverts.as_ref().is_some_and(Adverts::has_to_fit))
    }
}

#[cfg(test)]
mod tests;
