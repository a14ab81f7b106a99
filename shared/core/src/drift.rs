//! How two directors are configured, side by side: which settings differ that have to be equal, and which
//! adverts are lost because of it.

use std::collections::BTreeMap;

use mesh_config::settings::{Adverts, Secrets, Setting, Settings, Subject};
use mesh_control::drift::Differs;
use serde::{Deserialize, Serialize};

mod foresee;
#[cfg(test)]
mod tests;

pub use self::foresee::{Loss, Sender, foresee};

/// Differences that are kept of one director, at most; the others are counted.
pub const MOST_DIFFERENCES: usize = 100;

/// What a director tells another one that asks how it is configured.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// What all have to agree on.
    pub settings: Settings,
    /// Its keys, as tags.
    #[serde(default)]
    pub secrets: Secrets,
}

/// What came of comparing; no tag is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// What differs, [`MOST_DIFFERENCES`] at most.
    pub differences: Vec<Differs>,
    /// How many more.
    pub more: u64,
    /// The virtual routers both have, by key.
    pub routers: BTreeMap<String, Pair>,
}

/// One virtual router on the other director.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// How it sends and what it takes there.
    pub there: Adverts,
    /// Which keys both have, and whether these are equal.
    pub keys: Keys,
}

/// Which keys two directors have in common.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Both have the same `auth_pass`.
    pub password: bool,
    /// Keys of `auth_hmac` that both have, and whether they are equal.
    pub signing: BTreeMap<u8, bool>,
}

/// Compares what is configured here with what another director tells.
pub fn compare(node: &str, (here, secrets): (&Settings, &Secrets), there: &Description) -> Compared {
    let mut compared = Compared::default();
    let subjects = here.subjects.iter().map(|(key, subject)| (key, Some(subject), there.settings.subjects.get(key)));
    let others = there.settings.subjects.iter().filter(|(key, _)| !here.subjects.contains_key(*key));
    for (key, own, other) in subjects.chain(others.map(|(key, subject)| (key, None, Some(subject)))) {
        let name = own.or(other).map_or_else(String::new, |subject| subject.name.clone());
        let mut differs = |setting: Option<&str>, here: Option<&str>, there: Option<&str>| {
            compared.note(Differs {
                node: node.to_owned(),
                subject: key.clone(),
                name: name.clone(),
                setting: setting.map(str::to_owned),
                than: None,
                here: here.map(str::to_owned),
                there: there.map(str::to_owned),
            });
        };
        match (own, other) {
            (Some(own), Some(other)) => {
                settings(own, other, &mut differs);
                keys(key, secrets, &there.secrets, &mut differs);
                if let Some(adverts) = &other.adverts {
                    let keys = in_common(key, secrets, &there.secrets);
                    compared.routers.insert(key.clone(), Pair { there: adverts.clone(), keys });
                }
            }
            (own, other) => {
                let configured = |subject: Option<&Subject>| subject.map(|_| "configured");
                differs(None, configured(own), configured(other));
            }
        }
    }
    compared
}

impl Compared {
    /// The same, said by somebody else of two directors: what is here is that one's.
    pub fn than(mut self, director: &str) -> Compared {
        self.differences.iter_mut().for_each(|differs| differs.than = Some(director.to_owned()));
        self
    }

    fn note(&mut self, difference: Differs) {
        if self.differences.len() < MOST_DIFFERENCES {
            self.differences.push(difference);
        } else {
            self.more += 1;
        }
    }
}

type Note<'n> = dyn FnMut(Option<&str>, Option<&str>, Option<&str>) + 'n;

fn settings(own: &Subject, other: &Subject, differs: &mut Note<'_>) {
    let words = own.settings.keys().chain(other.settings.keys().filter(|word| !own.settings.contains_key(*word)));
    for word in words {
        let (here, there) = (own.settings.get(word), other.settings.get(word));
        let value = |setting: Option<&Setting>| setting.map(|setting| setting.value.clone());
        // A version that does not know a setting leaves it as it is usually.
        let unsaid = |one: Option<&Setting>, two: Option<&Setting>| one.is_none() && two.is_some_and(|s| s.usual);
        if value(here) != value(there) && !unsaid(here, there) && !unsaid(there, here) {
            differs(Some(word), value(here).as_deref(), value(there).as_deref());
        }
    }
}

/// A key is set or not, and that it differs is all that is said of it.
fn keys(router: &str, own: &Secrets, other: &Secrets, differs: &mut Note<'_>) {
    let empty = BTreeMap::new();
    let (own, other) = (own.of(router).unwrap_or(&empty), other.of(router).unwrap_or(&empty));
    for name in own.keys().chain(other.keys().filter(|name| !own.contains_key(*name))) {
        if own.get(name) != other.get(name) {
            let set = |tags: &BTreeMap<String, String>| tags.contains_key(name).then_some("set");
            differs(Some(name), set(own), set(other));
        }
    }
}

fn in_common(router: &str, own: &Secrets, other: &Secrets) -> Keys {
    let password = own.password(router).is_some() && own.password(router) == other.password(router);
    let signing = own.keys(router).filter_map(|(number, tag)| Some((number, other.key(router, number)? == tag)));
    Keys { password, signing: signing.collect() }
}
