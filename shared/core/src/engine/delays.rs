//! What has to last before it counts: the start of the daemon or of the host (`vrrp_startup_delay`,
//! `vrrp_delay_after_boot`), and changes of links (`interface_up_down_delays`).

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_config::model::Delays;

use super::Engine;
use crate::input::Interface;
use crate::time::Instant;

/// What is being waited for.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Until then routers that have not begun do not begin.
    start: Option<Instant>,
    /// Links that changed, until when they have to stay so, and whether they are up.
    links: BTreeMap<String, (Instant, bool)>,
    /// Interfaces are there, or changed, and nobody has looked what that means.
    unlooked: bool,
}

impl Waiting {
    /// From the start of the daemon on; the clock's zero is the host's boot.
    pub(super) fn new(now: Instant, delays: &Delays) -> Self {
        let until = (now + delays.startup).max(Instant::default() + delays.after_boot);
        Waiting { start: Some(until).filter(|until| *until > now), ..Waiting::default() }
    }

    /// Whether routers do not begin yet.
    pub(super) fn holds(&self, now: Instant) -> bool {
        self.start.is_some_and(|until| now < until)
    }

    /// The same, as long as the end has not been noticed.
    pub(super) fn pending(&self) -> bool {
        self.start.is_some()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.links.values().map(|(until, _)| *until).chain(self.start).min()
    }

    /// An interface is gone, and whatever was waited for with it.
    pub(super) fn forget(&mut self, interface: &str) {
        self.links.remove(interface);
    }
}

impl Engine {
    /// An interface is there, or changed. Its addresses count at once, its link when it has lasted; one that
    /// is new counts as it is.
    pub(super) fn see_interface(&mut self, now: Instant, mut interface: Interface) {
        let known = self.interfaces.get(&interface.name).map(|known| known.running);
        let delay = known.filter(|known| *known != interface.running).map(|_| self.link_delay(&interface));
        match (known, delay.filter(|delay| !delay.is_zero())) {
            (Some(known), Some(delay)) => {
                let pending = self.delays.links.get(&interface.name).filter(|(_, up)| *up == interface.running);
                let until = pending.map_or(now + delay, |(until, _)| *until);
                self.delays.links.insert(interface.name.clone(), (until, interface.running));
                interface.running = known;
            }
            _ => self.delays.forget(&interface.name),
        }
        let name = interface.name.clone();
        self.interfaces.insert(name.clone(), interface);
        self.vmac_seen(now, &name, known == Some(true));
        self.delays.unlooked = true;
    }

    /// What interfaces that were told of together mean for the routers: at the start none of them is missing because it
    /// comes second.
    pub(super) fn look_at_interfaces(&mut self, now: Instant) {
        if std::mem::take(&mut self.delays.unlooked) {
            self.evaluate_all(now);
        }
    }

    fn link_delay(&self, interface: &Interface) -> Duration {
        let delay = self.config.delays.links.get(&interface.name).copied().unwrap_or_default();
        if interface.running { delay.up } else { delay.down }
    }

    /// What has been waited for long enough.
    pub(super) fn run_delays(&mut self, now: Instant) {
        let started = self.delays.start.take_if(|until| *until <= now).is_some();
        let due: Vec<(String, bool)> =
            self.delays.links.extract_if(.., |_, (until, _)| *until <= now).map(|(name, (_, up))| (name, up)).collect();
        if !started && due.is_empty() {
            return;
        }
        for (name, up) in due {
            if let Some(interface) = self.interfaces.get_mut(&name) {
                interface.running = up;
            }
        }
        self.instances.touch_all();
        self.evaluate_all(now);
    }
}
