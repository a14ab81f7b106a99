//! Follows links and addresses, and tells what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::PoisonError;
use std::time::Duration;

use anyhow::Context;
use futures_util::{Stream, StreamExt, TryStreamExt};
use ipnet::Ipv4Net;
use mesh_core::input::Interface;
use rtnetlink::Handle;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use tokio::sync::mpsc;

use super::{DEADLINE, Event, Link, State, addresses, is_ours};

/// Without any announcement the watcher looks again after this long: a lost one is made up for.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// What was seen last.
#[derive(Debug, Default)]
struct Seen {
    links: BTreeMap<String, Link>,
    ours: BTreeSet<(String, Ipv4Addr)>,
}

/// Runs until the receiver of events is gone.
pub(super) async fn run<T>(
    handle: Handle,
    announcements: impl Stream<Item = T> + Unpin,
    state: State,
    events: mpsc::Sender<Event>,
) {
    let mut announcements = announcements.ready_chunks(1024);
    let mut seen = Seen::default();
    loop {
        match look(&handle).await {
            Ok(now) => {
                for event in difference(&seen, &now, &state) {
                    if events.send(event).await.is_err() {
                        return;
                    }
                }
                seen = now;
            }
            Err(error) => tracing::warn!(error = format!("{error:#}"), "cannot read links and addresses"),
        }
        // A closed stream means that the connection died; then only looking again is left.
        if let Ok(None) = tokio::time::timeout(LOOK_AGAIN, announcements.next()).await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Dumps links and addresses.
async fn look(handle: &Handle) -> anyhow::Result<Seen> {
    let links = handle.link().get().execute().try_collect::<Vec<_>>();
    let links = tokio::time::timeout(DEADLINE, links).await.context("the kernel does not answer")??;
    let mut seen = Seen::default();
    let mut names = BTreeMap::new();
    for message in &links {
        if let Some(link) = link(message) {
            names.insert(link.index, link.interface.name.clone());
            seen.links.insert(link.interface.name.clone(), link);
        }
    }
    for message in addresses(handle).await? {
        let (Some(name), Some(net)) = (names.get(&message.header.index), net(&message)) else { continue };
        if is_ours(&message) {
            seen.ours.insert((name.clone(), net.addr()));
        } else if let Some(link) = seen.links.get_mut(name) {
            link.interface.addresses.push(net);
        }
    }
    Ok(seen)
}

fn link(message: &LinkMessage) -> Option<Link> {
    let mut name = None;
    let mut mac = [0; 6];
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::Address(bytes) => mac = bytes.as_slice().try_into().unwrap_or(mac),
            _ => {}
        }
    }
    let needed = LinkFlags::Up | LinkFlags::Running | LinkFlags::LowerUp;
    let running = message.header.flags.contains(needed);
    let interface = Interface { name: name?, running, addresses: Vec::new() };
    Some(Link { index: message.header.index, mac, interface })
}

fn net(message: &AddressMessage) -> Option<Ipv4Net> {
    let local = message.attributes.iter().find_map(|a| match a {
        AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
        _ => None,
    })?;
    Ipv4Net::new(local, message.header.prefix_len).ok()
}

/// What to tell. An address of ours is gone when it was seen, is not seen now, and was not removed
/// by ourselves.
fn difference(before: &Seen, now: &Seen, state: &State) -> Vec<Event> {
    let mut shared = state.lock().unwrap_or_else(PoisonError::into_inner);
    shared.indexes = now.links.iter().map(|(name, link)| (name.clone(), link.index)).collect();
    let gone = before.links.keys().filter(|name| !now.links.contains_key(*name));
    let mut events: Vec<Event> = gone.map(|name| Event::LinkGone { name: name.clone() }).collect();
    for (name, link) in &now.links {
        let earlier = before.links.get(name);
        if earlier.is_some_and(|e| e.index != link.index) {
            events.push(Event::LinkGone { name: name.clone() });
        }
        if earlier != Some(link) {
            events.push(Event::Link(link.clone()));
        }
    }
    for (interface, address) in before.ours.difference(&now.ours) {
        if shared.ours.remove(&(interface.clone(), *address)) {
            events.push(Event::AddressGone { interface: interface.clone(), address: *address });
        }
    }
    events
}
