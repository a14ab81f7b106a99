//! Effects the engine asks for. The daemon brings them about in the order given, each finished
//! before the next begins, and reports a failure as [`crate::Input::Failed`].

use std::net::IpAddr;

use ipnet::IpNet;
use mesh_config::model::{Route, Rule, Statics, VirtualAddress, Vmac};
use mesh_wire::mesh::{NodeId, RouterKey, lease::Message, roster::Roster};
use mesh_wire::vrrp::Envelope;

use crate::damping::Damper;
use crate::decision::Decision;
use crate::engine::adopt::Adopted;
use crate::lease::memory::Changes;
use crate::notify::Notice;
use crate::orders::{Answer, Refused};
use crate::roster::{ChangeRefusal, State};
use crate::services::input::Surroundings;
use crate::time::Instant;
use crate::will::Will;

/// One effect.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Send one advert with TOS or traffic class 0xC0.
    SendAdvertisement {
        /// Out of this interface.
        interface: String,
        /// IP source.
        source: IpAddr,
        /// 224.0.0.18, ff02::12, or a unicast peer.
        destination: IpAddr,
        /// The rest of the IP header.
        envelope: Envelope,
        /// The VRRP packet, checksum included.
        payload: Vec<u8>,
    },
    /// Tell all hosts where this address is: gratuitous ARP requests, or unsolicited neighbour
    /// advertisements.
    Announce {
        /// Out of this interface, with its MAC address.
        interface: String,
        /// The virtual address.
        address: IpAddr,
        /// How many.
        count: u32,
    },
    /// Ask whether anybody has these addresses, by ARP (RFC 5227 section 2.1.1) or by neighbour
    /// solicitations (RFC 4862 section 5.4): two probes for each, 20 ms apart, and 20 ms more to
    /// listen; the answer is [`crate::Input::Probed`]. Nothing waits for it.
    ProbeAddresses {
        /// The number of the probe; the answer names it.
        probe: u64,
        /// Interfaces and the addresses looked for there.
        addresses: Vec<(String, IpAddr)>,
    },
    /// Have exactly these interfaces with virtual MAC addresses, up, each on the interface below it;
    /// what is there and as it has to be is left alone. One whose base is not there is left out.
    MakeVmacs {
        /// All of them.
        wanted: Vec<Vmac>,
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
    /// Have these routes and rules in the kernel.
    AddRoutes {
        /// Routes.
        routes: Vec<Route>,
        /// Rules.
        rules: Vec<Rule>,
        /// They were put there before, and are looked after.
        again: bool,
    },
    /// Remove routes and rules; one that is not there is no failure.
    DelRoutes {
        /// Routes.
        routes: Vec<Route>,
        /// Rules.
        rules: Vec<Rule>,
    },
    /// Have exactly these addresses, routes and rules that belong to no router.
    HaveStatics(Statics),
    /// Remove every address any run of this program left, by its IFA_PROTO mark.
    SweepAddresses {
        /// But not these: on this interface, this address.
        except: Vec<(String, IpAddr)>,
        /// And these, whoever put them there: a keepalived that was killed before this daemon took its place leaves
        /// its addresses behind, and removes them as it starts.
        configured: Vec<(String, IpNet)>,
    },
    /// The fence was opened for these addresses by the run before, until then: the next
    /// [`Action::FenceInstall`] leaves them open without a gap.
    FenceAdopt {
        /// The addresses.
        addresses: Vec<IpAddr>,
        /// When the kernel closes it.
        until: Instant,
    },
    /// Let the kernel drop what comes for or from these addresses, except while armed. Replaces
    /// whatever was fenced before; what stays in the list and was armed stays armed.
    FenceInstall {
        /// All fenced addresses.
        addresses: Vec<IpAddr>,
        /// Packets for these are dropped in any case, but for neighbour discovery; what ip_vs takes or the
        /// host forwards is not for them. Neither these nor others: the rules are removed.
        unaccepted: Vec<IpAddr>,
    },
    /// Open the fence for these addresses until a point in time; extends or shortens.
    FenceArm {
        /// The addresses.
        addresses: Vec<IpAddr>,
        /// The kernel closes it then, whatever the daemon does.
        until: Instant,
    },
    /// Close the fence for these addresses now.
    FenceClose {
        /// The addresses.
        addresses: Vec<IpAddr>,
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
    /// Connect to the members of this roster from now on, and to nobody else.
    AdoptRoster(Roster),
    /// Bring this to the disk, without anything else waiting for it; reported as
    /// [`crate::Input::RosterStored`]. A later one takes the place of one that was not begun.
    StoreRoster {
        /// Grows.
        ticket: u64,
        /// All there is to keep.
        state: State,
    },
    /// The answer to an [`crate::Input::ChangeRoster`].
    RosterChanged {
        /// The ticket.
        ticket: u64,
        /// The committed roster the change is in, or why there is none.
        result: Result<Roster, ChangeRefusal>,
    },
    /// The answer to an [`crate::Input::Order`].
    Ordered {
        /// The ticket.
        ticket: u64,
        /// What came of it, or why nothing did.
        result: Result<Answer, Refused>,
    },
    /// Ask a director how it is configured; answered by [`crate::Input::Settings`]. Nothing waits for it.
    AskSettings {
        /// Whom.
        node: NodeId,
    },
    /// Run these tracked scripts (and no others) from now on.
    RunScripts(Vec<mesh_config::model::TrackScript>),
    /// Look at these files and processes (and no others) from now on, and tell of each how it stands, then of every
    /// change: [`crate::Input::Tracked`].
    WatchTracked {
        /// Files, each with a number in it.
        files: Vec<mesh_config::model::TrackFile>,
        /// Processes.
        processes: Vec<mesh_config::model::TrackProcess>,
    },
    /// Tell the services who is there and serves what; only where there are virtual servers.
    TellServices(Surroundings),
    /// Keep this where it outlives the process, in place of what was kept before. It comes before
    /// whatever else the step does.
    KeepWill(Will),
    /// Write down for the next run of this daemon what it may go on with. [`Action::Stopped`]
    /// follows, unless this fails.
    LeaveBehind(Vec<Adopted>),
    /// Write down for whatever run of this daemon comes next what fell, and what is held back for it, in place of
    /// what was written before.
    KeepHolds(Vec<(RouterKey, Damper)>),
    /// Tell it: log line, span, metric.
    Record(Decision),
    /// Run notify scripts, write to FIFOs, send mail, in this order and without waiting for any of it.
    Tell(Vec<Notice>),
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
        address: IpAddr,
    },
    /// [`Action::MakeVmacs`], for one of them.
    Vmac {
        /// Its name.
        name: String,
    },
    /// [`Action::AddRoutes`], [`Action::DelRoutes`] or [`Action::HaveStatics`], for one of them.
    Route {
        /// Which one, in words.
        what: String,
    },
    /// [`Action::DelAddress`] of this address.
    Removal {
        /// The interface.
        interface: String,
        /// The address.
        address: IpAddr,
    },
    /// [`Action::ProbeAddresses`] of this number.
    Probe {
        /// The number.
        probe: u64,
    },
    /// [`Action::Remember`], and what was remembered before could not be made void either. Where it
    /// could, nothing failed: the voter goes on, and its next run knows that memory was lost.
    Memory,
    /// [`Action::StoreRoster`].
    Roster,
    /// [`Action::LeaveBehind`].
    LeaveBehind,
    /// [`Action::SendAdvertisement`] or [`Action::Announce`] on this interface.
    Advertisement {
        /// The interface.
        interface: String,
    },
}
