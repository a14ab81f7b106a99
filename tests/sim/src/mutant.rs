//! Planted bugs: each breaks one rule the safety of leases rests on, outside the engine. A
//! simulator that does not find them proves nothing about the engine it finds nothing in.

use clap::ValueEnum;

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
    /// The fence stays open 100 ms longer than the lease allows.
    GenerousFence,
    /// Whoever lets go says so first, and closes its fence 100 ms later.
    ReleaseFirst,
    /// Addresses are never removed, neither by the daemon nor by their lifetime.
    StickyAddresses,
    /// Voters never leave quarantine.
    EternalQuarantine,
    /// Every other renewal is refused without a reason, faults or not.
    LosesRenewals,
    /// Voters say yes to any epoch, however old.
    ForgottenEpochs,
    /// What voters grant is not remembered when they are started again, and nobody is told.
    UnwrittenGrants,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 11] = [
        Mutant::UserSpaceTimer,
        Mutant::NoQuarantine,
        Mutant::NoStartSweep,
        Mutant::OverwriteGrants,
        Mutant::GenerousFence,
        Mutant::ReleaseFirst,
        Mutant::StickyAddresses,
        Mutant::EternalQuarantine,
        Mutant::LosesRenewals,
        Mutant::ForgottenEpochs,
        Mutant::UnwrittenGrants,
    ];
}
