//! Where effects go that are not the kernel's.

use mesh_config::model::{TrackFile, TrackProcess, TrackScript};
use mesh_control::Status;
use mesh_core::action::Effect;
use mesh_core::damping::Damper;
use mesh_core::lease::memory::Changes;
use mesh_core::services::input::Surroundings;
use mesh_core::will::Will;
use mesh_core::{Action, Engine, Input};
use mesh_wire::mesh::RouterKey;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock;
use crate::dump::Ask;
use crate::legacy::Legacy;
use crate::memory::Memory;
use crate::mesh::MeshHandle;
use crate::on_demand::Maker;
use crate::priority;
use crate::probes::checks;
use crate::probes::notify::teller::Teller;
use crate::telemetry::{Asked, Telemetry};

/// Where effects that are not the kernel's go.
pub struct Outputs {
    /// The mesh; `None` without one.
    pub mesh: Option<MeshHandle>,
    /// What this node grants as a voter; `None` without a mesh.
    pub memory: Option<Memory>,
    /// Scripts to run from now on.
    pub scripts: watch::Sender<Vec<TrackScript>>,
    /// Files and processes to look at from now on.
    pub tracked: watch::Sender<(Vec<TrackFile>, Vec<TrackProcess>)>,
    /// Who runs scripts, writes to FIFOs and sends mail; `None` on a node that has no routers.
    pub teller: Option<Teller>,
    /// What the services are told of the mesh.
    pub surroundings: watch::Sender<Surroundings>,
    /// What `meshctl status` shows.
    pub status: Maker<Status>,
    /// What outlives this process.
    pub legacy: Legacy,
    /// What the guard told, where there is one.
    pub guard: Option<mesh_control::Guard>,
    /// Where is told what happened.
    pub telemetry: Telemetry,
    /// Questions about what the engine knows.
    pub questions: mpsc::Receiver<Asked>,
    /// Whoever wants to know all of the routers.
    pub asks: mpsc::Receiver<Ask>,
    /// Told once, when everything is handed over.
    pub stopped: Option<oneshot::Sender<()>>,
}

impl Outputs {
    /// Tells the guard what to do in place of this process. Where it cannot be told, leases run out.
    pub(crate) fn keep_will(&self, will: &Will) {
        if let Err(error) = self.legacy.keep_will(will) {
            tracing::warn!(%error, "the guard will not know what to do: the last will cannot be written");
        }
    }

    /// Keeps what the next run has to know of holds. Without it, a restart ends them.
    pub(crate) fn keep_holds(&self, holds: &[(RouterKey, Damper)]) {
        if let Err(error) = self.legacy.keep_holds(holds) {
            tracing::warn!(%error, "a restart will end holds: what fell cannot be written down");
        }
    }

    /// Keeps what this node granted, so that its next run knows it.
    pub(crate) fn remember(&mut self, changes: &Changes) -> Result<(), (Effect, String)> {
        let remembered = self.memory.as_mut().map_or(Ok(()), |memory| memory.remember(changes));
        remembered.map_err(|e| (Effect::Memory, e.to_string()))
    }

    /// Effects that are the mesh's; without one there is nobody to tell.
    pub(crate) fn act_on_mesh(&self, action: Action) {
        let Some(mesh) = &self.mesh else { return };
        match action {
            Action::SendMessage { to, message } => mesh.send(to, &message),
            Action::Publish { key, value } => mesh.publish(key, value),
            Action::AdoptRoster(roster) => mesh.adopt(&roster),
            Action::StoreRoster { ticket, state } => mesh.store(ticket, state),
            Action::RosterChanged { ticket, result } => mesh.roster_changed(ticket, result),
            Action::AskSettings { node } => mesh.ask_settings(node),
            Action::Ordered { ticket, result } => mesh.ordered(ticket, result),
            other => unreachable!("{other:?} is not the mesh's"),
        }
    }

    /// Answers; what the engine is to do then.
    pub(crate) fn answer(engine: &Engine, ask: Ask) -> Input {
        // Who asked may have given up waiting; the counters are not what it waits for.
        let _ = ask.answer.send(engine.dump(clock::now()));
        if ask.clear { Input::ClearCounters } else { Input::Timeout }
    }

    /// What the mesh dropped, whether the voter's memory is kept, and how many threads have
    /// real-time priority.
    pub(crate) fn counters(&self) -> impl Iterator<Item = (String, u64)> {
        let dropped = self.mesh.iter().flat_map(MeshHandle::counters);
        let dropped = dropped.map(|(name, count)| (format!("mesh_{name}"), count));
        let lost = self.memory.as_ref().is_some_and(|memory| !memory.is_kept());
        let told = self.teller.iter().flat_map(Teller::counters);
        let told = told.map(|(name, count)| (name.to_owned(), count));
        let (checks, check_us) = checks::latency();
        let own = [
            ("checks", checks),
            ("check_microseconds", check_us),
            ("voter_memory_lost", u64::from(lost)),
            ("realtime_threads", priority::raised()),
            ("telemetry_reports_lost", self.telemetry.lost()),
        ];
        dropped.chain(told).chain(own.map(|(name, count)| (name.to_owned(), count)))
    }
}
