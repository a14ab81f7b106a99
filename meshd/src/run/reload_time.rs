//! `reload_time_file`: directors whose configurations fit together only as they are after a change read
//! theirs again at the same time.

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use nix::libc;

/// Between two looks at the file.
const LOOK: Duration = Duration::from_secs(1);

/// What is read of it: the first line.
const LONGEST: u64 = 64;

/// The file, and what it asks for.
pub(super) struct ReloadTime {
    path: PathBuf,
    repeat: bool,
    /// Which file of which time was read.
    seen: Option<(u64, i64, i64, u64)>,
    due: Option<Timestamp>,
}

impl ReloadTime {
    /// Looks at none before it is asked.
    pub(super) fn new(path: &Path, repeat: bool) -> ReloadTime {
        ReloadTime { path: path.to_owned(), repeat, seen: None, due: None }
    }

    /// Resolves when the configuration is to be read again. Nothing is lost when it is dropped meanwhile.
    pub(super) async fn due(&mut self) {
        loop {
            let now = Timestamp::now();
            self.look(now);
            let Some(rest) = self.due.map(|due| Duration::try_from(due.duration_since(now)).unwrap_or_default()) else {
                tokio::time::sleep(LOOK).await;
                continue;
            };
            if rest.is_zero() {
                return;
            }
            tokio::time::sleep(rest.min(LOOK)).await;
        }
    }

    /// It was read again: the file is removed, unless it stays for the next day.
    pub(super) fn done(&mut self) {
        self.due = None;
        if self.repeat {
            self.seen = None;
        } else if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, "cannot remove the reload_time_file {}", self.path.display());
        }
    }

    /// A file that changed is read, one that is gone asks for nothing.
    fn look(&mut self, now: Timestamp) {
        let found = fs::metadata(&self.path).ok().map(|m| (m.ino(), m.mtime(), m.mtime_nsec(), m.size()));
        if found == self.seen {
            return;
        }
        self.seen = found;
        self.due = None;
        if found.is_none() {
            return;
        }
        let path = self.path.display();
        match first_line(&self.path).map(|line| when(&line, now, &TimeZone::system())) {
            Ok(Ok(due)) => {
                tracing::info!("the configuration is read again at {due}, as {path} says");
                self.due = Some(due);
            }
            Ok(Err(why)) => tracing::warn!("{path} is not followed: {why}"),
            Err(error) => tracing::warn!("{path} is not followed: {error}"),
        }
    }
}

/// No pipe is waited for.
fn first_line(path: &Path) -> io::Result<String> {
    let file = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// The time that a line names, in exactly one of the forms `HH:MM:SS`, `YY-MM-DD HH:MM:SS` and
/// `YYYY-MM-DD HH:MM:SS`, each with or without a `Z`. One without a day is the next such time.
fn when(line: &str, now: Timestamp, local: &TimeZone) -> Result<Timestamp, String> {
    const EXPECTED: &str = "expected HH:MM:SS or YYYY-MM-DD HH:MM:SS, perhaps with a Z behind it";
    let wrong = || format!("`{line}` is no time; {EXPECTED}");
    let (text, zone) = line.strip_suffix('Z').map_or((line, local.clone()), |text| (text, TimeZone::UTC));
    let at = |date: Date, time: Time| zone.to_zoned(DateTime::from_parts(date, time)).map_err(|_| wrong());
    let Some((date, time)) = text.split_once(' ') else {
        let time = read_time(text).ok_or_else(wrong)?;
        let today = Zoned::new(now, zone.clone()).date();
        let due = at(today, time)?.timestamp();
        let tomorrow = || today.checked_add(1.day()).map_err(|_| wrong());
        return if due > now { Ok(due) } else { Ok(at(tomorrow()?, time)?.timestamp()) };
    };
    let (date, time) = read_date(date).zip(read_time(time)).ok_or_else(wrong)?;
    let due = at(date, time)?.timestamp();
    if due <= now { Err(format!("{line} is over")) } else { Ok(due) }
}

fn read_time(text: &str) -> Option<Time> {
    let [hour, minute, second] = numbers(text, ':', &[2])?;
    Time::new(hour.try_into().ok()?, minute.try_into().ok()?, second.try_into().ok()?, 0).ok()
}

fn read_date(text: &str) -> Option<Date> {
    let [year, month, day] = numbers(text, '-', &[2, 4])?;
    let year = if year < 100 { year + 2000 } else { year };
    Date::new(year, month.try_into().ok()?, day.try_into().ok()?).ok()
}

/// Three numbers of two digits, the first also of as many as `first` says.
fn numbers(text: &str, between: char, first: &[usize]) -> Option<[i16; 3]> {
    let mut parts = text.split(between);
    let mut number = |lengths: &[usize]| {
        let part = parts.next()?;
        let digits = lengths.contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        part.parse().ok().filter(|_| digits)
    };
    let found = [number(first)?, number(&[2])?, number(&[2])?];
    parts.next().is_none().then_some(found)
}
