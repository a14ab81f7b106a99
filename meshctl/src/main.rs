//! The operator's view of the mesh, from any node.
//!
//! ```text
//! main     the command line, and what becomes of a failure
//! client   HTTP on the daemon's unix socket, every wait with a deadline
//! pick     which of the map to show, and in which order
//! watch    `status --watch`: reconnects, redraws
//! top      the mesh on a whole screen
//! story    events, traces, explanations
//! convert  keepalived.conf to meshd.toml
//! reload   has the daemon read its configuration again
//! stop     ends the daemon, and waits for it
//! moves    orders to move something, and waits until it is so
//! screen   the terminal while it is redrawn
//! show     tables
//! ```
//!
//! Exit status: 0 done, 1 refused or not found, 2 usage, 3 no daemon. JSON is what the daemon sent, so fields this
//! version does not know are printed all the same.
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, CommandFactory, Parser, Subcommand};
use jiff::Timestamp;
use mesh_control::story::Explanation;
use mesh_control::{
    DEFAULT_SOCKET, NodeRequest, RosterChanged, Status, TokenInfo, TokenReply, TokenRequest, TokenRevocation,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

use client::{Client, Failure};
use pick::Pick;
use show::Look;

mod client;
mod convert;
mod moves;
mod pick;
mod reload;
mod removal;
mod screen;
mod show;
mod stop;
mod story;
mod top;
mod watch;

/// With fewer voters than these VRRP decides alone where they do not answer.
const PROTECTING: usize = 3;

/// Shows and steers the mesh from any of its nodes.
#[derive(Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    /// The daemon's control socket.
    #[arg(long, global = true, value_name = "PATH", default_value = DEFAULT_SOCKET)]
    socket: PathBuf,
    /// Print JSON, as the daemon sent it.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The cluster-wide map: each virtual router, who serves it and why, and the nodes.
    Status {
        #[command(flatten)]
        pick: Pick,
        /// Keep it up to date; q or Ctrl-C leaves. With --json, one line for each change.
        #[arg(long)]
        watch: bool,
    },
    /// The mesh on a whole screen: nodes, VIPs, services, events; ? shows the keys.
    Top,
    /// Virtual services and their real servers: who has them in ip_vs, who is healthy, in whose eyes, and why not.
    Services {
        /// Only those with this text in their name, or in the address of a real server.
        #[arg(default_value = "")]
        text: String,
    },
    /// The members of the mesh.
    Nodes {
        #[command(subcommand)]
        command: Option<NodesCommand>,
    },
    /// Who votes on leases and on changes of the mesh.
    Voters {
        #[command(subcommand)]
        command: Option<VotersCommand>,
    },
    /// What happened, all over the mesh.
    Events {
        /// Go on with what happens; Ctrl-C leaves. With --json, one line for each event.
        #[arg(long)]
        follow: bool,
        /// Only the last so long: a number and s, m, h or d; at most 7d.
        #[arg(long, value_name = "TIME", value_parser = ttl)]
        since: Option<u32>,
    },
    /// A takeover or planned move, step by step, from the memory of all nodes.
    Trace {
        /// The first digits of its id, or a VIP or router, for its latest [default: the latest of all].
        #[arg(value_name = "ID|VIP")]
        which: Option<String>,
    },
    /// Why a VIP is where it is, what every voter would answer now, and what would happen if who serves it died, or
    /// this node.
    Explain {
        /// A VIP, or a router's name.
        vip: String,
    },
    /// Enrolment.
    Token(Token),
    /// Have another director serve a virtual router, and its sync group, until said otherwise; comes back when it does.
    Move {
        /// The router's name, its sync group's, or one of its addresses.
        what: String,
        /// The director's name, or its identity.
        #[arg(required_unless_present = "back", conflicts_with = "back")]
        node: Option<String>,
        /// Undo an earlier move: the router goes where it would be without it.
        #[arg(long)]
        back: bool,
    },
    /// Have a director hand over all it serves, and take nothing any more; comes back when it is empty.
    Drain(Waiting),
    /// Have a director serve again; comes back when it has what belongs to it.
    Undrain(Waiting),
    /// What would move as things stand, and why; nothing does.
    Plan {
        /// As if this director were drained.
        #[arg(long, value_name = "NODE")]
        drain: Option<String>,
    },
    /// Stop the daemon of this host; comes back when it has ended.
    Stop {
        /// Leave what it serves to its next run, to be started at once, instead of handing it over.
        #[arg(long)]
        keep: bool,
    },
    /// Have the daemon of this host read its configuration again; comes back when it is in use, or tells why it cannot
    /// be used.
    Reload,
    /// Write a keepalived.conf as a meshd.toml that means the same, and a line for everything that changes.
    Convert {
        /// The keepalived.conf.
        file: PathBuf,
        /// A new file for it, which only its owner can read [default: standard output, unless there are
        /// authentication keys].
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Conditional lines (`@ID ...`) are read when they name this [default: the host name up to its first dot].
        #[arg(long, value_name = "ID")]
        config_id: Option<String>,
    },
    /// Replace the daemon of this host by the program on disk, without letting go of what it serves.
    Upgrade,
    /// Print completions for a shell.
    Completions {
        /// For example: `meshctl completions bash > /etc/bash_completion.d/meshctl`
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each command.
    Man {
        /// Where to, for example /usr/local/share/man/man1; it has to exist.
        directory: PathBuf,
    },
}

#[derive(Subcommand)]
enum NodesCommand {
    /// Remove a member for good: what it serves is handed over first, and it comes back only with an empty state
    /// directory and a new token.
    Remove {
        /// Its name, or its identity.
        node: String,
        /// Hand nothing over: what it serves is served by nobody until its leases have run out.
        #[arg(long)]
        now: bool,
        /// How long handing over may take: a number and s, m, h or d.
        #[arg(long, default_value = "10m", value_parser = ttl, conflicts_with = "now")]
        within: u32,
    },
}

#[derive(Subcommand)]
enum VotersCommand {
    /// Give a member a vote that only the operator takes.
    Add {
        /// Its name, or its identity.
        node: String,
    },
    /// Take a member's vote; the mesh does not give it back by itself.
    Remove {
        /// Its name, or its identity.
        node: String,
    },
}

#[derive(Args)]
struct Waiting {
    /// The director's name, or its identity.
    node: String,
    /// Come back as soon as the order is taken.
    #[arg(long)]
    no_wait: bool,
    /// How long to wait at most: a number and s, m, h or d.
    #[arg(long, default_value = "10m", value_parser = ttl, conflicts_with = "no_wait")]
    within: u32,
}

#[derive(Args)]
struct Token {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token, and print the command that joins a new machine with it.
    Create {
        /// How long it may be used: a number and s, m, h or d; at most 7d.
        #[arg(long, default_value = "1h", value_parser = ttl)]
        ttl: u32,
    },
    /// Tokens made by this daemon since it started and not used, and those used or revoked that have not expired.
    List,
    /// Make a token useless, all over the mesh.
    Revoke {
        /// Its id, as `token list` shows it; or `-`, and the token itself on standard input.
        id: String,
    },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => fail(failure),
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let client = Client::new(cli.socket);
    match cli.command {
        Command::Status { pick, watch: true } => watch::run(client, pick, cli.json).await,
        Command::Status { pick, watch: false } => status(&client, &pick, cli.json).await,
        Command::Top => top::run(client).await,
        Command::Services { text } => services(&client, &text, cli.json).await,
        Command::Nodes { command: Some(NodesCommand::Remove { node, now, within }) } => {
            removal::remove(&client, cli.json, node, (!now).then_some(within)).await
        }
        Command::Voters { command: Some(VotersCommand::Add { node }) } => {
            change(&client, cli.json, "/voters/add", &NodeRequest { node }).await
        }
        Command::Voters { command: Some(VotersCommand::Remove { node }) } => {
            change(&client, cli.json, "/voters/remove", &NodeRequest { node }).await
        }
        Command::Voters { command: None } => ask(&client, cli.json, "/status", show::voters_json, show::voters).await,
        Command::Nodes { command: None } => {
            let part = |status: &Value| status.get("nodes").cloned().unwrap_or_default();
            ask(&client, cli.json, "/status", part, show::nodes).await
        }
        Command::Events { follow: true, since } => story::follow(&client, since, cli.json).await,
        Command::Events { follow: false, since } => {
            ask(&client, cli.json, &story::events_path("/events", since), Value::clone, show::events).await
        }
        Command::Trace { which } => {
            ask(&client, cli.json, &story::trace_path(which.as_deref()), Value::clone, show::trace).await
        }
        Command::Explain { vip } => {
            let words = |why: &Explanation, _: &Look| show::explanation(why);
            ask(&client, cli.json, &story::explain_path(&vip), Value::clone, words).await
        }
        Command::Move { what, node: Some(node), back: _ } => moves::move_to(&client, cli.json, what, node).await,
        Command::Move { what, node: None, back: _ } => moves::move_back(&client, cli.json, what).await,
        Command::Drain(Waiting { node, no_wait, within }) => {
            moves::drain(&client, cli.json, node, (!no_wait).then_some(within)).await
        }
        Command::Undrain(Waiting { node, no_wait, within }) => {
            moves::undrain(&client, cli.json, node, (!no_wait).then_some(within)).await
        }
        Command::Plan { drain } => moves::plan(&client, cli.json, drain).await,
        Command::Convert { file, output, config_id } => convert(&file, output.as_deref(), config_id),
        Command::Stop { keep } => stop::stop(&client, keep).await,
        Command::Reload => reload::reload(&client, cli.json).await,
        Command::Upgrade => {
            let pid = stop::upgrade(&client).await?;
            if cli.json {
                return print(&pretty(&serde_json::json!({ "daemon_pid": pid })));
            }
            print(&format!("meshd runs again, as process {pid}\n"))
        }
        Command::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "meshctl", &mut text);
            print(&String::from_utf8(text).map_err(anyhow::Error::from)?)
        }
        Command::Man { directory } => {
            let cannot = || format!("cannot write manual pages into {}", directory.display());
            clap_mangen::generate_to(Cli::command(), &directory).with_context(cannot).map_err(Failure::Failed)
        }
        Command::Token(Token { command }) => token(&client, cli.json, command).await,
    }
}

/// Asks for something and prints it: in JSON what `part` takes of the answer, else in words.
async fn ask<T: DeserializeOwned>(
    client: &Client,
    json: bool,
    path: &str,
    part: impl FnOnce(&Value) -> Value,
    words: impl FnOnce(&T, &Look) -> String,
) -> Result<(), Failure> {
    let answer = client.get(path).await?;
    if json { print(&pretty(&part(&answer))) } else { print(&words(&show::read(answer)?, &look())) }
}

async fn token(client: &Client, json: bool, command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::List => {
            let words = |tokens: &Vec<TokenInfo>, look: &Look| show::tokens(tokens, look);
            ask(client, json, "/tokens", Value::clone, words).await
        }
        TokenCommand::Revoke { id } => {
            // A token among the arguments would show in the list of processes.
            let token = if id == "-" { io::read_to_string(io::stdin()).map_err(anyhow::Error::from)? } else { id };
            let reply = client.post("/tokens/revoke", &TokenRevocation { token }).await?;
            print(&if json { pretty(&reply) } else { "The token cannot be used any more.\n".to_owned() })
        }
        TokenCommand::Create { ttl } => {
            let reply = client.post("/tokens", &TokenRequest { ttl_s: ttl }).await?;
            if json {
                return print(&pretty(&reply));
            }
            let TokenReply { token, expires, command } = show::read(reply)?;
            print(&format!("MESHD_TOKEN={token} {command}\n"))?;
            // Not part of what one may want to pipe somewhere.
            let _ = writeln!(io::stderr(), "Run this on the new machine before {expires}. The token is a secret.");
            Ok(())
        }
    }
}

/// Converts a file, and writes it where it was asked for.
fn convert(file: &Path, output: Option<&Path>, config_id: Option<String>) -> Result<(), Failure> {
    let converted = convert::convert(file, config_id).map_err(Failure::Failed)?;
    for change in &converted.changes {
        // Not part of what one may want to pipe somewhere.
        let _ = writeln!(io::stderr(), "{}", show::clean(change));
    }
    match output {
        Some(path) => convert::save(path, &converted.text).map_err(Failure::Failed),
        None if converted.secret => Err(Failure::Failed(anyhow::anyhow!(
            "{} holds authentication keys; expected `--output FILE`, which only its owner can read",
            file.display()
        ))),
        None => print(&converted.text),
    }
}

/// The map, or what was picked of it.
async fn status(client: &Client, pick: &Pick, json: bool) -> Result<(), Failure> {
    let mut status = client.get("/status").await?;
    if json {
        pick.choose_json(&mut status, true)?;
        return print(&pretty(&status));
    }
    let status = show::read(status)?;
    pick.check(&status)?;
    print(&show::status(&status, &pick.choose(&status), &look()))
}

/// The services of the node that answers, or those with this text.
async fn services(client: &Client, text: &str, json: bool) -> Result<(), Failure> {
    let status = client.get("/status").await?;
    let chosen = show::services_json(&status, text);
    let status: Status = show::read(status)?;
    show::has_services(&status, text)?;
    if json { print(&pretty(&chosen)) } else { print(&show::services(&status, text, &look())) }
}

/// Has the voters change the roster.
async fn change(client: &Client, json: bool, path: &str, request: &impl serde::Serialize) -> Result<(), Failure> {
    let reply = client.post(path, request).await?;
    if json {
        return print(&pretty(&reply));
    }
    let RosterChanged { roster_epoch, voters, needed } = show::read(reply)?;
    let (all, names) = (show::plural(voters.len(), "voter"), voters.join(" "));
    let decide = if needed == 1 { "decides" } else { "decide" };
    print(&format!("Roster epoch {roster_epoch}: {needed} of {all} {decide}: {names}\n"))?;
    if voters.len() < PROTECTING {
        // Not part of what one may want to pipe somewhere.
        let cost =
            "two nodes can serve one address when they do not reach each other, unless on_quorum_loss is \"fence\"";
        let _ = writeln!(io::stderr(), "UNPROTECTED with fewer than {PROTECTING} voters: {cost}");
    }
    Ok(())
}

/// Writes to standard output.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// How standard output wants it.
fn look() -> Look {
    let terminal = io::stdout().is_terminal();
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    Look {
        color: terminal && !set("NO_COLOR") && !dumb,
        width: terminal.then(terminal_size).flatten().map(|(width, _)| width),
        now: Timestamp::now(),
    }
}

/// Columns and lines of the terminal, where it knows them: some serial consoles say zero.
fn terminal_size() -> Option<(u16, u16)> {
    crossterm::terminal::size().ok().filter(|(columns, lines)| *columns > 0 && *lines > 0)
}

/// A time as people write it, in seconds, which is also the unit where none is given.
fn ttl(text: &str) -> Result<u32, String> {
    const MOST: u32 = 604_800;
    let with = |unit: char, seconds: u32| text.strip_suffix(unit).map(|number| (number, seconds));
    let parts = with('s', 1).or(with('m', 60)).or(with('h', 3600)).or(with('d', 86_400));
    let (number, unit) = parts.unwrap_or((text, 1));
    let seconds = number.parse::<u32>().ok().and_then(|number| number.checked_mul(unit));
    seconds.filter(|s| (1..=MOST).contains(s)).ok_or_else(|| "1s to 7d, as in 90s, 30m, 1h or 7d".to_owned())
}

fn fail(failure: Failure) -> ExitCode {
    let (code, error, hint) = match failure {
        // Whoever read has seen enough.
        Failure::Output(error) if error.kind() == ErrorKind::BrokenPipe => return ExitCode::SUCCESS,
        Failure::Output(error) => (1, format!("output: {error}"), None),
        Failure::Failed(error) => {
            // Several lines, each with its place.
            let _ = writeln!(io::stderr(), "meshctl: {error:#}");
            return ExitCode::FAILURE;
        }
        Failure::Refused(refusal) => (1, refusal.error, refusal.hint),
        Failure::Unreadable(error) => {
            (1, format!("{error:#}"), Some("are meshctl and meshd of one version?".to_owned()))
        }
        Failure::NoDaemon { error, hint } => (3, error, Some(hint.to_owned())),
    };
    // A finding of a configuration is a line.
    let error = error.lines().map(show::clean).collect::<Vec<_>>().join("\n");
    let mut text = format!("meshctl: {error}\n");
    if let Some(hint) = hint {
        text += &format!("  hint: {}\n", show::clean(&hint));
    }
    // With standard error gone there is nobody left to tell.
    let _ = io::stderr().write_all(text.as_bytes());
    ExitCode::from(code)
}
