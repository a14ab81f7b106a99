//! The keys about how virtual routers behave, beyond [`super::schema`].

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::text::Time;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vrrp {
    #[serde(default)]
    pub(super) log_unknown_vrids: bool,
    pub(super) garp_interval: Option<Spanned<Time>>,
    pub(super) gna_interval: Option<Spanned<Time>>,
    #[serde(default)]
    pub(super) garp_group: Vec<Spanned<GarpGroupTable>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GarpGroupTable {
    pub(super) interfaces: Vec<Spanned<String>>,
    pub(super) garp_interval: Option<Spanned<Time>>,
    pub(super) gna_interval: Option<Spanned<Time>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AuthTypeName {
    Pass,
    Ah,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ChecksumName {
    Observed,
    Message,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OldUnicastName {
    Detect,
    Always,
    Never,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeerTable {
    pub(super) address: String,
    pub(super) min_ttl: Option<i64>,
    pub(super) max_ttl: Option<i64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AuthHmacTable {
    pub(super) keys: BTreeMap<String, Spanned<String>>,
    pub(super) active_key: Spanned<i64>,
    pub(super) anti_replay: Option<AntiReplayName>,
    pub(super) time_window: Option<Spanned<Time>>,
    pub(super) mode: Option<Spanned<HmacModeName>>,
}

/// The keys are secrets.
impl std::fmt::Debug for AuthHmacTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AuthHmacTable(…)")
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub(super) enum AntiReplayName {
    Time,
    Monotonic,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum HmacModeName {
    Enforce,
    Permissive,
    ReceiveOnly,
}
