//! How the daemon runs beside others, and the files it writes when it is asked to.

use std::path::PathBuf;

use super::Threads;

/// What keepalived calls by the same names; none of it has to be equal on two directors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// `instance`: tells several daemons of one host apart, in the names of PID files and dumps.
    pub instance: Option<String>,
    /// `net_namespace`: the daemon enters the network namespace of this name (`ip netns`) at its start.
    pub net_namespace: Option<String>,
    /// `net_namespace_ipvs`: virtual services are those of this network namespace, by its name or by a file's whole
    /// path; checks run where the daemon is. Default: those of the daemon's.
    pub ipvs_namespace: Option<String>,
    /// `use_pid_dir`: PID files are in /run/keepalived.
    pub use_pid_dir: bool,
    /// `umask` of the files it writes; default 0177 for dumps.
    pub umask: Option<u32>,
    /// `reload_file`: is there, and empty, while a configuration is read.
    pub reload_file: Option<PathBuf>,
    /// `reload_check_config FILE`: what is wrong with a configuration that is read again is written there.
    pub reload_log: Option<PathBuf>,
    /// `reload_time_file`: holds the time when the configuration is read again.
    pub reload_time_file: Option<PathBuf>,
    /// `reload_repeat`: that file stays, and is followed every day.
    pub reload_repeat: bool,
    /// `config_save_dir`: a copy of the configuration is kept there whenever it is read.
    pub save_directory: Option<PathBuf>,
    /// `process_name`: what `ps` calls the guard; 1 to 15 bytes.
    pub name: Option<String>,
    /// How its threads run.
    pub threads: Threads,
    /// What signals have it write.
    pub dumps: Dumps,
}

/// Names and form of the dumps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dumps {
    /// `state_dump_file`; default /tmp/keepalived.data.
    pub state: Option<PathBuf>,
    /// `stats_dump_file`; default /tmp/keepalived.stats.
    pub stats: Option<PathBuf>,
    /// `json_dump_file`; default /tmp/keepalived.json.
    pub json: Option<PathBuf>,
    /// `json_version`: 1, a list of routers, or 2, an object with more than these.
    pub json_version: u8,
    /// `data_use_instance`: names of dumps have the instance and the network namespace in them.
    pub use_instance: bool,
}

impl Default for Dumps {
    fn default() -> Self {
        Dumps { state: None, stats: None, json: None, json_version: 1, use_instance: false }
    }
}
