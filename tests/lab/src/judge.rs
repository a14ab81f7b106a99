//! Who serves the VIP, seen from the clients' side.
//!
//! Two threads, each in a namespace of its own:
//!
//! - the judge sends, every [`PERIOD`], one echo request for the VIP framed to *each* director's own hardware address
//!   and one ARP request for the VIP to everybody. A director that answers either one serves the VIP at that moment.
//!   This sees two owners where an ordinary client, whose neighbour cache knows one, sees none of it;
//! - the client pings the VIP through its kernel, neighbour cache and all, as any real client does.
//!
//! An answer counts for the moment its probe was sent. Both threads ask for real-time scheduling, so that a busy
//! machine does not look like an outage, and how late they were is part of the report.

mod frames;
pub mod watch;

use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use pnet_base::MacAddr;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::clock;
use crate::host::Host;
use crate::lab::{CLIENT, JUDGE, Lab, VIP};
use crate::packet;
use crate::report::{Pings, Report, Round};
use frames::{Answer, Prober};

/// Time between two rounds.
pub const PERIOD: Duration = Duration::from_millis(5);

/// An answer to the client that takes longer is an outage to a user, whatever comes in the end: the kernel keeps
/// packets while it looks for a neighbour, and delivers them late.
const CLIENT_PATIENCE: Duration = Duration::from_millis(100);

/// A running judge.
#[derive(Debug)]
pub struct Judge {
    names: Vec<String>,
    stop: Arc<AtomicBool>,
    rounds: Option<JoinHandle<Result<Vec<Round>>>>,
    client: Option<JoinHandle<Result<Pings>>>,
}

impl Judge {
    /// Starts to observe; when this returns, both threads are in their namespaces and about to send.
    pub fn start(lab: &Lab) -> Result<Judge> {
        let stop = Arc::new(AtomicBool::new(false));
        let macs: Vec<_> = lab.directors().iter().map(|host| host.mac).collect();
        let judge = lab.host(JUDGE).clone();
        let (send_ready, ready) = mpsc::channel();
        let rounds = {
            let (stop, ready) = (stop.clone(), send_ready.clone());
            std::thread::spawn(move || sample(&judge, macs, &stop, ready))
        };
        let client = {
            let (stop, host) = (stop.clone(), lab.host(CLIENT).clone());
            std::thread::spawn(move || ping(&host, &stop, send_ready))
        };
        let names = lab.directors().iter().map(|host| host.name.clone()).collect();
        let judge = Judge { names, stop, rounds: Some(rounds), client: Some(client) };
        for _ in 0..2 {
            if ready.recv().is_err() {
                // A thread that could not start says why when it is joined.
                judge.finish()?;
                return Err(anyhow!("a judge's thread ended early"));
            }
        }
        Ok(judge)
    }

    /// Stops and gives what was seen.
    pub fn finish(mut self) -> Result<Report> {
        self.stop.store(true, Ordering::Relaxed);
        let rounds = join(self.rounds.take())?;
        let client = join(self.client.take())?;
        Ok(Report::new(self.names.clone(), PERIOD, rounds, client))
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn join<T>(handle: Option<JoinHandle<Result<T>>>) -> Result<T> {
    handle.context("joined twice")?.join().map_err(|_| anyhow!("a judge's thread panicked"))?
}

fn sample(host: &Host, macs: Vec<MacAddr>, stop: &AtomicBool, ready: mpsc::Sender<()>) -> Result<Vec<Round>> {
    host.enter()?;
    real_time();
    let mut socket = packet::socket()?;
    let eth0 = packet::bind(&socket, "eth0")?;
    let prober = Prober::new(host.mac, host.address, VIP, macs);
    let mut rounds: Vec<Round> = Vec::new();
    let mut next = clock::now();
    let _ = ready.send(());
    while !stop.load(Ordering::Relaxed) {
        let number = rounds.len() as u32;
        rounds.push(Round { at: clock::now(), icmp: 0, arp: 0 });
        for frame in prober.round(number) {
            // No buffers or no carrier: the round stays unanswered, which is what it is.
            let _ = socket.send_to(&frame, &eth0);
        }
        next = following(next, PERIOD);
        receive_until(&mut socket, next, |bytes| match prober.answer(bytes) {
            Some(Answer::Echo { host, round }) => {
                if let Some(round) = rounds.get_mut(round as usize) {
                    round.icmp |= 1 << host;
                }
            }
            // An ARP answer does not say what it answers: it is there microseconds after its question.
            Some(Answer::Arp { host, .. }) => rounds.last_mut().expect("one was just pushed").arp |= 1 << host,
            None => {}
        })?;
    }
    Ok(rounds)
}

fn ping(host: &Host, stop: &AtomicBool, ready: mpsc::Sender<()>) -> Result<Pings> {
    host.enter()?;
    real_time();
    let mut socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).context("ICMP socket")?;
    socket.set_nonblocking(true)?;
    let vip = SockAddr::from(std::net::SocketAddrV4::new(VIP, 0));
    let mut beats: Pings = Vec::new();
    let mut next = clock::now();
    let _ = ready.send(());
    while !stop.load(Ordering::Relaxed) {
        let number = beats.len() as u32;
        beats.push((clock::now(), false));
        // "No route to host" while no neighbour answers: an outage like any other.
        let _ = socket.send_to(&frames::echo_request(frames::CLIENT_ID, number), &vip);
        next = following(next, PERIOD);
        receive_until(&mut socket, next, |bytes| {
            let Some(number) = frames::client_answer(bytes, VIP) else { return };
            let Some((sent, answered)) = beats.get_mut(number as usize) else { return };
            *answered |= clock::now().saturating_sub(*sent) <= CLIENT_PATIENCE;
        })?;
    }
    Ok(beats)
}

// The next round's time. After a stall the rounds that were missed are not made up for.
fn following(last: Duration, period: Duration) -> Duration {
    (last + period).max(clock::now())
}

pub(crate) fn receive_until(socket: &mut Socket, until: Duration, mut take: impl FnMut(&[u8])) -> Result<()> {
    let mut buffer = vec![0; packet::LONGEST];
    loop {
        loop {
            match socket.read(&mut buffer) {
                Ok(length) => take(&buffer[..length]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // ENETDOWN and its like are news about the network, not about the judge.
                Err(_) => break,
            }
        }
        let Some(left) = until.checked_sub(clock::now()).filter(|left| !left.is_zero()) else { return Ok(()) };
        let mut fds = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match ppoll(&mut fds, Some(TimeSpec::from(left)), None) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
    }
}

// Where it is refused (a container without CAP_SYS_NICE) the judge still works, and the report shows its lateness.
fn real_time() {
    let thread = nix::unistd::gettid().to_string();
    let _ = Command::new("chrt").args(["-f", "-p", "10", &thread]).stdout(Stdio::null()).stderr(Stdio::null()).status();
}
