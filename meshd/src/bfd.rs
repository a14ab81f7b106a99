//! The thread of the BFD sessions: datagrams and deadlines in, datagrams and news out, no decision.
//! It waits for nothing but these, with the clock's own resolution, so that intervals of 10 ms hold.
//!
//! News are read where they are wanted: [`BfdThread::told`] always holds which sessions are up, and
//! whoever holds a receiver wakes when that changes. No reader can delay the sessions.

mod socket;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc as commands};
use std::time::Duration;

use anyhow::Context;
use mesh_config::model::{BfdInstance, Config};
use mesh_control::BfdSession;
use mesh_core::Instant;
use mesh_core::bfd::{Action, Input, Sessions, Told};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::watch;

use self::socket::{Place, Receiver, Sender};
use crate::priority::Manner;
use crate::threads::{self, Ended};
use crate::{clock, telemetry};

/// Between two looks at what could not be opened or sent, and at what is shown.
const LOOK: Duration = Duration::from_millis(250);

/// Datagrams of one port taken in between two looks at the deadlines: a flood holds up none for long,
/// and what waited while this thread did not run is heard before anybody counts as gone.
const BATCH: usize = 1024;

/// How long the thread has to say goodbye to the neighbours.
const STOP_DEADLINE: Duration = Duration::from_secs(1);

/// What `meshctl` shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    /// All sessions.
    pub sessions: Vec<BfdSession>,
    /// What was dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
}

/// What the thread is asked for.
enum Command {
    Configure(Vec<BfdInstance>),
    Stop,
}

/// The running thread; when this is dropped it ends.
pub struct BfdThread {
    /// Resolves when it ended.
    pub ended: Ended,
    /// Which sessions are up.
    pub told: watch::Receiver<Told>,
    /// For `meshctl`.
    pub shown: watch::Receiver<Arc<Shown>>,
    commands: commands::Sender<Command>,
    wake: UnixStream,
}

/// Starts the thread `meshd-bfd`. `seed` is where chance comes from, `unix_at_zero` from 1970-01-01
/// UTC to the clock's zero.
///
/// # Errors
///
/// The system has no room for another thread.
pub fn start(config: &Config, seed: u64, unix_at_zero: Duration) -> anyhow::Result<BfdThread> {
    let (wake, woken) = UnixStream::pair().context("cannot make a pair of sockets")?;
    wake.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    let (commands, asked) = commands::channel();
    let (told, hears) = watch::channel(Told::default());
    let (shown, seen) = watch::channel(Arc::default());
    let instances = config.bfd_instances.clone();
    let manner = Manner::of(&config.process.threads.bfd, config.mesh.realtime);
    let ended = threads::spawn("meshd-bfd", manner, move || async move {
        let driver = Driver {
            sessions: Sessions::new(seed, unix_at_zero),
            random: StdRng::seed_from_u64(!seed),
            senders: BTreeMap::new(),
            receivers: BTreeMap::new(),
            deaf: BTreeMap::new(),
            troubles: BTreeMap::new(),
            look_at: clock::now(),
            commands: asked,
            woken,
            told,
            shown,
        };
        driver.run(instances)
    })?;
    Ok(BfdThread { ended, told: hears, shown: seen, commands, wake })
}

/// What is told and shown where there are no sessions.
pub fn nothing() -> (watch::Receiver<Told>, watch::Receiver<Arc<Shown>>) {
    (watch::channel(Told::default()).1, watch::channel(Arc::default()).1)
}

impl BfdThread {
    /// There are these sessions from now on; those that stay on their path go on.
    pub fn configure(&self, sessions: Vec<BfdInstance>) {
        self.ask(Command::Configure(sessions));
    }

    /// Tells the neighbours that their sessions end here. Without this they find out by themselves.
    pub async fn stop(self) {
        self.ask(Command::Stop);
        if tokio::time::timeout(STOP_DEADLINE, self.ended).await.is_err() {
            tracing::error!("the BFD sessions did not end within {STOP_DEADLINE:?}");
        }
    }

    fn ask(&self, command: Command) {
        // A thread that has ended is noticed by its end.
        let _ = self.commands.send(command);
        // A full pipe wakes it as well.
        let _ = (&self.wake).write(&[0]);
    }
}

struct Driver {
    sessions: Sessions,
    /// For source ports.
    random: StdRng,
    /// By name of the session.
    senders: BTreeMap<String, Sender>,
    receivers: BTreeMap<Place, Receiver>,
    /// Why there is no receiver.
    deaf: BTreeMap<Place, String>,
    /// What the sessions were told of that.
    troubles: BTreeMap<String, String>,
    look_at: Instant,
    commands: commands::Receiver<Command>,
    woken: UnixStream,
    told: watch::Sender<Told>,
    shown: watch::Sender<Arc<Shown>>,
}

impl Driver {
    /// Until it is asked to stop, or nobody can ask any more.
    fn run(mut self, instances: Vec<BfdInstance>) -> anyhow::Result<()> {
        self.configure(instances);
        loop {
            if clock::now() >= self.look_at {
                self.look();
            }
            let due = self.sessions.deadline().map_or(self.look_at, |due| due.min(self.look_at));
            self.wait(due.since(clock::now()))?;
            let goes_on = drain(&mut self.woken);
            while let Ok(command) = self.commands.try_recv() {
                match command {
                    Command::Configure(instances) => self.configure(instances),
                    Command::Stop => {
                        self.step(Input::Shutdown);
                        return Ok(());
                    }
                }
            }
            if !goes_on {
                return Ok(());
            }
            // First what was heard: a thread that ran late takes nobody for dead who spoke meanwhile.
            self.receive();
            if self.sessions.deadline().is_some_and(|due| due <= clock::now()) {
                self.step(Input::Timeout);
            }
        }
    }

    fn configure(&mut self, instances: Vec<BfdInstance>) {
        self.step(Input::Configure(instances));
        self.look();
    }

    /// Waits for a datagram or a command.
    fn wait(&self, longest: Duration) -> anyhow::Result<()> {
        let mut sources = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        sources.extend(self.receivers.values().map(|receiver| PollFd::new(receiver.fd(), PollFlags::POLLIN)));
        match ppoll(&mut sources, Some(TimeSpec::from_duration(longest)), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("cannot wait for BFD packets"),
        }
    }

    fn receive(&mut self) {
        let places: Vec<Place> = self.receivers.keys().copied().collect();
        for place in places {
            for _ in 0..BATCH {
                match self.receivers.get(&place).map(Receiver::receive) {
                    Some(Ok(Some(datagram))) => self.step(Input::Received(datagram)),
                    Some(Ok(None)) => {}
                    Some(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                    Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Some(Err(error)) => {
                        // It is opened again at the next look.
                        self.receivers.remove(&place);
                        self.deaf.insert(place, format!("cannot receive: {error}"));
                        break;
                    }
                    None => break,
                }
            }
        }
    }

    fn step(&mut self, input: Input) {
        for action in self.sessions.step(clock::now(), input) {
            match action {
                Action::Open(instance) => {
                    let mut sender = Sender::new(instance);
                    sender.open(&mut self.random);
                    self.senders.insert(sender.instance.name.clone(), sender);
                }
                Action::Close { name } => {
                    self.senders.remove(&name);
                    self.troubles.remove(&name);
                }
                Action::Send { name, payload } => {
                    if let Some(sender) = self.senders.get_mut(&name) {
                        sender.send(&payload);
                    }
                }
                Action::Told(told) => {
                    self.told.send_replace(told);
                    // Whoever is told may look at once.
                    self.show();
                }
                Action::Record(decision) => telemetry::record_bfd(&decision),
            }
        }
    }

    /// Opens what is missing, closes what nobody needs, and tells the sessions what is wrong.
    fn look(&mut self) {
        self.look_at = clock::now() + LOOK;
        let wanted: BTreeSet<Place> = self.senders.values().map(|sender| socket::place(&sender.instance)).collect();
        self.receivers.retain(|place, _| wanted.contains(place));
        self.deaf.retain(|place, _| wanted.contains(place));
        for place in wanted.into_iter().filter(|place| !self.receivers.contains_key(place)).collect::<Vec<_>>() {
            match Receiver::open(place) {
                Ok(receiver) => {
                    self.receivers.insert(place, receiver);
                    self.deaf.remove(&place);
                }
                Err(error) => {
                    self.deaf.insert(place, format!("cannot receive: {error}"));
                }
            }
        }
        for sender in self.senders.values_mut().filter(|sender| !sender.is_open()) {
            sender.open(&mut self.random);
        }
        self.tell_troubles();
        self.show();
    }

    fn tell_troubles(&mut self) {
        let trouble = |sender: &Sender| {
            let deaf = self.deaf.get(&socket::place(&sender.instance));
            deaf.or(sender.error.as_ref()).cloned()
        };
        let now: BTreeMap<String, Option<String>> =
            self.senders.iter().map(|(name, sender)| (name.clone(), trouble(sender))).collect();
        for (name, error) in now {
            if self.troubles.get(&name) == error.as_ref() {
                continue;
            }
            match &error {
                Some(error) => {
                    tracing::warn!(session = %name, "BFD session {name}: {error}");
                    self.troubles.insert(name.clone(), error.clone());
                }
                None => {
                    self.troubles.remove(&name);
                }
            }
            self.step(Input::Trouble { name, error });
        }
    }

    fn show(&self) {
        let shown = Shown { sessions: self.sessions.status(), dropped: self.sessions.dropped() };
        self.shown.send_if_modified(|before| {
            let changed = **before != shown;
            if changed {
                *before = Arc::new(shown);
            }
            changed
        });
    }
}

/// Takes all bytes there are; whether there can be more.
fn drain(woken: &mut UnixStream) -> bool {
    loop {
        match woken.read(&mut [0; 64]) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
