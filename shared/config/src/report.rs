//! What there is to say about a configuration's text.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::model::Script;

/// Place in a file; line and column count from 1, columns in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as it was named.
    pub file: PathBuf,
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Accepted and without effect here; nothing is wrong.
    Ignored,
    /// Usable after a change: a value was replaced or a keyword skipped.
    Warning,
    /// The configuration cannot be used.
    Error,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// How bad.
    pub severity: Severity,
    /// What is wrong, what was expected, what happens instead.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Ignored => "ignored",
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        let Place { file, line, column } = &self.place;
        write!(f, "{}:{line}:{column}: {severity}: {}", file.display(), self.message)
    }
}

/// All findings, in the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The findings.
    pub findings: Vec<Finding>,
    /// Where things were declared, for checks that need the host.
    pub places: Places,
}

/// Where the things of a configuration were declared; the model itself holds no places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// By name of the router.
    pub routers: BTreeMap<String, RouterPlaces>,
    /// The command of each tracked script, by name of the script.
    pub scripts: BTreeMap<String, Place>,
    /// The checks of each real server, in order, by name of the virtual server and by its address.
    pub checks: BTreeMap<(String, SocketAddr), Vec<Place>>,
    /// Interfaces that are tracked, with whose tracking it is.
    pub tracked_interfaces: Vec<(String, String, Place)>,
    /// Interfaces that routes, rules and static addresses name, with which of these it is.
    pub routed_interfaces: Vec<(&'static str, String, Place)>,
    /// Interfaces that are made for the routers.
    pub made_interfaces: Vec<String>,
    /// The user scripts run as.
    pub script_user: Option<Place>,
    /// Every other program: of notifications, services, checks, the start and the end.
    pub programs: Vec<(Script, Place)>,
    /// Addresses that mail goes to or comes from.
    pub mail: Vec<(String, Place)>,
}

/// Where the parts of one virtual router were declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouterPlaces {
    /// Its name.
    pub name: Place,
    /// Its virtual router identifier.
    pub vrid: Place,
    /// Its addresses, as in [`crate::model::VirtualRouter::served`].
    pub addresses: Vec<Place>,
    /// Every interface it names: its own, then those of its addresses.
    pub interfaces: Vec<(String, Place)>,
}

/// So many of something, in words.
pub fn plural(count: usize, what: &str) -> String {
    let ending = match what {
        _ if count == 1 => "",
        _ if what.ends_with('s') => "es",
        _ => "s",
    };
    format!("{count} {what}{ending}")
}

impl Places {
    /// An error for each interface that is named and not among `existing`; where interfaces are `dynamic`, a
    /// remark. keepalived refuses to start with one (although its `-t` lets it pass).
    pub fn missing_interfaces(&self, existing: &[String], dynamic: bool) -> Vec<Finding> {
        let (severity, which) = match dynamic {
            true => (Severity::Ignored, "does not exist on this host yet"),
            false => (Severity::Error, "does not exist on this host"),
        };
        let routers = self.routers.iter();
        let named = routers.flat_map(|(router, places)| places.interfaces.iter().map(move |(i, at)| (router, i, at)));
        let tracked = self.tracked_interfaces.iter().map(|(whose, interface, at)| (whose, interface, at));
        let needed = named.chain(tracked).map(|(who, interface, at)| (format!("`{who}`"), interface, at));
        // keepalived refuses its own virtual interfaces there, which it makes later; here they are made before.
        let routed =
            self.routed_interfaces.iter().filter(|(_, interface, _)| !self.made_interfaces.contains(interface));
        let routed = routed.map(|(what, interface, at)| (format!("the {what}"), interface, at));
        let mut missing: Vec<Finding> = needed
            .chain(routed)
            .filter(|(_, interface, _)| !existing.contains(interface))
            .map(|(who, interface, place)| Finding {
                place: place.clone(),
                severity,
                message: format!("{who} needs interface `{interface}`, which {which}"),
            })
            .collect();
        missing.sort_by(|a, b| a.place.cmp(&b.place));
        missing.dedup();
        missing
    }
}

impl Report {
    /// Adds what was found later; the order of the text stays.
    pub fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
        self.findings.sort_by(|a, b| a.place.cmp(&b.place));
    }
    /// The worst severity, if anything was found.
    pub fn worst(&self) -> Option<Severity> {
        self.findings.iter().map(|f| f.severity).max()
    }
}
