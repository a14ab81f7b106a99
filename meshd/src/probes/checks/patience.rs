//! How long a run waits: for each step, and altogether.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::words;

/// The whole run takes at most this many times `connect_timeout`: connection, TLS, request, and as much again for
/// an answer that comes in pieces. (keepalived limits each step only.)
pub(super) const WHOLE: u32 = 5;

/// The limits of one run.
pub(super) struct Patience {
    each: Duration,
    whole: Duration,
    end: Instant,
}

impl Patience {
    /// From now on.
    pub(super) fn new(each: Duration) -> Patience {
        let whole = each.saturating_mul(WHOLE);
        Patience { each, whole, end: Instant::now() + whole }
    }

    /// One step.
    pub(super) async fn wait<T>(&self, step: impl Future<Output = io::Result<T>>) -> Result<T, String> {
        let now = Instant::now();
        let limit = (now + self.each).min(self.end);
        match timeout_at(limit, step).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(words::error(&error)),
            Err(_) if limit == self.end => Err(format!("not done after {}", words::seconds(self.whole))),
            Err(_) => Err(format!("no answer in {}", words::seconds(self.each))),
        }
    }
}
