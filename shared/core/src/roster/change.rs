//! Changes of the roster: what each makes of the roster before it, and when it is refused.

use mesh_wire::mesh::NodeId;
use mesh_wire::mesh::consensus::Objection;
use mesh_wire::mesh::enrol::Refusal;
use mesh_wire::mesh::roster::{
    MAX_TOMBSTONES, MAX_VOTERS, Member, Roster, Tombstone, UNKNOWN_EXPIRY, UsedToken, VotePolicy,
};

use super::Moment;
use crate::admission::{Candidate, MAX_TOKENS, admit};

/// Used tokens are remembered for so long after they expired, in seconds: the clocks of two members
/// may differ.
const TOKEN_MARGIN: u64 = 3600;

/// Routers named in a refusal.
const MOST_NAMED: usize = 3;

/// The longest life of a token in seconds, a week.
pub const LONGEST_TOKEN: u64 = 604_800;

/// What somebody wants of the roster. Asking twice changes it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new member.
    Admit(Candidate),
    /// The policy gives a member a vote.
    Promote(NodeId),
    /// The policy takes a voter's vote.
    Demote(NodeId),
    /// The operator gives a member a vote.
    AddVoter(NodeId),
    /// The operator takes a member's vote.
    RemoveVoter(NodeId),
    /// The operator removes a member for good, whatever it serves.
    RemoveMember(NodeId),
    /// The same, if it serves nothing: who is asked sees to that.
    RemoveIdle(NodeId),
    /// The operator makes a token useless.
    RevokeToken {
        /// Its nonce.
        nonce: u64,
        /// When it expires, in seconds since 1970-01-01 UTC.
        expires_unix: u64,
    },
    /// Nothing but to finish what a voter has accepted and nobody has committed.
    Finish,
}

/// Why the roster was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeRefusal {
    /// The candidate is not admitted.
    #[error(transparent)]
    Admission(#[from] Refusal),
    /// No such member.
    #[error("no member has the identity {0}")]
    UnknownNode(NodeId),
    /// Somebody has to vote.
    #[error("{name} is the last voter")]
    LastVoter {
        /// The voter.
        name: String,
    },
    /// There are as many voters as there may be.
    #[error("there are {max} voters, more are not possible: take the vote of another one first")]
    TooManyVoters {
        /// The limit.
        max: usize,
    },
    /// Without this voter the others could not decide anything.
    #[error("without {name} only {connected} voters are connected, and {needed} are needed: bring back others first")]
    WouldLoseMajority {
        /// The voter.
        name: String,
        /// Voters that would remain and are connected.
        connected: usize,
        /// Votes that would make a majority.
        needed: usize,
    },
    /// It goes when it serves nothing.
    #[error("{name} serves {}, which nobody would serve until its leases have run out", some(.routers))]
    Serves {
        /// The member.
        name: String,
        /// Names of routers.
        routers: Vec<String>,
    },
    /// The operator has decided otherwise.
    #[error("the operator decides whether {name} votes")]
    OperatorDecides {
        /// The member.
        name: String,
    },
    /// The voters did not agree in time.
    #[error("{}{}", agreed(*.accepted, *.needed), why(.silent, .objections))]
    NoMajority {
        /// How many said yes.
        accepted: usize,
        /// How many had to.
        needed: usize,
        /// Names of voters that did not answer.
        silent: Vec<String>,
        /// Names of voters that refused, and why.
        objections: Vec<(String, Objection)>,
    },
    /// Too many changes at once.
    #[error("too many changes of the roster at once: try again")]
    Busy,
    /// This node is no member any more.
    #[error("this node was removed from the mesh")]
    NotAMember,
}

impl Change {
    /// The roster with this change; `None` where it is there already.
    ///
    /// # Errors
    /// It cannot be, and why.
    pub fn apply(&self, roster: &Roster, moment: &Moment) -> Result<Option<Roster>, ChangeRefusal> {
        let mut next = roster.clone();
        match self {
            Change::Admit(candidate) => next = admit(roster, candidate)?,
            Change::Promote(id) => {
                let member = find(&mut next, *id)?;
                if member.vote == VotePolicy::Never && !member.voter {
                    return Err(ChangeRefusal::OperatorDecides { name: member.name.clone() });
                }
                member.voter = true;
            }
            Change::Demote(id) => {
                let member = find(&mut next, *id)?;
                if member.vote == VotePolicy::Always && member.voter {
                    return Err(ChangeRefusal::OperatorDecides { name: member.name.clone() });
                }
                member.voter = false;
            }
            Change::AddVoter(id) => {
                let member = find(&mut next, *id)?;
                (member.voter, member.vote) = (true, VotePolicy::Always);
            }
            Change::RemoveVoter(id) => {
                let member = find(&mut next, *id)?;
                (member.voter, member.vote) = (false, VotePolicy::Never);
                check_rest(roster, &next, *id, moment)?;
            }
            Change::RemoveMember(id) | Change::RemoveIdle(id) => {
                if roster.removed_at(*id).is_some() {
                    return Ok(None);
                }
                find(&mut next, *id)?;
                next.members.retain(|m| m.id != *id);
                check_rest(roster, &next, *id, moment)?;
                next.removed.push(Tombstone { id: *id, epoch: roster.epoch + 1 });
                let surplus = next.removed.len().saturating_sub(MAX_TOMBSTONES);
                next.removed.drain(..surplus);
            }
            Change::RevokeToken { nonce, expires_unix } => revoke(&mut next, *nonce, *expires_unix)?,
            Change::Finish => {}
        }
        if next == *roster {
            return Ok(None);
        }
        if next.voters().count() > MAX_VOTERS.max(roster.voters().count()) {
            return Err(ChangeRefusal::TooManyVoters { max: MAX_VOTERS });
        }
        next.epoch = roster.epoch + 1;
        forget_tokens(&mut next, moment.unix_s);
        Ok(Some(next))
    }
}

fn find(roster: &mut Roster, id: NodeId) -> Result<&mut Member, ChangeRefusal> {
    roster.members.iter_mut().find(|m| m.id == id).ok_or(ChangeRefusal::UnknownNode(id))
}

/// The voters that remain have to be able to decide. Taking the vote of one that is gone makes that
/// easier, so it is never refused for that.
fn check_rest(before: &Roster, after: &Roster, gone: NodeId, moment: &Moment) -> Result<(), ChangeRefusal> {
    let Some(member) = before.member(gone).filter(|m| m.voter) else { return Ok(()) };
    let name = member.name.clone();
    if after.voters().count() == 0 {
        return Err(ChangeRefusal::LastVoter { name });
    }
    let connected = after.voters().filter(|m| moment.connected.contains(&m.id)).count();
    if moment.connected.contains(&gone) && connected < after.quorum() {
        return Err(ChangeRefusal::WouldLoseMajority { name, connected, needed: after.quorum() });
    }
    Ok(())
}

fn revoke(roster: &mut Roster, nonce: u64, expires_unix: u64) -> Result<(), ChangeRefusal> {
    if let Some(used) = roster.used_tokens.iter().find(|t| t.nonce == nonce) {
        let name = |id| roster.member(id).map(|m| m.name.clone());
        return match used.by {
            Some(by) => Err(Refusal::TokenUsed { by: name(by) }.into()),
            None => Ok(()),
        };
    }
    if roster.used_tokens.len() >= MAX_TOKENS {
        return Err(Refusal::TooManyTokens { max: MAX_TOKENS }.into());
    }
    roster.used_tokens.push(UsedToken { nonce, expires_unix, by: None });
    Ok(())
}

/// An expired token is refused for that: it need not be remembered. Of those that nobody knows the
/// expiry of none lives longer than a week from now.
fn forget_tokens(roster: &mut Roster, unix_s: u64) {
    for token in roster.used_tokens.iter_mut().filter(|t| t.expires_unix == UNKNOWN_EXPIRY) {
        token.expires_unix = unix_s.saturating_add(LONGEST_TOKEN);
    }
    roster.used_tokens.retain(|t| t.expires_unix.saturating_add(TOKEN_MARGIN) > unix_s);
}

/// Whether a member may vote without the operator's word.
pub fn is_eligible(member: &Member) -> bool {
    match member.vote {
        VotePolicy::Auto | VotePolicy::Always => true,
        VotePolicy::Never => false,
    }
}

/// Who wants a change begins nothing that it could not remember, however many agree.
fn agreed(accepted: usize, needed: usize) -> String {
    if accepted < needed {
        format!("only {accepted} of the {needed} voters needed agreed")
    } else {
        format!("{accepted} voters agreed, which would do, but not the node that asked them")
    }
}

/// The first of many names.
pub(crate) fn some(names: &[impl AsRef<str>]) -> String {
    let named = names.iter().take(MOST_NAMED).map(AsRef::as_ref).collect::<Vec<_>>().join(", ");
    if names.len() > MOST_NAMED { format!("{named} and {} more", names.len() - MOST_NAMED) } else { named }
}

fn why(silent: &[String], objections: &[(String, Objection)]) -> String {
    let mut parts = Vec::new();
    if !silent.is_empty() {
        parts.push(format!("no answer from {}", silent.join(", ")));
    }
    for (name, objection) in objections {
        parts.push(match objection {
            Objection::Promised(ballot) => format!("{name} is busy with a change by {}", ballot.proposer),
            Objection::Behind { epoch } => format!("{name} is still at roster epoch {epoch}"),
            Objection::NotAVoter => format!("{name} knows itself as no voter"),
            Objection::NotASuccessor => format!("{name} says that more than one vote would change"),
            Objection::Unsettled { remaining_ms } => {
                format!("{name} waits {remaining_ms} ms for leases older than the last change of voters")
            }
            Objection::Storage => format!("{name} cannot write its roster file"),
        });
    }
    if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) }
}
