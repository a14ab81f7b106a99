//! The proof that the simulator would find something: each planted bug is found within so many
//! seeds. Most show in the first or second run; in the median it takes 4 runs for a start that
//! clears nothing and for a fence armed for a stale duration, 5 for memory written late or before
//! another boot, 8 for duplicates that shorten a grant, 13 for a pause that goes unnoticed.

use std::time::Duration;

use mesh_sim::clock::ms;
use mesh_sim::mutant::Mutant;
use mesh_sim::run::{Plan, run};

/// Of each run.
const LENGTH: Duration = ms(120_000);

/// Runs at most: enough for one that shows in every twentieth, but for one time in 25,000.
const WITHIN: u64 = 200;

#[track_caller]
fn is_found(mutant: Mutant, breaks: &[&str]) {
    let violation = |seed| run(&Plan::with_mutant(seed, mutant, LENGTH)).violation.map(|v| (seed, v.invariant));
    let found = (1..=WITHIN).find_map(violation);
    println!("{mutant:?}: {found:?}");
    let Some((_, invariant)) = found else { panic!("{mutant:?} stays hidden in {WITHIN} runs") };
    assert!(breaks.contains(&invariant), "{mutant:?} breaks {invariant}");
}

#[test]
fn the_fence_timer_is_the_kernels() {
    is_found(Mutant::UserSpaceTimer, &["at_most_one_open_fence", "silent_host_closes"]);
}

#[test]
fn voters_without_memory_wait() {
    is_found(Mutant::NoQuarantine, &["at_most_one_open_fence"]);
}

#[test]
fn a_start_clears_what_was_left() {
    is_found(Mutant::NoStartSweep, &["at_most_one_open_fence", "closed_before_release", "silent_host_closes"]);
}

#[test]
fn grants_are_not_overwritten() {
    is_found(Mutant::OverwriteGrants, &["at_most_one_open_fence", "grants_are_kept"]);
}

#[test]
fn a_connection_renews_nothing() {
    is_found(Mutant::SessionRenewal, &["at_most_one_open_fence", "grants_are_kept"]);
}

#[test]
fn duplicates_shorten_nothing() {
    is_found(Mutant::ShorteningDuplicates, &["at_most_one_open_fence"]);
}

#[test]
fn leases_count_from_the_request() {
    is_found(Mutant::CountedFromArrival, &["at_most_one_open_fence"]);
}

#[test]
fn the_fence_closes_no_100_ms_late() {
    is_found(Mutant::GenerousFence, &["at_most_one_open_fence", "silent_host_closes"]);
}

#[test]
fn the_fence_is_armed_until_an_instant() {
    is_found(Mutant::RelativeFence, &["at_most_one_open_fence"]);
}

#[test]
fn the_fence_closes_before_the_release() {
    is_found(Mutant::ReleaseFirst, &["closed_before_release"]);
}

#[test]
fn addresses_go() {
    is_found(
        Mutant::StickyAddresses,
        &["address_implies_lease", "at_most_one_open_fence", "closed_before_release", "silent_host_closes"],
    );
}

#[test]
fn quarantine_ends() {
    is_found(Mutant::EternalQuarantine, &["owner_while_majority"]);
}

#[test]
fn answers_are_sent() {
    is_found(
        Mutant::LosesRenewals,
        &["no_takeover_while_renewed", "owner_while_majority", "owner_after_healing", "no_flapping_without_faults"],
    );
}

#[test]
fn epochs_are_remembered() {
    is_found(Mutant::ForgottenEpochs, &["grants_are_kept", "promises_never_go_back", "at_most_one_open_fence"]);
}

#[test]
fn an_owner_follows_the_epoch() {
    is_found(Mutant::EpochNeverRaised, &["no_takeover_while_renewed"]);
}

#[test]
fn one_veto_is_no_loss() {
    is_found(Mutant::OneVetoIsLoss, &["no_takeover_while_renewed"]);
}

#[test]
fn a_pause_is_noticed() {
    is_found(Mutant::PauseUnnoticed, &["brief_overlap"]);
}

#[test]
fn what_is_granted_is_written_first() {
    is_found(Mutant::UnwrittenGrants, &["at_most_one_open_fence", "promises_never_go_back", "owner_while_majority"]);
}

#[test]
fn what_is_granted_is_written_before_it_is_said() {
    is_found(Mutant::MemoryAfterReply, &["at_most_one_open_fence", "promises_never_go_back", "grants_are_kept"]);
}

#[test]
fn a_boot_ends_what_was_remembered() {
    is_found(
        Mutant::MemoryOfAnotherBoot,
        &["owner_while_majority", "owner_after_healing", "no_takeover_while_renewed"],
    );
}

#[test]
fn voters_change_one_at_a_time() {
    is_found(Mutant::VotersAtOnce, &["at_most_one_open_fence", "promises_never_go_back", "grants_are_kept"]);
}
