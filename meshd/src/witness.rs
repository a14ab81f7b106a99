//! The engine's thread of a node that serves nothing: it votes, gossips and shows the map, and
//! touches neither the kernel's addresses nor its rules nor raw sockets. So it runs as any user.

use mesh_core::action::Effect;
use mesh_core::{Action, Engine, Input};
use mesh_wire::mesh::gossip::SERVES_PREFIX;
use tokio::sync::{mpsc, watch};

use crate::clock;
use crate::director::{Failures, Outputs, status_pause};
use crate::server::Told;
use crate::telemetry::Effects;

/// The engine of a node without virtual addresses.
pub struct Witness {
    engine: Engine,
    inputs: mpsc::Receiver<Input>,
    outputs: Outputs,
    /// Where a real server learns what directors tell.
    told: Option<watch::Sender<Told>>,
}

impl Witness {
    /// Needs no privileges. On a real server, what directors tell it is passed on by `told`.
    pub fn new(
        engine: Engine,
        inputs: mpsc::Receiver<Input>,
        outputs: Outputs,
        told: Option<watch::Sender<Told>>,
    ) -> Witness {
        Witness { engine, inputs, outputs, told }
    }

    /// Runs until the engine stopped or all senders of inputs are gone.
    pub async fn run(mut self) {
        self.step(Input::Timeout);
        while self.outputs.stopped.is_some() {
            let due = self.engine.deadline().map(|(at, _)| at.since(clock::now()));
            let input = tokio::select! {
                biased;
                () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => Some(Input::Timeout),
                input = self.inputs.recv() => input,
                Some(asked) = self.outputs.questions.recv() => {
                    asked.answer(&self.engine);
                    Some(Input::Timeout)
                }
                () = self.outputs.status.due() => {
                    self.show_status();
                    Some(Input::Timeout)
                }
                Some(ask) = self.outputs.asks.recv() => Some(Outputs::answer(&self.engine, ask)),
            };
            let Some(input) = input else { break };
            self.pass_on(&input);
            self.step(input);
        }
        // What is asked for after the end is answered with that.
        self.show_status();
    }

    fn pass_on(&self, input: &Input) {
        let (Some(told), Input::Gossip { node, key, value }) = (&self.told, input) else { return };
        if key.starts_with(SERVES_PREFIX) {
            let entry = (*node, key.clone());
            told.send_modify(|told| match value {
                Some(value) => drop(told.insert(entry, value.clone())),
                None => drop(told.remove(&entry)),
            });
        }
    }

    fn step(&mut self, input: Input) {
        let mut failed = Vec::new();
        let mut failures = Failures::default();
        for action in self.engine.step(clock::now(), input) {
            if failures.forbid(&action) {
                continue;
            }
            if let Err((effect, error)) = self.act(action) {
                failures.note(&effect, false);
                failed.push((effect, error));
            }
        }
        for (effect, error) in failed {
            // What follows of a failure is told or tried later, never at once: this ends.
            for action in self.engine.step(clock::now(), Input::Failed { effect, error }) {
                let _ = self.act(action);
            }
        }
        self.outputs.telemetry.tell(Effects::of(self.engine.take_story()));
    }

    fn act(&mut self, action: Action) -> Result<(), (Effect, String)> {
        let unfit = |effect| Err((effect, "this node is no director: it leaves the kernel alone".to_owned()));
        match action {
            Action::KeepWill(will) => self.outputs.keep_will(&will),
            Action::Remember(changes) => self.outputs.remember(&changes)?,
            Action::Record(decision) => self.outputs.telemetry.record(decision),
            Action::RunScripts(scripts) => {
                self.outputs.scripts.send_replace(scripts);
            }
            Action::WatchTracked { files, processes } => {
                self.outputs.tracked.send_replace((files, processes));
            }
            Action::Stopped => {
                self.outputs.stopped.take().map(|stopped| stopped.send(()));
            }
            Action::SendMessage { .. }
            | Action::Publish { .. }
            | Action::AdoptRoster(_)
            | Action::StoreRoster { .. }
            | Action::RosterChanged { .. }
            | Action::AskSettings { .. }
            | Action::Ordered { .. } => self.outputs.act_on_mesh(action),
            // No services either, and no routers to tell of.
            Action::TellServices(_) | Action::Tell(_) => {}
            // Nothing was ever put there, and nothing is wanted.
            Action::SweepAddresses { .. }
            | Action::MakeVmacs { .. }
            | Action::AddRoutes { .. }
            | Action::DelRoutes { .. }
            | Action::HaveStatics(_)
            | Action::FenceAdopt { .. }
            | Action::LeaveBehind(_)
            | Action::KeepHolds(_)
            | Action::DelAddress { .. }
            | Action::FenceClose { .. }
            | Action::ProbeAddresses { .. } => {}
            Action::FenceInstall { addresses, unaccepted } if addresses.is_empty() && unaccepted.is_empty() => {}
            Action::FenceInstall { .. } | Action::FenceArm { .. } => return unfit(Effect::Fence),
            Action::AddAddress { interface, address, .. } => {
                return unfit(Effect::Address { interface, address: address.net.addr() });
            }
            Action::SendAdvertisement { interface, .. } | Action::Announce { interface, .. } => {
                return unfit(Effect::Advertisement { interface });
            }
        }
        Ok(())
    }

    fn show_status(&mut self) {
        let now = clock::now();
        let mut status = self.engine.status(now);
        status.counters.extend(self.outputs.counters());
        status.guard.clone_from(&self.outputs.guard);
        self.outputs.status.show(status, status_pause(clock::now().since(now)));
    }
}
