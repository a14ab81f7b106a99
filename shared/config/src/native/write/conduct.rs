//! `[vrrp]`, and what routers say about [`Conduct`] and authentication.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::text::{Writer, list, string, time};
use crate::common;
use crate::model::{
    AntiReplay, AuthHmac, ChecksumChoice, Conduct, GarpGroup, GratuitousArp, HmacKey, HmacMode, OldUnicast, Pace,
    Password, Transport, VirtualRouter, VrrpSettings,
};

pub(super) fn settings(writer: &mut Writer, settings: &VrrpSettings) {
    let VrrpSettings { log_unknown_vrids, pace, garp_groups } = settings;
    writer.table("[vrrp]");
    writer.unless(*log_unknown_vrids, false, "log_unknown_vrids");
    let Pace { garp, gna } = pace;
    writer.unless_time(*garp, Duration::ZERO, "garp_interval");
    writer.unless_time(*gna, Duration::ZERO, "gna_interval");
    if !garp_groups.is_empty() {
        writer.key("garp_group", list(garp_groups.iter().map(group)));
    }
}

fn group(group: &GarpGroup) -> String {
    let GarpGroup { interfaces, pace: Pace { garp, gna } } = group;
    let (interfaces, garp, gna) = (list(interfaces.iter().map(string)), time(*garp), time(*gna));
    format!("{{ interfaces = {interfaces}, garp_interval = {garp}, gna_interval = {gna} }}")
}

pub(super) fn authentication(
    writer: &mut Writer,
    router: &VirtualRouter,
    (password, header, hmac): (Option<&Password>, bool, Option<&AuthHmac>),
) {
    if let Some(Password(bytes)) = password {
        match std::str::from_utf8(bytes).map(|text| text.trim_end_matches('\0')) {
            Ok(text) => writer.key("auth_pass", string(text)),
            Err(_) => writer.lost(format!("router `{}`: the password is no text", router.name)),
        }
    }
    if header {
        writer.key("auth_type", "\"ah\"");
    }
    writer.some("auth_hmac", hmac.map(|hmac| auth_hmac(hmac, router.advert_interval)));
}

fn auth_hmac(hmac: &AuthHmac, interval: Duration) -> String {
    let AuthHmac { keys, active, anti_replay, mode } = hmac;
    let keys: Vec<String> = keys.iter().map(|(id, key)| format!("{id} = {}", hexadecimal(key))).collect();
    let mut text = format!("{{ keys = {{ {} }}, active_key = {active}", keys.join(", "));
    match anti_replay {
        AntiReplay::Time(window) if *window == common::time_window(interval) => {}
        AntiReplay::Time(window) => text += &format!(", time_window = {}", time(*window)),
        AntiReplay::Monotonic => text += ", anti_replay = \"monotonic\"",
    }
    text += match mode {
        HmacMode::Enforce => "",
        HmacMode::Permissive => ", mode = \"permissive\"",
        HmacMode::ReceiveOnly => ", mode = \"receive-only\"",
    };
    text + " }"
}

/// Whatever bytes it has, this form has them.
fn hexadecimal(key: &HmacKey) -> String {
    let digits: String = key.reveal().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"hex:{digits}\"")
}

/// The choices that are not the transport's. What is not said in strict mode is as that has it.
pub(super) fn conduct(writer: &mut Writer, router: &VirtualRouter, transport: &Transport, conduct: &Conduct) {
    let Conduct {
        accept,
        owner_ignore_adverts,
        lower_prio_no_advert,
        higher_prio_send_advert,
        down_timer_adverts,
        late_rival,
        promote_secondaries,
        checksum,
        old_unicast_checksum,
        unicast_ttl,
        peer_ttls,
        check_source,
        group,
    } = conduct;
    let strict = router.strict;
    match transport {
        Transport::Multicast { source } => {
            writer.some("multicast_source", source.map(|s| string(s.to_string())));
            writer.some("multicast_group", group.map(|group| string(group.to_string())));
        }
        Transport::Unicast { source, peers } => {
            let choices = (peer_ttls, *unicast_ttl, *check_source, *old_unicast_checksum);
            writer.key("unicast", unicast(*source, peers, choices));
        }
    }
    writer.unless(*accept, !strict || router.priority == u8::MAX, "accept");
    writer.unless(*owner_ignore_adverts, false, "owner_ignore_adverts");
    writer.unless(*lower_prio_no_advert, strict, "lower_prio_no_advert");
    writer.unless(*higher_prio_send_advert, false, "higher_prio_send_advert");
    writer.unless(*down_timer_adverts, Conduct::default().down_timer_adverts, "down_timer_adverts");
    writer.some("late_rival", late_rival.filter(|_| !router.preempt));
    writer.unless(*promote_secondaries, false, "promote_secondaries");
    match checksum {
        ChecksumChoice::Observed => {}
        ChecksumChoice::Message => writer.key("checksum", "\"message\""),
    }
}

type Ttls = BTreeMap<IpAddr, RangeInclusive<u8>>;

fn unicast(source: Option<IpAddr>, peers: &[IpAddr], (ttls, ttl, check, old): (&Ttls, u8, bool, OldUnicast)) -> String {
    let peer = |address: &IpAddr| {
        let text = string(address.to_string());
        ttls.get(address).map_or(text.clone(), |limits| {
            format!("{{ address = {text}, min_ttl = {}, max_ttl = {} }}", limits.start(), limits.end())
        })
    };
    let source = source.map_or(String::new(), |s| format!("source = {}, ", string(s.to_string())));
    let mut text = format!("{{ {source}peers = {}", list(peers.iter().map(peer)));
    if peers.is_empty() {
        text += ", fault_without_peers = true";
    }
    if ttl != Conduct::default().unicast_ttl {
        text += &format!(", ttl = {ttl}");
    }
    if check {
        text += ", check_source = true";
    }
    text += match old {
        OldUnicast::Detect => "",
        OldUnicast::Always => ", old_checksum = \"always\"",
        OldUnicast::Never => ", old_checksum = \"never\"",
    };
    text + " }"
}

/// What decides nothing: settings of unicast where adverts are multicast, and of senders that are no peers.
pub(super) fn drop_unused(router: &mut VirtualRouter) {
    router.conduct.late_rival = router.conduct.late_rival.filter(|_| !router.preempt);
    let Conduct { unicast_ttl, peer_ttls, check_source, old_unicast_checksum, .. } = &mut router.conduct;
    match &router.transport {
        Transport::Unicast { peers, .. } => peer_ttls.retain(|address, _| peers.contains(address)),
        Transport::Multicast { .. } => {
            *unicast_ttl = Conduct::default().unicast_ttl;
            *old_unicast_checksum = OldUnicast::default();
            peer_ttls.clear();
            *check_source = false;
        }
    }
}

pub(super) fn garp(writer: &mut Writer, strict: bool, garp: &GratuitousArp) {
    let GratuitousArp { repeat, delay, refresh, refresh_repeat, lower_prio_repeat, lower_prio_delay, extra, extra_all } =
        garp;
    let default = GratuitousArp::default();
    let (answers, again) =
        if strict { (0, Duration::ZERO) } else { (default.lower_prio_repeat, default.lower_prio_delay) };
    let parts = [
        ("repeat", *repeat != default.repeat, repeat.to_string()),
        ("delay", *delay != default.delay, time(*delay)),
        ("refresh", *refresh != default.refresh, time(*refresh)),
        ("refresh_repeat", *refresh_repeat != default.refresh_repeat, refresh_repeat.to_string()),
        ("lower_prio_repeat", *lower_prio_repeat != answers, lower_prio_repeat.to_string()),
        ("lower_prio_delay", *lower_prio_delay != again, time(*lower_prio_delay)),
        ("extra", *extra != default.extra, time(*extra)),
        ("extra_all", *extra_all != default.extra_all, extra_all.to_string()),
    ];
    let said: Vec<String> =
        parts.iter().filter(|(_, differs, _)| *differs).map(|(key, _, value)| format!("{key} = {value}")).collect();
    if !said.is_empty() {
        writer.key("garp", format!("{{ {} }}", said.join(", ")));
    }
}
