//! Effects that the engine decided upon, brought about.

use std::io;

use mesh_core::action::Effect;
use mesh_core::{Action, Input};

use super::{Director, FenceState};
use crate::kernel::fence::Fence;

impl Director {
    /// Adds addresses, all in one go, and tells which could not be added.
    pub(super) async fn add_addresses(&mut self, additions: Vec<Action>) -> Vec<(Effect, String)> {
        let wanted: Vec<_> = additions
            .iter()
            .filter_map(|action| match action {
                Action::AddAddress { interface, address, lifetime_s } => {
                    Some((interface.as_str(), address, *lifetime_s))
                }
                _ => None,
            })
            .collect();
        let added = self.netlink.add_addresses(&wanted).await;
        let failed = wanted.iter().zip(added).filter_map(|((interface, address, _), added)| {
            let error = added.err()?;
            let effect = Effect::Address { address: address.net.addr(), interface: (*interface).to_owned() };
            Some((effect, format!("{:#}", anyhow::Error::from(error))))
        });
        failed.collect()
    }

    /// Removes addresses in the same way.
    pub(super) async fn del_addresses(&mut self, removals: Vec<Action>) -> Vec<(Effect, String)> {
        let gone: Vec<_> = removals
            .iter()
            .filter_map(|action| match action {
                Action::DelAddress { interface, address } => Some((interface.as_str(), address)),
                _ => None,
            })
            .collect();
        let removed = self.netlink.del_addresses(&gone).await;
        let failed = gone.iter().zip(removed).filter_map(|((interface, address), removed)| {
            let error = removed.err()?;
            let effect = Effect::Removal { address: address.net.addr(), interface: (*interface).to_owned() };
            Some((effect, format!("{:#}", anyhow::Error::from(error))))
        });
        failed.collect()
    }

    /// Effects of which a part may fail; any other, too.
    pub(super) async fn act_on_several(&mut self, action: Action) -> Vec<(Effect, String)> {
        let routes = |failed: Vec<(String, String)>| {
            failed.into_iter().map(|(what, error)| (Effect::Route { what }, error)).collect()
        };
        match action {
            Action::MakeVmacs { wanted } => {
                let failed = self.netlink.make_vmacs(&wanted).await;
                failed.into_iter().map(|(name, error)| (Effect::Vmac { name }, error)).collect()
            }
            Action::AddRoutes { routes: wanted, rules, again } => {
                routes(self.netlink.add_routes(&wanted, &rules, again).await)
            }
            Action::HaveStatics(wanted) => routes(self.netlink.have_statics(&wanted).await),
            action => self.act(action).await.err().into_iter().collect(),
        }
    }

    async fn act(&mut self, action: Action) -> Result<(), (Effect, String)> {
        match action {
            Action::SendAdvertisement { interface, source, destination, envelope, payload } => {
                let sent = self.adverts.send(&interface, source, destination, envelope, &payload);
                sent.map_err(|e| (Effect::Advertisement { interface }, e.to_string()))?;
            }
            Action::Announce { interface, address, count } => {
                let sent = self.adverts.announce(&interface, address, count);
                sent.map_err(|e| (Effect::Advertisement { interface }, e.to_string()))?;
            }
            Action::ProbeAddresses { probe, addresses } => {
                let failed = |e: io::Error| (Effect::Probe { probe }, e.to_string());
                let search = self.adverts.probe(&addresses).map_err(failed)?;
                self.probes.spawn(async move { (probe, search.await) });
            }
            Action::SweepAddresses { except, configured } => {
                if self.vmacs.is_empty() {
                    // Of an earlier run, when the configuration had some.
                    let _none_wanted = self.netlink.make_vmacs(&[]).await;
                }
                let (routes, rules) = self.vmacs.routes_with(&except);
                let swept = self.netlink.sweep(&configured, &except, (&routes, &rules)).await;
                if swept > 0 {
                    tracing::warn!(swept, "removed virtual addresses that an earlier run had left");
                }
            }
            Action::DelRoutes { routes, rules } => {
                for (what, error) in self.netlink.del_routes(&routes, &rules).await {
                    tracing::warn!(what, error, "cannot be removed");
                }
            }
            Action::FenceInstall { addresses, unaccepted } => {
                let below = |name: &&String| self.vmacs.base_of(name).is_none();
                let devices = self.interfaces.keys().filter(below).cloned().collect();
                let wanted = !addresses.is_empty() || !unaccepted.is_empty();
                let (fenced, unaccepted) = (self.vmacs.targets(&addresses), self.vmacs.targets(&unaccepted));
                self.fence(wanted, |f| f.install_with(&fenced, &unaccepted, &devices))?;
            }
            Action::FenceArm { addresses, until } => {
                self.fence_arms += 1;
                let targets = self.vmacs.targets(&addresses);
                self.fence(true, |f| f.arm(&targets, until))?;
            }
            Action::FenceClose { addresses } => {
                let targets = self.vmacs.targets(&addresses);
                self.fence(true, |f| f.close(&targets))?;
            }
            Action::Remember(changes) => self.outputs.remember(&changes)?,
            Action::FenceAdopt { addresses, until } => {
                let targets = self.vmacs.targets(&addresses);
                self.fence(true, |f| {
                    f.adopt(&targets, until);
                    Ok(())
                })?;
            }
            Action::KeepWill(will) => self.outputs.keep_will(&will),
            Action::LeaveBehind(left) => {
                let kept = self.outputs.legacy.leave_behind(&left);
                kept.map_err(|e| (Effect::LeaveBehind, e.to_string()))?;
                tracing::info!(routers = left.len(), "left to the next run");
            }
            Action::KeepHolds(holds) => self.outputs.keep_holds(&holds),
            Action::Record(decision) => self.outputs.telemetry.record(decision),
            Action::Tell(notices) => {
                if let Some(teller) = &self.outputs.teller {
                    teller.tell(notices);
                }
            }
            Action::RunScripts(scripts) => {
                self.outputs.scripts.send_replace(scripts);
            }
            Action::WatchTracked { files, processes } => {
                self.outputs.tracked.send_replace((files, processes));
            }
            Action::TellServices(surroundings) => {
                self.outputs.surroundings.send_replace(surroundings);
            }
            Action::Stopped => {
                self.outputs.stopped.take().map(|stopped| stopped.send(()));
            }
            Action::AddAddress { .. }
            | Action::DelAddress { .. }
            | Action::MakeVmacs { .. }
            | Action::AddRoutes { .. }
            | Action::HaveStatics(_) => unreachable!("above"),
            Action::SendMessage { .. }
            | Action::Publish { .. }
            | Action::AdoptRoster(_)
            | Action::StoreRoster { .. }
            | Action::RosterChanged { .. }
            | Action::AskSettings { .. }
            | Action::Ordered { .. } => self.outputs.act_on_mesh(action),
        }
        Ok(())
    }

    /// Acts on the fence. Where there is none, only a wish to have one is a failure.
    fn fence(&mut self, wanted: bool, act: impl FnOnce(&mut Fence) -> io::Result<()>) -> Result<(), (Effect, String)> {
        if let FenceState::Missing(why) = &mut self.fence
            && wanted
        {
            // What was missing may have been loaded since; the engine asks again every quarter of a second.
            match Fence::probe() {
                Ok(fence) => self.fence = FenceState::Ready(fence),
                Err(error) => *why = error.to_string(),
            }
        }
        match &mut self.fence {
            FenceState::Ready(fence) => act(fence).map_err(|e| (Effect::Fence, e.to_string())),
            FenceState::Missing(_) if !wanted => Ok(()),
            FenceState::Missing(why) => Err((Effect::Fence, why.clone())),
        }
    }

    /// What the kernel cannot do for what is fenced now, where that is not what it was.
    pub(super) fn new_gaps(&mut self) -> Option<Input> {
        let FenceState::Ready(fence) = &self.fence else { return None };
        let gaps = fence.gaps();
        (gaps != self.fence_gaps).then(|| {
            self.fence_gaps.clone_from(&gaps);
            Input::FenceGaps(gaps)
        })
    }
}
