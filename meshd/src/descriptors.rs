//! Descriptors: each check under way and each connection needs one, and the usual limit of 1024 is a
//! courtesy to programs that use select(2).

use std::io;
use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// What the limit was.
static BEFORE: OnceLock<(rlim_t, rlim_t)> = OnceLock::new();

/// Lets this process have as many as it may.
///
/// # Errors
///
/// The kernel does not allow it.
pub fn raise_limit() -> io::Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // A second time it is raised already.
    let _ = BEFORE.set((soft, hard));
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// The limit as it was before it was raised, for programs that are started; none where it was not.
pub fn limit_before() -> Option<(rlim_t, rlim_t)> {
    BEFORE.get().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_allowed_is_taken() {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        // Others run beside this test: not a limit they would notice.
        setrlimit(Resource::RLIMIT_NOFILE, hard - 1, hard).unwrap();
        raise_limit().unwrap();
        assert_eq!(getrlimit(Resource::RLIMIT_NOFILE).unwrap(), (hard, hard));
        assert!(limit_before().is_some());
    }
}
