//! Planned moves: the order, and where there is something to wait for, how far it is.

use std::io::{self, Write};
use std::time::Duration;

use mesh_control::{BackRequest, MoveRequest, NodeRequest, Ordered, Plan, PlanRequest, Refusal, Status};
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::client::{Client, Failure};
use crate::{pretty, print, show};

/// Longer than meshd takes to say that nobody answers.
const PATIENCE: Duration = Duration::from_secs(25);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);

pub(crate) async fn move_to(client: &Client, json: bool, what: String, node: String) -> Result<(), Failure> {
    ordered(client, json, "/moves", &MoveRequest { what, node }).await
}

pub(crate) async fn move_back(client: &Client, json: bool, what: String) -> Result<(), Failure> {
    ordered(client, json, "/moves/back", &BackRequest { what }).await
}

/// Empties a director, and waits for so many seconds until it is empty.
pub(crate) async fn drain(client: &Client, json: bool, node: String, within: Option<u32>) -> Result<(), Failure> {
    let Some(within) = within else { return ordered(client, json, "/nodes/drain", &NodeRequest { node }).await };
    let order: Ordered = order(client, "/nodes/drain", &NodeRequest { node: node.clone() }).await?;
    let (done, serves) = emptied(client, &node, within).await?;
    finish(json, &order, done, &serves)
}

/// Waits for so many seconds until a drained director is empty: in words, and what stays.
pub(crate) async fn emptied(client: &Client, node: &str, within: u32) -> Result<(String, Vec<String>), Failure> {
    let mut told = usize::MAX;
    let until = Instant::now() + Duration::from_secs(within.into());
    loop {
        let status: Status = show::read(client.get("/status").await?)?;
        let name = name_of(&status, node);
        let draining = status.nodes.iter().any(|n| n.name == name && n.draining);
        let serves = serves(&status, &name);
        let stays = if serves.is_empty() { Vec::new() } else { stuck(client, &name).await? };
        if draining && serves.iter().all(|router| stays.contains(router)) {
            let done = if stays.is_empty() {
                format!("{name} serves nothing")
            } else {
                format!("{name} serves only what cannot go: {}", stays.join(", "))
            };
            return Ok((done, serves));
        }
        if Instant::now() >= until {
            return Err(late(format!("{name} still serves {} after {within} s", serves.join(", "))));
        }
        if serves.len() != told {
            told = serves.len();
            progress(&format!("{name} serves {told} more"));
        }
        sleep(LOOK).await;
    }
}

/// Ends that, and waits until what belongs to the director is there again.
pub(crate) async fn undrain(client: &Client, json: bool, node: String, within: Option<u32>) -> Result<(), Failure> {
    let Some(within) = within else { return ordered(client, json, "/nodes/undrain", &NodeRequest { node }).await };
    let order: Ordered = order(client, "/nodes/undrain", &NodeRequest { node: node.clone() }).await?;
    let mut told = usize::MAX;
    let until = Instant::now() + Duration::from_secs(within.into());
    loop {
        let status: Status = show::read(client.get("/status").await?)?;
        let name = name_of(&status, &node);
        let drains = status.nodes.iter().any(|n| n.name == name && n.draining);
        let plan: Plan = show::read(client.post("/plan", &PlanRequest::default()).await?)?;
        let coming = plan.moves.iter().filter(|m| m.to == name).count();
        let serves = serves(&status, &name);
        if !drains && coming == 0 {
            return finish(json, &order, format!("{name} serves {}", counted(serves.len())), &serves);
        }
        if Instant::now() >= until {
            return Err(late(format!("{} are still to come to {name} after {within} s", counted(coming))));
        }
        if coming != told && !drains {
            told = coming;
            progress(&format!("{coming} more to come to {name}"));
        }
        sleep(LOOK).await;
    }
}

/// Shows what would move.
pub(crate) async fn plan(client: &Client, json: bool, drain: Option<String>) -> Result<(), Failure> {
    let reply = client.post("/plan", &PlanRequest { drain }).await?;
    if json {
        return print(&pretty(&reply));
    }
    print(&show::plan(&show::read(reply)?, &crate::look()))
}

async fn ordered(client: &Client, json: bool, path: &str, request: &impl Serialize) -> Result<(), Failure> {
    let reply = client.post_within(path, request, PATIENCE).await?;
    if json {
        return print(&pretty(&reply));
    }
    let Ordered { done, by } = show::read(reply)?;
    print(&format!("{done} (ordered by {by}, which orders all moves)\n"))
}

pub(crate) async fn order(client: &Client, path: &str, request: &impl Serialize) -> Result<Ordered, Failure> {
    Ok(show::read(client.post_within(path, request, PATIENCE).await?)?)
}

/// A director's name, where it was called by its identity or in other letters.
pub(crate) fn name_of(status: &Status, node: &str) -> String {
    let named = status.nodes.iter().find(|n| n.name.eq_ignore_ascii_case(node));
    named.map_or_else(|| node.to_owned(), |n| n.name.clone())
}

pub(crate) fn serves(status: &Status, node: &str) -> Vec<String> {
    let served = status.routers.iter().filter(|r| r.active.as_deref() == Some(node));
    served.map(|r| r.name.clone()).collect()
}

/// What cannot leave a director.
async fn stuck(client: &Client, node: &str) -> Result<Vec<String>, Failure> {
    let plan: Plan = show::read(client.post("/plan", &PlanRequest::default()).await?)?;
    Ok(plan.stuck.into_iter().filter(|s| s.on == node).flat_map(|s| s.routers).collect())
}

fn finish(json: bool, order: &Ordered, done: String, serves: &[String]) -> Result<(), Failure> {
    if json {
        return print(&pretty(&json!({ "done": done, "by": order.by, "serves": serves })));
    }
    print(&format!("{done}\n"))
}

fn late(error: String) -> Failure {
    Failure::Refused(Refusal { error, hint: Some("meshctl plan says what is in the way".to_owned()) })
}

/// Not part of what one may want to pipe somewhere.
pub(crate) fn progress(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn counted(routers: usize) -> String {
    format!("{routers} router{}", if routers == 1 { "" } else { "s" })
}
