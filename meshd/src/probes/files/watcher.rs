//! The thread that looks.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use mesh_config::model::TrackFile;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::sync::mpsc;
use tracing::warn;

use super::number;
use crate::probes::lookout::Wishes;

/// Between two looks without a cause, in milliseconds.
const LOOK: u16 = 1000;

/// What it knows.
pub(super) struct Watcher<T> {
    numbers: mpsc::Sender<T>,
    make: fn(String, Option<i64>) -> T,
    wishes: Wishes<Vec<TrackFile>>,
    files: Vec<Watched>,
    inotify: Option<Inotify>,
    /// Files that were watched in this run at some time.
    initialised: BTreeSet<PathBuf>,
}

/// One file.
struct Watched {
    file: TrackFile,
    told: Option<i64>,
    seen: Option<i64>,
    /// Why there is no number; logged when it changes.
    complaint: Option<String>,
}

impl<T: Send + 'static> Watcher<T> {
    pub(super) fn new(
        numbers: mpsc::Sender<T>,
        make: fn(String, Option<i64>) -> T,
        wishes: Wishes<Vec<TrackFile>>,
    ) -> Watcher<T> {
        Watcher { numbers, make, wishes, files: Vec::new(), inotify: None, initialised: BTreeSet::new() }
    }

    /// Until nobody asks or nobody listens any more.
    pub(super) fn run(mut self) {
        loop {
            let changed = self.wait();
            let Ok(files) = self.wishes.take() else { return };
            if self.numbers.is_closed() {
                return;
            }
            if let Some(files) = files {
                self.replace(files);
            }
            self.follow();
            for index in 0..self.files.len() {
                let file = &mut self.files[index];
                if let Some(value) = file.look(changed)
                    && self.numbers.blocking_send((self.make)(file.file.name.clone(), value)).is_err()
                {
                    return;
                }
            }
        }
    }

    /// Waits for a cause to look; whether a file changed.
    fn wait(&mut self) -> bool {
        let mut sources = vec![PollFd::new(self.wishes.fd(), PollFlags::POLLIN)];
        sources.extend(self.inotify.as_ref().map(|inotify| PollFd::new(inotify.as_fd(), PollFlags::POLLIN)));
        // A signal is as good a cause as any.
        let _ = poll(&mut sources, PollTimeout::from(LOOK));
        // What exactly happened does not matter: a handful of files is read in no time.
        let mut changed = false;
        while self.inotify.as_ref().is_some_and(|inotify| inotify.read_events().is_ok_and(|events| !events.is_empty()))
        {
            changed = true;
        }
        changed
    }

    fn replace(&mut self, files: Vec<TrackFile>) {
        // The directories of the files before are forgotten with it.
        self.inotify = match Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK) {
            Ok(inotify) => Some(inotify),
            Err(error) => {
                warn!("tracked files are only looked at once a second: inotify: {error}");
                None
            }
        };
        self.files.clear();
        for file in files {
            if self.initialised.insert(file.path.clone())
                && let Some((value, overwrite)) = file.init
                && let Err(error) = initialise(&file.path, value, overwrite)
            {
                warn!(file = file.name, path = %file.path.display(), "init_file: {error}");
            }
            let watched = Watched { file, told: None, seen: None, complaint: None };
            self.files.push(watched);
        }
        self.follow();
        for watched in &mut self.files {
            let value = watched.read();
            (watched.told, watched.seen) = (value, value);
            let name = watched.file.name.clone();
            // Nobody listens any more: the loop sees that.
            let _ = self.numbers.blocking_send((self.make)(name, value));
        }
    }

    /// Sees to it that the directories are followed. For those that are already that changes nothing.
    fn follow(&self) {
        let Some(inotify) = &self.inotify else { return };
        let directories: BTreeSet<&Path> = self.files.iter().filter_map(|watched| watched.file.path.parent()).collect();
        for directory in directories {
            let causes = AddWatchFlags::IN_CLOSE_WRITE
                | AddWatchFlags::IN_MOVE
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_DELETE_SELF
                | AddWatchFlags::IN_MOVE_SELF
                | AddWatchFlags::IN_ATTRIB
                | AddWatchFlags::IN_ONLYDIR;
            // One that does not exist may do so at the next look.
            let _ = inotify.add_watch(directory, causes);
        }
    }
}

impl Watched {
    /// The number, where there is something to tell.
    fn look(&mut self, changed: bool) -> Option<Option<i64>> {
        let value = self.read();
        let sure = changed || value == self.seen;
        self.seen = value;
        if !sure || value == self.told {
            return None;
        }
        self.told = value;
        Some(value)
    }

    fn read(&mut self) -> Option<i64> {
        let (value, complaint) = match number::read(&self.file.path) {
            Ok(value) => (value, None),
            Err(why) => (None, Some(why)),
        };
        if complaint != self.complaint {
            if let Some(why) = &complaint {
                warn!(file = self.file.name, path = %self.file.path.display(), "tracked file: {why}");
            }
            self.complaint = complaint;
        }
        value
    }
}

fn initialise(path: &Path, value: i64, overwrite: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true);
    let opened =
        if overwrite { options.create(true).truncate(true).open(path) } else { options.create_new(true).open(path) };
    match opened {
        Err(error) if !overwrite && error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        opened => writeln!(opened?, "{value}"),
    }
}
