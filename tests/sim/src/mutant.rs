//! Planted bugs: each breaks one rule the leases rest on, outside the engine. A simulator that does
//! not find them proves nothing about the engine it finds nothing in.

use clap::ValueEnum;

use crate::layout::Shape;
use crate::run::Beyond;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mutant {
    /// The fence has no timeout in the kernel: it closes when the daemon gets round to it.
    UserSpaceTimer,
    /// A voter that lost its memory votes at once.
    NoQuarantine,
    /// A daemon that starts neither removes addresses nor installs the fence.
    NoStartSweep,
    /// Voters grant what another node holds.
    OverwriteGrants,
    /// Voters say yes to every renewal of a node they are connected to, whatever they hold for it.
    SessionRenewal,
    /// A request that comes a second time sets the end of the grant anew, earlier.
    ShorteningDuplicates,
    /// The lease is counted from the arrival of the answer.
    CountedFromArrival,
    /// The fence stays open 100 ms longer than the lease allows.
    GenerousFence,
    /// The fence is opened for what was left when it was decided, not when it is done.
    RelativeFence,
    /// Whoever lets go says so first, and closes its fence 100 ms later.
    ReleaseFirst,
    /// Addresses are never removed, neither by the daemon nor by their lifetime.
    StickyAddresses,
    /// Voters never leave quarantine.
    EternalQuarantine,
    /// Seven of ten answers are not sent, faults or not.
    LosesRenewals,
    /// Voters say yes to any epoch, however old.
    ForgottenEpochs,
    /// An owner does not raise its epoch when a voter has seen a higher one: it loses that voter.
    EpochNeverRaised,
    /// One voter that holds the lease for another node is enough to let go.
    OneVetoIsLoss,
    /// A clock that stood still is not noticed.
    PauseUnnoticed,
    /// What voters grant is not remembered when they are started again, and nobody is told.
    UnwrittenGrants,
    /// What voters grant is written down half a second after they said so.
    MemoryAfterReply,
    /// After a boot the host goes by what was written down before it.
    MemoryOfAnotherBoot,
    /// Two of three voters are exchanged at once.
    VotersAtOnce,
}

impl Mutant {
    /// Where it is looked for.
    pub fn shape(self) -> Shape {
        match self {
            Mutant::VotersAtOnce => Shape::Four,
            _ => Shape::Three,
        }
    }

    /// What has to happen beyond the promise's bounds for it to matter.
    pub fn beyond(self) -> Option<Beyond> {
        (self == Mutant::PauseUnnoticed).then_some(Beyond::Pause)
    }
}
