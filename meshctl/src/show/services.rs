//! Virtual services: what is served where, and which real servers are healthy in whose eyes. BFD
//! sessions, which checks may refer to, are shown with them.

use comfy_table::{Attribute, Cell, Color};
use mesh_control::{BfdSession, RealServer, Service, Status};
use serde_json::Value;

use super::{Look, finish, paint, table};
use crate::client::Failure;
use crate::pick::unknown;

/// The services with this text in their name or in a real server's address, all of them without one.
pub(crate) fn services(status: &Status, text: &str, look: &Look) -> String {
    let shown: Vec<&Service> = status.services.iter().filter(|service| fits(service, text)).collect();
    if shown.is_empty() {
        let own = status.nodes.iter().find(|node| node.name == status.node);
        let elsewhere = match own.map(|node| node.role.as_str()) {
            Some(role @ ("witness" | "server")) => format!(", which is a {role}: ask a director"),
            _ => String::new(),
        };
        let named = if text.is_empty() { String::new() } else { format!(" with {text}") };
        return format!("No virtual services{named} on {}{elsewhere}.\n{}", status.node, sessions(status, text, look));
    }
    let mut out = headline(&shown, &status.node);
    let lines = shown.iter().flat_map(|service| warnings(service, &status.node));
    out.extend(lines.map(|line| format!("{}\n", paint(&format!("! {line}"), "33", look))));
    out.push('\n');
    out + &rows(&shown, look) + &reasons(&shown, look) + &sessions(status, text, look)
}

/// Whether there are any with this text, or BFD sessions with it.
///
/// # Errors
///
/// There are none: text that finds nothing is a mistake.
pub(crate) fn has_services(status: &Status, text: &str) -> Result<(), Failure> {
    let found = status.services.iter().any(|service| fits(service, text))
        || status.bfd.iter().any(|session| session.name.contains(text) || session.neighbor.contains(text));
    if text.is_empty() || found {
        return Ok(());
    }
    let names = status.services.iter().map(|service| service.virtual_server.as_str());
    Err(unknown(format!("no virtual service has {text:?} in its name or its real servers' addresses"), names))
}

/// The same as JSON: the daemon's own objects.
pub(crate) fn services_json(status: &Value, text: &str) -> Value {
    let named = |value: &Value, field: &str| value.get(field).and_then(Value::as_str).is_some_and(|v| v.contains(text));
    let fits = |service: &&Value| {
        let reals = service.get("real_servers").and_then(Value::as_array);
        named(service, "virtual_server") || reals.into_iter().flatten().any(|real| named(real, "address"))
    };
    let services = status.get("services").and_then(Value::as_array);
    services.into_iter().flatten().filter(fits).cloned().collect()
}

/// What the map says of services: what does not serve as it should, a line each.
pub(super) fn troubles(status: &Status) -> impl Iterator<Item = String> + '_ {
    status.services.iter().flat_map(|service| {
        let down = service.real_servers.iter().filter(|real| real.health == "down").count();
        let all = service.real_servers.len();
        let name = &service.virtual_server;
        let down = (down > 0).then(|| format!("{name}: {down} of {all} real servers are down: see meshctl services"));
        warnings(service, &status.node).into_iter().chain(down)
    })
}

/// The same of BFD sessions of the node that answers.
pub(super) fn lost_sessions(status: &Status) -> impl Iterator<Item = String> + '_ {
    status.bfd.iter().filter(|session| session.state != "up").map(|session| {
        let BfdSession { name, neighbor, reason, .. } = session;
        let why = reason.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        format!("BFD session {name} with {neighbor} is not up{why}")
    })
}

/// BFD sessions with this text in their name or neighbour.
fn sessions(status: &Status, text: &str, look: &Look) -> String {
    let fits = |session: &&BfdSession| session.name.contains(text) || session.neighbor.contains(text);
    let shown: Vec<&BfdSession> = status.bfd.iter().filter(fits).collect();
    if shown.is_empty() {
        return String::new();
    }
    let mut table = table(["BFD SESSION", "NEIGHBOR", "STATE", "SINCE", "SENDS EVERY", "DOWN AFTER", "WHY"], 20, look);
    for session in shown {
        let color = match session.state.as_str() {
            "up" => Color::Green,
            "init" => Color::Yellow,
            _ => Color::Red,
        };
        table.add_row([
            Cell::new(&session.name).add_attribute(Attribute::Bold),
            Cell::new(&session.neighbor),
            Cell::new(&session.state).fg(color),
            Cell::new(&session.since),
            Cell::new(format!("{} ms", session.tx_interval_ms)),
            Cell::new(format!("{} ms", session.detection_ms)),
            Cell::new(session.reason.as_deref().unwrap_or_default()),
        ]);
    }
    format!("\n{}", finish(&table))
}

fn fits(service: &Service, text: &str) -> bool {
    service.virtual_server.contains(text) || service.real_servers.iter().any(|real| real.address.contains(text))
}

fn headline(services: &[&Service], node: &str) -> String {
    let all = || services.iter().flat_map(|service| &service.real_servers);
    let count = |health: &str| all().filter(|real| real.health == health).count();
    let mut parts = vec![format!("{} up", count("up"))];
    parts.extend(
        [("down", count("down")), ("unknown", count("unknown"))]
            .iter()
            .filter(|(_, n)| *n > 0)
            .map(|(h, n)| format!("{n} {h}")),
    );
    let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let (services, reals) = (counted(services.len(), "virtual service"), counted(all().count(), "real server"));
    format!("{services}, {reals}: {}  (as seen by {node})\n", parts.join(", "))
}

/// What should not be as it is.
fn warnings(service: &Service, node: &str) -> Vec<String> {
    let name = &service.virtual_server;
    let mut lines = Vec::new();
    if let Some(because) = &service.not_programmed_because {
        lines.push(format!("{name}: not as it should be in ip_vs of {node}: {because}"));
    }
    match &service.sorry_server {
        Some(sorry) => lines.push(format!("{name}: the sorry server {sorry} serves: too few real servers are up")),
        None if service.quorum.as_deref() == Some("lost") => lines.push(format!("{name}: too few real servers are up")),
        None => {}
    }
    lines.extend(service.unfit_because.as_ref().map(|because| format!("{name}: better served elsewhere: {because}")));
    lines
}

fn rows(services: &[&Service], look: &Look) -> String {
    let heads = ["SERVICE", "SCHEDULER", "FORWARDING", "ON", "REAL SERVER", "WEIGHT", "HEALTH", "SEEN BY"];
    // Breaking inside a pair would be unreadable.
    let seen = services.iter().flat_map(|s| &s.real_servers).flat_map(|real| &real.seen_by);
    let pair = seen.map(|(node, health)| node.chars().count() + 1 + health.len()).max();
    let mut table = table(heads, pair.unwrap_or(0), look);
    for service in services {
        let persistent =
            if service.persistence_s > 0 { format!(" {} s", service.persistence_s) } else { String::new() };
        let on = if service.on.is_empty() { "-".to_owned() } else { service.on.join(" ") };
        let mut own = [
            Cell::new(&service.virtual_server).add_attribute(Attribute::Bold),
            Cell::new(format!("{}{persistent}", service.scheduler)),
            Cell::new(&service.forwarding),
            Cell::new(on),
        ];
        if service.real_servers.is_empty() {
            table.add_row(own.iter().cloned().chain(["-", "", "", ""].map(Cell::new)));
        }
        for real in &service.real_servers {
            table.add_row(own.iter().cloned().chain(real_server(real)));
            own = ["", "", "", ""].map(Cell::new);
        }
    }
    finish(&table)
}

fn real_server(real: &RealServer) -> [Cell; 4] {
    let color = match real.health.as_str() {
        "up" => Color::Green,
        "down" => Color::Red,
        _ => Color::Yellow,
    };
    let seen: Vec<String> = real.seen_by.iter().map(|(node, health)| format!("{node}:{health}")).collect();
    [
        Cell::new(&real.address),
        Cell::new(real.weight),
        Cell::new(&real.health).fg(color),
        Cell::new(if seen.is_empty() { "-".to_owned() } else { seen.join(" ") }),
    ]
}

/// Why real servers are down, a line for each director that says so.
fn reasons(services: &[&Service], look: &Look) -> String {
    let mut table = table(["DOWN", "SERVICE", "SAYS", "WHY"], 20, look);
    let mut any = false;
    for service in services {
        for real in &service.real_servers {
            for (node, why) in &real.reasons {
                any = true;
                table.add_row([real.address.as_str(), service.virtual_server.as_str(), node, why]);
            }
        }
    }
    if any { format!("\n{}", finish(&table)) } else { String::new() }
}
