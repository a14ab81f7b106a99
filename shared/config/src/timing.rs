//! Settings that virtual servers, real servers and checks have; the innermost wins.

use std::time::Duration;

use crate::model::{Check, CheckKind};

/// What one of these levels says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timing {
    pub(crate) alpha: Option<bool>,
    pub(crate) delay_loop: Option<Duration>,
    pub(crate) warmup: Option<Duration>,
    pub(crate) delay_before_retry: Option<Duration>,
    pub(crate) retry: Option<u32>,
    pub(crate) connect_timeout: Option<Duration>,
}

impl Timing {
    /// These, and where they say nothing, the ones of the block around them.
    pub(crate) fn within(&self, outer: &Timing) -> Timing {
        Timing {
            alpha: self.alpha.or(outer.alpha),
            delay_loop: self.delay_loop.or(outer.delay_loop),
            warmup: self.warmup.or(outer.warmup),
            delay_before_retry: self.delay_before_retry.or(outer.delay_before_retry),
            retry: self.retry.or(outer.retry),
            connect_timeout: self.connect_timeout.or(outer.connect_timeout),
        }
    }

    /// Puts them in a check that has the defaults of its kind.
    pub(crate) fn apply(&self, check: &mut Check) {
        check.alpha = self.alpha.unwrap_or(check.alpha);
        check.delay_loop = self.delay_loop.unwrap_or(check.delay_loop);
        check.warmup = self.warmup.unwrap_or(check.delay_loop);
        check.retry = self.retry.unwrap_or(check.retry);
        let default = match check.kind {
            CheckKind::Dns { .. } => check.delay_loop,
            _ => check.delay_before_retry,
        };
        check.delay_before_retry = self.delay_before_retry.unwrap_or(default);
        check.connect.timeout = self.connect_timeout.unwrap_or(check.connect.timeout);
    }
}
