//! `auth_hmac`, as keepalived 2.4 reads it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::keywords::AUTH_HMAC;
use super::super::lower::Lower;
use super::super::tree::{At, Block, Statement};
use super::super::values;
use crate::common;
use crate::model::{AntiReplay, AuthHmac, HmacKey, HmacMode};

/// A block as declared.
#[derive(Debug)]
pub(super) struct Draft {
    at: At,
    keys: BTreeMap<u8, HmacKey>,
    active: Option<u8>,
    monotonic: bool,
    window: Option<(Duration, At)>,
    mode: HmacMode,
}

/// Reads a block. A second one of an instance goes on with the first.
pub(super) fn read(lower: &mut Lower<'_>, draft: &mut Option<Draft>, outer: &Statement<'_>, block: &Block<'_>) {
    let draft = draft.get_or_insert_with(|| Draft {
        at: outer.at(),
        keys: BTreeMap::new(),
        active: None,
        monotonic: false,
        window: None,
        mode: HmacMode::default(),
    });
    for statement in &block.statements {
        if lower.language(statement) {
            continue;
        }
        match statement.keyword() {
            "key" => key(lower, draft, statement),
            "active_key" => {
                let id = lower.value(statement, "a number from 1 to 255", "skipped", id);
                draft.active = id.or(draft.active);
            }
            "time_window" => {
                let read = |w: &str| values::unsigned(w).filter(|n| (1..=300).contains(n)).map(Duration::from_secs);
                let window = lower.value(statement, "seconds from 1 to 300", "skipped", read);
                draft.window = window.map(|w| (w, statement.at())).or(draft.window);
            }
            "anti_replay" => {
                let read = |w: &str| Some(w == "monotonic").filter(|_| ["time", "monotonic"].contains(&w));
                let monotonic = lower.value(statement, "time or monotonic", "skipped", read);
                draft.monotonic = monotonic.unwrap_or(draft.monotonic);
            }
            "mode" => {
                let expected = "enforce, permissive or receive-only";
                draft.mode = lower.value(statement, expected, "skipped", mode).unwrap_or(draft.mode);
            }
            _ => {
                lower.other(&AUTH_HMAC, statement);
                continue;
            }
        }
        lower.no_block(statement);
    }
}

fn id(word: &str) -> Option<u8> {
    values::unsigned(word).and_then(|n| u8::try_from(n).ok()).filter(|id| *id > 0)
}

fn mode(word: &str) -> Option<HmacMode> {
    match word {
        "enforce" => Some(HmacMode::Enforce),
        "permissive" => Some(HmacMode::Permissive),
        "receive-only" => Some(HmacMode::ReceiveOnly),
        _ => None,
    }
}

/// `key ID hex:…`, `key ID file:…` or `key ID TEXT`. No message shows the key.
fn key(lower: &mut Lower<'_>, draft: &mut Draft, statement: &Statement<'_>) {
    let Some(number) = lower.parameter(statement, "a number from 1 to 255 and a key") else { return };
    let Some(id) = id(&number.text) else {
        return lower.warning(number.at, "`key` has no number from 1 to 255 before its value; skipped".into());
    };
    let Some(word) = statement.parameters().get(1) else {
        return lower.warning(number.at, format!("key {id} has no value; expected hex:, file: or text; skipped"));
    };
    match common::hmac_key(&word.text, lower.files) {
        Ok(_) if draft.keys.contains_key(&id) => {
            lower.warning(word.at, format!("a second key {id}; the first one stays"))
        }
        Ok(key) => drop(draft.keys.insert(id, key)),
        Err(why) => lower.warning(word.at, format!("key {id}: {why}; skipped")),
    }
}

impl Draft {
    /// What it means. Without the active key it is an error: anybody could speak for this router, where
    /// keepalived only says so.
    pub(super) fn complete(self, lower: &mut Lower<'_>, strict: bool, interval: Duration) -> Option<AuthHmac> {
        let Some(active) = self.active.filter(|id| self.keys.contains_key(id)) else {
            let message = match self.active {
                Some(id) => format!("`auth_hmac` has no usable key {id}, which is its `active_key`; expected one"),
                None => "`auth_hmac` has no `active_key`; expected the number of a key".into(),
            };
            lower.error(self.at, message);
            return None;
        };
        let mut mode = self.mode;
        if strict && mode != HmacMode::Enforce {
            lower.warning(self.at, "strict mode wants `mode enforce`; that is used".into());
            mode = HmacMode::Enforce;
        }
        let anti_replay = match (self.monotonic, self.window) {
            (false, window) => {
                AntiReplay::Time(window.map_or_else(|| common::time_window(interval), |(window, _)| window))
            }
            (true, None) => AntiReplay::Monotonic,
            (true, Some((_, at))) => {
                lower.ignored(at, "`time_window` has no meaning with `anti_replay monotonic`".into());
                AntiReplay::Monotonic
            }
        };
        Some(AuthHmac { keys: self.keys, active, anti_replay, mode })
    }
}
