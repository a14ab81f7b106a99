//! The daemon's last will, kept up to date: whatever a step is about to open or to ask for is in it
//! before that happens.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::time::Duration;

use mesh_wire::mesh::RouterKey;
use mesh_wire::mesh::lease::Release;
use mesh_wire::vrrp::ChecksumForm;

use super::Engine;
use crate::action::Action;
use crate::instance::Instance;
use crate::will::{Unsigned, Will};

/// Everything a will is made of, in a form that is cheap to make and to compare after every step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Basis {
    roster_epoch: u64,
    routers: BTreeMap<RouterKey, Part>,
}

/// What of one router's state its part of the will depends on. A configuration is not compared: it changes as a whole,
/// and they are numbered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    active: bool,
    epochs: Option<RangeInclusive<u64>>,
    source: Option<IpAddr>,
    checksum: ChecksumForm,
    own: BTreeSet<IpAddr>,
    /// The number in the authentication header of its last word.
    ahead: Option<u64>,
    /// Which configuration it was made by.
    configured: u64,
}

impl Part {
    /// Nothing where there is nothing to be done for the router.
    fn of(instance: &Instance, clock: Duration, configured: u64) -> Option<Self> {
        let concerned = instance.vrrp.is_active() || instance.lease.ballot().is_some();
        concerned.then(|| Part {
            active: instance.vrrp.is_active(),
            epochs: instance.lease.ballot().map(|b| b.epochs()),
            source: instance.source,
            checksum: instance.checksum,
            own: instance.own.clone(),
            ahead: instance.guard.ahead(&instance.config, clock),
            configured,
        })
    }
}

impl Engine {
    /// Puts the will before all else this step does, when it changed with the routers that may have.
    pub(super) fn keep_will(&mut self, routers: &BTreeSet<RouterKey>) {
        let roster_epoch = self.roster.as_ref().map_or(0, |r| r.epoch);
        let clock = self.wall_clock();
        let first = self.will.is_none();
        let will = self.will.get_or_insert_default();
        let mut changed = first | (std::mem::replace(&mut will.roster_epoch, roster_epoch) != roster_epoch);
        for key in routers {
            let part = self.instances.get(key).and_then(|i| Part::of(i, clock, self.configured));
            if will.routers.get(key) == part.as_ref() {
                continue;
            }
            changed = true;
            match part {
                Some(part) => drop(will.routers.insert(*key, part)),
                None => drop(will.routers.remove(key)),
            }
        }
        if changed {
            let will = self.last_will();
            self.out.insert(0, Action::KeepWill(will));
        }
    }

    fn last_will(&self) -> Will {
        let voters = self.roster.iter().flat_map(|r| r.voters()).filter(|m| m.id != self.setup.node);
        let mut will = Will { voters: voters.map(|m| (m.id, m.address)).collect(), ..Will::default() };
        for (key, instance) in self.instances.iter() {
            will.releases
                .extend(instance.lease.ballot().into_iter().flat_map(|b| Self::releases(*key, b, Release::LAST, None)));
            if !instance.vrrp.is_active() {
                continue;
            }
            let placed = instance.moving().map(|a| (instance.config.interface_of(a).to_owned(), a.net));
            will.addresses.extend(placed);
            let ahead = instance.guard.ahead(&instance.config, self.wall_clock());
            let last = self.advertisements(*key, Some(0), ahead).into_iter();
            match crate::vrrp::signing_key(&instance.config) {
                Some((id, secret)) => will.unsigned.extend(last.map(|advert| Unsigned::new(advert, id, secret))),
                None => will.resignations.extend(last),
            }
        }
        will
    }
}
