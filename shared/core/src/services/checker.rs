//! One check of one real server: when it runs, and what its results mean.
//!
//! ```text
//!            first at a random moment within warmup
//!                        |
//!                        v      success: up                 fewer than retry failures: the same
//!    +--- delay_loop --- run -------------------> wait      again after delay_before_retry
//!    |                   |  failure
//!    |                   +----------> retried? ---> down, wait
//!    +------------------------------------------------+
//! ```
//!
//! Order, delays and hysteresis are keepalived 2.2.7's, and differ a little between its checkers:
//!
//! - right after the start one failure is enough, retries count later (but SMTP_CHECK, which retries
//!   from the first);
//! - what is down goes on with `retry` quick tries in each round for TCP_CHECK, UDP_CHECK, PING_CHECK
//!   and SMTP_CHECK, and without for all others;
//! - HTTP_GET asks one URL at a time with `delay_loop` between them; one that failed is asked alone
//!   until it answers, and then all of them from the first;
//! - MISC_CHECK counts its delays from the start of a run, all others from its end;
//! - each host of an SMTP_CHECK is a check of its own.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use mesh_config::model::{Check, CheckKind};

use super::input::Outcome;
use crate::time::Instant;

/// How late an answer may be, beyond a check's own timeouts, before it is no longer waited for.
const MARGIN: Duration = Duration::from_secs(5);

/// One check, or one host of an SMTP_CHECK.
#[derive(Debug)]
pub(super) struct Checker {
    /// What answers name it by.
    pub(super) id: u64,
    pub(super) check: Arc<Check>,
    /// Which host of an SMTP_CHECK.
    host: usize,
    /// Whether the real server is up as far as this check says.
    pub(super) up: bool,
    /// There was a result; before, `up` is an assumption.
    pub(super) has_run: bool,
    /// Failures in a row that did not count yet.
    retries: u32,
    /// Which URL is next.
    url: usize,
    /// The URL that took the real server down, until it answers.
    failed_url: Option<usize>,
    /// What it adds to the real server's weight.
    pub(super) delta: i64,
    /// That is its result; before, it is an assumption. So for all that add nothing.
    pub(super) weighs: bool,
    /// Why it failed last, while it fails.
    pub(super) reason: Option<String>,
    /// When it runs next; none while it runs, and for what is not run but told.
    pub(super) due: Option<Instant>,
    /// The run under way.
    pub(super) running: Option<Running>,
    /// What the timer is set to.
    pub(super) timer: Option<Instant>,
}

/// A run under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) number: u64,
    pub(super) started: Instant,
    /// From then on it is not waited for.
    pub(super) overdue: Instant,
}

/// What a result brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ended {
    /// It came up, or went down.
    pub(super) changed: bool,
    /// There was no result before.
    pub(super) known: bool,
    /// The first result; scripts hear of it though it confirms what was assumed.
    pub(super) first: bool,
    /// What it adds to the weight changed.
    pub(super) weighed: bool,
    /// Text of the mail about it.
    pub(super) mail: Option<String>,
}

impl Checker {
    /// All machines that a check needs.
    pub(super) fn all_of(check: &Arc<Check>, fresh: bool, mut id: impl FnMut() -> u64) -> Vec<Checker> {
        let hosts = match &check.kind {
            CheckKind::Smtp { hosts, .. } => hosts.len().max(1),
            _ => 1,
        };
        (0..hosts).map(|host| Checker::new(check.clone(), host, fresh, id())).collect()
    }

    /// One that has not run. With `fresh`, this is the start of the daemon, where one failure is
    /// enough.
    fn new(check: Arc<Check>, host: usize, fresh: bool, id: u64) -> Checker {
        let patient = !fresh || matches!(check.kind, CheckKind::Smtp { .. });
        let retries = if patient { 0 } else { check.retry };
        // What a file says is known before anything is programmed.
        let told = matches!(check.kind, CheckKind::File { .. });
        let dynamic =
            matches!(check.kind, CheckKind::Misc { dynamic: true, .. } | CheckKind::File { dynamic: true, .. });
        Checker {
            id,
            host,
            up: told || !check.alpha,
            has_run: told,
            retries,
            url: 0,
            failed_url: None,
            delta: 0,
            weighs: !dynamic,
            reason: None,
            due: None,
            running: None,
            timer: None,
            check,
        }
    }

    /// Whether this is the same check, whatever its delays are now: it keeps its state.
    pub(super) fn is_of(&self, other: &Checker) -> bool {
        self.host == other.host
            && self.check.kind == other.check.kind
            && (self.check.connect == other.check.connect || !self.runs())
    }

    /// Takes over the state of the same check before a reload.
    pub(super) fn inherit(&mut self, old: Checker, now: Instant) {
        let retry = self.check.retry;
        self.id = old.id;
        (self.up, self.has_run) = if old.has_run { (old.up, true) } else { (self.up, false) };
        self.retries = if old.retries >= retry { retry.saturating_sub(1) } else { old.retries };
        (self.url, self.failed_url, self.delta, self.weighs) = (old.url, old.failed_url, old.delta, old.weighs);
        (self.reason, self.running) = (old.reason, old.running);
        // A shorter delay counts at once.
        self.due = old.due.map(|due| due.min(now + self.check.delay_loop));
    }

    /// Counts as down until it succeeds, and needs no retry to stay so.
    pub(super) fn distrust(&mut self) {
        (self.up, self.has_run) = (false, false);
        self.retries = self.check.retry;
    }

    /// One failure is enough, and with `alpha` it is down until its first success: something else
    /// fails there already.
    pub(super) fn retry_less(&mut self) {
        self.up = !self.check.alpha;
        self.retries = self.check.retry;
    }

    /// Is taken up again after others checked: what they found is assumed.
    pub(super) fn assume(&mut self, up: bool) {
        (self.up, self.has_run) = (up, false);
        (self.retries, self.url, self.failed_url, self.reason) = (0, 0, None, None);
    }

    /// Whether it is run; what is not is told by [`Checker::tell`].
    pub(super) fn runs(&self) -> bool {
        !matches!(self.check.kind, CheckKind::File { .. } | CheckKind::Bfd { .. })
    }

    /// The step an [`super::Action::Check`] names.
    pub(super) fn step(&self) -> usize {
        match self.check.kind {
            CheckKind::Http(_) => self.url,
            CheckKind::Smtp { .. } => self.host,
            _ => 0,
        }
    }

    /// A run begins.
    pub(super) fn start(&mut self, now: Instant, number: u64) {
        self.due = None;
        self.running = Some(Running { number, started: now, overdue: now + self.patience() });
    }

    /// How long an answer may take.
    fn patience(&self) -> Duration {
        let timeout = self.check.connect.timeout;
        MARGIN
            + match &self.check.kind {
                // Connection, handshake, request, head, body.
                CheckKind::Http(_) => timeout * 5,
                // Connection, greeting, answers to HELO and QUIT.
                CheckKind::Smtp { hosts, .. } => hosts.get(self.host).map_or(timeout, |host| host.timeout) * 5,
                CheckKind::Misc { timeout, .. } => *timeout + MARGIN,
                _ => timeout * 2,
            }
    }

    /// The run under way ended. `weight` is the real server's configured one.
    pub(super) fn end(&mut self, now: Instant, outcome: &Outcome, weight: u32) -> Ended {
        let started = self.running.take().map_or(now, |running| running.started);
        let failure = match outcome {
            Outcome::Success | Outcome::Weight(_) => None,
            Outcome::Failure(reason) => Some(reason.as_str()),
        };
        self.reason = failure.map(str::to_owned);
        let had_run = self.has_run;
        let check = self.check.clone();
        let (mut ended, from, delay) = match &check.kind {
            CheckKind::Http(http) => {
                let (ended, delay) = self.end_http(failure, http.urls.len(), http.fast_recovery);
                (ended, now, delay)
            }
            CheckKind::Smtp { .. } => {
                let (ended, delay) = self.end_smtp(failure);
                (ended, now, delay)
            }
            CheckKind::Dns { .. } => {
                let (ended, delay) = self.end_dns(failure);
                (ended, now, delay)
            }
            CheckKind::Misc { .. } => {
                let (ended, delay) = self.end_misc(outcome, weight);
                (ended, started, delay)
            }
            CheckKind::Tcp | CheckKind::Ping | CheckKind::Udp { .. } => {
                let (ended, delay) = self.end_simple(failure);
                (ended, now, delay)
            }
            CheckKind::File { .. } | CheckKind::Bfd { .. } => return Ended::default(),
        };
        self.due = Some(now.max(from + delay));
        ended.known = !had_run && self.has_run;
        ended
    }

    fn end_simple(&mut self, failure: Option<&str>) -> (Ended, Duration) {
        if failure.is_some() && self.retries < self.check.retry {
            self.retries += 1;
            self.has_run = true;
            return (Ended::default(), self.check.delay_before_retry);
        }
        self.retries = 0;
        let name = match self.check.kind {
            CheckKind::Ping => "ICMP",
            CheckKind::Udp { .. } => "UDP",
            _ => "TCP",
        };
        let mut ended = self.judge(failure.is_none());
        ended.mail = ended.changed.then(|| format!("=> {name} CHECK {} on service <=", succeed(self.up)));
        (ended, self.check.delay_loop)
    }

    fn end_dns(&mut self, failure: Option<&str>) -> (Ended, Duration) {
        let undecided = self.up || !self.has_run;
        if failure.is_some() && undecided && self.retries < self.check.retry {
            self.retries += 1;
            self.has_run = true;
            return (Ended::default(), self.check.delay_before_retry);
        }
        self.retries = 0;
        let mut ended = self.judge(failure.is_none());
        ended.mail = ended.changed.then(|| format!("=> DNS_CHECK: {} on service <=", succeed(self.up)));
        (ended, self.check.delay_loop)
    }

    fn end_smtp(&mut self, failure: Option<&str>) -> (Ended, Duration) {
        if failure.is_some() && self.retries < self.check.retry {
            self.retries += 1;
            return (Ended::default(), self.check.delay_before_retry);
        }
        self.retries = 0;
        let mut ended = self.judge(failure.is_none());
        ended.mail = ended.changed.then(|| match failure {
            None => "=> CHECK succeed on service <=".to_owned(),
            Some(reason) => format!("=> CHECK failed on service : {reason} <="),
        });
        (ended, self.check.delay_loop)
    }

    fn end_misc(&mut self, outcome: &Outcome, weight: u32) -> (Ended, Duration) {
        let undecided = self.up || !self.has_run;
        let news = !self.up || !self.has_run;
        let mut ended = Ended::default();
        if let Outcome::Failure(reason) = outcome {
            if undecided && self.retries < self.check.retry {
                self.retries += 1;
                self.has_run = true;
                return (ended, self.check.delay_before_retry);
            }
            (self.retries, self.weighs) = (0, true);
            if undecided {
                self.delta = 0;
                ended = self.judge(false);
                let late = ["no end", "no answer"].iter().any(|words| reason.starts_with(words));
                let how = if late { "timed out" } else { "failed" };
                ended.mail = Some(format!("=> MISC CHECK {how} on service <="));
            }
        } else {
            let delta = match outcome {
                Outcome::Weight(to) => i64::from(*to) - i64::from(weight),
                _ => 0,
            };
            let weighed = !self.weighs || self.delta != delta;
            (self.retries, self.weighs, self.delta) = (0, true, delta);
            ended = self.judge(true);
            ended.weighed = weighed;
            ended.mail = news.then(|| "=> MISC CHECK succeeded on service <=".to_owned());
        }
        self.has_run = true;
        (ended, self.check.delay_loop)
    }

    fn end_http(&mut self, failure: Option<&str>, urls: usize, fast_recovery: bool) -> (Ended, Duration) {
        let (delay_loop, before_retry) = (self.check.delay_loop, self.check.delay_before_retry);
        let mut ended = Ended::default();
        if failure.is_some() {
            if self.up || !self.has_run {
                self.has_run = true;
                self.retries = self.retries.saturating_add(1);
                if self.retries > self.check.retry {
                    if self.up {
                        ended = self.judge(false);
                        ended.mail = Some("=> CHECK failed on service : HTTP request failed <=".to_owned());
                    }
                    self.failed_url = Some(self.url);
                }
            }
            let delay = if self.failed_url.is_some() { before_retry.max(delay_loop) } else { before_retry };
            return (ended, delay);
        }
        let was_up = self.up;
        (self.retries, self.url) = (0, self.url + 1);
        if self.failed_url.take().is_some() {
            // The one that failed is back: now all of them.
            self.url = 0;
        } else if self.url >= urls {
            self.url = 0;
            ended = self.judge(true);
            ended.mail = (!was_up).then(|| "=> CHECK succeed on service <=".to_owned());
        }
        if !self.has_run {
            self.retries = self.check.retry;
        }
        let at_once = fast_recovery && (!self.has_run || !self.up);
        (ended, if at_once { Duration::ZERO } else { delay_loop })
    }

    /// A final result.
    fn judge(&mut self, up: bool) -> Ended {
        let first = !self.has_run && self.up == up && (self.check.alpha || !up);
        let changed = self.up != up;
        (self.up, self.has_run) = (up, true);
        Ended { changed, first, ..Ended::default() }
    }

    /// A BFD session came up or went down.
    pub(super) fn tell_bfd(&mut self, name: &str, up: bool) -> Ended {
        if self.has_run && self.up == up {
            return Ended::default();
        }
        let mut ended = self.judge(up);
        self.reason = (!up).then(|| format!("BFD session {name} is down"));
        let how = if up { "succeeded" } else { "failed" };
        ended.mail = ended.changed.then(|| format!("=> BFD CHECK {name} {how} on service <="));
        ended
    }

    /// The number in a file; where there is none it counts as 0.
    pub(super) fn tell_file(&mut self, number: i64) -> Ended {
        let CheckKind::File { file, weight, reverse, dynamic } = &self.check.kind else { return Ended::default() };
        let product = number.saturating_mul(i64::from(*weight)).saturating_mul(if *reverse { -1 } else { 1 });
        let fault = if *weight == 0 { (number != 0) != *reverse } else { product <= i64::from(i32::MIN) };
        let delta = if fault || !dynamic { 0 } else { product.min(i64::from(i32::MAX)) };
        let reason = fault.then(|| format!("track_file {file} holds {number}"));
        let weighed = !self.weighs || self.delta != delta;
        (self.reason, self.weighs, self.delta) = (reason, true, delta);
        Ended { weighed, ..self.judge(!fault) }
    }
}

fn succeed(up: bool) -> &'static str {
    if up { "succeed" } else { "failed" }
}
