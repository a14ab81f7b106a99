//! The command line of keepalived 2.2.7.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser};

/// Its options; those without a meaning here are read, and named in the log.
#[derive(Debug, Parser)]
#[command(name = "keepalived", disable_help_flag = true, disable_version_flag = true, args_override_self = true)]
pub(super) struct Options {
    /// Configuration file [default: /etc/keepalived/keepalived.conf]
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(super) use_file: Option<PathBuf>,
    /// Virtual routers only
    #[arg(short = 'P', long)]
    pub(super) vrrp: bool,
    /// Virtual servers and their checks only
    #[arg(short = 'C', long)]
    pub(super) check: bool,
    /// No effect: there is no process of its own for BFD
    #[arg(short = 'B', long = "no_bfd")]
    no_bfd: bool,
    /// No effect: nothing runs that is not configured
    #[arg(long)]
    all: bool,
    /// Log to standard error, also in the background
    #[arg(short = 'l', long)]
    pub(super) log_console: bool,
    /// No effect: MESHD_LOG=debug logs more
    #[arg(short = 'D', long)]
    log_detail: bool,
    /// Facility of syslog: 0-7, local0-local7, user or daemon
    #[arg(short = 'S', long, value_name = "FACILITY", value_parser = facility)]
    log_facility: Option<u8>,
    /// No effect: the log is not written to a file
    #[arg(short = 'g', long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    log_file: Option<Option<PathBuf>>,
    /// No effect, as --log-file
    #[arg(long)]
    flush_log_file: bool,
    /// Log nowhere in the background
    #[arg(short = 'G', long)]
    pub(super) no_syslog: bool,
    /// Mask of modes of the files it writes
    #[arg(short = 'u', long, value_name = "MASK", value_parser = umask)]
    pub(super) umask: Option<u32>,
    /// No effect: addresses always go when it stops
    #[arg(short = 'X', long)]
    release_vips: bool,
    /// No effect: `meshctl stop --keep` leaves addresses
    #[arg(short = 'V', long)]
    dont_release_vrrp: bool,
    /// No effect: `meshctl stop --keep` leaves virtual servers
    #[arg(short = 'I', long)]
    dont_release_ipvs: bool,
    /// No effect: a daemon that dies is started again
    #[arg(short = 'R', long)]
    dont_respawn: bool,
    /// Stay in the foreground, and log to standard error
    #[arg(short = 'n', long)]
    pub(super) dont_fork: bool,
    /// No effect: SIGUSR1 has it dumped
    #[arg(short = 'd', long)]
    dump_conf: bool,
    /// PID file
    #[arg(short = 'p', long, value_name = "FILE")]
    pub(super) pid: Option<PathBuf>,
    /// PID file of the process for virtual routers
    #[arg(short = 'r', long = "vrrp_pid", value_name = "FILE")]
    pub(super) vrrp_pid: Option<PathBuf>,
    /// No effect: there is no genhash in it
    #[arg(short = 'T', long)]
    genhash: bool,
    /// PID file of the process for checks
    #[arg(short = 'c', long = "checkers_pid", value_name = "FILE")]
    pub(super) checkers_pid: Option<PathBuf>,
    /// No effect: addresses others add are not reported
    #[arg(short = 'a', long)]
    address_monitoring: bool,
    /// No effect: there is no process of its own for BFD
    #[arg(short = 'b', long = "bfd_pid", value_name = "FILE")]
    bfd_pid: Option<PathBuf>,
    /// No effect: there is no SNMP
    #[arg(short = 'x', long)]
    snmp: bool,
    /// No effect: there is no SNMP
    #[arg(short = 'A', long, value_name = "FILE")]
    snmp_agent_socket: Option<String>,
    /// Run in this network namespace, whatever the configuration says
    #[arg(short = 's', long, value_name = "NAME")]
    pub(super) namespace: Option<String>,
    /// No effect: limits of the system hold (LimitCORE)
    #[arg(short = 'm', long)]
    core_dump: bool,
    /// No effect, as --core-dump
    #[arg(short = 'M', long, value_name = "PATTERN", num_args = 0..=1, require_equals = true)]
    core_dump_pattern: Option<Option<String>>,
    /// No effect: `include_check` says which files have to be there
    #[arg(short = 'e', long)]
    all_config: bool,
    /// Lines that begin with `@` are read when they name this [default: the host name]
    #[arg(short = 'i', long, value_name = "ID")]
    pub(super) config_id: Option<String>,
    /// Print the number of a signal: STOP, RELOAD, DATA, STATS, STATS_CLEAR, JSON
    #[arg(long, value_name = "NAME")]
    pub(super) signum: Option<String>,
    /// No effect: MESHD_LOG says what is logged
    #[arg(long, value_name = "OPTIONS", num_args = 0..=1, require_equals = true)]
    debug: Option<Option<String>>,
    /// Say what is wrong with the configuration, on standard error or in a file
    #[arg(short = 't', long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    pub(super) config_test: Option<String>,
    /// Print the version
    #[arg(short = 'v', long)]
    pub(super) version: bool,
    /// Print this
    #[arg(short = 'h', long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// What came of the arguments.
pub(super) enum Parsed {
    Options(Box<Options>),
    /// Text for standard error, and the exit code.
    Said(String, u8),
}

impl Options {
    pub(super) fn parse(arguments: impl Iterator<Item = OsString>) -> Parsed {
        match Options::try_parse_from(arguments.map(attached)) {
            Ok(options) => Parsed::Options(Box::new(options)),
            Err(error) => {
                let code = u8::from(error.kind() != ErrorKind::DisplayHelp);
                Parsed::Said(error.to_string(), code)
            }
        }
    }

    /// Of syslog; default: daemon.
    pub(super) fn facility(&self) -> u8 {
        const DAEMON: u8 = 3;
        self.log_facility.unwrap_or(DAEMON)
    }

    /// The options given that change nothing here.
    pub(super) fn without_meaning(&self) -> Vec<&'static str> {
        let given = [
            (self.no_bfd, "--no_bfd"),
            (self.all, "--all"),
            (self.log_detail, "--log-detail"),
            (self.log_file.is_some(), "--log-file"),
            (self.flush_log_file, "--flush-log-file"),
            (self.release_vips, "--release-vips"),
            (self.dont_release_vrrp, "--dont-release-vrrp"),
            (self.dont_release_ipvs, "--dont-release-ipvs"),
            (self.dont_respawn, "--dont-respawn"),
            (self.dump_conf, "--dump-conf"),
            (self.genhash, "--genhash"),
            (self.address_monitoring, "--address-monitoring"),
            (self.bfd_pid.is_some(), "--bfd_pid"),
            (self.snmp, "--snmp"),
            (self.snmp_agent_socket.is_some(), "--snmp-agent-socket"),
            (self.core_dump, "--core-dump"),
            (self.core_dump_pattern.is_some(), "--core-dump-pattern"),
            (self.all_config, "--all-config"),
            (self.debug.is_some(), "--debug"),
        ];
        given.into_iter().filter_map(|(given, name)| given.then_some(name)).collect()
    }
}

/// An optional value stands right behind its letter (`-t/tmp/said`), as getopt has it.
fn attached(argument: OsString) -> OsString {
    let Some(letters) = argument.to_str().and_then(|text| text.strip_prefix('-')) else { return argument };
    let command = Options::command();
    let option = |letter| command.get_arguments().find(|a| a.get_short() == Some(letter));
    for (at, letter) in letters.char_indices().take_while(|(_, letter)| *letter != '-') {
        let Some(option) = option(letter) else { break };
        let value = &letters[at + letter.len_utf8()..];
        if option.is_require_equals_set() && !value.is_empty() && !value.starts_with('=') {
            return format!("-{}={value}", &letters[..=at]).into();
        }
        if option.get_action().takes_values() {
            break;
        }
    }
    argument
}

/// Number of a facility of syslog.
fn facility(text: &str) -> Result<u8, String> {
    const LOCAL0: u8 = 16;
    let local = text.strip_prefix("local").unwrap_or(text).parse::<u8>().ok().filter(|n| *n <= 7);
    match (text, local) {
        ("user", _) => Ok(1),
        ("daemon", _) => Ok(3),
        (_, Some(local)) => Ok(LOCAL0 + local),
        _ => Err("expected 0 to 7, local0 to local7, user or daemon".to_owned()),
    }
}

fn umask(text: &str) -> Result<u32, String> {
    mesh_config::umask(text).ok_or_else(|| "expected a number up to 0777, such as 0177".to_owned())
}
