//! The fence: the kernel drops what comes for a virtual address, and what would answer from it, except
//! while it is armed for that address. The arming has a timeout which the kernel keeps, so that a
//! daemon that is stopped, starved or killed loses the address on time without running. The rules
//! outlive the daemon: what is not armed is closed. `layout` shows them.
//!
//! The kernel counts timeouts in whole ticks (1 to 10 ms) from the last tick, and drops fractions: the
//! fence closes up to two ticks early, and late by at most [`TOLERANCE`].

mod closing;
mod layout;
mod transport;
mod watch;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use mesh_core::Instant;
use netlink_packet_netfilter::NetfilterProtoFamily as Family;
use netlink_packet_netfilter::nftables::{
    ChainAttribute, ChainMessage, NfTablesMessage, RuleAttribute, RuleMessage, SetElementList, SetElementMessage,
    SetFlags, TableAttribute, TableFlags, TableMessage,
};
use nix::libc;

use crate::clock;
pub use closing::close_all;
use layout::{LEASED, TABLE, VIPS};
pub(super) use transport::split;
use transport::{Refused, Transaction, Transport};
pub use watch::FenceWatch;

const FAMILIES: [Family; 2] = [Family::IPv4, Family::ARP];

/// How much later than asked for the fence may close because the request took its time. More, and
/// the request is repeated with a timeout that is shorter by what it took.
pub const TOLERANCE: Duration = Duration::from_millis(5);
/// How often an arming is repeated, each time expecting to take as long as the time before.
const ATTEMPTS: usize = 5;
/// The longest tick of a kernel (HZ=100). A timeout below one tick becomes zero, and zero means
/// forever: less than this is not armed, but closed.
const LONGEST_TICK: Duration = Duration::from_millis(10);

/// The fence of this host's network namespace. Everything blocks, for half a second at most where the
/// kernel does not answer; a few hundred microseconds are usual.
pub struct Fence {
    transport: Transport,
    refresh: Refresh,
    spare_forwarded: bool,
    fenced: BTreeSet<Ipv4Addr>,
    armed: BTreeMap<Ipv4Addr, Instant>,
}

/// Why there is no fence.
#[derive(Debug, thiserror::Error)]
pub enum FenceUnavailable {
    /// CAP_NET_ADMIN is missing.
    #[error("not permitted: the fence needs CAP_NET_ADMIN")]
    NotPermitted,
    /// The kernel has no nf_tables, or not all of it that is needed.
    #[error("this kernel cannot do it: {0}")]
    Unsupported(io::Error),
    /// Something else.
    #[error("{0}")]
    Other(io::Error),
}

/// What the kernel holds, by table; `None` where there is no table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Table `ip meshd`.
    pub ip: Option<Held>,
    /// Table `arp meshd`.
    pub arp: Option<Held>,
}

/// What the kernel holds in one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The table is in use, and its chains and rules are what they should be.
    pub complete: bool,
    /// The fenced addresses.
    pub fenced: BTreeSet<Ipv4Addr>,
    /// Those the fence is open for, and how long still; an element somebody made without a timeout
    /// is there as [`Duration::MAX`].
    pub leased: BTreeMap<Ipv4Addr, Duration>,
}

/// How an armed address gets another timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refresh {
    /// Adding it again sets it, without the element ever being away (Linux 6.12).
    InPlace,
    /// Adding it again changes nothing: the element is replaced within a transaction. Lookups that
    /// overlap the transaction can miss both, the old and the new one, on more than one processor.
    Replace,
}

impl Fence {
    /// Finds out whether this kernel can hold the fence, and changes nothing.
    pub fn probe() -> Result<Fence, FenceUnavailable> {
        let mut transport = Transport::open().map_err(unavailable)?;
        let mut spare_forwarded = true;
        if dry_run(&mut transport, spare_forwarded).is_err() {
            // What is missing may be `fib` alone.
            spare_forwarded = false;
            dry_run(&mut transport, spare_forwarded).map_err(unavailable)?;
        }
        let refresh = probe_refresh().map_err(unavailable)?;
        Ok(Fence { transport, refresh, spare_forwarded, fenced: BTreeSet::new(), armed: BTreeMap::new() })
    }

    /// Fences exactly these addresses, in one transaction: what was fenced and stays is never open in
    /// between, whoever fenced it. What this object armed and stays in the list stays armed; what
    /// somebody else or an earlier run armed is closed. None removes the tables.
    pub fn install(&mut self, addresses: &[Ipv4Addr]) -> io::Result<()> {
        let fenced: BTreeSet<Ipv4Addr> = addresses.iter().copied().collect();
        if fenced.is_empty() {
            let mut transaction = Transaction::default();
            FAMILIES.iter().for_each(|&family| layout::destroy(&mut transaction, family));
            self.transport.commit(transaction)?;
            self.fenced.clear();
            self.armed.clear();
            return Ok(());
        }
        let armed: BTreeMap<_, _> =
            self.armed.iter().filter(|(address, _)| fenced.contains(address)).map(|(a, t)| (*a, *t)).collect();
        let present = self.inspect()?;
        let spare_forwarded = self.spare_forwarded;
        let installed = self.transact(&armed, |transaction| {
            for family in FAMILIES {
                layout::build(transaction, family, spare_forwarded);
                layout::add(transaction, family, VIPS, fenced.iter().map(|address| (address, None)));
                if let Some(held) = present.of(family) {
                    forget(transaction, family, VIPS, held.fenced.difference(&fenced));
                    forget(transaction, family, LEASED, held.leased.keys().filter(|a| !armed.contains_key(a)));
                }
            }
        });
        if let Err(error) = installed {
            if Refused::errno(&error) == 0 || Refused::errno(&error) == libc::EPERM {
                return Err(error);
            }
            // Somebody keeps something else under our names, so nothing is fenced: start afresh.
            self.transact(&armed, |transaction| {
                for family in FAMILIES {
                    layout::destroy(transaction, family);
                    layout::build(transaction, family, spare_forwarded);
                    layout::add(transaction, family, VIPS, fenced.iter().map(|address| (address, None)));
                }
            })?;
        }
        self.fenced = fenced;
        self.armed = armed;
        Ok(())
    }

    /// Counts these addresses as armed by this object, though an earlier run did it: the next
    /// [`Fence::install`] leaves them open until then, without a gap.
    pub fn adopt(&mut self, addresses: &[Ipv4Addr], until: Instant) {
        self.armed.extend(addresses.iter().map(|address| (*address, until)));
    }

    /// Opens the fence for these addresses until a point in time, later or earlier than before. A point
    /// that has passed, or will within 10 ms, closes it. An error leaves it no longer open than until
    /// the later of both points.
    pub fn arm(&mut self, addresses: &[Ipv4Addr], until: Instant) -> io::Result<()> {
        if let Some(stranger) = addresses.iter().find(|address| !self.fenced.contains(address)) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{stranger} is not fenced")));
        }
        let armed: BTreeMap<_, _> = addresses.iter().map(|address| (*address, until)).collect();
        self.transact(&armed, |_| ())?;
        self.armed.extend(armed);
        Ok(())
    }

    /// Closes the fence for these addresses; one that is not open, or not fenced, is no failure.
    pub fn close(&mut self, addresses: &[Ipv4Addr]) -> io::Result<()> {
        let addresses: BTreeSet<_> = addresses.iter().filter(|address| self.fenced.contains(address)).collect();
        self.armed.retain(|address, _| !addresses.contains(address));
        let mut transaction = Transaction::default();
        for family in FAMILIES {
            forget(&mut transaction, family, LEASED, addresses.iter().copied());
        }
        self.transport.commit(transaction)
    }

    /// What the kernel holds.
    pub fn inspect(&mut self) -> io::Result<Inspection> {
        Ok(Inspection { ip: self.inspect_table(Family::IPv4)?, arp: self.inspect_table(Family::ARP)? })
    }

    /// Whether the kernel holds what it was last told.
    pub fn intact(&mut self) -> io::Result<bool> {
        let held = self.inspect()?;
        let now = clock::now();
        // A lease that ends about now may be there or not.
        let slack = 2 * LONGEST_TICK + TOLERANCE;
        let as_told = |held: &Held| {
            let leased = |(address, left): (&Ipv4Addr, &Duration)| {
                self.armed.get(address).is_some_and(|until| *left <= until.since(now) + slack)
            };
            held.complete
                && held.fenced == self.fenced
                && held.leased.iter().all(leased)
                && self.armed.iter().all(|(a, until)| until.since(now) <= slack || held.leased.contains_key(a))
        };
        Ok(FAMILIES.iter().all(|&family| match held.of(family) {
            Some(held) => as_told(held),
            None => self.fenced.is_empty(),
        }))
    }

    /// Follows what others do to our tables. To be called within a tokio runtime.
    pub fn watch(&self) -> io::Result<FenceWatch> {
        FenceWatch::open(self.transport.port())
    }

    /// One transaction: what `prepare` says, and these addresses armed until their time.
    fn transact(&mut self, armed: &BTreeMap<Ipv4Addr, Instant>, prepare: impl Fn(&mut Transaction)) -> io::Result<()> {
        // What the request itself is expected to take.
        let mut allowance = Duration::ZERO;
        for _ in 0..ATTEMPTS {
            let mut transaction = Transaction::default();
            prepare(&mut transaction);
            let before = clock::now();
            let left = |until: &Instant| until.since(before).saturating_sub(allowance);
            let (open, shut): (Vec<_>, Vec<_>) = armed.iter().partition(|(_, until)| left(until) >= LONGEST_TICK);
            for family in FAMILIES {
                forget(&mut transaction, family, LEASED, shut.iter().map(|(address, _)| *address));
                let open = open.iter().map(|(address, until)| (*address, Some(left(until).as_millis() as u64)));
                if self.refresh == Refresh::Replace {
                    layout::add(&mut transaction, family, LEASED, open.clone());
                    layout::remove(&mut transaction, family, LEASED, open.clone().map(|(address, _)| address));
                }
                layout::add(&mut transaction, family, LEASED, open);
            }
            self.transport.commit(transaction)?;
            let took = clock::now().since(before);
            if open.is_empty() || took <= allowance + TOLERANCE {
                return Ok(());
            }
            allowance = took;
        }
        let addresses: Vec<_> = armed.keys().copied().collect();
        self.close(&addresses)?;
        Err(io::Error::new(io::ErrorKind::TimedOut, "arming takes too long to be exact; closed instead"))
    }

    fn inspect_table(&mut self, family: Family) -> io::Result<Option<Held>> {
        let question = NfTablesMessage::GetTable(TableMessage { attributes: layout::name(TABLE) });
        let tables = match self.transport.ask(family, &question, false) {
            Err(error) if Refused::errno(&error) == libc::ENOENT => return Ok(None),
            tables => tables?,
        };
        let held = (|| {
            Ok(Held {
                complete: tables.iter().any(is_awake) && self.has_rules(family)?,
                fenced: self.elements(family, VIPS)?.into_keys().collect(),
                leased: self.elements(family, LEASED)?,
            })
        })();
        match held {
            // It went away meanwhile.
            Err(error) if Refused::errno(&error) == libc::ENOENT => {
                Ok(Some(Held { complete: false, fenced: BTreeSet::new(), leased: BTreeMap::new() }))
            }
            held => held.map(Some),
        }
    }

    fn has_rules(&mut self, family: Family) -> io::Result<bool> {
        let all = NfTablesMessage::GetChain(ChainMessage { attributes: Vec::new() });
        let told = self.transport.ask(family, &all, true)?;
        for chain in layout::chains(family) {
            let hooked = told.iter().any(|message| match message {
                NfTablesMessage::NewChain(ChainMessage { attributes }) => {
                    attributes.contains(&ChainAttribute::Table(TABLE.into()))
                        && attributes.contains(&ChainAttribute::Name(chain.name.into()))
                        && attributes.iter().any(|attribute| match attribute {
                            ChainAttribute::Hook(hook) => layout::is_hooked(chain, hook),
                            _ => false,
                        })
                }
                _ => false,
            });
            let attributes = vec![RuleAttribute::Table(TABLE.into()), RuleAttribute::Chain(chain.name.into())];
            let question = NfTablesMessage::GetRule(RuleMessage { attributes });
            let rules = self.transport.ask(family, &question, true)?;
            let ours = match rules.as_slice() {
                [NfTablesMessage::NewRule(rule)] => layout::is_ours(rule, chain, self.spare_forwarded),
                _ => false,
            };
            if !hooked || !ours {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn elements(&mut self, family: Family, set: &str) -> io::Result<BTreeMap<Ipv4Addr, Duration>> {
        dump_elements(&mut self.transport, family, TABLE, set)
    }
}

impl Inspection {
    fn of(&self, family: Family) -> Option<&Held> {
        if family == Family::ARP { self.arp.as_ref() } else { self.ip.as_ref() }
    }
}

/// Elements to be out of a set, whether or not they are in it: removing one that is not there would
/// fail, and it may end at any moment. So it is added first; nobody sees that.
fn forget<'a>(
    transaction: &mut Transaction,
    family: Family,
    set: &str,
    addresses: impl Iterator<Item = &'a Ipv4Addr> + Clone,
) {
    let timeout = (set == LEASED).then_some(1000);
    layout::add(transaction, family, set, addresses.clone().map(|address| (address, timeout)));
    layout::remove(transaction, family, set, addresses);
}

fn dump_elements(
    transport: &mut Transport,
    family: Family,
    table: &str,
    set: &str,
) -> io::Result<BTreeMap<Ipv4Addr, Duration>> {
    let attributes = vec![SetElementList::Table(table.into()), SetElementList::Set(set.into())];
    let question = NfTablesMessage::GetSetElement(SetElementMessage { attributes });
    let answer = transport.ask(family, &question, true)?;
    let lists = answer.iter().filter_map(|message| match message {
        NfTablesMessage::NewSetElement(list) => Some(list),
        _ => None,
    });
    Ok(lists
        .flat_map(layout::elements)
        .map(|(address, left)| (address, left.map_or(Duration::MAX, Duration::from_millis)))
        .collect())
}

fn is_awake(message: &NfTablesMessage) -> bool {
    match message {
        NfTablesMessage::NewTable(TableMessage { attributes }) => attributes
            .iter()
            .all(|attribute| !matches!(attribute, TableAttribute::Flags(f) if f.contains(TableFlags::Dormant))),
        _ => false,
    }
}

fn dry_run(transport: &mut Transport, spare_forwarded: bool) -> io::Result<()> {
    let mut transaction = Transaction::default();
    for family in FAMILIES {
        layout::destroy(&mut transaction, family);
        layout::build(&mut transaction, family, spare_forwarded);
    }
    transport.check(transaction)
}

/// Tries it, in a table that belongs to a socket and goes with it.
fn probe_refresh() -> io::Result<Refresh> {
    const SHORT: u64 = 10_000;
    const LONG: u64 = 60_000;
    let mut transport = Transport::open()?;
    let table = format!("{TABLE}-probe-{}", transport.port());
    let element = |timeout| {
        let mut messages = layout::element_messages(&table, LEASED, [(&Ipv4Addr::LOCALHOST, Some(timeout))]);
        messages.pop().map(NfTablesMessage::NewSetElement)
    };
    let mut transaction = Transaction::default();
    transaction.create(Family::IPv4, NfTablesMessage::NewTable(layout::table(&table, TableFlags::Owner)));
    transaction.create(Family::IPv4, NfTablesMessage::NewSet(layout::set(&table, LEASED, 1, SetFlags::Timeout)));
    element(SHORT).into_iter().for_each(|message| transaction.create(Family::IPv4, message));
    if transport.commit(transaction).is_err() {
        // No tables with an owner before Linux 5.12, and no updates either.
        return Ok(Refresh::Replace);
    }
    let mut transaction = Transaction::default();
    element(LONG).into_iter().for_each(|message| transaction.create(Family::IPv4, message));
    transport.commit(transaction)?;
    let held = dump_elements(&mut transport, Family::IPv4, &table, LEASED)?;
    let updated = held.values().any(|left| *left > Duration::from_millis(SHORT));
    Ok(if updated { Refresh::InPlace } else { Refresh::Replace })
}

fn unavailable(error: io::Error) -> FenceUnavailable {
    match Refused::errno(&error) {
        libc::EPERM | libc::EACCES => FenceUnavailable::NotPermitted,
        libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT | libc::ENOENT | libc::EINVAL => {
            FenceUnavailable::Unsupported(error)
        }
        _ => FenceUnavailable::Other(error),
    }
}
