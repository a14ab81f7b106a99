//! Hosts inside: network namespaces, joined by switches.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use mesh_lab::clock;
use nix::sched::{CloneFlags, setns, unshare};

/// How long something may take that should take a moment, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Does something in a network namespace of its own, where nothing but `lo` is.
pub fn alone<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_thread(|| {
        unshare(CloneFlags::CLONE_NEWNET).context("a network namespace")?;
        sh("ip link set lo up")?;
        work()
    })
}

/// Runs a command line in the network namespace of this thread and gives what it wrote.
pub fn sh(line: &str) -> Result<String> {
    succeeded(line, Command::new("sh").args(["-ec", line]).stdin(Stdio::null()).output())
}

/// Hosts and switches of one test; they go with it, and so does what runs on them.
pub struct Network {
    id: String,
    hosts: Vec<String>,
}

impl Network {
    /// Without hosts, and with a switch of these names for each subnet.
    pub fn new(switches: &[&str]) -> Result<Network> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let id = format!("n{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut network = Network { id, hosts: Vec::new() };
        network.host("switch")?;
        for switch in switches {
            network.on("switch").sh(&format!(
                "ip link add {switch} type bridge stp_state 0 forward_delay 0 mcast_snooping 0; ip link set {switch} up"
            ))?;
        }
        Ok(network)
    }

    /// A new host.
    pub fn host(&mut self, name: &str) -> Result<Host> {
        sh(&format!("ip netns add {}-{name}", self.id))?;
        self.hosts.push(name.to_owned());
        let host = self.on(name);
        // IPv6 addresses are there at once, without looking for others that have them.
        host.sh("ip link set lo up; echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad; \
                 echo 0 > /proc/sys/net/ipv6/conf/all/accept_dad")?;
        fs::create_dir_all(&host.dir)?;
        Ok(host)
    }

    /// A host that is there.
    pub fn on(&self, name: &str) -> Host {
        let netns = format!("{}-{name}", self.id);
        Host { name: name.to_owned(), dir: PathBuf::from(format!("/run/hosts/{netns}")), netns }
    }

    /// Connects a host to a switch: `port` is its interface there.
    pub fn plug(&self, host: &Host, port: &str, switch: &str, addresses: &[&str]) -> Result<()> {
        let far = format!("{}-{port}", host.name);
        self.on("switch").sh(&format!(
            "ip link add {far} type veth peer name {port} netns {}; ip link set {far} master {switch} up",
            host.netns
        ))?;
        for address in addresses {
            host.sh(&format!("ip address add {address} dev {port}"))?;
        }
        host.sh(&format!("ip link set {port} up")).map(drop)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for host in &self.hosts {
            let netns = format!("{}-{host}", self.id);
            let line = format!("ip netns pids {netns} | xargs -r kill -9; ip netns delete {netns}");
            if let Err(error) = sh(&line) {
                eprintln!("{error:#}");
            }
        }
    }
}

/// A host.
#[derive(Clone, Debug)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its files: configurations, logs.
    pub dir: PathBuf,
    netns: String,
}

impl Host {
    /// Runs a command line there and gives what it wrote.
    pub fn sh(&self, line: &str) -> Result<String> {
        let output =
            Command::new("ip").args(["netns", "exec", &self.netns, "sh", "-ec", line]).stdin(Stdio::null()).output();
        succeeded(&format!("{line} on {}", self.name), output)
    }

    /// What `ip netns` calls its network namespace.
    pub fn netns(&self) -> &str {
        &self.netns
    }

    /// Does something in this host's network.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        on_thread(|| {
            let path = format!("/run/netns/{}", self.netns);
            let netns = File::open(&path).with_context(|| path.clone())?;
            setns(netns, CloneFlags::CLONE_NEWNET).with_context(|| path.clone())?;
            work()
        })
    }

    /// Starts a program there that stays; it writes to `PROGRAM.log` in the host's directory.
    pub fn start(&self, program: &str, arguments: &[&str]) -> Result<Daemon> {
        let name = program.rsplit('/').next().unwrap_or(program);
        let path = self.dir.join(format!("{name}.log"));
        let log = File::options().create(true).append(true).open(&path)?;
        let from = usize::try_from(log.metadata()?.len())?;
        let child = Command::new("ip")
            .args(["netns", "exec", &self.netns, program])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {program}"))?;
        Ok(Daemon { child, log: path, from })
    }

    /// A web server on port 80 of all its addresses that says the host's name.
    pub fn serve_web(&self) -> Result<Daemon> {
        let conf = self.dir.join("nginx.conf");
        let dir = self.dir.display();
        fs::write(
            &conf,
            format!(
                "daemon off; master_process off; pid {dir}/nginx.pid; error_log stderr;\n\
                 events {{ worker_connections 256; }}\n\
                 http {{ access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;\n\
                 fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
                 server {{ listen 80; listen [::]:80; location / {{ default_type text/plain; return 200 {}; }} }} }}\n",
                self.name
            ),
        )?;
        let mut daemon = self.start("nginx", &["-c", &conf.display().to_string()])?;
        clock::wait_for("the web server", PATIENCE, || {
            daemon.must_run()?;
            Ok(self.sh("ss -Hltn sport = :80").is_ok_and(|found| !found.is_empty()).then_some(()))
        })?;
        Ok(daemon)
    }

    /// What the web server at this address says to this host; with a connection of its own.
    pub fn get(&self, at: &str) -> Result<String> {
        let at: SocketAddr = at.parse().with_context(|| format!("{at} is no address and port"))?;
        self.enter(|| ask(&mut TcpStream::connect_timeout(&at, Duration::from_secs(2))?))
    }
}

/// A program that stays until the value is dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
    /// Where in it this one began to write.
    from: usize,
}

impl Daemon {
    /// Fails with what it wrote if it has ended.
    pub fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{status}: {}", fs::read_to_string(&self.log)?),
        }
    }

    /// What it wrote, and not what an earlier one in the same file did.
    pub fn written(&self) -> Result<String> {
        let all = fs::read(&self.log)?;
        let own = all.get(self.from..).unwrap_or_default();
        Ok(String::from_utf8_lossy(own).into_owned())
    }

    /// Asks it to read its files again, as an operator does.
    pub fn reload(&self) -> Result<()> {
        sh(&format!("kill -HUP {}", self.child.id())).map(drop)
    }

    /// Asks it to end, as an operator does, and waits for that.
    pub fn stop(self) -> Result<()> {
        sh(&format!("kill -TERM {}", self.child.id()))?;
        self.wait()
    }

    /// Waits for its end, which somebody asked for.
    pub fn wait(mut self) -> Result<()> {
        clock::wait_for("the end of a program", PATIENCE, || Ok(self.child.try_wait()?))?;
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Its group: the children of a daemon that is killed would stay.
        let _ = nix::sys::signal::killpg(
            nix::unistd::Pid::from_raw(self.child.id() as i32),
            nix::sys::signal::Signal::SIGKILL,
        );
        let _ = self.child.wait();
    }
}

/// Asks the web server behind a connection, which stays open.
pub fn ask(stream: &mut TcpStream) -> Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n")?;
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).context("no length")?;
            if body.len() >= length.trim().parse()? {
                return Ok(body.trim().to_owned());
            }
        }
        let mut part = [0; 512];
        let read = stream.read(&mut part)?;
        ensure!(read > 0, "the connection ended: {text}");
        answer.extend_from_slice(&part[..read]);
    }
}

fn on_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

fn succeeded(what: &str, output: std::io::Result<Output>) -> Result<String> {
    let output = output.with_context(|| what.to_owned())?;
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    if !output.status.success() {
        bail!("{what}: {}: {}{}", output.status, text[0], text[1]);
    }
    Ok(text.concat())
}
