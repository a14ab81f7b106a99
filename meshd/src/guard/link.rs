//! The daemon's side of the guard: who its parent is, and what happened before.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use anyhow::{Context, bail};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;
use serde::{Deserialize, Serialize};

use crate::legacy::WILL_VERSION;

/// Where a guard tells its daemon about itself. It holds no secret.
pub(super) const VARIABLE: &str = "MESHD_GUARD";

/// What a guard tells its daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The guard's process id.
    pub pid: u32,
    /// How often it started the daemon again after it had died.
    pub restarts: u64,
    /// How the daemon died last, in words.
    pub last_death: Option<String>,
    /// When, in seconds since 1970-01-01 UTC.
    #[serde(default)]
    pub died_at: Option<u64>,
    /// Whether it is what this start follows.
    #[serde(default)]
    pub after_death: bool,
    /// What it starts.
    pub program: PathBuf,
    /// The version of wills that it reads. It runs on when the daemon is replaced by another version.
    #[serde(default = "untold")]
    pub will: u8,
}

/// The version of guards that do not tell theirs.
fn untold() -> u8 {
    3
}

impl Link {
    /// Why it cannot give back and take away what this daemon leaves, should that be killed; none where it can.
    pub fn cannot_act(&self) -> Option<String> {
        let Link { will, pid, .. } = self;
        (*will != WILL_VERSION).then(|| {
            format!(
                "its guard, process {pid}, is of another version (it reads wills of version {will}, not {WILL_VERSION}): \
                 restart the service (`systemctl restart meshd`)"
            )
        })
    }

    /// How the run before this one died, in words; none where it ended in order, or there was none.
    pub fn died(&self) -> Option<String> {
        self.last_death.clone().filter(|_| self.after_death)
    }

    pub(super) fn to_text(&self) -> io::Result<String> {
        // A path may be no text.
        serde_json::to_string(self).map_err(io::Error::other)
    }
}

/// For the daemon, before it starts any thread and once it listens for signals: binds its life to the
/// guard's, and lets signals come again. `None` where it has no guard.
///
/// # Errors
///
/// The guard died meanwhile: nothing has begun that could be handed over.
pub fn attach() -> anyhow::Result<Option<Link>> {
    let Some(text) = std::env::var_os(VARIABLE) else { return Ok(None) };
    let text = text.to_str().with_context(|| format!("{VARIABLE} is no text"))?;
    let link: Link = serde_json::from_str(text).with_context(|| format!("{VARIABLE} is not what a guard sets"))?;
    // An orderly stop, should the guard die.
    prctl::set_pdeathsig(Signal::SIGTERM).context("cannot ask to be told of the guard's death")?;
    // It may have died before that.
    if getppid().as_raw() != link.pid as i32 {
        bail!("the guard (process {}) that was to watch over this daemon is not its parent", link.pid);
    }
    super::watched().thread_unblock().context("cannot take signals")?;
    Ok(Some(link))
}

/// What a daemon has its guard do once it is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// It served, so that the kernel holds what is to be taken back.
    Kernel,
    /// It is no director: what the kernel holds is somebody else's, or goes on serving.
    Nothing,
}

impl Link {
    /// From now on the daemon serves, and its death is the guard's business.
    pub fn tell_ready(&self, task: Task) {
        let word = match task {
            Task::Kernel => b"K",
            Task::Nothing => b"N",
        };
        // The other end of standard input is the guard's. It is not there only when the guard died,
        // and that is noticed elsewhere.
        let _ = nix::unistd::write(io::stdin(), word);
    }
}

/// What the daemon told by the end of its life; `None` where it never got ready.
pub(super) fn told(mut socket: &UnixStream) -> Option<Task> {
    let mut word = [0];
    match socket.read(&mut word) {
        Ok(1) if word == *b"N" => Some(Task::Nothing),
        Ok(1) => Some(Task::Kernel),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::io::Write;
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn a_program_whose_path_is_no_text_is_an_error() {
        let program = PathBuf::from(OsString::from_vec(b"/opt/m\xffshd".to_vec()));
        let (last_death, died_at, after_death) = (None, None, false);
        let link = Link { pid: 1, restarts: 0, last_death, died_at, after_death, program, will: WILL_VERSION };
        assert!(link.to_text().is_err());
    }

    /// An upgrade after a death is none, though the death is still known; a guard that does not tell counts as that.
    #[test]
    fn a_death_is_told_to_the_run_that_follows_it() {
        let died = |more: &str| {
            let text = format!(r#"{{"pid":7,"restarts":1,"last_death":"SIGKILL (signal 9)","program":"/m"{more}}}"#);
            serde_json::from_str::<Link>(&text).expect("what guards write").died()
        };
        assert_eq!(died(r#","died_at":1,"after_death":true"#).as_deref(), Some("SIGKILL (signal 9)"));
        assert_eq!(died(r#","died_at":1,"after_death":false"#), None);
        assert_eq!(died(""), None);
    }

    /// Also one that does not tell its version, or tells more than is known.
    #[test]
    fn a_guard_of_another_version_is_told_apart() {
        let read = |more: &str| {
            let text = format!(r#"{{"pid":7,"restarts":0,"last_death":null,"program":"/m"{more}}}"#);
            serde_json::from_str::<Link>(&text).expect("what guards write").cannot_act()
        };
        assert_eq!(read(r#","will":3,"more":1"#), None);
        assert_eq!(read(""), None, "the last version that does not tell reads this one's");
        let other = "its guard, process 7, is of another version (it reads wills of version 4, not 3): restart the \
                     service (`systemctl restart meshd`)";
        assert_eq!(read(r#","will":4"#).as_deref(), Some(other));
    }

    #[test]
    fn what_a_daemon_told_is_known_after_its_end() {
        for (word, expected) in [(&b"K"[..], Some(Task::Kernel)), (b"N", Some(Task::Nothing)), (b"", None)] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            theirs.write_all(word).unwrap();
            drop(theirs);
            assert_eq!(told(&ours), expected);
        }
    }
}
