//! What the kernel holds of the fence.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use netlink_packet_netfilter::NetfilterProtoFamily as Family;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, NfTablesMessage, RuleAttribute, RuleMessage, SetElementList, SetElementMessage,
    TableAttribute, TableFlags, TableMessage,
};
use nix::libc;

use super::elements::{self, Which};
use super::layout::{self, Chain, Plan, TABLE};
use super::target::{FenceTarget, Table};
use super::transport::{Attributes, Refused, Transport};

/// What the kernel holds, by table; one that is not there is missing.
pub type Inspection = BTreeMap<Table, Held>;

/// What the kernel holds in one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The table is in use, and its chains and rules are what they should be.
    pub complete: bool,
    /// What is fenced.
    pub fenced: BTreeSet<FenceTarget>,
    /// What the fence is open for, and how long still; an element without a timeout is there as
    /// [`Duration::MAX`].
    pub leased: BTreeMap<FenceTarget, Duration>,
}

/// Looks at a table; `plan` is what it should be, if it should be there at all.
pub(super) fn inspect(transport: &mut Transport, table: Table, plan: Option<&Plan>) -> io::Result<Option<Held>> {
    let question = NfTablesMessage::GetTable(TableMessage { attributes: layout::name(TABLE) });
    let told = match transport.ask(table.family(), &question, false) {
        Err(error) if is_absence(&error) => return Ok(None),
        told => told?,
    };
    let mut held = Held { complete: told.iter().any(is_awake), ..Held::default() };
    for which in [Which::Fenced, Which::Leased] {
        for set in which.sets() {
            let found = dump_set(transport, table.family(), TABLE, set)?;
            held.complete &= found.is_some() || plan.is_none_or(|plan| !plan.has_set(set));
            for (target, left) in found.into_iter().flatten() {
                match which {
                    Which::Fenced => drop(held.fenced.insert(target)),
                    Which::Leased => drop(held.leased.insert(target, left)),
                }
            }
        }
    }
    if let Some(plan) = plan.filter(|_| held.complete) {
        held.complete = has_chains(transport, plan)?;
    }
    Ok(Some(held))
}

fn has_chains(transport: &mut Transport, plan: &Plan) -> io::Result<bool> {
    let all = NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() });
    let told = transport.ask(plan.table.family(), &all, true)?;
    for chain in &plan.chains {
        let hooked = told.iter().any(|message| match message {
            NfTablesMessage::NewChain(told) => is_chain(told, chain),
            _ => false,
        });
        let attributes = vec![RuleAttribute::Table(TABLE.into()), RuleAttribute::Chain(chain.name.clone())];
        let question = NfTablesMessage::GetRule(RuleMessage { attributes });
        let rules = match transport.ask(plan.table.family(), &question, true) {
            Err(error) if is_absence(&error) => return Ok(false),
            rules => rules?,
        };
        if !hooked || !chain.has_rules(&rules) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_chain(told: &ChainMessage, chain: &Chain) -> bool {
    told.attributes.contains(&ChainAttribute::Table(TABLE.into()))
        && told.attributes.contains(&ChainAttribute::Name(chain.name.clone()))
        && told.attributes.iter().any(|attribute| match attribute {
            ChainAttribute::Hook(hook) => chain.is_hooked(hook),
            _ => false,
        })
}

/// The elements of a set; `None` where there is no such set.
pub(super) fn dump_set(
    transport: &mut Transport,
    family: Family,
    table: &str,
    set: &str,
) -> io::Result<Option<Vec<(FenceTarget, Duration)>>> {
    let attributes = vec![SetElementList::Table(table.into()), SetElementList::Set(set.into())];
    let question = NfTablesMessage::GetSetElement(SetElementMessage { attributes });
    let answer = match transport.ask_for::<Attributes>(family, &question, true) {
        Err(error) if is_absence(&error) => return Ok(None),
        answer => answer?,
    };
    Ok(Some(answer.iter().flat_map(|Attributes(list)| elements::read(list)).collect()))
}

fn is_absence(error: &io::Error) -> bool {
    Refused::errno(error) == libc::ENOENT
}

fn is_awake(message: &NfTablesMessage) -> bool {
    match message {
        NfTablesMessage::NewTable(TableMessage { attributes }) => attributes
            .iter()
            .all(|attribute| !matches!(attribute, TableAttribute::Flags(f) if f.contains(TableFlags::Dormant))),
        _ => false,
    }
}
