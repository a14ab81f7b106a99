//! What is kept of configurations that are read: copies (`config_save_dir`), and what was wrong with the last
//! one (`reload_check_config`).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use mesh_config::report::Report;
use nix::libc;

/// Copies of one run: a bound, for whoever has it read for ever.
const MOST_COPIES: u64 = 10_000;

/// Keeps a copy of a file under its name, the number of this process, and how many there were before.
pub(super) fn keep(directory: &Path, file: &Path) {
    static COPIES: AtomicU64 = AtomicU64::new(0);
    let number = COPIES.fetch_add(1, Ordering::Relaxed);
    if number >= MOST_COPIES {
        return;
    }
    let copy = || -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let to = directory.join(format!("{name}.{}.{number}", std::process::id()));
        // Passwords are in it.
        let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        io::copy(&mut File::open(file)?, &mut to).map(drop)
    };
    if let Err(error) = copy() {
        tracing::warn!(%error, "no copy of the configuration is kept in {}", directory.display());
    }
}

/// Writes what was found in a configuration, or why it could not be used; nothing where nothing was.
pub(super) fn tell(log: &Path, read: Result<&Report, &anyhow::Error>) {
    let mut text = String::new();
    match read {
        Ok(report) => report.findings.iter().for_each(|finding| text += &format!("{finding}\n")),
        Err(error) => text += &format!("{error:#}\n"),
    }
    let written = || -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
        options.open(log)?.write_all(text.as_bytes())
    };
    if let Err(error) = written() {
        tracing::warn!(%error, "cannot write {}", log.display());
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn copies_have_names_of_their_own_and_are_nobody_elses() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let (file, kept) = (directory.path().join("f.conf"), directory.path().join("kept"));
        fs::write(&file, "one").unwrap();
        keep(&kept, &file);
        fs::write(&file, "two").unwrap();
        keep(&kept, &file);
        let mut copies: Vec<_> = fs::read_dir(&kept).unwrap().map(|copy| copy.unwrap().path()).collect();
        copies.sort();
        let texts: Vec<String> = copies.iter().map(|copy| fs::read_to_string(copy).unwrap()).collect();
        assert_eq!(texts, ["one", "two"]);
        assert!(copies.iter().all(|copy| fs::metadata(copy).unwrap().permissions().mode() & 0o777 == 0o600));
        let begin = format!("f.conf.{}.", std::process::id());
        assert!(copies[0].file_name().unwrap().to_string_lossy().starts_with(&begin));
    }
}
