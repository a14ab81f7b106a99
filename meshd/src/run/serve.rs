//! Wires everything together and watches over it: whatever dies is noticed, and ends the daemon
//! rather than leaving half of it running.

use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, ensure};
use mesh_config::model::{Config, ScriptSecurity};
use mesh_core::bfd::Told as Sessions;
use mesh_core::lease::memory::VoterStart;
use mesh_core::roster::State;
use mesh_core::services::input::Surroundings;
use mesh_core::{Engine, Input, Setup};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::roster::Role;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::life::Life;
use super::parts::{Parts, ServerThread};
use super::reloading::Reloading;
use super::telling::Telling;
use super::{End, Member, NextRun, Places, address_of, check_role, listen, node_name, role_of, socket, what_to_run};
use crate::bfd;
use crate::control::{self, Command, ControlState};
use crate::director::{Director, Outputs};
use crate::dump::Dumps;
use crate::guard::{Link, Task};
use crate::legacy::Legacy;
use crate::memory::{Memory, Owner};
use crate::mesh::{MeshHandle, MeshOptions, StateDir};
use crate::priority::{self, Manner};
use crate::probes::notify::NotifySettings;
use crate::probes::notify::teller;
use crate::probes::script::Scripts;
use crate::probes::tracked::Tracked;
use crate::server::{RealServer, Told};
use crate::services;
use crate::signals::Signals;
use crate::telemetry::{Archive, Life as Lives, Telemetry};
use crate::threads::{self, Ended, MeshThread};
use crate::witness::Witness;
use crate::{clock, descriptors, memory, on_demand};

/// Facts that may wait for the engine; it takes microseconds for each, so that a full queue means
/// that it hangs. Gossip waits for room, lease messages are dropped, as the network may.
const INPUT_QUEUE: usize = 4096;

/// Questions about what the engine knows that may wait for it.
const QUESTIONS: usize = 16;

/// Dumps that may wait for the engine; those behind wait to be asked for.
const ASK_QUEUE: usize = 4;

/// What a daemon has before it does anything.
struct Opened {
    member: Option<Member>,
    config: Config,
    role: Role,
    socket: control::Socket,
    pages: Option<TcpListener>,
    /// Keeps another daemon from the state directory.
    alone: Option<File>,
}

/// All that may be refused before anything runs.
async fn open(places: &Places) -> anyhow::Result<Opened> {
    let (member, config) = what_to_run(places)?;
    let role = member.as_ref().map_or(Role::Director, role_of);
    check_role(role)?;
    lock_memory(&config);
    priority::take_name(config.process.threads.vrrp.name.as_deref());
    if let Err(error) = descriptors::raise_limit() {
        tracing::info!(%error, "the limit of open files stays as it is");
    }
    let socket = control::bind(&socket(places))?;
    let pages = match config.telemetry.listen {
        Some(address) => Some(control::listen(address).await?),
        None => None,
    };
    let alone = member.as_ref().map(|_| StateDir::open(&places.state_dir).lock()).transpose()?;
    Ok(Opened { member, config, role, socket, pages, alone })
}

pub(super) async fn serve(places: &Places, guard: Option<Link>, mut signals: Signals) -> anyhow::Result<End> {
    let Opened { member, config, role, socket, pages, alone: _alone } = open(places).await?;
    let directs = role == Role::Director;
    let node = member.as_ref().map_or(NodeId(0), |(identity, _)| identity.node);
    let life = Life::new(&places.runtime_dir);
    if directs && !life.begin(&config, &mut signals).await {
        return Ok(End::Stopped);
    }
    let legacy = Legacy::new(&places.runtime_dir, node).context("cannot tell this boot from others")?;
    let stop = CancellationToken::new();
    let (inputs, input_queue) = mpsc::channel(INPUT_QUEUE);
    let (memory, voter) = recall(places, member.as_ref())?;
    let (adopted, holds) = (legacy.take_adopted(), legacy.holds());
    let setup = Setup { adopted, holds, ..setup(places, &config, member.as_ref(), voter)? };
    let services_setup = services_setup(&setup);
    let name = setup.name.clone();
    let engine = Engine::new(setup, config.clone(), clock::now());

    let join_at =
        member.as_ref().map_or(String::new(), |(identity, state)| address_of(identity, &state.roster).to_string());
    let service_queue = mpsc::channel(services::QUEUE);
    let gossip = directs.then(|| service_queue.0.clone());
    let mesh = match member {
        Some(loaded) => Some(start_mesh(places, &config, loaded, &inputs, gossip).await?),
        None => None,
    };
    let (mesh, mesh_thread) = mesh.map_or((None, None), |thread| (Some(thread.handle.clone()), Some(thread)));
    let (status, status_seen) = on_demand::channel(engine.status(clock::now()));
    let (scripts, script_sets) = watch::channel(Vec::new());
    let (tracked, tracked_sets) = watch::channel(Default::default());
    let (secure, secured) = watch::channel(config.scripts.clone());
    let (surroundings, around) = watch::channel(Surroundings::default());
    let (services_shown, services_seen) = on_demand::channel(Vec::new());
    let (stopped, stopped_seen) = oneshot::channel();
    let (telemetry, mut told) = Telling::start(&config, &name, node, status_seen.clone())?;
    let (engine_questions, questions) = mpsc::channel(QUESTIONS);
    let archive = Archive { journal: Arc::clone(&told.journal), engine: engine_questions, mesh: mesh.clone() };
    if let Some(mesh) = &mesh {
        mesh.answer_from(archive.clone());
    }
    let (asks, ask_queue) = mpsc::channel(ASK_QUEUE);
    let watched = guard.as_ref().map(|guard| watched_by(guard, &telemetry));
    let (directors_tell, server_thread) = start_server(role, mesh.as_ref(), &legacy)?;
    let scripts_told = Some(telemetry.clone());
    let notify = directs.then(|| teller::start(NotifySettings::of(&config), scripts_told)).transpose()?;
    let teller = notify.as_ref().map(|notify| notify.teller.clone());
    let outputs = Outputs {
        teller: teller.clone(),
        mesh: mesh.clone(),
        memory,
        legacy,
        guard: watched,
        scripts,
        tracked,
        surroundings,
        status,
        telemetry: telemetry.clone(),
        questions,
        asks: ask_queue,
        stopped: Some(stopped),
    };
    let dumps = Dumps::new(asks, services_seen.clone());
    let life_told = telemetry.clone();
    let outlets = |teller| services::Outputs {
        engine: inputs.clone(),
        mesh: mesh.clone(),
        telemetry,
        teller,
        shown: services_shown,
    };
    let bfd = if directs { Some(bfd::start(&config, seed()?, services_setup.unix_at_zero)?) } else { None };
    let (sessions, sessions_seen) = bfd.as_ref().map_or_else(bfd::nothing, |bfd| (bfd.told.clone(), bfd.shown.clone()));
    let routers_sessions = sessions.clone();
    let services = teller.clone().map(|teller| {
        services::start(services_setup, config.clone(), service_queue, around, sessions, outlets(teller))
    });
    let director = spawn_engine(engine, &config, directs, (input_queue, routers_sessions), outputs, directors_tell)?;
    let runner = tokio::spawn(run_scripts(Scripts::new(inputs.clone(), config.scripts.clone()), script_sets, secured));
    let tracker = tokio::spawn(Tracked::new(&inputs)?.follow(tracked_sets));
    let (commands, mut command_queue) = mpsc::channel(1);
    let ending = control::Ending { commands, guard: guard.clone(), next: NextRun::of(places) };
    let (refused, config_refused) = watch::channel(None);
    let (reloads, mut reload_queue) = mpsc::channel(1);
    let shown = control::Shown { status: status_seen, services: services_seen, bfd: sessions_seen, config_refused };
    let state = control_state(mesh.as_ref(), join_at, shown, (ending, reloads), archive);
    let pages = pages.map(|listener| (listener, state.clone()));
    let server = tokio::spawn(serve_control(socket, state, pages, stop.clone()));

    tracing::info!(version = env!("CARGO_PKG_VERSION"), routers = config.routers.len(), "started");
    if let Some(guard) = &guard {
        guard.tell_ready(if directs { Task::Kernel } else { Task::Nothing });
    }
    let mut reloading = Reloading::new(places, &inputs, (directs, teller), secure, dumps, (life_told, refused), config);
    let mut parts = Parts {
        director,
        server,
        runner,
        tracker,
        services: services.transpose()?,
        notify,
        bfd,
        mesh: mesh_thread,
        real_server: server_thread,
        guard: guard.as_ref().map(|guard| guard.pid),
    };
    let asked = parts.watch(&mut signals, &mut reloading, (&mut command_queue, &mut reload_queue), &mut told).await;
    let ended = parts.end(&asked, (&inputs, stopped_seen), mesh.as_ref(), &stop).await;
    told.finish().await;
    if directs && matches!(asked, Ok(Command::Stop)) {
        life.end(&reloading.config).await;
    }
    let command = asked?;
    ended?;
    Ok(if command == Command::Upgrade { End::Upgrade } else { End::Stopped })
}

/// What is shown of the guard; what it has to say is told.
fn watched_by(guard: &Link, telemetry: &Telemetry) -> mesh_control::Guard {
    if let Some(how) = guard.died() {
        telemetry.record_life(Lives::Died { how });
    }
    let cannot_act = guard.cannot_act();
    if let Some(why) = &cannot_act {
        tracing::warn!("killed, this daemon is not acted for, and its leases run out: {why}");
    }
    mesh_control::Guard {
        pid: guard.pid,
        daemon_pid: std::process::id(),
        restarts: guard.restarts,
        last_death: guard.last_death.clone(),
        last_death_at: guard.died_at.and_then(in_words),
        cannot_act,
    }
}

/// Starts the thread of a real server, and what it is told by; nothing for others.
fn start_server(
    role: Role,
    mesh: Option<&MeshHandle>,
    legacy: &Legacy,
) -> anyhow::Result<(Option<watch::Sender<Told>>, Option<ServerThread>)> {
    let (Role::Server, Some(mesh)) = (role, mesh.cloned()) else { return Ok((None, None)) };
    let (told, hears) = watch::channel(Told::new());
    let (leave, asked) = oneshot::channel();
    let legacy = legacy.clone();
    let ended = threads::spawn("meshd-server", Manner::default(), move || async move {
        RealServer::new(legacy, mesh, hears, asked)?.run().await;
        Ok(())
    })?;
    Ok((Some(told), Some(ServerThread { leave, ended })))
}

/// A time in seconds since 1970, as it is shown.
fn in_words(unix: u64) -> Option<String> {
    let second = i64::try_from(unix).ok().and_then(|unix| jiff::Timestamp::from_second(unix).ok())?;
    Some(second.to_string())
}

/// What this node remembers as a voter of a mesh.
fn recall(places: &Places, member: Option<&Member>) -> anyhow::Result<(Option<Memory>, VoterStart)> {
    let Some((identity, state)) = member else { return Ok((None, VoterStart::default())) };
    let owner = Owner { node: identity.node, cluster: state.roster.cluster.clone(), boot: memory::boot_id()? };
    let (memory, start) = Memory::open(&owner, &places.runtime_dir, &places.state_dir, clock::now())?;
    Ok((Some(memory), start))
}

fn setup(places: &Places, config: &Config, member: Option<&Member>, voter: VoterStart) -> anyhow::Result<Setup> {
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
        unix_at_zero: clock::unix_at_zero(),
        voter,
        adopted: Vec::new(),
        holds: Vec::new(),
    })
}

fn services_setup(setup: &Setup) -> mesh_core::services::Setup {
    let Setup { node, name, seed, unix_at_zero, .. } = setup;
    mesh_core::services::Setup { node: *node, name: name.clone(), seed: *seed, unix_at_zero: *unix_at_zero }
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
    services: Option<mpsc::Sender<mesh_core::services::Input>>,
) -> anyhow::Result<MeshThread> {
    let known = address_of(&identity, &roster);
    let listen = listen(places, config).unwrap_or(known);
    ensure!(
        listen.port() == known.port() && (listen.ip().is_unspecified() || listen.ip() == known.ip()),
        "the mesh knows this node at {known}, so it cannot listen on {listen}: leave out --listen and mesh.listen"
    );
    let options = MeshOptions { identity, roster, listen, inputs: inputs.clone(), services };
    threads::start_mesh(options, Manner::of(&config.process.threads.vrrp, config.mesh.realtime)).await
}

fn control_state(
    mesh: Option<&MeshHandle>,
    seed: String,
    shown: control::Shown,
    (ending, reloads): (control::Ending, control::Reloads),
    archive: Archive,
) -> ControlState {
    let tokens = mesh.cloned().map(|mesh| {
        let make = move |ttl| mesh.create_token(ttl).map(|token| (token.text, token.expires_unix));
        Arc::new(make) as Arc<control::MakeToken>
    });
    let roster = mesh.cloned().map(|mesh| Arc::new(mesh) as Arc<dyn control::RosterAccess>);
    let orders = mesh.cloned().map(|mesh| Arc::new(mesh) as Arc<dyn control::OrderAccess>);
    ControlState { shown, tokens, roster, orders, archive: Some(archive), seed, ending, reloads }
}

/// The control socket, and the pages on TCP where they are asked for: one ends with the other.
async fn serve_control(
    socket: control::Socket,
    state: ControlState,
    pages: Option<(TcpListener, ControlState)>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let pages = async {
        match pages {
            Some((listener, state)) => control::serve_pages(listener, state, stop.clone()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = control::serve(socket, state, stop.clone()) => ended,
        Err(error) = pages => Err(error),
    }
}

/// Starts the engine's thread.
fn spawn_engine(
    engine: Engine,
    config: &Config,
    directs: bool,
    (inputs, sessions): (mpsc::Receiver<Input>, watch::Receiver<Sessions>),
    outputs: Outputs,
    told: Option<watch::Sender<Told>>,
) -> anyhow::Result<Ended> {
    let config = config.clone();
    let manner = Manner::of(&config.process.threads.vrrp, config.mesh.realtime).unnamed();
    threads::spawn("meshd-engine", manner, move || async move {
        if directs {
            let director = Director::new(engine, &config, inputs, sessions, outputs).await?;
            // The engine has its own, and of thousands of routers another one is megabytes.
            drop(config);
            director.run().await;
        } else {
            Witness::new(engine, inputs, outputs, told).run().await;
        }
        Ok(())
    })
}

/// `no_swap` asks for it where a limit forbids it, too.
fn lock_memory(config: &Config) {
    let threads = &config.process.threads;
    let asked = [&threads.vrrp, &threads.checker, &threads.bfd].iter().any(|kind| kind.no_swap);
    if !config.mesh.realtime && !asked {
        return;
    }
    if asked && let Err(error) = priority::lift_memory_limit() {
        tracing::warn!(%error, "no_swap: the limit of locked memory (LimitMEMLOCK) stays as it is");
    }
    match priority::lock_memory() {
        Ok(true) => {}
        Ok(false) => tracing::info!("memory is not locked: its limit (LimitMEMLOCK) is not infinity"),
        Err(error) => tracing::info!(%error, "memory is not locked"),
    }
}

async fn run_scripts(
    mut scripts: Scripts,
    mut sets: watch::Receiver<Vec<mesh_config::model::TrackScript>>,
    secured: watch::Receiver<ScriptSecurity>,
) {
    while sets.changed().await.is_ok() {
        let set = sets.borrow_and_update().clone();
        scripts.secure(secured.borrow().clone());
        scripts.set(set);
    }
}
