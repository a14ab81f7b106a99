//! Signals without a name of their own, for which nix has no type: the only unsafe code about signals.

use std::io;

use nix::libc;
use nix::sys::signal::SigSet;
use nix::unistd::Pid;

/// A set of signals, by number.
pub(crate) fn set(numbers: impl IntoIterator<Item = i32>) -> SigSet {
    let mut set = *SigSet::empty().as_ref();
    for number in numbers {
        // SAFETY: the set is an initialised one of our own; a number that is no signal changes nothing.
        unsafe { libc::sigaddset(&raw mut set, number) };
    }
    // SAFETY: it was made by sigemptyset, and changed by nothing but sigaddset.
    unsafe { SigSet::from_sigset_t_unchecked(set) }
}

/// Sends a signal, by number, to one process.
///
/// # Errors
///
/// There is no such process or signal, or it is somebody else's.
pub(crate) fn send(to: Pid, number: i32) -> io::Result<()> {
    // SAFETY: plain numbers go in; nothing of this process is touched.
    let sent = unsafe { libc::kill(to.as_raw(), number) };
    if sent == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
