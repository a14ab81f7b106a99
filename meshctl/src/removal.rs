//! The end of a membership: what the member serves is handed over first.

use mesh_control::{Liveness, NodeRemoval, NodeRequest, Refusal, Status};

use crate::client::{Client, Failure};
use crate::{moves, show};

/// Removes a member; `within` so many seconds it has to be empty, and without that it is not looked at.
pub(crate) async fn remove(client: &Client, json: bool, node: String, within: Option<u32>) -> Result<(), Failure> {
    let drained = match within {
        Some(within) => empty(client, &node, within).await?,
        None => None,
    };
    let removal = NodeRemoval { node, now: within.is_none() };
    let removed = crate::change(client, json, "/nodes/remove", &removal).await;
    if let (Err(_), Some(name)) = (&removed, drained) {
        undo(client, name).await;
    }
    removed
}

/// Drains a director that serves something; its name, where it was not drained already.
async fn empty(client: &Client, node: &str, within: u32) -> Result<Option<String>, Failure> {
    let status: Status = show::read(client.get("/status").await?)?;
    let name = moves::name_of(&status, node);
    let Some(member) = status.nodes.iter().find(|n| n.name == name) else { return Ok(None) };
    if member.liveness != Liveness::Alive || moves::serves(&status, &name).is_empty() {
        return Ok(None);
    }
    let order = moves::order(client, "/nodes/drain", &NodeRequest { node: name.clone() }).await;
    let emptied = match order {
        Ok(_) => moves::emptied(client, &name, within).await,
        Err(Failure::Refused(refusal)) => return Err(or_now(refusal, &name)),
        // Whether it was done is not known.
        Err(unknown) => Err(unknown),
    };
    match emptied {
        Ok(_) => Ok(Some(name).filter(|_| !member.draining)),
        Err(late) => {
            if !member.draining {
                undo(client, name).await;
            }
            Err(late)
        }
    }
}

/// It stays a member after all.
async fn undo(client: &Client, name: String) {
    let undone = client.post("/nodes/undrain", &NodeRequest { node: name.clone() }).await;
    moves::progress(&match undone {
        Ok(_) => format!("{name} stays a member, and what belongs to it comes back"),
        Err(_) => format!("{name} stays a member, and drained: meshctl undrain {name}"),
    });
}

/// There is a way that asks nobody.
fn or_now(mut refusal: Refusal, name: &str) -> Failure {
    refusal.hint.get_or_insert(format!("meshctl nodes remove {name} --now hands nothing over"));
    Failure::Refused(refusal)
}
