//! The engine's own thread: facts in, effects out, nothing else.
//!
//! It runs a single-threaded runtime of its own, so that checkers, control connections and
//! telemetry can never delay a lease. Whatever it waits for is listed in [`Director::next`]; the
//! engine's timers come first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use mesh_config::model::{Config, TrackScript};
use mesh_control::Status;
use mesh_core::action::Effect;
use mesh_core::{Action, Engine, Input, Instant};
use mesh_wire::mesh::lease::Message;
use tokio::sync::{mpsc, oneshot, watch};

use crate::adverts::Adverts;
use crate::clock;
use crate::kernel::fence::{Fence, FenceWatch};
use crate::kernel::netlink::{self, Link, Netlink};
use crate::memory::Memory;
use crate::mesh::MeshHandle;
use crate::telemetry;

/// Status is refreshed at most this often after a change, and this often without one.
const STATUS_PERIOD: Duration = Duration::from_millis(100);

/// Number of the capability, from linux/capability.h.
const CAP_NET_ADMIN: u32 = 12;

/// After the fence's notifications failed, before they are asked for again.
const WATCH_RETRY: Duration = Duration::from_secs(1);

/// Where effects that are not the kernel's go.
pub struct Outputs {
    /// The mesh; `None` without one.
    pub mesh: Option<MeshHandle>,
    /// What this node grants as a voter; `None` without a mesh.
    pub memory: Option<Memory>,
    /// Scripts to run from now on.
    pub scripts: watch::Sender<Vec<TrackScript>>,
    /// What `meshctl status` shows.
    pub status: watch::Sender<Arc<Status>>,
    /// Told once, when everything is handed over.
    pub stopped: Option<oneshot::Sender<()>>,
}

/// The engine and the kernel it acts on.
pub struct Director {
    engine: Engine,
    inputs: mpsc::Receiver<Input>,
    outputs: Outputs,
    /// Interfaces with virtual routers or their addresses.
    interfaces: BTreeSet<String>,
    links: BTreeMap<String, Link>,
    adverts: Adverts,
    netlink: Netlink,
    events: mpsc::Receiver<netlink::Event>,
    fence: FenceState,
    watch: Option<FenceWatch>,
    watch_retry: Instant,
    status_at: Instant,
}

/// The fence, or why there is none.
enum FenceState {
    Ready(Fence),
    Missing(String),
}

impl Director {
    /// Opens sockets.
    ///
    /// # Errors
    ///
    /// Privileges are missing, or netlink does not answer.
    pub async fn new(
        engine: Engine,
        config: &Config,
        inputs: mpsc::Receiver<Input>,
        outputs: Outputs,
    ) -> anyhow::Result<Self> {
        let adverts = Adverts::new().map_err(explain_privileges).context("cannot open a raw socket for VRRP")?;
        let (netlink, events) = Netlink::open().await.context("cannot talk to the kernel's rtnetlink")?;
        let fence = match Fence::probe() {
            Ok(fence) => FenceState::Ready(fence),
            Err(error) => FenceState::Missing(error.to_string()),
        };
        let now = clock::now();
        Ok(Director {
            engine,
            inputs,
            outputs,
            interfaces: interfaces_of(config),
            links: BTreeMap::new(),
            adverts,
            netlink,
            events,
            fence,
            watch: None,
            watch_retry: now,
            status_at: now,
        })
    }

    /// Runs until the engine stopped or all senders of inputs are gone.
    pub async fn run(mut self) {
        self.step(Input::Timeout).await;
        while self.outputs.stopped.is_some() {
            self.watch_fence();
            match self.next().await {
                Some(input) => self.step(input).await,
                None => break,
            }
            self.show_status();
        }
    }

    /// Waits for the next fact.
    async fn next(&mut self) -> Option<Input> {
        let now = clock::now();
        let wake = self.engine.deadline().map_or(self.status_at, |(at, _)| at.min(self.status_at));
        tokio::select! {
            biased;
            () = tokio::time::sleep(wake.since(now)) => Some(Input::Timeout),
            input = self.inputs.recv() => {
                if let Some(Input::Configure(config)) = &input {
                    self.interfaces = interfaces_of(config);
                    self.open_sockets();
                }
                input
            }
            event = self.events.recv() => event.map(|event| self.kernel_event(event)),
            () = changed(&mut self.watch) => Some(self.fence_changed()),
            // Last: anybody on the segment can send as many as they like.
            datagram = self.adverts.receive() => Some(Input::Advertisement(datagram)),
        }
    }

    /// Somebody changed nftables rules; perhaps not ours.
    fn fence_changed(&mut self) -> Input {
        let intact = match &mut self.fence {
            FenceState::Ready(fence) => fence.intact().unwrap_or(false),
            FenceState::Missing(_) => true,
        };
        if intact { Input::Timeout } else { Input::FenceGone }
    }

    fn kernel_event(&mut self, event: netlink::Event) -> Input {
        match event {
            netlink::Event::Link(link) => {
                let interface = link.interface.clone();
                self.links.insert(interface.name.clone(), link);
                self.open_sockets();
                Input::Interface(interface)
            }
            netlink::Event::LinkGone { name } => {
                self.links.remove(&name);
                self.adverts.close(&name);
                Input::InterfaceGone { name }
            }
            netlink::Event::AddressGone { interface, address } => Input::AddressGone { interface, address },
        }
    }

    /// Opens what is needed and not open, also what an error closed.
    fn open_sockets(&mut self) {
        for link in self.links.values().filter(|l| self.interfaces.contains(&l.interface.name)) {
            let name = &link.interface.name;
            if let Err(error) = self.adverts.open(name, link.index, link.mac) {
                tracing::warn!(interface = %name, %error, "cannot listen for VRRP");
            }
        }
    }

    /// One fact, its effects, and the failures these report.
    async fn step(&mut self, input: Input) {
        let mut queue = VecDeque::from([input]);
        while let Some(input) = queue.pop_front() {
            let actions = self.engine.step(clock::now(), input);
            let mut failures = Failures::default();
            for action in actions {
                if failures.forbid(&action) || is_claim(&action) && self.engine.lease_ended(clock::now()) {
                    continue;
                }
                let closing = matches!(action, Action::FenceClose { .. });
                if let Err((effect, error)) = self.act(action).await {
                    failures.note(&effect, closing);
                    queue.push_back(Input::Failed { effect, error });
                }
            }
        }
    }

    async fn act(&mut self, action: Action) -> Result<(), (Effect, String)> {
        match action {
            Action::SendAdvertisement { interface, source, destination, payload } => {
                let sent = self.adverts.send(&interface, source, destination, &payload);
                sent.map_err(|e| (Effect::Advertisement { interface }, e.to_string()))?;
            }
            Action::GratuitousArp { interface, address, count } => {
                let sent = self.adverts.gratuitous_arp(&interface, address, count);
                sent.map_err(|e| (Effect::Advertisement { interface }, e.to_string()))?;
            }
            Action::AddAddress { interface, address, lifetime_s } => {
                let added = self.netlink.add_address(&interface, &address, lifetime_s).await;
                let effect = || Effect::Address { address: ipv4(&address), interface };
                added.map_err(|e| (effect(), format!("{e:#}")))?;
            }
            Action::DelAddress { interface, address } => {
                let removed = self.netlink.del_address(&interface, &address).await;
                let effect = || Effect::Removal { address: ipv4(&address), interface };
                removed.map_err(|e| (effect(), format!("{e:#}")))?;
            }
            Action::SweepAddresses => {
                let swept = self.netlink.sweep().await;
                if swept > 0 {
                    tracing::warn!(swept, "removed virtual addresses that an earlier run had left");
                }
            }
            Action::FenceInstall { addresses } => self.fence(!addresses.is_empty(), |f| f.install(&addresses))?,
            Action::FenceArm { addresses, until } => self.fence(true, |f| f.arm(&addresses, until))?,
            Action::FenceClose { addresses } => self.fence(true, |f| f.close(&addresses))?,
            Action::Remember(changes) => {
                let remembered = self.outputs.memory.as_mut().map_or(Ok(()), |memory| memory.remember(&changes));
                remembered.map_err(|e| (Effect::Memory, e.to_string()))?;
            }
            Action::Record(decision) => telemetry::record(&decision),
            Action::RunScripts(scripts) => {
                self.outputs.scripts.send_replace(scripts);
            }
            Action::Stopped => {
                self.outputs.stopped.take().map(|stopped| stopped.send(()));
            }
            Action::SendMessage { .. }
            | Action::Publish { .. }
            | Action::AdoptRoster(_)
            | Action::RosterVerdict { .. } => return self.act_on_mesh(action),
        }
        Ok(())
    }

    fn act_on_mesh(&mut self, action: Action) -> Result<(), (Effect, String)> {
        let Some(mesh) = &self.outputs.mesh else { return Ok(()) };
        match action {
            Action::SendMessage { to, message } => mesh.send(to, &message),
            Action::Publish { key, value } => mesh.publish(key, value),
            Action::AdoptRoster(roster) => mesh.adopt(&roster).map_err(|e| (Effect::Roster, format!("{e:#}")))?,
            Action::RosterVerdict { ticket, verdict } => mesh.roster_verdict(ticket, verdict),
            other => unreachable!("{other:?} is not the mesh's"),
        }
        Ok(())
    }

    /// Acts on the fence. Where there is none, only a wish to have one is a failure.
    fn fence(&mut self, wanted: bool, act: impl FnOnce(&mut Fence) -> io::Result<()>) -> Result<(), (Effect, String)> {
        if let FenceState::Missing(why) = &mut self.fence
            && wanted
        {
            // What was missing may have been loaded since; the engine asks again every quarter of a second.
            match Fence::probe() {
                Ok(fence) => self.fence = FenceState::Ready(fence),
                Err(error) => *why = error.to_string(),
            }
        }
        match &mut self.fence {
            FenceState::Ready(fence) => act(fence).map_err(|e| (Effect::Fence, e.to_string())),
            FenceState::Missing(_) if !wanted => Ok(()),
            FenceState::Missing(why) => Err((Effect::Fence, why.clone())),
        }
    }

    /// Asks to be told when somebody touches the fence.
    fn watch_fence(&mut self) {
        let FenceState::Ready(fence) = &self.fence else { return };
        let now = clock::now();
        if self.watch.is_some() || now < self.watch_retry {
            return;
        }
        self.watch_retry = now + WATCH_RETRY;
        match fence.watch() {
            Ok(watch) => self.watch = Some(watch),
            Err(error) => tracing::warn!(%error, "changes of the nftables rules by others will not be noticed"),
        }
    }

    fn show_status(&mut self) {
        let now = clock::now();
        if now >= self.status_at {
            self.status_at = now + STATUS_PERIOD;
            self.outputs.status.send_replace(Arc::new(self.status(now)));
        }
    }

    /// The engine's status, with what was dropped before it reached the engine.
    fn status(&self, now: Instant) -> Status {
        let mut status = self.engine.status(now);
        status.counters.insert("malformed_ip_packets".to_owned(), self.adverts.dropped());
        let mesh = self.outputs.mesh.iter().flat_map(MeshHandle::counters);
        let kept = self.outputs.memory.as_ref().is_none_or(Memory::is_kept);
        status.counters.insert("voter_memory_lost".to_owned(), u64::from(!kept));
        status.counters.extend(mesh.map(|(name, count)| (format!("mesh_{name}"), count)));
        status
    }
}

/// Tells what is missing before anything is changed.
///
/// # Errors
///
/// This process may not open raw sockets.
pub fn check_privileges() -> anyhow::Result<()> {
    Adverts::new().map(drop).map_err(explain_privileges)?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    // Where /proc does not say, the first request to the kernel will.
    if effective.is_some_and(|set| set & (1 << CAP_NET_ADMIN) == 0) {
        return Err(explain_privileges(io::ErrorKind::PermissionDenied.into()));
    }
    Ok(())
}

/// Resolves when the fence was touched; for ever pending without a watch.
async fn changed(watch: &mut Option<FenceWatch>) {
    match watch {
        Some(watching) => {
            if let Err(error) = watching.changed().await {
                tracing::warn!(%error, "lost the kernel's notifications on nftables");
                *watch = None;
            }
        }
        None => std::future::pending().await,
    }
}

/// What failed among the effects of one step: later ones of the same step may rely on it.
#[derive(Default)]
struct Failures {
    addition: bool,
    removal: bool,
    closing: bool,
    roster: bool,
    memory: bool,
}

impl Failures {
    fn note(&mut self, effect: &Effect, closing: bool) {
        match effect {
            Effect::Address { .. } => self.addition = true,
            Effect::Removal { .. } => self.removal = true,
            Effect::Roster => self.roster = true,
            Effect::Memory => self.memory = true,
            Effect::Fence => self.closing |= closing,
            Effect::Advertisement { .. } => {}
        }
    }

    fn forbid(&self, action: &Action) -> bool {
        match action {
            // A promise that would be forgotten is not made, to this node itself neither.
            Action::SendMessage { message: Message::Reply(_), .. }
            | Action::FenceArm { .. }
            | Action::AddAddress { .. } => self.memory,
            // Nothing is announced that is not there.
            Action::SendAdvertisement { .. } | Action::GratuitousArp { .. } => self.addition || self.memory,
            // What may still be served is not given away: the lease runs out, later than the address.
            Action::SendMessage { message: Message::Release(_), .. } => self.removal && self.closing,
            // Nor is it let out of the fence.
            Action::FenceInstall { addresses } => addresses.is_empty() && self.removal,
            // Who could not write the roster has not accepted it.
            Action::RosterVerdict { verdict: Ok(()), .. } => self.roster,
            _ => false,
        }
    }
}

/// Whether an effect tells the segment that this host serves.
fn is_claim(action: &Action) -> bool {
    matches!(action, Action::AddAddress { .. } | Action::SendAdvertisement { .. } | Action::GratuitousArp { .. })
}

fn ipv4(address: &mesh_config::model::VirtualAddress) -> Ipv4Addr {
    match address.net.addr() {
        std::net::IpAddr::V4(address) => address,
        std::net::IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    }
}

fn interfaces_of(config: &Config) -> BTreeSet<String> {
    let of = |r: &mesh_config::model::VirtualRouter| {
        let addresses = r.served().map(|a| r.interface_of(a).to_owned());
        addresses.chain([r.interface.clone()]).collect::<Vec<_>>()
    };
    config.routers.iter().flat_map(of).collect()
}

fn explain_privileges(error: io::Error) -> anyhow::Error {
    if error.kind() == io::ErrorKind::PermissionDenied {
        return anyhow::anyhow!(
            "missing privileges: run as root, or grant CAP_NET_ADMIN and CAP_NET_RAW (the systemd unit in deploy/ does)"
        );
    }
    error.into()
}

#[cfg(test)]
mod tests;
