//! A cable that delivers late, twice and out of order: the kernel here has no netem.
//!
//! A thread at the switch copies what a host sends, keeps it for a while, and puts it into the ports of its receivers
//! past the bridge. Together with a [`Wire`](super::Wire) that loses everything, the copies are all that arrives: delay
//! and reordering. Alone, they are stray duplicates. Frames are carried with their virtio header, so that checksums and
//! segments that the sender's kernel left to the card stay right.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::libc;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::SetBool;
use pnet_base::MacAddr;
use pnet_packet::Packet;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::udp::UdpPacket;
use socket2::SockAddr;

use super::Channel;
use crate::judge::receive_until;
use crate::lab::Lab;
use crate::{clock, host, packet};

/// Frames on their way; what comes on top is lost, as in a switch.
const CAPACITY: usize = 4096;
/// `struct virtio_net_hdr`.
const VIRTIO_HEADER: usize = 10;
/// The mesh's port.
const MESH: u16 = 7946;
/// How soon an end is noticed.
const TICK: Duration = Duration::from_millis(50);

// What `AF_PACKET` calls PACKET_VNET_HDR: every frame begins with its virtio header.
#[derive(Clone)]
struct WithVirtioHeader;
nix::setsockopt_impl!(WithVirtioHeader, libc::SOL_PACKET, libc::PACKET_VNET_HDR, bool, SetBool);

/// What the cable does to what `from` sends to `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Who sends.
    pub from: String,
    /// Who receives.
    pub to: Vec<String>,
    /// What is hit.
    pub channel: Channel,
    /// Shortest and longest time a frame takes, each by chance: what takes longer than the next is overtaken by it.
    pub delay: (Duration, Duration),
}

/// A bad cable in the network, until the value is dropped.
#[derive(Debug)]
pub struct BadCable {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl BadCable {
    /// Puts it in; when this returns, frames are copied.
    pub fn start(lab: &Lab, spec: &Spec) -> Result<BadCable> {
        let stop = Arc::new(AtomicBool::new(false));
        let (send_ready, ready) = mpsc::channel();
        let switch = lab.switch();
        let from = lab.host(&spec.from).mac;
        let to: Vec<_> = spec.to.iter().map(|name| (name.clone(), lab.host(name).mac)).collect();
        let thread = {
            let (stop, spec) = (stop.clone(), spec.clone());
            std::thread::spawn(move || {
                host::enter(&switch)?;
                carry(&spec, from, &to, &stop, &send_ready)
            })
        };
        let mut cable = BadCable { stop, thread: Some(thread) };
        if ready.recv().is_err() {
            cable.end()?;
            return Err(anyhow!("the cable ended early"));
        }
        Ok(cable)
    }

    /// Takes it out; what is on its way is lost.
    pub fn end(&mut self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().map_err(|_| anyhow!("the cable's thread panicked"))?
    }
}

impl Drop for BadCable {
    fn drop(&mut self) {
        // Whoever wants to know how it went calls `end`.
        let _ = self.end();
    }
}

// One copy on its way, ordered by when it is due.
type Late = Reverse<(Duration, u64, usize, Vec<u8>)>;

fn carry(
    spec: &Spec,
    from: MacAddr,
    to: &[(String, MacAddr)],
    stop: &AtomicBool,
    ready: &mpsc::Sender<()>,
) -> Result<()> {
    let mut socket = packet::socket()?;
    setsockopt(&socket, WithVirtioHeader, &true).context("PACKET_VNET_HDR")?;
    packet::bind(&socket, &spec.from)?;
    let ports: Vec<SockAddr> = to.iter().map(|(name, _)| packet::address(name)).collect::<Result<_>>()?;
    let mut queue: BinaryHeap<Late> = BinaryHeap::new();
    let mut number = 0;
    let _ = ready.send(());
    while !stop.load(Ordering::Relaxed) {
        let next = queue.peek().map_or(Duration::MAX, |Reverse((due, ..))| *due);
        receive_until(&mut socket, next.min(clock::now() + TICK), |bytes| {
            let Some(target) = bytes.get(VIRTIO_HEADER..).and_then(|frame| addressed(frame, from, spec.channel)) else {
                return;
            };
            for (index, (_, mac)) in to.iter().enumerate() {
                if (target == *mac || is_group(target)) && queue.len() < CAPACITY {
                    number += 1;
                    queue.push(Reverse((clock::now() + delay(spec, number), number, index, bytes.to_vec())));
                }
            }
        })?;
        while let Some(Reverse((_, _, index, frame))) = pop_due(&mut queue) {
            // A port that is gone or down, or full: lost, as on any cable.
            let _ = socket.send_to(&frame, &ports[index]);
        }
    }
    Ok(())
}

fn pop_due(queue: &mut BinaryHeap<Late>) -> Option<Late> {
    queue.peek().is_some_and(|Reverse((due, ..))| *due <= clock::now()).then(|| queue.pop()).flatten()
}

// By chance, as SplitMix64 makes it of a counter.
fn delay(spec: &Spec, number: u64) -> Duration {
    let (least, most) = spec.delay;
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let part = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 54;
    least + most.saturating_sub(least) * part as u32 / 1024
}

// Where this frame goes, if it is one of `from`'s and of this channel.
fn addressed(frame: &[u8], from: MacAddr, channel: Channel) -> Option<MacAddr> {
    let ethernet = EthernetPacket::new(frame)?;
    let wanted = ethernet.get_source() == from && (channel == Channel::All || channel_of(&ethernet) == Some(channel));
    wanted.then(|| ethernet.get_destination())
}

fn channel_of(ethernet: &EthernetPacket<'_>) -> Option<Channel> {
    if ethernet.get_ethertype() != EtherTypes::Ipv4 {
        return None;
    }
    let ip = Ipv4Packet::new(ethernet.payload())?;
    match ip.get_next_level_protocol() {
        IpNextHeaderProtocols::Vrrp => Some(Channel::Vrrp),
        IpNextHeaderProtocols::Udp => {
            // Of what the card is still to cut into segments, the header alone is enough.
            let udp = UdpPacket::new(ip.packet().get(usize::from(ip.get_header_length()) * 4..)?)?;
            [udp.get_source(), udp.get_destination()].contains(&MESH).then_some(Channel::Mesh)
        }
        _ => None,
    }
}

fn is_group(mac: MacAddr) -> bool {
    mac.0 & 1 == 1
}
