//! The network itself: namespaces, the bridge, faults, and cleaning up.

mod power;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv4Addr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use pnet_base::MacAddr;

use crate::clock;
use crate::fault::{self, Fault};
use crate::host::{self, Host};

/// The virtual address that everything here is about; a /24 like the hosts'.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 80);
/// Directors and their addresses.
pub const DIRECTORS: [(&str, Ipv4Addr); 3] =
    [("lb1", Ipv4Addr::new(10, 1, 1, 11)), ("lb2", Ipv4Addr::new(10, 1, 1, 12)), ("lb3", Ipv4Addr::new(10, 1, 1, 13))];
/// Directors that only a [larger lab](Lab::with_directors) has.
const MORE_DIRECTORS: [(&str, Ipv4Addr); 27] = {
    let names = [
        "lb4", "lb5", "lb6", "lb7", "lb8", "lb9", "lb10", "lb11", "lb12", "lb13", "lb14", "lb15", "lb16", "lb17",
        "lb18", "lb19", "lb20", "lb21", "lb22", "lb23", "lb24", "lb25", "lb26", "lb27", "lb28", "lb29", "lb30",
    ];
    let mut directors = [("", VIP); 27];
    let mut index = 0;
    while index < names.len() {
        directors[index] = (names[index], Ipv4Addr::new(10, 1, 1, 14 + index as u8));
        index += 1;
    }
    directors
};
/// Most directors of a lab.
pub const MAX_DIRECTORS: usize = DIRECTORS.len() + MORE_DIRECTORS.len();
/// The host whose neighbour cache is a real client's.
pub const CLIENT: &str = "client";
/// Its address.
pub const CLIENT_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 1, 1, 50);
/// The host that asks every director directly.
pub const JUDGE: &str = "judge";

const OTHERS: [(&str, Ipv4Addr); 2] = [(CLIENT, CLIENT_ADDRESS), (JUDGE, Ipv4Addr::new(10, 1, 1, 51))];
const TOOLS: [&str; 3] = ["ip", "nft", "setpriv"];
const PREFIX: &str = "meshlab";
/// The lock of those who run labs.
const TURN: &str = "one-at-a-time";

/// The right to run a lab, until it is dropped.
pub type Turn = Flock<File>;

/// How long a lab lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Until the value is dropped or its process is gone.
    Lab,
    /// After [`Lab::leave`] until [`Lab::remove`]; its processes outlive the one that started them.
    Kept,
}

impl Lifetime {
    pub(crate) fn kept(self) -> bool {
        self == Lifetime::Kept
    }
}

/// A network of three directors, a client and a judge.
#[derive(Debug)]
pub struct Lab {
    id: String,
    dir: PathBuf,
    lifetime: Lifetime,
    hosts: Vec<Host>,
    directors: usize,
    faults: BTreeSet<Fault>,
    left: bool,
    // Held as long as the lab lives: whoever can take it knows that the lab's process is gone.
    _alive: Flock<File>,
}

impl Lab {
    /// Builds the network. Labs that a dead process left behind are removed first.
    pub fn new(lifetime: Lifetime) -> Result<Lab> {
        Lab::with_directors(lifetime, DIRECTORS.len())
    }

    /// The same, with this many directors, at most [`MAX_DIRECTORS`]: `lb1` and so on.
    pub fn with_directors(lifetime: Lifetime, directors: usize) -> Result<Lab> {
        ensure!((1..=MAX_DIRECTORS).contains(&directors), "a lab has 1 to {MAX_DIRECTORS} directors");
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        check_machine()?;
        // Between making a lab's directory and locking it, it looks like a dead one.
        let _making = wait_for_lock("making", FlockArg::LockExclusive)?;
        remove_stale()?;
        let id = format!("{PREFIX}{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let dir = labs_dir().join(&id);
        fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
        let alive = lock(&dir)?.with_context(|| format!("{} is in use", dir.display()))?;
        let hosts = all_directors()
            .take(directors)
            .chain(&OTHERS)
            .map(|(name, address)| Host {
                name: name.to_string(),
                netns: format!("{id}-{name}"),
                address: *address,
                mac: MacAddr::new(2, 0, 10, 1, 1, address.octets()[3]),
                dir: dir.join(name),
                lifetime,
            })
            .collect();
        // From here on drop cleans up whatever was made.
        let lab = Lab { id, dir, lifetime, hosts, directors, faults: BTreeSet::new(), left: false, _alive: alive };
        lab.build()?;
        Ok(lab)
    }

    /// Waits until no other lab of this machine's tests runs, so that they do not disturb each other's timing.
    pub fn alone() -> Result<Turn> {
        wait_for_lock(TURN, FlockArg::LockExclusive)
    }

    /// Waits only for those who want to be [alone](Lab::alone), and keeps them waiting: for tests that mostly wait, and
    /// whose limits leave room for a few others like them.
    pub fn beside() -> Result<Turn> {
        wait_for_lock(TURN, FlockArg::LockShared)
    }

    /// Name of the lab, to give to [`Lab::remove`].
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Directory of its files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A host by name.
    pub fn host(&self, name: &str) -> &Host {
        self.hosts.iter().find(|host| host.name == name).unwrap_or_else(|| panic!("the lab has no host {name}"))
    }

    /// The directors.
    pub fn directors(&self) -> &[Host] {
        &self.hosts[..self.directors]
    }

    /// Name of the namespace that holds the bridge.
    pub fn switch(&self) -> String {
        format!("{}-sw", self.id)
    }

    /// Puts a fault into the network; when this returns it is in force.
    pub fn inject(&mut self, fault: Fault) -> Result<()> {
        self.inject_all([fault])
    }

    /// The same, several at the same instant.
    pub fn inject_all(&mut self, faults: impl IntoIterator<Item = Fault>) -> Result<()> {
        for fault in faults {
            if let Fault::Cable(host) = &fault {
                self.port(host, "down")?;
            }
            self.faults.insert(fault);
        }
        self.apply()
    }

    /// Takes a fault away.
    pub fn heal(&mut self, fault: &Fault) -> Result<()> {
        self.heal_all([fault])
    }

    /// The same, several at the same instant.
    pub fn heal_all<'a>(&mut self, faults: impl IntoIterator<Item = &'a Fault>) -> Result<()> {
        for fault in faults {
            ensure!(self.faults.remove(fault), "{fault:?} was never injected");
            if let Fault::Cable(host) = fault {
                self.port(host, "up")?;
            }
        }
        self.apply()
    }

    /// Lets the lab and what runs in it live on, until [`Lab::remove`].
    pub fn leave(mut self) -> Result<()> {
        ensure!(self.lifetime.kept(), "its processes would die with this one");
        File::create(self.dir.join("kept"))?;
        self.left = true;
        Ok(())
    }

    /// Removes a lab that was kept: its processes, namespaces and files.
    pub fn remove(id: &str) -> Result<()> {
        ensure!(id.starts_with(PREFIX), "{id} is not a lab");
        tear_down(id)
    }

    /// Ids of the labs that were kept.
    pub fn kept() -> Result<Vec<String>> {
        Ok(ids()?.into_iter().filter(|id| labs_dir().join(id).join("kept").exists()).collect())
    }

    /// Copies the lab's directory to where it outlives the lab, and says where: a failure is read from the logs.
    /// Whoever interrupts wants nothing left.
    pub fn save_logs(&self) {
        if clock::interrupted() {
            return;
        }
        let to = std::env::temp_dir().join(&self.id);
        match Command::new("cp").arg("-rT").args([&self.dir, &to]).status() {
            Ok(status) if status.success() => eprintln!("logs of the lab: {}", to.display()),
            _ => eprintln!("logs of the lab could not be copied to {}", to.display()),
        }
    }

    fn port(&self, host: &str, state: &str) -> Result<()> {
        ip(&["-n", &self.switch(), "link", "set", "dev", host, state])
    }

    fn apply(&self) -> Result<()> {
        let directors: Vec<_> = self.directors().iter().map(|host| host.name.clone()).collect();
        let rules = fault::ruleset(&self.faults, &directors);
        feed(&["ip", "netns", "exec", &self.switch(), "nft", "-f", "-"], &rules)
    }

    fn build(&self) -> Result<()> {
        let switch = self.switch();
        ip(&["netns", "add", &switch])?;
        feed(
            &["ip", "-n", &switch, "-batch", "-"],
            "link add br0 type bridge stp_state 0 forward_delay 0 mcast_snooping 0\nlink set dev br0 up\n",
        )?;
        self.hosts.iter().try_for_each(|host| self.plug_in(host))?;
        self.apply()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        if std::thread::panicking() {
            self.save_logs();
        }
        if let Err(error) = tear_down(&self.id) {
            eprintln!("lab {}: {error:#}", self.id);
        }
    }
}

pub(crate) fn all_directors() -> impl Iterator<Item = &'static (&'static str, Ipv4Addr)> {
    DIRECTORS.iter().chain(&MORE_DIRECTORS)
}

/// Where labs have their files. Below /run, as what they describe is gone after a reboot.
pub fn labs_dir() -> PathBuf {
    PathBuf::from("/run/mesh-lab")
}

fn check_machine() -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "network namespaces need root: run this with sudo");
    for tool in TOOLS {
        let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|dir| Path::new(dir).join(tool).exists());
        ensure!(found, "`{tool}` is missing: apt-get install iproute2 nftables util-linux");
    }
    Ok(())
}

fn ids() -> Result<Vec<String>> {
    let Ok(entries) = fs::read_dir(labs_dir()) else { return Ok(Vec::new()) };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    Ok(names.filter(|name| name.starts_with(PREFIX)).collect())
}

fn remove_stale() -> Result<()> {
    for id in ids()? {
        let dir = labs_dir().join(&id);
        if !dir.join("kept").exists() && lock(&dir)?.is_some() {
            tear_down(&id)?;
        }
    }
    Ok(())
}

fn wait_for_lock(name: &str, how: FlockArg) -> Result<Flock<File>> {
    fs::create_dir_all(labs_dir()).with_context(|| labs_dir().display().to_string())?;
    let file = File::options().create(true).append(true).open(labs_dir().join(name))?;
    Flock::lock(file, how).map_err(|(_, errno)| errno).context("wait for other labs")
}

// None while another process holds it, or when the directory went in this moment.
fn lock(dir: &Path) -> Result<Option<Flock<File>>> {
    let Ok(file) = File::options().create(true).append(true).open(dir.join("alive")) else { return Ok(None) };
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, errno)) => Err(errno).with_context(|| format!("lock {}", dir.display())),
    }
}

// Whatever is there of it; goes on after a failure and gives the first one.
fn tear_down(id: &str) -> Result<()> {
    let names = all_directors().chain(&OTHERS).map(|(name, _)| *name).chain(["sw"]);
    let mut first = Ok(());
    for name in names {
        let netns = format!("{id}-{name}");
        if Path::new("/run/netns").join(&netns).exists() {
            let done = host::kill_all_in(&netns).and_then(|_| ip(&["netns", "del", &netns]));
            first = first.and(done);
        }
    }
    let dir = labs_dir().join(id);
    if dir.exists() {
        first = first.and(fs::remove_dir_all(&dir).with_context(|| format!("remove {}", dir.display())));
    }
    first
}

fn ip(args: &[&str]) -> Result<()> {
    let mut command = vec!["ip"];
    command.extend(args);
    feed(&command, "")
}

// Runs a command with this on its standard input.
fn feed(command: &[&str], input: &str) -> Result<()> {
    // In a process group of its own: Ctrl-C must not interrupt the cleaning up that it asks for.
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {}", command[0]))?;
    child.stdin.take().context("no pipe")?.write_all(input.as_bytes()).or_else(|error| match error.kind() {
        // It ended without reading; its exit code says why.
        std::io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    })?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{}: {}: {}", command.join(" "), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
