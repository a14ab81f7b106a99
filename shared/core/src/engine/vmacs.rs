//! Interfaces with virtual MAC addresses: made while they are configured, and made again when
//! somebody takes them away.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use mesh_config::model::{Config, Vmac};

use super::Engine;
use super::repairs::Repair;
use crate::action::Action;
use crate::time::Instant;

/// After one could not be made, before the next try.
const RETRY: Duration = Duration::from_secs(1);

/// What is known of them beyond [`Engine::interfaces`].
#[derive(Debug, Default)]
pub(super) struct Vmacs {
    /// Why one could not be made.
    failed: BTreeMap<String, String>,
    pub(super) retry: Option<Instant>,
    /// Somebody took it away, and it is being made again.
    lost: BTreeSet<String>,
}

impl Engine {
    /// Has the kernel hold those of a new configuration, and no others.
    pub(super) fn configure_vmacs(&mut self, config: &Config) {
        let (before, wanted) = (all(&self.config), all(config));
        self.vmacs.failed.clear();
        if !before.is_empty() || !wanted.is_empty() {
            self.out.push(Action::MakeVmacs { wanted });
        }
    }

    /// An interface came, or changed; `ran` tells whether it was running before.
    pub(super) fn vmac_seen(&mut self, now: Instant, name: &str, ran: bool) {
        self.vmacs.failed.remove(name);
        let down = |v: &Vmac| {
            let running = |name: &str| self.interfaces.get(name).is_some_and(|i| i.running);
            v.name == name && ran && running(&v.base) && !running(name)
        };
        let missing = |v: &Vmac| v.base == name && !self.interfaces.contains_key(&v.name);
        let needed = all(&self.config).iter().any(|v| down(v) || missing(v) || self.lost_address(v, name));
        self.make_vmacs_if(needed);
        if self.vmacs.lost.remove(name) {
            self.repaired(now, Repair::Interface, format!("interface {name} was removed by somebody else"));
        }
    }

    /// Whether an ipvlan is there without the address that is its own.
    fn lost_address(&self, vmac: &Vmac, name: &str) -> bool {
        let wanted = vmac.ipvlan.and_then(|ipvlan| ipvlan.address).filter(|_| vmac.name == name);
        let Some((net, known)) = wanted.zip(self.interfaces.get(name)) else { return false };
        let unusable = known.unusable.iter().any(|(address, _)| net.addr() == IpAddr::V6(*address));
        known.running && !unusable && !known.addresses.iter().any(|a| a.addr() == net.addr())
    }

    /// An interface went.
    pub(super) fn vmac_gone(&mut self, name: &str) {
        for vmac in all(&self.config).into_iter().filter(|v| v.base == name) {
            // It went with the interface below it, which is nobody's doing.
            self.vmacs.lost.remove(&vmac.name);
        }
        let needed = all(&self.config).iter().any(|v| v.name == name && self.interfaces.contains_key(&v.base));
        if needed {
            self.vmacs.lost.insert(name.to_owned());
        }
        self.make_vmacs_if(needed);
    }

    /// Has all of them made again, where one of them needs it.
    fn make_vmacs_if(&mut self, needed: bool) {
        if needed && !self.stopping {
            self.out.push(Action::MakeVmacs { wanted: all(&self.config) });
        }
    }

    /// The kernel refused one.
    pub(super) fn vmac_failed(&mut self, now: Instant, name: String, error: String) {
        self.vmacs.failed.insert(name, error);
        self.vmacs.retry.get_or_insert(now + RETRY);
        self.evaluate_all(now);
    }

    /// Tries again.
    pub(super) fn retry_vmacs(&mut self, now: Instant) {
        if self.vmacs.retry.is_some_and(|t| t <= now) {
            self.vmacs.retry = None;
            self.make_vmacs_if(true);
        }
    }

    /// At the end nothing of them is left.
    pub(super) fn remove_vmacs(&mut self) {
        if !all(&self.config).is_empty() {
            self.out.push(Action::MakeVmacs { wanted: Vec::new() });
        }
    }

    /// Whether one is not there, or not up, though the interface below it would let it be.
    pub(super) fn lacks(&self, vmac: &Vmac) -> bool {
        let down = self.interfaces.get(&vmac.base).is_some_and(|base| !base.running);
        !down && !self.interfaces.get(&vmac.name).is_some_and(|i| i.running)
    }

    /// Why it is not.
    pub(super) fn absence(&self, vmac: &Vmac) -> String {
        match self.vmacs.failed.get(&vmac.name) {
            Some(why) => format!("interface {} cannot be made: {why}", vmac.name),
            None => absence(vmac),
        }
    }
}

/// It is expected at any moment.
pub(crate) fn absence(vmac: &Vmac) -> String {
    format!("interface {} on {} is not there", vmac.name, vmac.base)
}

fn all(config: &Config) -> Vec<Vmac> {
    config.routers.iter().flat_map(|r| r.vmacs()).cloned().collect()
}
