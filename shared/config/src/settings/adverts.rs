//! What decides whether one director's adverts are taken by another: besides what all agree on, what
//! differs on each host, and has to fit.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::{HmacMode, OldUnicast, Transport, Version, VirtualRouter};

/// How a virtual router sends, and what it takes. Keys are elsewhere: [`super::Secrets`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adverts {
    /// 2 or 3.
    pub version: u8,
    /// `advert_int`, in milliseconds.
    pub interval_ms: u64,
    /// `auth_type AH`.
    pub header: bool,
    /// `auth_pass` is set.
    pub password: bool,
    /// `auth_hmac`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signing: Option<Signing>,
    /// Adverts list addresses.
    pub lists: bool,
    /// Where multicast adverts go; none with unicast peers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<IpAddr>,
    /// `unicast_peer`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<IpAddr>,
    /// `unicast_ttl`.
    pub unicast_ttl: u8,
    /// `min_ttl` and `max_ttl` of peers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub peer_ttls: BTreeMap<IpAddr, (u8, u8)>,
    /// `check_unicast_src`.
    #[serde(default)]
    pub check_source: bool,
    /// `old_unicast_checksum`.
    #[serde(default)]
    pub old_checksum: OldChecksum,
    /// `v3_checksum_as_v2`.
    #[serde(default)]
    pub message_checksum: bool,
}

/// `auth_hmac`, but for the keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signing {
    /// `active_key`.
    pub active: u8,
    /// `mode`.
    pub mode: Mode,
}

/// Whether adverts are signed and have to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Signs, and takes nothing else.
    Enforce,
    /// Signs, and takes what is not signed.
    Permissive,
    /// Does not sign, and takes what is not.
    ReceiveOnly,
}

/// `old_unicast_checksum`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OldChecksum {
    /// Not sent, but taken.
    #[default]
    Detect,
    /// Sent and taken.
    Always,
    /// Neither.
    Never,
}

impl Adverts {
    pub(super) fn of(router: &VirtualRouter) -> Adverts {
        let (group, peers) = match &router.transport {
            Transport::Multicast { .. } => (Some(router.group()), Vec::new()),
            Transport::Unicast { peers, .. } => (None, peers.clone()),
        };
        let conduct = &router.conduct;
        Adverts {
            version: match router.version {
                Version::V2 => 2,
                Version::V3 => 3,
            },
            interval_ms: u64::try_from(router.advert_interval.as_millis()).unwrap_or(u64::MAX),
            header: router.auth_header,
            password: router.auth_pass.is_some(),
            signing: router.auth_hmac.as_ref().map(|hmac| Signing {
                active: hmac.active,
                mode: match hmac.mode {
                    HmacMode::Enforce => Mode::Enforce,
                    HmacMode::Permissive => Mode::Permissive,
                    HmacMode::ReceiveOnly => Mode::ReceiveOnly,
                },
            }),
            lists: !router.addresses.is_empty(),
            group,
            peers,
            unicast_ttl: conduct.unicast_ttl,
            peer_ttls: conduct.peer_ttls.iter().map(|(peer, ttls)| (*peer, (*ttls.start(), *ttls.end()))).collect(),
            check_source: conduct.check_source,
            old_checksum: match conduct.old_unicast_checksum {
                OldUnicast::Detect => OldChecksum::Detect,
                OldUnicast::Always => OldChecksum::Always,
                OldUnicast::Never => OldChecksum::Never,
            },
            message_checksum: conduct.checksum == crate::model::ChecksumChoice::Message,
        }
    }

    pub(super) fn has_to_fit(&self) -> bool {
        self.password || self.signing.is_some() || self.group.is_none()
    }
}
