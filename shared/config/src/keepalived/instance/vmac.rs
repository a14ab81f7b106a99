//! `use_vmac` and what goes with it.

use mesh_wire::mesh::Family;

use super::super::lower::Lower;
use super::super::tree::{At, Statement};
use super::super::values;
use super::Draft;
use crate::common;
use crate::model::{Config, Transport, Vmac};

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
    transport: &Transport,
) -> (Option<Vmac>, bool) {
    let declared = std::mem::take(&mut draft.vmac);
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
    if let Some((name, at)) = declared.name {
        match config.routers.iter().find(|r| r.vmac.as_ref().is_some_and(|v| v.name == name)) {
            Some(other) => {
                let message =
                    format!("`{name}` is already the virtual interface of `{}`; another name is used", other.name);
                lower.warning(at, message);
            }
            None => vmac.name = name,
        }
    }
    let unicast = matches!(transport, Transport::Unicast { .. });
    if unicast && declared.transmit_base.is_none() {
        lower.warning(at, "unicast adverts cannot leave with a virtual MAC address: `vmac_xmit_base` is used".into());
    }
    (Some(vmac), unicast || declared.transmit_base.is_some())
}
