//! What both languages check at the end, on the model.

use std::collections::BTreeMap;

use crate::iproute;
use crate::model::{Config, IpvlanMode};
use crate::report::{Finding, Place, Report, Severity};

/// Checks what only the whole configuration shows, sorts the findings, and gives routers their
/// keys. No configuration when anything found is an error.
pub(crate) fn finish(mut config: Config, mut report: Report) -> (Option<Config>, Report) {
    config.complete_vmacs();
    let made = config.routers.iter().flat_map(|router| router.vmacs());
    report.places.made_interfaces = made.map(|vmac| vmac.name.clone()).collect();
    let rules = config.routers.iter_mut().flat_map(|r| &mut r.rules);
    let groups = config.statics.track_groups.iter_mut().flat_map(|group| &mut group.rules);
    let statics = config.statics.rules.iter_mut().chain(groups);
    let _given = iproute::assign_priorities(statics.chain(rules));
    let found = shared_vrids(&config, &report).into_iter().chain(shared_addresses(&config, &report));
    let found: Vec<Finding> =
        found.chain(shared_macs(&config, &report)).chain(kinds_of_one_base(&config, &report)).collect();
    report.add(found);
    config.assign_keys();
    (Some(config).filter(|_| report.worst() != Some(Severity::Error)), report)
}

/// Two routers with one VRID on one interface would read each other's adverts as their own.
fn shared_vrids(config: &Config, report: &Report) -> Vec<Finding> {
    let mut seen = BTreeMap::new();
    let mut found = Vec::new();
    for router in &config.routers {
        let id = (router.key.family, router.key.vrid, router.interface.as_str());
        let first = *seen.entry(id).or_insert(router.name.as_str());
        if first != router.name {
            let message = format!(
                "VRID {} on `{}` is already used by `{first}`; expected a VRID of its own",
                router.key.vrid, router.interface
            );
            found.extend(report.places.routers.get(&router.name).map(|p| error(&p.vrid, message)));
        }
    }
    found
}

/// One address in two routers would be elected twice, and could end up on two hosts.
fn shared_addresses(config: &Config, report: &Report) -> Vec<Finding> {
    let mut seen = BTreeMap::new();
    let mut found = Vec::new();
    for router in &config.routers {
        let places = report.places.routers.get(&router.name);
        for (i, address) in router.served().enumerate() {
            let first = *seen.entry(address.net.addr()).or_insert(router.name.as_str());
            if first != router.name {
                let message =
                    format!("{} is already an address of `{first}`: two elections for one address", address.net.addr());
                found.extend(places.and_then(|p| p.addresses.get(i)).map(|place| error(place, message)));
            }
        }
    }
    found
}

/// One MAC address twice on one interface: the kernel makes only the first.
fn shared_macs(config: &Config, report: &Report) -> Vec<Finding> {
    let mut seen = BTreeMap::new();
    let mut found = Vec::new();
    for (router, vmac) in config.routers.iter().flat_map(|r| r.vmacs().map(move |v| (r, v))) {
        let Some(mac) = vmac.own_mac() else { continue };
        let first = *seen.entry((&vmac.base, mac)).or_insert(router.name.as_str());
        if first != router.name {
            let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
            let message = format!("{mac} on `{}` is already the virtual MAC address of `{first}`", vmac.base);
            found.extend(report.places.routers.get(&router.name).map(|p| error(&p.vrid, message)));
        }
    }
    found
}

/// What is made on one interface is of one kind, and ipvlans are of one mode: the kernel refuses others, or changes
/// the mode of all.
fn kinds_of_one_base(config: &Config, report: &Report) -> Vec<Finding> {
    let mut seen = BTreeMap::new();
    let mut found = Vec::new();
    for (router, vmac) in config.routers.iter().flat_map(|r| r.vmacs().map(move |v| (r, v))) {
        let mode = vmac.ipvlan.map(|ipvlan| ipvlan.mode);
        let (first, name) = *seen.entry(&vmac.base).or_insert((mode, router.name.as_str()));
        if first != mode {
            let kind = |mode: Option<IpvlanMode>| mode.map_or("virtual MAC address", IpvlanMode::name);
            let message = format!(
                "{} on `{}`, where `{name}` has {}; expected the same kind",
                kind(mode),
                vmac.base,
                kind(first)
            );
            found.extend(report.places.routers.get(&router.name).map(|p| error(&p.vrid, message)));
        }
    }
    found
}

fn error(place: &Place, message: String) -> Finding {
    Finding { place: place.clone(), severity: Severity::Error, message }
}
