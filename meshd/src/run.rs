//! Wires everything together and watches over it: whatever dies is noticed, and ends the daemon
//! rather than leaving half of it running.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use mesh_config::model::Config;
use mesh_core::lease::memory::VoterStart;
use mesh_core::roster::State;
use mesh_core::{Engine, Input, Setup};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::roster::{Role, Roster};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::control::{self, Command, ControlState};
use crate::director::{Director, Outputs, check_privileges};
use crate::guard::{Link, Task};
use crate::legacy::Legacy;
use crate::memory::{Memory, Owner};
use crate::mesh::{self, Identity, MeshHandle, MeshOptions, StateDir};
use crate::probes::script::Scripts;
use crate::signals::Signals;
use crate::threads::{self, Ended, MeshThread};
use crate::witness::Witness;
use crate::{check, clock, memory, priority};

/// Where a configuration is looked for, in this order.
const DEFAULT_CONFIGS: [&str; 2] = ["/etc/meshd/meshd.toml", "/etc/keepalived/keepalived.conf"];

/// Default of `--state-dir`.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/meshd";

/// Default of `--runtime-dir`.
pub const DEFAULT_RUNTIME_DIR: &str = "/run/meshd";

/// Facts that may wait for the engine; it takes microseconds for each, so that a full queue means
/// that it hangs. Gossip waits for room, lease messages are dropped, as the network may.
const INPUT_QUEUE: usize = 4096;

/// How long a configuration read again waits for room in the queue: nothing else is noticed meanwhile.
const TAKEN_WITHIN: Duration = Duration::from_secs(1);

/// Between SIGTERM and a forced end.
const STOP_DEADLINE: Duration = Duration::from_secs(5);

/// How long a control request under way may take then.
const LAST_ANSWER: Duration = Duration::from_millis(100);

/// First token that `meshd init` prints.
const FIRST_TOKEN: Duration = Duration::from_secs(3600);

/// A member's identity and what its roster file holds.
type Member = (Identity, State);

/// What the command line says about files and addresses.
pub struct Places {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--name`.
    pub name: Option<String>,
    /// `--state-dir`.
    pub state_dir: PathBuf,
    /// `--runtime-dir`.
    pub runtime_dir: PathBuf,
    /// `--listen`.
    pub listen: Option<SocketAddr>,
}

impl Places {
    /// A command that means the same files again.
    fn command(&self, command: &str) -> String {
        let Places { config, state_dir, runtime_dir, .. } = self;
        let mut text = format!("meshd {command}");
        if let Some(config) = config {
            text += &format!(" --config {}", config.display());
        }
        if state_dir != Path::new(DEFAULT_STATE_DIR) {
            text += &format!(" --state-dir {}", state_dir.display());
        }
        if runtime_dir != Path::new(DEFAULT_RUNTIME_DIR) {
            text += &format!(" --runtime-dir {}", runtime_dir.display());
        }
        text
    }
}

/// The configuration file to read: the one named, else the first default that exists.
///
/// # Errors
///
/// None was named, and none of the defaults exists.
pub fn config_file(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let existing = || DEFAULT_CONFIGS.iter().map(PathBuf::from).find(|p| p.exists());
    let [first, second] = DEFAULT_CONFIGS;
    named.or_else(existing).with_context(|| format!("no configuration: neither {first} nor {second} exists; name one"))
}

/// `meshd init`.
///
/// # Errors
///
/// There is an identity already, or it cannot be written.
pub fn init(places: &Places) -> anyhow::Result<()> {
    let config = optional_config(places)?;
    let name = node_name(places, &config)?;
    let (identity, state) = mesh::init(&name, listen(places, &config), &places.state_dir)?;
    let token = identity.create_token(FIRST_TOKEN)?;
    let address = address_of(&identity, &state.roster);
    println!("Mesh {} made; this node is {name}, at {address}.", identity.cluster);
    println!("Start it:             {}", places.command("run"));
    println!("Then, on the others:  meshd join --seed {address} --token {}", token.text);
    println!("or, hidden from ps:   MESHD_TOKEN={} meshd join --seed {address}", token.text);
    println!("The token is a secret, good for one node within an hour; for more: meshctl token create");
    Ok(())
}

/// `meshd join`: enrols where there is no identity; what follows is a [`run`].
///
/// # Errors
///
/// The seed refused.
pub fn join(
    places: &Places,
    seed: &str,
    token: Option<String>,
    token_file: Option<PathBuf>,
    witness: bool,
) -> anyhow::Result<()> {
    let _guard = init_logging();
    if mesh::load(&places.state_dir)?.is_some() {
        tracing::info!("this node is a member already: --seed, --token and --witness are not looked at");
    } else {
        let config = optional_config(places)?;
        let name = node_name(places, &config)?;
        let token = match (token, token_file) {
            (Some(token), _) => token,
            (None, Some(file)) => std::fs::read_to_string(&file)
                .with_context(|| format!("cannot read the token from {}", file.display()))?,
            (None, None) => bail!(
                "no token: `meshctl token create` on a member prints one; pass it by --token, --token-file or MESHD_TOKEN"
            ),
        };
        let role = if witness { Role::Witness } else { Role::Director };
        main_runtime()?.block_on(async {
            preflight(places, role)?;
            mesh::enrol(seed, token.trim(), &name, role, listen(places, &config), &places.state_dir).await
        })?;
        tracing::info!("joined the mesh as {name}");
    }
    Ok(())
}

/// How a run ended that nothing went wrong in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All is handed over, or left to a next run.
    Stopped,
    /// All is left to a next run, which the guard shall start.
    Upgrade,
}

/// `meshd run`, without a guard or by one.
///
/// # Errors
///
/// Something is missing or wrong at the start, or a part of the daemon died.
pub fn run(places: &Places, guard: Option<Link>, signals: Signals) -> anyhow::Result<End> {
    let _log = init_logging();
    main_runtime()?.block_on(serve(places, guard, signals))
}

/// The identity and the configuration of a daemon that has something to do.
fn what_to_run(places: &Places) -> anyhow::Result<(Option<Member>, Config)> {
    let member = mesh::load(&places.state_dir)?;
    let config = optional_config(places)?;
    if member.is_none() && config.routers.is_empty() {
        bail!(
            "nothing to do: no virtual router is configured, and {} holds no identity of a mesh; \
             give a configuration with --config, or use `meshd init` or `meshd join`",
            places.state_dir.display()
        );
    }
    Ok((member, config))
}

fn main_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_name("meshd-io").enable_all().build().context("cannot start the runtime")
}

/// What would stop the daemon right after joining, found before anything in the mesh changes.
fn preflight(places: &Places, role: Role) -> anyhow::Result<()> {
    if role == Role::Director {
        check_privileges()?;
    }
    control::bind(&socket(places)).map(drop)
}

fn socket(places: &Places) -> PathBuf {
    places.runtime_dir.join("meshd.sock")
}

async fn serve(places: &Places, guard: Option<Link>, mut signals: Signals) -> anyhow::Result<End> {
    let (member, config) = what_to_run(places)?;
    // Who serves nothing needs none.
    let directs = member.as_ref().is_none_or(|member| role_of(member) == Role::Director);
    if directs {
        check_privileges()?;
    }
    let realtime = config.mesh.realtime;
    if realtime {
        lock_memory();
    }
    let socket = control::bind(&socket(places))?;
    let _alone = member.as_ref().map(|_| StateDir::open(&places.state_dir).lock()).transpose()?;
    let node = member.as_ref().map_or(NodeId(0), |(identity, _)| identity.node);
    let legacy = Legacy::new(&places.runtime_dir, node).context("cannot tell this boot from others")?;
    let stop = CancellationToken::new();
    let (inputs, input_queue) = mpsc::channel(INPUT_QUEUE);
    let (memory, voter) = recall(places, member.as_ref())?;
    let setup = Setup { adopted: legacy.take_adopted(), ..setup(places, &config, member.as_ref(), voter)? };
    let engine = Engine::new(setup, config.clone(), clock::now());

    let seed =
        member.as_ref().map_or(String::new(), |(identity, state)| address_of(identity, &state.roster).to_string());
    let mesh = match member {
        Some(loaded) => Some(start_mesh(places, &config, loaded, &inputs).await?),
        None => None,
    };
    let (mesh, mesh_thread) = mesh.map_or((None, None), |thread| (Some(thread.handle.clone()), Some(thread)));
    let (status, status_seen) = watch::channel(Arc::new(engine.status(clock::now())));
    let (scripts, script_sets) = watch::channel(Vec::new());
    let (stopped, stopped_seen) = oneshot::channel();
    let shown = guard.as_ref().map(|link| mesh_control::Guard {
        pid: link.pid,
        daemon_pid: std::process::id(),
        restarts: link.restarts,
        last_death: link.last_death.clone(),
    });
    let outputs = Outputs { mesh: mesh.clone(), memory, legacy, guard: shown, scripts, status, stopped: Some(stopped) };
    let director = spawn_engine(engine, &config, directs, input_queue, outputs)?;
    let runner = tokio::spawn(run_scripts(Scripts::new(inputs.clone(), config.scripts.clone()), script_sets));
    let (commands, mut command_queue) = mpsc::channel(1);
    let ending = control::Ending { commands, guard: guard.clone() };
    let state = control_state(mesh.as_ref(), seed, status_seen, ending);
    let server = tokio::spawn(control::serve(socket, state, stop.clone()));

    tracing::info!(version = env!("CARGO_PKG_VERSION"), routers = config.routers.len(), "started");
    if let Some(guard) = &guard {
        guard.tell_ready(if directs { Task::Kernel } else { Task::Nothing });
    }
    let reloading = Reloading { places, inputs: &inputs, directs };
    let mut parts = Parts { director, server, runner, mesh: mesh_thread };
    let asked = supervise(&mut signals, &reloading, &mut parts, &mut command_queue).await;
    let keep = matches!(asked, Ok(Command::Keep | Command::Upgrade));
    hand_over(&inputs, keep, stopped_seen).await;
    if let Some(mesh) = &mesh {
        mesh.close(!keep).await;
    }
    stop.cancel();
    if asked.is_ok() {
        // Whoever asked by the socket gets an answer.
        let _ = tokio::time::timeout(LAST_ANSWER, &mut parts.server).await;
    }
    asked.map(|command| if command == Command::Upgrade { End::Upgrade } else { End::Stopped })
}

/// What ends the daemon when it ends.
struct Parts {
    director: Ended,
    server: JoinHandle<anyhow::Result<()>>,
    runner: JoinHandle<()>,
    mesh: Option<MeshThread>,
}

/// What this node remembers as a voter of a mesh.
fn recall(places: &Places, member: Option<&Member>) -> anyhow::Result<(Option<Memory>, VoterStart)> {
    let Some((identity, state)) = member else { return Ok((None, VoterStart::default())) };
    let owner = Owner { node: identity.node, cluster: state.roster.cluster.clone(), boot: memory::boot_id()? };
    let (memory, start) = Memory::open(&owner, &places.runtime_dir, &places.state_dir, clock::now())?;
    Ok((Some(memory), start))
}

fn setup(places: &Places, config: &Config, member: Option<&Member>, voter: VoterStart) -> anyhow::Result<Setup> {
    let now = clock::now();
    let unix_at_zero = clock::unix_time().saturating_sub(Duration::from_nanos(now.as_nanos()));
    let (node, name) = match member {
        Some((identity, state)) => {
            let own = state.roster.member(identity.node).context("the roster on disk does not list this node")?;
            let wanted = places.name.as_ref().or(config.mesh.name.as_ref()).unwrap_or(&own.name);
            ensure!(
                *wanted == own.name,
                "this node joined as {}, so it cannot be {wanted}: leave out --name and mesh.name",
                own.name
            );
            (identity.node, own.name.clone())
        }
        None => (NodeId(0), node_name(places, config)?),
    };
    Ok(Setup {
        node,
        name,
        roster: member.map(|(_, state)| state.roster.clone()),
        successor: member.map_or_else(Default::default, |(_, state)| state.successor.clone()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        seed: seed()?,
        unix_at_zero,
        voter,
        adopted: Vec::new(),
    })
}

/// Chance for the engine's jitter.
fn seed() -> anyhow::Result<u64> {
    let bytes = ring::rand::generate(&ring::rand::SystemRandom::new());
    let bytes: [u8; 8] = bytes.map_err(|_| anyhow::anyhow!("the system has no randomness"))?.expose();
    Ok(u64::from_ne_bytes(bytes))
}

async fn start_mesh(
    places: &Places,
    config: &Config,
    (identity, State { roster, .. }): Member,
    inputs: &mpsc::Sender<Input>,
) -> anyhow::Result<MeshThread> {
    let known = address_of(&identity, &roster);
    let listen = listen(places, config).unwrap_or(known);
    ensure!(
        listen.port() == known.port() && (listen.ip().is_unspecified() || listen.ip() == known.ip()),
        "the mesh knows this node at {known}, so it cannot listen on {listen}: leave out --listen and mesh.listen"
    );
    let options = MeshOptions { identity, roster, listen, inputs: inputs.clone() };
    threads::start_mesh(options, config.mesh.realtime).await
}

/// Where the others reach this node.
fn address_of(identity: &Identity, roster: &Roster) -> SocketAddr {
    let unspecified = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), mesh::DEFAULT_PORT);
    roster.member(identity.node).map_or(unspecified, |m| m.address)
}

fn control_state(
    mesh: Option<&MeshHandle>,
    seed: String,
    status: watch::Receiver<Arc<mesh_control::Status>>,
    ending: control::Ending,
) -> ControlState {
    let tokens = mesh.cloned().map(|mesh| {
        let make = move |ttl| mesh.create_token(ttl).map(|token| (token.text, token.expires_unix));
        Arc::new(make) as Arc<control::MakeToken>
    });
    let roster = mesh.cloned().map(|mesh| Arc::new(mesh) as Arc<dyn control::RosterAccess>);
    ControlState { status, tokens, roster, seed, ending }
}

/// Starts the engine's thread.
fn spawn_engine(
    engine: Engine,
    config: &Config,
    directs: bool,
    inputs: mpsc::Receiver<Input>,
    outputs: Outputs,
) -> anyhow::Result<Ended> {
    let config = config.clone();
    threads::spawn("meshd-engine", config.mesh.realtime, move || async move {
        if directs {
            Director::new(engine, &config, inputs, outputs).await?.run().await;
        } else {
            Witness::new(engine, inputs, outputs).run().await;
        }
        Ok(())
    })
}

/// What a member does, as its roster has it.
fn role_of((identity, state): &Member) -> Role {
    state.roster.member(identity.node).map_or(Role::Director, |member| member.role)
}

fn lock_memory() {
    match priority::lock_memory() {
        Ok(true) => {}
        Ok(false) => tracing::info!("memory is not locked: its limit (LimitMEMLOCK) is not infinity"),
        Err(error) => tracing::info!(%error, "memory is not locked"),
    }
}

async fn run_scripts(mut scripts: Scripts, mut sets: watch::Receiver<Vec<mesh_config::model::TrackScript>>) {
    while sets.changed().await.is_ok() {
        let set = sets.borrow_and_update().clone();
        scripts.set(set);
    }
}

/// Waits for the end: a signal that asks for it, or a part that died. Reloads meanwhile.
async fn supervise(
    signals: &mut Signals,
    reloading: &Reloading<'_>,
    parts: &mut Parts,
    commands: &mut mpsc::Receiver<Command>,
) -> anyhow::Result<Command> {
    let Signals { terminate, interrupt, hangup, dump_data, dump_stats } = signals;
    let Parts { director, server, runner, mesh } = parts;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(Command::Stop),
            _ = interrupt.recv() => return Ok(Command::Stop),
            Some(command) = commands.recv() => return Ok(command),
            _ = hangup.recv() => reloading.reload().await,
            _ = dump_data.recv() => tracing::warn!("SIGUSR1: dumps in keepalived's form are not there yet; see `meshctl status`"),
            _ = dump_stats.recv() => tracing::warn!("SIGUSR2: dumps in keepalived's form are not there yet; see `meshctl status`"),
            ended = &mut *director => {
                ended.context("the engine's thread died")??;
                bail!("the engine ended by itself");
            }
            ended = &mut *server => {
                ended.context("the control server died")??;
                bail!("the control server ended by itself");
            }
            ended = &mut *runner => {
                ended.context("the runner of tracked scripts died")?;
                bail!("the runner of tracked scripts ended by itself");
            }
            error = mesh_failure(mesh.as_mut()) => return Err(error.context("the mesh died")),
        }
    }
}

async fn mesh_failure(mesh: Option<&mut MeshThread>) -> anyhow::Error {
    let Some(MeshThread { handle, ended, .. }) = mesh else { return std::future::pending().await };
    tokio::select! {
        error = handle.failed() => error,
        ended = ended => match ended {
            Ok(Err(error)) => error,
            Ok(Ok(())) => anyhow::anyhow!("its thread ended by itself"),
            Err(_) => anyhow::anyhow!("its thread died"),
        },
    }
}

/// What SIGHUP needs.
struct Reloading<'a> {
    places: &'a Places,
    inputs: &'a mpsc::Sender<Input>,
    directs: bool,
}

impl Reloading<'_> {
    /// SIGHUP: a file that cannot be used leaves everything as it is.
    async fn reload(&self) {
        match config_file(self.places.config.clone()).and_then(|file| load_config(&file)) {
            // A witness serves none anyway.
            Ok(config) if config.routers.is_empty() && self.directs => {
                tracing::error!("configuration not changed: no virtual router is left in it; stop meshd to serve none");
            }
            Ok(config) => match self.inputs.send_timeout(Input::Configure(config), TAKEN_WITHIN).await {
                Ok(()) => tracing::info!("configuration read again"),
                Err(_) => tracing::error!("configuration not changed: the engine takes nothing"),
            },
            Err(error) => tracing::error!("configuration not changed: {error:#}"),
        }
    }
}

/// Has the engine hand everything over, or leave it to the next run, if it lives.
async fn hand_over(inputs: &mpsc::Sender<Input>, keep: bool, stopped: oneshot::Receiver<()>) {
    let (what, input) =
        if keep { ("leaving all to the next run", Input::Keep) } else { ("handing over", Input::Shutdown) };
    tracing::info!("stopping: {what}");
    let handed_over = async {
        // An engine that hangs takes nothing. One that is dead cannot answer; its sender is gone, and nothing is
        // waited for.
        let _ = inputs.send(input).await;
        stopped.await
    };
    if tokio::time::timeout(STOP_DEADLINE, handed_over).await.is_err() {
        tracing::error!("the engine did not hand over within {STOP_DEADLINE:?}; its leases will run out");
    }
}

/// The configuration of a node that may do without: it can vote, and shows the map.
fn optional_config(places: &Places) -> anyhow::Result<Config> {
    match config_file(places.config.clone()) {
        Ok(file) => load_config(&file),
        Err(error) => {
            tracing::warn!("{error:#}");
            Ok(Config::default())
        }
    }
}

fn load_config(file: &Path) -> anyhow::Result<Config> {
    let (config, report) = check::load(file)?;
    for finding in &report.findings {
        tracing::warn!("{finding}");
    }
    Ok(config)
}

fn listen(places: &Places, config: &Config) -> Option<SocketAddr> {
    places.listen.or(config.mesh.listen)
}

/// `--name`, the configuration's, or the host name up to its first dot.
fn node_name(places: &Places, config: &Config) -> anyhow::Result<String> {
    if let Some(name) = places.name.clone().or_else(|| config.mesh.name.clone()) {
        return Ok(name);
    }
    let host = nix::unistd::gethostname().context("cannot read the host name; use --name")?;
    let host = host.into_string().map_err(|_| anyhow::anyhow!("the host name is no text; use --name"))?;
    Ok(host.split('.').next().unwrap_or(&host).to_owned())
}

/// Lines that may wait for whoever reads standard error; more are dropped, never waited for: a
/// terminal on Ctrl-S must not stop the leases.
const LOG_QUEUE: usize = 4096;

/// Logs to standard error, by a thread of its own. The guard writes what is left when it is dropped.
pub(crate) fn init_logging() -> tracing_appender::non_blocking::WorkerGuard {
    use tracing_appender::non_blocking::NonBlockingBuilder;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("MESHD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LOG_QUEUE);
    let (writer, guard) = builder.finish(std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_ansi(terminal).with_target(false).init();
    guard
}
