//! meshd: keeps virtual IPs alive together with the other directors of its mesh.

use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use mesh_wire::mesh::roster::Role;
use meshd::run::{self, End, Only, Places};
use meshd::signals::Signals;
use meshd::{compat, guard};

/// Keeps virtual IPs alive together with the other directors of its mesh.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a new mesh on this node: CA, identity and roster; prints the command for others to join.
    Init {
        #[command(flatten)]
        common: Common,
    },
    /// Join a mesh, when there is no identity yet, and run.
    Join {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        guard: GuardOption,
        /// A member of the mesh, HOST or HOST:PORT.
        #[arg(long, value_name = "HOST[:7946]")]
        seed: String,
        /// The token that `meshd init` or `meshctl token create` printed. Other users can see
        /// arguments: MESHD_TOKEN or --token-file keep it secret.
        #[arg(long, env = "MESHD_TOKEN", hide_env_values = true, conflicts_with = "token_file")]
        token: Option<String>,
        /// A file with the token.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// What this node does.
        #[arg(long, value_enum, default_value_t = RoleArgument::Director)]
        role: RoleArgument,
        /// Short for `--role witness`.
        #[arg(long, conflicts_with = "role")]
        witness: bool,
    },
    /// Run with the identity on disk; without one, as a plain VRRP router.
    Run {
        #[command(flatten)]
        common: Common,
        #[command(flatten)]
        guard: GuardOption,
    },
    /// Read a configuration and report what is wrong or ignored. Exit status: 0 nothing wrong,
    /// 3 unusable, 4 usable after changes, 5 script security.
    Check {
        /// keepalived.conf or meshd.toml [default: as for `run`].
        file: Option<PathBuf>,
        /// The same, as the other commands take it.
        #[arg(long, value_name = "FILE", conflicts_with = "file")]
        config: Option<PathBuf>,
        /// As for `run`.
        #[arg(long, value_name = "ID")]
        config_id: Option<String>,
    },
    /// Print completions for a shell.
    Completions {
        /// For example: `meshd completions bash > /etc/bash_completion.d/meshd`
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each command.
    Man {
        /// Where to, for example /usr/local/share/man/man1; it has to exist.
        directory: PathBuf,
    },
}

/// Role of a node that joins.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleArgument {
    /// Holds virtual IPs, and votes.
    Director,
    /// Votes, and needs no privileges.
    Witness,
    /// Real server behind virtual servers: has their addresses on lo, hidden from the network, tells
    /// directors which of its ports are up, and votes. Undoes it all when it stops.
    Server,
}

#[derive(Args)]
struct Common {
    /// keepalived.conf or meshd.toml, told apart by their content
    /// [default: /etc/meshd/meshd.toml, else /etc/keepalived/keepalived.conf].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Conditional lines of keepalived.conf (`@ID ...`) are read when they name this
    /// [default: the host name up to its first dot].
    #[arg(long, value_name = "ID")]
    config_id: Option<String>,
    /// This node's name in the mesh [default: `mesh.name` of meshd.toml, else the host name].
    #[arg(long)]
    name: Option<String>,
    /// Keys, certificate, roster.
    #[arg(long, value_name = "DIR", default_value = run::DEFAULT_STATE_DIR)]
    state_dir: PathBuf,
    /// The control socket's directory.
    #[arg(long, value_name = "DIR", default_value = run::DEFAULT_RUNTIME_DIR)]
    runtime_dir: PathBuf,
    /// Address and UDP port of the mesh, set once by `init` and `join`.
    #[arg(long, value_name = "ADDR[:7946]", value_parser = listen_address)]
    listen: Option<SocketAddr>,
    /// Network namespace (`ip netns`) to run in [default: `net_namespace` of the configuration].
    #[arg(long, value_name = "NAME")]
    net_namespace: Option<String>,
    /// Act on a part of the configuration only.
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// Mask of modes of dumps [default: `umask` of the configuration].
    #[arg(long, value_name = "MASK", value_parser = mask)]
    umask: Option<u32>,
    /// Log to this facility of syslog (3 is daemon) instead of standard error.
    #[arg(long, value_name = "FACILITY", value_parser = clap::value_parser!(u8).range(0..=23))]
    syslog: Option<u8>,
}

/// A mask of file modes.
fn mask(text: &str) -> Result<u32, String> {
    mesh_config::umask(text).ok_or_else(|| "expected a number up to 0777, such as 0177".to_owned())
}

#[derive(Args)]
struct GuardOption {
    /// One process only. By default a small parent process acts in the daemon's place the moment it
    /// dies, and starts it again: leave that out only where a supervisor restarts it, and the time
    /// until leases run out does not matter.
    #[arg(long)]
    no_guard: bool,
}

/// An address with a port, or with the mesh's own.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse().map(|ip| SocketAddr::new(ip, meshd::mesh::DEFAULT_PORT));
    address.or_else(|_| text.parse()).map_err(|_| "expected an IP address, or IP address:port".to_owned())
}

impl From<RoleArgument> for Role {
    fn from(role: RoleArgument) -> Role {
        match role {
            RoleArgument::Director => Role::Director,
            RoleArgument::Witness => Role::Witness,
            RoleArgument::Server => Role::Server,
        }
    }
}

impl From<Common> for Places {
    fn from(common: Common) -> Places {
        let Common { config, config_id, name, state_dir, runtime_dir, listen, net_namespace, only, umask, syslog } =
            common;
        Places { config, config_id, name, state_dir, runtime_dir, listen, net_namespace, only, umask, syslog }
    }
}

fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|name| compat::is_keepalived(&name)) {
        return compat::main(std::env::args_os());
    }
    let cli = Cli::parse();
    let ended = match cli.command {
        Command::Check { file, config, config_id } => match run::config_file(file.or(config)) {
            Ok(file) => return meshd::check::run(&file, config_id.as_deref()),
            Err(error) => {
                eprintln!("meshd: {error:#}");
                return ExitCode::from(meshd::check::UNUSABLE);
            }
        },
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "meshd", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Command::Man { directory } => clap_mangen::generate_to(Cli::command(), &directory)
            .with_context(|| directory.display().to_string())
            .map(|()| ExitCode::SUCCESS),
        Command::Init { common } => run::init(&common.into()).map(|()| ExitCode::SUCCESS),
        Command::Join { common, guard, seed, token, token_file, role, witness } => {
            let places = common.into();
            let role = if witness { Role::Witness } else { role.into() };
            let joined = run::join(&places, &seed, token, token_file, role);
            joined.and_then(|()| Err(become_run(&places, guard.no_guard)))
        }
        Command::Run { common, guard: GuardOption { no_guard: false } } => guard::run(&common.into(), None, &[]),
        Command::Run { common, .. } => run_here(&common.into()),
    };
    match ended {
        Ok(code) => code,
        Err(error) => {
            eprintln!("meshd: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The daemon in this process, with or without a guard above it.
fn run_here(places: &Places) -> anyhow::Result<ExitCode> {
    // Signals that a guard passes on wait until they are taken, and until then are blocked.
    let signals = Signals::take()?;
    let link = guard::attach()?;
    run::enter_namespace(places)?;
    Ok(match run::run(places, link, signals)? {
        End::Stopped => ExitCode::SUCCESS,
        End::Upgrade => ExitCode::from(guard::RESTART),
    })
}

/// Replaces this process, and the token in its arguments and environment, by a `run`. Comes back
/// only when that fails.
fn become_run(places: &Places, no_guard: bool) -> anyhow::Error {
    let program = match std::env::current_exe().context("cannot tell which program this is") {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut command = compat::as_meshd(&program);
    command.args(places.run_arguments()).args(no_guard.then_some("--no-guard")).env_remove("MESHD_TOKEN");
    anyhow::Error::new(command.exec()).context("this node joined, but cannot go on to run")
}
