//! What a dead daemon leaves to be done, in an order that never gives away what may still be
//! served here: the fence is closed and the addresses are gone before anybody is told.

use std::fmt;

use anyhow::{Context, bail};
use mesh_core::Will;
use mesh_wire::mesh::{Family, NodeId};
use nix::net::if_::if_nametoindex;

use crate::adverts::{Adverts, Ears};
use crate::kernel::{fence, netlink};
use crate::legacy::Legacy;
use crate::run::Places;
use crate::{clock, control, mesh};

/// What was done.
#[derive(Debug, Default)]
struct Done {
    removed: usize,
    resigned: usize,
    told: usize,
    voters: usize,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Done { removed, resigned, told, voters } = self;
        write!(f, "fence closed, {removed} addresses removed, {resigned} resignations sent")?;
        if *voters > 0 {
            write!(f, ", leases given back to {told} of {voters} voters")?;
        }
        Ok(())
    }
}

/// Acts in place of the daemon, which is dead. Takes some tens of milliseconds, and less than half
/// a second where voters do not answer.
pub(super) fn act(places: &Places) {
    let begun = clock::now();
    if control::is_held(&places.runtime_dir.join("meshd.sock")) {
        // A second daemon, that the first did not let start: what is there is the first one's.
        tracing::error!("another daemon is running with these files: nothing is taken from it");
        return;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            // The fence needs none.
            let closed = fence::close_all().map(drop);
            tracing::error!(%error, ?closed, "no runtime: addresses stay until their lifetime ends");
            return;
        }
    };
    let done = runtime.block_on(carry_out(places));
    runtime.shutdown_background();
    let took = clock::now().since(begun).as_millis();
    match done {
        Ok(done) => tracing::warn!("in its place: {done}, in {took} ms"),
        Err(error) => tracing::error!("in its place, not all could be done, so that leases run out instead: {error:#}"),
    }
}

async fn carry_out(places: &Places) -> anyhow::Result<Done> {
    // First of all, and without knowing anything.
    let closed = fence::close_all();
    // What is given back below may not be gone on with, by no later run.
    Legacy::forget_adopted(&places.runtime_dir).context("what was left to a next run cannot be removed")?;
    let will = will(places);
    let swept = netlink::sweep_all(&will.addresses).await?;
    let _kept_to_the_end = closed.context("the fence cannot be closed")?;
    if let Some(failure) = swept.failure {
        bail!("an address may be left: {failure}");
    }
    // The sockets are closed last, as the kernel takes tens of milliseconds for each on a busy host.
    let mut adverts = Adverts::new().ok();
    let resigned = adverts.as_mut().map_or(0, |adverts| resign(adverts, &will));
    let mut done = Done { removed: swept.removed, resigned, ..Done::default() };
    if !will.releases.is_empty() {
        done.voters = will.voters.len();
        done.told = mesh::release(&places.state_dir, &will).await?;
    }
    // Once: should the next run die before it kept one of its own, others may be serving.
    Legacy::forget_will(&places.runtime_dir).context("the last will cannot be removed")?;
    Ok(done)
}

/// The will kept last; an empty one where there is none.
fn will(places: &Places) -> Will {
    let found = mesh::load(&places.state_dir).map(|member| member.map_or(NodeId(0), |(identity, _)| identity.node));
    let will = found.and_then(|node| Ok(Legacy::new(&places.runtime_dir, node)?.will()?));
    match will {
        Ok(will) => will.unwrap_or_default(),
        Err(error) => {
            tracing::warn!("the daemon's last will is not used: {error:#}");
            Will::default()
        }
    }
}

/// Tells the segment; how many packets left.
fn resign(adverts: &mut Adverts, will: &Will) -> usize {
    let signed = will.unsigned.iter().filter_map(|packet| packet.sign(clock::unix_time()));
    let packets: Vec<_> = will.resignations.iter().cloned().chain(signed).collect();
    let sent = packets.iter().filter(|packet| {
        let mut send = || -> anyhow::Result<()> {
            let index = if_nametoindex(packet.interface.as_str())?;
            // The MAC address is for announcements, of which there are none.
            let ears = Ears::from([Family::of(packet.source)]);
            if let Some((_, error)) = adverts.open(&packet.interface, index, [0; 6], &ears).pop_first() {
                return Err(error.into());
            }
            Ok(adverts.send(&packet.interface, packet.source, packet.destination, packet.envelope, &packet.payload)?)
        };
        send().inspect_err(|error| tracing::warn!("a resignation was not sent: {error:#}")).is_ok()
    });
    sent.count()
}
