//! Effects the engine asks for. The daemon brings them about in the order given, each finished
//! before the next begins, and reports a failure as [`crate::Input::Failed`].

use std::net::Ipv4Addr;

use mesh_config::model::VirtualAddress;
use mesh_wire::mesh::{NodeId, lease::Message, roster::Roster};

use crate::decision::Decision;
use crate::lease::memory::Changes;
use crate::time::Instant;

/// One effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send one packet of IP protocol 112 with TTL 255 and TOS 0xC0.
    SendAdvertisement {
        /// Out of this interface.
        interface: String,
        /// IP source.
        source: Ipv4Addr,
        /// 224.0.0.18, or a unicast peer.
        destination: Ipv4Addr,
        /// The VRRP packet, checksum included.
        payload: Vec<u8>,
    },
    /// Broadcast gratuitous ARP requests for this address.
    GratuitousArp {
        /// Out of this interface, with its MAC address.
        interface: String,
        /// The virtual address.
        address: Ipv4Addr,
        /// How many.
        count: u32,
    },
    /// Have a virtual address in the kernel; where it is there already, renew its lifetime.
    AddAddress {
        /// On this interface.
        interface: String,
        /// Prefix, label, scope.
        address: VirtualAddress,
        /// The kernel shall remove it by itself after this many seconds, unless renewed.
        lifetime_s: u32,
    },
    /// Remove a virtual address; one that is not there is no failure.
    DelAddress {
        /// On this interface.
        interface: String,
        /// The address.
        address: VirtualAddress,
    },
    /// Remove every address any run of this program left, by its IFA_PROTO mark.
    SweepAddresses,
    /// Let the kernel drop what comes for or from these addresses, except while armed. Replaces
    /// whatever was fenced before; what stays in the list and was armed stays armed.
    FenceInstall {
        /// All fenced addresses; none removes the fence.
        addresses: Vec<Ipv4Addr>,
    },
    /// Open the fence for these addresses until a point in time; extends or shortens.
    FenceArm {
        /// The addresses.
        addresses: Vec<Ipv4Addr>,
        /// The kernel closes it then, whatever the daemon does.
        until: Instant,
    },
    /// Close the fence for these addresses now.
    FenceClose {
        /// The addresses.
        addresses: Vec<Ipv4Addr>,
    },
    /// Send to one peer, without waiting.
    SendMessage {
        /// To whom.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Gossip one value of ours.
    Publish {
        /// Key.
        key: String,
        /// Value; `None` deletes.
        value: Option<String>,
    },
    /// Keep this where it outlives the daemon, though not the host's next boot. It comes before the
    /// effects of the step that rely on it: replies, requests, and fences opened by this node's own
    /// vote.
    Remember(Changes),
    /// Keep this roster on disk and connect to its members.
    AdoptRoster(Roster),
    /// The answer to an [`crate::Input::Roster`] with a ticket; a yes comes after its
    /// [`Action::AdoptRoster`].
    RosterVerdict {
        /// The ticket.
        ticket: u64,
        /// Accepted, or the newer roster already adopted.
        verdict: Result<(), Roster>,
    },
    /// Run these tracked scripts (and no others) from now on.
    RunScripts(Vec<mesh_config::model::TrackScript>),
    /// Tell it: log line, span, metric.
    Record(Decision),
    /// All is handed over: the daemon may end.
    Stopped,
}

/// Which effect failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// [`Action::FenceInstall`], [`Action::FenceArm`] or [`Action::FenceClose`].
    Fence,
    /// [`Action::AddAddress`] of this address.
    Address {
        /// The interface.
        interface: String,
        /// The address.
        address: Ipv4Addr,
    },
    /// [`Action::DelAddress`] of this address.
    Removal {
        /// The interface.
        interface: String,
        /// The address.
        address: Ipv4Addr,
    },
    /// [`Action::Remember`], and what was remembered before could not be made void either. Where it
    /// could, nothing failed: the voter goes on, and its next run knows that memory was lost.
    Memory,
    /// [`Action::AdoptRoster`]: it is used, but not on disk.
    Roster,
    /// [`Action::SendAdvertisement`] or [`Action::GratuitousArp`] on this interface.
    Advertisement {
        /// The interface.
        interface: String,
    },
}
