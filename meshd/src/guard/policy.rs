//! What the guard does after an end of the daemon: decided here, done elsewhere.

use std::fmt;
use std::time::Duration;

use nix::sys::signal::Signal;

/// The daemon's exit code that asks for another run at once, of the program that is on disk then.
pub const RESTART: u8 = 75;

/// What the standard library exits with after a panic.
const PANIC: i32 = 101;

/// Pauses before a start: none, then this, doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Who lived for this long did not die of its start: pauses begin anew.
const STEADY: Duration = Duration::from_secs(60);

/// How the daemon ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Death {
    /// By itself, with this code.
    Exit(i32),
    /// By a signal.
    Signal(i32),
    /// There was no program, or none that could be started.
    NotStarted(String),
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Death::Exit(PANIC) => write!(f, "a panic (exit code {PANIC})"),
            Death::Exit(code) => write!(f, "exit code {code}"),
            Death::Signal(number) => match Signal::try_from(*number) {
                Ok(signal) => write!(f, "{signal} (signal {number})"),
                Err(_) => write!(f, "signal {number}"),
            },
            Death::NotStarted(why) => write!(f, "it could not be started: {why}"),
        }
    }
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// End with this code, after acting in the daemon's place where `will` says so.
    Exit { code: u8, will: bool },
    /// Start it again after a pause.
    Restart { will: bool, pause: Duration },
}

/// What it goes by.
#[derive(Debug, Default)]
pub(super) struct Policy {
    was_ready: bool,
    /// The next pause.
    pause: Duration,
    restarts: u64,
    last_death: Option<String>,
    /// Whether the next start follows it.
    after_death: bool,
}

impl Policy {
    /// After an end. `ready` tells whether the daemon had got so far as to serve, `stopping` whether
    /// somebody asked for the end.
    pub(super) fn after(&mut self, death: &Death, ready: bool, lived: Duration, stopping: bool) -> Next {
        self.was_ready |= ready;
        self.after_death = false;
        let restart = *death == Death::Exit(RESTART.into());
        match death {
            Death::Exit(0) => return Next::Exit { code: 0, will: false },
            // It left everything to a next run, which does not come.
            _ if restart && stopping => return Next::Exit { code: 0, will: true },
            _ if restart => return Next::Restart { will: false, pause: Duration::ZERO },
            _ if stopping => return Next::Exit { code: 1, will: true },
            // It said itself what is wrong with its configuration, privileges or addresses, before
            // it changed anything: another try finds the same.
            Death::Exit(code) if !self.was_ready && *code != PANIC => {
                return Next::Exit { code: u8::try_from(*code).unwrap_or(1), will: false };
            }
            Death::Exit(_) | Death::Signal(_) | Death::NotStarted(_) => {}
        }
        if lived >= STEADY {
            self.pause = Duration::ZERO;
        }
        let pause = self.pause;
        self.pause = (pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.restarts += 1;
        self.last_death = Some(death.to_string());
        self.after_death = true;
        Next::Restart { will: true, pause }
    }

    /// Whether any run got so far as to serve.
    pub(super) fn was_ready(&self) -> bool {
        self.was_ready
    }

    /// Starts after a death.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Whether the next start follows a death.
    pub(super) fn after_death(&self) -> bool {
        self.after_death
    }

    /// The last one, in words.
    pub(super) fn last_death(&self) -> Option<&str> {
        self.last_death.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(100);
    const KILLED: Death = Death::Signal(9);

    fn exit(code: u8, will: bool) -> Next {
        Next::Exit { code, will }
    }

    fn again(s: u64) -> Next {
        Next::Restart { will: true, pause: Duration::from_secs(s) }
    }

    #[test]
    fn an_orderly_end_is_the_end() {
        let mut policy = Policy::default();
        assert_eq!(policy.after(&Death::Exit(0), true, SHORT, true), exit(0, false));
        assert_eq!(policy.after(&Death::Exit(0), true, SHORT, false), exit(0, false), "asked by meshctl");
        assert_eq!((policy.restarts(), policy.last_death()), (0, None));
    }

    #[test]
    fn who_never_was_ready_and_says_why_is_not_started_again() {
        for code in [1, 2, 3] {
            let mut policy = Policy::default();
            assert_eq!(policy.after(&Death::Exit(code), false, SHORT, false), exit(code as u8, false));
        }
    }

    #[test]
    fn a_crash_at_the_start_is_no_configuration_error() {
        for death in [KILLED, Death::Exit(PANIC)] {
            let mut policy = Policy::default();
            assert_eq!(policy.after(&death, false, SHORT, false), again(0), "{death}");
            assert_eq!(policy.after(&death, false, SHORT, false), again(1), "{death}");
        }
    }

    #[test]
    fn once_it_was_ready_it_is_started_again_whatever_it_says() {
        let mut policy = Policy::default();
        assert_eq!(policy.after(&KILLED, true, SHORT, false), again(0));
        assert_eq!(policy.after(&Death::Exit(1), false, SHORT, false), again(1));
        assert_eq!(policy.after(&Death::NotStarted("gone".to_owned()), false, SHORT, false), again(2));
        assert_eq!(policy.restarts(), 3);
        assert_eq!(policy.last_death(), Some("it could not be started: gone"));
    }

    #[test]
    fn pauses_double_and_begin_anew_after_a_minute() {
        let mut policy = Policy::default();
        let pauses: Vec<Next> = (0..8).map(|_| policy.after(&KILLED, true, SHORT, false)).collect();
        assert_eq!(pauses, [0, 1, 2, 4, 8, 16, 30, 30].map(again));
        assert_eq!(policy.after(&KILLED, true, STEADY, false), again(0));
        assert_eq!(policy.after(&KILLED, true, SHORT, false), again(1));
        assert_eq!(policy.last_death(), Some("SIGKILL (signal 9)"));
    }

    #[test]
    fn an_upgrade_is_no_death() {
        let mut policy = Policy::default();
        let at_once = Next::Restart { will: false, pause: Duration::ZERO };
        assert_eq!(policy.after(&Death::Exit(RESTART.into()), true, SHORT, false), at_once);
        assert_eq!((policy.restarts(), policy.after_death()), (0, false));
        // What the old one left to the new one is not left to nobody.
        assert_eq!(policy.after(&Death::Exit(1), false, SHORT, false), again(0));
        assert!(policy.after_death());
        assert_eq!(policy.after(&Death::Exit(RESTART.into()), true, SHORT, false), at_once);
        assert_eq!((policy.after_death(), policy.last_death()), (false, Some("exit code 1")));
    }

    #[test]
    fn a_death_while_stopping_is_acted_on_and_is_the_end() {
        let mut policy = Policy::default();
        assert_eq!(policy.after(&KILLED, true, SHORT, true), exit(1, true));
        assert_eq!(policy.after(&Death::Exit(RESTART.into()), true, SHORT, true), exit(0, true));
    }
}
