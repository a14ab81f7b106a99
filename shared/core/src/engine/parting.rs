//! Why an owner gives its leases back, told to the other members ahead of the release: whoever takes over can say it
//! then. It is lost with a message, or on a node of an older version, and no decision waits for it.

use mesh_wire::mesh::gossip::RouterState;
use mesh_wire::mesh::lease::{Parting, Vacant};
use mesh_wire::mesh::{NodeId, RouterKey};

use super::Engine;

/// What an owner said when it gave a lease back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parted {
    owner: NodeId,
    epoch: u64,
    cause: String,
}

impl Engine {
    /// An owner says why it gives leases back.
    pub(super) fn hear_parting(&mut self, from: NodeId, parting: Parting) {
        for (router, epoch) in parting.leases {
            if let Some(instance) = self.instances.get_mut(&router) {
                instance.parted = Some(Parted { owner: from, epoch, cause: parting.cause.clone() });
            }
        }
    }

    /// How a lease ended, in words: as its owner said, if it did. Nothing where that node never served under it, and
    /// gave back what a voter had granted to a claim that failed.
    pub(super) fn ended_because(&self, router: RouterKey, vacant: &Vacant) -> Option<String> {
        let owner = self.name_of(vacant.owner);
        if !vacant.released {
            return Some(format!("{owner}'s lease ran out"));
        }
        let said = self.instances.get(&router).and_then(|i| i.parted.as_ref());
        if let Some(said) = said.filter(|said| said.owner == vacant.owner && said.epoch == vacant.epoch) {
            return Some(in_third_person(&owner, &said.cause));
        }
        // Only who serves has a successor.
        let served = self.membership.router(vacant.owner, &router).is_some_and(|r| r.state == RouterState::Active);
        (served || vacant.reserved_for.is_some()).then(|| format!("{owner} released the lease"))
    }
}

/// What a director says of itself, as others say it.
fn in_third_person(owner: &str, cause: &str) -> String {
    match cause.split_once(' ') {
        Some(("handed", rest)) => format!("{owner} handed {rest}"),
        Some(("this", rest)) if let Some(rest) = rest.strip_prefix("director ") => format!("{owner} {rest}"),
        Some(("this", rest)) if let Some(rest) = rest.strip_prefix("daemon ") => format!("{owner}'s daemon {rest}"),
        _ => format!("{owner} let go: {cause}"),
    }
}

#[cfg(test)]
mod tests {
    use super::in_third_person;

    #[test]
    fn a_cause_reads_well_from_elsewhere() {
        let told = |cause| in_third_person("lb1", cause);
        assert_eq!(told("this director is stopping"), "lb1 is stopping");
        assert_eq!(told("this daemon stood still"), "lb1's daemon stood still");
        assert_eq!(told("this daemon died"), "lb1's daemon died");
        assert_eq!(
            told("handed over to lb2, whose priority 90 is higher"),
            "lb1 handed over to lb2, whose priority 90 is higher"
        );
        assert_eq!(told("script chk_nginx is down"), "lb1 let go: script chk_nginx is down");
        assert_eq!(told("this host's clock stood still"), "lb1 let go: this host's clock stood still");
        assert_eq!(told(""), "lb1 let go: ");
    }
}
