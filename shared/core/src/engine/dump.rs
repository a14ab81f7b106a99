//! All that a router knows of itself, for the files that keepalived writes when it is asked to.

use std::net::IpAddr;
use std::time::Duration;

use mesh_config::model::{TrackScript, VirtualRouter};
use mesh_wire::mesh::{Family, RouterKey};
use mesh_wire::vrrp::Malformed;

use super::Engine;
use crate::counters::Counters;
use crate::input::{Datagram, Interface};
use crate::time::Instant;
use crate::vrrp::{Heard, State};

/// One moment of an engine. Times are since 1970-01-01 UTC.
#[derive(Clone, Debug, PartialEq)]
pub struct Dump {
    /// The routers, in the configuration's order.
    pub routers: Vec<RouterDump>,
    /// Tracked scripts, in the configuration's order.
    pub scripts: Vec<ScriptDump>,
    /// Interfaces that routers and addresses are on.
    pub interfaces: Vec<Interface>,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq)]
pub struct RouterDump {
    /// What was declared.
    pub config: VirtualRouter,
    /// Protocol state.
    pub state: State,
    /// Why it cannot run.
    pub fault: Option<String>,
    /// Effective priority.
    pub priority: u8,
    /// Where its adverts come from.
    pub source: Option<IpAddr>,
    /// The last advert that passed all checks, as long as this router is not active.
    pub heard: Option<Heard>,
    /// When its state changed last.
    pub changed: Duration,
    /// When its timer is due.
    pub due: Option<Duration>,
    /// How long it would wait for the active router.
    pub down_interval: Duration,
    /// What it counted.
    pub counters: Counters,
}

/// One tracked script.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptDump {
    /// What was declared.
    pub config: TrackScript,
    /// Whether it counts as up.
    pub up: bool,
    /// Results in a row that say the contrary.
    pub against: u32,
}

impl Engine {
    /// This moment; reads only.
    pub fn dump(&self, now: Instant) -> Dump {
        let routers = self.config.routers.iter().filter_map(|r| self.dump_router(now, r.key)).collect();
        let scripts = self.config.track_scripts.iter().map(|config| {
            let (up, against) = self.tracking.standing(&config.name).unwrap_or((!config.init_fail, 0));
            ScriptDump { config: config.clone(), up, against }
        });
        Dump { routers, scripts: scripts.collect(), interfaces: self.interfaces.values().cloned().collect() }
    }

    fn dump_router(&self, now: Instant, key: RouterKey) -> Option<RouterDump> {
        let instance = self.instances.get(&key)?;
        let unix = |at: Instant| self.setup.unix_at_zero + Duration::from_nanos(at.as_nanos());
        Some(RouterDump {
            config: instance.config.clone(),
            state: instance.vrrp.state(),
            fault: instance.fault.clone(),
            priority: instance.vrrp.priority(),
            source: instance.source,
            heard: instance.heard.filter(|_| instance.vrrp.is_backup()),
            changed: unix(instance.transition.at),
            due: instance.vrrp.deadline().map(|due| unix(due.max(now))),
            down_interval: instance.vrrp.down_interval(),
            counters: instance.counters,
        })
    }

    /// Counts from zero again.
    pub(super) fn clear_counters(&mut self) {
        self.instances.values_mut().for_each(|i| i.counters = Counters::default());
    }

    /// A packet that is no advert, for the router that its second byte names.
    pub(super) fn count_malformed(&mut self, from: &Datagram, why: Malformed) {
        let vrid = from.payload.get(1).copied().unwrap_or(0);
        let key = self.router_for(&from.interface, Family::of(from.source), vrid);
        if let Some(instance) = key.and_then(|key| self.instances.get_mut(&key)) {
            instance.counters.malformed(why);
        }
    }
}
