//! Directors with a daemon each: meshd in a mesh, meshd on its own, or keepalived.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::clock;
use crate::conf::{Style, keepalived_conf};
use crate::host::{Host, Process};
use crate::lab::{Lab, VIP};
use crate::process::processor_time;

/// Three directors elect, hand out leases and agree well within this, on a machine that is busy with a build too.
const SETTLE: Duration = Duration::from_secs(30);
/// An orderly stop, or a daemon's start until it answers.
const SOON: Duration = Duration::from_secs(10);
/// The user without any rights, and its group.
const NOBODY: u32 = 65534;

/// What runs on a director.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Daemon {
    /// meshd with an identity, in a mesh.
    Mesh,
    /// meshd in a mesh as a witness: as the user nobody, without any privilege.
    Witness,
    /// meshd in a mesh as a real server: as the user nobody, with CAP_NET_ADMIN and nothing else.
    Server,
    /// meshd without one: a plain VRRP router.
    Plain,
    /// The installed keepalived.
    Keepalived,
}

/// Directors, each with its daemon.
#[derive(Debug)]
pub struct Cluster {
    // Before the lab, so that processes end before their networks do.
    members: Vec<Member>,
    others: Vec<Process>,
    lab: Lab,
}

impl Daemon {
    fn in_mesh(self) -> bool {
        matches!(self, Daemon::Mesh | Daemon::Witness | Daemon::Server)
    }

    /// What it may do where that is not everything.
    fn rights(self) -> Option<Rights> {
        match self {
            Daemon::Witness => Some(Rights { capabilities: "-all", role: "witness" }),
            Daemon::Server => Some(Rights { capabilities: "-all,+net_admin", role: "server" }),
            Daemon::Mesh | Daemon::Plain | Daemon::Keepalived => None,
        }
    }
}

/// Of a daemon that runs as nobody.
#[derive(Clone, Copy)]
struct Rights {
    /// As setpriv takes them.
    capabilities: &'static str,
    /// What it joins as.
    role: &'static str,
}

#[derive(Debug)]
struct Member {
    host: Host,
    daemon: Daemon,
    process: Option<Process>,
    // Instead of the one of this workspace.
    program: Option<PathBuf>,
    // Asked to stop: its end is no failure.
    stopping: bool,
}

impl Cluster {
    /// Starts these daemons on these directors. With a mesh, its first member founds it and the others join; it is
    /// settled when this returns. Otherwise use [`Cluster::wait_holder`].
    pub fn start(lab: Lab, daemons: &[(&str, Daemon)], style: Style) -> Result<Cluster> {
        let mut cluster = Cluster::launch_all(lab, daemons, &|name| keepalived_conf(name, style))?;
        let mesh = cluster.mesh();
        let settled = cluster.wait_status("all in the mesh and one of them active", SETTLE, &mesh, |status| {
            voters(status) == mesh.len() && active(status).is_some()
        });
        settled.inspect_err(|_| cluster.lab.save_logs())?;
        Ok(cluster)
    }

    /// Starts these daemons with these configurations, one after the other, and does not wait until they agree.
    pub fn launch_all(lab: Lab, daemons: &[(&str, Daemon)], conf: &dyn Fn(&str) -> String) -> Result<Cluster> {
        let mut cluster = Cluster { members: Vec::new(), others: Vec::new(), lab };
        cluster.bring_up(daemons, conf).inspect_err(|_| cluster.lab.save_logs())?;
        Ok(cluster)
    }

    /// The network.
    pub fn lab(&mut self) -> &mut Lab {
        &mut self.lab
    }

    /// The network, to look at.
    pub fn lab_ref(&self) -> &Lab {
        &self.lab
    }

    /// Leaves everything running; see [`Lab::leave`].
    pub fn leave(self) -> Result<()> {
        self.lab.leave()
    }

    /// Keeps a process of its hosts as long as the cluster.
    pub fn adopt(&mut self, process: Process) {
        self.others.push(process);
    }

    /// Process id of a director's daemon: the one that serves, not the guard that watches over it.
    pub fn daemon_pid(&self, name: &str) -> Result<u32> {
        let process = self.running(name)?;
        if self.member(name).daemon == Daemon::Keepalived {
            return Ok(process.pid());
        }
        let what = format!("the guard of {name} has a daemon");
        clock::wait_for(&what, SOON, || process.child_with("--no-guard"))
    }

    /// Process id of what a service manager would see: meshd's guard, or keepalived's parent.
    pub fn guard_pid(&self, name: &str) -> Result<u32> {
        Ok(self.running(name)?.pid())
    }

    /// Processor time that all processes of a director have taken so far, in user and kernel mode.
    pub fn processor_time(&self, name: &str) -> Result<Duration> {
        let times =
            self.running(name)?.tree()?.into_iter().map(|pid| processor_time(pid).map(|(user, kernel)| user + kernel));
        times.sum()
    }

    /// Memory that the processes of a director hold, in bytes: what each has for itself, and once, as they share the
    /// program, the most that one of them has of files.
    pub fn resident(&self, name: &str) -> Result<u64> {
        let (mut own, mut files) = (0, 0);
        for pid in self.running(name)?.tree()? {
            let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let of = |what: &str| -> Result<u64> {
                let line =
                    text.lines().find_map(|line| line.strip_prefix(what)).with_context(|| format!("no {what}"))?;
                Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
            };
            own += of("RssAnon:")? + of("RssShmem:")?;
            files = of("RssFile:")?.max(files);
        }
        Ok(own + files)
    }

    /// Members of the mesh.
    pub fn mesh(&self) -> Vec<&'static str> {
        let members = self.members.iter().filter(|member| member.daemon.in_mesh());
        members.map(|member| static_name(&member.host.name)).collect()
    }

    /// Sends a signal to all processes of a director at once, guard included.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        self.running(name)?.signal_tree(signal)
    }

    /// Sends a signal to a director's guard alone, as a service manager does: it passes most on.
    pub fn signal_guard(&self, name: &str, signal: Signal) -> Result<()> {
        self.running(name)?.signal(signal)
    }

    /// Sends a signal to a director's daemon alone, behind its guard's back.
    pub fn signal_daemon(&self, name: &str, signal: Signal) -> Result<()> {
        if self.member(name).daemon == Daemon::Keepalived {
            return self.signal(name, signal);
        }
        let pid = self.daemon_pid(name)?;
        kill(Pid::from_raw(pid as i32), signal).with_context(|| format!("{signal} to the daemon of {name}"))
    }

    /// `kill -9` of a director's guard alone; the daemon's end is waited for, too.
    pub fn kill_guard(&mut self, name: &str) -> Result<()> {
        let daemon = self.daemon_pid(name)?;
        self.signal_guard(name, Signal::SIGKILL)?;
        self.take(name)?.wait(SOON)?;
        clock::wait_for(&format!("end of {name}'s daemon"), SOON, || {
            Ok((!Path::new(&format!("/proc/{daemon}/exe")).exists()).then_some(()))
        })
    }

    /// Notes that a director's processes end, because meshctl asked for it; see [`Cluster::wait_stopped`].
    pub fn expect_end(&mut self, name: &str) {
        self.member_mut(name).stopping = true;
    }

    /// Kills a director's guard and daemon and their children at once, with no chance to say goodbye.
    pub fn kill(&mut self, name: &str) -> Result<()> {
        self.signal(name, Signal::SIGKILL)?;
        self.take(name)?.wait(SOON)?;
        Ok(())
    }

    /// Asks a director's daemon to stop; does not wait for it, see [`Cluster::wait_stopped`].
    pub fn stop(&mut self, name: &str) -> Result<()> {
        self.running(name)?.signal(Signal::SIGTERM)?;
        self.member_mut(name).stopping = true;
        Ok(())
    }

    /// Waits until a daemon that was asked to stop has done so, with exit code 0.
    pub fn wait_stopped(&mut self, name: &str) -> Result<()> {
        let mut process = self.take(name)?;
        let status = process.wait(SOON)?;
        ensure!(status.success(), "the daemon of {name} ended with {status}:\n{}", process.last_words());
        Ok(())
    }

    /// Starts the daemon of a director again, with what is on its disk.
    pub fn restart(&mut self, name: &str) -> Result<()> {
        ensure!(self.member(name).process.is_none(), "{name} still runs");
        self.launch(name)
    }

    /// The file whose program a director's guard starts from its next start on: a copy of meshd that can be replaced.
    pub fn own_program(&mut self, name: &str) -> Result<PathBuf> {
        let member = self.member_mut(name);
        let file = member.host.dir.join("meshd");
        member.program = Some(file.clone());
        install(&binary("meshd")?, &file)?;
        Ok(file)
    }

    /// The map as this member of the mesh sees it.
    pub fn status(&self, name: &str) -> Result<Value> {
        let text = self.meshctl(name, &["--json", "status"])?;
        serde_json::from_str(&text).with_context(|| format!("status of {name} is no JSON: {text}"))
    }

    /// What `meshctl ARGS` says on this director.
    pub fn meshctl(&self, name: &str, args: &[&str]) -> Result<String> {
        let host = &self.member(name).host;
        let (meshctl, socket) = (binary("meshctl")?, socket_path(host));
        // A frozen daemon does not answer; what asks must not wait for that longer than the lab does.
        let mut command = vec!["timeout", "3", path(&meshctl)?, "--socket", path(&socket)?];
        command.extend(args);
        host.run(&command)
    }

    /// Directors that have the VIP on an interface now.
    pub fn holders(&self) -> Result<Vec<&'static str>> {
        let mut holders = Vec::new();
        for member in &self.members {
            if member.host.has_address(&VIP.to_string())? {
                holders.push(static_name(&member.host.name));
            }
        }
        Ok(holders)
    }

    /// Waits until this director, and no other, has the VIP.
    pub fn wait_holder(&mut self, name: &str) -> Result<()> {
        clock::wait_for(&format!("{name} has the VIP"), SETTLE, || {
            self.must_run()?;
            Ok((self.holders()? == [name]).then_some(()))
        })
    }

    /// Waits until the status of every one of `names` satisfies `good`.
    pub fn wait_status(
        &mut self,
        what: &str,
        limit: Duration,
        names: &[&str],
        good: impl Fn(&Value) -> bool,
    ) -> Result<()> {
        let mut seen = Vec::new();
        let result = clock::wait_for(what, limit, || {
            self.must_run()?;
            seen = names.iter().map(|name| (*name, self.status(name))).collect::<Vec<_>>();
            Ok(seen.iter().all(|(_, status)| status.as_ref().is_ok_and(&good)).then_some(()))
        });
        result.with_context(|| {
            let seen = seen.iter().map(|(name, status)| match status {
                Ok(status) => format!("{name}: {status}"),
                Err(error) => format!("{name}: {error:#}"),
            });
            format!("last seen:\n{}", seen.collect::<Vec<_>>().join("\n"))
        })
    }

    fn bring_up(&mut self, daemons: &[(&str, Daemon)], configuration: &dyn Fn(&str) -> String) -> Result<()> {
        for (name, daemon) in daemons {
            let host = self.lab.host(name).clone();
            let conf = conf_path(&host);
            fs::write(&conf, configuration(name)).with_context(|| conf.display().to_string())?;
            self.members.push(Member { host, daemon: *daemon, process: None, program: None, stopping: false });
            self.launch(name)?;
        }
        Ok(())
    }

    /// Fails with the end of its log if a daemon has ended that nobody stopped.
    pub fn must_run(&mut self) -> Result<()> {
        let running = self.members.iter_mut().filter(|member| !member.stopping);
        running.filter_map(|member| member.process.as_mut()).try_for_each(Process::must_run)
    }

    fn launch(&mut self, name: &str) -> Result<()> {
        self.start_again(name)?;
        if self.member(name).daemon.in_mesh() {
            clock::wait_for(&format!("{name} answers meshctl"), SOON, || {
                self.must_run()?;
                Ok(self.status(name).ok())
            })?;
        }
        Ok(())
    }

    /// Starts the daemon of a director, and does not wait for it.
    pub fn start_again(&mut self, name: &str) -> Result<()> {
        let member = self.member(name);
        let process = match member.daemon {
            Daemon::Keepalived => keepalived(&member.host)?,
            daemon if daemon.in_mesh() && !state_dir(&member.host).exists() => {
                self.found_or_join(&member.host, daemon)?
            }
            daemon => match (daemon.rights(), &member.program) {
                (Some(rights), _) => unprivileged_meshd(&member.host, rights, &["run"])?,
                (None, Some(program)) => meshd(&member.host, program, &["run"])?,
                (None, None) => meshd(&member.host, &binary("meshd")?, &["run"])?,
            },
        };
        let member = self.member_mut(name);
        (member.process, member.stopping) = (Some(process), false);
        Ok(())
    }

    fn found_or_join(&self, host: &Host, daemon: Daemon) -> Result<Process> {
        let founder = &self.members.iter().find(|member| member.daemon == Daemon::Mesh).context("no mesh")?.host;
        if founder.name == host.name {
            let init = meshd_command(host, &binary("meshd")?, &["init"])?;
            host.run(&init.iter().map(String::as_str).collect::<Vec<_>>())?;
            return meshd(host, &binary("meshd")?, &["run"]);
        }
        let reply = self.meshctl(&founder.name, &["--json", "token", "create"])?;
        let reply: Value = serde_json::from_str(&reply).with_context(|| format!("no JSON: {reply}"))?;
        let token = reply["token"].as_str().context("no token in what `meshctl token create` says")?;
        let file = host.dir.join("token");
        fs::write(&file, token)?;
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let seed = founder.address.to_string();
        let join = ["join", "--seed", &seed, "--token-file", path(&file)?];
        let Some(rights) = daemon.rights() else { return meshd(host, &binary("meshd")?, &join) };
        for own in [&host.dir, &file] {
            chown(own, Some(NOBODY), Some(NOBODY)).with_context(|| own.display().to_string())?;
        }
        unprivileged_meshd(host, rights, &[&join[..], &["--role", rights.role]].concat())
    }

    fn running(&self, name: &str) -> Result<&Process> {
        self.member(name).process.as_ref().with_context(|| format!("{name} does not run"))
    }

    fn take(&mut self, name: &str) -> Result<Process> {
        self.member_mut(name).process.take().with_context(|| format!("{name} does not run"))
    }

    fn member(&self, name: &str) -> &Member {
        self.members.iter().find(|member| member.host.name == name).unwrap_or_else(|| panic!("no director {name}"))
    }

    fn member_mut(&mut self, name: &str) -> &mut Member {
        self.members.iter_mut().find(|member| member.host.name == name).unwrap_or_else(|| panic!("no director {name}"))
    }
}

/// Who is active for the VIP in this status, if anybody.
pub fn active(status: &Value) -> Option<&str> {
    status["routers"][0]["active"].as_str()
}

/// How many voters this status counts.
pub fn voters(status: &Value) -> usize {
    status["cluster"]["quorum"]["voters"].as_u64().unwrap_or(0) as usize
}

/// The program `name` of this workspace: from the environment (`MESHD`, `MESHCTL`), or built beside this one.
pub fn binary(name: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(name.to_uppercase()) {
        return Ok(path.into());
    }
    let this = std::env::current_exe()?;
    // A test is in target/PROFILE/deps, a program in target/PROFILE.
    let found = this.ancestors().skip(1).take(2).map(|dir| dir.join(name)).find(|path| path.is_file());
    match found {
        Some(path) => Ok(path),
        None => bail!("{name} is not built beside {}: cargo build -p meshd -p meshctl", this.display()),
    }
}

/// Where the daemon of this host takes commands.
pub fn socket_path(host: &Host) -> PathBuf {
    host.dir.join("run/meshd.sock")
}

fn conf_path(host: &Host) -> PathBuf {
    host.dir.join("keepalived.conf")
}

fn state_dir(host: &Host) -> PathBuf {
    host.dir.join("state")
}

/// Puts a program where another one may be running.
pub fn install(program: &Path, file: &Path) -> Result<()> {
    let next = file.with_extension("new");
    copy(program, &next)?;
    fs::rename(&next, file).with_context(|| file.display().to_string())
}

/// Copies a program by another one: a child of this process that is between its fork and its exec would hold the file
/// open for writing, and what is open for writing cannot be executed.
fn copy(program: &Path, to: &Path) -> Result<()> {
    let output = std::process::Command::new("cp").arg("--").args([program, to]).output().context("run cp")?;
    ensure!(output.status.success(), "{}: {}", to.display(), String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

fn meshd(host: &Host, program: &Path, args: &[&str]) -> Result<Process> {
    let command = meshd_command(host, program, args)?;
    host.spawn("meshd", &command.iter().map(String::as_str).collect::<Vec<_>>())
}

/// From a copy, as others may not look into the directory it was built in.
fn unprivileged_meshd(host: &Host, rights: Rights, args: &[&str]) -> Result<Process> {
    let copy = host.dir.join("meshd");
    let mut command = meshd_command(host, &binary("meshd")?, args)?;
    self::copy(Path::new(&command[0]), &copy)?;
    command[0] = path(&copy)?.to_owned();
    let user = NOBODY.to_string();
    let of = |set: &str| format!("--{set}={}", rights.capabilities);
    let (inheritable, ambient, bounding) = (of("inh-caps"), of("ambient-caps"), of("bounding-set"));
    let mut full = vec!["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", &inheritable];
    full.extend([&*ambient, &bounding, "--no-new-privs", "--pdeathsig", "KILL"]);
    full.extend(command.iter().map(String::as_str));
    host.spawn("meshd", &full)
}

fn meshd_command(host: &Host, program: &Path, args: &[&str]) -> Result<Vec<String>> {
    let listen = format!("{}:7946", host.address);
    let (conf, state, run) = (conf_path(host), state_dir(host), host.dir.join("run"));
    let mut command = vec![path(program)?];
    command.extend(args);
    command.extend(["--name", &host.name, "--listen", &listen, "--config", path(&conf)?]);
    command.extend(["--state-dir", path(&state)?, "--runtime-dir", path(&run)?]);
    Ok(command.into_iter().map(String::from).collect())
}

fn keepalived(host: &Host) -> Result<Process> {
    ensure!(Path::new("/usr/sbin/keepalived").exists(), "keepalived is missing: apt-get install keepalived");
    let conf = conf_path(host);
    let pid = |name: &str| -> Result<String> {
        let file = host.dir.join(name);
        // One that was killed a moment ago left it, and the next refuses to start while its process is not yet reaped.
        if file.exists() {
            fs::remove_file(&file).with_context(|| file.display().to_string())?;
        }
        Ok(path(&file)?.to_string())
    };
    let (parent, vrrp, checkers) = (pid("parent.pid")?, pid("vrrp.pid")?, pid("checkers.pid")?);
    // In the foreground, VRRP alone, log to stderr; its usual files are the machine's own keepalived's.
    let mut command = vec!["/usr/sbin/keepalived", "--dont-fork", "--vrrp", "--log-console", "--log-detail"];
    command.extend(["-f", path(&conf)?, "-p", &parent, "-r", &vrrp, "-c", &checkers]);
    host.spawn("keepalived", &command)
}

fn path(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

fn static_name(name: &str) -> &'static str {
    crate::lab::all_directors().map(|(known, _)| *known).find(|known| *known == name).expect("a director's name")
}
