//! `vmac` of a router, and `[vmac]`.

use std::collections::BTreeMap;

use mesh_wire::mesh::Family;
use toml::Spanned;

use super::super::Source;
use super::super::schema::{IpvlanTable, VmacEntry, VmacNames as Names, VmacTable};
use crate::common;
use crate::model::{Config, Ipvlan, IpvlanMode, Transport, Vmac, VmacNames};
use crate::report::{Finding, Severity};

/// What names begin with.
pub(super) fn names(source: &mut Source<'_>, names: Names) -> VmacNames {
    let mut prefix = |prefix: Option<Spanned<String>>| {
        let prefix = prefix?;
        if !common::is_vmac_prefix(prefix.get_ref()) {
            let message = format!("`{}` is no prefix; expected 1 to 8 bytes without `/`", prefix.get_ref());
            source.error(prefix.span(), message);
        }
        Some(prefix.into_inner())
    };
    VmacNames { prefix: prefix(names.prefix), address_prefix: prefix(names.address_prefix) }
}

/// A router's own interface, and whether adverts leave below it.
pub(super) fn lower(
    source: &mut Source<'_>,
    entry: Option<Spanned<VmacEntry>>,
    (base, family, vrid): (&str, Family, u8),
    transport: &Transport,
) -> (Option<Vmac>, bool) {
    let Some(entry) = entry else { return (None, false) };
    let span = entry.span();
    let table = match entry.into_inner() {
        VmacEntry::Switch(false) => return (None, false),
        VmacEntry::Switch(true) => VmacTable::default(),
        VmacEntry::Table(table) => table,
    };
    let mut vmac = Vmac { group: table.group, ..Vmac::new(base, family, vrid) };
    match table.mac.as_deref().map(|text| (text, common::mac(text))) {
        Some((_, Ok(mac))) => vmac.mac = common::complete_mac(&mac, vrid),
        Some((text, Err(wrong))) => source.error(span.clone(), format!("`{text}` {wrong}")),
        None => {}
    }
    if let Some(name) = table.name {
        if !common::is_interface_name(&name) {
            let message = format!("`{name}` is no name of an interface; expected 1 to 15 bytes without `/`");
            source.error(span.clone(), message);
        }
        vmac.name = name;
    }
    if matches!(transport, Transport::Unicast { .. }) && !table.transmit_base {
        let message = "unicast adverts cannot leave with a virtual MAC address; expected `transmit_base = true`";
        source.error(span, message.into());
    }
    (Some(vmac), table.transmit_base)
}

/// A router's own interface of the other kind.
pub(super) fn ipvlan(
    source: &mut Source<'_>,
    entry: Spanned<IpvlanTable>,
    beside: bool,
    (base, family, _): (&str, Family, u8),
    transport: &mut Transport,
) -> Vmac {
    let span = entry.span();
    let IpvlanTable { name, address, mode } = entry.into_inner();
    if beside {
        source.error(span.clone(), "`ipvlan` beside `vmac`; expected one of them".into());
    }
    let mut found = Ipvlan::default();
    if let Some(word) = mode {
        match IpvlanMode::of(&word) {
            Some(mode) => found.mode = mode,
            None => source.error(span.clone(), format!("`{word}` is no mode; expected bridge, private or vepa")),
        }
    }
    if let Some(text) = address {
        found.address = common::network(&text).filter(|net| Family::of(net.addr()) == family);
        if found.address.is_none() {
            source.error(span.clone(), format!("`{text}` is no address of {family}, such as 10.0.0.7/24"));
        }
    }
    let own = found.address.map(|net| net.addr());
    match transport {
        Transport::Multicast { source } => *source = source.or(own),
        Transport::Unicast { source: from, .. } if own.is_some() && (from.is_none() || *from == own) => {
            let message = "unicast adverts are sent and heard by the interface itself; expected an address of it in `source`, and not that of `ipvlan`";
            source.error(span.clone(), message.into());
        }
        Transport::Unicast { .. } => {}
    }
    let name = name.unwrap_or_default();
    if !name.is_empty() && !common::is_interface_name(&name) {
        source.error(span, format!("`{name}` is no name of an interface; expected 1 to 15 bytes without `/`"));
    }
    Vmac { name, ..Vmac::ipvlan(base, found) }
}

/// Two interfaces cannot have one name.
pub(super) fn unique(source: &mut Source<'_>, config: &Config) {
    let mut seen = BTreeMap::new();
    for router in &config.routers {
        let Some(vmac) = router.vmac.as_ref().filter(|v| !v.name.is_empty()) else { continue };
        let first = *seen.entry(vmac.name.as_str()).or_insert(router.name.as_str());
        if first != router.name
            && let Some(place) = source.report.places.routers.get(&router.name).map(|p| p.name.clone())
        {
            let message = format!("`{}` is already the virtual interface of `{first}`", vmac.name);
            source.report.findings.push(Finding { place, severity: Severity::Error, message });
        }
    }
}
