//! The judge for several virtual addresses and for machines that are busy: of every answer it keeps when its question
//! was sent and when it was seen, so that late answers prove nothing they should not.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow};

use super::frames::{Answer, Prober};
use super::{PERIOD, following, join, real_time, receive_until};
use crate::host::Host;
use crate::lab::{JUDGE, Lab};
use crate::sightings::{Seen, Sighting, Sightings};
use crate::{clock, packet};

/// ARP requests come from so many addresses in turn, and an answer names the one that it answers: it is told apart from
/// those of `ASKERS` rounds before and after, 160 ms. More would fill the neighbour tables of five directors.
const ASKERS: u32 = 32;
/// The first of these addresses; no host of the lab has one of them.
const FIRST_ASKER: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 128);

/// A running judge of several virtual addresses.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Sightings>>>,
}

impl Watch {
    /// Starts to observe these addresses; when this returns, it is about to send.
    pub fn start(lab: &Lab, vips: &[Ipv4Addr]) -> Result<Watch> {
        let stop = Arc::new(AtomicBool::new(false));
        let names = lab.directors().iter().map(|host| host.name.clone()).collect();
        let macs: Vec<_> = lab.directors().iter().map(|host| host.mac).collect();
        let judge = lab.host(JUDGE).clone();
        let probers = vips.iter().map(|vip| Prober::new(judge.mac, judge.address, *vip, macs.clone())).collect();
        let empty = Sightings::new(names, PERIOD, vips.to_vec());
        let (send_ready, ready) = mpsc::channel();
        let thread = {
            let stop = stop.clone();
            std::thread::spawn(move || sample(&judge, probers, empty, &stop, &send_ready))
        };
        let mut watch = Watch { stop, thread: Some(thread) };
        if ready.recv().is_err() {
            watch.end()?;
            return Err(anyhow!("the judge's thread ended early"));
        }
        Ok(watch)
    }

    /// Stops and gives what was seen.
    pub fn finish(mut self) -> Result<Sightings> {
        self.end()
    }

    fn end(&mut self) -> Result<Sightings> {
        self.stop.store(true, Ordering::Relaxed);
        join(self.thread.take())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn sample(
    host: &Host,
    probers: Vec<Prober>,
    mut seen: Sightings,
    stop: &AtomicBool,
    ready: &mpsc::Sender<()>,
) -> Result<Sightings> {
    host.enter()?;
    real_time();
    let mut socket = packet::socket()?;
    let eth0 = packet::bind(&socket, "eth0")?;
    let mut next = clock::now();
    let _ = ready.send(());
    while !stop.load(Ordering::Relaxed) {
        let number = seen.begin_round(clock::now());
        for prober in &probers {
            for frame in prober.round_from(number, asker(number)) {
                // No buffers or no carrier: the round stays unanswered, which is what it is.
                let _ = socket.send_to(&frame, &eth0);
            }
        }
        next = following(next, PERIOD);
        receive_until(&mut socket, next, |bytes| {
            let Some((vip, answer)) = first_answer(&probers, bytes) else { return };
            let (host, round, kind) = match answer {
                Answer::Echo { host, round } => (host, round, Seen::Echo),
                Answer::Arp { host, asker } => {
                    let Some(round) = asked_by(asker, number) else { return };
                    (host, round, Seen::Arp)
                }
            };
            seen.note(vip, Sighting { host, round, at: clock::now(), kind });
        })?;
    }
    Ok(seen)
}

fn first_answer(probers: &[Prober], bytes: &[u8]) -> Option<(usize, Answer)> {
    probers.iter().enumerate().find_map(|(vip, prober)| Some((vip, prober.answer(bytes)?)))
}

fn asker(round: u32) -> Ipv4Addr {
    let [a, b, c, first] = FIRST_ASKER.octets();
    Ipv4Addr::new(a, b, c, first + (round % ASKERS) as u8)
}

// The latest round, up to `current`, that asked in the name of this address.
fn asked_by(asker: Ipv4Addr, current: u32) -> Option<u32> {
    let place = u32::from(asker).checked_sub(u32::from(FIRST_ASKER)).filter(|place| *place < ASKERS)?;
    let back = (current + ASKERS - place) % ASKERS;
    current.checked_sub(back)
}

/// How long the judge may pause between two rounds and still be said to have been looking.
pub const LOOKS_EVERY: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asker_tells_its_round() {
        for (round, current) in [(0, 0), (5, 5), (4, 5), (70, 70), (40, 70), (64, 95), (31, 33)] {
            assert_eq!(asked_by(asker(round), current), Some(round), "{round} seen in {current}");
        }
        assert_eq!(asked_by(Ipv4Addr::new(10, 1, 1, 51), 9), None, "not one of ours");
        assert_eq!(asked_by(asker(9), 5), None, "not asked yet");
    }
}
