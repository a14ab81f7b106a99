//! The seed's side of enrolment: check the token, have the voters agree, sign the certificate.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::Input;
use mesh_core::admission::{Candidate, admit};
use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::codec;
use mesh_wire::mesh::enrol::{EnrolReply, EnrolRequest, MAX_REQUEST, Refusal, Secret, Welcome};
use mesh_wire::mesh::lease::Message;
use mesh_wire::mesh::roster::{Member, Roster};
use quinn::Connection;
use tokio::time::{sleep, timeout};
use tracing::{debug, info};

use super::counters::Counter;
use super::shared::{CLOSE_DONE, FRAME_MESSAGE, Shared};
use super::{identity, traffic};
use crate::clock;

/// All of one enrolment.
const TOTAL_TIME: Duration = Duration::from_secs(15);
/// A joiner speaks at once: what is silent only holds one of few places.
const REQUEST_TIME: Duration = Duration::from_secs(2);
/// How long the voters have.
const VOTE_TIME: Duration = Duration::from_secs(5);
/// Between two attempts within that time.
const VOTE_PAUSE: Duration = Duration::from_millis(100);

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
    let (Some(ca_key), Some(issuer)) = (&identity.ca_key, identity.token_issuer().map_err(internal)?) else {
        return Err(Refusal::NoSigner { ask: signers(&shared.roster()) });
    };
    let token_nonce = issuer.check(&request.token.0, clock::unix_time())?;
    let (id, key) =
        identity::requested_key(&request.csr).map_err(|error| Refusal::BadRequest { reason: format!("{error:#}") })?;
    let candidate =
        Candidate { id, name: request.name.clone(), address: request.address, role: request.role, token_nonce };
    let roster = change_roster(shared, &candidate).await?;
    let ca_certificate = identity::pem_of(&identity.ca_certificate);
    let certificate = identity::sign(&identity.ca_certificate, ca_key, &key).map_err(internal)?;
    info!(name = %candidate.name, node = %id, address = %candidate.address, epoch = roster.epoch, "enrolled");
    let ca_key = roster.is_voter(id).then(|| Secret(ca_key.clone()));
    Ok(Welcome { certificate, ca_certificate, ca_key, roster })
}

/// The members that hold the CA key, for people: the voters got it when they joined.
pub(super) fn signers(roster: &Roster) -> Vec<String> {
    roster.voters().map(|m| format!("{} ({})", m.name, m.address)).collect()
}

/// Has the voters accept a roster with the candidate in it.
async fn change_roster(shared: &Arc<Shared>, candidate: &Candidate) -> Result<Roster, Refusal> {
    let mut tally = (0, shared.roster().quorum());
    let change = async {
        let _turn = shared.changing.lock().await;
        let mut basis = Roster::clone(&shared.roster());
        loop {
            let proposed = admit(&basis, candidate)?;
            match vote(shared, &basis, &proposed, candidate.id, &mut tally).await {
                Vote::Accepted => {
                    spread(shared, &proposed).await;
                    return Ok(proposed);
                }
                Vote::Newer(newer) => basis = newer,
                // The voter that is missed may be the one that joined a moment ago.
                Vote::TooFew => sleep(VOTE_PAUSE).await,
            }
        }
    };
    match timeout(VOTE_TIME, change).await {
        Ok(decided) => decided,
        Err(_) => Err(Refusal::NoMajority { accepted: tally.0, needed: tally.1 }),
    }
}

enum Vote {
    Accepted,
    Newer(Roster),
    TooFew,
}

/// Asks the current voters one after the other, in the order of their ids: two seeds that propose
/// at once meet at the first voter, instead of each winning some. The candidate is not asked: where
/// it is a voter already, it only asks again for the answer to a decision it had no part in.
async fn vote(
    shared: &Arc<Shared>,
    basis: &Roster,
    proposed: &Roster,
    candidate: NodeId,
    tally: &mut (usize, usize),
) -> Vote {
    let mut voters: Vec<&Member> = basis.voters().filter(|m| m.id != candidate).collect();
    voters.sort_by_key(|m| m.id);
    *tally = (0, voters.len() / 2 + 1);
    for voter in voters {
        let verdict = if voter.id == shared.identity.node {
            traffic::ask_engine(shared, proposed.clone()).await
        } else {
            traffic::propose(shared, voter.id, proposed).await
        };
        match verdict {
            Ok(Ok(())) => tally.0 += 1,
            Ok(Err(held)) if held == *proposed => tally.0 += 1,
            Ok(Err(held)) if held.epoch >= proposed.epoch => return Vote::Newer(held),
            Ok(Err(_)) => debug!(voter = %voter.name, "refused a new roster"),
            Err(error) => debug!(voter = %voter.name, "did not vote: {error:#}"),
        }
        if tally.0 >= tally.1 {
            return Vote::Accepted;
        }
    }
    Vote::TooFew
}

/// Lets everybody know what a majority accepted; who misses it hears of it from any member later.
async fn spread(shared: &Arc<Shared>, roster: &Roster) {
    // Without a ticket: nobody waits for the answer.
    let _ = shared.inputs.send(Input::Roster { ticket: None, roster: roster.clone() }).await;
    let mut frame = vec![FRAME_MESSAGE];
    frame.extend(codec::encode(&Message::Roster(roster.clone())));
    for member in roster.members.iter().filter(|m| shared.peers.contains_key(&m.id)) {
        traffic::send(shared, member.id, frame.clone());
    }
}
