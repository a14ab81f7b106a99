//! What `[vrrp]` and routers say about [`Conduct`] and authentication.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use mesh_wire::mesh::Family;
use toml::Spanned;

use super::super::Source;
use super::super::conduct::{
    AntiReplayName, AuthHmacTable, AuthTypeName, ChecksumName, HmacModeName, OldUnicastName, PeerTable, Vrrp,
};
use super::super::schema::{Garp, Router};
use super::super::text::Time;
use super::{filled, number, time, within};
use crate::common;
use crate::model::{
    AntiReplay, AuthHmac, ChecksumChoice, Conduct, GarpGroup, GratuitousArp, HmacMode, OldUnicast, Pace, Password,
    Transport, Version, VrrpSettings,
};

/// The slowest pace: a burst has to end before the next one.
const SLOWEST: Duration = Duration::from_secs(10);

pub(super) fn vrrp(source: &mut Source<'_>, table: Vrrp) -> VrrpSettings {
    let mut groups = Vec::new();
    let mut seen = BTreeSet::new();
    for group in table.garp_group {
        let span = group.span();
        let group = group.into_inner();
        if group.interfaces.is_empty() {
            source.error(span.clone(), "no interface; expected at least one".into());
        }
        if group.garp_interval.is_none() && group.gna_interval.is_none() {
            source.error(span, "no interval; expected `garp_interval` or `gna_interval`".into());
        }
        let pace = pace(source, group.garp_interval.as_ref(), group.gna_interval.as_ref());
        let mut interfaces = Vec::new();
        for interface in group.interfaces {
            let span = interface.span();
            let name = filled(source, interface);
            if !seen.insert(name.clone()) {
                source.error(span, format!("`{name}` is already in a group"));
            }
            interfaces.push(name);
        }
        groups.push(GarpGroup { interfaces, pace });
    }
    VrrpSettings {
        log_unknown_vrids: table.log_unknown_vrids,
        pace: pace(source, table.garp_interval.as_ref(), table.gna_interval.as_ref()),
        garp_groups: groups,
    }
}

fn pace(source: &mut Source<'_>, garp: Option<&Spanned<Time>>, gna: Option<&Spanned<Time>>) -> Pace {
    let mut pause = |value| time(source, value, Duration::ZERO..=SLOWEST, Duration::ZERO);
    Pace { garp: pause(garp), gna: pause(gna) }
}

/// What of a router is known already.
pub(super) struct Frame<'f> {
    pub(super) priority: u8,
    pub(super) version: Version,
    pub(super) family: Family,
    pub(super) transport: &'f Transport,
    pub(super) peer_ttls: BTreeMap<IpAddr, RangeInclusive<u8>>,
}

/// The choices of a router. What strict mode does not have is an error.
pub(super) fn conduct(source: &mut Source<'_>, router: &Router, frame: Frame<'_>) -> Conduct {
    let Frame { priority, version, family, transport, peer_ttls } = frame;
    let (strict, owner) = (router.strict, priority == super::router::OWNER);
    let mut choice = |value: &Option<Spanned<bool>>, default: bool, refused: Option<bool>, why: &str| {
        let Some(value) = value else { return default };
        if refused == Some(*value.get_ref()) {
            source.error(value.span(), format!("strict: {why}"));
        }
        *value.get_ref()
    };
    let no_accept = (strict && !owner && version == Version::V2).then_some(true);
    let accept = choice(&router.accept, owner || !strict, no_accept, "version 2 accepts nothing, but for an owner");
    let refused = |value| strict.then_some(value);
    let answers = "less worthy adverts are not answered";
    let lower = choice(&router.lower_prio_no_advert, strict, refused(false), answers);
    let higher = choice(&router.higher_prio_send_advert, false, refused(true), "no advert before it yields");
    if let Some(down) = router.down_timer_adverts.as_ref().filter(|down| strict && *down.get_ref() != 3) {
        source.error(down.span(), "strict: three missed adverts start an election".into());
    }
    if let Some(unicast) = router.unicast.as_ref().filter(|_| strict) {
        source.warning(unicast.span(), "strict VRRP has no unicast peers; adverts go to them all the same".into());
    }
    let unicast = router.unicast.as_ref().map(Spanned::get_ref);
    Conduct {
        accept,
        owner_ignore_adverts: router.owner_ignore_adverts,
        lower_prio_no_advert: lower,
        higher_prio_send_advert: higher,
        down_timer_adverts: number(source, router.down_timer_adverts.as_ref(), 1..=100, 3),
        late_rival: router.late_rival.as_ref().and_then(|late| within(source, late, 1..=254)?.try_into().ok()),
        promote_secondaries: router.promote_secondaries,
        checksum: match router.checksum {
            Some(ChecksumName::Message) => ChecksumChoice::Message,
            Some(ChecksumName::Observed) | None => ChecksumChoice::Observed,
        },
        old_unicast_checksum: match unicast.and_then(|u| u.old_checksum) {
            Some(OldUnicastName::Always) => OldUnicast::Always,
            Some(OldUnicastName::Never) => OldUnicast::Never,
            Some(OldUnicastName::Detect) | None => OldUnicast::Detect,
        },
        unicast_ttl: number(source, unicast.and_then(|u| u.ttl.as_ref()), 1..=255, 255),
        // The limits of a peer ask for it, too: another host would pass them by.
        check_source: unicast.is_some_and(|u| u.check_source) || !peer_ttls.is_empty(),
        peer_ttls,
        group: group(source, router.multicast_group.as_ref(), family, transport),
    }
}

fn group(
    source: &mut Source<'_>,
    group: Option<&Spanned<IpAddr>>,
    family: Family,
    transport: &Transport,
) -> Option<IpAddr> {
    let group = group?;
    let address = *group.get_ref();
    if !common::is_group(&address) || Family::of(address) != family {
        let message = format!("{address} is no multicast address of {family} (in IPv6: of link-local scope)");
        source.error(group.span(), message);
    }
    if matches!(transport, Transport::Unicast { .. }) {
        source.error(group.span(), "`multicast_group` together with `unicast`; expected one of them".into());
    }
    Some(address)
}

/// A peer, and what its TTLs have to be within.
pub(super) fn peer(source: &mut Source<'_>, peer: Spanned<PeerTable>) -> Option<(IpAddr, Option<RangeInclusive<u8>>)> {
    let span = peer.span();
    let PeerTable { address, min_ttl, max_ttl } = peer.into_inner();
    let Ok(address) = address.parse() else {
        source.error(span, format!("`{address}` is no address; expected one such as \"10.0.0.2\""));
        return None;
    };
    let mut limit = |value: Option<i64>, default| {
        let value = value.map(|n| Spanned::new(span.clone(), n));
        number(source, value.as_ref(), 0..=255, default)
    };
    let (least, most) = (limit(min_ttl, 0_u8), limit(max_ttl, u8::MAX));
    if least > most {
        source.error(span, format!("min_ttl {least} is above max_ttl {most}: nothing of this peer would be heard"));
    }
    Some((address, (min_ttl.is_some() || max_ttl.is_some()).then_some(least..=most)))
}

/// The password, and whether it is the key of an authentication header.
pub(super) fn password(
    source: &mut Source<'_>,
    pass: Option<&Spanned<String>>,
    kind: Option<&Spanned<AuthTypeName>>,
    version: Version,
    strict: bool,
) -> (Option<Password>, bool) {
    let header = kind.is_some_and(|kind| matches!(kind.get_ref(), AuthTypeName::Ah));
    let Some(pass) = pass else {
        if let Some(kind) = kind {
            source.error(kind.span(), "`auth_type` without `auth_pass`; expected both".into());
        }
        return (None, false);
    };
    let bytes = pass.get_ref().as_bytes();
    let wrong = match (version, strict, bytes.len()) {
        (Version::V3, _, _) => "VRRP version 3 has no authentication",
        (_, true, _) => "strict mode has no authentication",
        (_, _, 1..=8) => return (Some(Password::new(bytes)), header),
        _ => "expected a password of 1 to 8 bytes",
    };
    source.error(pass.span(), wrong.into());
    (None, false)
}

pub(super) fn auth_hmac(
    source: &mut Source<'_>,
    table: Spanned<AuthHmacTable>,
    beside: Option<&Spanned<String>>,
    strict: bool,
    interval: Duration,
) -> Option<AuthHmac> {
    if let Some(pass) = beside {
        source.error(pass.span(), "`auth_pass` together with `auth_hmac`; expected one of them".into());
    }
    let table = table.into_inner();
    let mut keys = BTreeMap::new();
    for (id, value) in &table.keys {
        let Some(number) = id.parse::<u8>().ok().filter(|id| *id > 0) else {
            source.error(value.span(), format!("key `{id}`; expected a number from 1 to 255"));
            continue;
        };
        match common::hmac_key(value.get_ref(), source.files) {
            Ok(key) => drop(keys.insert(number, key)),
            Err(why) => source.error(value.span(), format!("key {id}: {why}")),
        }
    }
    let active = within(source, &table.active_key, 1..=255).and_then(|id| u8::try_from(id).ok())?;
    if !table.keys.contains_key(&active.to_string()) {
        source.error(table.active_key.span(), format!("there is no key {active}"));
    }
    let mode = match table.mode.as_ref().map(Spanned::get_ref) {
        None | Some(HmacModeName::Enforce) => HmacMode::Enforce,
        Some(HmacModeName::Permissive) => HmacMode::Permissive,
        Some(HmacModeName::ReceiveOnly) => HmacMode::ReceiveOnly,
    };
    if let Some(wrong) = table.mode.as_ref().filter(|_| strict && mode != HmacMode::Enforce) {
        source.error(wrong.span(), "strict: expected \"enforce\"".into());
    }
    let seconds = Duration::from_secs(1)..=Duration::from_secs(300);
    let window = time(source, table.time_window.as_ref(), seconds, common::time_window(interval));
    if let Some(wrong) = table.time_window.as_ref().filter(|w| w.get_ref().0.subsec_nanos() > 0) {
        source.error(wrong.span(), "expected whole seconds".into());
    }
    let monotonic = table.anti_replay == Some(AntiReplayName::Monotonic);
    if let Some(window) = table.time_window.as_ref().filter(|_| monotonic) {
        source.error(window.span(), "`time_window` has no meaning with \"monotonic\"".into());
    }
    let anti_replay = if monotonic { AntiReplay::Monotonic } else { AntiReplay::Time(window) };
    Some(AuthHmac { keys, active, anti_replay, mode })
}

pub(super) fn garp(source: &mut Source<'_>, garp: &Garp, strict: bool) -> GratuitousArp {
    let default = GratuitousArp::default();
    let longest = Duration::from_secs(4294);
    let (lower, again) =
        if strict { (0, Duration::ZERO) } else { (default.lower_prio_repeat, default.lower_prio_delay) };
    if let Some(repeat) = garp.lower_prio_repeat.as_ref().filter(|n| strict && *n.get_ref() > 0) {
        source.error(repeat.span(), "strict: less worthy adverts are not answered".into());
    }
    GratuitousArp {
        repeat: number(source, garp.repeat.as_ref(), 1..=1000, default.repeat),
        delay: time(source, garp.delay.as_ref(), Duration::ZERO..=longest, default.delay),
        refresh: time(source, garp.refresh.as_ref(), Duration::ZERO..=longest, default.refresh),
        refresh_repeat: number(source, garp.refresh_repeat.as_ref(), 1..=1000, default.refresh_repeat),
        lower_prio_repeat: number(source, garp.lower_prio_repeat.as_ref(), 0..=1000, lower),
        lower_prio_delay: time(source, garp.lower_prio_delay.as_ref(), Duration::ZERO..=longest, again),
        extra: time(source, garp.extra.as_ref(), Duration::ZERO..=Duration::from_secs(86_400), default.extra),
        extra_all: garp.extra_all,
    }
}
