//! What is tracked, delays, virtual MAC addresses, and what belongs to the host.

use std::time::Duration;

use super::text::{Writer, list, string, words};
use crate::iproute;
use crate::model::{
    Delays, Ipvlan, IpvlanMode, LinkDelay, ParameterMatch, Route, Rule, Statics, TrackGroup, TrackProcess, Tracked,
    Tracks, VirtualAddress, VirtualRouter, Vmac, VmacNames, Weight,
};

pub(super) fn process(writer: &mut Writer, process: &TrackProcess) {
    let TrackProcess {
        name,
        command,
        parameters,
        full_command,
        weight: Weight { by, reverse },
        quorum,
        quorum_max,
        fork_delay,
        terminate_delay,
    } = process;
    writer.item("[[track_process]]");
    writer.key("name", string(name));
    writer.key("command", words(command));
    match parameters {
        ParameterMatch::Given => {}
        ParameterMatch::Exact => writer.key("parameters", "\"exact\""),
        ParameterMatch::Partial => writer.key("parameters", "\"partial\""),
        ParameterMatch::Initial => writer.key("parameters", "\"initial\""),
    }
    writer.unless(*full_command, false, "full_command");
    writer.unless(*by, 0, "weight");
    writer.unless(*reverse, false, "reverse");
    writer.unless(*quorum, if *quorum_max == Some(0) { 0 } else { 1 }, "quorum");
    writer.some("quorum_max", *quorum_max);
    writer.unless_time(*fork_delay, Duration::ZERO, "fork_delay");
    writer.unless_time(*terminate_delay, Duration::ZERO, "terminate_delay");
}

/// What a router or a group tracks.
pub(super) fn tracks(writer: &mut Writer, tracks: &Tracks) {
    let Tracks { interfaces, scripts, files, processes, bfds } = tracks;
    let lists = [
        ("track_interfaces", interfaces),
        ("track_scripts", scripts),
        ("track_files", files),
        ("track_processes", processes),
        ("track_bfds", bfds),
    ];
    for (key, tracked) in lists.into_iter().filter(|(_, tracked)| !tracked.is_empty()) {
        writer.key(key, list(tracked.iter().map(self::tracked)));
    }
}

fn tracked(tracked: &Tracked) -> String {
    let Tracked { name, weight } = tracked;
    let name = string(name);
    let Some(Weight { by, reverse }) = weight else { return name };
    let reverse = if *reverse { ", reverse = true" } else { "" };
    format!("{{ name = {name}, weight = {by}{reverse} }}")
}

pub(super) fn delays(writer: &mut Writer, delays: &Delays) {
    let Delays { startup, after_boot, links } = delays;
    writer.table("[delays]");
    writer.unless_time(*startup, Duration::ZERO, "startup");
    writer.unless_time(*after_boot, Duration::ZERO, "after_boot");
    if !links.is_empty() {
        let link = |(interface, LinkDelay { down, up }): (&String, &LinkDelay)| {
            let (down, up) = (super::text::time(*down), super::text::time(*up));
            format!("{{ interface = {}, down = {down}, up = {up} }}", string(interface))
        };
        writer.key("links", list(links.iter().map(link)));
    }
}

/// A router's virtual MAC addresses. Those of single addresses follow from the addresses.
pub(super) fn vmac(writer: &mut Writer, router: &VirtualRouter) {
    if let Some(Vmac { name, ipvlan: Some(Ipvlan { address, mode }), .. }) = &router.vmac {
        let mut keys = vec![format!("name = {}", string(name))];
        keys.extend(address.map(|net| format!("address = {}", string(net.to_string()))));
        keys.extend((*mode != IpvlanMode::default()).then(|| format!("mode = {}", string(mode.name()))));
        writer.key("ipvlan", format!("{{ {} }}", keys.join(", ")));
    } else if let Some(Vmac { name, base, mac, group, ipvlan: None }) = &router.vmac {
        let mut keys = vec![format!("name = {}", string(name))];
        if *mac != Vmac::new(base, router.key.family, router.key.vrid).mac {
            let digits: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
            keys.push(format!("mac = {}", string(digits.join(":"))));
        }
        keys.extend((*group != 0).then(|| format!("group = {group}")));
        keys.extend(router.vmac_transmit_base.then(|| "transmit_base = true".to_owned()));
        writer.key("vmac", format!("{{ {} }}", keys.join(", ")));
    }
    writer.unless(router.vmac_addresses, false, "vmac_addresses");
}

pub(super) fn vmac_names(writer: &mut Writer, names: &VmacNames) {
    let VmacNames { prefix, address_prefix } = names;
    writer.table("[vmac]");
    writer.some("prefix", prefix.as_ref().map(string));
    writer.some("address_prefix", address_prefix.as_ref().map(string));
}

pub(super) fn statics(writer: &mut Writer, statics: &Statics) {
    let Statics { addresses, routes, rules, track_groups } = statics;
    writer.table("[host]");
    static_things(writer, addresses, routes, rules);
    for group in track_groups {
        let TrackGroup { name, routers, addresses, routes, rules } = group;
        writer.item("[[host.track_group]]");
        writer.key("name", string(name));
        writer.key("routers", list(routers.iter().map(string)));
        static_things(writer, addresses, routes, rules);
    }
}

fn static_things(writer: &mut Writer, addresses: &[VirtualAddress], routes: &[Route], rules: &[Rule]) {
    if !addresses.is_empty() {
        writer.key("addresses", list(addresses.iter().map(super::address)));
    }
    routing(writer, "the host", routes, rules);
}

/// In the words of `ip route` and `ip rule`.
pub(super) fn routing(writer: &mut Writer, whose: &str, routes: &[Route], rules: &[Rule]) {
    let routes: Vec<Option<String>> = routes.iter().map(iproute::route_text).collect();
    let rules: Vec<Option<String>> = rules.iter().map(iproute::rule_text).collect();
    for (key, lines) in [("routes", routes), ("rules", rules)] {
        let missing = lines.iter().filter(|line| line.is_none()).count();
        if missing > 0 {
            writer.lost(format!("{whose}: {missing} of its {key} cannot be written into `{key} = [...]`"));
        }
        let written: Vec<String> = lines.into_iter().flatten().map(string).collect();
        if !written.is_empty() {
            writer.key(key, list(written.into_iter()));
        }
    }
}
