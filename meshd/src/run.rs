//! The commands that make, join and run: what is read and checked before the daemon proper begins.

mod life;
mod next;
mod parts;
mod reload_file;
mod reload_time;
mod reloading;
mod saved;
mod serve;
mod telling;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use mesh_config::model::{Config, Process};
use mesh_config::report::Report;
use mesh_core::roster::State;
use mesh_wire::mesh::roster::{Role, Roster};

pub use self::next::NextRun;
use self::serve::serve;
use crate::guard::Link;
use crate::mesh::{self, Identity};
use crate::privileges;
use crate::signals::Signals;
use crate::{check, compat, control};

/// Where a configuration is looked for, in this order.
const DEFAULT_CONFIGS: [&str; 2] = ["/etc/meshd/meshd.toml", "/etc/keepalived/keepalived.conf"];

/// Default of `--state-dir`.
pub const DEFAULT_STATE_DIR: &str = "/var/lib/meshd";

/// Default of `--runtime-dir`.
pub const DEFAULT_RUNTIME_DIR: &str = "/run/meshd";

/// First token that `meshd init` prints.
const FIRST_TOKEN: Duration = Duration::from_secs(3600);

/// A member's identity and what its roster file holds.
type Member = (Identity, State);

/// What the command line says about files and addresses.
pub struct Places {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--config-id`.
    pub config_id: Option<String>,
    /// `--name`.
    pub name: Option<String>,
    /// `--state-dir`.
    pub state_dir: PathBuf,
    /// `--runtime-dir`.
    pub runtime_dir: PathBuf,
    /// `--listen`.
    pub listen: Option<SocketAddr>,
    /// `--net-namespace`, instead of the configuration's.
    pub net_namespace: Option<String>,
    /// `--only`: what of the configuration counts.
    pub only: Option<Only>,
    /// `--umask`, instead of the configuration's.
    pub umask: Option<u32>,
    /// `--syslog`: the facility the log goes to, instead of standard error.
    pub syslog: Option<u8>,
}

/// Part of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Only {
    /// Virtual routers.
    Vrrp,
    /// Virtual servers.
    Checks,
}

impl Places {
    /// A command that means the same files again.
    fn command(&self, command: &str) -> String {
        let Places { config, config_id, state_dir, runtime_dir, .. } = self;
        let mut text = format!("meshd {command}");
        if let Some(config) = config {
            text += &format!(" --config {}", config.display());
        }
        if let Some(id) = config_id {
            text += &format!(" --config-id {id}");
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
    role: Role,
) -> anyhow::Result<()> {
    let _guard = init_logging(places.syslog);
    if mesh::is_member(&places.state_dir)? {
        tracing::info!("this node is a member already: --seed, --token and --role are not looked at");
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
    let _log = init_logging(places.syslog);
    main_runtime()?.block_on(serve(places, guard, signals))
}

/// The identity and the configuration of a daemon that has something to do.
fn what_to_run(places: &Places) -> anyhow::Result<(Option<Member>, Config)> {
    let member = mesh::load(&places.state_dir)?;
    let config = optional_config(places)?;
    if member.is_none() {
        ensure!(!serves_nothing(&config), nothing_to_do(&places.state_dir));
        tracing::warn!(
            "no identity in {}: a plain VRRP router, in no mesh (`meshd join` enters one, `meshd init` makes one)",
            places.state_dir.display()
        );
    }
    Ok((member, config))
}

fn nothing_to_do(state_dir: &Path) -> String {
    format!(
        "nothing to do: no virtual router, virtual server or BFD session is configured, and {} holds no identity of a mesh; \
         give a configuration with --config, or use `meshd init` or `meshd join`",
        state_dir.display()
    )
}

fn serves_nothing(config: &Config) -> bool {
    config.routers.is_empty() && config.virtual_servers.is_empty() && config.bfd_instances.is_empty()
}

fn main_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_name("meshd-io").enable_all().build().context("cannot start the runtime")
}

/// What would stop the daemon right after joining, found before anything in the mesh changes.
fn preflight(places: &Places, role: Role) -> anyhow::Result<()> {
    check_role(role)?;
    control::bind(&socket(places)).map(drop)
}

/// Who serves nothing needs no privileges.
fn check_role(role: Role) -> anyhow::Result<()> {
    match role {
        Role::Director => privileges::check_director(),
        Role::Server => privileges::check_server(),
        Role::Witness => Ok(()),
    }
}

/// Whether a daemon with these files holds virtual routers. Where its identity cannot be read nobody
/// knows, and what it may have held is taken back.
pub(crate) fn directs(places: &Places) -> bool {
    mesh::load(&places.state_dir).ok().flatten().is_none_or(|member| role_of(&member) == Role::Director)
}

fn socket(places: &Places) -> PathBuf {
    places.runtime_dir.join("meshd.sock")
}

/// Where the others reach this node.
fn address_of(identity: &Identity, roster: &Roster) -> SocketAddr {
    let unspecified = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), mesh::DEFAULT_PORT);
    roster.member(identity.node).map_or(unspecified, |m| m.address)
}

/// What a member does, as its roster has it.
fn role_of((identity, state): &Member) -> Role {
    state.roster.member(identity.node).map_or(Role::Director, |member| member.role)
}

/// The configuration of a node that may do without: it can vote, and shows the map.
fn optional_config(places: &Places) -> anyhow::Result<Config> {
    match config_file(places.config.clone()) {
        Ok(file) => {
            let (config, ..) = load_config(places, &file)?;
            if let Some(directory) = &config.process.save_directory {
                saved::keep(directory, &file);
            }
            Ok(config)
        }
        Err(error) => {
            tracing::info!("{error:#}; this node can do without");
            Ok(Config::default())
        }
    }
}

/// A configuration, and what there is to say about it.
fn load_config(places: &Places, file: &Path) -> anyhow::Result<(Config, Report, String)> {
    let (mut config, report, summary) = check::load(file, places.config_id.as_deref())?;
    for finding in &report.findings {
        tracing::warn!("{finding}");
    }
    config.process.umask = places.umask.or(config.process.umask);
    leave_out(&mut config, places.only);
    Ok((config, report, summary))
}

/// What `--only` leaves out.
fn leave_out(config: &mut Config, only: Option<Only>) {
    match only {
        Some(Only::Vrrp) => config.virtual_servers.clear(),
        Some(Only::Checks) => config.routers.clear(),
        None => {}
    }
}

/// What a configuration says of the process: needed before the host can be looked at. One that cannot be
/// read says nothing; that is told later.
pub fn process_of(file: &Path, config_id: Option<&str>) -> Process {
    check::parse(file, config_id).ok().and_then(|(config, _)| config).map_or_else(Process::default, |c| c.process)
}

/// Goes where the command line, or else the configuration, says that this daemon is to be; what that says of the
/// process is the result.
///
/// # Errors
///
/// That network namespace cannot be entered.
pub fn enter_namespace(places: &Places) -> anyhow::Result<Process> {
    let file = config_file(places.config.clone());
    let process = file.map_or_else(|_| Process::default(), |file| process_of(&file, places.config_id.as_deref()));
    if let Some(name) = places.net_namespace.as_ref().or(process.net_namespace.as_ref()) {
        compat::enter(name)?;
    }
    Ok(process)
}

fn listen(places: &Places, config: &Config) -> Option<SocketAddr> {
    places.listen.or(config.mesh.listen)
}

/// `--name`, the configuration's, or the host name up to its first dot.
fn node_name(places: &Places, config: &Config) -> anyhow::Result<String> {
    if let Some(name) = places.name.clone().or_else(|| config.mesh.name.clone()) {
        return Ok(name);
    }
    mesh_files::host_name().context("no name for this node; use --name")
}

/// Lines that may wait for whoever reads standard error; more are dropped, never waited for: a
/// terminal on Ctrl-S must not stop the leases.
const LOG_QUEUE: usize = 4096;

/// Logs to standard error, or to a facility of syslog, by a thread of its own. The guard writes what is
/// left when it is dropped.
pub(crate) fn init_logging(syslog: Option<u8>) -> tracing_appender::non_blocking::WorkerGuard {
    use tracing_appender::non_blocking::NonBlockingBuilder;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("MESHD_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LOG_QUEUE);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_target(false);
    if let Some(facility) = syslog {
        let (writer, guard) = builder.finish(compat::Syslog::new(facility));
        lines.with_writer(writer).with_ansi(false).without_time().init();
        return guard;
    }
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let (writer, guard) = builder.finish(std::io::stderr());
    lines.with_writer(writer).with_ansi(terminal).init();
    guard
}
