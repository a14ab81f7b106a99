//! Planted bugs: each breaks one rule, around the real voters and ballots.

use clap::ValueEnum;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mutant {
    /// A voter that lost its memory votes at once.
    NoQuarantine,
    /// A voter gives to another node what has not run out.
    OverwriteGrants,
    /// The owner counts from the arrival of the answer instead of the sending of its request.
    DeadlineFromArrival,
    /// A request that arrives again is granted anew and may end the grant earlier.
    DuplicateShortens,
    /// Whoever lets go says so and leaves its fence to the kernel's timer.
    ReleaseBeforeClosing,
    /// A daemon that starts leaves the fence as an earlier run left it.
    NoStartSweep,
    /// The owner counts the whole duration: nothing off for clocks that differ, and no guard.
    NoMargin,
    /// Nothing is wrong but the clocks: they differ by 4 %, twenty times the bound.
    WildClocks,
}
