//! The daemon's last will, kept up to date: whatever a step is about to open or to ask for is in it
//! before that happens.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use mesh_wire::mesh::RouterKey;
use mesh_wire::mesh::lease::Release;
use mesh_wire::vrrp::ChecksumForm;

use super::Engine;
use crate::action::Action;
use crate::will::{Unsigned, Will};

/// Everything a will is made of, in a form that is cheap to make and to compare after every step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Basis {
    roster_epoch: u64,
    routers: Vec<Part>,
}

/// What of one router's state its part of the will depends on; its configuration does not change
/// while it serves or asks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    router: RouterKey,
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

impl Engine {
    /// Puts the will before all else this step does, when it changed.
    pub(super) fn keep_will(&mut self) {
        let basis = self.will_basis();
        if self.will.as_ref() != Some(&basis) {
            self.will = Some(basis);
            let will = self.last_will();
            self.out.insert(0, Action::KeepWill(will));
        }
    }

    fn will_basis(&self) -> Basis {
        let clock = self.wall_clock();
        let concerned = self.instances.iter().filter(|(_, i)| i.vrrp.is_active() || i.lease.ballot().is_some());
        let part = |(key, i): (&RouterKey, &crate::instance::Instance)| Part {
            router: *key,
            active: i.vrrp.is_active(),
            epochs: i.lease.ballot().map(|b| b.epochs()),
            source: i.source,
            checksum: i.checksum,
            own: i.own.clone(),
            ahead: i.guard.ahead(&i.config, clock),
            configured: self.configured,
        };
        Basis { roster_epoch: self.roster.as_ref().map_or(0, |r| r.epoch), routers: concerned.map(part).collect() }
    }

    fn last_will(&self) -> Will {
        let voters = self.roster.iter().flat_map(|r| r.voters()).filter(|m| m.id != self.setup.node);
        let mut will = Will { voters: voters.map(|m| (m.id, m.address)).collect(), ..Will::default() };
        for (key, instance) in &self.instances {
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
