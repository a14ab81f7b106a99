//! How long the effects of a takeover took.

use std::net::IpAddr;

use mesh_core::story::{Span, Told, names};
use mesh_core::{Action, Instant};
use mesh_wire::mesh::RouterKey;

use crate::clock;

/// What happened in one step of the engine, and the effects that belong to it.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    told: Vec<Told>,
    measured: Vec<Measured>,
    /// Something is told that effects are a part of.
    watched: bool,
}

/// One effect.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// What was done.
    pub name: &'static str,
    /// When it began.
    pub begin: Instant,
    /// When it ended.
    pub end: Instant,
    /// For whom.
    pub whose: Whose,
    /// Why it could not be done.
    pub failed: Option<String>,
}

/// Which routers an effect was for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whose {
    /// All that changed in this step: their addresses are added together.
    All,
    /// Those with one of these addresses.
    Addresses(Vec<IpAddr>),
    /// Those with this VRID.
    Vrid(u8),
}

impl Whose {
    /// Whether the effect is a part of what a span tells.
    pub(super) fn is(&self, router: RouterKey, addresses: &[IpAddr]) -> bool {
        match self {
            Whose::All => true,
            Whose::Addresses(list) => list.iter().any(|a| addresses.contains(a)),
            Whose::Vrid(vrid) => router.vrid == *vrid,
        }
    }
}

impl Effects {
    /// Of a step in which this happened.
    pub(crate) fn of(told: Vec<Told>) -> Effects {
        let watched = told.iter().any(|t| matches!(t, Told::Span(Span { addresses, .. }) if !addresses.is_empty()));
        Effects { told, measured: Vec::new(), watched }
    }

    /// An effect begins; nothing is measured in steps in which nothing is told.
    pub(crate) fn begin(&self, action: &Action) -> Option<Measured> {
        if !self.watched {
            return None;
        }
        let (name, whose) = match action {
            Action::FenceArm { addresses, .. }
            | Action::FenceClose { addresses }
            | Action::FenceInstall { addresses, .. } => (names::FENCE, Whose::Addresses(addresses.clone())),
            Action::AddAddress { .. } => (names::ADDRESSES, Whose::All),
            Action::DelAddress { address, .. } => (names::ADDRESSES, Whose::Addresses(vec![address.net.addr()])),
            // The second byte of either version of VRRP is the VRID.
            Action::SendAdvertisement { payload, .. } => (names::ADVERTISEMENT, Whose::Vrid(*payload.get(1)?)),
            Action::Announce { address, .. } => (names::ANNOUNCEMENT, Whose::Addresses(vec![*address])),
            _ => return None,
        };
        let now = clock::now();
        Some(Measured { name, begin: now, end: now, whose, failed: None })
    }

    /// It ended.
    pub(crate) fn end(&mut self, effect: Option<Measured>, failed: Option<&str>) {
        let Some(effect) = effect else { return };
        self.measured.push(Measured { end: clock::now(), failed: failed.map(str::to_owned), ..effect });
    }

    pub(super) fn into_parts(self) -> (Vec<Told>, Vec<Measured>) {
        (self.told, self.measured)
    }
}
