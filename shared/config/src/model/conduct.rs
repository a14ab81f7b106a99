//! How a router behaves where VRRP leaves a choice, where keepalived goes beyond it, and how its
//! adverts are authenticated.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

/// The choices of one router; [`Conduct::default`] is what keepalived does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conduct {
    /// `accept`, `no_accept`: whether this host takes what is sent to the addresses (RFC 9568
    /// Accept_Mode). Without it they only forward; an owner (priority 255) always accepts.
    pub accept: bool,
    /// `owner_ignore_adverts`: with priority 255, adverts are told and not heeded (RFC 9568 as published; erratum
    /// 8298 has them processed). Strict mode leaves it as it is, as keepalived 2.2.7 does.
    pub owner_ignore_adverts: bool,
    /// `lower_prio_no_advert`: a less worthy advert is not answered by one of ours.
    pub lower_prio_no_advert: bool,
    /// `higher_prio_send_advert`: a last advert before a worthier router gets its way, so that it
    /// announces the addresses again.
    pub higher_prio_send_advert: bool,
    /// `down_timer_adverts`: so many missed adverts, and the skew, start an election; 1 to 100.
    pub down_timer_adverts: u8,
    /// `timer_expired_backup`: with `nopreempt`, an active router whose advert is so late that one of this
    /// priority may have taken over becomes a backup.
    pub late_rival: Option<u8>,
    /// `promote_secondaries`: the interface's setting is switched on while this router is there.
    pub promote_secondaries: bool,
    /// The checksum of version 3 over IPv4.
    pub checksum: ChecksumChoice,
    /// The pseudo header of unicast adverts of version 3 over IPv4.
    pub old_unicast_checksum: OldUnicast,
    /// `unicast_ttl`: TTL or hop limit of unicast adverts, 1 to 255.
    pub unicast_ttl: u8,
    /// `min_ttl` and `max_ttl` of peers: adverts outside are dropped.
    pub peer_ttls: BTreeMap<IpAddr, RangeInclusive<u8>>,
    /// `check_unicast_src`: with unicast peers, adverts of others are dropped.
    pub check_source: bool,
    /// `mcast_dst_ip`, `vrrp_mcast_group4`, `vrrp_mcast_group6`: where multicast adverts go.
    pub group: Option<IpAddr>,
}

impl Default for Conduct {
    fn default() -> Self {
        Conduct {
            accept: true,
            owner_ignore_adverts: false,
            lower_prio_no_advert: false,
            higher_prio_send_advert: false,
            down_timer_adverts: 3,
            late_rival: None,
            promote_secondaries: false,
            checksum: ChecksumChoice::Observed,
            old_unicast_checksum: OldUnicast::Detect,
            unicast_ttl: 255,
            peer_ttls: BTreeMap::new(),
            check_source: false,
            group: None,
        }
    }
}

/// Which checksum adverts of version 3 over IPv4 carry; both forms are accepted in either case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumChoice {
    /// With a pseudo header, as keepalived sends and wants it, until somebody is heard that sends the
    /// other form.
    #[default]
    Observed,
    /// `v3_checksum_as_v2`: the message alone, as RFC 9568 has it.
    Message,
}

/// `old_unicast_checksum`: up to 1.3.6 keepalived computed unicast checksums as if adverts went to the
/// group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OldUnicast {
    /// Both are accepted, and what a peer sends is what it gets.
    #[default]
    Detect,
    /// The old one is sent, both are accepted.
    Always,
    /// `never`: the old one is a wrong checksum.
    Never,
}

/// First eight bytes of a password, zero padded; no debug output shows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Password(pub [u8; 8]);

impl Password {
    /// Of text; what is behind the eighth byte does not count.
    pub fn new(text: &[u8]) -> Password {
        let mut password = [0; 8];
        password.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
        Password(password)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// `auth_hmac` of keepalived 2.4 (draft-cassen-vrrp-auth-hmac): a signature behind every advert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthHmac {
    /// `key ID VALUE`: what is accepted, by number from 1 to 255; at least [`AuthHmac::active`].
    pub keys: BTreeMap<u8, HmacKey>,
    /// `active_key`: what is signed with.
    pub active: u8,
    /// `anti_replay`.
    pub anti_replay: AntiReplay,
    /// `mode`.
    pub mode: HmacMode,
}

/// What keeps a captured advert from being used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AntiReplay {
    /// `time`: each sender's sequence grows, and is not further than this from our clock. 1 to 300 s;
    /// default three advert intervals, at least 5 s.
    Time(Duration),
    /// `monotonic`: each sender's sequence grows.
    Monotonic,
}

/// What is signed and what is accepted, for going over from adverts without signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HmacMode {
    /// Signs, and accepts nothing else.
    #[default]
    Enforce,
    /// Signs, and accepts adverts without signature; a wrong one is dropped.
    Permissive,
    /// Does not sign; accepts as [`HmacMode::Permissive`].
    ReceiveOnly,
}

/// 32 to 64 bytes; no debug output shows them.
#[derive(Clone, PartialEq, Eq)]
pub struct HmacKey(Vec<u8>);

impl HmacKey {
    /// Of `hex:` and digits, or of text that is the key itself.
    ///
    /// # Errors
    /// What is wrong with it, without showing it.
    pub fn read(text: &str) -> Result<HmacKey, String> {
        let bytes = match text.strip_prefix("hex:") {
            None => text.as_bytes().to_vec(),
            Some(digits) => bytes(digits).ok_or("the key behind `hex:` is no even number of hexadecimal digits")?,
        };
        if !(32..=64).contains(&bytes.len()) {
            return Err(format!("the key has {} bytes; expected 32 to 64", bytes.len()));
        }
        Ok(HmacKey(bytes))
    }

    /// The bytes, for whoever signs.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let digit = |b: &u8| char::from(*b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let digits: Option<Vec<u8>> = digits.as_bytes().iter().map(digit).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

impl fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HmacKey(…)")
    }
}

/// What holds for all virtual routers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VrrpSettings {
    /// `log_unknown_vrids`: adverts of virtual routers that are not configured are told, too.
    pub log_unknown_vrids: bool,
    /// `vrrp_garp_interval` and `vrrp_gna_interval`, for each interface that no group names.
    pub pace: Pace,
    /// `garp_group`, in file order; no interface is in two of them.
    pub garp_groups: Vec<GarpGroup>,
}

/// Between two announcements; zero is none. For switches that lose what comes in a burst.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// Of gratuitous ARP.
    pub garp: Duration,
    /// Of neighbour advertisements.
    pub gna: Duration,
}

/// Interfaces whose announcements share one pace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GarpGroup {
    /// `interface`, `interfaces`: at least one.
    pub interfaces: Vec<String>,
    /// The pace.
    pub pace: Pace,
}
