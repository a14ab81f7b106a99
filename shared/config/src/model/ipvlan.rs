//! `use_ipvlan`: an interface above one of the host's, with the same MAC address, that has the address which adverts
//! come from: what comes for that is its own. Virtual addresses are on the interface below, as keepalived 2.2.7 has
//! them. So do adverts leave there, which looks the same on the wire.

use ipnet::IpNet;
use mesh_wire::mesh::Family;

use super::{Transport, VirtualRouter, Vmac};

/// What makes an ipvlan of a [`Vmac`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ipvlan {
    /// An address of the host's own on it, which adverts come from; none: they come from the interface below.
    pub address: Option<IpNet>,
    /// What ipvlans of one interface hear of each other.
    pub mode: IpvlanMode,
}

/// What ipvlans of one interface hear of each other; the same for all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpvlanMode {
    /// Everything.
    #[default]
    Bridge,
    /// Nothing.
    Private,
    /// What a switch sends back.
    Vepa,
}

impl IpvlanMode {
    /// All of them, with their words.
    pub const ALL: [(&'static str, IpvlanMode); 3] =
        [("bridge", IpvlanMode::Bridge), ("private", IpvlanMode::Private), ("vepa", IpvlanMode::Vepa)];

    /// The mode that this word names.
    pub fn of(word: &str) -> Option<IpvlanMode> {
        IpvlanMode::ALL.iter().find(|(name, _)| *name == word).map(|(_, mode)| *mode)
    }

    /// Its word.
    pub fn name(self) -> &'static str {
        let [bridge, private, vepa] = IpvlanMode::ALL.map(|(name, _)| name);
        match self {
            IpvlanMode::Bridge => bridge,
            IpvlanMode::Private => private,
            IpvlanMode::Vepa => vepa,
        }
    }
}

impl Vmac {
    /// An ipvlan, with a name that is still to be found.
    pub fn ipvlan(base: impl Into<String>, ipvlan: Ipvlan) -> Self {
        Vmac { mac: [0; 6], ipvlan: Some(ipvlan), ..Vmac::new(base, Family::Ipv4, 0) }
    }

    /// The MAC address that nothing else of this host has; none where it is that of the interface below.
    pub fn own_mac(&self) -> Option<[u8; 6]> {
        self.ipvlan.is_none().then_some(self.mac)
    }
}

impl VirtualRouter {
    /// The interface that has the source of its adverts.
    pub fn source_interface(&self) -> &str {
        let Transport::Multicast { source: Some(source) } = &self.transport else { return &self.interface };
        let own = |vmac: &&Vmac| vmac.ipvlan.and_then(|i| i.address).is_some_and(|net| net.addr() == *source);
        self.vmac.as_ref().filter(own).map_or(&self.interface, |vmac| &vmac.name)
    }
}
