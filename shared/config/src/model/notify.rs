//! Who is told when a virtual router or a sync group changes its state.

use std::path::PathBuf;
use std::time::Duration;

use super::Script;

/// What is told about one virtual router or sync group. Scripts of one of them run in order, never two at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notify {
    /// `notify_master`: it is Active.
    pub active: Option<Script>,
    /// `notify_backup`.
    pub backup: Option<Script>,
    /// `notify_fault`.
    pub fault: Option<Script>,
    /// `notify_stop`: the daemon hands over and ends.
    pub stop: Option<Script>,
    /// `notify_deleted`: it is no longer in the configuration. Routers only.
    pub deleted: OnDelete,
    /// `notify`: every change, after the script of the state, with four more arguments: `INSTANCE` or `GROUP`, the
    /// name, the state and the priority.
    pub any: Option<Script>,
    /// `notify_master_rx_lower_pri`: Active, it heard an advert of a lower priority. Routers only.
    pub lower_priority: Option<Script>,
    /// `notify_priority_changes`: changes of the priority are lines in FIFOs; `None` follows
    /// [`NotifySettings::priority_changes`].
    pub priority_changes: Option<bool>,
    /// `smtp_alert`: mail on each change; `None` follows the global setting.
    pub mail: Option<bool>,
}

/// What a router says when a reload takes it out of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OnDelete {
    /// That it is in fault, by `notify` and in FIFOs; `notify_fault` does not run.
    #[default]
    Fault,
    /// `notify_deleted`: that it is deleted, by a script of its own where there is one.
    Deleted(Option<Script>),
}

/// What `global_defs` says of notifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifySettings {
    /// `notify_fifo`: each change of a router, group, virtual or real server is a line in it.
    pub fifo: Option<Fifo>,
    /// `vrrp_notify_fifo`: the same for routers and groups alone.
    pub router_fifo: Option<Fifo>,
    /// `vrrp_notify_priority_changes`: for routers and groups that do not say otherwise; default no.
    pub priority_changes: bool,
    /// `fifo_write_vrrp_states_on_reload`: a reload writes all states once more.
    pub states_on_reload: bool,
    /// `startup_script`: runs before anything else begins.
    pub startup: Option<Script>,
    /// `startup_script_timeout`: then it is ended; 1 to 1000 s, default 10 s.
    pub startup_timeout: Duration,
    /// `shutdown_script`: runs once everything has ended.
    pub shutdown: Option<Script>,
    /// `shutdown_script_timeout`: as for the start.
    pub shutdown_timeout: Duration,
}

impl Default for NotifySettings {
    fn default() -> Self {
        let patience = Duration::from_secs(10);
        NotifySettings {
            fifo: None,
            router_fifo: None,
            priority_changes: false,
            states_on_reload: false,
            startup: None,
            startup_timeout: patience,
            shutdown: None,
            shutdown_timeout: patience,
        }
    }
}

/// A FIFO for lines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fifo {
    /// Where; it is made where it is missing.
    pub path: PathBuf,
    /// User and perhaps group it belongs to; default: whom scripts run as.
    pub owner: Option<(String, Option<String>)>,
    /// A script that reads it as long as the daemon runs; its last argument is the path.
    pub script: Option<Script>,
}

impl Fifo {
    /// A FIFO that somebody else reads.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Fifo { path: path.into(), owner: None, script: None }
    }
}

impl Notify {
    /// Its scripts.
    pub fn scripts_mut(&mut self) -> impl Iterator<Item = &mut Option<Script>> {
        let deleted = match &mut self.deleted {
            OnDelete::Fault => None,
            OnDelete::Deleted(script) => Some(script),
        };
        let states = [&mut self.active, &mut self.backup, &mut self.fault, &mut self.stop];
        states.into_iter().chain(deleted).chain([&mut self.any, &mut self.lower_priority])
    }
}
