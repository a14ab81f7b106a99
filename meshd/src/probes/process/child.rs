//! What changes between fork and exec, where the standard library has no words for it: blocked signals, the limit of
//! open files, and the groups of a user. The only unsafe code of scripts.

use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::SigSet;
use nix::unistd::{Gid, Uid, setgid, setgroups, setuid};
use tokio::process::Command;

use super::Account;
use crate::descriptors;

/// Has the child become what it is to be.
pub(super) fn prepare(command: &mut Command, account: &Account) {
    let limit = descriptors::limit_before();
    let switch = account.switch.as_ref().map(|ids| {
        let groups: Vec<Gid> = ids.groups.iter().copied().map(Gid::from_raw).collect();
        (Uid::from_raw(ids.user), Gid::from_raw(ids.group), groups)
    });
    let change = move || {
        SigSet::empty().thread_set_mask()?;
        if let Some((soft, hard)) = limit {
            setrlimit(Resource::RLIMIT_NOFILE, soft, hard)?;
        }
        if let Some((user, group, groups)) = &switch {
            // The user last: after it nothing else may be changed.
            setgroups(groups)?;
            setgid(*group)?;
            setuid(*user)?;
        }
        Ok(())
    };
    // SAFETY: between fork and exec in a program with threads only async-signal-safe functions may be called, and no
    // memory may be allocated: the closure makes five system calls on what was prepared before.
    unsafe {
        command.pre_exec(change);
    }
}
