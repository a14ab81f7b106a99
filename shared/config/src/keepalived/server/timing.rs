//! Keywords of virtual servers, real servers and checks alike.

use std::time::Duration;

use super::super::lower::Lower;
use super::super::tree::Statement;
use super::super::values;
use super::words;
pub(super) use crate::timing::Timing;

/// The longest time; keepalived takes half a million years.
const LONGEST: Duration = Duration::from_secs(2_678_400);
/// The longest `connect_timeout`, as in keepalived.
const LONGEST_TIMEOUT: Duration = Duration::from_micros(u32::MAX as u64);

impl Timing {
    /// What a virtual server's `alpha` means for its real servers.
    pub(super) fn alpha(alpha: bool) -> Timing {
        Timing { alpha: alpha.then_some(true), ..Timing::default() }
    }

    /// Reads a keyword; false when it is none of these.
    pub(super) fn read(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) -> bool {
        match statement.keyword() {
            "delay_loop" => words::put(&mut self.delay_loop, time(lower, statement, false).map(Some)),
            "warmup" => words::put(&mut self.warmup, time(lower, statement, true).map(Some)),
            "delay_before_retry" => {
                words::put(&mut self.delay_before_retry, time(lower, statement, true).map(Some));
            }
            "connect_timeout" => {
                let read = |w: &str| values::seconds(w).filter(|d| !d.is_zero() && *d <= LONGEST_TIMEOUT);
                let timeout = words::value(lower, statement, "seconds above 0, at most 4294.967295", read);
                words::put(&mut self.connect_timeout, timeout.map(Some));
            }
            "retry" => words::put(&mut self.retry, words::number(lower, statement, 1, u32::MAX).map(Some)),
            _ => return false,
        }
        true
    }

    /// The same in a check, where no retry at all is possible.
    pub(super) fn read_in_check(&mut self, lower: &mut Lower<'_>, statement: &Statement<'_>) -> bool {
        match statement.keyword() {
            "alpha" => words::put(&mut self.alpha, words::switch(lower, statement).map(Some)),
            keyword @ ("retry" | "nb_get_retry") => {
                if keyword == "nb_get_retry" {
                    lower.warning(statement.at(), "`nb_get_retry` is the old name of `retry`; read as that".into());
                }
                words::put(&mut self.retry, words::number(lower, statement, 0, u32::MAX).map(Some));
            }
            _ => return self.read(lower, statement),
        }
        true
    }
}

/// A time, cut to what is bearable.
fn time(lower: &mut Lower<'_>, statement: &Statement<'_>, zero: bool) -> Option<Duration> {
    let expected = if zero { "seconds" } else { "seconds above 0" };
    let time =
        words::value(lower, statement, expected, |word| values::seconds(word).filter(|time| zero || !time.is_zero()))?;
    if time > LONGEST {
        let message = format!("`{}` is longer than 31 days; 31 days are used", statement.keyword());
        lower.warning(statement.parameters()[0].at, message);
    }
    Some(time.min(LONGEST))
}
