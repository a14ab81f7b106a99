//! The guard: a small parent process that does, the moment the daemon dies, what the daemon would
//! have done had it stopped in order, and starts it again.
//!
//! ```text
//! meshd run (guard)                        meshd run --no-guard (daemon)
//!   starts, waits ------ MESHD_GUARD ----->  writes its last will before each step's effects
//!   forwards signals --------------------->  reloads, stops
//!   notes that it was ready <--- socket ---  started
//!   wait() says it is dead: closes the fence, removes addresses, sends priority 0, releases leases
//! ```
//!
//! It has one thread, no runtime and no open socket until it is needed. When the guard dies first,
//! the daemon gets SIGTERM and hands over.

mod alone;
mod deputy;
mod link;
mod policy;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::Context;
use mesh_core::Instant;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use crate::compat::{PidFiles, as_meshd, tell_systemd};
use crate::legacy::WILL_VERSION;
use crate::run::{self, Places};
use crate::signals::{self, realtime};
use crate::{clock, priority};
pub use link::{Link, Task, attach};
pub use policy::RESTART;
use policy::{Death, Next, Policy};

/// What is passed on to the daemon.
fn forwarded() -> [i32; 7] {
    let [terminate, interrupt, hangup, data, stats] =
        [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2].map(|signal| signal as i32);
    [terminate, interrupt, hangup, data, stats, signals::json(), signals::stats_clear()]
}

/// Runs `meshd run --no-guard` with the same files until it ends in order, and acts in its place
/// whenever it dies. `pids` are the files to write their numbers to, `without_meaning` options to be
/// told of once.
///
/// # Errors
///
/// It cannot be started at all, or signals cannot be waited for.
pub fn run(places: &Places, pids: Option<PidFiles>, without_meaning: &[&str]) -> anyhow::Result<ExitCode> {
    // Before any other thread: they inherit it.
    let signals = Signals::block().context("cannot wait for signals")?;
    // Before anything of another one's is touched, its PID files for example.
    let _alone = alone::in_directory(&places.runtime_dir)?;
    let _log = run::init_logging(places.syslog);
    if !without_meaning.is_empty() {
        tracing::info!("options that have no effect here: {}", without_meaning.join(", "));
    }
    let process = run::enter_namespace(places)?;
    priority::take_name(process.name.as_deref());
    // The path as it is now: after an upgrade another program is there.
    let program = std::env::current_exe().context("cannot tell which program this is")?;
    // A real server's addresses stay, whenever its daemon dies.
    let task = if run::directs(places) { Task::Kernel } else { Task::Nothing };
    if let Some(pids) = &pids {
        pids.write_parent();
    }
    let mut guard =
        Guard { places, program, signals, policy: Policy::default(), task, stopping: false, died_at: None, pids };
    guard.run()
}

struct Guard<'a> {
    places: &'a Places,
    program: PathBuf,
    signals: Signals,
    policy: Policy,
    /// What is to be done for a dead daemon. Until one told, nobody knows what an earlier guard's left.
    task: Task,
    /// Somebody asked for the end.
    stopping: bool,
    /// When the daemon died last, in seconds since 1970.
    died_at: Option<u64>,
    pids: Option<PidFiles>,
}

impl Guard<'_> {
    fn run(&mut self) -> anyhow::Result<ExitCode> {
        loop {
            let started = clock::now();
            let (death, ready) = self.watch_one()?;
            let lived = clock::now().since(started);
            match self.policy.after(&death, ready, lived, self.stopping) {
                Next::Exit { code, will } => {
                    if will {
                        self.act(&death, lived);
                    }
                    return Ok(ExitCode::from(code));
                }
                Next::Restart { will, pause } => {
                    if self.policy.after_death() {
                        self.died_at = Some(clock::unix_time().as_secs());
                    }
                    if will {
                        self.act(&death, lived);
                    }
                    self.pause(pause)?;
                    if self.stopping {
                        return Ok(ExitCode::SUCCESS);
                    }
                }
            }
        }
    }

    /// One life of the daemon: how it ended, and whether it had been ready.
    fn watch_one(&mut self) -> anyhow::Result<(Death, bool)> {
        let (ours, theirs) = UnixStream::pair().context("cannot make a socket for the daemon")?;
        ours.set_nonblocking(true).context("cannot use a socket")?;
        let mut child = match self.start(theirs) {
            Ok(child) => child,
            // A program that is just being replaced may be there in a moment.
            Err(error) if self.policy.was_ready() => return Ok((Death::NotStarted(error.to_string()), false)),
            Err(error) => return Err(error).with_context(|| format!("cannot start {}", self.program.display())),
        };
        if let Some(pids) = &self.pids {
            pids.write_daemon(child.id());
        }
        let status = self.wait(&mut child, &ours)?;
        let told = link::told(&ours);
        self.task = told.unwrap_or(self.task);
        Ok((death(status), told.is_some()))
    }

    fn start(&self, stdin: UnixStream) -> io::Result<Child> {
        let mut command = as_meshd(&self.program);
        command.args(self.places.run_arguments()).arg("--no-guard");
        command.stdin(Stdio::from(OwnedFd::from(stdin))).env_remove("MESHD_TOKEN");
        let link = Link {
            pid: std::process::id(),
            restarts: self.policy.restarts(),
            last_death: self.policy.last_death().map(str::to_owned),
            died_at: self.died_at,
            after_death: self.policy.after_death(),
            program: self.program.clone(),
            will: WILL_VERSION,
        };
        command.env(link::VARIABLE, link.to_text()?).spawn()
    }

    /// Waits for the daemon's end, and passes signals on meanwhile.
    fn wait(&mut self, child: &mut Child, told: &UnixStream) -> anyhow::Result<ExitStatus> {
        let mut ready = false;
        loop {
            // Before waiting for signals: its end may have been told already.
            if let Some(status) = child.try_wait().context("cannot wait for the daemon")? {
                return Ok(status);
            }
            for signal in self.signals.wait_or_told(told, &mut ready)? {
                if asks_for_the_end(signal) && !std::mem::replace(&mut self.stopping, true) {
                    tell_systemd("STOPPING=1");
                }
                if forwarded().contains(&signal) {
                    // Not reaped yet, so that the number is still its own.
                    let _ = realtime::send(Pid::from_raw(child.id() as i32), signal);
                }
            }
        }
    }

    /// What the daemon can no longer do itself.
    fn act(&self, death: &Death, lived: Duration) {
        tracing::error!("the daemon died after {:.1} s: {death}", lived.as_secs_f64());
        match self.task {
            Task::Kernel => deputy::act(self.places),
            // A witness may not touch the kernel, and a real server goes on serving without it.
            Task::Nothing => {}
        }
    }

    /// Waits before the next start, unless somebody asks for the end.
    fn pause(&mut self, pause: Duration) -> anyhow::Result<()> {
        if pause.is_zero() {
            return Ok(());
        }
        tracing::warn!("starting it again in {} s", pause.as_secs());
        let until = clock::now() + pause;
        while clock::now() < until && !self.stopping {
            let signals = self.signals.wait(Some(until))?;
            self.stopping |= signals.into_iter().any(asks_for_the_end);
        }
        Ok(())
    }
}

fn death(status: ExitStatus) -> Death {
    match (status.code(), status.signal()) {
        (Some(code), _) => Death::Exit(code),
        (None, Some(signal)) => Death::Signal(signal),
        (None, None) => Death::NotStarted(status.to_string()),
    }
}

/// Signals as something to wait for. What is blocked here the daemon unblocks ([`attach`]).
struct Signals(SignalFd);

impl Signals {
    fn block() -> nix::Result<Signals> {
        let mask = watched();
        mask.thread_block()?;
        SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).map(Signals)
    }

    /// Those that came. Once the daemon told that it is ready, whoever started this is told, too.
    fn wait_or_told(&mut self, told: &UnixStream, ready: &mut bool) -> anyhow::Result<Vec<i32>> {
        if !*ready {
            let fds =
                &mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN), PollFd::new(told.as_fd(), PollFlags::POLLIN)];
            match poll(fds, PollTimeout::NONE) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(errno) => return Err(errno).context("cannot wait for the daemon"),
            }
            let events = fds[1].revents().unwrap_or(PollFlags::empty());
            *ready = !events.is_empty();
            if events.contains(PollFlags::POLLIN) {
                tell_systemd("READY=1");
            }
            return self.read();
        }
        self.wait(None)
    }

    /// Those that came; none where `until` came first.
    fn wait(&mut self, until: Option<Instant>) -> anyhow::Result<Vec<i32>> {
        let left = until.map(|until| until.since(clock::now()));
        // Rounded up: not woken before it is due.
        let timeout = left
            .map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX));
        match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno).context("cannot wait for signals"),
        }
        self.read()
    }

    fn read(&mut self) -> anyhow::Result<Vec<i32>> {
        let mut came = Vec::new();
        while let Some(info) = self.0.read_signal().context("cannot read signals")? {
            came.push(info.ssi_signo as i32);
        }
        Ok(came)
    }
}

fn asks_for_the_end(signal: i32) -> bool {
    signal == Signal::SIGTERM as i32 || signal == Signal::SIGINT as i32
}

fn watched() -> SigSet {
    realtime::set(forwarded().into_iter().chain([Signal::SIGCHLD as i32]))
}

impl Places {
    /// The arguments of a `run` with the same files.
    pub fn run_arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["run".into()];
        let mut option = |name: &str, value: Option<&Path>| {
            arguments.extend(value.into_iter().flat_map(|value| [OsString::from(name), value.as_os_str().to_owned()]));
        };
        option("--config", self.config.as_deref());
        option("--config-id", self.config_id.as_deref().map(Path::new));
        option("--name", self.name.as_deref().map(Path::new));
        option("--state-dir", Some(&self.state_dir));
        option("--runtime-dir", Some(&self.runtime_dir));
        option("--listen", self.listen.map(|listen| listen.to_string()).as_deref().map(Path::new));
        option("--net-namespace", self.net_namespace.as_deref().map(Path::new));
        let only = self.only.and_then(|only| clap::ValueEnum::to_possible_value(&only));
        option("--only", only.as_ref().map(|only| Path::new(only.get_name())));
        option("--umask", self.umask.map(|mask| format!("0{mask:o}")).as_deref().map(Path::new));
        option("--syslog", self.syslog.map(|facility| facility.to_string()).as_deref().map(Path::new));
        arguments
    }
}
