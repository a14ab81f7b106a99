//! `use_vmac` and `use_ipvlan`, and what goes with them.

use ipnet::IpNet;
use mesh_wire::mesh::Family;

use super::super::lower::Lower;
use super::super::tree::{At, Statement};
use super::super::values;
use super::Draft;
use crate::common;
use crate::model::{Config, Ipvlan, IpvlanMode, Transport, Vmac};

/// What an instance says of virtual MAC addresses.
#[derive(Default)]
pub(super) struct Declared {
    /// `use_vmac`.
    vmac: Option<At>,
    name: Option<(String, At)>,
    mac: Option<Vec<u8>>,
    group: u32,
    /// `use_vmac_addr`.
    pub(super) addresses: bool,
    transmit_base: Option<At>,
    /// `use_ipvlan`.
    ipvlan: Option<At>,
    ipvlan_name: Option<(String, At)>,
    address: Option<(IpNet, At)>,
    mode: Option<IpvlanMode>,
}

/// `use_vmac [NAME] [MAC] [netlink_notify_msg] [group N]`, in any order.
pub(super) fn use_vmac(lower: &mut Lower<'_>, declared: &mut Declared, statement: &Statement<'_>) {
    declared.vmac = Some(statement.at());
    let mut words = statement.parameters().iter();
    while let Some(word) = words.next() {
        match &*word.text {
            "netlink_notify_msg" => {
                lower.ignored(word.at, "the kernel tells of the interface anyway; skipped".into());
            }
            "group" => {
                let Some(number) = words.next() else {
                    lower.warning(word.at, "`group` has no value: expected a number; skipped".into());
                    return;
                };
                match values::unsigned(&number.text).and_then(|n| u32::try_from(n).ok()) {
                    Some(group) => declared.group = group,
                    None => {
                        let message =
                            format!("`{}` is no group: expected a number to {}; skipped", number.text, u32::MAX);
                        lower.warning(number.at, message);
                    }
                }
            }
            text if text.contains(':') => match common::mac(text) {
                Ok(mac) => declared.mac = Some(mac),
                Err(wrong) => lower.warning(word.at, format!("`{text}` {wrong}; the virtual MAC address is used")),
            },
            text if common::is_interface_name(text) => declared.name = Some((text.to_owned(), word.at)),
            text => {
                let message =
                    format!("`{text}` is no name of an interface: expected 1 to 15 bytes without `/`; not used");
                lower.warning(word.at, message);
            }
        }
    }
}

/// `use_ipvlan [NAME] [ADDRESS] [bridge|private|vepa]`, in any order.
pub(super) fn use_ipvlan(lower: &mut Lower<'_>, declared: &mut Declared, statement: &Statement<'_>) {
    if declared.ipvlan.is_some() {
        return lower.warning(statement.at(), "a second `use_ipvlan`; the first one stays".into());
    }
    declared.ipvlan = Some(statement.at());
    for word in statement.parameters() {
        let again = |what: &str| format!("`{}` is a second {what}; the first one stays", word.text);
        let text = &*word.text;
        if let Some(mode) = IpvlanMode::of(text) {
            match declared.mode {
                Some(_) => lower.warning(word.at, again("mode")),
                None => declared.mode = Some(mode),
            }
        } else if let Some(net) = common::network(text) {
            match declared.address {
                Some(_) => lower.warning(word.at, again("address")),
                None => declared.address = Some((net, word.at)),
            }
        } else if !common::is_interface_name(text) {
            let expected = "expected 1 to 15 bytes without `/`, an address, or bridge, private or vepa";
            lower.warning(word.at, format!("`{text}` is no name of an interface: {expected}; not used"));
        } else if declared.ipvlan_name.is_some() {
            lower.warning(word.at, again("name"));
        } else {
            declared.ipvlan_name = Some((text.to_owned(), word.at));
        }
    }
}

/// `vmac_xmit_base`.
pub(super) fn transmit_base(declared: &mut Declared, statement: &Statement<'_>) {
    declared.transmit_base = Some(statement.at());
}

/// The interface, and whether adverts leave below it.
pub(super) fn complete(
    lower: &mut Lower<'_>,
    config: &Config,
    draft: &mut Draft,
    (base, family, vrid): (&str, Family, u8),
    transport: &mut Transport,
) -> (Option<Vmac>, bool) {
    let declared = std::mem::take(&mut draft.vmac);
    if let Some(at) = declared.ipvlan {
        if let Some(at) = declared.vmac.or(declared.transmit_base) {
            lower.warning(at, "`use_vmac` and what goes with it has no place beside `use_ipvlan`; skipped".into());
        }
        return (Some(ipvlan(lower, config, declared, at, (base, family), transport)), true);
    }
    let Some(at) = declared.vmac else {
        if let Some(at) = declared.transmit_base {
            lower.warning(at, "`vmac_xmit_base` does nothing without `use_vmac`; skipped".into());
        }
        return (None, false);
    };
    let mut vmac = Vmac { group: declared.group, ..Vmac::new(base, family, vrid) };
    if let Some(mac) = declared.mac {
        vmac.mac = common::complete_mac(&mac, vrid);
    }
    vmac.name = free(lower, config, declared.name);
    let unicast = matches!(transport, Transport::Unicast { .. });
    if unicast && declared.transmit_base.is_none() {
        lower.warning(at, "unicast adverts cannot leave with a virtual MAC address: `vmac_xmit_base` is used".into());
    }
    (Some(vmac), unicast || declared.transmit_base.is_some())
}

/// The name, where nobody else has it; else one is found later.
fn free(lower: &mut Lower<'_>, config: &Config, name: Option<(String, At)>) -> String {
    let Some((name, at)) = name else { return String::new() };
    match config.routers.iter().find(|r| r.vmac.as_ref().is_some_and(|v| v.name == name)) {
        Some(other) => {
            let message =
                format!("`{name}` is already the virtual interface of `{}`; another name is used", other.name);
            lower.warning(at, message);
            String::new()
        }
        None => name,
    }
}

/// An ipvlan; where nothing else was said, adverts come from its address.
fn ipvlan(
    lower: &mut Lower<'_>,
    config: &Config,
    declared: Declared,
    at: At,
    (base, family): (&str, Family),
    transport: &mut Transport,
) -> Vmac {
    let mut address = declared.address;
    if let Some((net, at)) = address.filter(|(net, _)| Family::of(net.addr()) != family) {
        lower.warning(at, format!("{} is not {family} as the instance is; not used", net.addr()));
        address = None;
    } else if address.is_none() && family == Family::Ipv4 {
        // There it is a fault.
        let message =
            "`use_ipvlan` has no address: adverts come from that of the interface, where keepalived does nothing";
        lower.warning(at, message.into());
    }
    let address = address.map(|(net, _)| net);
    match transport {
        Transport::Multicast { source } => *source = source.or(address.map(|net| net.addr())),
        // The interface itself hears nothing of what comes for the ipvlan's address.
        Transport::Unicast { source, .. } => {
            if address.is_some_and(|net| source.is_none_or(|source| source == net.addr())) {
                let message = "unicast adverts are sent and heard by the interface itself; expected an address of it in `unicast_src_ip`, and nothing is heard at that of `use_ipvlan`";
                lower.warning(at, message.into());
            }
        }
    }
    let ipvlan = Ipvlan { address, mode: declared.mode.unwrap_or_default() };
    Vmac { name: free(lower, config, declared.ipvlan_name), ..Vmac::ipvlan(base, ipvlan) }
}
