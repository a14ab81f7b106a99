//! The seed's side of enrolment: check the token, have the voters agree, sign the certificate.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::Input;
use mesh_core::admission::Candidate;
use mesh_core::roster::{Change, ChangeRefusal};
use mesh_wire::mesh::codec;
use mesh_wire::mesh::enrol::{EnrolReply, EnrolRequest, MAX_REQUEST, Refusal, Welcome};
use mesh_wire::mesh::roster::Roster;
use quinn::Connection;
use tokio::time::timeout;
use tracing::{debug, info};

use super::counters::Counter;
use super::identity;
use super::shared::{CLOSE_DONE, Shared};
use crate::clock;

/// All of one enrolment.
const TOTAL_TIME: Duration = Duration::from_secs(15);
/// A joiner speaks at once: what is silent only holds one of few places.
const REQUEST_TIME: Duration = Duration::from_secs(2);
/// How long the engine may take for a change: a little more than it gives the voters.
const CHANGE_TIME: Duration = Duration::from_millis(4500);

/// Serves one joiner.
pub(super) async fn serve(shared: &Arc<Shared>, connection: Connection) {
    match timeout(TOTAL_TIME, converse(shared, &connection)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(from = %connection.remote_address(), "enrolment broken off: {error:#}"),
        Err(_) => debug!(from = %connection.remote_address(), "enrolment took too long"),
    }
    connection.close(CLOSE_DONE, b"");
}

async fn converse(shared: &Arc<Shared>, connection: &Connection) -> anyhow::Result<()> {
    let request = async {
        let (send, mut recv) = connection.accept_bi().await?;
        anyhow::Ok((send, recv.read_to_end(MAX_REQUEST).await?))
    };
    let (mut send, request) = timeout(REQUEST_TIME, request).await??;
    let reply = match codec::decode_value::<EnrolRequest>(&request) {
        Ok(request) => enrol(shared, &request).await,
        Err(error) => Err(Refusal::BadRequest { reason: error.to_string() }),
    };
    let reply = match reply {
        Ok(welcome) => EnrolReply::Welcome(Box::new(welcome)),
        Err(refusal) => {
            shared.counters.count(Counter::EnrolmentsRefused);
            if shared.log_gate.open() {
                let count = shared.counters.get(Counter::EnrolmentsRefused);
                tracing::warn!(from = %connection.remote_address(), count, "enrolment refused: {refusal}");
            }
            EnrolReply::Refused(refusal)
        }
    };
    send.write_all(&codec::encode_value(&reply)).await?;
    send.finish()?;
    // The joiner closes once it has read all of it.
    timeout(REQUEST_TIME, connection.closed()).await?;
    Ok(())
}

async fn enrol(shared: &Arc<Shared>, request: &EnrolRequest) -> Result<Welcome, Refusal> {
    let internal = |error: anyhow::Error| Refusal::Internal { reason: format!("{error:#}") };
    let identity = &shared.identity;
    let (Some(ca_key), Some(issuer)) = (identity.ca_key(), identity.token_issuer().map_err(internal)?) else {
        return Err(Refusal::NoSigner { ask: signers(&shared.roster()) });
    };
    let token = issuer.check(&request.token.0, clock::unix_time())?;
    let (id, key) =
        identity::requested_key(&request.csr).map_err(|error| Refusal::BadRequest { reason: format!("{error:#}") })?;
    let candidate = Candidate {
        id,
        name: request.name.clone(),
        address: request.address,
        role: request.role,
        token_nonce: token.nonce,
        token_expires_unix: token.expires_unix,
    };
    let roster = match change_roster(shared, Change::Admit(candidate.clone())).await {
        Ok(roster) => roster,
        Err(ChangeRefusal::Admission(refusal)) => return Err(refusal),
        Err(ChangeRefusal::Busy) => return Err(Refusal::Busy),
        Err(refusal @ ChangeRefusal::NoMajority { accepted, needed, .. }) if accepted < needed => {
            debug!("not admitted: {refusal}");
            return Err(Refusal::NoMajority { accepted, needed });
        }
        Err(other) => return Err(Refusal::Internal { reason: other.to_string() }),
    };
    let ca_certificate = identity::pem_of(&identity.ca_certificate);
    let certificate = identity::sign(&identity.ca_certificate, &ca_key, &key).map_err(internal)?;
    info!(name = %candidate.name, node = %id, address = %candidate.address, epoch = roster.epoch, "enrolled");
    Ok(Welcome { certificate, ca_certificate, roster })
}

/// The members that hold the CA key, for people: every voter but servers gets it.
pub(super) fn signers(roster: &Roster) -> Vec<String> {
    roster.voters().filter(|m| roster.enrols(m.id)).map(|m| format!("{} ({})", m.name, m.address)).collect()
}

/// Has the voters decide a change, by this node's engine.
pub(super) async fn change_roster(shared: &Shared, change: Change) -> Result<Roster, ChangeRefusal> {
    let (ticket, answer) = shared.tickets.open();
    let ask = async {
        shared.inputs.send(Input::ChangeRoster { ticket, change }).await.ok()?;
        answer.await.ok()
    };
    let answer = timeout(CHANGE_TIME, ask).await;
    shared.tickets.forget(ticket);
    answer.ok().flatten().unwrap_or(Err(ChangeRefusal::Busy))
}
